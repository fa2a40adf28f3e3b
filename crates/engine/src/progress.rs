//! How far a lane has come, against how far the sources go.

use std::collections::VecDeque;
use tiderace_types::{Partition, Positions, Timestamp};

/// A source's high watermarks at one instant of the wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When they were sampled.
    pub at: Timestamp,
    /// Every partition with the next offset that will be written to it.
    pub ends: Vec<(Partition, i64)>,
}

impl Sample {
    /// Tells whether `positions` have come to all the ends.
    #[must_use]
    pub fn reached_by(&self, positions: &Positions) -> bool {
        self.ends
            .iter()
            .all(|(p, end)| positions.get(*p).next >= *end)
    }
}

/// How many unreached samples are kept; past it every other one is let go.
const SAMPLES: usize = 64;

/// One source's samples, its clock, and how far it is caught up.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Samples not reached yet, oldest first, and the newest one always.
    samples: VecDeque<Sample>,
    /// The latest instant whose sampled ends are all published.
    pub(crate) caught_up_at: Timestamp,
    /// The shard clock: never goes back.
    pub(crate) clock: Timestamp,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress {
            samples: VecDeque::new(),
            caught_up_at: Timestamp::MIN,
            clock: Timestamp::MIN,
        }
    }

    pub(crate) fn sample(&mut self, sample: Sample) {
        if self.samples.len() >= SAMPLES {
            let mut odd = false;
            self.samples.retain(|_| {
                odd = !odd;
                odd
            });
        }
        self.samples.push_back(sample);
    }

    /// Moves the instant up to which everything is published.
    pub(crate) fn published(&mut self, positions: &Positions) {
        let reached = |sample: &&Sample| sample.reached_by(positions);
        let Some(newest) = self.samples.iter().rev().find(reached).map(|s| s.at) else {
            return;
        };
        self.caught_up_at = self.caught_up_at.max(newest);
        while self.samples.len() > 1 && self.samples[0].at <= newest {
            self.samples.pop_front();
        }
    }

    /// The latest instant whose sampled ends `positions` have come to.
    pub(crate) fn reached_at(&self, positions: &Positions) -> Timestamp {
        let mut newest = self.samples.iter().rev();
        let reached = newest.find(|sample| sample.reached_by(positions));
        reached.map_or(self.caught_up_at, |sample| sample.at.max(self.caught_up_at))
    }

    /// Moves the shard clock: the smallest stream clock over the partitions that are not
    /// read to their ends, or the largest of all when every one is.
    pub(crate) fn advance_clock(&mut self, positions: &Positions) {
        let Some(newest) = self.samples.back() else {
            return;
        };
        let clock = |(p, _): &(Partition, i64)| positions.get(*p).clock;
        let open = newest
            .ends
            .iter()
            .filter(|(p, end)| positions.get(*p).next < *end);
        let clock = match open.map(clock).min() {
            Some(least) => least,
            None => newest
                .ends
                .iter()
                .map(clock)
                .max()
                .unwrap_or(Timestamp::MIN),
        };
        self.clock = self.clock.max(clock);
    }
}

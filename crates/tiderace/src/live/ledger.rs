//! The counters of a running loop: what was read, what became of it, how fast it shows.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tiderace_engine::{Applied, IntakeCounts};
use tiderace_types::{Dropped, Reason, Timestamp};

/// Everything counted since the process began.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Counts>);

/// The counters at one moment.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By source name.
    pub sources: BTreeMap<String, SourceLedger>,
    /// By view name.
    pub views: BTreeMap<String, ViewLedger>,
    /// Rows put into the online store.
    pub published: u64,
    /// Commits to state.
    pub commits: u64,
    /// Rows owed to the online store, by lane.
    pub owing: BTreeMap<String, usize>,
    /// Rows held in memory, by lane.
    pub held: BTreeMap<String, usize>,
    /// Full republications that a store made necessary.
    pub republications: u64,
    /// Blocks of rows taken off the disk because nothing can see them any more.
    pub blocks_swept: u64,
    /// Their bytes, before compression.
    pub bytes_swept: u64,
    /// The newest delays from a change to its acknowledged publication, in microseconds.
    pub publish_delays: Vec<i64>,
}

/// One source's ledger: `read = accepted + dropped + rejected`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceLedger {
    /// Records read.
    pub read: u64,
    /// Events handed to the views.
    pub accepted: u64,
    /// Records sent away though they are in order.
    pub dropped: u64,
    /// The same, by cause.
    pub dropped_by: BTreeMap<Dropped, u64>,
    /// Records refused, by reason.
    pub rejected: BTreeMap<Reason, u64>,
    /// The largest event time accepted.
    pub clock: Option<Timestamp>,
}

/// One view's ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewLedger {
    /// Events that became members of a row.
    pub applied: u64,
    /// Copies.
    pub duplicate: u64,
    /// Copies with other content.
    pub conflict: u64,
    /// Events before what their row keeps.
    pub too_late_idle: u64,
    /// Retractions of what was not there when they came.
    pub unmatched_retraction: u64,
    /// Events that came after a retraction of them: so many of the unmatched are not any more.
    pub settled: u64,
    /// Events that the view's condition filtered out.
    pub filtered: u64,
    /// Events with a null in the entity key.
    pub null_key: u64,
    /// Events on which an expression failed.
    pub failed: u64,
}

/// How many delays are remembered.
const DELAYS: usize = 1024;

impl Ledger {
    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.locked().clone()
    }

    pub(super) fn took(
        &self,
        source: &str,
        views: &[(usize, String)],
        taken: &IntakeCounts,
        clock: Timestamp,
    ) {
        let mut counts = self.locked();
        let ledger = counts.sources.entry(source.to_owned()).or_default();
        ledger.read += taken.read;
        ledger.accepted += taken.accepted;
        ledger.dropped += taken.dropped.values().sum::<u64>();
        for (cause, count) in &taken.dropped {
            *ledger.dropped_by.entry(*cause).or_default() += count;
        }
        ledger.clock = ledger.clock.max(Some(clock));
        for (reason, count) in &taken.rejected {
            *ledger.rejected.entry(*reason).or_default() += count;
        }
        for (place, name) in views {
            let of = |by: &BTreeMap<usize, u64>| by.get(place).copied().unwrap_or_default();
            let ledger = counts.views.entry(name.clone()).or_default();
            ledger.filtered += of(&taken.filtered);
            ledger.null_key += of(&taken.null_key);
            ledger.failed += of(&taken.failed);
        }
    }

    pub(super) fn applied(&self, names: &[String], applied: &Applied) {
        let mut counts = self.locked();
        for (place, count) in &applied.views {
            let ledger = counts.views.entry(names[*place].clone()).or_default();
            ledger.applied += count.applied;
            ledger.duplicate += count.duplicate;
            ledger.conflict += count.conflict;
            ledger.too_late_idle += count.too_late_idle;
            ledger.unmatched_retraction += count.unmatched_retraction;
            ledger.settled += count.settled;
        }
    }

    pub(super) fn lane(&self, lane: &str, owing: usize, held: usize, commits: u64) {
        let mut counts = self.locked();
        counts.owing.insert(lane.to_owned(), owing);
        counts.held.insert(lane.to_owned(), held);
        counts.commits += commits;
    }

    pub(super) fn published(&self, rows: usize, delay: Option<i64>) {
        let mut counts = self.locked();
        counts.published += rows as u64;
        if let Some(delay) = delay {
            if counts.publish_delays.len() >= DELAYS {
                counts.publish_delays.drain(..DELAYS / 2);
            }
            counts.publish_delays.push(delay);
        }
    }

    pub(super) fn swept(&self, blocks: u64, bytes: u64) {
        let mut counts = self.locked();
        counts.blocks_swept += blocks;
        counts.bytes_swept += bytes;
    }

    pub(super) fn republication(&self) {
        self.locked().republications += 1;
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Where lanes say how far they have come with pasts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tiderace_engine::Lane;
use tiderace_types::{Partition, Positions, ShardRange, Timestamp};

/// How every lane stands.
#[derive(Debug, Default)]
pub struct Standings(Mutex<BTreeMap<ShardRange, LaneStands>>);

/// How a lane stands.
#[derive(Clone, Debug, Default)]
pub struct LaneStands {
    pasts: BTreeMap<Partition, Come>,
    /// By view, up to when rows let go of events.
    kept_from: Vec<Timestamp>,
}

/// How far a lane has come with a past.
#[derive(Clone, Copy, Debug, Default)]
struct Come {
    offered: i64,
    stored: i64,
    published: i64,
}

impl LaneStands {
    /// How `lane` stands, of whose rows `published` are in the online store.
    pub fn of(lane: &Lane, views: usize, published: &Positions) -> LaneStands {
        let pasts = lane.positions().0.iter().filter(|(p, _)| p.is_past());
        let pasts = pasts.map(|(partition, at)| {
            let come = Come {
                offered: at.next,
                stored: lane.stored(*partition),
                published: published.get(*partition).next,
            };
            (*partition, come)
        });
        LaneStands {
            pasts: pasts.collect(),
            kept_from: (0..views).map(|view| lane.upto(view)).collect(),
        }
    }
}

impl Standings {
    /// Notes how a lane stands.
    pub fn note(&self, lane: ShardRange, stands: LaneStands) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(lane, stands);
    }

    /// How many events of a past every lane has been offered.
    pub fn offered(&self, partition: Partition) -> i64 {
        self.least(|lane| Some(lane.pasts.get(&partition)?.offered))
            .unwrap_or_default()
    }

    /// Whether every lane has stored and published the first `events` of a past.
    pub fn are_past(&self, partition: Partition, events: u64) -> bool {
        let come = |lane: &LaneStands| {
            let come = lane.pasts.get(&partition).copied().unwrap_or_default();
            Some(come.stored.min(come.published))
        };
        self.least(come).unwrap_or_default().unsigned_abs() >= events
    }

    /// Up to when some rows of a view let go of events.
    pub fn kept_from(&self, view: usize) -> Timestamp {
        self.least(|lane| lane.kept_from.get(view).copied())
            .unwrap_or(Timestamp::MIN)
    }

    /// The least that any lane says; nothing where one says nothing.
    fn least<T: Ord>(&self, of: impl Fn(&LaneStands) -> Option<T>) -> Option<T> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Option<Vec<T>> = held.values().map(of).collect();
        all?.into_iter().min()
    }
}

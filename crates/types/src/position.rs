//! Positions: how far into each partition of each source something has come.

use crate::time::Timestamp;
use std::collections::BTreeMap;

/// A source's number in this project; stable once deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// One partition of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The source.
    pub source: SourceId,
    /// The partition's number in its topic; 0 in the embedded log.
    pub number: u32,
}

impl Partition {
    /// The number of a partition that is none of a log: a prepared past that lanes take in, by the
    /// order of its events. No log has so many.
    pub const PAST: u32 = u32::MAX;

    /// The number of a partition that is none of the source's own: what comes to a process by the
    /// topic over which several share a source. No log has so many.
    pub const ROUTED: u32 = u32::MAX - 1;

    /// Tells whether it is a prepared past.
    #[must_use]
    pub const fn is_past(self) -> bool {
        self.number == Partition::PAST
    }

    /// Tells whether it is a partition of the source itself.
    #[must_use]
    pub const fn is_log(self) -> bool {
        self.number < Partition::ROUTED
    }
}

/// A place in one partition, with the clock that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionPosition {
    /// The next offset: every lower one has been offered.
    pub next: i64,
    /// The stream clock: the largest accepted event time at lower offsets,
    /// or [`Timestamp::MIN`] when there is none.
    pub clock: Timestamp,
}

impl PartitionPosition {
    /// The very start of a partition.
    pub const START: PartitionPosition = PartitionPosition {
        next: 0,
        clock: Timestamp::MIN,
    };
}

/// A vector of positions. A position is a vector: it is not an order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Positions(pub BTreeMap<Partition, PartitionPosition>);

impl Positions {
    /// The position in `partition`; the start where none is known.
    #[must_use]
    pub fn get(&self, partition: Partition) -> PartitionPosition {
        self.0
            .get(&partition)
            .copied()
            .unwrap_or(PartitionPosition::START)
    }

    /// Moves `partition` forward to `position`; a lower one changes nothing.
    pub fn advance(&mut self, partition: Partition, position: PartitionPosition) {
        let held = self.0.entry(partition).or_insert(position);
        if position.next > held.next {
            *held = position;
        }
    }

    /// What these say of logs alone.
    #[must_use]
    pub fn of_logs(&self) -> Positions {
        let logs = self.0.iter().filter(|(partition, _)| partition.is_log());
        Positions(logs.map(|(partition, at)| (*partition, *at)).collect())
    }

    /// Tells whether this has come at least as far as `other` in every partition.
    #[must_use]
    pub fn covers(&self, other: &Positions) -> bool {
        other
            .0
            .iter()
            .all(|(partition, position)| self.get(*partition).next >= position.next)
    }

    /// The vector that is behind all of `positions`: where a reader serving all must start.
    ///
    /// Of a partition that one of them has nothing of, it has nothing either: reading begins with
    /// what is there, which need not be offset 0.
    #[must_use]
    pub fn behind<'a>(positions: impl IntoIterator<Item = &'a Positions>) -> Positions {
        let mut all = positions.into_iter();
        let mut behind = all.next().cloned().unwrap_or_default();
        for other in all {
            behind
                .0
                .retain(|partition, held| match other.0.get(partition) {
                    Some(at) => {
                        if at.next < held.next {
                            *held = *at;
                        }
                        true
                    }
                    None => false,
                });
        }
        behind
    }
}

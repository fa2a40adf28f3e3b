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

    /// Tells whether this has come at least as far as `other` in every partition.
    #[must_use]
    pub fn covers(&self, other: &Positions) -> bool {
        other
            .0
            .iter()
            .all(|(partition, position)| self.get(*partition).next >= position.next)
    }

    /// The vector that is behind both: where a reader serving both must start.
    #[must_use]
    pub fn behind(&self, other: &Positions) -> Positions {
        let mut out = BTreeMap::new();
        for partition in self.0.keys().chain(other.0.keys()) {
            let (a, b) = (self.get(*partition), other.get(*partition));
            out.insert(*partition, if a.next <= b.next { a } else { b });
        }
        Positions(out)
    }
}

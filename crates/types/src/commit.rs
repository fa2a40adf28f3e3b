//! What one atomic write to state holds: decided by the engine, carried out by a store.

use crate::{Ledger, Positions, RowKey, ShardRange, Timestamp};

/// What one commit does to one row. A commit names a row at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Adds a block.
    Append {
        /// The row.
        key: RowKey,
        /// The new block.
        block: Vec<u8>,
    },
    /// Adds a block in place of others.
    Replace {
        /// The row.
        key: RowKey,
        /// The new block.
        block: Vec<u8>,
        /// The blocks that it replaces.
        old: Vec<u64>,
    },
    /// Removes blocks; a row without blocks does not exist.
    Delete {
        /// The row.
        key: RowKey,
        /// The blocks to remove.
        old: Vec<u64>,
    },
}

impl Write {
    /// The row it writes.
    #[must_use]
    pub fn key(&self) -> &RowKey {
        match self {
            Write::Append { key, .. } | Write::Replace { key, .. } | Write::Delete { key, .. } => {
                key
            }
        }
    }
}

/// One segment of a dense row: the events after `start`, up to where the next segment begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentKey {
    /// The row.
    pub row: RowKey,
    /// The instant after which its events lie; [`Timestamp::MIN`] for the first.
    pub start: Timestamp,
}

/// What one commit does to one segment. A commit names a segment at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentWrite {
    /// The segment.
    pub key: SegmentKey,
    /// What happens to it.
    pub change: SegmentChange,
}

/// What happens to a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentChange {
    /// A block is added, in place of `old` ones, and `entry` is what the row's directory
    /// says of the segment from now on.
    Put {
        /// The new block.
        block: Vec<u8>,
        /// The blocks that it replaces.
        old: Vec<u64>,
        /// The directory's entry.
        entry: Vec<u8>,
    },
    /// The segment goes, with every block and its entry.
    Drop,
}

/// What becomes true together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The shards that the lane owns, under which it owes what it owes.
    pub lane: ShardRange,
    /// Those of them that are committed: every written row is in one of them.
    pub shards: ShardRange,
    /// What happens to rows.
    pub writes: Vec<Write>,
    /// What happens to segments of dense rows.
    pub segments: Vec<SegmentWrite>,
    /// How far `shards` have come with these writes.
    pub positions: Positions,
    /// What became of all records up to there whose home is in `shards`.
    pub ledger: Ledger,
    /// Shards that were cut otherwise, whose positions these make needless.
    ///
    /// Only those: the positions of a wider range are still needed while any of
    /// its shards has no entry of its own, or has come less far.
    pub retire: Vec<ShardRange>,
    /// The rows that the lane now owes the online store.
    pub outbox: Vec<RowKey>,
    /// Outbox entries of this lane up to this commit are paid.
    pub outbox_done: Option<u64>,
}

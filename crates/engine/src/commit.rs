//! What one atomic write to state must hold.

use tiderace_types::{Positions, RowKey, ShardRange};

/// One lane's write: rows, positions and outbox together, or none of them.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The lane.
    pub lane: ShardRange,
    /// The rows.
    pub writes: Vec<Write>,
    /// How far the lane has come.
    pub positions: Positions,
    /// The written rows, which are owed to the online store.
    pub outbox: Vec<RowKey>,
    /// Outbox entries up to this commit are paid.
    pub outbox_done: Option<u64>,
}

/// A change of one row's blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Adds a block.
    Append {
        /// The row.
        key: RowKey,
        /// Its bytes.
        block: Vec<u8>,
    },
    /// Puts one block in the place of all.
    Replace {
        /// The row.
        key: RowKey,
        /// Its bytes.
        block: Vec<u8>,
        /// The numbers of the blocks that go.
        old: Vec<u64>,
    },
    /// Removes the row.
    Delete {
        /// The row.
        key: RowKey,
        /// The numbers of the blocks that go.
        old: Vec<u64>,
    },
}

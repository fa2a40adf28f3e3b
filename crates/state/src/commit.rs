//! What goes in and comes out: commits, blocks, what is remembered of a view.

use tiderace_types::{CoveredFrom, Generation, Positions, RowKey, ShardRange};

/// One block of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The commit that wrote it; blocks of a row come in this order.
    pub seq: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

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

/// What becomes true together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The shards that the lane owns: every written row is in one of them.
    pub lane: ShardRange,
    /// What happens to rows.
    pub writes: Vec<Write>,
    /// How far the lane has come with these writes.
    pub positions: Positions,
    /// Lanes of another cut whose positions this one's make needless.
    ///
    /// Only those: the positions of a wider lane are still needed while any of
    /// its shards has no entry of its own. See [`Store::set_positions`](crate::Store::set_positions).
    pub retire: Vec<ShardRange>,
    /// The rows that the lane now owes the online store.
    pub outbox: Vec<RowKey>,
    /// Outbox entries of this lane up to this commit are paid.
    pub outbox_done: Option<u64>,
}

/// What is remembered of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewState {
    /// The generation whose rows are live.
    pub generation: Generation,
    /// The meaning of that generation's rows.
    pub fingerprint: u64,
    /// Since when its rows hold every event.
    pub covered_from: CoveredFrom,
}

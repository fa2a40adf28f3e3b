//! Sweeping: what no lane touches any more leaves the disk all the same.
//!
//! A lane trims a row when it touches it, and an idle entity is touched by nobody. So from time to
//! time every block is looked at, a stretch at a time, and those that its caller calls spent are
//! deleted.
//!
//! # Why it is right
//! - What is spent is decided by a clock that was made durable before ([`Store::put_meta`]), that
//!   every lane had passed in a commit made durable with it, and that no lane starts below again
//!   (`engine::Cuts`). A lane therefore trims every row it reads at least as far as any block was
//!   deleted for, and a row that lost its spent blocks is then the row that all of them make
//!   (`aggregate::is_spent`). So it does not matter which of them a reader still sees.
//! - A block is put once, under a number that never returns. A lane may still list a block that is
//!   swept, and delete it once more when it folds the row: a second single delete finds nothing, in
//!   whichever order the two come, and sinks to the bottom by itself.
//! - A sweep deletes only what it has read, so a block that is put meanwhile is safe.
//! - Deletes go through the log like commits. If their tail is lost, blocks come back that are still spent.
//!
//! # Why no compaction filter
//! It looks free, but: what a filter removes above the bottom level becomes a plain tombstone, and a
//! single delete on top of one is a broken contract that stops RocksDB; giving up single deletes
//! would leave a tombstone behind for every block of every folded row. And a filter sees idle
//! files only if they are written again periodically, all of them, for what a sweep only reads.
//! Here what is gone is gone at once, for both stores alike.

use crate::key;
use crate::write::{Durability, Op};
use crate::{Error, Store};
use std::ops::{ControlFlow, Range};
use tiderace_durable::failpoint::Step;
use tiderace_types::{Generation, ShardRange, ViewId};

/// A sweep over the rows of some shards, and how far it has come.
#[derive(Clone, Debug)]
pub struct Sweep {
    rest: Range<Vec<u8>>,
    /// What it has looked at.
    pub seen: Weight,
    /// What of that it has deleted.
    pub dropped: Weight,
}

/// So many blocks of so many bytes, keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Weight {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.blocks += 1;
        self.bytes += (key.len() + value.len()) as u64;
    }
}

/// Tells whether a block of a view's generation says nothing any more.
pub type Spent<'a> = dyn Fn(ViewId, Generation, &[u8]) -> bool + 'a;

impl Sweep {
    /// A sweep that has not begun.
    #[must_use]
    pub fn over(shards: ShardRange) -> Sweep {
        Sweep {
            rest: key::shards(shards),
            seen: Weight::default(),
            dropped: Weight::default(),
        }
    }

    /// Tells whether there is nothing left to look at.
    #[must_use]
    pub fn done(&self) -> bool {
        self.rest.start >= self.rest.end
    }
}

impl Store {
    /// Looks at the next `limit` blocks and deletes those that are `spent`. After an error the
    /// sweep may go on.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn sweep(&self, sweep: &mut Sweep, limit: usize, spent: &Spent<'_>) -> Result<(), Error> {
        let mut ops = Vec::new();
        let (mut seen, mut dropped) = (sweep.seen, sweep.dropped);
        let mut next = sweep.rest.end.clone();
        let mut left = limit.max(1);
        self.visit(sweep.rest.clone(), &mut |key, block| {
            seen.add(key, block);
            let (view, generation) = key::owner(key)?;
            if spent(view, generation, block) {
                dropped.add(key, block);
                ops.push(Op::DeleteOnce(key.to_vec()));
            }
            left -= 1;
            if left == 0 {
                next = [key, &[0]].concat();
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if !ops.is_empty() {
            self.write(Step::StateSweep, &mut ops, Durability::Process)?;
        }
        (sweep.seen, sweep.dropped) = (seen, dropped);
        sweep.rest.start = next;
        Ok(())
    }

    /// Gives the room of what was deleted in `shards` back to the disk: tombstones sink by
    /// themselves only as far as new writes push them.
    pub fn compact_shards(&self, shards: ShardRange) {
        match self {
            Store::Rocks(rocks) => rocks.compact_range(&key::shards(shards)),
            Store::Memory(_) => {}
        }
    }
}

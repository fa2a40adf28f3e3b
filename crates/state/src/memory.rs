//! The twin in memory: the same keys and values in an ordered map.
//!
//! For tests and simulations. It can go back in time: [`MemoryStore::rewind`]
//! undoes the latest writes as a lost tail of the log would, and
//! [`MemoryStore::reopen`] is what a restart sees.

use crate::key::{self, Table};
use crate::opening::Opening;
use crate::store::Visit;
use crate::write::{Durability, Op};
use crate::{Block, Error, Store};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store in memory. A handle: clones share one map; [`MemoryStore::snapshot`] copies it.
#[derive(Clone, Debug)]
pub struct MemoryStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    opening: Opening,
    tables: Mutex<Tables>,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    map: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How to undo each write that is not durable, oldest first.
    undo: VecDeque<Undo>,
}

/// What one write replaced, key by key.
type Undo = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// How many writes can be undone at most.
const UNDO_MOST: usize = 4096;

impl MemoryStore {
    /// Makes an empty store of epoch 1.
    #[must_use]
    #[expect(
        clippy::new_ret_no_self,
        reason = "callers hold a `Store`, as for RocksDB"
    )]
    pub fn new() -> Store {
        Store::Memory(MemoryStore::over(Tables::default(), 1))
    }

    /// Copies the store as it is, epoch included; the copy goes its own way and can be rewound.
    #[must_use]
    pub fn snapshot(&self) -> MemoryStore {
        MemoryStore::over(self.tables().clone(), self.0.opening.epoch())
    }

    /// Copies the store as its next opening: the epoch is raised, durably.
    #[must_use]
    pub fn reopen(&self) -> Store {
        let mut tables = self.tables().clone();
        // Raising the epoch is a durable write, and makes all before it durable.
        tables.undo.clear();
        Store::Memory(MemoryStore::over(tables, self.0.opening.epoch() + 1))
    }

    /// Drops the last `commits` writes, as when the power fails, but none that is durable;
    /// tells how many were dropped. The handle is then of use only to be reopened.
    pub fn rewind(&self, commits: usize) -> usize {
        let mut tables = self.tables();
        let dropped = commits.min(tables.undo.len());
        for _ in 0..dropped {
            for (key, old) in tables.undo.pop_back().into_iter().flatten().rev() {
                match old {
                    Some(old) => tables.map.insert(key, old),
                    None => tables.map.remove(&key),
                };
            }
        }
        dropped
    }

    fn over(tables: Tables, epoch: u64) -> MemoryStore {
        let range = Table::Outbox.range();
        let debts: BTreeSet<_> = tables
            .map
            .range(range)
            .filter_map(|(key, _)| key::read_debt(key).ok())
            .collect();
        MemoryStore(Arc::new(Inner {
            opening: Opening::new(epoch, debts),
            tables: Mutex::new(tables),
        }))
    }

    pub(crate) fn opening(&self) -> &Opening {
        &self.0.opening
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.tables().map.get(key).cloned()
    }

    pub(crate) fn write(&self, ops: &[Op], durability: Durability) {
        let mut tables = self.tables();
        let mut undo = Vec::with_capacity(ops.len());
        for op in ops {
            match op {
                Op::Put(key, value) => {
                    let old = tables.map.insert(key.clone(), value.clone());
                    undo.push((key.clone(), old));
                }
                Op::Delete(key) | Op::DeleteOnce(key) => {
                    let old = tables.map.remove(key);
                    undo.push((key.clone(), old));
                }
                Op::DeleteRange(from, to) => {
                    let among = tables.map.range(from.clone()..to.clone());
                    let among: Vec<Vec<u8>> = among.map(|(key, _)| key.clone()).collect();
                    for key in among {
                        let old = tables.map.remove(&key);
                        undo.push((key, old));
                    }
                }
            }
        }
        tables.undo.push_back(undo);
        if tables.undo.len() > UNDO_MOST {
            tables.undo.pop_front();
        }
        if durability == Durability::Disk {
            tables.undo.clear();
        }
    }

    pub(crate) fn rows(&self, rows: &[Vec<u8>]) -> Result<Vec<Vec<Block>>, Error> {
        let tables = self.tables();
        let load = |row: &Vec<u8>| {
            tables
                .map
                .range(key::block(row, 0)..=key::block(row, u64::MAX))
                .map(|(key, bytes)| {
                    let (_, seq) = key::split_block(key)?;
                    let bytes = bytes.clone();
                    Ok(Block { seq, bytes })
                })
                .collect()
        };
        rows.iter().map(load).collect()
    }

    pub(crate) fn visit(&self, range: Range<Vec<u8>>, visit: &mut Visit<'_>) -> Result<(), Error> {
        if range.start >= range.end {
            return Ok(());
        }
        for (key, value) in self.tables().map.range(range) {
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn sync(&self) {
        self.tables().undo.clear();
    }

    pub(crate) fn size(&self) -> u64 {
        let sizes = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.len() + value.len()) as u64;
        self.tables().map.iter().map(sizes).sum()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Writes never panic half-way: each is a sequence of map operations.
        self.0.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

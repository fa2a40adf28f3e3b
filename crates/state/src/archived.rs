//! Which events are archived: their identities, by time.
//!
//! It is the archive's memory and no more: each key is noted with a number that the archive gives, and
//! what the numbers mean is the archive's to know.

use crate::key;
use crate::store::Store;
use crate::write::{Durability, Op};
use crate::{ArchiveNote, Error, codec};
use std::ops::ControlFlow;
use tiderace_durable::failpoint::Step;
use tiderace_types::{SourceId, Timestamp};

/// Keys that are written or deleted at once.
const TOGETHER: usize = 16 << 10;

impl Store {
    /// What was noted last of a source's archive.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn archive_note(&self, source: SourceId) -> Result<Option<ArchiveNote>, Error> {
        let bytes = self.get(&key::archive_note(source))?;
        bytes.as_deref().map(codec::read_archive_note).transpose()
    }

    /// The number that each of `keys` was noted with, if it was. A key begins with its time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn archived(&self, source: SourceId, keys: &[&[u8]]) -> Result<Vec<Option<u64>>, Error> {
        let mut found = Vec::with_capacity(keys.len());
        for part in keys.chunks(TOGETHER) {
            let part = part.iter().map(|key| key::archived(source, key));
            for value in self.get_many(part.collect())? {
                found.push(value.as_deref().map(codec::number).transpose()?);
            }
        }
        Ok(found)
    }

    /// Notes `keys` with the number of `note`, durably. Of a call that fails some may be noted, and then
    /// `note` is too.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn note_archived(
        &self,
        source: SourceId,
        note: ArchiveNote,
        keys: &[&[u8]],
    ) -> Result<(), Error> {
        let mut ops = vec![Op::Put(
            key::archive_note(source),
            codec::archive_note(&note),
        )];
        let value = note.flush.to_be_bytes();
        let mut parts = keys.chunks(TOGETHER).peekable();
        while let Some(part) = parts.next() {
            let part_ops = part.iter();
            ops.extend(part_ops.map(|key| Op::Put(key::archived(source, key), value.into())));
            if parts.peek().is_some() {
                self.write(Step::StateArchived, &mut ops, Durability::Process)?;
                ops.clear();
            }
        }
        self.write(Step::StateArchived, &mut ops, Durability::Disk)
    }

    /// Takes back the keys of times from `from` to `to` that are noted with numbers after `flush`.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn take_back_archived(
        &self,
        source: SourceId,
        flush: u64,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<(), Error> {
        let mut range = key::archived_times(source, from, to);
        while range.start < range.end {
            let mut ops: Vec<Op> = Vec::new();
            let mut next = range.end.clone();
            self.visit(range.clone(), &mut |key, value| {
                if ops.len() == TOGETHER {
                    next = key.to_vec();
                    return Ok(ControlFlow::Break(()));
                }
                if codec::number(value)? > flush {
                    ops.push(Op::Delete(key.to_vec()));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if !ops.is_empty() {
                self.write(Step::StateForgotten, &mut ops, Durability::Disk)?;
            }
            range.start = next;
        }
        Ok(())
    }

    /// Forgets the keys of times before `before`.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn forget_archived(&self, source: SourceId, before: Timestamp) -> Result<(), Error> {
        let range = key::archived_before(source, before);
        let mut some = false;
        self.visit(range.clone(), &mut |_, _| {
            some = true;
            Ok(ControlFlow::Break(()))
        })?;
        match some {
            true => {
                let op = Op::DeleteRange(range.start, range.end);
                self.write(Step::StateForgotten, &mut [op], Durability::Process)
            }
            false => Ok(()),
        }
    }

    fn get_many(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Vec<u8>>>, Error> {
        match self {
            Store::Rocks(rocks) => rocks.get_many(&keys),
            Store::Memory(memory) => Ok(keys.iter().map(|key| memory.get(key)).collect()),
        }
    }
}

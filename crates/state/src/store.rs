//! The one store that callers see, over RocksDB or memory.

use crate::codec;
use crate::error::Kind;
use crate::key::{self, Debt, Table};
use crate::opening::Opening;
use crate::write::{Durability, Op};
use crate::{Block, Commit, Error, Memory, MemoryStore, RocksStore, ViewState, Write};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::{ControlFlow, Range};
use tiderace_durable::failpoint::{self, Step};
use tiderace_types::{
    Generation, Ledger, Positions, RowKey, SegmentChange, SegmentKey, SegmentWrite, Shard,
    ShardRange, Timestamp, ViewId,
};

/// Where rows live. A handle: clones share one store.
#[derive(Clone, Debug)]
pub enum Store {
    /// On disk.
    Rocks(RocksStore),
    /// In memory, for tests and simulations.
    Memory(MemoryStore),
}

impl Store {
    /// The number of this opening; greater than that of every opening before it.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.opening().epoch()
    }

    /// Reads rows, each as its blocks in the order of their commits; no blocks means no row.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn load(&self, keys: &[RowKey]) -> Result<Vec<Vec<Block>>, Error> {
        let rows = keys.iter().map(key::row).collect::<Result<Vec<_>, _>>()?;
        match self {
            Store::Rocks(rocks) => rocks.rows(&rows),
            Store::Memory(memory) => memory.rows(&rows),
        }
    }

    /// Reads segments of dense rows, each as its blocks in the order of their commits.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn load_segments(&self, keys: &[SegmentKey]) -> Result<Vec<Vec<Block>>, Error> {
        let segments = keys.iter().map(key::segment);
        let segments = segments.collect::<Result<Vec<_>, _>>()?;
        match self {
            Store::Rocks(rocks) => rocks.rows(&segments),
            Store::Memory(memory) => memory.rows(&segments),
        }
    }

    /// Reads the directory of a dense row: what is said of each segment, by its start.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn directory(&self, row: &RowKey) -> Result<Vec<(Timestamp, Vec<u8>)>, Error> {
        let mut out = Vec::new();
        self.collect(key::directory(row)?, |key, value| {
            let (found, start) = key::read_entry(key)?;
            if found == *row {
                out.push((start, value.to_vec()));
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Every row of `shards` that has a directory.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn dense_rows(&self, shards: ShardRange) -> Result<Vec<RowKey>, Error> {
        let mut rows: Vec<RowKey> = Vec::new();
        loop {
            let range = key::directories(shards, rows.last())?;
            let before = rows.len();
            self.visit(range, &mut |key, _| {
                rows.push(key::read_entry(key)?.0);
                Ok(ControlFlow::Break(()))
            })?;
            if rows.len() == before {
                return Ok(rows);
            }
        }
    }

    /// Makes all of `commit` true in one write and gives its number, which its blocks
    /// and its outbox entry carry. Numbers rise with every commit of a lane.
    ///
    /// # Errors
    /// [`Kind::Bug`] when a row is named twice or lies outside the lane; else when
    /// the store cannot be written. After an error nothing of it is true.
    pub fn commit(&self, commit: Commit) -> Result<u64, Error> {
        self.commit_patiently(commit, |_| false)
    }

    /// As [`Store::commit`], and where trying again may help (a full disk), `again` decides
    /// after each try whether there is another.
    ///
    /// # Errors
    /// As [`Store::commit`], when `again` has said no.
    pub fn commit_patiently(
        &self,
        commit: Commit,
        mut again: impl FnMut(&Error) -> bool,
    ) -> Result<u64, Error> {
        let seq = self.opening().next_commit()?;
        let (lane, shards) = (commit.lane, commit.shards);
        let mut ops = Vec::with_capacity(commit.writes.len() * 2 + 4);
        ops.push(Op::Put(
            key::positions(shards),
            codec::positions(&commit.positions),
        ));
        if !commit.ledger.0.is_empty() {
            ops.push(Op::Put(key::ledger(shards), codec::ledger(&commit.ledger)));
        }
        for retired in commit.retire.into_iter().filter(|range| *range != shards) {
            ops.push(Op::Delete(key::positions(retired)));
        }
        let paid = self.paid(lane, commit.outbox_done);
        ops.extend(paid.iter().map(|paid| Op::Delete(key::debt(*paid))));
        let owed = (!commit.outbox.is_empty()).then_some(Debt { seq, lane });
        if let Some(owed) = owed {
            ops.push(Op::Put(key::debt(owed), codec::row_keys(&commit.outbox)));
        }
        push_rows(shards, commit.writes, seq, &mut ops)?;
        self.push_segments(shards, commit.segments, seq, &mut ops)?;
        let durability = self.commit_durability();
        while let Err(error) = self.write(Step::StateCommit, &mut ops, durability) {
            if error.kind() != Kind::Retry || !again(&error) {
                return Err(error);
            }
        }
        let mut debts = self.opening().debts();
        paid.iter().for_each(|paid| _ = debts.remove(paid));
        debts.extend(owed);
        Ok(seq)
    }

    /// How far shards have come, as they were cut when they were last committed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn positions(&self) -> Result<Vec<(ShardRange, Positions)>, Error> {
        let mut out = Vec::new();
        self.collect(Table::Positions.range(), |key, value| {
            let shards = key::read_shards("positions", key)?;
            out.push((shards, codec::read_positions(value)?));
            Ok(())
        })?;
        Ok(out)
    }

    /// What became of all records, by shards as they were cut when they were last committed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn ledgers(&self) -> Result<Vec<(ShardRange, Ledger)>, Error> {
        let mut out = Vec::new();
        self.collect(Table::Ledger.range(), |key, value| {
            let shards = key::read_shards("ledger", key)?;
            out.push((shards, codec::read_ledger(value)?));
            Ok(())
        })?;
        Ok(out)
    }

    /// Replaces all positions and ledgers in one durable write, for a new cut of the shards.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn recut(
        &self,
        positions: &[(ShardRange, Positions)],
        ledgers: &[(ShardRange, Ledger)],
    ) -> Result<(), Error> {
        let old = self.positions()?.into_iter();
        let mut ops: Vec<Op> = old
            .map(|(range, _)| Op::Delete(key::positions(range)))
            .collect();
        let old = self.ledgers()?.into_iter();
        ops.extend(old.map(|(range, _)| Op::Delete(key::ledger(range))));
        for (range, positions) in positions {
            ops.push(Op::Put(key::positions(*range), codec::positions(positions)));
        }
        for (range, ledger) in ledgers {
            ops.push(Op::Put(key::ledger(*range), codec::ledger(ledger)));
        }
        self.write(Step::StatePositions, &mut ops, Durability::Disk)
    }

    /// What `lane` owes the online store, by commit.
    ///
    /// Entries of lanes that were cut otherwise are refiled first: what lies in `lane`
    /// becomes its own, the rest stays where it was. So nothing owed is lost or paid for
    /// by another when the number of lanes changes.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn outbox(&self, lane: ShardRange) -> Result<Vec<(u64, Vec<RowKey>)>, Error> {
        self.refile(lane)?;
        let mine: Vec<Debt> = self
            .opening()
            .debts()
            .iter()
            .filter(|debt| debt.lane == lane)
            .copied()
            .collect();
        mine.into_iter()
            .map(|debt| Ok((debt.seq, self.owed(debt)?)))
            .collect()
    }

    /// How many outbox entries are not paid, over all lanes.
    #[must_use]
    pub fn outbox_len(&self) -> usize {
        self.opening().debts().len()
    }

    /// Reads up to `limit` rows of `shards` after `after`, in the order of their keys'
    /// byte form: shard, view, generation, entity length, entity.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn scan(
        &self,
        shards: ShardRange,
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<Vec<(RowKey, Vec<Block>)>, Error> {
        let mut rows = Vec::new();
        self.read_rows(key::rows(shards, after)?, limit, &mut rows)?;
        Ok(rows)
    }

    /// Reads up to `limit` rows of one generation of a view, those in `shards` after `after`, in the order of
    /// [`Store::scan`]. Other views' rows are passed over, not read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn scan_view(
        &self,
        shards: ShardRange,
        of: (ViewId, Generation),
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<Vec<(RowKey, Vec<Block>)>, Error> {
        let mut rows = Vec::new();
        let first = after.map_or(Shard(shards.first), RowKey::shard);
        for shard in first.0..=shards.last {
            let after = after.filter(|_| shard == first.0);
            self.read_rows(key::rows_of(Shard(shard), of, after)?, limit, &mut rows)?;
            if rows.len() == limit {
                break;
            }
        }
        Ok(rows)
    }

    /// Reads the rows of a range of keys, until there are `limit`.
    fn read_rows(
        &self,
        range: Range<Vec<u8>>,
        limit: usize,
        rows: &mut Vec<(RowKey, Vec<Block>)>,
    ) -> Result<(), Error> {
        let mut prefix = Vec::new();
        self.visit(range, &mut |key, bytes| {
            let (row, seq) = key::split_block(key)?;
            if row != prefix {
                if rows.len() == limit {
                    return Ok(ControlFlow::Break(()));
                }
                prefix = row.to_vec();
                rows.push((key::read_row(row)?, Vec::new()));
            }
            if let Some((_, blocks)) = rows.last_mut() {
                blocks.push(Block {
                    seq,
                    bytes: bytes.to_vec(),
                });
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// What is remembered of a view.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn view(&self, view: ViewId) -> Result<Option<ViewState>, Error> {
        let bytes = self.get(&key::view(view))?;
        bytes.as_deref().map(codec::read_view).transpose()
    }

    /// Every view that is remembered.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn views(&self) -> Result<Vec<(ViewId, ViewState)>, Error> {
        let mut out = Vec::new();
        self.collect(Table::View.range(), |key, value| {
            out.push((key::read_view(key)?, codec::read_view(value)?));
            Ok(())
        })?;
        Ok(out)
    }

    /// Remembers a view, durably.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_view(&self, view: ViewId, state: ViewState) -> Result<(), Error> {
        let op = Op::Put(key::view(view), codec::view(&state));
        self.write(Step::StateView, &mut [op], Durability::Disk)
    }

    /// Remembers a view, durably, and a small fact about it in the same write.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_view_and_meta(
        &self,
        view: ViewId,
        state: ViewState,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let state = Op::Put(key::view(view), codec::view(&state));
        let fact = Op::Put(key::meta(name), bytes.to_vec());
        self.write(Step::StateView, &mut [state, fact], Durability::Disk)
    }

    /// Writes how far a prepared past has been taken in, durably.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put_backfill(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let op = Op::Put(key::meta(name), bytes.to_vec());
        self.write(Step::BackfillState, &mut [op], Durability::Disk)
    }

    /// Writes what a view has of its table, durably.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put_synced(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let op = Op::Put(key::meta(name), bytes.to_vec());
        self.write(Step::BatchState, &mut [op], Durability::Disk)
    }

    /// Writes how far a shared source was sent.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn note_shared(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let op = Op::Put(key::meta(name), bytes.to_vec());
        self.write(Step::ShareNote, &mut [op], self.commit_durability())
    }

    /// Reads a small fact.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get_meta(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.get(&key::meta(name))
    }

    /// Writes a small fact, durably.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put_meta(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let op = Op::Put(key::meta(name), bytes.to_vec());
        self.write(Step::StateClock, &mut [op], Durability::Disk)
    }

    /// Writes a small fact that is lost no sooner than the commits after it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn note_meta(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let op = Op::Put(key::meta(name), bytes.to_vec());
        self.write(Step::StateMarker, &mut [op], self.commit_durability())
    }

    /// Makes everything acknowledged so far survive the loss of power.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), Error> {
        match self {
            Store::Rocks(rocks) => {
                let injected = |cause| Error::injected("sync state", &cause);
                failpoint::around(Step::StateSync, injected, || rocks.sync())
            }
            Store::Memory(memory) => {
                memory.sync();
                Ok(())
            }
        }
    }

    /// How many bytes the state takes: on disk, log included; in memory, keys and values.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn size(&self) -> Result<u64, Error> {
        match self {
            Store::Rocks(rocks) => rocks.size(),
            Store::Memory(memory) => Ok(memory.size()),
        }
    }

    /// What the store holds in memory.
    ///
    /// # Errors
    /// When RocksDB does not tell.
    pub fn memory(&self) -> Result<Memory, Error> {
        match self {
            Store::Rocks(rocks) => rocks.memory(),
            Store::Memory(memory) => Ok(Memory {
                memtables: memory.size(),
                ..Memory::default()
            }),
        }
    }

    /// Flushes and compacts everything: for measurements and quiet hours.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn compact(&self) -> Result<(), Error> {
        match self {
            Store::Rocks(rocks) => rocks.compact(),
            Store::Memory(_) => Ok(()),
        }
    }

    fn opening(&self) -> &Opening {
        match self {
            Store::Rocks(rocks) => rocks.opening(),
            Store::Memory(memory) => memory.opening(),
        }
    }

    fn commit_durability(&self) -> Durability {
        match self {
            Store::Rocks(rocks) => rocks.commit_durability(),
            Store::Memory(_) => Durability::Process,
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Store::Rocks(rocks) => rocks.get(key),
            Store::Memory(memory) => Ok(memory.get(key)),
        }
    }

    /// Makes all of `ops` true in one write; their order may be changed.
    pub(crate) fn write(
        &self,
        step: Step,
        ops: &mut [Op],
        durability: Durability,
    ) -> Result<(), Error> {
        let injected = |cause| Error::injected("write state", &cause);
        failpoint::around(step, injected, || match self {
            Store::Rocks(rocks) => rocks.write(ops, durability),
            Store::Memory(memory) => {
                memory.write(ops, durability);
                Ok(())
            }
        })
    }

    pub(crate) fn visit(&self, range: Range<Vec<u8>>, visit: &mut Visit<'_>) -> Result<(), Error> {
        match self {
            Store::Rocks(rocks) => rocks.visit(range, visit),
            Store::Memory(memory) => memory.visit(range, visit),
        }
    }

    fn collect(
        &self,
        range: Range<Vec<u8>>,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.visit(range, &mut |key, value| {
            each(key, value).map(ControlFlow::Continue)
        })
    }

    /// The entries of `lane` that `done` pays.
    fn paid(&self, lane: ShardRange, done: Option<u64>) -> Vec<Debt> {
        let Some(done) = done else {
            return Vec::new();
        };
        let debts = self.opening().debts();
        debts
            .iter()
            .take_while(|debt| debt.seq <= done)
            .filter(|debt| debt.lane == lane)
            .copied()
            .collect()
    }

    fn push_segments(
        &self,
        lane: ShardRange,
        writes: Vec<SegmentWrite>,
        seq: u64,
        ops: &mut Vec<Op>,
    ) -> Result<(), Error> {
        let mut seen = HashSet::with_capacity(writes.len());
        for write in &writes {
            check_shard(lane, &write.key.row)?;
            if !seen.insert(&write.key) {
                let view = write.key.row.view.0;
                return Err(Error::new(
                    Kind::Bug,
                    format!("lane {lane}: commit writes a segment of view {view} twice"),
                ));
            }
        }
        for write in writes {
            let segment = key::segment(&write.key)?;
            let entry_key = key::entry(&write.key)?;
            match write.change {
                SegmentChange::Put { block, old, entry } => {
                    for old in BTreeSet::from_iter(old) {
                        ops.push(Op::DeleteOnce(key::block(&segment, old)));
                    }
                    ops.push(Op::Put(key::block(&segment, seq), block));
                    ops.push(Op::Put(entry_key, entry));
                }
                SegmentChange::Drop => {
                    // Who drops a segment has not read it, so its blocks are looked for here.
                    let blocks = self.load_segments(std::slice::from_ref(&write.key))?;
                    for block in blocks.iter().flatten() {
                        ops.push(Op::DeleteOnce(key::block(&segment, block.seq)));
                    }
                    ops.push(Op::Delete(entry_key));
                }
            }
        }
        Ok(())
    }

    fn owed(&self, debt: Debt) -> Result<Vec<RowKey>, Error> {
        let bytes = self.get(&key::debt(debt))?.ok_or_else(|| {
            Error::corrupt(
                "outbox",
                format_args!("the entry of commit {} is gone", debt.seq),
            )
        })?;
        codec::read_row_keys(&bytes)
    }

    /// Moves what other cuts of the lanes owe for shards of `lane` under `lane`.
    fn refile(&self, lane: ShardRange) -> Result<(), Error> {
        // Held to the end, so that two lanes never split one entry at once.
        let mut debts = self.opening().debts();
        let foreign = |debt: &&Debt| debt.lane != lane && debt.lane.overlaps(lane);
        let mut entries: BTreeMap<Debt, Vec<RowKey>> = BTreeMap::new();
        for debt in debts.iter().filter(foreign) {
            let mine = Debt { lane, ..*debt };
            let (inside, outside): (Vec<_>, Vec<_>) = self
                .owed(*debt)?
                .into_iter()
                .partition(|key| lane.contains(key.shard()));
            entries.insert(*debt, outside);
            if !entries.contains_key(&mine) && debts.contains(&mine) {
                entries.insert(mine, self.owed(mine)?);
            }
            entries.entry(mine).or_default().extend(inside);
        }
        if entries.is_empty() {
            return Ok(());
        }
        let op = |(debt, keys): (&Debt, &Vec<RowKey>)| match keys.is_empty() {
            true => Op::Delete(key::debt(*debt)),
            false => Op::Put(key::debt(*debt), codec::row_keys(keys)),
        };
        let mut ops: Vec<Op> = entries.iter().map(op).collect();
        self.write(Step::StateRefile, &mut ops, Durability::Process)?;
        for (debt, keys) in entries {
            match keys.is_empty() {
                true => debts.remove(&debt),
                false => debts.insert(debt),
            };
        }
        Ok(())
    }
}

/// What is called for each key and value of a range, until it breaks or fails.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Error> + 'a;

fn push_rows(
    lane: ShardRange,
    writes: Vec<Write>,
    seq: u64,
    ops: &mut Vec<Op>,
) -> Result<(), Error> {
    // In about the order of their keys, in which they are to be written, and equal ones side by side.
    let mut order: Vec<(u128, usize)> = Vec::with_capacity(writes.len());
    for (place, write) in writes.iter().enumerate() {
        check_shard(lane, write.key())?;
        order.push((key::rank(write.key()), place));
    }
    order.sort_unstable();
    check_rows(lane, &order, &writes)?;
    let mut writes: Vec<Option<Write>> = writes.into_iter().map(Some).collect();
    for (_, place) in order {
        let Some(write) = writes[place].take() else {
            continue;
        };
        let row = key::row(write.key())?;
        let (block, mut old) = match write {
            Write::Append { block, .. } => (Some(block), Vec::new()),
            Write::Replace { block, old, .. } => (Some(block), old),
            Write::Delete { old, .. } => (None, old),
        };
        old.sort_unstable();
        old.dedup();
        let old = old.into_iter();
        ops.extend(old.map(|old| Op::DeleteOnce(key::block(&row, old))));
        if let Some(block) = block {
            ops.push(Op::Put(key::into_block(row, seq), block));
        }
    }
    Ok(())
}

/// Refuses a commit whose blocks would overwrite each other.
fn check_rows(lane: ShardRange, order: &[(u128, usize)], writes: &[Write]) -> Result<(), Error> {
    for run in order.chunk_by(|(a, _), (b, _)| a == b) {
        // Nearly always one.
        let keys: BTreeSet<_> = match run.len() {
            1 => continue,
            _ => run.iter().map(|(_, place)| writes[*place].key()).collect(),
        };
        if keys.len() < run.len() {
            let view = writes[run[0].1].key().view.0;
            return Err(Error::new(
                Kind::Bug,
                format!("lane {lane}: commit writes a row of view {view} twice"),
            ));
        }
    }
    Ok(())
}

fn check_shard(lane: ShardRange, key: &RowKey) -> Result<(), Error> {
    if lane.contains(key.shard()) {
        return Ok(());
    }
    let shard = key.shard().0;
    Err(Error::new(
        Kind::Bug,
        format!("lane {lane}: commit writes a row of shard {shard}"),
    ))
}

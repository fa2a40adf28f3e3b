//! A lane: a range of shards, the rows it holds of them, and how far it has come.
//!
//! The shell that drives a lane does, for every packet: [`Lane::prepare`]; while
//! [`Lane::wants`] something, it reads that and gives it to [`Lane::fill`]; [`Lane::apply`].
//! And from time to time a commit, a chunk of publications, and the anchors that are due.
//!
//! # Laws
//! - State is a function of the set of accepted events: packets cut, ordered
//!   or repeated in any way that keeps each partition's order give equal rows.
//! - What a commit holds is an exact prefix of every partition.
//! - Only stored rows are evicted.

use crate::dense::Shared;
use crate::density::Density;
use crate::due::{self, Anchoring, DueList};
use crate::held::Held;
use crate::loading::{self, Asked};
use crate::outlet::Outlet;
use crate::packet::{Packet, ViewBatch};
use crate::part::{Block, Written};
use crate::progress::{Progress, Sample};
use crate::table::{Evicted, Slot, Table};
use std::collections::BTreeMap;
use std::sync::Arc;
use tiderace_aggregate::{Balance, Cell, CodecError, Event, Insert, Offer, Row};
use tiderace_plan::model::View;
use tiderace_types::{
    Commit, DeadLetter, Generation, Partition, PartitionPosition, Positions, Reason, RowKey, Shard,
    ShardRange, SourceId, Timestamp, Write,
};

/// A view as lanes know it: its definition and the generation they build.
#[derive(Clone, Debug)]
pub struct LaneView {
    /// The definition.
    pub view: Arc<View>,
    /// The generation.
    pub generation: Generation,
    /// How its rows are cut where they are dense.
    pub density: Density,
    /// What its outputs need merged.
    pub(crate) measures: Shared,
}

impl LaneView {
    /// A view with the sizes that its definition asks for.
    #[must_use]
    pub fn new(view: Arc<View>, generation: Generation) -> LaneView {
        LaneView {
            density: Density::of(&view.spec, view.row_max),
            measures: loading::measures(&view.spec),
            view,
            generation,
        }
    }
}

/// Why a lane cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// A stored block does not read.
    #[error("view `{view}`: stored {error}")]
    Block {
        /// The view's name.
        view: String,
        /// What is wrong.
        error: CodecError,
    },
    /// A packet does not begin where the lane stands: records are missing between.
    #[error("source {} partition {}: expected offset {expected} or lower, got {got}", .partition.source.0, .partition.number)]
    Gap {
        /// The partition.
        partition: Partition,
        /// The next offset the lane needs.
        expected: i64,
        /// The first offset in the packet.
        got: i64,
    },
}

/// What a packet did to a lane.
#[derive(Debug, Default)]
pub struct Applied {
    /// Per view, by its index.
    pub views: BTreeMap<usize, ViewCounts>,
    /// Events that a row refused.
    pub dead: Vec<DeadLetter>,
}

/// A view's part of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewCounts {
    /// New members of a row.
    pub applied: u64,
    /// Copies of members.
    pub duplicate: u64,
    /// Copies with other content.
    pub conflict: u64,
    /// Events before what the row keeps.
    pub too_late_idle: u64,
    /// Retractions of what was not there when they came.
    pub unmatched_retraction: u64,
    /// Events that came after a retraction of them: so many of the unmatched are not any more.
    pub settled: u64,
}

impl ViewCounts {
    fn settle(&mut self, balance: Balance) {
        match balance {
            Balance::Even => {}
            Balance::Unmatched => self.unmatched_retraction += 1,
            Balance::Settled => self.settled += 1,
        }
    }
}

/// A range of shards and everything held of them.
#[derive(Debug)]
pub struct Lane {
    /// Its shards.
    pub shards: ShardRange,
    pub(crate) views: Vec<LaneView>,
    pub(crate) tables: Vec<Table>,
    pub(crate) positions: Positions,
    /// Positions that parts of the range had come to under other lanes, until this lane is past them.
    guards: Vec<(ShardRange, Positions)>,
    pub(crate) progress: BTreeMap<SourceId, Progress>,
    uncommitted: Vec<(usize, Slot)>,
    /// What the commit under way writes, and how.
    committing: Vec<(usize, Slot, Written)>,
    /// What held rows take beside their slots, in bytes.
    pub(crate) memory: usize,
    /// What the next commit takes while it is written, in bytes.
    writing: usize,
    pub(crate) outlet: Outlet,
    pub(crate) scratch: Scratch,
    pub(crate) asked: Asked,
    /// Dense rows by when they are to be anchored again.
    pub(crate) due: DueList,
    /// Those that are being anchored.
    pub(crate) anchoring: Vec<Anchoring>,
}

/// What a row takes while it is written, beside its bytes: its key in several lists, what is done
/// to it, its places in them.
const WRITTEN: usize = 512;

/// How many rows are looked at together.
const STRIDE: usize = 32;

/// Memory reused from packet to packet.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Per view batch: (member, slot) of the events that are this lane's and new to it.
    pub(crate) members: Vec<Vec<(u32, Slot)>>,
    /// The view of each view batch.
    pub(crate) views: Vec<usize>,
    /// Members whose rows are dense and not whole in memory, as (view batch, member, slot).
    pub(crate) dense: Vec<(usize, u32, Slot)>,
    /// Rows to load, as (view, slot).
    pub(crate) missing: Vec<(usize, Slot)>,
    /// Heads of dense rows whose directory is to be loaded.
    pub(crate) heads: Vec<(usize, Slot)>,
    /// The members of a view batch whose rows are dense: slot, then member.
    order: Vec<u64>,
    /// Rows that have grown so that they may be dense.
    grown: Vec<(usize, Slot)>,
}

impl Lane {
    /// A lane that goes on from what state holds: `recovered` are all lanes' positions.
    #[must_use]
    pub fn new(
        shards: ShardRange,
        views: Vec<LaneView>,
        recovered: &[(ShardRange, Positions)],
        epoch: u64,
    ) -> Lane {
        let own = recovered.iter().filter(|(range, _)| range.overlaps(shards));
        let own: Vec<_> = own.cloned().collect();
        let whole = (shards.first..=shards.last)
            .all(|shard| own.iter().any(|(range, _)| range.contains(Shard(shard))));
        let positions = match whole {
            true => own
                .iter()
                .map(|(_, positions)| positions.clone())
                .reduce(|a, b| a.behind(&b))
                .unwrap_or_default(),
            false => Positions::default(),
        };
        let guards = own.into_iter().filter(|(_, held)| *held != positions);
        let sources = views
            .iter()
            .map(|view| (view.view.source.id, Progress::new()));
        Lane {
            shards,
            tables: views.iter().map(|_| Table::default()).collect(),
            guards: guards.collect(),
            progress: sources.collect(),
            positions,
            uncommitted: Vec::new(),
            committing: Vec::new(),
            memory: 0,
            writing: 0,
            outlet: Outlet::new(epoch),
            views,
            scratch: Scratch::default(),
            asked: Asked::default(),
            due: DueList::new(),
            anchoring: Vec::new(),
        }
    }

    /// How far the lane has come.
    #[must_use]
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// How many rows it holds.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }

    /// How many bytes of memory its rows take, the lists of those that are owed or due, and the
    /// next commit.
    #[must_use]
    pub fn memory(&self) -> usize {
        let tables: usize = self.tables.iter().map(Table::memory).sum();
        self.memory + tables + self.writing + self.owed_memory() + self.due.len() * due::LISTED
    }

    /// How many bytes the lists take of rows that are owed to the online store, held or not.
    #[must_use]
    pub fn owed_memory(&self) -> usize {
        self.outlet.memory()
    }

    /// Finds the packet's rows. Those that are not held are read from state before [`Lane::apply`].
    ///
    /// # Errors
    /// [`LaneError::Gap`] when records between this packet and the last are missing.
    pub fn prepare(&mut self, packet: &Packet) -> Result<(), LaneError> {
        for (partition, from, _) in &packet.reached {
            if let Some(held) = self.positions.0.get(partition)
                && *from > held.next
                && packet.contiguous
            {
                return Err(LaneError::Gap {
                    partition: *partition,
                    expected: held.next,
                    got: *from,
                });
            }
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.members.resize_with(packet.views.len(), Vec::new);
        scratch.dense.clear();
        scratch.views.clear();
        scratch
            .views
            .extend(packet.views.iter().map(|batch| batch.view));
        for place in 0..packet.views.len() {
            self.find_members(packet, place, &mut scratch);
        }
        self.scratch = scratch;
        Ok(())
    }

    fn find_members(&mut self, packet: &Packet, place: usize, scratch: &mut Scratch) {
        let batch = &packet.views[place];
        let members = &mut scratch.members[place];
        members.clear();
        let next = self.next_offsets(packet);
        let starts = packet.reached.iter().map(|(_, from, _)| *from);
        let known = next
            .iter()
            .zip(starts)
            .any(|((_, next), from)| from < *next);
        let all = !known && self.guards.is_empty();
        let spec = &self.views[batch.view].view.spec;
        let table = &mut self.tables[batch.view];
        // Where the rows are is asked for many at a time: the answers come from memory side by side.
        let mut guesses = [None; STRIDE];
        for (stride, hashes) in batch.hashes.chunks(STRIDE).enumerate() {
            for (guess, hash) in guesses.iter_mut().zip(hashes) {
                *guess = table.guess(*hash);
            }
            for (index, (hash, guess)) in hashes.iter().zip(guesses).enumerate() {
                let member = stride * STRIDE + index;
                let shard = Shard::of_hash(*hash);
                if !self.shards.contains(shard) {
                    continue;
                }
                if !all {
                    let (partition, offset) = packet.place(batch.events[member] as usize);
                    let seen = next
                        .iter()
                        .any(|(number, next)| *number == partition && offset < *next);
                    if seen || guarded(&self.guards, packet.source, shard, partition, offset) {
                        continue;
                    }
                }
                let key = batch.key(member);
                let guessed = guess.and_then(|slot| Some((slot, table.get_of(slot, key)?)));
                if let Some((slot, held)) = guessed {
                    members.push((member as u32, slot));
                    if held.lacks_segments() {
                        scratch.dense.push((place, member as u32, slot));
                    }
                    continue;
                }
                let before = table.len();
                let slot = table.find_or_add(key, *hash, spec);
                if table.len() > before {
                    scratch.missing.push((batch.view, slot));
                } else if table.get(slot).is_some_and(Held::lacks_segments) {
                    scratch.dense.push((place, member as u32, slot));
                }
                members.push((member as u32, slot));
            }
        }
    }

    fn next_offsets(&self, packet: &Packet) -> Vec<(u32, i64)> {
        let next = |(partition, ..): &(Partition, i64, PartitionPosition)| {
            (partition.number, self.positions.get(*partition).next)
        };
        packet.reached.iter().map(next).collect()
    }

    pub(crate) fn key(&self, view: usize, slot: Slot) -> RowKey {
        let lane_view = &self.views[view];
        let held = self.tables[view].get(slot);
        RowKey {
            view: lane_view.view.id,
            generation: lane_view.generation,
            entity: held.map(|held| (*held.entity).into()).unwrap_or_default(),
        }
    }

    /// Applies a packet whose rows are filled. `now` is when, for the publication deadline.
    pub fn apply(&mut self, packet: &Packet, now: Timestamp) -> Applied {
        let mut applied = Applied::default();
        let members = std::mem::take(&mut self.scratch.members);
        for (batch, members) in packet.views.iter().zip(&members) {
            self.apply_view(packet, batch, members, now, &mut applied);
        }
        self.scratch.members = members;
        for (view, slot) in std::mem::take(&mut self.scratch.grown) {
            self.thicken(view, slot, now);
        }
        for (partition, _, position) in &packet.reached {
            self.positions.advance(*partition, *position);
        }
        self.guards.retain(|(_, held)| !self.positions.covers(held));
        if let Some(progress) = self.progress.get_mut(&packet.source) {
            progress.advance_clock(&self.positions);
        }
        applied
    }

    fn apply_view(
        &mut self,
        packet: &Packet,
        batch: &ViewBatch,
        members: &[(u32, Slot)],
        now: Timestamp,
        applied: &mut Applied,
    ) {
        let lane_view = &self.views[batch.view];
        let (spec, density) = (&lane_view.view.spec, lane_view.density);
        let table = &mut self.tables[batch.view];
        let tally = &mut Tally {
            packet,
            batch,
            lane_view,
            counts: applied.views.entry(batch.view).or_default(),
            dead: &mut applied.dead,
        };
        let books = &mut Books {
            view: batch.view,
            width: 24 + 8 * batch.inputs.len(),
            now,
            memory: &mut self.memory,
            writing: &mut self.writing,
            uncommitted: &mut self.uncommitted,
            outlet: &mut self.outlet,
            due: &mut self.due,
        };
        let mut cells: Vec<Cell<'_>> = Vec::with_capacity(batch.inputs.len());
        let order = &mut self.scratch.order;
        order.clear();
        for (index, (member, slot)) in members.iter().enumerate() {
            if index % STRIDE == 0 {
                warm(table, &members[index..members.len().min(index + STRIDE)]);
            }
            let Some(held) = table.get_mut(*slot) else {
                debug_assert!(false, "prepare finds or adds every slot");
                continue;
            };
            // What is taken back is counted in the order of its coming.
            if held.dense.is_some() && spec.sign.is_none() {
                order.push(u64::from(*slot) << 32 | u64::from(*member));
                continue;
            }
            held.recent = true;
            cells.clear();
            batch.push_cells(*member, &mut cells);
            let offered = batch.event(packet, *member, &cells);
            let offer = held.offer(spec, &offered);
            if !tally.takes(*member, offer) {
                continue;
            }
            if let (Some(sign), Offer::Known(Insert::Applied { at })) = (spec.sign, offer) {
                tally.counts.settle(held.balance(offered.time, at, sign));
            }
            books.note(*slot, held, 1);
            if held.dense.is_none() && held.part.row.events.len() == density.sparse + 1 {
                self.scratch.grown.push((batch.view, *slot));
            }
        }
        // Of dense rows many events come at once: they are moved into place together.
        order.sort_unstable();
        for run in order.chunk_by(|a, b| a >> 32 == b >> 32) {
            let slot = (run[0] >> 32) as Slot;
            let Some(held) = table.get_mut(slot) else {
                continue;
            };
            let member = |place: &u64| *place as u32;
            let mut cells = Vec::with_capacity(run.len() * batch.inputs.len());
            run.iter()
                .for_each(|place| batch.push_cells(member(place), &mut cells));
            let inputs = |index: usize| &cells[index * batch.inputs.len()..][..batch.inputs.len()];
            let events = run.iter().enumerate();
            let events = events.map(|(i, place)| batch.event(packet, member(place), inputs(i)));
            let events: Vec<Event<'_>> = events.collect();
            held.recent = true;
            let Some(dense) = &mut held.dense else {
                continue;
            };
            let mut new = 0;
            dense.offer_all(spec, &held.part.row, &events, |index, offer| {
                new += usize::from(tally.takes(member(&run[index]), offer));
            });
            if new > 0 {
                books.note(slot, held, new);
            }
        }
    }

    /// Notes a source's high watermarks.
    pub fn sample(&mut self, source: SourceId, sample: Sample) {
        if let Some(progress) = self.progress.get_mut(&source) {
            progress.sample(sample);
            progress.advance_clock(&self.positions);
        }
    }

    /// Takes over how far a source's shard clock had come when what lies behind it was swept: it
    /// never goes back, restarts included. See [`crate::Cuts`].
    pub fn resume_clock(&mut self, source: SourceId, clock: Timestamp) {
        if let Some(progress) = self.progress.get_mut(&source) {
            progress.clock = progress.clock.max(clock);
        }
    }

    /// The shard clock of every source.
    #[must_use]
    pub fn clocks(&self) -> BTreeMap<SourceId, Timestamp> {
        let clocks = self.progress.iter();
        clocks.map(|(source, held)| (*source, held.clock)).collect()
    }

    /// The shard clock of a source.
    #[must_use]
    pub fn clock(&self, source: SourceId) -> Timestamp {
        self.progress
            .get(&source)
            .map_or(Timestamp::MIN, |p| p.clock)
    }

    /// Tells whether anything has changed since the last commit.
    #[must_use]
    pub fn uncommitted(&self) -> bool {
        !self.uncommitted.is_empty()
    }

    /// How many rows the next commit writes.
    #[must_use]
    pub fn uncommitted_rows(&self) -> usize {
        self.uncommitted.len()
    }

    /// Has a slot written in the next commit.
    pub(crate) fn owe_commit(&mut self, view: usize, slot: Slot) {
        self.uncommitted.push((view, slot));
    }

    /// What one atomic write must hold now. [`Lane::committed`] must follow before anything else.
    pub fn commit(&mut self) -> Commit {
        let mut writes = Vec::with_capacity(self.uncommitted.len());
        let mut outbox = Vec::with_capacity(self.uncommitted.len());
        let mut segments = Vec::new();
        // In the order in which they lie in memory.
        let mut uncommitted = std::mem::take(&mut self.uncommitted);
        uncommitted.sort_unstable();
        for (view, slot) in uncommitted {
            let lane_view = &self.views[view];
            let spec = &lane_view.view.spec;
            let upto = spec.kept_from(self.progress[&lane_view.view.source.id].clock);
            let key = self.key(view, slot);
            let Some(held) = self.tables[view].get_mut(slot) else {
                continue;
            };
            let before = segments.len();
            if let Some(dense) = &mut held.dense {
                dense.cut(spec, lane_view.density);
                segments.extend(dense.write(spec, &lane_view.measures, &key));
            } else {
                held.part.trim(spec, upto);
            }
            // A head changes only where it says so.
            let block = match held.dense.is_some() && !held.part.rewrite {
                true => None,
                false => held.part.write(spec),
            };
            self.committing
                .push((view, slot, Written::how(block.as_ref())));
            if block.is_some() || segments.len() > before {
                outbox.push(key.clone());
            }
            writes.extend(block.map(|Block { bytes, old }| match old {
                None => Write::Append { key, block: bytes },
                Some(old) => Write::Replace {
                    key,
                    block: bytes,
                    old,
                },
            }));
        }
        Commit {
            lane: self.shards,
            outbox,
            writes,
            segments,
            positions: self.positions.clone(),
            retire: Vec::new(),
            outbox_done: self.outlet.paid(),
        }
    }

    /// Notes that the last [`Lane::commit`] is stored under number `seq`.
    pub fn committed(&mut self, seq: u64) {
        for (view, slot, written) in std::mem::take(&mut self.committing) {
            if let Some(held) = self.tables[view].get_mut(slot) {
                held.uncommitted = false;
                held.part.written(written, seq);
                if let Some(dense) = &mut held.dense {
                    dense.written(seq);
                }
                let (before, now) = held.count();
                self.memory = (self.memory + now).saturating_sub(before);
            }
        }
        self.writing = 0;
        self.outlet.committed(seq);
    }

    /// Lets go of stored rows until at most `bytes` of memory are held, or none can go.
    pub fn evict(&mut self, bytes: usize) {
        while self.memory() > bytes && self.rows() > self.uncommitted.len() {
            let Some(view) = (0..self.tables.len()).max_by_key(|view| self.tables[*view].len())
            else {
                return;
            };
            let held = match self.tables[view].evict() {
                None => return,
                Some(Evicted::Part(bytes)) => {
                    self.memory = self.memory.saturating_sub(bytes);
                    continue;
                }
                Some(Evicted::Row(held)) => held,
            };
            self.memory = self.memory.saturating_sub(held.counted);
            if held.unpublished {
                let lane_view = &self.views[view];
                self.outlet.owe(RowKey {
                    view: lane_view.view.id,
                    generation: lane_view.generation,
                    entity: (*held.entity).into(),
                });
            }
        }
    }
}

/// What becomes of a view's part of a packet.
struct Tally<'a> {
    packet: &'a Packet,
    batch: &'a ViewBatch,
    lane_view: &'a LaneView,
    counts: &'a mut ViewCounts,
    dead: &'a mut Vec<DeadLetter>,
}

impl Tally<'_> {
    /// Counts what became of a member; tells whether it is a new one of its row.
    #[inline]
    fn takes(&mut self, member: u32, offer: Offer) -> bool {
        let refused = match offer {
            Offer::Known(Insert::Applied { .. }) => {
                self.counts.applied += 1;
                return true;
            }
            Offer::Known(Insert::Duplicate) => {
                self.counts.duplicate += 1;
                return false;
            }
            Offer::Known(Insert::Conflict) => {
                self.counts.conflict += 1;
                (
                    Reason::Conflict,
                    "another event of the same id and time, with other content, stands",
                )
            }
            Offer::BeforeKept => {
                self.counts.too_late_idle += 1;
                (
                    Reason::TooLateIdle,
                    "its event time lies before what the row still keeps",
                )
            }
        };
        let event = self.batch.events[member as usize] as usize;
        let letter = dead_letter(self.packet, event, self.lane_view, refused);
        self.dead.push(letter);
        false
    }
}

/// What a lane notes of rows that have changed.
struct Books<'a> {
    view: usize,
    /// What an event takes in memory, roughly.
    width: usize,
    now: Timestamp,
    memory: &'a mut usize,
    writing: &'a mut usize,
    uncommitted: &'a mut Vec<(usize, Slot)>,
    outlet: &'a mut Outlet,
    due: &'a mut DueList,
}

impl Books<'_> {
    /// Notes that a row has `new` events more.
    #[inline]
    fn note(&mut self, slot: Slot, held: &mut Held, new: usize) {
        *self.memory += self.width * new;
        held.counted += self.width * new;
        // Its bytes, and those once more in the batch that is written.
        *self.writing += self.width * new;
        if !std::mem::replace(&mut held.uncommitted, true) {
            *self.writing += WRITTEN;
            self.uncommitted.push((self.view, slot));
        }
        if !std::mem::replace(&mut held.unpublished, true) {
            self.outlet.touch(self.view, slot, self.now);
        }
        if let Some(dense) = held.dense.as_mut().filter(|dense| dense.is_full(self.now)) {
            dense.due = self.now;
            let entity = (*held.entity).into();
            self.due.insert((self.now, self.view, entity));
        }
    }
}

/// Reads what the next events of some rows will be put in. Each row waits for memory; one after
/// another they would wait in turn, as these do together.
fn warm(table: &Table, members: &[(u32, Slot)]) {
    let rows = members.iter().filter_map(|(_, slot)| table.get(*slot));
    std::hint::black_box(rows.fold(0, |sum, held| sum ^ held.warm()));
}

/// Reads a row from its stored blocks.
pub(crate) fn read_blocks(view: &LaneView, blocks: &[(u64, Vec<u8>)]) -> Result<Row, LaneError> {
    let spec = &view.view.spec;
    let mut row = Row::new(spec);
    for (_, block) in blocks {
        let part = Row::decode(block, spec).map_err(|error| LaneError::block(view, error))?;
        row.merge(spec, part);
    }
    Ok(row)
}

fn guarded(
    guards: &[(ShardRange, Positions)],
    source: SourceId,
    shard: Shard,
    number: u32,
    offset: i64,
) -> bool {
    let partition = Partition { source, number };
    guards
        .iter()
        .any(|(range, held)| range.contains(shard) && offset < held.get(partition).next)
}

fn dead_letter(
    packet: &Packet,
    event: usize,
    view: &LaneView,
    (reason, why): (Reason, &str),
) -> DeadLetter {
    let record = packet.record_of[event] as usize;
    DeadLetter {
        reason,
        detail: format!("view `{}`: {why}", view.view.name),
        meta: packet.records.metas[record],
        payload: packet.records.payload(record).to_vec(),
    }
}

/// The held row of a slot.
pub(crate) fn held(tables: &mut [Table], view: usize, slot: Slot) -> Option<&mut Held> {
    tables.get_mut(view)?.get_mut(slot)
}

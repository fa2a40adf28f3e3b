//! A lane: a range of shards, the rows it holds of them, and how far it has come.
//!
//! The shell that drives a lane does, for every few packets: [`Lane::prepare`]; while
//! [`Lane::wants`] something, it reads that and gives it to [`Lane::fill`]; [`Lane::apply`].
//! And from time to time a commit of a slice, a chunk of publications, and the anchors that are due.
//!
//! # Laws
//! - State is a function of the set of accepted events: packets cut, ordered
//!   or repeated in any way that keeps each partition's order give equal rows.
//! - What the commits of a slice hold is an exact prefix of every partition.
//! - Only stored rows are evicted.

use crate::cuts::Clocks;
use crate::dense::Shared;
use crate::density::Density;
use crate::due::{self, Anchoring, DueList};
use crate::feed::Feeds;
use crate::held::Held;
use crate::loading::{self, Asked};
use crate::members::Member;
use crate::outlet::Outlet;
use crate::part::{Block, Written};
use crate::progress::{Progress, Sample};
use crate::slice::Slices;
use crate::table::{Evicted, Slot, Table};
use std::collections::BTreeMap;
use std::sync::Arc;
use tiderace_aggregate::{CodecError, Row};
use tiderace_plan::model::View;
use tiderace_types::{
    Commit, DeadLetter, Generation, Ledger, Partition, Positions, RowKey, ShardRange, SourceId,
    Timestamp, Write,
};

/// A view as lanes know it: its definition and the generation they build.
#[derive(Clone, Debug)]
pub struct LaneView {
    /// The definition.
    pub view: Arc<View>,
    /// The generation.
    pub generation: Generation,
    /// Where it begins: earlier events are not for its rows, whoever is offered them.
    pub begins: Positions,
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
            begins: Positions::default(),
            density: Density::of(&view.spec, view.row_max),
            measures: loading::measures(&view.spec),
            view,
            generation,
        }
    }

    /// The same, beginning somewhere.
    #[must_use]
    pub fn beginning(self, begins: Positions) -> LaneView {
        LaneView { begins, ..self }
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
    /// Events of a prepared past that no window needs any more.
    pub before_kept: u64,
    /// Retractions of what was not there when they came.
    pub unmatched_retraction: u64,
    /// Events that came after a retraction of them: so many of the unmatched are not any more.
    pub settled: u64,
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
    pub(crate) guards: Vec<(ShardRange, Positions)>,
    pub(crate) progress: BTreeMap<SourceId, Progress>,
    /// The views that let go of nothing later than an instant, while a past of theirs is taken in.
    pub(crate) held: BTreeMap<usize, Timestamp>,
    pub(crate) slices: Slices,
    committing: Option<Committing>,
    /// What held rows take beside their slots, in bytes.
    pub(crate) memory: usize,
    pub(crate) outlet: Outlet,
    /// What the topics of feature values are owed.
    pub(crate) feeds: Feeds,
    pub(crate) scratch: Scratch,
    pub(crate) asked: Asked,
    /// Dense rows by when they are to be anchored again.
    pub(crate) due: DueList,
    /// Those that are being anchored.
    pub(crate) anchoring: Vec<Anchoring>,
}

/// A commit under way.
#[derive(Debug)]
struct Committing {
    slice: usize,
    /// What it writes, and how.
    rows: Vec<(usize, Slot, Written)>,
    positions: Positions,
}

/// Memory reused from packet to packet.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Per view: the events that are this lane's and new to it, by row.
    pub(crate) members: Vec<Vec<Member>>,
    /// Memory to sort them in.
    pub(crate) spare: Vec<Member>,
    /// Those whose rows are dense and not whole in memory, by view.
    pub(crate) lacking: Vec<(usize, Member)>,
    /// Rows to load, as (view, slot).
    pub(crate) missing: Vec<(usize, Slot)>,
    /// Heads of dense rows whose directory is to be loaded.
    pub(crate) heads: Vec<(usize, Slot)>,
    /// Rows that have grown so that they may be dense.
    pub(crate) grown: Vec<(usize, Slot)>,
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
        let slices = Slices::new(shards, recovered);
        let positions = slices.least();
        let own = recovered.iter().filter(|(range, _)| range.overlaps(shards));
        let guards = own.filter(|(_, held)| *held != positions).cloned();
        let sources = views
            .iter()
            .map(|view| (view.view.source.id, Progress::new()));
        Lane {
            shards,
            tables: views.iter().map(|_| Table::default()).collect(),
            guards: guards.collect(),
            progress: sources.collect(),
            positions,
            held: BTreeMap::new(),
            slices,
            committing: None,
            memory: 0,
            outlet: Outlet::new(epoch),
            feeds: Feeds::new(&views),
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
        self.memory
            + tables
            + self.slices.writing()
            + self.owed_memory()
            + self.feeds.memory()
            + self.due.len() * due::LISTED
    }

    /// How many bytes the lists take of rows that are owed to the online store, held or not.
    #[must_use]
    pub fn owed_memory(&self) -> usize {
        self.outlet.memory()
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

    /// Notes a source's high watermarks.
    pub fn sample(&mut self, source: SourceId, sample: Sample) {
        self.feeds.sample(source, &sample);
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
    pub fn clocks(&self) -> Clocks {
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

    /// Lets go of nothing of a view that is later than `upto`, where what it lets go of is folded.
    ///
    /// What is folded cannot be told from what never came. So until a view has its past, what that
    /// may hold copies of, or take back, is kept.
    pub fn hold(&mut self, view: usize, upto: Timestamp) {
        self.held.insert(view, upto);
    }

    /// Ends [`Lane::hold`].
    pub fn release(&mut self, view: usize) {
        self.held.remove(&view);
    }

    /// The instant up to which rows of a view may let go of events.
    #[must_use]
    pub fn upto(&self, view: usize) -> Timestamp {
        let definition = &self.views[view].view;
        let spec = &definition.spec;
        let upto = spec.kept_from(self.clock(definition.source.id));
        // Rows that fold nothing are swept by the clock alone.
        match self.held.get(&view).filter(|_| spec.unbounded()) {
            Some(held) => upto.min(*held),
            None => upto,
        }
    }

    /// How far what is stored of all its shards has come in `partition`.
    #[must_use]
    pub fn stored(&self, partition: Partition) -> i64 {
        let stored = self.slices.iter();
        let next = stored.map(|slice| slice.stored.get(partition).next);
        next.min().unwrap_or_default()
    }

    /// The slices of its shards, and how far what is stored of each has come.
    pub fn slices(&self) -> impl Iterator<Item = (ShardRange, &Positions)> {
        self.slices
            .iter()
            .map(|slice| (slice.shards, &slice.stored))
    }

    /// What became of all records whose home is here, since the beginning.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.slices.ledger()
    }

    /// Takes over what state has counted: the ledger of each range of shards.
    pub fn resume_ledgers(&mut self, stored: &[(ShardRange, Ledger)]) {
        for slice in self.slices.iter_mut() {
            let held = stored.iter().find(|(shards, _)| *shards == slice.shards);
            slice.ledger = held.map(|(_, ledger)| ledger.clone()).unwrap_or_default();
        }
    }

    /// The slice to commit next: the one that has waited longest.
    #[must_use]
    pub fn next_slice(&self) -> usize {
        self.slices.next()
    }

    /// Tells whether all of a slice is stored.
    #[must_use]
    pub fn is_stored(&self, slice: usize) -> bool {
        let slice = self.slices.iter().nth(slice);
        slice.is_none_or(|slice| {
            slice.uncommitted.is_empty() && slice.stored.covers(&self.positions)
        })
    }

    /// Tells whether anything has changed that is not stored.
    #[must_use]
    pub fn uncommitted(&self) -> bool {
        self.slices.uncommitted() > 0
    }

    /// What events take that are in no commit yet, in bytes of memory.
    #[must_use]
    pub fn unstored(&self) -> usize {
        self.slices.unstored()
    }

    /// Per source the least shard clock of all slices' last commits, once there was one of each.
    #[must_use]
    pub fn committed_clocks(&self) -> Option<Clocks> {
        self.slices.clocks()
    }

    /// Has a slot written in the next commit of its slice.
    pub(crate) fn owe_commit(&mut self, view: usize, slot: Slot) {
        if let Some(held) = self.tables[view].get(slot) {
            self.slices.of(held.hash).uncommitted.push((view, slot));
        }
    }

    /// What one atomic write of a slice must hold now. [`Lane::committed`] must follow before anything else.
    pub fn commit(&mut self, place: usize) -> Commit {
        let slice = self.slices.get_mut(place);
        let mut uncommitted = std::mem::take(&mut slice.uncommitted);
        let positions = slice.reached(&self.positions);
        let (shards, ledger) = (slice.shards, slice.ledger.clone());
        let retire = slice.needless(&positions);
        let mut writes = Vec::with_capacity(uncommitted.len());
        let mut outbox = Vec::with_capacity(uncommitted.len());
        let mut segments = Vec::new();
        let mut rows = Vec::with_capacity(uncommitted.len());
        // In the order in which they lie in memory.
        uncommitted.sort_unstable();
        for (view, slot) in uncommitted {
            let lane_view = &self.views[view];
            let spec = &lane_view.view.spec;
            let upto = self.upto(view);
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
            rows.push((view, slot, Written::how(block.as_ref())));
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
        for (view, entity) in self.feeds.carry() {
            outbox.push(RowKey {
                view: self.views[view].view.id,
                generation: self.views[view].generation,
                entity,
            });
        }
        self.committing = Some(Committing {
            slice: place,
            rows,
            positions: positions.clone(),
        });
        Commit {
            lane: self.shards,
            shards,
            outbox,
            writes,
            segments,
            positions,
            ledger,
            retire,
            outbox_done: self.feeds.paid(self.outlet.paid()),
        }
    }

    /// Notes that the last [`Lane::commit`] is stored under number `seq`.
    pub fn committed(&mut self, seq: u64) {
        let Some(committing) = self.committing.take() else {
            return;
        };
        for (view, slot, written) in committing.rows {
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
        let slice = self.slices.get_mut(committing.slice);
        slice.unstored = 0;
        let passed = slice.needless(&committing.positions);
        slice.pieces.retain(|(shards, _)| !passed.contains(shards));
        slice.stored = committing.positions;
        self.outlet.committed(seq);
        self.feeds.committed(seq);
        self.had_turn(committing.slice);
    }

    /// Notes that a slice is stored as it is now.
    pub fn had_turn(&mut self, slice: usize) {
        let clocks = self.clocks();
        self.slices.get_mut(slice).clocks = Some(clocks);
        self.slices.turn(slice);
    }

    /// Lets go of stored rows until at most `bytes` of memory are held, or none can go.
    pub fn evict(&mut self, bytes: usize) {
        while self.memory() > bytes && self.rows() > self.slices.uncommitted() {
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

/// The held row of a slot.
pub(crate) fn held(tables: &mut [Table], view: usize, slot: Slot) -> Option<&mut Held> {
    tables.get_mut(view)?.get_mut(slot)
}

//! Made-up events as an intake hands them on, and a lane over state that takes them: the live
//! loop's middle without its sources and servers, for measurements of state and memory.

use anyhow::{Context, Result, ensure};
use arrow::array::Float64Array;
use std::sync::Arc;
use tiderace_aggregate::RowSpec;
use tiderace_engine::{
    Blocks, Found, Homes, Input, Lane, LaneView, Origin, Packet, PacketIds, Publication, Sample,
    Speakers, Stored, ViewBatch, Wants, Words,
};
use tiderace_plan::{SourceFile, load, render_text};
use tiderace_state::Store;
use tiderace_types::{
    CoveredFrom, DataType, Generation, Partition, PartitionPosition, RecordBatch, RecordMeta,
    RowKey, Shard, ShardRange, SourceId, Timestamp, Value, encode_key_value, hash_key,
};

/// An accepted event: who, when, which, where, how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    pub entity: u64,
    pub time: i64,
    pub id: i64,
    pub terminal: i64,
    pub amount: f64,
}

/// The encoded key of an entity.
pub fn entity_key(entity: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    let number = Value::Int(entity.cast_signed());
    encode_key_value(&number, &mut key).expect("an integer is a key");
    key
}

/// What payments are, and whose; views are defined upon them.
const PAYMENTS: &str = "\
project: measured
---
kind: source
name: payments
stream: embedded
columns: { id: int64, at: timestamp, who: int64, terminal: int64, amount: float64 }
event_time: at
event_id: id
allowed_lateness: 1h
complete_since: beginning
---
kind: entity
name: customer
keys: { who: int64 }
---
kind: feature_view
name: spend
entity: customer
source: payments
";

/// The view that is measured.
///
/// # Errors
/// When its definition is wrong.
pub fn view() -> Result<LaneView> {
    view_of(
        "\
features:
  - { name: n, aggregate: count, windows: [1d, 30d] }
  - { name: total, aggregate: sum, of: amount, windows: [1d, 30d] }
  - { name: terminals, aggregate: count_distinct, of: terminal, windows: [30d] }
",
    )
}

/// A view of payments by customer, with the rest of its definition.
///
/// # Errors
/// When that is wrong.
pub fn view_of(rest: &str) -> Result<LaneView> {
    let file = SourceFile {
        path: "measured.yaml".to_owned(),
        text: format!("{PAYMENTS}{rest}"),
    };
    let (loaded, found) = load(&[file], &|_| None);
    let plan = loaded.with_context(|| render_text(&found, false))?.plan;
    let view = plan.views.first().context("one view is defined")?;
    Ok(LaneView::new(Arc::clone(view), Generation(1)))
}

/// Reads what a lane wants.
///
/// # Errors
/// When state cannot be read.
pub fn fetch(state: &Store, wants: &Wants) -> Result<Found> {
    let numbered = |blocks: Vec<Vec<tiderace_state::Block>>| {
        let of_row = |blocks: Vec<tiderace_state::Block>| {
            let numbered = blocks.into_iter().map(|block| (block.seq, block.bytes));
            numbered.collect()
        };
        blocks.into_iter().map(of_row).collect()
    };
    let directories = wants.directories.iter().map(|row| state.directory(row));
    Ok(Found {
        rows: numbered(state.load(&wants.rows)?),
        directories: directories.collect::<Result<_, _>>()?,
        segments: numbered(state.load_segments(&wants.segments)?),
    })
}

/// Anchors the dense rows that are due.
///
/// # Errors
/// When state cannot be read.
pub fn anchor_due(lane: &mut Lane, state: &Store, now: Timestamp) -> Result<()> {
    while lane.take_due(now) {
        anchor_taken(lane, state, now)?;
    }
    Ok(())
}

/// Anchors the rows that the lane has taken up.
fn anchor_taken(lane: &mut Lane, state: &Store, now: Timestamp) -> Result<()> {
    while let Some(wants) = lane.wants_anchors() {
        lane.fill(fetch(state, &wants)?)?;
    }
    lane.anchor(now);
    Ok(())
}

/// The publication of a row that is not held; a dense one is anchored first.
///
/// # Errors
/// When state cannot be read.
pub fn publish_stored(
    lane: &mut Lane,
    state: &Store,
    key: &RowKey,
    blocks: &Blocks,
    now: Timestamp,
) -> Result<Option<Publication>> {
    loop {
        match lane.publish_stored(key, blocks, now)? {
            Stored::Nothing => return Ok(None),
            Stored::Row(publication) => return Ok(Some(publication)),
            Stored::Dense => {
                lane.take_key(key, now);
                anchor_taken(lane, state, now)?;
            }
        }
    }
}

/// One partition of the view's source, from which events come in order.
#[derive(Debug)]
pub struct Feed {
    source: SourceId,
    spec: Arc<RowSpec>,
    next: i64,
    clock: i64,
}

impl Feed {
    pub fn new(view: &LaneView) -> Feed {
        Feed {
            source: view.view.source.id,
            spec: Arc::clone(&view.view.spec),
            next: 0,
            clock: i64::MIN,
        }
    }

    /// How many events it has given.
    pub fn taken(&self) -> u64 {
        self.next.cast_unsigned()
    }

    /// The next packet.
    pub fn packet(&mut self, events: &[Event]) -> Packet {
        let (source, number) = (self.source, 0);
        let partition = Partition { source, number };
        let mut records = RecordBatch::default();
        let (mut keys, mut key_ends, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        let first = self.next;
        for event in events {
            let meta = RecordMeta {
                partition,
                offset: self.next,
                broker_time: Timestamp(event.time),
            };
            records.push(meta, &[]);
            let key = entity_key(event.entity);
            hashes.push(hash_key(&key));
            keys.extend(key);
            key_ends.push(keys.len() as u32);
            self.next += 1;
            self.clock = self.clock.max(event.time);
        }
        let all: Vec<u32> = (0..events.len() as u32).collect();
        let inputs = self.spec.inputs.iter().map(|input| match input {
            DataType::Float64 => {
                let amounts = events.iter().map(|event| event.amount);
                Input::Float(Float64Array::from_iter_values(amounts))
            }
            _ => Input::Int(events.iter().map(|event| event.terminal).collect(), None),
        });
        let homes = Homes {
            shards: hashes.iter().map(|hash| Shard::of_hash(*hash)).collect(),
            told: Vec::new(),
        };
        let batch = ViewBatch {
            view: 0,
            events: all.clone(),
            members: all.clone(),
            keys,
            key_ends,
            hashes,
            bits: vec![0; events.len()],
            inputs: inputs.collect(),
            speakers: Speakers::All,
            words: Words::default(),
        };
        let position = PartitionPosition {
            next: self.next,
            clock: Timestamp(self.clock),
        };
        Packet {
            source,
            records,
            record_of: all,
            times: events.iter().map(|event| event.time).collect(),
            ids: PacketIds::Int(events.iter().map(|event| event.id).collect()),
            views: vec![batch],
            homes,
            origin: Origin::Stream,
            contiguous: true,
            reached: vec![(partition, first, position)],
        }
    }
}

/// A lane and its state.
#[derive(Debug)]
pub struct Driven {
    lane: Lane,
    state: Store,
    source: SourceId,
    row_memory: usize,
    /// Rows that were not held when an event of theirs came.
    pub misses: u64,
    /// Rows encoded for the online store.
    pub published: u64,
}

impl Driven {
    /// A lane over what `state` holds of `shards`; its rows may take `row_memory` bytes.
    ///
    /// # Errors
    /// When state cannot be read.
    pub fn new(
        view: &LaneView,
        state: Store,
        shards: ShardRange,
        row_memory: usize,
    ) -> Result<Driven> {
        let recovered = state.positions()?;
        Ok(Driven {
            lane: Lane::new(shards, vec![view.clone()], &recovered, state.epoch()),
            source: view.view.source.id,
            state,
            row_memory,
            misses: 0,
            published: 0,
        })
    }

    /// Applies a packet, and makes room as the live loop does.
    ///
    /// # Errors
    /// When state cannot be read or written.
    pub fn apply(&mut self, packet: &Packet) -> Result<()> {
        let packets = &[packet];
        self.lane.prepare(packets)?;
        while let Some(wants) = self.lane.wants(packets) {
            self.misses += wants.rows.len() as u64;
            self.lane.fill(fetch(&self.state, &wants)?)?;
        }
        let applied = self.lane.apply(packets, Timestamp(0));
        ensure!(applied.dead.is_empty(), "{:?}", applied.dead.first());
        if self.lane.memory() > self.row_memory {
            self.lane.evict(self.row_memory);
        }
        if self.lane.memory() > self.row_memory {
            self.commit()?;
        }
        Ok(())
    }

    /// What the lane counts for its rows and lists, in bytes.
    pub fn memory(&self) -> usize {
        self.lane.memory()
    }

    fn load(&self, keys: &[RowKey]) -> Result<Vec<Blocks>> {
        let rows = self.state.load(keys)?;
        let numbered = |blocks: Vec<tiderace_state::Block>| {
            let numbered = blocks.into_iter().map(|block| (block.seq, block.bytes));
            numbered.collect()
        };
        Ok(rows.into_iter().map(numbered).collect())
    }

    /// Commits, and then evicts what is too much.
    ///
    /// # Errors
    /// When state cannot be written.
    pub fn commit(&mut self) -> Result<()> {
        for slice in 0..self.lane.slices().count() {
            let commit = self.lane.commit(slice);
            let seq = self.state.commit(commit)?;
            self.lane.committed(seq);
        }
        self.lane.evict(self.row_memory);
        Ok(())
    }

    /// Every row that is held, as it is published at `now`; dense ones are anchored when they are due.
    ///
    /// # Errors
    /// When state cannot be read.
    pub fn published_rows(&mut self, now: Timestamp) -> Result<Vec<Publication>> {
        anchor_due(&mut self.lane, &self.state, now)?;
        self.lane.owe_held(now, |_| true);
        let mut rows = Vec::new();
        while self.lane.owing_since().is_some() {
            let chunk = self.lane.chunk(now, 4096);
            ensure!(chunk.stored.is_empty(), "rows are held");
            rows.extend(chunk.rows);
            if chunk.last {
                self.lane.drained();
            }
        }
        Ok(rows)
    }

    /// Encodes every row that is owed, and takes it as stored.
    ///
    /// # Errors
    /// When state cannot be read.
    pub fn publish(&mut self) -> Result<()> {
        let now = Timestamp(0);
        while self.lane.owing_since().is_some() {
            let chunk = self.lane.chunk(now, 4096);
            self.published += chunk.rows.len() as u64;
            for (key, blocks) in chunk.stored.iter().zip(self.load(&chunk.stored)?) {
                let row = publish_stored(&mut self.lane, &self.state, key, &blocks, now)?;
                self.published += u64::from(row.is_some());
            }
            if chunk.last {
                self.lane.drained();
            }
        }
        let marker = self.lane.marker(now, 1, |_| CoveredFrom::Beginning);
        std::hint::black_box(marker);
        self.lane.marked();
        let sample = Sample {
            at: now,
            ends: Vec::new(),
        };
        self.lane.sample(self.source, sample);
        Ok(())
    }
}

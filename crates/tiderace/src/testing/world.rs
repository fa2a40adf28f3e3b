//! The engine and its stores in memory, at instants that the test says.

use super::Arrival;
use super::arrivals::reading;
use crate::live::RecordReading as Reading;
use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::future::ready;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tiderace_engine::{
    Blocks, Found, Intake, Lane, LaneView, Packet, Publication, Sample, Stored, Wants,
};
use tiderace_online::{Clock, Part, RowWrite};
use tiderace_plan::Plan;
use tiderace_plan::model::{Ask, Asked, Given, Test};
use tiderace_serve::{Cells, Column, Limits, Lookup, Markers, Owner, Request, Selection, Snapshot};
use tiderace_serve::{Error, proto};
use tiderace_types::{
    CoveredFrom, DeadLetter, Generation, Partition, Positions, RecordBatch, RecordMeta, RowKey,
    ShardRange, SourceId, Timestamp,
};

/// How many records are taken together at most.
const BATCH: usize = 4_096;

/// How many rows are published together.
const ROWS: usize = 4_096;

/// A process that runs, as far as a test sees one.
pub struct World {
    plan: Arc<Plan>,
    selection: Selection,
    covered_from: CoveredFrom,
    readings: BTreeMap<SourceId, (Reading, Intake)>,
    owned: Arc<Mutex<Owned>>,
    online: tiderace_online::Store,
    clock: Clock,
    /// How many records each partition has.
    ends: BTreeMap<Partition, i64>,
    /// How many records have come.
    come: usize,
    /// The number of each record by its place, from 0 in the order of arrival.
    numbers: BTreeMap<(Partition, i64), usize>,
    letters: Vec<Letter>,
    evidence: BTreeMap<(usize, Vec<u8>), Vec<Evidence>>,
}

/// What only the owner of rows has.
struct Owned {
    lane: Lane,
    state: tiderace_state::Store,
}

/// A record that was refused.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Which record, in the order of arrival.
    pub number: usize,
    /// Why.
    pub letter: DeadLetter,
}

/// An event that a view took, for a person to look at.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// When it happened.
    pub time: Timestamp,
    /// The filters that it passes.
    pub bits: u64,
    /// Which record it was of, in the order of arrival.
    pub number: usize,
}

impl World {
    /// An empty world for a test.
    ///
    /// # Errors
    /// When what reads a source cannot be made.
    pub fn new(folder: &Path, plan: &Arc<Plan>, test: &Test) -> Result<World> {
        let mut readings = BTreeMap::new();
        for source in &plan.sources {
            if source.table().is_some() {
                continue;
            }
            let own = plan.views.iter().enumerate();
            let own = own.filter(|(_, view)| view.source.id == source.id);
            let views = own.map(|(place, view)| (place, Arc::clone(view)));
            let intake = Intake::new(Arc::clone(source), views.collect(), &Positions::default());
            readings.insert(source.id, (reading(folder, plan, source)?, intake));
        }
        let views = plan.views.iter();
        let views = views.map(|view| LaneView::new(Arc::clone(view), Generation(1)));
        let lane = Lane::new(ShardRange::ALL, views.collect(), &[], 1);
        let partition = |source: &SourceId| Partition {
            source: *source,
            number: 0,
        };
        let sources = plan.sources.iter().map(|source| source.id);
        let clock = Clock::manual(Timestamp(0));
        let store = tiderace_online::MemoryStore::new(clock.clone());
        Ok(World {
            selection: match &test.asked {
                Asked::View(name) => Selection::Features(vec![format!("{name}:*")]),
                Asked::Service(name) => Selection::Service(name.clone()),
            },
            covered_from: test.covered_from,
            plan: Arc::clone(plan),
            readings,
            owned: Arc::new(Mutex::new(Owned {
                lane,
                state: tiderace_state::MemoryStore::new(),
            })),
            online: tiderace_online::Store::Memory(store),
            clock,
            ends: sources.map(|source| (partition(&source), 0)).collect(),
            come: 0,
            numbers: BTreeMap::new(),
            letters: Vec::new(),
            evidence: BTreeMap::new(),
        })
    }

    /// Takes records that arrive, in their order.
    ///
    /// # Errors
    /// When the engine cannot go on.
    pub fn take(&mut self, mut arrivals: &[Arrival]) -> Result<()> {
        while let Some(first) = arrivals.first() {
            let together = |next: &&Arrival| {
                next.source.id == first.source.id && next.partition == first.partition
            };
            let count = arrivals.iter().take(BATCH).take_while(together).count();
            let (batch, rest) = arrivals.split_at(count);
            self.take_batch(batch)?;
            arrivals = rest;
        }
        Ok(())
    }

    fn take_batch(&mut self, arrivals: &[Arrival]) -> Result<()> {
        let (first, last) = (&arrivals[0], &arrivals[arrivals.len() - 1]);
        let source = first.source.id;
        let partition = Partition {
            source,
            number: first.partition,
        };
        // As a process that runs does all the time.
        self.sample(first.at);
        let mut records = RecordBatch::default();
        for arrival in arrivals {
            let end = self.ends.entry(partition).or_insert(0);
            let meta = RecordMeta {
                partition,
                offset: *end,
                broker_time: arrival.at,
            };
            self.numbers.insert((partition, *end), self.come);
            self.come += 1;
            *end += 1;
            records.push(meta, &arrival.payload);
        }
        let held = self.readings.get_mut(&source);
        let (reading, intake) = held.context("only streams have events")?;
        let decoded = reading.read(&mut records, &AtomicBool::new(false));
        let taken = intake.take(records, decoded.context("no registry is asked")?);
        self.note(&taken.packet);
        let dead = self.owned().apply(&taken.packet, last.at)?;
        for letter in taken.dead.into_iter().chain(dead) {
            let place = (letter.meta.partition, letter.meta.offset);
            let number = self.numbers[&place];
            self.letters.push(Letter { number, letter });
        }
        Ok(())
    }

    /// Remembers which events views were given.
    fn note(&mut self, packet: &Packet) {
        for view in &packet.views {
            for (member, event) in view.events.iter().enumerate() {
                let event = *event as usize;
                let meta = packet.records.metas[packet.record_of[event] as usize];
                let evidence = Evidence {
                    time: Timestamp(packet.times[event]),
                    bits: view.bits[member],
                    number: self.numbers[&(meta.partition, meta.offset)],
                };
                let row = (view.view, view.key(member).to_vec());
                self.evidence.entry(row).or_default().push(evidence);
            }
        }
    }

    /// Tells the lane how far the sources go.
    fn sample(&mut self, at: Timestamp) {
        for source in &self.plan.sources {
            let ends = self.ends.iter();
            let ends = ends.filter(|(partition, _)| partition.source == source.id);
            let ends = ends.map(|(partition, end)| (*partition, *end)).collect();
            self.owned().lane.sample(source.id, Sample { at, ends });
        }
    }

    /// Answers a question at its instant.
    ///
    /// # Errors
    /// When the engine cannot go on; what the lookup refuses is an answer.
    pub async fn ask(&mut self, ask: &Ask) -> Result<Result<proto::Row, Error>> {
        self.clock.set(ask.at);
        self.sample(ask.at);
        let rows = self.owned().publish(ask.at)?;
        let rows: Vec<RowWrite> = rows
            .into_iter()
            .map(|row| RowWrite {
                key: row.key,
                value: Bytes::from(row.value),
                ttl: row.ttl,
            })
            .collect();
        self.online.put_rows(&rows).await?;
        let covered_from = self.covered_from;
        let marker = {
            let mut owned = self.owned();
            let marker = owned.lane.marker(ask.at, 1, |_| covered_from);
            owned.lane.marked();
            marker
        };
        let snapshot = Snapshot::new(vec![(Part::WHOLE, vec![marker])], ask.at);
        let now = ask.at;
        let lookup = Lookup::new(
            Arc::clone(&self.plan),
            self.online.clone(),
            Markers::fixed(snapshot),
            Arc::new(move || now),
            Limits::default(),
        )?;
        let lookup = lookup.with_owner(Some(self.owner()));
        let columns = |given: &[Given]| {
            let columns = given.iter().map(|given| Column {
                name: given.name.clone(),
                cells: Cells::Json(vec![given.json.clone()]),
            });
            columns.collect()
        };
        let answered = lookup.get(Request {
            selection: self.selection.clone(),
            entities: columns(&ask.entity),
            request_data: columns(&ask.request),
            as_of: ask.as_of,
            full_names: false,
            include_metadata: true,
            include_valid_until: false,
        });
        Ok(match answered.await {
            Ok(mut answer) => Ok(answer.rows.pop().context("one row is asked for")?),
            Err(error) => Err(error),
        })
    }

    /// What answers where a published row cannot.
    fn owner(&self) -> Owner {
        let owned = Arc::clone(&self.owned);
        Owner(Arc::new(move |key, as_of, _| {
            let mut owned = owned.lock().unwrap_or_else(PoisonError::into_inner);
            let row = owned.read(&key, as_of).ok().flatten();
            Box::pin(ready(row.map(Bytes::from)))
        }))
    }

    /// The refused records, in the order in which they were.
    pub fn letters(&self) -> &[Letter] {
        &self.letters
    }

    /// The events of an entity that a view took.
    pub fn evidence(&self, view: usize, entity: &[u8]) -> &[Evidence] {
        let row = (view, entity.to_vec());
        self.evidence.get(&row).map_or(&[], Vec::as_slice)
    }

    fn owned(&self) -> MutexGuard<'_, Owned> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owned {
    /// Applies a packet; gives what is refused by then.
    fn apply(&mut self, packet: &Packet, now: Timestamp) -> Result<Vec<DeadLetter>> {
        let packets = &[packet];
        self.lane.prepare(packets)?;
        while let Some(wants) = self.lane.wants(packets) {
            self.fetch(&wants)?;
        }
        Ok(self.lane.apply(packets, now).dead)
    }

    /// Everything that has changed, as rows for the online store.
    fn publish(&mut self, now: Timestamp) -> Result<Vec<Publication>> {
        if self.lane.take_due(now) {
            self.anchor(now)?;
        }
        let mut rows = Vec::new();
        while self.lane.owing_since().is_some() {
            let chunk = self.lane.chunk(now, ROWS);
            rows.extend(chunk.rows);
            for (key, blocks) in chunk.stored.iter().zip(self.load(&chunk.stored)?) {
                rows.extend(self.publish_stored(key, &blocks, now)?);
            }
            if chunk.last {
                self.lane.drained();
            }
        }
        Ok(rows)
    }

    fn publish_stored(
        &mut self,
        key: &RowKey,
        blocks: &Blocks,
        now: Timestamp,
    ) -> Result<Option<Publication>> {
        for _ in 0..2 {
            match self.lane.publish_stored(key, blocks, now)? {
                Stored::Nothing => return Ok(None),
                Stored::Row(publication) => return Ok(Some(publication)),
                Stored::Dense => {
                    self.lane.take_key(key, now);
                    self.anchor(now)?;
                }
            }
        }
        Err(anyhow!("a row stays unready when it is anchored"))
    }

    /// A row as of an instant, from what its owner has.
    fn read(&mut self, key: &RowKey, as_of: Timestamp) -> Result<Option<Vec<u8>>> {
        self.lane.take_reading(key, as_of);
        while let Some(wants) = self.lane.wants_anchors() {
            self.fetch(&wants)?;
        }
        Ok(self.lane.read_taken())
    }

    fn anchor(&mut self, now: Timestamp) -> Result<()> {
        while let Some(wants) = self.lane.wants_anchors() {
            self.fetch(&wants)?;
        }
        self.lane.anchor(now);
        Ok(())
    }

    /// Gives the lane what it wants.
    fn fetch(&mut self, wants: &Wants) -> Result<()> {
        let state = &self.state;
        let directories = wants.directories.iter().map(|row| state.directory(row));
        let segments = state.load_segments(&wants.segments)?;
        let found = Found {
            rows: self.load(&wants.rows)?,
            directories: directories.collect::<Result<_, _>>()?,
            segments: segments.into_iter().map(numbered).collect(),
        };
        Ok(self.lane.fill(found)?)
    }

    fn load(&self, keys: &[RowKey]) -> Result<Vec<Blocks>> {
        let rows = self.state.load(keys)?;
        Ok(rows.into_iter().map(numbered).collect())
    }
}

/// A row's blocks in the words of the engine.
fn numbered(blocks: Vec<tiderace_state::Block>) -> Blocks {
    let numbered = blocks.into_iter().map(|block| (block.seq, block.bytes));
    numbered.collect()
}

//! What a lane owes the topics of feature values, under random crashes, delays and evictions: in the
//! end the last record of every entity holds all of its events, and what falls by itself has been told.
//!
//! Chance decides everything by the seed, as in the other simulations.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use support::random::Random;
use tiderace_aggregate::Row;
use tiderace_decode::Decoder;
use tiderace_engine::{
    Blocks, Fed, FeedBounds, FeedRow, FeedStored, Found, Intake, Lane, LaneView, Look, Packet,
    Sample, Stored, Wants, recut,
};
use tiderace_plan::model::Plan;
use tiderace_plan::{SourceFile, load, render_text};
use tiderace_state::{MemoryStore, Store};
use tiderace_types::{
    CoveredFrom, Duration, Generation, Partition, RecordBatch, RecordMeta, RowKey, ShardRange,
    Timestamp, Value, Version, ViewId, encode_key,
};

const YAML: &str = r#"
project: simulated
kafka: { brokers: "127.0.0.1:1" }
---
kind: source
name: payments
stream: { kafka: { topic: payments }, format: json }
columns: { id: int64, at: { type: timestamp, unit: us }, who: int64 }
event_time: at
event_id: id
allowed_lateness: 1d
max_ahead: 10s
max_lag: 5s
---
kind: entity
name: customer
keys: { who: int64 }
---
kind: feature_view
name: each
entity: customer
source: payments
history: all
output: { kafka: { topic: each } }
features: [ { name: n, aggregate: count, windows: [20s, 100s] } ]
---
kind: feature_view
name: falling
entity: customer
source: payments
history: all
output: { kafka: { topic: falling }, emit: decay }
features: [ { name: n, aggregate: count, windows: [20s, 100s] } ]
---
kind: feature_view
name: slow
entity: customer
source: payments
history: all
output: { kafka: { topic: slow }, min_interval: 30s, emit: decay }
features: [ { name: n, aggregate: count, windows: [20s, { size: 40s, delay: 30s }] } ]
---
kind: feature_view
name: untold
entity: customer
source: payments
features: [ { name: n, aggregate: count, windows: [100s] } ]
"#;

const SECOND: i64 = 1_000_000;
const START: i64 = 1_522_540_800 * SECOND;

/// A rule that the shell breaks, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// What is in the outbox is not owed after a start.
    ForgetsOutbox,
    /// A batch counts before it has arrived.
    CountsFirst,
    /// A start does not look for what has fallen meanwhile.
    LooksAway,
}

fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| {
        let file = SourceFile {
            path: "simulated.yaml".to_owned(),
            text: YAML.to_owned(),
        };
        let (loaded, found) = load(&[file], &|_| None);
        let loaded = loaded.unwrap_or_else(|| panic!("{}", render_text(&found, false)));
        loaded.plan
    })
}

fn views() -> Vec<LaneView> {
    let views = plan().views.iter();
    views
        .map(|view| LaneView::new(Arc::clone(view), Generation(1)))
        .collect()
}

/// A record of a topic.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    key: RowKey,
    version: Version,
    value: Option<Vec<u8>>,
    as_of: Timestamp,
}

struct Event {
    broker_time: i64,
    id: i64,
    at: i64,
    who: i64,
}

struct Simulation {
    random: Random,
    fault: Fault,
    wall: Timestamp,
    log: Vec<Event>,
    state: Store,
    lane: Lane,
    intake: Intake,
    decoder: Decoder,
    next: usize,
    flight: Option<(Vec<FeedRow>, Timestamp)>,
    look: Option<Option<RowKey>>,
    settled: Timestamp,
    /// Whether every row was told once.
    known: bool,
    topic: Vec<Told>,
    deaths: usize,
    bounds: FeedBounds,
}

impl Simulation {
    fn new(seed: u64, fault: Fault) -> Simulation {
        let mut random = Random(seed);
        let mut now = START;
        let log = (0..random.within(20, 150)).map(|id| {
            now += match random.below(8) {
                0 => random.within(0, 120 * SECOND),
                _ => random.within(0, 3 * SECOND),
            };
            let at = now + random.within(-30 * SECOND, 4 * SECOND);
            let who = random.within(1, 8);
            Event {
                broker_time: now,
                id,
                at,
                who,
            }
        });
        let log = log.collect();
        let state = MemoryStore::new();
        let (lane, intake, decoder, next) = Simulation::parts(&state);
        let bounds = FeedBounds {
            owed: 3 + random.index(80),
            listed: 2 + random.index(8),
        };
        let mut simulation = Simulation {
            random,
            fault,
            wall: Timestamp(START),
            log,
            state,
            lane,
            intake,
            decoder,
            next,
            flight: None,
            look: None,
            settled: Timestamp::MIN,
            known: false,
            topic: Vec::new(),
            deaths: 0,
            bounds,
        };
        simulation.resume();
        simulation
    }

    fn parts(state: &Store) -> (Lane, Intake, Decoder, usize) {
        let recovered = state.positions().expect("memory reads");
        let recovered = recut(&recovered, &[ShardRange::ALL]);
        let lane = Lane::new(ShardRange::ALL, views(), &recovered, state.epoch());
        let source = &plan().sources[0];
        let own = plan().views.iter().enumerate();
        let own = own.map(|(place, view)| (place, Arc::clone(view))).collect();
        let intake = Intake::new(Arc::clone(source), own, lane.positions());
        let place = |column: usize| source.used.binary_search(&column).ok();
        let columns = source
            .used
            .iter()
            .map(|column| source.columns[*column].clone());
        let decoder = Decoder::json(
            columns.collect(),
            place(source.event_time).expect("event time is used"),
            source.event_id.and_then(place),
            source.max_record_bytes,
        );
        let next = lane.positions().get(Simulation::partition()).next;
        (
            lane,
            intake,
            decoder,
            usize::try_from(next).expect("not negative"),
        )
    }

    fn partition() -> Partition {
        Partition {
            source: plan().sources[0].id,
            number: 0,
        }
    }

    /// What the shell does at a start.
    fn resume(&mut self) {
        self.lane.bound_feeds(self.bounds);
        let owed = self.state.outbox(ShardRange::ALL).expect("memory reads");
        let owed: Vec<RowKey> = owed.into_iter().flat_map(|(_, keys)| keys).collect();
        if self.fault != Fault::ForgetsOutbox {
            self.lane.owe_feeds(&owed, self.wall);
        }
        self.lane.owe(owed);
        for view in plan().views.iter().filter(|view| view.feed.is_some()) {
            let decays = view.feed.as_ref().is_some_and(|feed| feed.decays);
            match self.known {
                true if self.fault == Fault::LooksAway || !decays => {}
                true => self.lane.want_look(view.id, Look::Since(self.settled)),
                false => self.lane.want_look(view.id, Look::All),
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..2 => self.die(),
            2..14 => {
                let by = match self.random.below(5) {
                    0 => self.random.within(0, 60 * SECOND),
                    _ => self.random.within(0, SECOND),
                };
                self.wall = self.wall.plus(Duration(by));
                self.sample();
            }
            14..34 => self.read(),
            34..44 => self.commit(),
            44..48 => self.lane.evict([0, 2000][self.random.index(2)]),
            48..56 => self.publish(),
            56..76 => self.feed(),
            76..94 => self.deliver(),
            _ => self.note(),
        }
    }

    /// Some of what was on its way arrives; everything in memory is gone.
    fn die(&mut self) {
        self.deaths += 1;
        if let Some((rows, as_of)) = self.flight.take() {
            let some = self.random.index(rows.len() + 1);
            self.arrive(&rows[..some], as_of);
        }
        let Store::Memory(memory) = &self.state else {
            unreachable!("the simulation keeps state in memory");
        };
        self.state = memory.reopen();
        (self.lane, self.intake, self.decoder, self.next) = Simulation::parts(&self.state);
        self.look = None;
        self.resume();
    }

    fn end(&self) -> usize {
        self.log
            .partition_point(|event| event.broker_time <= self.wall.0)
    }

    fn sample(&mut self) {
        let partition = Simulation::partition();
        let sample = Sample {
            at: self.wall,
            ends: vec![(partition, self.end() as i64)],
        };
        self.lane.sample(partition.source, sample);
    }

    fn read(&mut self) {
        let upto = self.end().min(self.next + 1 + self.random.index(12));
        let mut batch = RecordBatch::default();
        for event in self.log.iter().take(upto).skip(self.next) {
            let meta = RecordMeta {
                partition: Simulation::partition(),
                offset: event.id,
                broker_time: Timestamp(event.broker_time),
            };
            let Event { id, at, who, .. } = event;
            let payload = format!(r#"{{"id": {id}, "at": {at}, "who": {who}}}"#);
            batch.push(meta, payload.as_bytes());
        }
        if batch.is_empty() || self.lane.feed_is_full() {
            return;
        }
        self.next = upto;
        let decoded = self.decoder.decode(&batch);
        let packet = self.intake.take(batch, decoded).packet;
        let packets: &[&Packet] = &[&packet];
        self.lane.prepare(packets).expect("nothing is left out");
        while let Some(wants) = self.lane.wants(packets) {
            self.fetch(&wants);
        }
        self.lane.apply(packets, self.wall);
    }

    fn fetch(&mut self, wants: &Wants) {
        assert!(
            wants.segments.is_empty() && wants.directories.is_empty(),
            "rows are small"
        );
        let rows = self.blocks(&wants.rows);
        let found = Found {
            rows,
            ..Found::default()
        };
        self.lane.fill(found).expect("blocks read");
    }

    fn blocks(&self, keys: &[RowKey]) -> Vec<Blocks> {
        let rows = self.state.load(keys).expect("memory reads").into_iter();
        let numbered = |row: Vec<tiderace_state::Block>| {
            row.into_iter()
                .map(|block| (block.seq, block.bytes))
                .collect()
        };
        rows.map(numbered).collect()
    }

    fn commit(&mut self) {
        for slice in 0..self.lane.slices().count() {
            if !self.lane.is_stored(slice) && self.random.percent(80) {
                let commit = self.lane.commit(slice);
                let seq = self.state.commit(commit).expect("memory writes");
                self.lane.committed(seq);
            }
        }
    }

    /// An online store that takes everything at once.
    fn publish(&mut self) {
        while self.lane.owing_since().is_some() {
            let chunk = self.lane.chunk(self.wall, 100);
            let blocks = self.blocks(&chunk.stored);
            for (key, blocks) in chunk.stored.iter().zip(blocks) {
                let stored = self.lane.publish_stored(key, &blocks, self.wall);
                assert_ne!(stored.expect("blocks read"), Stored::Dense);
            }
            if chunk.last {
                self.lane.drained();
            }
        }
        self.lane.marker(self.wall, 1, |_| CoveredFrom::Beginning);
        self.lane.marked();
    }

    /// Takes the next batch, or looks at some rows.
    fn feed(&mut self) {
        if self.flight.is_some() {
            return;
        }
        if self
            .lane
            .feed_due_at(self.wall)
            .is_some_and(|due| due <= self.wall)
        {
            let limit = 1 + self.random.index(5);
            let batch = self.lane.take_feed(self.wall, limit);
            let mut rows = batch.rows;
            let blocks = self.blocks(&batch.stored);
            for (key, blocks) in batch.stored.iter().zip(blocks) {
                rows.extend(self.stored(key, &blocks));
            }
            if self.fault == Fault::CountsFirst {
                self.acknowledge(&rows, self.wall);
            }
            self.flight = Some((rows, self.wall));
            return;
        }
        let mut after = match self.look.take() {
            Some(after) => after,
            None if self.lane.begin_look(self.wall) => {
                for slice in 0..self.lane.slices().count() {
                    let commit = self.lane.commit(slice);
                    let seq = self.state.commit(commit).expect("memory writes");
                    self.lane.committed(seq);
                }
                None
            }
            None => return,
        };
        let limit = 1 + self.random.index(6);
        let found = self.state.scan(ShardRange::ALL, after.as_ref(), limit);
        let found = found.expect("memory reads");
        let last = found.len() < limit;
        for (key, blocks) in found {
            let numbered = blocks.into_iter().map(|block| (block.seq, block.bytes));
            let numbered: Blocks = numbered.collect();
            match self.lane.look_at(&key) {
                None => {}
                Some(Look::All) => self.lane.owe_feeds([&key], self.wall),
                Some(Look::Since(since)) => {
                    if let Some(row) = self.stored(&key, &numbered) {
                        let next = until(&row, since);
                        self.lane.looked_at(&key, next, self.wall);
                    }
                }
            }
            after = Some(key);
        }
        match last {
            true => self.lane.end_look(),
            false => self.look = Some(after),
        }
    }

    fn stored(&mut self, key: &RowKey, blocks: &Blocks) -> Option<FeedRow> {
        match self.lane.feed_stored(key, blocks).expect("blocks read") {
            FeedStored::Row(row) => Some(row),
            FeedStored::Nothing => None,
            FeedStored::Dense => panic!("rows are small"),
        }
    }

    fn deliver(&mut self) {
        // What counts already may well be under way for long.
        if self.fault == Fault::CountsFirst && self.random.percent(95) {
            return;
        }
        let Some((rows, as_of)) = self.flight.take() else {
            return;
        };
        self.arrive(&rows, as_of);
        if self.random.percent(10) {
            // It did not know, and sends once more.
            self.arrive(&rows, as_of);
        }
        if self.fault != Fault::CountsFirst {
            self.acknowledge(&rows, as_of);
        }
    }

    fn arrive(&mut self, rows: &[FeedRow], as_of: Timestamp) {
        let told = rows.iter().map(|row| Told {
            key: row.key.clone(),
            version: row.version,
            value: row.value.clone(),
            as_of,
        });
        self.topic.extend(told);
    }

    fn acknowledge(&mut self, rows: &[FeedRow], as_of: Timestamp) {
        let told: Vec<(RowKey, Fed)> = rows
            .iter()
            .map(|row| {
                let place = place(row.key.view);
                let said = self.lane.feed_marker(place, CoveredFrom::Beginning);
                let max_lag = plan().sources[0].max_lag;
                let ahead = decoded(row).and_then(|row| {
                    let times = row.events.times();
                    times
                        .iter()
                        .copied()
                        .find(|time| *time > as_of.0)
                        .map(Timestamp)
                });
                let fed = Fed {
                    at: as_of,
                    until: until(row, as_of),
                    ahead,
                    stale: as_of.since(said.caught_up_at) > max_lag,
                };
                (row.key.clone(), fed)
            })
            .collect();
        self.lane.fed(told);
    }

    /// What the shell remembers now and then.
    fn note(&mut self) {
        if !self.lane.looks() && self.lane.feed_settled() > Timestamp::MIN {
            self.known = true;
            self.settled = self.settled.max(self.lane.feed_settled());
        }
    }

    /// Lets everything come to its end, and time go on until nothing changes any more.
    fn finish(&mut self) {
        self.wall = self.wall.max(Timestamp(START + 3600 * 24 * SECOND));
        let mut idle = 0;
        while idle < 3 {
            self.sample();
            let before = (self.topic.len(), self.next);
            while self.next < self.log.len() {
                self.read();
                self.feed();
                self.deliver();
            }
            self.sample();
            for _ in 0..50 {
                self.feed();
                self.deliver();
            }
            self.publish();
            self.commit();
            self.wall = self.wall.plus(Duration(60 * SECOND));
            idle = match before == (self.topic.len(), self.next) {
                true => idle + 1,
                false => 0,
            };
        }
    }

    fn check(&self) -> Result<(), String> {
        let mut last: BTreeMap<RowKey, &Told> = BTreeMap::new();
        let mut versions: BTreeMap<RowKey, BTreeMap<Version, &Told>> = BTreeMap::new();
        for told in &self.topic {
            let seen = versions.entry(told.key.clone()).or_default();
            match seen.get(&told.version) {
                Some(before) if *before == told => continue,
                Some(before) => return Err(format!("{told:?} repeats {before:?}")),
                None => {}
            }
            if let Some((before, _)) = seen.last_key_value()
                && *before > told.version
            {
                return Err(format!("{told:?} comes after {before}"));
            }
            seen.insert(told.version, told);
            last.insert(told.key.clone(), told);
        }
        let mut events: BTreeMap<i64, usize> = BTreeMap::new();
        for event in &self.log {
            *events.entry(event.who).or_default() += 1;
        }
        for view in plan().views.iter().filter(|view| view.feed.is_some()) {
            for (who, count) in &events {
                let key = RowKey {
                    view: view.id,
                    generation: Generation(1),
                    entity: encode_key(&[Value::Int(*who)]).expect("a key"),
                };
                let Some(told) = last.get(&key) else {
                    return Err(format!("{}: nothing of {who}", view.name));
                };
                let row = told.value.as_ref();
                let row = row.and_then(|bytes| Row::decode(bytes, &view.spec).ok());
                let row = row.ok_or_else(|| format!("{}: no row of {who}", view.name))?;
                if row.events.len() != *count {
                    return Err(format!(
                        "{}: the last record of {who} has {} events of {count}",
                        view.name,
                        row.events.len()
                    ));
                }
                if row
                    .events
                    .times()
                    .last()
                    .is_some_and(|at| *at > told.as_of.0)
                {
                    return Err(format!(
                        "{}: an event of {who} is ahead of its last record",
                        view.name
                    ));
                }
                let decays = view.feed.as_ref().is_some_and(|feed| feed.decays);
                let outputs = 0..view.spec.outputs.len();
                let mut changes =
                    outputs.filter_map(|o| row.valid_until(&view.spec, o, told.as_of));
                if decays && let Some(until) = changes.next() {
                    return Err(format!(
                        "{}: the last record of {who} stands only until {until}",
                        view.name
                    ));
                }
            }
        }
        Ok(())
    }
}

fn place(view: ViewId) -> usize {
    let found = plan().views.iter().position(|held| held.id == view);
    found.expect("the view is planned")
}

fn decoded(row: &FeedRow) -> Option<Row> {
    let view = &plan().views[place(row.key.view)];
    let bytes = row.value.as_ref()?;
    Some(Row::decode(bytes, &view.spec).expect("a row"))
}

/// When a row's values change next after `as_of`.
fn until(row: &FeedRow, as_of: Timestamp) -> Option<Timestamp> {
    let spec = &plan().views[place(row.key.view)].spec;
    let decoded = decoded(row)?;
    let outputs = 0..spec.outputs.len();
    outputs
        .filter_map(|output| decoded.valid_until(spec, output, as_of))
        .min()
}

fn run(seed: u64, fault: Fault) -> Result<usize, String> {
    let mut simulation = Simulation::new(seed, fault);
    for _ in 0..simulation.random.within(100, 1500) {
        simulation.step();
    }
    simulation.finish();
    simulation.check()?;
    Ok(simulation.deaths)
}

#[test]
fn every_change_is_told_at_last() {
    let deaths = std::cell::Cell::new(0);
    support::each(600, |seed| {
        deaths.set(deaths.get() + run(seed, Fault::None)?);
        Ok(())
    });
    println!("{} deaths", deaths.get());
}

#[test]
fn planted_faults_are_noticed() {
    for fault in [Fault::ForgetsOutbox, Fault::CountsFirst, Fault::LooksAway] {
        let noticed = (0..2000).find(|seed| run(*seed, fault).is_err());
        assert!(noticed.is_some(), "{fault:?} is not noticed");
    }
}

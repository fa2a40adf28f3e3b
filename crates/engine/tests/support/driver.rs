//! The shell around lanes, one small step at a time, in an order that chance decides.
//!
//! It keeps the shell's rules: packets reach every lane in order; rows are stored before their
//! drain counts; markers are written only between drains; after a start nothing is published
//! until the positions that are already served are passed. [`Fault`] breaks one of them.

use super::definitions::World;
use super::log::Log;
use super::online::Online;
use super::past::Prepared;
use super::random::Random;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tiderace_decode::Decoder;
use tiderace_engine::{
    Blocks, Clocks, Cuts, Found, Intake, Lane, Packet, Publication, Sample, Stored, Wants,
    least_clocks, recut, recut_ledgers,
};
use tiderace_state::{MemoryStore, Store, Sweep};
use tiderace_types::{
    CoveredFrom, DeadLetter, Duration, Partition, Positions, Reason, RecordBatch, RecordMeta,
    RowKey, ShardRange, SourceId, Timestamp, Version,
};

/// A rule that the shell breaks, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A source is read again from one record too far.
    ReadsTooFar,
    /// What is owed from before a start is forgotten.
    DropsOutbox,
    /// A marker claims what has not been stored yet.
    MarksFirst,
    /// A commit misses a row.
    LosesWrite,
    /// Readers ask a microsecond off.
    ShiftsEdge,
    /// Older rows overwrite newer ones.
    Unfenced,
    /// Rows are published after a start before what is served has been passed.
    GoesBack,
    /// A commit misses a segment of a dense row.
    LosesSegment,
    /// The positions of one slice are taken for those of all.
    CommitsOthers,
    /// A start forgets how far the clock had come when rows were swept.
    ForgetsClock,
}

/// What may happen on the way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// In how many of a thousand steps the process dies.
    pub deaths: u64,
    /// Whether the number of lanes changes with a death.
    pub recuts: bool,
    /// Whether a death may take the tail of the state with it.
    pub lost_tails: bool,
    /// Whether online rows expire.
    pub expiry: bool,
    /// In how many of a thousand steps the online store is emptied.
    pub emptied: u64,
    /// In how many of a hundred steps rows are evicted.
    pub evictions: u64,
    /// In how many of a hundred steps stored rows are swept a stretch further.
    pub sweeps: u64,
    /// Whether rows are dense from a handful of events on.
    pub dense: bool,
    pub fault: Option<Fault>,
}

/// A lane with its queue, and what of it is on the way to the store.
pub struct Worker {
    pub lane: Lane,
    pub queue: VecDeque<Arc<Packet>>,
    sent: Option<Sent>,
    hold: Option<Positions>,
    marked: Option<Version>,
    /// The place of a full republication.
    scan: Option<Option<RowKey>>,
    /// The least shard clocks at the last commits of its slices.
    clocks: Option<Clocks>,
}

/// Rows on their way, and what they end.
struct Sent {
    rows: Vec<Publication>,
    ends: Ends,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Nothing,
    Drain,
    Scan,
}

struct Reading {
    source: SourceId,
    intake: Intake,
    decoder: Decoder,
    next: BTreeMap<Partition, i64>,
}

/// Totals over everything that was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub accepted: u64,
    pub dropped: u64,
    pub rejected: BTreeMap<Reason, u64>,
    pub views: BTreeMap<usize, [u64; 4]>,
    pub failed: BTreeMap<usize, u64>,
    /// Unmatched retractions and events that were settled later, by view.
    pub retractions: BTreeMap<usize, [u64; 2]>,
}

pub struct Driver<'a> {
    pub world: &'a World,
    pub log: &'a Log,
    pub weather: Weather,
    pub random: Random,
    pub wall: Timestamp,
    pub online: Online,
    pub workers: Vec<Worker>,
    pub totals: Totals,
    pub dead: Vec<DeadLetter>,
    pub deaths: u64,
    /// Blocks that were swept.
    pub swept: u64,
    state: Store,
    sweep: Option<(Sweep, Cuts)>,
    /// What the views have missed.
    past: Option<Prepared>,
    readings: Vec<Reading>,
    /// Rows of dead processes that are still on their way.
    stray: Vec<Publication>,
}

impl<'a> Driver<'a> {
    pub fn new(world: &'a World, log: &'a Log, weather: Weather, seed: u64) -> Driver<'a> {
        Driver::with(world, log, weather, seed, None)
    }

    /// With views that began when their sources had come some way, and are given what they missed.
    pub fn with(
        world: &'a World,
        log: &'a Log,
        weather: Weather,
        seed: u64,
        past: Option<Prepared>,
    ) -> Driver<'a> {
        let mut random = Random(seed);
        let (first, last) = log.span();
        let wall = match random.below(3) {
            0 => last.plus(Duration(random.within(0, 1 << 40))),
            _ => first,
        };
        let online = Online {
            expiring: weather.expiry,
            unfenced: weather.fault == Some(Fault::Unfenced),
            ..Online::default()
        };
        let mut driver = Driver {
            world,
            log,
            weather,
            random,
            wall,
            online,
            workers: Vec::new(),
            totals: Totals::default(),
            dead: Vec::new(),
            deaths: 0,
            swept: 0,
            state: MemoryStore::new(),
            sweep: None,
            past,
            readings: Vec::new(),
            stray: Vec::new(),
        };
        let lanes = driver.random.index(5) + 1;
        driver.start(lanes);
        driver
    }

    /// One step that chance picks; tells whether readers may see a difference.
    pub fn step(&mut self) -> bool {
        if self.random.below(1000) < self.weather.deaths {
            self.die();
            return true;
        }
        if self.random.below(1000) < self.weather.emptied {
            self.online.empty();
            self.stray.clear();
            return true;
        }
        if self.weather.sweeps > 0 && self.random.percent(self.weather.sweeps) {
            self.sweep();
            return true;
        }
        if !self.stray.is_empty() && self.random.percent(30) {
            let row = self.random.index(self.stray.len());
            let row = self.stray.swap_remove(row);
            self.online.put(row, self.wall);
            return true;
        }
        let worker = self.random.index(self.workers.len());
        if self.past.is_some() && self.random.percent(10) {
            self.absorb(worker);
            return false;
        }
        match self.random.below(100) {
            0..4 => self.pass_time(),
            4..8 => self.sample(),
            8..24 => self.read(),
            24..52 => self.apply(worker),
            52..60 => self.commit_some(worker),
            60..62 => self.anchor(worker),
            62..70 => self.evict(worker),
            70..80 => self.publish(worker),
            80..92 => {
                self.deliver(worker);
                return true;
            }
            _ => return self.mark(worker),
        }
        false
    }

    /// Reads, applies, commits, publishes and marks all there is.
    pub fn finish(&mut self) {
        let (_, last) = self.log.span();
        self.wall = self.wall.max(last);
        for worker in 0..self.workers.len() {
            while self.absorb(worker) {}
        }
        self.settle();
        if self.past.is_some() {
            for worker in &mut self.workers {
                (0..self.world.views.len()).for_each(|view| worker.lane.release(view));
            }
            self.settle();
        }
    }

    /// Gives a lane some more of the past of a view; tells whether there was any.
    fn absorb(&mut self, worker: usize) -> bool {
        let Some(past) = &self.past else {
            return false;
        };
        let worker = &mut self.workers[worker];
        let next = |view: &usize| worker.lane.positions().get(Prepared::partition(*view)).next;
        let views = 0..self.world.views.len();
        let open: Vec<usize> = views.filter(|view| next(view) < past.len(*view)).collect();
        if open.is_empty() {
            return false;
        }
        let view = *self.random.pick(&open);
        let packet = past.packet(view, next(&view), 1 + self.random.index(12));
        let packets = &[&packet];
        worker.lane.prepare(packets).expect("nothing is left out");
        while let Some(wants) = worker.lane.wants(packets) {
            fetch(&mut worker.lane, &self.state, &wants);
        }
        let applied = worker.lane.apply(packets, self.wall);
        assert!(applied.dead.is_empty(), "the past has no letters");
        true
    }

    /// As [`Driver::finish`], of what has come until now.
    pub fn settle(&mut self) {
        while self.unread() {
            self.read();
        }
        self.sample();
        for worker in 0..self.workers.len() {
            while !self.workers[worker].queue.is_empty() {
                self.apply(worker);
            }
        }
        self.sample();
        for worker in 0..self.workers.len() {
            let due = |lane: &Lane, wall| lane.anchors_at().is_some_and(|at| at <= wall);
            while due(&self.workers[worker].lane, self.wall) {
                self.anchor(worker);
            }
            // Twice, since a store that was emptied is noticed only by the marker.
            for _ in 0..2 {
                while self.busy(worker) {
                    self.publish(worker);
                    self.deliver(worker);
                }
                self.mark_surely(worker);
                self.commit(worker);
            }
            while self.busy(worker) {
                self.publish(worker);
                self.deliver(worker);
            }
            self.mark_surely(worker);
        }
        while let Some(row) = self.stray.pop() {
            self.online.put(row, self.wall);
        }
    }

    fn busy(&self, worker: usize) -> bool {
        let worker = &self.workers[worker];
        worker.sent.is_some() || worker.scan.is_some() || worker.lane.owing_since().is_some()
    }

    fn unread(&self) -> bool {
        let left =
            |(partition, next): (&Partition, &i64)| self.log.end(*partition, self.wall) > *next;
        self.readings
            .iter()
            .any(|reading| reading.next.iter().any(left))
    }

    /// Drops everything that is not stored, and starts again with another number of lanes.
    fn die(&mut self) {
        self.deaths += 1;
        let lanes = self.workers.len();
        for worker in std::mem::take(&mut self.workers) {
            let rows = worker.sent.into_iter().flat_map(|sent| sent.rows);
            // Some of what was on its way arrives, some of it late.
            for row in rows {
                match self.random.below(3) {
                    0 => self.online.put(row, self.wall),
                    1 => self.stray.push(row),
                    _ => {}
                }
            }
        }
        let Store::Memory(memory) = &self.state else {
            unreachable!("the simulation keeps state in memory");
        };
        if self.weather.lost_tails && self.random.percent(50) {
            memory.rewind(self.random.index(6));
        }
        self.state = memory.reopen();
        self.sweep = None;
        let lanes = match self.weather.recuts && self.random.percent(50) {
            true => self.random.index(5) + 1,
            false => lanes,
        };
        self.start(lanes);
    }

    pub fn start(&mut self, lanes: usize) {
        let ranges = ShardRange::split(lanes);
        let recovered = self.state.positions().expect("memory reads");
        let recovered = recut(&recovered, &ranges);
        let ledgers = self.state.ledgers().expect("memory reads");
        let ledgers = recut_ledgers(&ledgers, &ranges);
        self.state
            .recut(&recovered, &ledgers)
            .expect("memory writes");
        let views = self
            .past
            .as_ref()
            .map_or(&self.world.views, |past| &past.views);
        let epoch = self.state.epoch();
        let clocks = self.swept_clocks();
        let lanes: Vec<Lane> = ranges
            .into_iter()
            .map(|shards| {
                let mut lane = Lane::new(shards, views.clone(), &recovered, epoch);
                lane.resume_ledgers(&ledgers);
                for (source, clock) in &clocks {
                    lane.resume_clock(*source, *clock);
                }
                if let Some(past) = &self.past {
                    let held = past.held.iter().enumerate();
                    held.for_each(|(view, upto)| lane.hold(view, *upto));
                }
                lane
            })
            .collect();
        let start = Positions::behind(lanes.iter().map(Lane::positions));
        self.workers = lanes.into_iter().map(|lane| self.worker(lane)).collect();
        let sources = self.world.plan.sources.iter();
        self.readings = sources
            .map(|source| {
                let own = self.world.views.iter().enumerate();
                let own = own.filter(|(_, view)| view.view.source.id == source.id);
                let views = own.map(|(place, view)| (place, Arc::clone(&view.view)));
                let place = |column: usize| source.used.binary_search(&column).ok();
                let used = source.used.iter();
                let columns = used.map(|column| source.columns[*column].clone());
                let partitions = self.log.partitions.keys();
                let partitions = partitions.filter(|partition| partition.source == source.id);
                Reading {
                    source: source.id,
                    intake: Intake::new(Arc::clone(source), views.collect(), &start),
                    decoder: Decoder::json(
                        columns.collect(),
                        place(source.event_time).expect("event time is used"),
                        source.event_id.and_then(place),
                        source.max_record_bytes,
                    ),
                    next: partitions
                        .map(|partition| (*partition, start.get(*partition).next))
                        .collect(),
                }
            })
            .collect();
        if self.weather.fault == Some(Fault::ReadsTooFar) && self.deaths > 0 {
            for reading in &mut self.readings {
                reading.next.values_mut().for_each(|next| *next += 1);
            }
        }
    }

    fn worker(&mut self, mut lane: Lane) -> Worker {
        let owed = self.state.outbox(lane.shards).expect("memory reads");
        if self.weather.fault != Some(Fault::DropsOutbox) {
            lane.owe(owed.into_iter().flat_map(|(_, keys)| keys));
        }
        lane.owe_anchors(self.state.dense_rows(lane.shards).expect("memory reads"));
        // A marker is trusted when it is of just these shards, is the newest of any of them,
        // and speaks for the views.
        let others = self.online.markers.values();
        let others = others.filter(|marker| marker.shards.overlaps(lane.shards));
        let newest = others.max_by_key(|marker| marker.version);
        let trusted = newest
            .filter(|marker| marker.shards == lane.shards && !marker.views.is_empty())
            .cloned();
        let marked = trusted.as_ref().map(|marker| marker.version);
        let mut hold = None;
        if let Some(marker) = trusted {
            for view in &marker.views {
                lane.inherit_lag(view.view, view.least_lag);
            }
            let back = self.weather.fault == Some(Fault::GoesBack);
            // A past that is not wholly taken in is not waited for.
            let positions = marker.positions.of_logs();
            hold = (!back && !lane.positions().covers(&positions)).then_some(positions);
        }
        let mut worker = Worker {
            queue: VecDeque::new(),
            sent: None,
            hold,
            marked,
            scan: None,
            clocks: None,
            lane,
        };
        if marked.is_none() {
            republish(&mut worker, &mut self.online, self.wall);
        }
        worker
    }

    fn pass_time(&mut self) {
        let hour = 3_600_000_000;
        let by = match self.random.below(4) {
            0 => self.random.within(0, 14 * hour),
            _ => self.random.within(0, hour),
        };
        self.wall = self.wall.plus(Duration(by));
        // As the shell does ten times a second: no lane may miss that there is more to read.
        self.sample();
    }

    pub fn sample(&mut self) {
        for reading in &self.readings {
            let end = |partition: &Partition| (*partition, self.log.end(*partition, self.wall));
            let sample = Sample {
                at: self.wall,
                ends: reading.next.keys().map(end).collect(),
            };
            for worker in &mut self.workers {
                worker.lane.sample(reading.source, sample.clone());
            }
        }
    }

    /// Reads a batch of one source, from its partitions in any order.
    pub fn read(&mut self) {
        let reading = self.random.index(self.readings.len());
        let reading = &mut self.readings[reading];
        let mut batch = RecordBatch::default();
        for _ in 0..1 + self.random.below(24) {
            let open: Vec<Partition> = reading
                .next
                .iter()
                .filter(|(partition, next)| self.log.end(**partition, self.wall) > **next)
                .map(|(partition, _)| *partition)
                .collect();
            if open.is_empty() {
                break;
            }
            let partition = *self.random.pick(&open);
            let next = reading.next.entry(partition).or_default();
            let logged = &self.log.partitions[&partition][*next as usize];
            let meta = RecordMeta {
                partition,
                offset: *next,
                broker_time: Timestamp(logged.broker_time),
            };
            batch.push(meta, logged.payload.as_bytes());
            *next += 1;
        }
        if batch.is_empty() {
            return;
        }
        let decoded = reading.decoder.decode(&batch);
        let taken = reading.intake.take(batch, decoded);
        self.totals.accepted += taken.counts.accepted;
        self.totals.dropped += taken.counts.dropped.values().sum::<u64>();
        for (reason, count) in taken.counts.rejected {
            *self.totals.rejected.entry(reason).or_default() += count;
        }
        for (view, count) in taken.counts.failed {
            *self.totals.failed.entry(view).or_default() += count;
        }
        self.dead.extend(taken.dead);
        let packet = Arc::new(taken.packet);
        for worker in &mut self.workers {
            worker.queue.push_back(Arc::clone(&packet));
        }
    }

    pub fn apply(&mut self, worker: usize) {
        let worker = &mut self.workers[worker];
        let together = (1 + self.random.index(4)).min(worker.queue.len());
        let packets: Vec<Arc<Packet>> = worker.queue.drain(..together).collect();
        let packets: &[&Packet] = &packets.iter().map(|packet| &**packet).collect::<Vec<_>>();
        worker.lane.prepare(packets).expect("nothing is left out");
        while let Some(wants) = worker.lane.wants(packets) {
            fetch(&mut worker.lane, &self.state, &wants);
        }
        let applied = worker.lane.apply(packets, self.wall);
        for (view, counts) in applied.views {
            let total = self.totals.retractions.entry(view).or_default();
            total[0] += counts.unmatched_retraction;
            total[1] += counts.settled;
            let total = self.totals.views.entry(view).or_default();
            let counts = [
                counts.applied,
                counts.duplicate,
                counts.conflict,
                counts.too_late_idle,
            ];
            total.iter_mut().zip(counts).for_each(|(t, c)| *t += c);
        }
        self.dead.extend(applied.dead);
        if worker
            .hold
            .as_ref()
            .is_some_and(|hold| worker.lane.positions().covers(hold))
        {
            worker.hold = None;
        }
    }

    /// Anchors the dense rows that are due.
    fn anchor(&mut self, worker: usize) {
        let lane = &mut self.workers[worker].lane;
        if lane.take_due(self.wall) {
            anchor(lane, &self.state, self.wall);
        }
    }

    /// Commits a lane's slices from the one whose turn it is on, all of them or only some.
    fn commit_some(&mut self, worker: usize) {
        let slices = self.workers[worker].lane.slices().count();
        let some = match self.random.percent(85) {
            true => slices,
            false => 1 + self.random.index(3),
        };
        for _ in 0..some {
            let slice = match self.random.percent(50) {
                true => self.workers[worker].lane.next_slice(),
                false => self.random.index(slices),
            };
            self.commit_slice(worker, slice);
        }
    }

    /// Commits all of a lane.
    pub fn commit(&mut self, worker: usize) {
        for slice in 0..self.workers[worker].lane.slices().count() {
            self.commit_slice(worker, slice);
        }
    }

    fn commit_slice(&mut self, worker: usize, slice: usize) {
        let worker = &mut self.workers[worker];
        if worker.lane.is_stored(slice) && self.random.percent(50) {
            worker.lane.had_turn(slice);
            worker.clocks = worker.lane.committed_clocks();
            return;
        }
        let mut commit = worker.lane.commit(slice);
        if self.weather.fault == Some(Fault::LosesWrite) && self.random.percent(20) {
            commit.writes.pop();
        }
        if self.weather.fault == Some(Fault::LosesSegment) && self.random.percent(20) {
            commit.segments.pop();
        }
        let positions = commit.positions.clone();
        let seq = self.state.commit(commit).expect("memory writes");
        worker.lane.committed(seq);
        worker.clocks = worker.lane.committed_clocks();
        if self.weather.fault == Some(Fault::CommitsOthers) {
            let others = self.workers.iter().flat_map(|worker| worker.lane.slices());
            let others: Vec<_> = others
                .map(|(shards, _)| (shards, positions.clone()))
                .collect();
            let ledgers = self.state.ledgers().expect("memory reads");
            self.state.recut(&others, &ledgers).expect("memory writes");
        }
    }

    /// Sweeps the next few blocks; a sweep begins once every lane has committed.
    fn sweep(&mut self) {
        let (mut sweep, cuts) = match self.sweep.take() {
            Some(under_way) => under_way,
            None => {
                let Some(clocks) = self.least_clocks() else {
                    return;
                };
                for (source, clock) in &clocks {
                    let noted = self
                        .state
                        .put_meta(&clock_name(*source), &clock.0.to_be_bytes());
                    noted.expect("memory writes");
                }
                let cuts = Cuts::new(&self.world.views, &clocks);
                (Sweep::over(ShardRange::ALL), cuts)
            }
        };
        let spent = |view, generation, block: &[u8]| cuts.spent(view, generation, block);
        let limit = 1 + self.random.index(40);
        let before = sweep.dropped.blocks;
        let swept = self.state.sweep(&mut sweep, limit, &spent);
        swept.expect("memory reads");
        self.swept += sweep.dropped.blocks - before;
        self.sweep = (!sweep.done()).then_some((sweep, cuts));
    }

    /// Per source, the least clock that any lane had at its last commit.
    fn least_clocks(&self) -> Option<Clocks> {
        least_clocks(self.workers.iter().map(|worker| worker.clocks.as_ref()))
    }

    /// How far the clocks had come when rows were swept.
    fn swept_clocks(&self) -> Vec<(SourceId, Timestamp)> {
        if self.weather.fault == Some(Fault::ForgetsClock) {
            return Vec::new();
        }
        let sources = self.world.plan.sources.iter();
        let noted = sources.filter_map(|source| {
            let bytes = self.state.get_meta(&clock_name(source.id));
            let bytes = bytes.expect("memory reads")?.try_into().ok()?;
            Some((source.id, Timestamp(i64::from_be_bytes(bytes))))
        });
        noted.collect()
    }

    fn evict(&mut self, worker: usize) {
        if self.random.percent(self.weather.evictions) {
            let budget = [0, 0, 2_000, 20_000][self.random.index(4)];
            self.workers[worker].lane.evict(budget);
        }
    }

    /// Sends the next rows, if none are on their way.
    pub fn publish(&mut self, worker: usize) {
        let worker = &mut self.workers[worker];
        if worker.sent.is_some() || worker.hold.is_some() {
            return;
        }
        let limit = self.random.index(6) + 1;
        if worker.scan.is_some() && self.random.percent(50) {
            scan_on(worker, &self.state, self.wall, limit);
            return;
        }
        if worker.lane.owing_since().is_none() {
            return;
        }
        let chunk = worker.lane.chunk(self.wall, limit);
        let mut rows = chunk.rows;
        let blocks = load(&self.state, &chunk.stored);
        for (key, blocks) in chunk.stored.iter().zip(blocks) {
            rows.extend(publish_stored(
                &mut worker.lane,
                &self.state,
                key,
                &blocks,
                self.wall,
            ));
        }
        let ends = match chunk.last {
            true => Ends::Drain,
            false => Ends::Nothing,
        };
        worker.sent = Some(Sent { rows, ends });
    }

    /// Lets the rows on their way arrive.
    pub fn deliver(&mut self, worker: usize) {
        let worker = &mut self.workers[worker];
        let Some(sent) = worker.sent.take() else {
            return;
        };
        for row in sent.rows {
            self.online.put(row, self.wall);
        }
        match sent.ends {
            Ends::Nothing => {}
            Ends::Drain => worker.lane.drained(),
            Ends::Scan => worker.scan = None,
        }
    }

    /// Writes a marker where that is allowed; it may be lost on its way.
    fn mark(&mut self, worker: usize) -> bool {
        let first = self.weather.fault == Some(Fault::MarksFirst);
        let held = &self.workers[worker];
        let between = held.sent.is_none() && !held.lane.draining();
        if held.scan.is_some() || held.hold.is_some() || !(between || first) {
            return false;
        }
        if self.random.percent(10) {
            marker(&mut self.workers[worker].lane, self.wall);
            return false;
        }
        self.mark_surely(worker);
        true
    }

    pub fn mark_surely(&mut self, worker: usize) {
        let first = self.weather.fault == Some(Fault::MarksFirst);
        let worker = &mut self.workers[worker];
        let mut marker = marker(&mut worker.lane, self.wall);
        if first {
            marker.positions = worker.lane.positions().clone();
        }
        let version = marker.version;
        match self.online.mark(worker.marked, marker) {
            true => {
                worker.marked = Some(version);
                worker.lane.marked();
                if self.random.percent(50) {
                    self.online.retire(worker.lane.shards);
                }
            }
            false => republish(worker, &mut self.online, self.wall),
        }
    }

    /// The instant at which a reader's clock stands for the answer to be about `as_of`.
    pub fn asked(&self, as_of: Timestamp) -> Timestamp {
        match self.weather.fault {
            Some(Fault::ShiftsEdge) => as_of.minus(Duration(1)),
            _ => as_of,
        }
    }
}

fn clock_name(source: SourceId) -> String {
    format!("clock/{}", source.0)
}

fn republish(worker: &mut Worker, online: &mut Online, wall: Timestamp) {
    let opening = worker.lane.opening(wall, 1);
    worker.marked = Some(opening.version);
    online.mark(None, opening);
    worker.lane.forget_claims();
    worker.lane.forget_promises();
    worker.lane.owe_held(wall, |_| true);
    worker.scan = Some(None);
}

/// Sends the next stretch of a full republication.
fn scan_on(worker: &mut Worker, state: &Store, wall: Timestamp, limit: usize) {
    let Some(after) = &worker.scan else {
        return;
    };
    let found = state.scan(worker.lane.shards, after.as_ref(), limit);
    let found = found.expect("memory reads");
    let end = found.len() < limit;
    let mut rows = Vec::new();
    for (key, blocks) in found {
        let blocks = blocks.into_iter().map(|block| (block.seq, block.bytes));
        let blocks: Vec<_> = blocks.collect();
        rows.extend(publish_stored(&mut worker.lane, state, &key, &blocks, wall));
        worker.scan = Some(Some(key));
    }
    let ends = match end {
        true => Ends::Scan,
        false => Ends::Nothing,
    };
    worker.sent = Some(Sent { rows, ends });
}

fn marker(lane: &mut Lane, wall: Timestamp) -> tiderace_types::Marker {
    lane.marker(wall, 1, |_| CoveredFrom::Beginning)
}

/// Gives a lane what it wants.
fn fetch(lane: &mut Lane, state: &Store, wants: &Wants) {
    let directories = wants.directories.iter().map(|row| state.directory(row));
    let segments = state.load_segments(&wants.segments).expect("memory reads");
    let found = Found {
        rows: load(state, &wants.rows),
        directories: directories.collect::<Result<_, _>>().expect("memory reads"),
        segments: segments.into_iter().map(plain).collect(),
    };
    lane.fill(found).expect("state is sound");
}

/// Anchors the rows that were taken.
fn anchor(lane: &mut Lane, state: &Store, wall: Timestamp) {
    while let Some(wants) = lane.wants_anchors() {
        fetch(lane, state, &wants);
    }
    lane.anchor(wall);
}

fn publish_stored(
    lane: &mut Lane,
    state: &Store,
    key: &RowKey,
    blocks: &Blocks,
    wall: Timestamp,
) -> Option<Publication> {
    for _ in 0..2 {
        match lane
            .publish_stored(key, blocks, wall)
            .expect("state is sound")
        {
            Stored::Nothing => return None,
            Stored::Row(publication) => return Some(publication),
            Stored::Dense => {
                lane.take_key(key, wall);
                anchor(lane, state, wall);
            }
        }
    }
    panic!("a row stays unready when it is anchored");
}

fn plain(blocks: Vec<tiderace_state::Block>) -> Blocks {
    let plain = blocks.into_iter().map(|block| (block.seq, block.bytes));
    plain.collect()
}

fn load(state: &Store, keys: &[RowKey]) -> Vec<Blocks> {
    let rows = state.load(keys).expect("memory reads");
    rows.into_iter().map(plain).collect()
}

//! Brings the tables of batch views in, one at a time, beside the streams. The table of a SQL view is the
//! answer of its query, which is asked first.
//!
//! The rows of a table are events of one partition that no log has: their positions are in the same write
//! as the rows of the store, and go on from sync to sync. Which files a view has the rows of is noted
//! when all of them are stored and published; until then a crash begins the same sync again, which changes
//! nothing of what is there: a row is a set, and of an entity's rows only the newest counts.
//!
//! # Laws
//! - Nothing of a sync is offered before all of its files were read to the end and are what they were.
//! - Of an entity's rows the one with the latest event time counts; of those of one time the one of the
//!   later sync, and within a sync of the file that was written later, then the later row.
//! - A view is whole, and as fresh as a sync, only when every row of it is stored durably and published.
//! - Live packets have a queue of their own: a table never stands before them.

mod asking;
mod members;
mod remembered;
mod schedule;
use members::Members;
pub use remembered::Remembered;
use remembered::{Good, Seen};
use schedule::Schedule;

use super::clock::now;
use super::coverage::Coverage;
use super::lane::Message;
use super::ledger::Ledger;
use super::loader::{Standings, Told};
use crate::layout::Layout;
use crate::spool::{Spool, SyncCounts, SyncPhase, Synced};
use anyhow::{Context, Result, anyhow, bail, ensure};
use crossbeam_channel::{SendTimeoutError, Sender};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_engine::{
    Homes, LEFT_FROM, Origin, Packet, PacketIds, Past, PastCounts, PastEvents, PastTaken, Sample,
};
use tiderace_offline::history::fields_of;
use tiderace_offline::table::{Listing, Rows, Table};
use tiderace_plan::Plan;
use tiderace_plan::model::{TableMode, View};
use tiderace_state::Store;
use tiderace_types::{
    CoveredFrom, Partition, PartitionPosition, Positions, RecordBatch, ShardRange, Timestamp,
};

/// How often requests are looked for, and how often it is asked how the lanes stand.
const LOOKING: Duration = Duration::from_millis(100);

/// How often it is said how all stands.
const SAYING: Duration = Duration::from_secs(1);

/// Up to how many different entities are counted.
const COUNTED: usize = 1 << 20;

/// The table of one view.
pub struct Held {
    /// The place of the view among the lanes'.
    pub place: usize,
    pub view: Arc<View>,
    pub remembered: Remembered,
    /// The number of the next row, higher than all that lanes know.
    pub next: i64,
}

impl Held {
    /// The tables of the views of a plan, as state remembers them.
    ///
    /// # Errors
    /// When state cannot be read.
    pub fn all(
        plan: &Plan,
        state: &Store,
        coverage: &Coverage,
        recovered: &[(ShardRange, Positions)],
    ) -> Result<Vec<Held>> {
        let views = plan.views.iter().enumerate();
        let views = views.filter(|(_, view)| view.source.table().is_some());
        let held = |(place, view): (usize, &Arc<View>)| {
            let generation = coverage.generation(view.id);
            let remembered = Remembered::read(state, view.id, generation)?;
            let partition = partition_of(view);
            let known = recovered.iter().map(|(_, at)| at.get(partition).next);
            let end = remembered.good.map_or(0, |good| good.end);
            Ok(Held {
                place,
                view: Arc::clone(view),
                remembered,
                next: known.max().unwrap_or(0).max(end),
            })
        };
        views.map(held).collect()
    }

    /// How far the last good sync went, in the words of lanes.
    pub fn sample(&self) -> Option<Sample> {
        let good = self.remembered.good?;
        Some(Sample {
            at: Timestamp(good.at),
            ends: vec![(partition_of(&self.view), good.end)],
        })
    }
}

fn partition_of(view: &View) -> Partition {
    Partition {
        source: view.source.id,
        number: Partition::PAST,
    }
}

pub struct Syncer {
    pub layout: Layout,
    pub state: Store,
    pub coverage: Arc<Coverage>,
    pub ledger: Arc<Ledger>,
    pub standings: Arc<Standings>,
    pub lanes: Vec<Sender<Told>>,
    /// Lanes run as long as somebody may have something for them.
    pub streams: Vec<Sender<Message>>,
    pub runtime: tokio::runtime::Handle,
    pub stop: Arc<AtomicBool>,
}

/// How a sync has ended that nothing is wrong with.
enum End {
    Done,
    /// The loop stops.
    Stopped,
}

/// A sync under way.
struct Sync<'a> {
    syncer: &'a Syncer,
    spool: &'a Spool,
    held: &'a mut Held,
    said: Synced,
    said_at: Instant,
    begun: Instant,
    /// When the table was listed.
    at: Timestamp,
}

impl Syncer {
    /// Syncs what is due and what is asked for, until it is stopped (and woken).
    pub fn run(self, mut tables: Vec<Held>) {
        let spool = Spool::new(self.layout.backfill());
        let mut schedules: Vec<Schedule> = Vec::new();
        for held in &tables {
            let (name, at) = (&held.view.name, held.remembered.synced_at());
            self.ledger.was_synced(name, at);
            let refresh = held.view.source.table().and_then(|table| table.refresh);
            let served = spool.synced(name).ok().flatten();
            schedules.push(Schedule::new(refresh, at, served.as_ref()));
        }
        while !self.stopping() {
            for (held, schedule) in tables.iter_mut().zip(&mut schedules) {
                let asked = spool.sync_request(&held.view.name).unwrap_or_else(|error| {
                    let error = format!("{error:#}");
                    tracing::debug!(error, "a request to sync cannot be read");
                    None
                });
                let asked = asked.map(|request| request.number);
                if !self.stopping() && schedule.is_due(asked, now()) {
                    self.sync(&spool, held, schedule, asked);
                }
            }
            std::thread::park_timeout(LOOKING);
        }
        drop(self.streams);
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Syncs one view, and says what came of it.
    fn sync(&self, spool: &Spool, held: &mut Held, schedule: &mut Schedule, asked: Option<u64>) {
        let request = asked.unwrap_or_default();
        let view = Arc::clone(&held.view);
        let mut sync = Sync {
            syncer: self,
            spool,
            said: Synced::new(request, SyncPhase::Checking, SyncCounts::default()),
            said_at: Instant::now(),
            begun: Instant::now(),
            at: now(),
            held,
        };
        sync.say_now();
        let at = sync.at;
        let ended = sync.run();
        let millis = sync.begun.elapsed().as_millis();
        sync.said.counts.millis = u64::try_from(millis).unwrap_or(u64::MAX);
        let counts = sync.said.counts;
        match ended {
            Ok(End::Stopped) => return,
            Ok(End::Done) => {
                sync.said.phase = SyncPhase::Done;
                self.ledger.synced(&view.name, &counts, at);
                schedule.done(at, asked);
                if let Some(example) = &sync.said.message {
                    tracing::warn!(view = view.name, refused = counts.refused, "{example}");
                }
                if counts.rows > 0 {
                    let (files, rows) = (counts.files, counts.rows);
                    let (left, refused) = (counts.left, counts.refused);
                    tracing::info!(
                        view = view.name,
                        files,
                        rows,
                        left,
                        refused,
                        millis = counts.millis,
                        "the view is as its table"
                    );
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                sync.said.phase = SyncPhase::Failed;
                sync.said.message = Some(error.clone());
                self.ledger.not_synced(&view.name);
                if schedule.failed(now(), asked, &error) {
                    tracing::warn!(
                        view = view.name,
                        error,
                        "the table cannot be synced: the view keeps its values"
                    );
                }
            }
        }
        sync.say_now();
    }
}

impl Sync<'_> {
    fn run(&mut self) -> Result<End> {
        let Some(answer) = self.ask()? else {
            return Ok(End::Stopped);
        };
        let listing = self.list()?;
        let read = self.changed(&listing);
        let is_as_before = read.is_empty() && !self.has_lost(&listing);
        if let Some(good) = self.held.remembered.good.filter(|_| is_as_before) {
            self.good(&listing, good)?;
            return Ok(End::Done);
        }
        self.said.counts.files = read.len() as u64;
        let members = self.members();
        let table = match &members {
            None => self.open(&listing, &read)?,
            // Who left is told by all that is there.
            Some(_) => self.open(&listing, &listing.files.keys().cloned().collect())?,
        };
        // No sync before it has the number, and when rows have it, none after it gets it.
        let number = self.held.remembered.number + 1;
        if !self.check(&table, number, members.as_ref())? {
            return Ok(End::Stopped);
        }
        self.is_the_same(&listing, &read)?;
        let mut begun = self.held.remembered.clone();
        begun.number = number;
        begun.write(&self.syncer.state, self.held.view.id)?;
        self.held.remembered = begun;

        self.said.phase = SyncPhase::TakingIn;
        let table = self.offered(&listing, &read, answer)?;
        if !self.begin_rows() || !self.take_in(&table)? {
            return Ok(End::Stopped);
        }
        if let Some(members) = &members {
            // Who is not in what was read must not be in what it was replaced by meanwhile.
            self.is_the_same(&listing, &read)?;
            if !self.delete_those_that_left(members)? {
                return Ok(End::Stopped);
            }
        }
        self.said.phase = SyncPhase::Settling;
        self.say_now();
        let end = self.held.next;
        if !self.settle(end)? {
            return Ok(End::Stopped);
        }
        // Commits are synced before anything is told because of them.
        self.syncer.state.sync().context("sync state")?;
        let at = self.at.0;
        self.good(&listing, Good { number, at, end })?;
        if let Some(members) = &members {
            members.only(number)?;
        }
        Ok(End::Done)
    }

    /// The files of which the view does not have the rows.
    fn changed(&self, listing: &Listing) -> BTreeSet<String> {
        let files = seen(listing);
        let before = &self.held.remembered;
        let is_new = |name: &String| before.files.get(name) != files.get(name);
        // What a sync deleted that was given up midway may be there again, and have been before.
        let given_up = before.good.is_none_or(|good| good.number != before.number);
        let all = given_up && self.mode() == TableMode::Snapshot;
        let read = files.keys().filter(|name| all || is_new(name));
        read.cloned().collect()
    }

    /// Whether a snapshot has fewer files, so that entities may have left it.
    fn has_lost(&self, listing: &Listing) -> bool {
        let mut before = self.held.remembered.files.keys();
        let lost = before.any(|name| !listing.files.contains_key(name));
        lost && self.mode() == TableMode::Snapshot
    }

    fn mode(&self) -> TableMode {
        let table = self.held.view.source.table();
        table.map_or(TableMode::Partitions, |table| table.mode)
    }

    fn list(&self) -> Result<Listing> {
        let archive = self.held.view.source.archive.as_ref();
        let parquet = archive.map_or("", |archive| &archive.parquet);
        let project = self.syncer.layout.project();
        let listing = Listing::open(parquet, project, std::env::vars());
        Ok(self.syncer.runtime.block_on(listing)?)
    }

    fn open(&self, listing: &Listing, files: &BTreeSet<String>) -> Result<Table> {
        let table = listing.table(files.iter());
        let table = self.syncer.runtime.block_on(table)?;
        fields_of(&self.held.view.source).check(&table)?;
        Ok(table)
    }

    /// Fails where the table is another than it was, as far as that matters.
    fn is_the_same(&self, listing: &Listing, read: &BTreeSet<String>) -> Result<()> {
        let (before, now) = (&listing.files, self.list()?.files);
        let names = before.keys().chain(now.keys());
        let changed = names.filter(|name| before.get(*name) != now.get(*name));
        // What is added meanwhile is for the next sync, unless the files are all there is.
        let is_snapshot = self.mode() == TableMode::Snapshot;
        let mut changed = changed.filter(|name| is_snapshot || read.contains(*name));
        match changed.next() {
            None => Ok(()),
            Some(name) => bail!("{name} was changed, added or removed while the table was read"),
        }
    }

    /// Who is in the snapshots of the table, where that is asked.
    fn members(&self) -> Option<Members> {
        let name = &self.held.view.name;
        let members = || Members::new(self.syncer.layout.tables().join(name));
        (self.mode() == TableMode::Snapshot).then(members)
    }

    /// Reads everything once and counts it; of a snapshot notes who is in it. Gives `false` when the loop
    /// stops.
    fn check(&mut self, table: &Table, number: u32, members: Option<&Members>) -> Result<bool> {
        let mut writing = match members {
            None => None,
            Some(members) => {
                match self.held.remembered.good {
                    Some(good) => ensure!(
                        members.has(good.number),
                        "who was in the last snapshot is not known any more, so that nobody can be told to have left: give the view another name, so that it begins anew"
                    ),
                    // Of a state that is not there any more.
                    None if number == 1 => members.clear()?,
                    None => {}
                }
                Some(members.begin(number)?)
            }
        };
        let view = Arc::clone(&self.held.view);
        let mut entities: Option<HashSet<u64>> = Some(HashSet::new());
        let read = self.each(table, number, |sync, rows, events, counts| {
            let said = &mut sync.said.counts;
            said.rows += rows;
            said.null_key += counts.null_key;
            said.refused += counts.refused;
            for index in 0..events.len() {
                said.deleting += u64::from(events.deletes(&view, index));
                if let Some(writing) = &mut writing {
                    writing.note(events.key(index), events.time(index))?;
                }
            }
            if let Some(seen) = &mut entities {
                seen.extend(events.hashes());
            }
            if entities.as_ref().is_some_and(|seen| seen.len() > COUNTED) {
                entities = None;
            }
            Ok(true)
        })?;
        self.said.counts.entities = entities.map(|seen| seen.len() as u64);
        if let (true, Some((members, writing))) = (read, members.zip(writing)) {
            members.finish(number, writing)?;
        }
        Ok(read)
    }

    /// Lets rows go of what came before the table was listed, but for the newest: of an entity with many
    /// rows there is never more than one to keep. Gives `false` when the loop stops.
    fn begin_rows(&mut self) -> bool {
        let (partition, next) = (partition_of(&self.held.view), self.held.next);
        let packet = Packet {
            source: partition.source,
            records: RecordBatch::default(),
            record_of: Vec::new(),
            times: Vec::new(),
            ids: PacketIds::Int(Vec::new().into()),
            views: Vec::new(),
            homes: Homes::default(),
            origin: Origin::Past,
            contiguous: false,
            reached: vec![(partition, next, self.position(next + 1))],
        };
        self.held.next += 1;
        // It says nothing of how fresh rows are.
        let sample = Sample {
            at: Timestamp::MIN,
            ends: vec![(partition, next + 1)],
        };
        self.tell(Told::Packet(Arc::new(packet)))
            && self.tell(Told::Sample(partition.source, sample))
    }

    fn position(&self, next: i64) -> PartitionPosition {
        PartitionPosition {
            next,
            clock: self.at,
        }
    }

    /// Offers every row; gives `false` when the loop stops.
    fn take_in(&mut self, table: &Table) -> Result<bool> {
        self.each(
            table,
            self.held.remembered.number,
            |sync, rows, events, _| {
                sync.said.counts.offered += rows;
                Ok(sync.offer(events))
            },
        )
    }

    /// Offers events; gives `false` when the loop stops.
    fn offer(&mut self, events: PastEvents) -> bool {
        if events.is_empty() {
            return true;
        }
        let (held, view) = (&self.held, &self.held.view);
        let (partition, first) = (partition_of(view), held.next);
        let next = first + events.len() as i64;
        let events = events.alone(&view.spec);
        let mut packet = events.into_packet(held.place, partition, first);
        packet.contiguous = false;
        packet.reached = vec![(partition, first, self.position(next))];
        self.held.next = next;
        self.tell(Told::Packet(Arc::new(packet)))
    }

    /// Deletes the entities that are in earlier snapshots alone; gives `false` when the loop stops.
    fn delete_those_that_left(&mut self, members: &Members) -> Result<bool> {
        let number = self.held.remembered.number;
        // After all rows of the snapshot, and before those of the next.
        let mut place = LEFT_FROM;
        for shard in Members::shards() {
            let left = members.left(number, shard)?;
            for some in left.chunks(8192) {
                let places: Vec<(u32, i64)> =
                    (place..).take(some.len()).map(|p| (number, p)).collect();
                place += some.len() as i64;
                self.said.counts.left += some.len() as u64;
                let events = PastEvents::deletions(&self.held.view, some, &places);
                if !self.offer(events) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Gives every batch of the table as events, in order, until `work` says `false`.
    fn each(
        &mut self,
        table: &Table,
        number: u32,
        mut work: impl FnMut(&mut Self, u64, PastEvents, PastCounts) -> Result<bool>,
    ) -> Result<bool> {
        let view = Arc::clone(&self.held.view);
        let (fields, past) = (fields_of(&view.source), Past::new(Arc::clone(&view)));
        let mut row = 0;
        for unit in table.units() {
            let name = || table.name_of(unit);
            let mut reading = fields.read(table, unit)?;
            loop {
                if self.syncer.stopping() {
                    return Ok(false);
                }
                let rows = self.syncer.runtime.block_on(reading.next())?;
                let Some(rows) = rows else { break };
                let count = rows.batch.num_rows();
                let places = (row..).take(count).map(|row| (number, row));
                let taken = past.take(&rows.batch, places.collect());
                row += count as i64;
                ensure!(
                    row <= LEFT_FROM,
                    "a sync takes in at most {LEFT_FROM} rows: write the table in parts, one sync after another"
                );
                if self.said.message.is_none() {
                    self.said.message = an_example(&rows, &taken).map(|(at, why)| {
                        let name = name();
                        format!("rows are refused, such as {name}, row {at} of the file: {why}")
                    });
                }
                let mut counts = taken.counts;
                counts.refused += rows.refused.len() as u64;
                if !work(self, rows.read, taken.events, counts).with_context(name)? {
                    return Ok(false);
                }
                self.say();
            }
        }
        Ok(true)
    }

    /// Waits until everything before `end` is stored and published; gives `false` when the loop stops.
    fn settle(&mut self, end: i64) -> Result<bool> {
        if !self.tell(Told::Store) {
            return Ok(false);
        }
        let end = u64::try_from(end).map_err(|_| anyhow!("a position is below zero"))?;
        let partition = partition_of(&self.held.view);
        while !self.syncer.standings.are_past(partition, end) {
            if self.syncer.stopping() {
                return Ok(false);
            }
            self.say();
            std::thread::park_timeout(LOOKING);
        }
        Ok(true)
    }

    /// Notes that the view is as its table was when that was listed. `good` is the sync that made it so.
    fn good(&mut self, listing: &Listing, good: Good) -> Result<()> {
        let view = Arc::clone(&self.held.view);
        let remembered = &mut self.held.remembered;
        let mut noted = remembered.clone();
        noted.files = seen(listing);
        noted.good = Some(Good {
            at: self.at.0,
            ..good
        });
        noted.write(&self.syncer.state, view.id)?;
        *remembered = noted;
        self.syncer
            .coverage
            .has_past(view.id, CoveredFrom::Beginning)?;
        if let Some(sample) = self.held.sample() {
            self.tell(Told::Sample(view.source.id, sample));
        }
        Ok(())
    }

    /// Tells every lane, waiting while one has enough to do; `false` when the loop stops.
    fn tell(&mut self, told: Told) -> bool {
        let syncer = self.syncer;
        for lane in &syncer.lanes {
            let mut told = told.clone();
            loop {
                if syncer.stopping() {
                    return false;
                }
                self.say();
                match lane.send_timeout(told, LOOKING) {
                    Ok(()) => break,
                    Err(SendTimeoutError::Timeout(back)) => told = back,
                    // Its error comes when the loop is stopped.
                    Err(SendTimeoutError::Disconnected(_)) => return false,
                }
            }
        }
        true
    }

    /// Says from time to time how all stands.
    fn say(&mut self) {
        if self.said_at.elapsed() >= SAYING {
            self.say_now();
        }
    }

    fn say_now(&mut self) {
        self.said_at = Instant::now();
        let name = &self.held.view.name;
        if let Err(error) = self.spool.put_synced(name, &self.said) {
            let error = format!("{error:#}");
            tracing::debug!(error, "how far a sync has come cannot be said");
        }
    }
}

/// A row that is refused: which of its file, and why.
fn an_example(rows: &Rows, taken: &PastTaken) -> Option<(u64, String)> {
    let by_reading = rows.refused.first();
    let by_reading = by_reading.map(|(row, _, why)| (*row, why.clone()));
    by_reading.or_else(|| {
        let (row, _, why) = taken.refused.first()?;
        Some((rows.row_in_file(*row as usize), why.clone()))
    })
}

/// What is remembered of a listing.
fn seen(listing: &Listing) -> BTreeMap<String, Seen> {
    let files = listing.files.iter();
    files
        .map(|(name, listed)| (name.clone(), Seen::from(listed)))
        .collect()
}

//! From a table to a view's events, sorted by row and time, within the memory allowed.
//!
//! Row groups are read and evaluated side by side, by the code that takes live events; what comes of them
//! is put aside by shards of the entities, and one pile after the other is sorted.
//!
//! # Laws
//! - The same events and bounds give the same order, whatever files they lie in, and whatever memory and
//!   threads there are.

use super::Counts;
use crate::entities::{Entities, Grouped};
use crate::error::{Error, Kind};
use crate::history::fields_of;
use crate::progress::Progress;
use crate::shelf::{Room, Shelves};
use crate::table::{Fields, Rows, Table, Unit};
use arrow::array::{
    ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType, UInt32Type, UInt64Type};
use std::cmp::Ordering as Order;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tiderace_engine::{Past, PastEvents};
use tiderace_plan::model::View;
use tiderace_types::{Reason, Shard, ShardRange, Timestamp};
use tokio::runtime::Handle;

/// What an event takes while it is sorted, roughly, beside its columns.
const EVENT: u64 = 200;

/// Events that are given on together.
const BATCH: usize = 1 << 15;

/// So many refused rows are named.
const NAMED: usize = 20;

/// A past to be prepared.
pub struct Prepare<'a> {
    /// The view.
    pub view: Arc<View>,
    /// Where its events are.
    pub table: &'a Table,
    /// Which of them are wanted.
    pub bounds: Bounds,
    /// Which share of the entities, from 1 on, of how many.
    pub part: (u32, u32),
    /// Memory, and where what has no room in it goes.
    pub room: Room,
    /// Threads.
    pub threads: usize,
    /// Where files are read.
    pub runtime: Handle,
    /// How far it has come, for whoever looks.
    pub progress: Arc<Progress>,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// Those at or after this instant.
    pub from: Option<Timestamp>,
    /// Those before this instant.
    pub to: Option<Timestamp>,
    /// Those after this instant: the view needs no others.
    pub kept_from: Option<Timestamp>,
    /// By partition of the stream, those before these offsets: the view has got the others.
    pub before: Option<BTreeMap<u32, i64>>,
}

/// What a past was prepared of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// What became of the table's rows. Of several parts the first counts those that no part takes.
    pub counts: Counts,
    /// The times of the table's first and last events.
    pub span: Option<(Timestamp, Timestamp)>,
    /// The first refused rows, each by its name.
    pub refused: Vec<String>,
}

/// What came of some rows of a unit.
struct Found {
    events: Option<PastEvents>,
    prepared: Prepared,
    /// Whether the unit ends with them.
    last: bool,
}

impl Prepare<'_> {
    /// Checks that every file has the columns that the view needs.
    ///
    /// # Errors
    /// Names the first that has not, and its columns.
    pub fn check(&self) -> Result<(), Error> {
        fields_of(&self.view.source).check(self.table)
    }

    /// Gives `sink` the events, batch by batch.
    ///
    /// # Errors
    /// When something cannot be read, or `sink` fails.
    pub fn run(
        &self,
        mut sink: impl FnMut(RecordBatch) -> Result<(), Error>,
    ) -> Result<Prepared, Error> {
        let rows = self.table.rows();
        self.progress.total.store(rows, Ordering::Relaxed);
        let own = self.shards();
        let shards = u64::from(own.last - own.first) + 1;
        let share = rows * shards / 256;
        let limit = (self.room.limit() as u64 / 3).max(1 << 20);
        let piles = (share * EVENT).div_ceil(limit).clamp(1, shards);
        let mut shelves = Shelves::new(
            &self.room,
            PastEvents::schema(&self.view.spec),
            usize::try_from(piles).unwrap_or(1),
        );
        let prepared = self.read(&mut shelves)?;
        let taken = prepared.counts.taken;
        self.progress.total.fetch_add(taken, Ordering::Relaxed);
        for pile in 0..shelves.parts() {
            let batches = shelves.take(pile)?;
            for batch in self.sorted(batches)? {
                let batch = batch?;
                let count = batch.num_rows() as u64;
                sink(batch)?;
                self.progress.done.fetch_add(count, Ordering::Relaxed);
            }
        }
        Ok(prepared)
    }

    /// The shards of its part.
    fn shards(&self) -> ShardRange {
        let (part, parts) = self.part;
        let all = ShardRange::split(parts as usize);
        all[(part as usize - 1).min(all.len() - 1)]
    }

    /// Reads the table, and puts its events aside by shards, in the order in which they lie there.
    fn read(&self, shelves: &mut Shelves) -> Result<Prepared, Error> {
        let units = self.table.units();
        let fields = fields_of(&self.view.source);
        let threads = self.threads.clamp(1, units.len().max(1));
        let (sender, found) = sync_channel::<(usize, Result<Found, Error>)>(2 * threads);
        let next = AtomicUsize::new(0);
        let turn = Turn::default();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let sender = sender.clone();
                let work = || self.work(&units, &fields, &next, &turn, threads, sender);
                scope.spawn(work);
            }
            drop(sender);
            let read = self.gather(units.len(), &found, &turn, shelves);
            // Those that still read find nobody who takes it.
            turn.end();
            drop(found);
            read
        })
    }

    /// Reads units as long as there are some.
    fn work(
        &self,
        units: &[Unit],
        fields: &Fields,
        next: &AtomicUsize,
        turn: &Turn,
        threads: usize,
        sender: SyncSender<(usize, Result<Found, Error>)>,
    ) {
        let past = Past::new(Arc::clone(&self.view));
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(unit) = units.get(at) else {
                return;
            };
            // What is read ahead of its turn waits in memory.
            if !turn.wait(at, 2 * threads) {
                return;
            }
            let mut ended = false;
            let sent = |found| sender.send((at, found)).is_ok();
            let read = self.read_unit(*unit, fields, &past, &mut |found| {
                ended |= found.last;
                sent(Ok(found))
            });
            match read {
                Ok(()) if ended => {}
                Ok(()) => return,
                Err(error) => {
                    sent(Err(error));
                    return;
                }
            }
        }
    }

    fn read_unit(
        &self,
        unit: Unit,
        fields: &Fields,
        past: &Past,
        each: &mut dyn FnMut(Found) -> bool,
    ) -> Result<(), Error> {
        let mut reading = fields.read(self.table, unit)?;
        while let Some(rows) = self.runtime.block_on(reading.next())? {
            self.progress.done.fetch_add(rows.read, Ordering::Relaxed);
            let found = self.take(unit, rows, past)?;
            if !each(found) {
                return Ok(());
            }
        }
        each(Found {
            events: None,
            prepared: Prepared::default(),
            last: true,
        });
        Ok(())
    }

    /// What the view makes of some rows.
    fn take(&self, unit: Unit, rows: Rows, past: &Past) -> Result<Found, Error> {
        let name = || self.table.name_of(unit);
        let mut counts = Counts {
            read: rows.read,
            ..Counts::default()
        };
        let mut refused = Vec::new();
        for (row, reason, why) in rows.refused {
            note(&mut counts, reason);
            if refused.len() < NAMED {
                refused.push(format!("{}, row {row}: {why}", name()));
            }
        }
        if self.bounds.before.is_some() && !rows.of_stream {
            return Err(Error::data(
                &name(),
                "does not say where the stream held its events, as other files of the table do",
            ));
        }
        let source = &self.view.source;
        let time = source.used.binary_search(&source.event_time);
        let times = time.ok().and_then(|place| {
            let column = rows.batch.column(place);
            column.as_primitive_opt::<TimestampMicrosecondType>()
        });
        let Some(times) = times else {
            return Err(Error::data(&name(), "its event times are no instants"));
        };
        let span = span(times);
        let keep = self.wanted(times, &rows.places, &mut counts);
        let (batch, places) = match keep {
            None => (rows.batch, rows.places),
            Some(keep) => {
                let mask = BooleanArray::from(keep.clone());
                let batch = filter_record_batch(&rows.batch, &mask)
                    .map_err(|error| Error::data(&name(), error))?;
                let places = rows.places.into_iter().zip(keep);
                let places = places.filter_map(|(place, keep)| keep.then_some(place));
                (batch, places.collect())
            }
        };
        let taken = past.take(&batch, places);
        counts.taken = taken.counts.taken;
        counts.dropped = taken.counts.dropped;
        counts.filtered = taken.counts.filtered;
        counts.null_key = taken.counts.null_key;
        for (_, reason, why) in taken.refused {
            note(&mut counts, reason);
            if refused.len() < NAMED {
                refused.push(format!("{}: {why}", name()));
            }
        }
        Ok(Found {
            events: Some(taken.events),
            prepared: Prepared {
                counts,
                span,
                refused,
            },
            last: false,
        })
    }

    /// Which rows are wanted, where not all are.
    fn wanted(
        &self,
        times: &TimestampMicrosecondArray,
        places: &[(u32, i64)],
        counts: &mut Counts,
    ) -> Option<Vec<bool>> {
        let bounds = &self.bounds;
        let is_inside = |time: i64| {
            bounds.from.is_none_or(|from| from.0 <= time)
                && bounds.to.is_none_or(|to| time < to.0)
                && bounds.kept_from.is_none_or(|kept| kept.0 < time)
        };
        let is_past = |(partition, offset): (u32, i64)| {
            let before = bounds.before.as_ref();
            before.is_none_or(|before| before.get(&partition).is_some_and(|next| offset < *next))
        };
        let mut all = true;
        let keep = times.values().iter().zip(places).map(|(time, place)| {
            let keep = match (is_past(*place), is_inside(*time)) {
                (true, true) => true,
                (false, _) => {
                    counts.by_stream += 1;
                    false
                }
                (true, false) => {
                    counts.outside += 1;
                    false
                }
            };
            all &= keep;
            keep
        });
        let keep: Vec<bool> = keep.collect();
        (!all).then_some(keep)
    }

    /// Puts what was found aside, a unit after the other.
    fn gather(
        &self,
        units: usize,
        found: &Receiver<(usize, Result<Found, Error>)>,
        turn: &Turn,
        shelves: &mut Shelves,
    ) -> Result<Prepared, Error> {
        let mut prepared = Prepared::default();
        let mut waiting: BTreeMap<usize, Vec<Found>> = BTreeMap::new();
        let mut at = 0;
        while at < units {
            let (unit, next) = found
                .recv()
                .map_err(|_| Error::new(Kind::Data, "a thread that reads the table ended early"))?;
            waiting.entry(unit).or_default().push(next?);
            while let Some(ready) = waiting.remove(&at) {
                let mut ended = false;
                for found in ready {
                    ended |= found.last;
                    self.put_aside(found, &mut prepared, shelves)?;
                }
                if !ended {
                    break;
                }
                at += 1;
                turn.pass(at);
            }
        }
        Ok(prepared)
    }

    fn put_aside(
        &self,
        found: Found,
        prepared: &mut Prepared,
        shelves: &mut Shelves,
    ) -> Result<(), Error> {
        let mut counts = found.prepared.counts;
        counts.taken = 0;
        if let Some(events) = found.events {
            let own = self.shards();
            let piles = shelves.parts();
            let width = usize::from(own.last - own.first) + 1;
            let mut by_pile: Vec<Vec<u32>> = vec![Vec::new(); piles];
            for (event, hash) in events.hashes().iter().enumerate() {
                let shard = Shard::of_hash(*hash);
                if own.contains(shard) {
                    counts.taken += 1;
                    let pile = usize::from(shard.0 - own.first) * piles / width;
                    by_pile[pile].push(event as u32);
                }
            }
            for (pile, events_of) in by_pile.iter().enumerate() {
                if !events_of.is_empty() {
                    shelves.push(pile, events.to_arrow(&self.view.spec, events_of))?;
                }
            }
            // Others count what they take, and the first what nobody takes.
            let others = events.len() as u64 - counts.taken;
            counts.read -= others;
        }
        if self.part.0 > 1 {
            counts = Counts {
                read: counts.taken,
                taken: counts.taken,
                ..Counts::default()
            };
        }
        prepared.counts.add(&counts);
        prepared.span = joined(prepared.span, found.prepared.span);
        let left = NAMED.saturating_sub(prepared.refused.len());
        let refused = found.prepared.refused.into_iter();
        prepared.refused.extend(refused.take(left));
        Ok(())
    }

    /// The events of a pile by shard, row, time and identity.
    fn sorted(
        &self,
        batches: Vec<RecordBatch>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, Error>> + use<>, Error> {
        let wrong = |error: arrow::error::ArrowError| Error::new(Kind::Data, error.to_string());
        let schema = PastEvents::schema(&self.view.spec);
        let all = concat_batches(&schema, &batches).map_err(wrong)?;
        drop(batches);
        let order = UInt32Array::from(order(&all));
        let starts = (0..all.num_rows()).step_by(BATCH);
        Ok(starts.map(move |start| {
            let count = BATCH.min(order.len() - start);
            take_record_batch(&all, &order.slice(start, count)).map_err(wrong)
        }))
    }
}

/// The order of events by shard, row, time and identity.
fn order(events: &RecordBatch) -> Vec<u32> {
    let hashes = events.column(0).as_primitive::<UInt64Type>().values();
    let keys = events.column(1).as_binary::<i32>();
    let times = events.column(2);
    let times = times.as_primitive::<TimestampMicrosecondType>().values();
    let mut entities = Entities::default();
    let of_event = hashes.iter().enumerate();
    let of_event = of_event.map(|(event, hash)| entities.find_or_add(keys.value(event), *hash));
    let of_event: Vec<u32> = of_event.collect();
    let shard = |entity: u32| Shard::of(entities.key(entity));
    let mut by_key: Vec<u32> = (0..entities.len() as u32).collect();
    by_key.sort_unstable_by(|a, b| {
        let ranks = |entity: u32| (shard(entity), entities.key(entity));
        ranks(*a).cmp(&ranks(*b))
    });
    let grouped = Grouped::new(entities.len(), || {
        of_event
            .iter()
            .zip(0u32..)
            .map(|(entity, event)| (*entity, event))
    });
    let tied = |a: u32, b: u32| by_id(events.column(3), a as usize, b as usize);
    // An identity may be of two columns.
    let more = events.schema().index_of("id_offset").ok();
    let tied = |a: u32, b: u32| {
        tied(a, b).then_with(|| match more {
            Some(place) => by_id(events.column(place), a as usize, b as usize),
            None => Order::Equal,
        })
    };
    let mut order = Vec::with_capacity(of_event.len());
    for entity in by_key {
        let start = order.len();
        order.extend_from_slice(grouped.of(entity as usize));
        order[start..].sort_by(|a: &u32, b: &u32| {
            let time = |event: &u32| times[*event as usize];
            time(a).cmp(&time(b)).then_with(|| tied(*a, *b))
        });
    }
    order
}

/// The order of two events by a column of their identities.
fn by_id(ids: &ArrayRef, a: usize, b: usize) -> Order {
    if let Some(ids) = ids.as_primitive_opt::<Int64Type>() {
        return ids.value(a).cmp(&ids.value(b));
    }
    if let Some(ids) = ids.as_primitive_opt::<UInt32Type>() {
        return ids.value(a).cmp(&ids.value(b));
    }
    match ids.as_binary_opt::<i32>() {
        Some(ids) => ids.value(a).cmp(ids.value(b)),
        None => Order::Equal,
    }
}

fn note(counts: &mut Counts, reason: Reason) {
    *counts.refused.entry(reason.name().to_owned()).or_default() += 1;
}

fn span(times: &TimestampMicrosecondArray) -> Option<(Timestamp, Timestamp)> {
    let times = times.values();
    let (first, last) = (times.iter().min()?, times.iter().max()?);
    Some((Timestamp(*first), Timestamp(*last)))
}

fn joined(
    a: Option<(Timestamp, Timestamp)>,
    b: Option<(Timestamp, Timestamp)>,
) -> Option<(Timestamp, Timestamp)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// Whose turn it is: units are put aside in order, and nobody reads far ahead.
#[derive(Default)]
struct Turn {
    at: Mutex<usize>,
    passed: Condvar,
    ended: AtomicBool,
}

impl Turn {
    /// Waits until unit `at` is at most `ahead` of those that were put aside; `false` at the end.
    fn wait(&self, at: usize, ahead: usize) -> bool {
        let held = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |turn: &mut usize| *turn + ahead < at && !self.ended.load(Ordering::Acquire);
        let held = self.passed.wait_while(held, waits);
        drop(held.unwrap_or_else(PoisonError::into_inner));
        !self.ended.load(Ordering::Acquire)
    }

    fn pass(&self, at: usize) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = at;
        self.passed.notify_all();
    }

    fn end(&self) {
        // Under the lock, so that nobody begins to wait just then.
        let held = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        self.ended.store(true, Ordering::Release);
        drop(held);
        self.passed.notify_all();
    }
}

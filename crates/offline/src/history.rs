//! Training sets: what serving would have said at instants of the past.
//!
//! A *spine* has rows of entity keys and an instant. Each gets the features of a service as they stood
//! then: a function of the accepted events up to the instant, by the code that answers live. Events and
//! spine are parted by entity, and every entity's events are made into a row that is finished at all of
//! its instants in one pass.
//!
//! ```text
//! spine ─► keys ─► by part of entities ─┐
//! tables ─► events ─► by part of entities ─┴─► rows ─► answers ─► by part of the spine ─► in its order
//! ```
//!
//! # Laws
//! - The answers are a function of the set of events, the definition and the instant: not of the order of
//!   files, the number of threads or parts.
//! - No event later than a row's instant counts in it.
//! - Rows come in the order of the spine, whatever memory there is.

mod answers;
mod columns;
mod part;
mod spine;
mod wholeness;

pub use spine::Spine;

use crate::error::{Error, Kind};
use crate::progress::Progress;
use crate::shelf::{Room, Shelves};
use crate::table::{Fields, Table};
use answers::{Asking, Counted, Landing};
use arrow::array::AsArray;
use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, UInt64Array, new_null_array};
use arrow::compute::{concat, take};
use arrow::datatypes::{Field, Schema, SchemaRef, UInt64Type};
use columns::Columns;
use part::{Bunch, Keys};
use spine::Keyed;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use tiderace_engine::{Past, PastCounts, PastEvents};
use tiderace_plan::Plan;
use tiderace_plan::model::{Service, Source, View};
use tiderace_types::{Column, CoveredFrom, SourceId, Timestamp};
use tokio::runtime::Handle;

/// What an event of a view takes in memory, roughly: for the number of parts.
const EVENT: u64 = 80;
/// What a row of the spine takes for a view, roughly, beside its answers.
const SPINE_ROW: u64 = 32;
/// Rows of the spine that are answered for together, at most.
const TOGETHER: u64 = 1 << 24;

/// A training set to be made.
pub struct History<'a> {
    /// The definitions.
    pub plan: &'a Plan,
    /// The service whose features are wanted.
    pub service: &'a Service,
    /// The rows that want them.
    pub spine: Spine,
    /// The past of each source.
    pub tables: BTreeMap<SourceId, Table>,
    /// The column of the spine that has the instants.
    pub timestamp: String,
    /// A column of the spine with the id of an event of each row, which is left out of its features.
    pub exclude: Option<String>,
    /// Whether each feature has a column that says where it may lack events.
    pub completeness: bool,
    /// Bytes of memory.
    pub room: Room,
    /// Threads.
    pub threads: usize,
    /// Where files are read.
    pub runtime: Handle,
    /// How far it has come, for whoever looks.
    pub progress: Arc<Progress>,
}

/// What a training set was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Rows of the spine.
    pub rows: u64,
    /// Rows of tables, by view.
    pub events: BTreeMap<String, PastCounts>,
    /// Copies of events that had come before.
    pub copies: u64,
    /// Copies with other content.
    pub conflicts: u64,
    /// Answers that do not fit their type, and are null.
    pub overflows: u64,
    /// Answers that are approximate, past a cap that their feature declares, by the feature.
    pub approximate: BTreeMap<String, u64>,
    /// On-demand features that failed, and are null.
    pub failed: u64,
    /// Why the first of them did.
    pub first_failure: Option<String>,
    /// Answers whose window begins before the past does, so that they may lack events, by the feature.
    pub warming: BTreeMap<String, u64>,
    /// The earliest event of each source's table.
    pub begins: BTreeMap<SourceId, Timestamp>,
    /// The first rows of tables that were refused, each by its name.
    pub refused: Vec<String>,
}

/// So many refused rows are named.
const NAMED: usize = 20;

impl History<'_> {
    /// The columns of the training set: those of the spine, and then the features.
    ///
    /// # Errors
    /// When the spine has no column that is needed, or one with the name of a feature.
    pub fn schema(&self) -> Result<SchemaRef, Error> {
        let columns = Columns::new(self.plan, self.service);
        self.whole_schema(&columns)
    }

    fn whole_schema(&self, columns: &Columns) -> Result<SchemaRef, Error> {
        let spine = self.spine.schema();
        let mut fields: Vec<Field> = spine.fields().iter().map(|f| f.as_ref().clone()).collect();
        let completeness = match self.completeness {
            true => columns.completeness_fields(),
            false => Vec::new(),
        };
        for field in columns.fields().into_iter().chain(completeness) {
            if spine.index_of(field.name()).is_ok() {
                return Err(Error::new(
                    Kind::Caller,
                    format!(
                        "{}: there is a column `{}` already, which is a feature of `{}`: rename it",
                        self.spine.name(),
                        field.name(),
                        self.service.name
                    ),
                ));
            }
            fields.push(field);
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    /// Makes it, and gives `sink` its rows, batch by batch.
    ///
    /// # Errors
    /// When something cannot be read, or `sink` fails.
    pub fn run(
        mut self,
        mut sink: impl FnMut(RecordBatch) -> Result<(), Error>,
    ) -> Result<Made, Error> {
        let mut made = Made::default();
        let columns = Columns::new(self.plan, self.service);
        let schema = self.whole_schema(&columns)?;
        let views: Vec<Arc<View>> = columns
            .views()
            .map(|view| Arc::clone(&self.plan.views[view]))
            .collect();
        self.check(&views)?;
        let rows = self.spine.rows();
        made.rows = rows;
        let (parts, buckets) = (self.parts(&views, rows), self.buckets(&columns, rows));
        self.count(&views, rows);
        let outputs = views.iter().zip(columns.outputs());
        let askings: Vec<Asking> = outputs
            .map(|(view, outputs)| Asking::new(Arc::clone(view), outputs))
            .collect();
        let found = match (parts, buckets) {
            (1, 1) => Found::Whole(self.answer_whole(&askings, &views, &mut made)?),
            _ => Found::Parts(self.answer_parts(&askings, &views, (parts, buckets), &mut made)?),
        };
        self.deliver((&columns, &askings), &schema, found, &mut made, &mut sink)?;
        Ok(made)
    }

    /// Answers everything in memory: a column for each output of each view.
    fn answer_whole(
        &self,
        askings: &[Asking],
        views: &[Arc<View>],
        made: &mut Made,
    ) -> Result<Vec<Vec<ArrayRef>>, Error> {
        let rows = usize::try_from(self.spine.rows()).unwrap_or(usize::MAX);
        let mut keys: Vec<Keys> = views.iter().map(|_| Keys::with_capacity(rows)).collect();
        self.read_keys(views, |place, batch| {
            keys[place].take(&batch);
            Ok(())
        })?;
        let mut bunches: Vec<Vec<Bunch>> = views.iter().map(|_| Vec::new()).collect();
        let prepare = |place: usize, events| Bunch::new(&keys[place].entities, events);
        self.read_events(views, made, prepare, |place, bunch| {
            bunches[place].extend(bunch);
            Ok(())
        })?;
        let all = askings.iter().zip(keys).zip(bunches);
        let answered = all.map(|((asking, keys), bunches)| {
            let mut landing = Landing::new(asking, rows, keys.len());
            let counted = asking.answer(&keys, &bunches, self.threads, |answered| {
                landing.take(answered);
                Ok(())
            })?;
            made.add(asking, &counted);
            landing.finish(asking)
        });
        answered.collect()
    }

    /// Answers part by part of the entities, what waits being put aside: by view, the answers by
    /// part of the spine.
    fn answer_parts(
        &self,
        askings: &[Asking],
        views: &[Arc<View>],
        (parts, buckets): (usize, usize),
        made: &mut Made,
    ) -> Result<Vec<Shelves>, Error> {
        let shelves = |schema: SchemaRef, parts| Shelves::new(&self.room, schema, parts);
        let schemas = self.keyed(views)?.schemas().collect::<Vec<_>>();
        let mut keys: Vec<Shelves> = schemas
            .into_iter()
            .map(|schema| shelves(schema, parts))
            .collect();
        self.read_keys(views, |place, batch| put_by_part(&batch, &mut keys[place]))?;
        let mut events: Vec<Shelves> = views
            .iter()
            .map(|view| shelves(PastEvents::schema(&view.spec), parts))
            .collect();
        let prepare = |_: usize, events| events;
        self.read_events(views, made, prepare, |place, found: PastEvents| {
            put_events(&views[place], &found, &mut events[place])
        })?;
        let mut answers: Vec<Shelves> = askings
            .iter()
            .map(|asking| shelves(asking.schema(), buckets))
            .collect();
        let bucket = self.spine.rows().div_ceil(buckets as u64).max(1);
        for (place, asking) in askings.iter().enumerate() {
            for part in 0..parts {
                let mut wanted = Keys::default();
                keys[place]
                    .take(part)?
                    .iter()
                    .for_each(|batch| wanted.take(batch));
                let mut bunches = Vec::new();
                for batch in events[place].take(part)? {
                    let read = PastEvents::from_arrow(&asking.view().spec, &batch)
                        .map_err(|error| Error::data("events put aside", error))?;
                    bunches.extend(Bunch::new(&wanted.entities, read));
                }
                let counted = asking.answer(&wanted, &bunches, self.threads, |answered| {
                    put_by_bucket(&answered.into_batch(asking)?, bucket, &mut answers[place])
                })?;
                made.add(asking, &counted);
            }
        }
        Ok(answers)
    }

    /// Checks that there is a table for every view, with the columns that it needs.
    fn check(&self, views: &[Arc<View>]) -> Result<(), Error> {
        for view in views {
            let source = &view.source;
            let Some(table) = self.tables.get(&source.id) else {
                return Err(Error::new(
                    Kind::Caller,
                    format!(
                        "source `{}` of view `{}` has no past: give it an `archive`, or name a table",
                        source.name, view.name
                    ),
                ));
            };
            fields_of(source).check(table)?;
        }
        Ok(())
    }

    /// In how many parts entities are taken.
    fn parts(&self, views: &[Arc<View>], rows: u64) -> usize {
        let bytes = views.iter().map(|view| {
            let events = self.tables[&view.source.id].rows();
            events * EVENT + rows * SPINE_ROW
        });
        let limit = (self.room.limit() as u64 / 2).max(1 << 20);
        let parts = bytes.sum::<u64>().div_ceil(limit);
        usize::try_from(parts).unwrap_or(1).clamp(1, 4096)
    }

    /// In how many parts of the spine answers are put together.
    fn buckets(&self, columns: &Columns<'_>, rows: u64) -> usize {
        let width = columns
            .outputs()
            .map(|outputs| outputs.len())
            .sum::<usize>() as u64;
        let fits = self.room.limit() as u64 / 2 / (8 * width + 16);
        let buckets = rows.div_ceil(fits.clamp(1 << 12, TOGETHER));
        usize::try_from(buckets).unwrap_or(1).max(1)
    }

    fn count(&self, views: &[Arc<View>], rows: u64) {
        let mut sources: Vec<SourceId> = views.iter().map(|view| view.source.id).collect();
        sources.sort_unstable();
        sources.dedup();
        let events: u64 = sources
            .iter()
            .map(|source| self.tables[source].rows())
            .sum();
        self.progress
            .total
            .store(events + 2 * rows, Ordering::Relaxed);
    }

    fn keyed(&self, views: &[Arc<View>]) -> Result<Keyed<'_>, Error> {
        Keyed::new(&self.spine, &self.timestamp, self.exclude.as_deref(), views)
    }

    /// Reads the spine's keys and instants, view by view of a batch.
    fn read_keys(
        &self,
        views: &[Arc<View>],
        mut each: impl FnMut(usize, RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut keyed = self.keyed(views)?;
        let roots = keyed.narrow();
        let mut batches = self.spine.read(&self.runtime, roots)?;
        let mut first = 0;
        while let Some(batch) = batches.next()? {
            let count = batch.num_rows() as u64;
            for place in 0..views.len() {
                each(place, keyed.keys(place, &batch, first)?)?;
            }
            first += count;
            self.progress.done.fetch_add(count, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Reads the events of every view. What `prepare` makes of them where they are read is given to
    /// `each` in the order of the tables, so that it does not depend on threads which copy of an
    /// event comes first.
    fn read_events<T: Send>(
        &self,
        views: &[Arc<View>],
        made: &mut Made,
        prepare: impl Fn(usize, PastEvents) -> T + Sync,
        mut each: impl FnMut(usize, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut sources: Vec<&Arc<Source>> = views.iter().map(|view| &view.source).collect();
        sources.sort_unstable_by_key(|source| source.id);
        sources.dedup_by_key(|source| source.id);
        for source in sources {
            let own: Vec<usize> = (0..views.len())
                .filter(|place| views[*place].source.id == source.id)
                .collect();
            let units = self.tables[&source.id].units().len();
            let waiting: Waiting<T> = Waiting::new(units);
            std::thread::scope(|scope| {
                let work = || self.read_source(source, &own, views, &prepare, &waiting);
                let threads = (0..self.threads.max(1)).map(|_| scope.spawn(work));
                let threads: Vec<_> = threads.collect();
                let mut result = Ok(());
                for unit in 0..units {
                    let Some(taken) = waiting.take(unit) else {
                        break;
                    };
                    for taken in taken {
                        made.read(&views[taken.view], taken.counts, taken.refused);
                        made.begins(source.id, taken.earliest);
                        if let Some(prepared) = taken.prepared {
                            result = result.and_then(|()| each(taken.view, prepared));
                        }
                    }
                }
                for thread in threads {
                    let panicked = "a thread that reads tables panicked";
                    let joined = thread.join().map_err(|_| Error::new(Kind::Data, panicked));
                    result = result.and(joined.and_then(|result| result));
                }
                result
            })?;
        }
        Ok(())
    }

    /// Reads units of a source's table for the views at `own`, as long as there are any.
    fn read_source<T: Send>(
        &self,
        source: &Source,
        own: &[usize],
        views: &[Arc<View>],
        prepare: &(impl Fn(usize, PastEvents) -> T + Sync),
        waiting: &Waiting<T>,
    ) -> Result<(), Error> {
        let table = &self.tables[&source.id];
        let fields = fields_of(source);
        let units = table.units();
        let pasts: Vec<Past> = own
            .iter()
            .map(|at| Past::new(Arc::clone(&views[*at])))
            .collect();
        let read = |unit: usize| -> Result<Vec<Taken<T>>, Error> {
            let mut reading = fields.read(table, units[unit])?;
            let mut all = Vec::new();
            while let Some(rows) = self.runtime.block_on(reading.next())? {
                for (past, view) in pasts.iter().zip(own) {
                    let taken = past.take(&rows.batch, rows.places.clone());
                    let mut counts = taken.counts;
                    counts.read += rows.refused.len() as u64;
                    counts.refused += rows.refused.len() as u64;
                    let of_table = rows.refused.iter().map(|(row, _, why)| (*row, why.clone()));
                    let of_view = taken
                        .refused
                        .into_iter()
                        .map(|(row, _, why)| (rows.row_in_file(row as usize), why));
                    let named =
                        |(row, why)| format!("{}, row {row}: {why}", table.name_of(units[unit]));
                    all.push(Taken {
                        view: *view,
                        counts,
                        refused: of_table.chain(of_view).take(NAMED).map(named).collect(),
                        earliest: taken.earliest,
                        prepared: Some(prepare(*view, taken.events)),
                    });
                }
                self.progress.done.fetch_add(rows.read, Ordering::Relaxed);
            }
            Ok(all)
        };
        while let Some(unit) = waiting.next() {
            match read(unit) {
                Ok(taken) => waiting.put(unit, taken),
                Err(error) => {
                    waiting.give_up();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Reads the spine once more, and gives its rows on with what was found.
    fn deliver(
        &mut self,
        (columns, askings): (&Columns<'_>, &[Asking]),
        schema: &SchemaRef,
        mut found: Found,
        made: &mut Made,
        sink: &mut impl FnMut(RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let instants = spine::instants(&self.spine, &self.timestamp)?;
        let whole_from: Vec<CoveredFrom> = columns
            .views()
            .map(|view| {
                let source = &self.plan.views[view].source;
                wholeness::whole_from(source, made.begins.get(&source.id).copied())
            })
            .collect();
        let request = columns.request(&self.spine)?;
        let bucket = found.bucket(self.spine.rows());
        let mut batches = self.spine.read(&self.runtime, self.spine.all())?;
        let mut held: Option<(usize, Vec<Vec<ArrayRef>>)> = None;
        let mut first = 0u64;
        while let Some(whole) = batches.next()? {
            let mut rest = whole;
            while rest.num_rows() > 0 {
                let at = usize::try_from(first / bucket).unwrap_or_default();
                let left = usize::try_from((at as u64 + 1) * bucket - first).unwrap_or(usize::MAX);
                let batch = rest.slice(0, left.min(rest.num_rows()));
                rest = rest.slice(batch.num_rows(), rest.num_rows() - batch.num_rows());
                if held.as_ref().is_none_or(|(held, _)| *held != at) {
                    let rows = self.spine.rows().min((at as u64 + 1) * bucket) - at as u64 * bucket;
                    held = Some((at, found.take(askings, at, (at as u64 * bucket, rows))?));
                }
                let Some((_, found)) = &held else { continue };
                let start = (first - at as u64 * bucket) as usize;
                let found: Vec<Vec<ArrayRef>> = found
                    .iter()
                    .map(|view| {
                        let slices = view.iter();
                        slices
                            .map(|array| array.slice(start, batch.num_rows()))
                            .collect()
                    })
                    .collect();
                let times = instants.of(&batch, first)?;
                let features = columns.arrange(&found, &request, &batch, &times, made)?;
                let mut arrays = batch.columns().to_vec();
                arrays.extend(features);
                let warming = columns.warming(&whole_from, &times);
                for (name, warming) in columns.all_names().zip(&warming) {
                    made.warms(name, warming.count(times.len()));
                }
                if self.completeness {
                    let approximate = columns.approximate(&found, askings);
                    let both = warming.iter().zip(&approximate);
                    arrays.extend(both.map(|(warming, marks)| warming.column(times.len(), marks)));
                }
                let out = RecordBatch::try_new(Arc::clone(schema), arrays)
                    .map_err(|error| Error::data(self.spine.name(), error))?;
                first += batch.num_rows() as u64;
                self.progress
                    .done
                    .fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
                sink(out)?;
            }
        }
        Ok(())
    }
}

/// What was found, by view.
enum Found {
    /// All of it, in the order of the spine.
    Whole(Vec<Vec<ArrayRef>>),
    /// By part of the spine.
    Parts(Vec<Shelves>),
}

impl Found {
    /// How many rows of the spine are in a part of it.
    fn bucket(&self, rows: u64) -> u64 {
        let buckets = match self {
            Found::Whole(_) => 1,
            Found::Parts(shelves) => shelves.first().map_or(1, Shelves::parts) as u64,
        };
        rows.div_ceil(buckets).max(1)
    }

    /// What was found for a part, the rows of which are so many from `first` on.
    fn take(
        &mut self,
        askings: &[Asking],
        part: usize,
        (first, rows): (u64, u64),
    ) -> Result<Vec<Vec<ArrayRef>>, Error> {
        match self {
            Found::Whole(columns) => Ok(std::mem::take(columns)),
            Found::Parts(shelves) => {
                let all = shelves.iter_mut().zip(askings);
                let columns = all.map(|(shelves, asking)| {
                    let found = in_order(shelves.take(part)?, first, rows as usize)?;
                    // Where nobody asked there is nothing.
                    let nothing = || {
                        asking
                            .types()
                            .map(|of| new_null_array(&of.to_arrow(), rows as usize))
                    };
                    Ok(match found.is_empty() {
                        true => nothing().collect(),
                        false => found,
                    })
                });
                columns.collect()
            }
        }
    }
}

/// What was made of a batch for a view.
struct Taken<T> {
    view: usize,
    counts: PastCounts,
    refused: Vec<String>,
    earliest: Option<Timestamp>,
    prepared: Option<T>,
}

/// Units that are read by many, and wanted in order.
struct Waiting<T> {
    units: usize,
    next: AtomicUsize,
    done: Mutex<BTreeMap<usize, Vec<Taken<T>>>>,
    changed: Condvar,
    given_up: AtomicBool,
}

impl<T> Waiting<T> {
    fn new(units: usize) -> Waiting<T> {
        Waiting {
            units,
            next: AtomicUsize::new(0),
            done: Mutex::default(),
            changed: Condvar::new(),
            given_up: AtomicBool::new(false),
        }
    }

    /// The next unit to read.
    fn next(&self) -> Option<usize> {
        let unit = self.next.fetch_add(1, Ordering::Relaxed);
        (unit < self.units && !self.given_up.load(Ordering::Acquire)).then_some(unit)
    }

    fn put(&self, unit: usize, taken: Vec<Taken<T>>) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.insert(unit, taken);
        self.changed.notify_all();
    }

    fn give_up(&self) {
        let _held = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        self.given_up.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Waits for a unit; `None` when it will not come.
    fn take(&self, unit: usize) -> Option<Vec<Taken<T>>> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(taken) = done.remove(&unit) {
                return Some(taken);
            }
            if self.given_up.load(Ordering::Acquire) {
                return None;
            }
            done = self
                .changed
                .wait(done)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Made {
    fn add(&mut self, asking: &Asking, counted: &Counted) {
        self.copies += counted.copies;
        self.conflicts += counted.conflicts;
        self.overflows += counted.overflows;
        for (name, count) in asking.names().zip(&counted.approximate) {
            if *count > 0 {
                let name = format!("{}:{name}", asking.view().name);
                *self.approximate.entry(name).or_default() += count;
            }
        }
    }

    fn read(&mut self, view: &View, counts: PastCounts, refused: Vec<String>) {
        self.events
            .entry(view.name.clone())
            .or_default()
            .add(counts);
        let left = NAMED.saturating_sub(self.refused.len());
        self.refused.extend(refused.into_iter().take(left));
    }

    fn begins(&mut self, source: SourceId, earliest: Option<Timestamp>) {
        if let Some(earliest) = earliest {
            let begins = self.begins.entry(source).or_insert(earliest);
            *begins = earliest.min(*begins);
        }
    }

    fn warms(&mut self, feature: &str, count: u64) {
        if count > 0 {
            *self.warming.entry(feature.to_owned()).or_default() += count;
        }
    }
}

fn put_events(view: &View, events: &PastEvents, shelves: &mut Shelves) -> Result<(), Error> {
    let parts = shelves.parts();
    let mut by_part: Vec<Vec<u32>> = vec![Vec::new(); parts];
    for (index, hash) in events.hashes().iter().enumerate() {
        by_part[part_of(*hash, parts)].push(index as u32);
    }
    for (part, indices) in by_part.into_iter().enumerate() {
        shelves.push(part, events.to_arrow(&view.spec, &indices))?;
    }
    Ok(())
}

/// Puts answers by the part of the spine that they are for.
fn put_by_bucket(batch: &RecordBatch, bucket: u64, shelves: &mut Shelves) -> Result<(), Error> {
    if shelves.parts() == 1 {
        return shelves.push(0, batch.clone());
    }
    let rows = batch.column(0).as_primitive::<UInt64Type>();
    let mut by_bucket: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (at, row) in rows.values().iter().enumerate() {
        let bucket = usize::try_from(row / bucket).unwrap_or_default();
        by_bucket.entry(bucket).or_default().push(at as u32);
    }
    for (bucket, indices) in by_bucket {
        shelves.push(bucket, picked(batch, &indices))?;
    }
    Ok(())
}

/// The part of the entities that a key's hash is in.
pub(crate) fn part_of(hash: u64, parts: usize) -> usize {
    ((u128::from(hash) * parts as u128) >> 64) as usize
}

/// The columns that views need of their source's table.
#[must_use]
pub fn fields_of(source: &Source) -> Fields {
    let used = source.used.iter();
    let columns = used
        .map(|at| -> (Column, String) { (source.columns[*at].clone(), source.names[*at].clone()) });
    let fields = Fields::new(columns).bounded(source.max_text_bytes, source.not_finite_as_null);
    match &source.archive {
        Some(archive) => fields.renamed(&archive.renamed),
        None => fields,
    }
}

fn put_by_part(keys: &RecordBatch, shelves: &mut Shelves) -> Result<(), Error> {
    let parts = shelves.parts();
    if parts == 1 {
        return shelves.push(0, keys.clone());
    }
    let hashes = keys.column(spine::HASH).as_primitive::<UInt64Type>();
    let mut by_part: Vec<Vec<u32>> = vec![Vec::new(); parts];
    for (index, hash) in hashes.values().iter().enumerate() {
        by_part[part_of(*hash, parts)].push(index as u32);
    }
    for (part, indices) in by_part.into_iter().enumerate() {
        if !indices.is_empty() {
            shelves.push(part, picked(keys, &indices))?;
        }
    }
    Ok(())
}

fn picked(batch: &RecordBatch, indices: &[u32]) -> RecordBatch {
    let indices = UInt32Array::from(indices.to_vec());
    let columns = batch.columns().iter();
    let columns = columns.map(|column| take(column, &indices, None).expect("indices are in range"));
    RecordBatch::try_new(batch.schema(), columns.collect()).expect("columns keep their types")
}

/// Answers, whose first column is the row of the spine each is for, in the order of `rows` rows from
/// `first` on; null where there is no answer.
fn in_order(batches: Vec<RecordBatch>, first: u64, rows: usize) -> Result<Vec<ArrayRef>, Error> {
    const NONE: u32 = u32::MAX;
    let Some(schema) = batches.first().map(RecordBatch::schema) else {
        return Ok(Vec::new());
    };
    let mut places = vec![NONE; rows];
    let mut at = 0;
    for batch in &batches {
        let numbers: &UInt64Array = batch.column(0).as_primitive();
        for row in numbers.values() {
            places[(row - first) as usize] = at;
            at += 1;
        }
    }
    let places: UInt32Array = match places.contains(&NONE) {
        false => places.into(),
        true => places
            .into_iter()
            .map(|place| (place != NONE).then_some(place))
            .collect(),
    };
    let fault = |error| Error::data("answers", error);
    (1..schema.fields().len())
        .map(|column| {
            let parts: Vec<&dyn Array> =
                batches.iter().map(|b| b.column(column).as_ref()).collect();
            let whole = concat(&parts).map_err(fault)?;
            take(&whole, &places, None).map_err(fault)
        })
        .collect()
}

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
mod spine;

pub use spine::Spine;

use crate::error::{Error, Kind};
use crate::shelf::{Room, Shelves};
use crate::table::{Fields, Table};
use answers::Asking;
use arrow::array::AsArray;
use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{Field, Schema, SchemaRef, UInt64Type};
use columns::Columns;
use spine::Keyed;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use tiderace_engine::{Past, PastCounts, PastEvents};
use tiderace_plan::Plan;
use tiderace_plan::model::{Service, Source, View};
use tiderace_types::{Column, SourceId};
use tokio::runtime::Handle;

/// What an event takes in memory, roughly: for the number of parts.
const EVENT: u64 = 160;
/// What a row of the spine takes, roughly.
const SPINE_ROW: u64 = 96;
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
    /// Bytes of memory.
    pub room: Room,
    /// Threads.
    pub threads: usize,
    /// Where files are read.
    pub runtime: Handle,
    /// How far it has come, for whoever looks.
    pub progress: Arc<Progress>,
}

/// How far a training set has come.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows of tables and spine that there are to read, each for every time it is read.
    pub total: AtomicU64,
    /// Those that were read.
    pub done: AtomicU64,
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
    /// On-demand features that failed, and are null, and why the first did.
    pub failed: u64,
    /// Why the first of them did.
    pub first_failure: Option<String>,
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
        for field in columns.fields() {
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
        let parts = self.parts(&views, rows);
        self.count(&views, rows);
        let mut spines = self.read_keys(&views, parts)?;
        let mut askings = Vec::with_capacity(views.len());
        for (view, outputs) in views.iter().zip(columns.outputs()) {
            askings.push(Asking::new(Arc::clone(view), outputs));
        }
        // A part that is all there is need not be put aside.
        let mut events = self.read_events(&views, parts, &mut made)?;
        let buckets = usize::try_from(rows.div_ceil(self.bucket()))
            .unwrap_or(usize::MAX)
            .max(1);
        let mut answers: Vec<Shelves> = askings
            .iter()
            .map(|asking| Shelves::new(&self.room, asking.schema(), buckets))
            .collect();
        for (place, asking) in askings.iter().enumerate() {
            for part in 0..parts {
                let keyed = spines[place].take(part)?;
                let held = events[place].take(asking.view(), part)?;
                let found = asking.answer(keyed, held, self.threads)?;
                made.copies += found.copies;
                made.conflicts += found.conflicts;
                made.overflows += found.overflows;
                for batch in found.batches {
                    self.put(&batch, &mut answers[place])?;
                }
            }
        }
        self.deliver(&columns, &schema, &mut answers, &mut made, &mut sink)?;
        Ok(made)
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
        let events = views.iter().map(|view| self.tables[&view.source.id].rows());
        let events = events.max().unwrap_or_default();
        let bytes = events * EVENT + rows * SPINE_ROW;
        let limit = (self.room.limit() as u64 / 2).max(1 << 20);
        usize::try_from(bytes.div_ceil(limit))
            .unwrap_or(1)
            .clamp(1, 4096)
    }

    /// How many rows of the spine are put together at the end.
    fn bucket(&self) -> u64 {
        let fits = self.room.limit() as u64 / 4 / 256;
        fits.clamp(1 << 14, TOGETHER)
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

    /// Reads the spine's keys and instants, by part, for every view.
    fn read_keys(&mut self, views: &[Arc<View>], parts: usize) -> Result<Vec<Shelves>, Error> {
        let mut keyed = Keyed::new(&self.spine, &self.timestamp, self.exclude.as_deref(), views)?;
        let mut shelves: Vec<Shelves> = keyed
            .schemas()
            .map(|schema| Shelves::new(&self.room, schema, parts))
            .collect();
        let mut batches = self.spine.read(&self.runtime)?;
        let mut first = 0;
        while let Some(batch) = batches.next()? {
            let count = batch.num_rows() as u64;
            for (place, shelves) in shelves.iter_mut().enumerate() {
                let keys = keyed.keys(place, &batch, first)?;
                put_by_part(&keys, shelves)?;
            }
            first += count;
            self.progress.done.fetch_add(count, Ordering::Relaxed);
        }
        Ok(shelves)
    }

    /// Reads the events of every view, by part.
    fn read_events(
        &self,
        views: &[Arc<View>],
        parts: usize,
        made: &mut Made,
    ) -> Result<Vec<Events>, Error> {
        let mut all: Vec<Events> = views
            .iter()
            .map(|view| match parts {
                1 => Events::Whole(Vec::new()),
                _ => Events::Parts(Shelves::new(
                    &self.room,
                    PastEvents::schema(&view.spec),
                    parts,
                )),
            })
            .collect();
        let mut sources: Vec<&Arc<Source>> = views.iter().map(|view| &view.source).collect();
        sources.sort_unstable_by_key(|source| source.id);
        sources.dedup_by_key(|source| source.id);
        for source in sources {
            let own: Vec<usize> = (0..views.len())
                .filter(|place| views[*place].source.id == source.id)
                .collect();
            let found = self.read_source(source, &own, views)?;
            for (unit, taken) in found {
                for (place, (events, counts, refused)) in own.iter().zip(taken) {
                    let view = &views[*place];
                    made.events
                        .entry(view.name.clone())
                        .or_default()
                        .add(counts);
                    let table = &self.tables[&source.id];
                    let names = refused.into_iter().map(|(row, why)| {
                        format!("{}, row {row}: {why}", table.name_of(table.units()[unit]))
                    });
                    let left = NAMED.saturating_sub(made.refused.len());
                    made.refused.extend(names.take(left));
                    all[*place].put(view, unit, events)?;
                }
            }
        }
        for events in &mut all {
            if let Events::Whole(batches) = events {
                // Which copy of an event stands does not depend on which thread was first.
                batches.sort_by_key(|(unit, _)| *unit);
            }
        }
        Ok(all)
    }

    /// Reads a source's table for the views at `own`, unit by unit.
    #[expect(clippy::type_complexity, reason = "units, views and what each found")]
    fn read_source(
        &self,
        source: &Source,
        own: &[usize],
        views: &[Arc<View>],
    ) -> Result<Vec<(usize, Vec<(PastEvents, PastCounts, Vec<(u64, String)>)>)>, Error> {
        let table = &self.tables[&source.id];
        let fields = fields_of(source);
        let units = table.units();
        let next = AtomicUsize::new(0);
        let pasts: Vec<Past> = own
            .iter()
            .map(|at| Past::new(Arc::clone(&views[*at])))
            .collect();
        let found = Mutex::new(Vec::new());
        let work = || -> Result<(), Error> {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(unit) = units.get(at) else {
                    return Ok(());
                };
                let mut reading = fields.read(table, *unit)?;
                while let Some(rows) = self.runtime.block_on(reading.next())? {
                    let told = rows.refused.iter().map(|(row, _, why)| (*row, why.clone()));
                    let told: Vec<(u64, String)> = told.collect();
                    let taken = pasts.iter().map(|past| {
                        let taken = past.take(&rows.batch, rows.places.clone());
                        let mut counts = taken.counts;
                        counts.read += told.len() as u64;
                        counts.refused += told.len() as u64;
                        let mut told = told.clone();
                        told.extend(taken.refused.into_iter().map(|(_, _, why)| (0, why)));
                        (taken.events, counts, told)
                    });
                    let taken = (at, taken.collect());
                    found
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(taken);
                    self.progress.done.fetch_add(rows.read, Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.max(1))
                .map(|_| scope.spawn(work))
                .collect();
            let joined = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(_) => Err(Error::new(
                    Kind::Data,
                    "a thread that reads tables panicked",
                )),
            });
            joined.collect::<Result<Vec<()>, Error>>()
        })?;
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(unit, _)| *unit);
        Ok(found)
    }

    /// Puts answers by the part of the spine that they are for.
    fn put(&self, batch: &RecordBatch, shelves: &mut Shelves) -> Result<(), Error> {
        if shelves.parts() == 1 {
            return shelves.push(0, batch.clone());
        }
        let bucket = self.bucket();
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

    /// Reads the spine once more, and gives its rows on with what was found.
    fn deliver(
        &mut self,
        columns: &Columns,
        schema: &SchemaRef,
        answers: &mut [Shelves],
        made: &mut Made,
        sink: &mut impl FnMut(RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let instants = spine::instants(&self.spine, &self.timestamp)?;
        let request = columns.request(&self.spine)?;
        let bucket = self.bucket();
        let mut batches = self.spine.read(&self.runtime)?;
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
                    let columns = answers.iter_mut().map(|shelves| {
                        in_order(shelves.take(at)?, at as u64 * bucket, rows as usize)
                    });
                    held = Some((at, columns.collect::<Result<_, Error>>()?));
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

/// The events of a view.
enum Events {
    /// All of them, by the unit they were read from.
    Whole(Vec<(usize, PastEvents)>),
    /// By part of the entities.
    Parts(Shelves),
}

impl Events {
    fn put(&mut self, view: &View, unit: usize, events: PastEvents) -> Result<(), Error> {
        match self {
            Events::Whole(batches) => batches.push((unit, events)),
            Events::Parts(shelves) => {
                let parts = shelves.parts();
                let mut by_part: Vec<Vec<u32>> = vec![Vec::new(); parts];
                for (index, hash) in events.hashes().iter().enumerate() {
                    by_part[part_of(*hash, parts)].push(index as u32);
                }
                for (part, indices) in by_part.into_iter().enumerate() {
                    shelves.push(part, events.to_arrow(&view.spec, &indices))?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, view: &View, part: usize) -> Result<Vec<PastEvents>, Error> {
        match self {
            Events::Whole(batches) => {
                let batches = std::mem::take(batches).into_iter();
                Ok(batches.map(|(_, events)| events).collect())
            }
            Events::Parts(shelves) => {
                let batches = shelves.take(part)?.into_iter();
                let read = |batch: RecordBatch| {
                    PastEvents::from_arrow(&view.spec, &batch)
                        .map_err(|error| Error::data("events put aside", error))
                };
                batches.map(read).collect()
            }
        }
    }
}

/// The part of the entities that a key's hash is in.
pub(crate) fn part_of(hash: u64, parts: usize) -> usize {
    ((u128::from(hash) * parts as u128) >> 64) as usize
}

/// The columns that views need of their source's table.
pub(crate) fn fields_of(source: &Source) -> Fields {
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

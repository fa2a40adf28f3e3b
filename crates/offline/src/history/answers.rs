//! One view's answers for the keys and instants of a spine.

use crate::entities::{Entities, Grouped, NOBODY};
use crate::error::{Error, Kind};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType as ArrowType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType,
    UInt64Type,
};
use std::ops::Range;
use std::sync::Arc;
use tiderace_aggregate::{
    Answer, Events, FinishError, Id, Insert, Packed, Row, Said, Sweep, SweptAnswers, SweptColumn,
};
use tiderace_engine::PastEvents;
use tiderace_plan::model::View;
use tiderace_types::{DataType, Timestamp, Value, arrays};

/// Outputs of a view that are asked for.
pub(super) struct Asking {
    view: Arc<View>,
    outputs: Vec<usize>,
    sweep: Sweep,
}

/// What was found for a part of the entities.
#[derive(Default)]
pub(super) struct Found {
    /// Batches of [`Asking::schema`].
    pub(super) batches: Vec<RecordBatch>,
    /// Copies of events that had come before.
    pub(super) copies: u64,
    /// Copies with other content.
    pub(super) conflicts: u64,
    /// Answers that do not fit their type.
    pub(super) overflows: u64,
}

/// A row of the spine that is answered for.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    time: i64,
    row: u64,
    /// Where in the batches of keys it is: batch and row.
    place: (u32, u32),
}

impl Asking {
    pub(super) fn new(view: Arc<View>, outputs: Vec<usize>) -> Asking {
        Asking {
            sweep: Sweep::of(&view.spec, &outputs),
            outputs,
            view,
        }
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// `row`, and a column for each output.
    pub(super) fn schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new("row", ArrowType::UInt64, false)];
        for output in &self.outputs {
            let output = &self.view.spec.outputs[*output];
            let arrow = output.data_type.to_arrow();
            fields.push(Field::new(&output.name, arrow, true));
        }
        Arc::new(Schema::new(fields))
    }

    /// Answers `keys` from `events`, by so many threads.
    pub(super) fn answer(
        &self,
        keys: Vec<RecordBatch>,
        events: Vec<PastEvents>,
        threads: usize,
    ) -> Result<Found, Error> {
        let mut entities = Entities::default();
        let mut of_rows = Vec::new();
        for batch in &keys {
            let hashes = batch
                .column(super::spine::HASH)
                .as_primitive::<UInt64Type>();
            let keys = batch.column(3).as_binary::<i32>();
            let entity = |row: usize| entities.find_or_add(keys.value(row), hashes.value(row));
            of_rows.push((0..batch.num_rows()).map(entity).collect::<Vec<u32>>());
        }
        let wanted = wanted(&keys, &of_rows, entities.len());
        let mut of_events = Vec::new();
        for batch in &events {
            let hashes = batch.hashes().iter().enumerate();
            let entity = |(index, hash): (usize, &u64)| entities.find(batch.key(index), *hash);
            of_events.push(hashes.map(entity).collect::<Vec<u32>>());
        }
        let grouped = Grouped::new(entities.len(), || {
            let batches = of_events.iter().zip(0u32..);
            batches.flat_map(|(batch, at)| {
                let members = batch.iter().zip(0u32..);
                members.map(move |(entity, index)| (*entity, (at, index)))
            })
        });
        let job = Job {
            asking: self,
            keys: &keys,
            events: &events,
            grouped: &grouped,
            wanted: &wanted,
        };
        let shares = shares(entities.len(), threads, |entity| {
            wanted.of(entity).len() + grouped.of(entity).len()
        });
        let found = std::thread::scope(|scope| {
            let work = shares.into_iter().map(|share| {
                let job = &job;
                scope.spawn(move || job.run(share))
            });
            let threads: Vec<_> = work.collect();
            let joined = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(_) => Err(Error::new(Kind::Data, "a thread that answers panicked")),
            });
            joined.collect::<Result<Vec<Found>, Error>>()
        })?;
        let mut all = Found::default();
        for found in found {
            all.batches.extend(found.batches);
            all.copies += found.copies;
            all.conflicts += found.conflicts;
            all.overflows += found.overflows;
        }
        Ok(all)
    }
}

/// The rows of keys by entity.
fn wanted(keys: &[RecordBatch], of_rows: &[Vec<u32>], entities: usize) -> Grouped<Wanted> {
    Grouped::new(entities, || {
        let batches = keys.iter().zip(of_rows).zip(0u32..);
        batches.flat_map(|((batch, of_rows), at)| {
            let rows = batch.column(0).as_primitive::<UInt64Type>().values().iter();
            let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
            let times = times.values().iter();
            let rows = of_rows.iter().zip(rows.zip(times)).zip(0u32..);
            rows.map(move |((entity, (row, time)), index)| {
                let wanted = Wanted {
                    time: *time,
                    row: *row,
                    place: (at, index),
                };
                (*entity, wanted)
            })
        })
    })
}

/// Parts entities so that each share has about as much to do.
fn shares(entities: usize, threads: usize, weight: impl Fn(usize) -> usize) -> Vec<Range<usize>> {
    let total: usize = (0..entities).map(&weight).sum();
    let each = total / threads.max(1) + 1;
    let mut shares = Vec::new();
    let (mut start, mut held) = (0, 0);
    for entity in 0..entities {
        held += weight(entity);
        if held >= each {
            shares.push(start..entity + 1);
            (start, held) = (entity + 1, 0);
        }
    }
    if start < entities {
        shares.push(start..entities);
    }
    shares
}

/// What all threads look at.
struct Job<'a> {
    asking: &'a Asking,
    keys: &'a [RecordBatch],
    events: &'a [PastEvents],
    grouped: &'a Grouped<(u32, u32)>,
    wanted: &'a Grouped<Wanted>,
}

impl Job<'_> {
    /// Answers for a share of the entities.
    fn run(&self, entities: Range<usize>) -> Result<Found, Error> {
        let spec = &self.asking.view.spec;
        let mut found = Found::default();
        let mut out = Out::new(self.asking);
        let mut answers = SweptAnswers::default();
        let mut instants = Vec::new();
        let mut without = Vec::new();
        let mut rows: Vec<Wanted> = Vec::new();
        for entity in entities {
            rows.clear();
            rows.extend_from_slice(self.wanted.of(entity));
            if !rows.is_sorted_by_key(|wanted| wanted.time) {
                rows.sort_by_key(|wanted| wanted.time);
            }
            let row = self.row(entity, &mut found);
            instants.clear();
            instants.extend(rows.iter().map(|wanted| Timestamp(wanted.time)));
            without.clear();
            if self.keys.first().is_some_and(|keys| keys.num_columns() > 4) {
                without.extend(rows.iter().map(|wanted| self.own(wanted, &row.events)));
            }
            let sweep = &self.asking.sweep;
            sweep.run(spec, &row, &instants, &without, &mut answers);
            let hidden = self.hidden(&row, &instants);
            out.take(&rows, &hidden, &mut answers);
        }
        found.overflows = out.overflows;
        found.batches = out.finish(&self.asking.schema())?;
        Ok(found)
    }

    /// The row of an entity, of all its events.
    fn row(&self, entity: usize, found: &mut Found) -> Row {
        let spec = &self.asking.view.spec;
        let mut row = Row::new(spec);
        let places = self.grouped.of(entity);
        let mut count = |insert: Insert| match insert {
            Insert::Applied { .. } => {}
            Insert::Duplicate => found.copies += 1,
            Insert::Conflict => found.conflicts += 1,
        };
        let batch = |(batch, _): &(u32, u32)| &self.events[*batch as usize];
        if places.iter().all(|place| batch(place).is_packed()) {
            let packed = places
                .iter()
                .map(|place| batch(place).packed(place.1 as usize));
            let packed: Vec<Packed<'_>> = packed.collect();
            row.events.insert_all(&packed, |_, insert| count(insert));
            return row;
        }
        let width = spec.inputs.len();
        let mut cells = Vec::with_capacity(places.len() * width);
        for place in places {
            batch(place).push_cells(place.1 as usize, &mut cells);
        }
        let events = places
            .iter()
            .enumerate()
            .map(|(at, place)| batch(place).event(place.1 as usize, &cells[at * width..][..width]));
        let events: Vec<_> = events.collect();
        row.events.insert_all(&events, |_, insert| count(insert));
        row
    }

    /// The event that a row of the spine leaves out.
    fn own(&self, wanted: &Wanted, events: &Events) -> Option<usize> {
        let (batch, row) = (wanted.place.0 as usize, wanted.place.1 as usize);
        let column = self.keys[batch].column(4);
        if column.is_null(row) {
            return None;
        }
        let id = match column.data_type() {
            ArrowType::Int64 => Id::Int(column.as_primitive::<Int64Type>().value(row)),
            _ => Id::Bytes(column.as_binary::<i32>().value(row)),
        };
        // Mostly it is the event of that very instant; the same id at another time is another event.
        let end = events.times().partition_point(|time| *time <= wanted.time);
        (0..end).rev().find(|index| events.id(*index) == id)
    }

    /// At which instants the entity's newest event is older than the view's `max_age`.
    fn hidden(&self, row: &Row, instants: &[Timestamp]) -> Vec<bool> {
        let Some(max_age) = self.asking.view.max_age else {
            return Vec::new();
        };
        let times = row.events.times();
        let too_old = |as_of: &Timestamp| {
            let end = times.partition_point(|time| *time <= as_of.0);
            let newest = end.checked_sub(1).map(|at| Timestamp(times[at]));
            newest.is_some_and(|newest| newest < as_of.minus(max_age))
        };
        instants.iter().map(too_old).collect()
    }
}

/// Answers on their way into columns.
struct Out<'a> {
    asking: &'a Asking,
    rows: Vec<u64>,
    columns: Vec<OutColumn>,
    overflows: u64,
}

enum OutColumn {
    Ints(Vec<i64>, Vec<bool>),
    Floats(Vec<f64>, Vec<bool>),
    Values(Vec<Value>),
}

impl Out<'_> {
    fn new(asking: &Asking) -> Out<'_> {
        let column = |output: &usize| match asking.view.spec.outputs[*output].data_type {
            DataType::Int64 => OutColumn::Ints(Vec::new(), Vec::new()),
            DataType::Float64 => OutColumn::Floats(Vec::new(), Vec::new()),
            _ => OutColumn::Values(Vec::new()),
        };
        Out {
            columns: asking.outputs.iter().map(column).collect(),
            asking,
            rows: Vec::new(),
            overflows: 0,
        }
    }

    /// Appends the answers for rows of one entity; those that are hidden are null.
    fn take(&mut self, rows: &[Wanted], hidden: &[bool], answers: &mut SweptAnswers) {
        self.rows.extend(rows.iter().map(|wanted| wanted.row));
        let shown = |at: usize| !hidden.get(at).copied().unwrap_or_default();
        for (column, swept) in self.columns.iter_mut().zip(&mut answers.columns) {
            match (column, swept) {
                (OutColumn::Ints(out, valid), SweptColumn::Ints(numbers, said)) => {
                    out.extend_from_slice(numbers);
                    self.overflows += mark(valid, said, shown);
                }
                (OutColumn::Floats(out, valid), SweptColumn::Floats(numbers, said)) => {
                    out.extend_from_slice(numbers);
                    self.overflows += mark(valid, said, shown);
                }
                (OutColumn::Values(out), SweptColumn::Values(values)) => {
                    let values = values.drain(..).enumerate();
                    out.extend(
                        values.map(
                            |(at, answer): (usize, Result<Answer, FinishError>)| match answer {
                                Ok(answer) if shown(at) => answer.value,
                                Ok(_) => Value::Null,
                                Err(_) => {
                                    self.overflows += 1;
                                    Value::Null
                                }
                            },
                        ),
                    );
                }
                _ => unreachable!("a sweep's columns are of the outputs' types"),
            }
        }
    }

    fn finish(self, schema: &SchemaRef) -> Result<Vec<RecordBatch>, Error> {
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        let fault = |error| Error::data("answers", error);
        let nulls = |valid: Vec<bool>| {
            let nulls = NullBuffer::from(valid);
            (nulls.null_count() > 0).then_some(nulls)
        };
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt64Array::from(self.rows))];
        for (column, output) in self.columns.into_iter().zip(&self.asking.outputs) {
            columns.push(match column {
                OutColumn::Ints(numbers, valid) => {
                    Arc::new(Int64Array::new(numbers.into(), nulls(valid)))
                }
                OutColumn::Floats(numbers, valid) => {
                    Arc::new(Float64Array::new(numbers.into(), nulls(valid)))
                }
                OutColumn::Values(values) => {
                    let data_type = &self.asking.view.spec.outputs[*output].data_type;
                    let values: Vec<&Value> = values.iter().collect();
                    arrays::from_values(data_type, &values).map_err(fault)?
                }
            });
        }
        let batch = RecordBatch::try_new(Arc::clone(schema), columns).map_err(fault)?;
        Ok(vec![batch])
    }
}

/// Notes which answers are numbers; tells how many do not fit.
fn mark(valid: &mut Vec<bool>, said: &[Said], shown: impl Fn(usize) -> bool) -> u64 {
    let said = said.iter().enumerate();
    valid.extend(
        said.clone()
            .map(|(at, said)| *said == Said::Number && shown(at)),
    );
    said.filter(|(_, said)| **said == Said::Overflow).count() as u64
}

const _: () = assert!(
    NOBODY == u32::MAX,
    "an entity's number is a place in a list"
);

//! One view's answers for the keys and instants of a spine.

use super::part::{Bunch, Keys, insert};
use crate::entities::Grouped;
use crate::error::{Error, Kind};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType as ArrowType, Field, Int64Type, Schema, SchemaRef};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use tiderace_aggregate::{Events, Id, Insert, Row, Said, Sweep, SweptAnswers, SweptColumn};
use tiderace_plan::model::View;
use tiderace_types::{DataType, Timestamp, Value, arrays};

/// About so many rows are answered before their answers are handed on.
const CHUNK: usize = 16 * 1024;

/// Outputs of a view that are asked for.
pub(super) struct Asking {
    view: Arc<View>,
    outputs: Vec<usize>,
    sweep: Sweep,
    /// The outputs whose answers are marked where they are approximate, as places in `outputs`.
    marked: Vec<usize>,
}

/// What was counted on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    /// Copies of events that had come before.
    pub(super) copies: u64,
    /// Copies with other content.
    pub(super) conflicts: u64,
    /// Answers that do not fit their type.
    pub(super) overflows: u64,
    /// Answers that are approximate, by output.
    pub(super) approximate: Vec<u64>,
}

impl Counted {
    pub(super) fn add(&mut self, other: &Counted) {
        self.copies += other.copies;
        self.conflicts += other.conflicts;
        self.overflows += other.overflows;
        self.approximate
            .resize(other.approximate.len().max(self.approximate.len()), 0);
        let approximate = self.approximate.iter_mut().zip(&other.approximate);
        approximate.for_each(|(sum, more)| *sum += more);
    }
}

impl Asking {
    pub(super) fn new(view: Arc<View>, outputs: Vec<usize>) -> Asking {
        let sweep = Sweep::of(&view.spec, &outputs);
        // What is swept is exact.
        let slots = 0..outputs.len();
        let is_finished =
            |slot: &usize| matches!(sweep.column(&view.spec, *slot), SweptColumn::Values(_));
        Asking {
            marked: slots.filter(is_finished).collect(),
            sweep,
            outputs,
            view,
        }
    }

    /// Where among its columns are the marks of an output.
    pub(super) fn marks_of(&self, place: usize) -> Option<usize> {
        let at = self.marked.iter().position(|marked| *marked == place)?;
        Some(self.outputs.len() + at)
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// The names of the outputs.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let outputs = self.outputs.iter();
        outputs.map(|output| self.view.spec.outputs[*output].name.as_str())
    }

    /// An empty column for each output.
    fn columns(&self) -> impl Iterator<Item = SweptColumn> {
        let slots = 0..self.outputs.len();
        slots.map(|slot| self.sweep.column(&self.view.spec, slot))
    }

    /// The types of the outputs.
    pub(super) fn types(&self) -> impl Iterator<Item = &DataType> {
        let outputs = self.outputs.iter();
        outputs.map(|output| &self.view.spec.outputs[*output].data_type)
    }

    /// `row`, a column for each output, and the marks of those that may be approximate.
    pub(super) fn schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new("row", ArrowType::UInt64, false)];
        for output in &self.outputs {
            let output = &self.view.spec.outputs[*output];
            let arrow = output.data_type.to_arrow();
            fields.push(Field::new(&output.name, arrow, true));
        }
        for place in &self.marked {
            let output = &self.view.spec.outputs[self.outputs[*place]];
            let name = format!("{} is approximate", output.name);
            fields.push(Field::new(name, ArrowType::Boolean, true));
        }
        Arc::new(Schema::new(fields))
    }

    /// Answers `keys` from `events`, by so many threads, and hands the answers on as they come.
    pub(super) fn answer(
        &self,
        keys: &Keys,
        events: &[Bunch],
        threads: usize,
        mut each: impl FnMut(Answered) -> Result<(), Error>,
    ) -> Result<Counted, Error> {
        let wanted = keys.grouped();
        let entities = keys.entities.len();
        let job = Job {
            asking: self,
            keys,
            without: keys.without()?,
            events,
            grouped: Bunch::grouped(events, entities),
            wanted,
        };
        if threads <= 1 {
            return job.run(0..entities, each);
        }
        let shares = shares(entities, threads, |entity| {
            job.wanted.of(entity).len() + job.grouped.of(entity).len()
        });
        let (sender, answers) = sync_channel::<Answered>(2 * threads);
        std::thread::scope(|scope| {
            let work = shares.into_iter().map(|share| {
                let (job, sender) = (&job, sender.clone());
                scope.spawn(move || job.run(share, |answered| send(&sender, answered)))
            });
            let working: Vec<_> = work.collect();
            drop(sender);
            let mut result = Ok(());
            // Even where nobody wants them any more: who sends must not wait for ever.
            for answered in answers {
                result = result.and_then(|()| each(answered));
            }
            let mut all = Counted::default();
            for thread in working {
                let counted = thread
                    .join()
                    .map_err(|_| Error::new(Kind::Data, "a thread that answers panicked"))??;
                all.add(&counted);
            }
            result.map(|()| all)
        })
    }
}

fn send(to: &SyncSender<Answered>, answered: Answered) -> Result<(), Error> {
    to.send(answered)
        .map_err(|_| Error::new(Kind::Data, "nobody takes the answers"))
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
    keys: &'a Keys,
    without: Option<ArrayRef>,
    events: &'a [Bunch],
    grouped: Grouped<(u32, u32)>,
    wanted: Grouped<u32>,
}

impl Job<'_> {
    /// Answers for a share of the entities.
    fn run(
        &self,
        entities: Range<usize>,
        mut each: impl FnMut(Answered) -> Result<(), Error>,
    ) -> Result<Counted, Error> {
        let spec = &self.asking.view.spec;
        let mut counted = Counted::default();
        let mut out = Answered::new(self.asking);
        let mut answers = SweptAnswers::default();
        let mut instants = Vec::new();
        let mut without = Vec::new();
        let mut rows: Vec<u32> = Vec::new();
        for entity in entities {
            rows.clear();
            rows.extend_from_slice(self.wanted.of(entity));
            let time = |row: &u32| self.keys.times[*row as usize];
            if !rows.is_sorted_by_key(time) {
                rows.sort_by_key(time);
            }
            let row = self.row(entity, &mut counted);
            instants.clear();
            instants.extend(rows.iter().map(|row| Timestamp(time(row))));
            without.clear();
            if let Some(ids) = &self.without {
                let own = rows.iter().map(|at| own(ids, *at, time(at), &row.events));
                without.extend(own);
            }
            let sweep = &self.asking.sweep;
            sweep.run(spec, &row, &instants, &without, &mut answers);
            let hidden = self.hidden(&row, &instants);
            let rows = rows.iter().map(|row| self.keys.row(*row));
            out.take(rows, &hidden, &mut answers, &mut counted);
            if out.rows.len() >= CHUNK {
                each(std::mem::replace(&mut out, Answered::new(self.asking)))?;
            }
        }
        if !out.rows.is_empty() {
            each(out)?;
        }
        Ok(counted)
    }

    /// The row of an entity, of all its events.
    fn row(&self, entity: usize, counted: &mut Counted) -> Row {
        let spec = &self.asking.view.spec;
        let mut row = Row::new(spec);
        let places = self.grouped.of(entity);
        insert(
            spec,
            self.events,
            places,
            &mut row.events,
            |insert| match insert {
                Insert::Applied { .. } => {}
                Insert::Duplicate => counted.copies += 1,
                Insert::Conflict => counted.conflicts += 1,
            },
        );
        row
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

/// The event that a row of the spine leaves out.
fn own(ids: &ArrayRef, row: u32, time: i64, events: &Events) -> Option<usize> {
    let row = row as usize;
    if ids.is_null(row) {
        return None;
    }
    let id = match ids.data_type() {
        ArrowType::Int64 => Id::Int(ids.as_primitive::<Int64Type>().value(row)),
        _ => Id::Bytes(ids.as_binary::<i32>().value(row)),
    };
    // Mostly it is the event of that very instant; the same id at another time is another event.
    let end = events.times().partition_point(|at| *at <= time);
    (0..end).rev().find(|index| events.id(*index) == id)
}

/// Answers for some rows of the spine.
pub(super) struct Answered {
    pub(super) rows: Vec<u64>,
    pub(super) columns: Vec<Column>,
}

/// The answers to one output; what is no number is marked, and of values what is approximate.
pub(super) enum Column {
    Ints(Vec<i64>, Vec<usize>),
    Floats(Vec<f64>, Vec<usize>),
    Values(Vec<Value>, Vec<usize>),
}

impl Answered {
    fn new(asking: &Asking) -> Answered {
        let column = |swept| match swept {
            SweptColumn::Ints(..) => Column::Ints(Vec::with_capacity(CHUNK), Vec::new()),
            SweptColumn::Floats(..) => Column::Floats(Vec::with_capacity(CHUNK), Vec::new()),
            SweptColumn::Values(_) => Column::Values(Vec::new(), Vec::new()),
        };
        Answered {
            rows: Vec::with_capacity(CHUNK),
            columns: asking.columns().map(column).collect(),
        }
    }

    /// Appends the answers for rows of one entity; those that are hidden are null.
    fn take(
        &mut self,
        rows: impl Iterator<Item = u64>,
        hidden: &[bool],
        answers: &mut SweptAnswers,
        counted: &mut Counted,
    ) {
        let first = self.rows.len();
        self.rows.extend(rows);
        counted.approximate.resize(self.columns.len(), 0);
        let mark = |nulls: &mut Vec<usize>, said: &[(usize, Said)]| {
            nulls.extend(said.iter().map(|(at, _)| first + at));
            let hidden = hidden.iter().enumerate().filter(|(_, hidden)| **hidden);
            nulls.extend(hidden.map(|(at, _)| first + at));
            let overflown = said.iter().filter(|(_, said)| *said == Said::Overflow);
            overflown.count() as u64
        };
        let columns = self.columns.iter_mut().zip(&mut answers.columns);
        for ((column, swept), approximate) in columns.zip(&mut counted.approximate) {
            match (column, swept) {
                (Column::Ints(out, nulls), SweptColumn::Ints(numbers, said)) => {
                    out.extend_from_slice(numbers);
                    counted.overflows += mark(nulls, said);
                }
                (Column::Floats(out, nulls), SweptColumn::Floats(numbers, said)) => {
                    out.extend_from_slice(numbers);
                    counted.overflows += mark(nulls, said);
                }
                (Column::Values(out, marks), SweptColumn::Values(values)) => {
                    for (at, answer) in values.drain(..).enumerate() {
                        let shown = !hidden.get(at).copied().unwrap_or_default();
                        out.push(match answer {
                            Ok(answer) if shown => {
                                if answer.bound.is_some() {
                                    *approximate += 1;
                                    marks.push(first + at);
                                }
                                answer.value
                            }
                            Ok(_) => Value::Null,
                            Err(_) => {
                                counted.overflows += 1;
                                Value::Null
                            }
                        });
                    }
                }
                _ => unreachable!("answers come in the sweep's own columns"),
            }
        }
    }

    /// As a batch of [`Asking::schema`].
    pub(super) fn into_batch(self, asking: &Asking) -> Result<RecordBatch, Error> {
        let count = self.rows.len();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt64Array::from(self.rows))];
        columns.extend(into_arrays(self.columns, asking, count)?);
        RecordBatch::try_new(asking.schema(), columns)
            .map_err(|error| Error::data("answers", error))
    }
}

/// Columns of `count` rows as those of [`Asking::schema`] behind `row`.
fn into_arrays(
    columns: Vec<Column>,
    asking: &Asking,
    count: usize,
) -> Result<Vec<ArrayRef>, Error> {
    let marks = columns.iter().filter_map(|column| match column {
        Column::Values(_, marked) => Some(marks(marked, count)),
        Column::Ints(..) | Column::Floats(..) => None,
    });
    let marks: Vec<ArrayRef> = marks.collect();
    let columns = columns.into_iter().zip(asking.types());
    let arrays = columns.map(|(column, data_type)| {
        let array = column.into_array(data_type, count);
        array.map_err(|error| Error::data("answers", error))
    });
    let mut arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    arrays.extend(marks);
    Ok(arrays)
}

/// Marks of some of `count` rows.
fn marks(marked: &[usize], count: usize) -> ArrayRef {
    let mut marks = vec![false; count];
    marked.iter().for_each(|at| marks[*at] = true);
    Arc::new(BooleanArray::from(marks))
}

impl Column {
    fn into_array(
        self,
        data_type: &DataType,
        count: usize,
    ) -> Result<ArrayRef, arrow::error::ArrowError> {
        let nulls = |nulls: Vec<usize>| {
            let mut valid = vec![true; count];
            nulls.iter().for_each(|at| valid[*at] = false);
            (!nulls.is_empty()).then(|| NullBuffer::from(valid))
        };
        Ok(match self {
            Column::Ints(numbers, none) => Arc::new(Int64Array::new(numbers.into(), nulls(none))),
            Column::Floats(numbers, none) => {
                Arc::new(Float64Array::new(numbers.into(), nulls(none)))
            }
            Column::Values(values, _) => {
                let values: Vec<&Value> = values.iter().collect();
                arrays::from_values(data_type, &values)?
            }
        })
    }
}

/// Answers in the order of the spine, all of which are in memory.
pub(super) struct Landing {
    columns: Vec<Column>,
    rows: usize,
    /// Whether a row has answers.
    missing: Vec<bool>,
}

impl Landing {
    /// For `rows` rows, of which `answered` will have answers.
    pub(super) fn new(asking: &Asking, rows: usize, answered: usize) -> Landing {
        let column = |swept| match swept {
            SweptColumn::Ints(..) => Column::Ints(vec![0; rows], Vec::new()),
            SweptColumn::Floats(..) => Column::Floats(vec![0.0; rows], Vec::new()),
            SweptColumn::Values(_) => Column::Values(vec![Value::Null; rows], Vec::new()),
        };
        Landing {
            columns: asking.columns().map(column).collect(),
            rows,
            missing: match answered < rows {
                true => vec![true; rows],
                false => Vec::new(),
            },
        }
    }

    pub(super) fn take(&mut self, answered: Answered) {
        let rows = &answered.rows;
        if !self.missing.is_empty() {
            rows.iter()
                .for_each(|row| self.missing[*row as usize] = false);
        }
        let to = |at: usize| rows[at] as usize;
        for (column, found) in self.columns.iter_mut().zip(answered.columns) {
            match (column, found) {
                (Column::Ints(all, nulls), Column::Ints(some, none)) => {
                    some.into_iter()
                        .zip(rows)
                        .for_each(|(number, row)| all[*row as usize] = number);
                    nulls.extend(none.into_iter().map(to));
                }
                (Column::Floats(all, nulls), Column::Floats(some, none)) => {
                    some.into_iter()
                        .zip(rows)
                        .for_each(|(number, row)| all[*row as usize] = number);
                    nulls.extend(none.into_iter().map(to));
                }
                (Column::Values(all, marks), Column::Values(some, marked)) => {
                    some.into_iter()
                        .zip(rows)
                        .for_each(|(value, row)| all[*row as usize] = value);
                    marks.extend(marked.into_iter().map(to));
                }
                _ => unreachable!("answers come in the sweep's own columns"),
            }
        }
    }

    /// The answers, as [`Asking::schema`] has them behind `row`.
    pub(super) fn finish(mut self, asking: &Asking) -> Result<Vec<ArrayRef>, Error> {
        let missing: Vec<usize> = (0..self.missing.len())
            .filter(|row| self.missing[*row])
            .collect();
        for column in &mut self.columns {
            if let Column::Ints(_, nulls) | Column::Floats(_, nulls) = column {
                nulls.extend(&missing);
            }
        }
        into_arrays(self.columns, asking, self.rows)
    }
}

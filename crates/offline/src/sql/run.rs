//! One run of a query: its answer, row by row beside the answer before.

use super::answer::{Folder, Note};
use super::input;
use super::plan::{self, Planned, Refused, Session, Wanted};
use super::watch::{Watch, watched};
use crate::error::{Error, Kind};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};
use arrow::util::display::array_value_to_string;
use datafusion::common::DataFusionError;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tiderace_plan::View;
use tiderace_plan::model::Query;
use tiderace_types::{DataType, Timestamp};
use xxhash_rust::xxh3::xxh3_128;

/// How often it is looked whether a run is to end that waits for a store or a disk.
const LOOKING: Duration = Duration::from_millis(100);

/// Rows of the answer's file that are read or written together.
const ROWS: usize = 64 * 1024;

/// What is asked of a run.
pub struct Asked<'a> {
    /// The view.
    pub view: &'a View,
    /// Its query.
    pub query: &'a Query,
    /// What paths are relative to.
    pub project: &'a Path,
    /// The process's environment, where stores take their settings from.
    pub environment: &'a [(String, String)],
    /// Where answers are.
    pub folder: &'a Folder,
    /// The file of the answer that the view has all the rows of, and no others.
    pub before: Option<&'a str>,
    /// The instant of the run.
    pub at: Timestamp,
    /// Tells the run to end before its time.
    pub stop: Arc<AtomicBool>,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Neither the tables nor the query have changed since the last one, and it asks for no instant.
    Skipped,
    /// The answer is as before.
    Same,
    /// There is another answer.
    Answered,
    /// It was told to end.
    Stopped,
}

/// A run, and what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What became of it.
    pub outcome: Outcome,
    /// Whether `changes` has all that is other than in the answer before.
    pub has_changes: bool,
    /// The rows of the answer.
    pub rows: u64,
    /// Those of them that are new or other.
    pub changed: u64,
    /// Entities of the answer before that are in it no more.
    pub left: u64,
    /// Rows that were left out for a null in their key.
    pub null_key: u64,
}

impl Ran {
    const fn nothing(outcome: Outcome) -> Ran {
        Ran {
            outcome,
            has_changes: false,
            rows: 0,
            changed: 0,
            left: 0,
            null_key: 0,
        }
    }
}

/// Runs a query.
///
/// # Errors
/// When a table does not read, the query does not fit its tables, a value is not of its type, an entity has
/// several rows, or the bounds of memory or time are met. What was answered before is as it was.
pub async fn run(asked: &Asked<'_>) -> Result<Ran, Error> {
    asked.folder.prepare()?;
    let inputs = version(asked).await?;
    let note = asked.folder.note();
    let last = note.filter(|note| asked.before == Some(note.answer.as_str()));
    if last.is_some_and(|note| note.inputs == inputs && !note.asks_now) {
        return Ok(Ran::nothing(Outcome::Skipped));
    }
    let most = Duration::from_micros(asked.query.timeout.0.max(0).cast_unsigned());
    let watch = Arc::new(Watch::new(most, Arc::clone(&asked.stop)));
    let tables = plan::open(&asked.query.tables, asked.project, asked.environment).await?;
    // Instants go on, whatever the clock does: of an entity's rows the newest counts.
    let at = match asked.folder.newest() {
        Some(newest) => asked.at.max(Timestamp(newest.0 + 1)),
        None => asked.at,
    };
    let keys = asked
        .view
        .keys
        .iter()
        .map(|key| asked.view.source.used[*key]);
    let keys: Vec<usize> = keys.collect();
    let wanted = plan::wanted(&asked.view.source, asked.query, &keys);
    let mut is_sorting = false;
    loop {
        let spill = asked.folder.spill();
        let mut session = Session::new(asked.query, Some(&spill), at)?;
        if is_sorting {
            session = session.sorting();
        }
        let planned = match session.answer(&tables, asked.query, &wanted).await {
            Ok(planned) => planned,
            Err(Refused::Query(problems)) => return Err(plan::told(&problems)),
            Err(Refused::Other(error)) => return Err(error),
        };
        let Planned { plan, asks_now } = planned;
        let answering = Answering {
            asked,
            wanted: &wanted,
            watch: &watch,
            at,
        };
        match answering.execute(&session, &plan).await {
            Ok(mut ran) => {
                if ran.outcome == Outcome::Answered {
                    let name = asked.folder.finish(at)?;
                    asked.folder.put_note(&Note::new(name, inputs, asks_now))?;
                } else if let (Outcome::Same, Some(before)) = (ran.outcome, asked.before) {
                    let name = before.to_owned();
                    asked.folder.put_note(&Note::new(name, inputs, asks_now))?;
                    ran.has_changes = false;
                }
                return Ok(ran);
            }
            // A side of a join does not fit: both can be sorted on disk.
            Err(Failed::Memory(_)) if !is_sorting => is_sorting = true,
            Err(Failed::Memory(error)) => {
                let bound = asked.query.memory >> 20;
                return Err(Error::new(
                    Kind::Caller,
                    format!(
                        "the query does not fit in its memory of {bound}MiB (`memory`): {error}"
                    ),
                ));
            }
            Err(Failed::Other(error)) => return Err(error),
        }
    }
}

/// What tells whether a query would be answered otherwise than before.
async fn version(asked: &Asked<'_>) -> Result<String, Error> {
    let mut text = asked.query.text.clone();
    for (name, of) in &asked.query.tables {
        let found = input::version(of, asked.project, asked.environment).await;
        let found = found.map_err(|error| error.of(&format!("table `{name}`")))?;
        text.push_str(&format!("\n{name}: {found}"));
    }
    Ok(format!("{:032x}", xxh3_128(text.as_bytes())))
}

enum Failed {
    Memory(Error),
    Other(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Other(error)
    }
}

fn failed(error: &DataFusionError) -> Failed {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => Failed::Memory(plan::other(error)),
        _ => Failed::Other(plan::other(error)),
    }
}

/// A run that is under way.
struct Answering<'a> {
    asked: &'a Asked<'a>,
    wanted: &'a [Wanted],
    watch: &'a Arc<Watch>,
    at: Timestamp,
}

impl Answering<'_> {
    /// Executes a plan, and writes its answer and what changed.
    async fn execute(
        &self,
        session: &Session,
        plan: &datafusion::logical_expr::LogicalPlan,
    ) -> Result<Ran, Failed> {
        let planned = async {
            let optimized = session.state.optimize(plan)?;
            let planner = session.state.query_planner();
            planner
                .create_physical_plan(&optimized, &session.state)
                .await
        };
        let physical = planned.await.map_err(|error| failed(&error))?;
        let physical = watched(physical, self.watch).map_err(|error| failed(&error))?;
        let mut merging = Merging::new(self, &physical.schema())?;
        let mut rows =
            execute_stream(physical, session.state.task_ctx()).map_err(|error| failed(&error))?;
        loop {
            let next = tokio::time::timeout(LOOKING, rows.next()).await;
            // First of all: a run that is over fails in whatever it does.
            if self.watch.is_stopped() {
                return Ok(Ran::nothing(Outcome::Stopped));
            }
            self.in_time()?;
            let Ok(next) = next else { continue };
            let Some(batch) = next else { break };
            merging.take(&batch.map_err(|error| failed(&error))?)?;
        }
        Ok(merging.finish()?)
    }

    fn in_time(&self) -> Result<(), Error> {
        let timeout = self.asked.query.timeout;
        match self.watch.is_late() {
            true => Err(Error::new(
                Kind::Caller,
                format!("the query was not answered within {timeout} (`timeout`)"),
            )),
            false => Ok(()),
        }
    }
}

/// The rows of an answer, in the order of their keys, beside those of the answer before.
struct Merging<'a> {
    folder: &'a Folder,
    schema: SchemaRef,
    form: Form,
    /// Whether a column is added that says since when a row holds.
    adds_time: bool,
    at: Timestamp,
    before: Option<Before>,
    answer: ArrowWriter<File>,
    changes: ArrowWriter<File>,
    /// The key of the last row.
    last: Option<Vec<u8>>,
    ran: Ran,
}

/// How rows are compared.
struct Form {
    keys: usize,
    of_keys: RowConverter,
    of_values: RowConverter,
}

impl Form {
    fn new(schema: &Schema, keys: usize) -> Result<Form, Error> {
        let fields: Vec<SortField> = schema
            .fields()
            .iter()
            .map(|field| SortField::new(field.data_type().clone()))
            .collect();
        let (of_keys, of_values) = fields.split_at(keys);
        let fault = |error| Error::data("the answer", error);
        Ok(Form {
            keys,
            of_keys: RowConverter::new(of_keys.to_vec()).map_err(fault)?,
            of_values: RowConverter::new(of_values.to_vec()).map_err(fault)?,
        })
    }

    /// The keys and the values of rows, as bytes; there may be no values.
    fn rows(&self, columns: &[ArrayRef]) -> Result<(Rows, Option<Rows>), Error> {
        let fault = |error| Error::data("the answer", error);
        let (keys, values) = columns.split_at(self.keys);
        let values = match values.is_empty() {
            true => None,
            false => Some(self.of_values.convert_columns(values).map_err(fault)?),
        };
        Ok((self.of_keys.convert_columns(keys).map_err(fault)?, values))
    }
}

impl<'a> Merging<'a> {
    fn new(answering: &Answering<'a>, schema: &SchemaRef) -> Result<Merging<'a>, Error> {
        let asked = answering.asked;
        let keys = answering
            .wanted
            .iter()
            .filter(|wanted| wanted.is_key)
            .count();
        let fields = schema.fields().iter();
        let mut fields: Vec<Field> = fields
            .map(|field| Field::new(field.name(), field.data_type().clone(), true))
            .collect();
        let adds_time = !asked.query.has_event_time;
        let compared = Schema::new(fields.clone());
        if adds_time {
            let of = DataType::Timestamp.to_arrow();
            fields.push(Field::new(Query::ANSWERED_AT, of, true));
        }
        let schema = Arc::new(Schema::new(fields));
        let form = Form::new(&compared, keys)?;
        let before = asked.before.and_then(|name| {
            let path = asked.folder.answer().join(name);
            Before::open(&path, &schema, compared.fields().len())
        });
        let writer = |what| {
            let path = asked.folder.writing(what);
            let file = File::create(path).map_err(|error| asked.folder.fault(&error))?;
            let properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .set_max_row_group_row_count(Some(2 * ROWS))
                .build();
            ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))
                .map_err(|error| asked.folder.fault(&error))
        };
        let mut ran = Ran::nothing(Outcome::Same);
        ran.has_changes = before.is_some();
        Ok(Merging {
            folder: asked.folder,
            answer: writer("answer")?,
            changes: writer("changes")?,
            adds_time,
            at: answering.at,
            schema,
            form,
            before,
            last: None,
            ran,
        })
    }

    /// Takes the next rows of the answer.
    fn take(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let rows = batch.num_rows();
        let (keys, values) = self.form.rows(batch.columns())?;
        let is_null = |row: usize| {
            let mut of_key = batch.columns()[..self.form.keys].iter();
            of_key.any(|column| column.is_null(row))
        };
        let mut kept = vec![true; rows];
        let mut changed = vec![false; rows];
        let mut since = vec![self.at.0; rows];
        for row in 0..rows {
            if is_null(row) {
                kept[row] = false;
                self.ran.null_key += 1;
                continue;
            }
            let key = keys.row(row);
            if self.last.as_deref() == Some(key.as_ref()) {
                return Err(self.twice(batch, row));
            }
            self.last = Some(key.as_ref().to_vec());
            self.ran.rows += 1;
            let value = values.as_ref().map(|values| values.row(row));
            let value = value.as_ref().map(AsRef::as_ref);
            let held = match &mut self.before {
                None => None,
                Some(before) => before.find(&self.form, key.as_ref(), &mut self.ran.left)?,
            };
            match held {
                Some((held, at)) if held.as_deref() == value => since[row] = at,
                _ => changed[row] = true,
            }
        }
        self.ran.changed += changed.iter().filter(|changed| **changed).count() as u64;
        let mut columns = batch.columns().to_vec();
        if self.adds_time {
            columns.push(Arc::new(TimestampMicrosecondArray::from(since)));
        }
        let all = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| Error::data("the answer", error))?;
        let only = |which: Vec<bool>| {
            filter_record_batch(&all, &BooleanArray::from(which))
                .map_err(|error| Error::data("the answer", error))
        };
        let folder = self.folder;
        let written = self.answer.write(&only(kept)?);
        written.map_err(|error| folder.fault(&error))?;
        let written = self.changes.write(&only(changed)?);
        written.map_err(|error| folder.fault(&error))
    }

    /// An entity that has two rows.
    fn twice(&self, batch: &RecordBatch, row: usize) -> Error {
        let fields = batch.schema();
        let named = (0..self.form.keys).map(|column| {
            let value = array_value_to_string(batch.column(column), row);
            let name = fields.field(column).name();
            format!("{name} = {}", value.unwrap_or_default())
        });
        let named: Vec<String> = named.collect();
        Error::new(
            Kind::Data,
            format!(
                "the query answers more than one row for {}: group by the key, or take one of them",
                named.join(", ")
            ),
        )
    }

    /// Makes the files durable; tells what the answer is beside the one before.
    fn finish(mut self) -> Result<Ran, Error> {
        if let Some(before) = &mut self.before {
            before.rest(&self.form, &mut self.ran.left)?;
        }
        for writer in [self.answer, self.changes] {
            let mut writer = writer;
            let closed = writer.finish();
            closed.map_err(|error| self.folder.fault(&error))?;
            let synced = writer.inner().sync_all();
            synced.map_err(|error| self.folder.fault(&error))?;
        }
        let is_same = self.before.is_some() && self.ran.changed == 0 && self.ran.left == 0;
        if !is_same {
            self.ran.outcome = Outcome::Answered;
        }
        Ok(self.ran)
    }
}

/// The rows of the answer before, in the order of their keys.
struct Before {
    reader: ParquetRecordBatchReader,
    /// How many columns are compared.
    compared: usize,
    held: Option<Held>,
    next: usize,
}

struct Held {
    keys: Rows,
    values: Option<Rows>,
    since: Option<TimestampMicrosecondArray>,
}

/// The values of a row, and since when it holds.
type Found = (Option<Vec<u8>>, i64);

impl Before {
    /// Opens an answer; `None` where there is none of that form, so that all is new.
    fn open(path: &Path, schema: &Schema, compared: usize) -> Option<Before> {
        let file = File::open(path).ok()?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).ok()?;
        let is_alike = builder.schema().fields() == schema.fields();
        let reader = builder.with_batch_size(ROWS).build().ok()?;
        is_alike.then_some(Before {
            reader,
            compared,
            held: None,
            next: 0,
        })
    }

    /// Brings the next row to the front; tells whether there is one.
    fn has_next(&mut self, form: &Form) -> Result<bool, Error> {
        loop {
            if let Some(held) = &self.held
                && self.next < held.keys.num_rows()
            {
                return Ok(true);
            }
            let Some(batch) = self.reader.next() else {
                self.held = None;
                return Ok(false);
            };
            let batch = batch.map_err(|error| Error::data("the answer before", error))?;
            let (keys, values) = form.rows(&batch.columns()[..self.compared])?;
            let since = batch.columns().get(self.compared);
            let since = since.map(|since| since.as_primitive::<TimestampMicrosecondType>().clone());
            self.held = Some(Held {
                keys,
                values,
                since,
            });
            self.next = 0;
        }
    }

    /// The row of a key, passing over those before it, which have left.
    fn find(&mut self, form: &Form, key: &[u8], left: &mut u64) -> Result<Option<Found>, Error> {
        while self.has_next(form)? {
            let Some(held) = &self.held else { break };
            let own = held.keys.row(self.next);
            match own.as_ref().cmp(key) {
                std::cmp::Ordering::Less => {
                    *left += 1;
                    self.next += 1;
                }
                std::cmp::Ordering::Greater => return Ok(None),
                std::cmp::Ordering::Equal => {
                    let values = held.values.as_ref();
                    let values = values.map(|values| values.row(self.next).as_ref().to_vec());
                    let since = held.since.as_ref().map(|since| since.value(self.next));
                    self.next += 1;
                    return Ok(Some((values, since.unwrap_or_default())));
                }
            }
        }
        Ok(None)
    }

    /// Passes over all that is left.
    fn rest(&mut self, form: &Form, left: &mut u64) -> Result<(), Error> {
        while self.has_next(form)? {
            *left += 1;
            self.next += 1;
        }
        Ok(())
    }
}

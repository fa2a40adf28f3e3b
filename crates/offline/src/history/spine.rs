//! The rows that want features: their keys and instants.

use crate::error::{Error, Kind};
use crate::table::{self, Table, Unit};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Int64Array, RecordBatch, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{
    DataType as ArrowType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tiderace_aggregate::IdKind;
use tiderace_plan::model::{Entity, View};
use tiderace_types::{
    Column, DataType, Timestamp, Value, arrays, encode_int_key, encode_key_value, hash_key,
};
use tokio::runtime::Handle;

/// The place of the hash in a batch of keys.
pub(super) const HASH: usize = 2;

/// A file of rows that want features.
#[derive(Debug)]
pub struct Spine {
    name: String,
    schema: SchemaRef,
    /// Which of its rows are taken.
    first: u64,
    rows: u64,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Parquet(Table),
    Csv(PathBuf),
}

impl Spine {
    /// Opens a Parquet file or folder, or a CSV file with a header.
    ///
    /// # Errors
    /// When it cannot be read; when files of a folder differ in their columns.
    pub async fn open(text: &str, environment: Vec<(String, String)>) -> Result<Spine, Error> {
        if Path::new(text).extension().is_some_and(|end| end == "csv") {
            return Spine::csv(Path::new(text));
        }
        let table = Table::open(text, Path::new(""), environment).await?;
        let Some(first) = table.files().first() else {
            return Err(Error::new(
                Kind::Caller,
                format!("{text}: there is no file"),
            ));
        };
        let schema = Arc::clone(first.schema());
        for file in table.files() {
            if file.schema().fields() != schema.fields() {
                return Err(Error::data(
                    file.name(),
                    format!("its columns are not those of {}", first.name()),
                ));
            }
        }
        Ok(Spine {
            name: text.to_owned(),
            schema,
            first: 0,
            rows: table.rows(),
            held: Held::Parquet(table),
        })
    }

    fn csv(path: &Path) -> Result<Spine, Error> {
        let name = path.display().to_string();
        let file = File::open(path)
            .map_err(|error| Error::new(Kind::Caller, format!("{name}: {error}")))?;
        let (schema, rows) = Format::default()
            .with_header(true)
            .infer_schema(file, None)
            .map_err(|error| Error::data(&name, error))?;
        Ok(Spine {
            name,
            schema: Arc::new(schema),
            first: 0,
            rows: rows as u64,
            held: Held::Csv(path.to_owned()),
        })
    }

    /// Only share `part` of `of`: rows that follow one another, in shares as equal as can be.
    #[must_use]
    pub fn share(mut self, part: u64, of: u64) -> Spine {
        let start = |part: u64| self.rows * part / of;
        let (first, end) = (start(part), start(part + 1));
        self.first = first;
        self.rows = end - first;
        self
    }

    /// The encoded keys of the entities in it.
    ///
    /// # Errors
    /// When it lacks a key of the entity, or does not read.
    pub fn entities(&self, entity: &Entity, runtime: &Handle) -> Result<BTreeSet<Vec<u8>>, Error> {
        let keys = keys_of(self, entity)?;
        let mut found = BTreeSet::new();
        let mut batches = self.read(runtime, self.all())?;
        while let Some(batch) = batches.next()? {
            let arrays: Result<Vec<ArrayRef>, Error> = keys
                .iter()
                .map(|(at, column)| brought(self, batch.column(*at), column))
                .collect();
            let arrays = arrays?;
            for row in 0..batch.num_rows() {
                if arrays.iter().any(|array| array.is_null(row)) {
                    continue;
                }
                let mut key = Vec::new();
                for ((_, column), array) in keys.iter().zip(&arrays) {
                    let value = arrays::value_at(array, &column.data_type, row);
                    encode_key_value(&value, &mut key)
                        .map_err(|error| Error::data(&self.name, error))?;
                }
                found.insert(key);
            }
        }
        Ok(found)
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows are taken.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// All columns, for [`Spine::read`].
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.schema.fields().len()).collect()
    }

    /// Its rows, in order, with the columns at `roots`, which rise.
    pub(super) fn read(&self, runtime: &Handle, roots: Vec<usize>) -> Result<Batches<'_>, Error> {
        let source = match &self.held {
            Held::Parquet(table) => {
                let units = table.units();
                let mut before = 0;
                let mut wanted = Vec::new();
                for unit in units {
                    let range = before..before + unit.rows;
                    before = range.end;
                    if range.end > self.first && range.start < self.first + self.rows {
                        wanted.push((range.start, unit));
                    }
                }
                let at = wanted.first().map_or(self.first, |(start, _)| *start);
                wanted.reverse();
                Reader::Parquet {
                    table,
                    units: wanted,
                    open: None,
                    at,
                }
            }
            Held::Csv(path) => {
                let file = File::open(path).map_err(|error| Error::store(&self.name, error))?;
                let reader = ReaderBuilder::new(Arc::clone(&self.schema))
                    .with_header(true)
                    .with_batch_size(16 * 1024)
                    .build(file)
                    .map_err(|error| Error::data(&self.name, error))?;
                Reader::Csv {
                    reader: Box::new(reader),
                    at: 0,
                }
            }
        };
        Ok(Batches {
            spine: self,
            runtime: runtime.clone(),
            roots,
            source,
        })
    }

    /// The place of a column.
    pub(super) fn column(&self, name: &str, what: &str) -> Result<usize, Error> {
        self.schema.index_of(name).map_err(|_| {
            let has: Vec<&str> = self
                .schema
                .fields()
                .iter()
                .map(|f| f.name().as_str())
                .collect();
            Error::new(
                Kind::Caller,
                format!(
                    "{}: there is no column `{name}`, {what}; it has {}",
                    self.name,
                    has.join(", ")
                ),
            )
        })
    }
}

/// A spine's rows.
pub(super) struct Batches<'a> {
    spine: &'a Spine,
    runtime: Handle,
    roots: Vec<usize>,
    source: Reader<'a>,
}

enum Reader<'a> {
    Parquet {
        table: &'a Table,
        /// From the last on, each with how many rows come before it.
        units: Vec<(u64, Unit)>,
        open: Option<Box<table::Batches>>,
        at: u64,
    },
    Csv {
        reader: Box<arrow::csv::Reader<File>>,
        at: u64,
    },
}

impl Batches<'_> {
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            let spine = self.spine;
            let (batch, at) = match &mut self.source {
                Reader::Csv { reader, at } => match reader.next() {
                    None => return Ok(None),
                    Some(batch) => {
                        let batch = batch.and_then(|batch| batch.project(&self.roots));
                        (batch.map_err(|error| Error::data(&spine.name, error))?, at)
                    }
                },
                Reader::Parquet {
                    table,
                    units,
                    open,
                    at,
                } => {
                    let batch = match open {
                        Some(batches) => self.runtime.block_on(batches.next())?,
                        None => None,
                    };
                    match batch {
                        Some(batch) => (batch, at),
                        None => {
                            let Some((start, unit)) = units.pop() else {
                                return Ok(None);
                            };
                            *at = start;
                            *open = Some(Box::new(table.read(unit, &self.roots)?));
                            continue;
                        }
                    }
                }
            };
            let range = *at..*at + batch.num_rows() as u64;
            *at = range.end;
            let from = range.start.max(spine.first);
            let upto = range.end.min(spine.first + spine.rows);
            if from < upto {
                let skipped = (from - range.start) as usize;
                return Ok(Some(batch.slice(skipped, (upto - from) as usize)));
            }
        }
    }
}

/// Where the instants of a spine are.
pub(super) struct Instants<'a> {
    spine: &'a Spine,
    column: usize,
    name: &'a str,
}

/// Finds the column of instants.
pub(super) fn instants<'a>(spine: &'a Spine, name: &'a str) -> Result<Instants<'a>, Error> {
    Ok(Instants {
        column: spine.column(name, "which has the instants (`--timestamp`)")?,
        spine,
        name,
    })
}

impl Instants<'_> {
    /// The instants of a batch, whose first row is row `first` of the spine.
    pub(super) fn of(&self, batch: &RecordBatch, first: u64) -> Result<Vec<Timestamp>, Error> {
        let wanted = Column::new(self.name, DataType::Timestamp);
        let array = brought(self.spine, batch.column(self.column), &wanted)?;
        if array.null_count() > 0 {
            let row = (0..array.len())
                .find(|row| array.is_null(*row))
                .unwrap_or(0);
            return Err(Error::data(
                &self.spine.name,
                format!("row {}: `{}` is null", first + row as u64, self.name),
            ));
        }
        let times = array.as_primitive::<TimestampMicrosecondType>().values();
        Ok(times.iter().copied().map(Timestamp).collect())
    }
}

/// A column of a spine as the type that definitions have it.
pub(super) fn brought(spine: &Spine, array: &ArrayRef, column: &Column) -> Result<ArrayRef, Error> {
    table::brought(array, column).map_err(|error| {
        Error::data(
            &spine.name,
            format!("column `{}` as {}: {error}", column.name, column.data_type),
        )
    })
}

/// Where an entity's keys are in a spine.
fn keys_of(spine: &Spine, entity: &Entity) -> Result<Vec<(usize, Column)>, Error> {
    let what = format!("a key of entity `{}`", entity.name);
    let keys = entity.keys.iter().map(|(name, data_type)| {
        Ok((
            spine.column(name, &what)?,
            Column::new(name, data_type.clone()),
        ))
    });
    keys.collect()
}

/// Makes keys of a spine's rows.
pub(super) struct Keyed<'a> {
    instants: Instants<'a>,
    views: Vec<KeysOf>,
    spine: &'a Spine,
}

struct KeysOf {
    /// Where each of the entity's keys is.
    keys: Vec<(usize, Column)>,
    /// Where the id of an event is that is left out, and how ids are held.
    exclude: Option<(usize, Column, IdKind)>,
}

impl<'a> Keyed<'a> {
    /// Finds the columns that views need.
    pub(super) fn new(
        spine: &'a Spine,
        timestamp: &'a str,
        exclude: Option<&str>,
        views: &[Arc<View>],
    ) -> Result<Keyed<'a>, Error> {
        let views = views.iter().map(|view| {
            let exclude = exclude.map(|name| -> Result<_, Error> {
                let source = &view.source;
                let Some(id) = source.event_id else {
                    return Err(Error::new(
                        Kind::Caller,
                        format!(
                            "source `{}` declares no event_id: the row's own event cannot be told",
                            source.name
                        ),
                    ));
                };
                let at = spine.column(name, "which has the ids of events that are left out")?;
                let column = Column::new(name, source.columns[id].data_type.clone());
                Ok((at, column, view.spec.id))
            });
            Ok(KeysOf {
                keys: keys_of(spine, &view.entity)?,
                exclude: exclude.transpose()?,
            })
        });
        Ok(Keyed {
            instants: instants(spine, timestamp)?,
            views: views.collect::<Result<_, Error>>()?,
            spine,
        })
    }

    /// The columns of the spine that are needed for it. From now on [`Keyed::keys`] takes batches of
    /// just these.
    pub(super) fn narrow(&mut self) -> Vec<usize> {
        let mut roots = vec![self.instants.column];
        for view in &self.views {
            roots.extend(view.keys.iter().map(|(at, _)| *at));
            roots.extend(view.exclude.iter().map(|(at, ..)| *at));
        }
        roots.sort_unstable();
        roots.dedup();
        let narrow = |at: &mut usize| *at = roots.binary_search(at).unwrap_or_default();
        narrow(&mut self.instants.column);
        for view in &mut self.views {
            view.keys.iter_mut().for_each(|(at, _)| narrow(at));
            view.exclude.iter_mut().for_each(|(at, ..)| narrow(at));
        }
        roots
    }

    /// The columns of keys, view by view: `row`, `time`, `hash`, `key`, and `without` where an event
    /// is left out.
    pub(super) fn schemas(&self) -> impl Iterator<Item = SchemaRef> {
        self.views.iter().map(KeysOf::schema)
    }

    /// The keys of a batch whose first row is row `first` of the spine. A row with a null in its key is
    /// nobody's.
    pub(super) fn keys(
        &mut self,
        view: usize,
        batch: &RecordBatch,
        first: u64,
    ) -> Result<RecordBatch, Error> {
        let of = &self.views[view];
        let times = self.instants.of(batch, first)?;
        let arrays: Result<Vec<ArrayRef>, Error> = of
            .keys
            .iter()
            .map(|(at, column)| brought(self.spine, batch.column(*at), column))
            .collect();
        let arrays = arrays?;
        let count = batch.num_rows();
        let mut rows = Vec::with_capacity(count);
        let mut held = Vec::with_capacity(count);
        let mut hashes = Vec::with_capacity(count);
        let mut keys = BinaryBuilder::with_capacity(count, count * 12);
        let mut key = Vec::new();
        let one = match (&*of.keys, &*arrays) {
            ([(_, column)], [array]) if column.data_type == DataType::Int64 => {
                Some(array.as_primitive::<Int64Type>())
            }
            _ => None,
        };
        for (row, time) in times.iter().enumerate() {
            if arrays.iter().any(|array| array.is_null(row)) {
                continue;
            }
            key.clear();
            match one {
                Some(numbers) => key.extend(encode_int_key(numbers.value(row))),
                None => {
                    for ((_, column), array) in of.keys.iter().zip(&arrays) {
                        let value = arrays::value_at(array, &column.data_type, row);
                        encode_key_value(&value, &mut key)
                            .map_err(|error| Error::data(&self.spine.name, error))?;
                    }
                }
            }
            rows.push(first + row as u64);
            held.push(time.0);
            hashes.push(hash_key(&key));
            keys.append_value(&key);
        }
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(rows.clone())),
            Arc::new(TimestampMicrosecondArray::from(held)),
            Arc::new(UInt64Array::from(hashes)),
            Arc::new(keys.finish()),
        ];
        if let Some((at, column, kind)) = &of.exclude {
            let array = brought(self.spine, batch.column(*at), column)?;
            let kept = rows.iter().map(|row| (row - first) as usize);
            columns.push(match kind {
                IdKind::Int64 => {
                    let ids = array.as_primitive::<Int64Type>();
                    let ids = kept.map(|row| ids.is_valid(row).then(|| ids.value(row)));
                    Arc::new(ids.collect::<Int64Array>())
                }
                IdKind::Bytes | IdKind::Position => {
                    let mut ids = BinaryBuilder::new();
                    for row in kept {
                        match arrays::value_at(&array, &column.data_type, row) {
                            Value::Null => ids.append_null(),
                            id => {
                                key.clear();
                                encode_key_value(&id, &mut key)
                                    .map_err(|error| Error::data(&self.spine.name, error))?;
                                ids.append_value(&key);
                            }
                        }
                    }
                    Arc::new(ids.finish())
                }
            });
        }
        RecordBatch::try_new(of.schema(), columns)
            .map_err(|error| Error::data(&self.spine.name, error))
    }
}

impl KeysOf {
    fn schema(&self) -> SchemaRef {
        let mut fields = vec![
            Field::new("row", ArrowType::UInt64, false),
            Field::new(
                "time",
                ArrowType::Timestamp(TimeUnit::Microsecond, None),
                false,
            ),
            Field::new("hash", ArrowType::UInt64, false),
            Field::new("key", ArrowType::Binary, false),
        ];
        if let Some((_, _, kind)) = &self.exclude {
            let ids = match kind {
                IdKind::Int64 => ArrowType::Int64,
                IdKind::Bytes | IdKind::Position => ArrowType::Binary,
            };
            fields.push(Field::new("without", ids, true));
        }
        Arc::new(Schema::new(fields))
    }
}

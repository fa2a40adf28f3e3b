//! A source's columns in a table: where they are, how they are brought to the declared types.

use super::{Batches, File, Table, Unit};
use crate::error::{Error, Kind};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{
    DataType as ArrowType, Field, Float64Type, Int32Type, Int64Type, Schema, SchemaRef,
    TimeUnit as ArrowUnit, TimestampNanosecondType,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tiderace_types::{Column, DataType, Reason, TimeUnit, Value};

/// The partition number of rows that no stream gave: that of the table's first file.
const OF_TABLE: u32 = 1 << 31;

/// The columns by which an archive says where an event was read.
pub(crate) const PARTITION: &str = "_partition";
pub(crate) const OFFSET: &str = "_offset";

/// Columns that are wanted of tables, and what is required of them.
#[derive(Clone, Debug)]
pub struct Fields {
    columns: Vec<Wanted>,
    schema: SchemaRef,
    max_text_bytes: usize,
    not_finite_as_null: bool,
}

#[derive(Clone, Debug)]
struct Wanted {
    column: Column,
    /// What definitions call it.
    name: String,
    /// What the table calls it.
    held: String,
}

/// A row that is not taken: which of a batch, why, and the particulars.
pub type Refusal = (u64, Reason, String);

/// Rows of a table in a source's columns.
#[derive(Debug)]
pub struct Rows {
    /// The columns that were wanted.
    pub batch: RecordBatch,
    /// Where each was read: in the stream, where the table says so, else in the table.
    pub places: Vec<(u32, i64)>,
    /// Whether these are places in the stream.
    pub of_stream: bool,
    /// How many rows were read.
    pub read: u64,
    /// Those that are not taken, by their row in the file.
    pub refused: Vec<Refusal>,
    /// The row in the file of the first that was read.
    first: u64,
}

impl Rows {
    /// The row in the file of row `index` of the batch.
    #[must_use]
    pub fn row_in_file(&self, index: usize) -> u64 {
        let mut refused: Vec<u64> = self.refused.iter().map(|(row, ..)| *row).collect();
        refused.sort_unstable();
        let mut row = self.first + index as u64;
        // Those before it that were left out are counted in its place.
        for out in refused {
            row += u64::from(out <= row);
        }
        row
    }
}

impl Fields {
    /// Columns, each with what definitions call it.
    #[must_use]
    pub fn new(columns: impl IntoIterator<Item = (Column, String)>) -> Fields {
        let columns: Vec<Wanted> = columns
            .into_iter()
            .map(|(column, name)| Wanted {
                held: name.clone(),
                column,
                name,
            })
            .collect();
        let fields = columns.iter().map(|wanted| {
            let arrow = wanted.column.data_type.to_arrow();
            Field::new(&wanted.name, arrow, wanted.column.nullable)
        });
        Fields {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            columns,
            max_text_bytes: usize::MAX,
            not_finite_as_null: false,
        }
    }

    /// The same, where tables call some of them otherwise.
    #[must_use]
    pub fn renamed(mut self, renamed: &BTreeMap<String, String>) -> Fields {
        for wanted in &mut self.columns {
            if let Some(held) = renamed.get(&wanted.name) {
                wanted.held.clone_from(held);
            }
        }
        self
    }

    /// The same with bounds: texts longer than so many bytes are refused, and numbers that are not
    /// finite too, unless they are read as null.
    #[must_use]
    pub fn bounded(mut self, max_text_bytes: usize, not_finite_as_null: bool) -> Fields {
        self.max_text_bytes = max_text_bytes;
        self.not_finite_as_null = not_finite_as_null;
        self
    }

    /// The columns as rows have them.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Checks that every file of `table` has them.
    ///
    /// # Errors
    /// Names the first file and all its columns that are missing or of another type.
    pub fn check(&self, table: &Table) -> Result<(), Error> {
        for file in table.files() {
            let wrong: Vec<String> = self
                .columns
                .iter()
                .filter_map(|wanted| wanted.find(file).err())
                .collect();
            if !wrong.is_empty() {
                let message = format!("{}: {}", file.name(), wrong.join("; "));
                return Err(Error::new(Kind::Data, message));
            }
        }
        Ok(())
    }

    /// Reads a unit of a table.
    ///
    /// # Errors
    /// When it lacks a column, or has one of another type, or does not read.
    pub fn read(&self, table: &Table, unit: Unit) -> Result<Reading, Error> {
        let file = Arc::clone(&table.files()[unit.file]);
        let name = table.name_of(unit);
        let found: Result<Vec<Found>, String> = self
            .columns
            .iter()
            .map(|wanted| wanted.find(&file))
            .collect();
        let found = found.map_err(|wrong| Error::data(&name, wrong))?;
        let of_stream = [PARTITION, OFFSET].map(|column| file.schema().index_of(column).ok());
        let mut roots: Vec<usize> = found.iter().filter_map(Found::root).collect();
        if let [Some(partition), Some(offset)] = of_stream {
            roots.extend([partition, offset]);
        }
        roots.sort_unstable();
        roots.dedup();
        Ok(Reading {
            fields: self.clone(),
            batches: table.read(unit, &roots)?,
            found,
            of_stream: match of_stream {
                [Some(partition), Some(offset)] => Some((partition, offset)),
                _ => None,
            },
            roots,
            name,
            file: unit.file as u32,
            next: unit.first_row,
        })
    }
}

/// Where a column is.
#[derive(Clone, Debug)]
enum Found {
    /// In the file.
    Root(usize),
    /// In the names of folders.
    Folder(String),
    /// Nowhere: it is what stands for a column that is absent.
    Absent,
}

impl Found {
    const fn root(&self) -> Option<usize> {
        match self {
            Found::Root(root) => Some(*root),
            Found::Folder(_) | Found::Absent => None,
        }
    }
}

impl Wanted {
    fn find(&self, file: &File) -> Result<Found, String> {
        if let Ok(root) = file.schema().index_of(&self.held) {
            let held = file.schema().field(root).data_type();
            return match reads_as(held, &self.column) {
                true => Ok(Found::Root(root)),
                false => Err(format!(
                    "column `{}` is {held}, expected {}",
                    self.held, self.column.data_type
                )),
            };
        }
        if let Some(value) = file.folder(&self.held) {
            return Ok(Found::Folder(value.to_owned()));
        }
        if self.column.nullable {
            return Ok(Found::Absent);
        }
        let has = file.schema().fields().iter();
        let has: Vec<&str> = has.map(|field| field.name().as_str()).collect();
        Err(format!(
            "there is no column `{}` ({}); it has {}",
            self.held,
            self.column.data_type,
            has.join(", ")
        ))
    }
}

/// The rows of a unit.
pub struct Reading {
    fields: Fields,
    batches: Batches,
    found: Vec<Found>,
    of_stream: Option<(usize, usize)>,
    /// The columns that are read, by their place in the file.
    roots: Vec<usize>,
    name: String,
    file: u32,
    next: u64,
}

impl Reading {
    /// The next rows.
    ///
    /// # Errors
    /// When the file does not read, or a value is out of its column's range: named with the column.
    pub async fn next(&mut self) -> Result<Option<Rows>, Error> {
        let Some(batch) = self.batches.next().await? else {
            return Ok(None);
        };
        let read = batch.num_rows();
        let first = self.next;
        self.next += read as u64;
        let mut columns = Vec::with_capacity(self.found.len());
        for (wanted, found) in self.fields.columns.iter().zip(&self.found) {
            let array = self.column(&batch, wanted, found)?;
            columns.push(array);
        }
        let mut keep = vec![true; read];
        let mut refused = Vec::new();
        for (wanted, array) in self.fields.columns.iter().zip(&mut columns) {
            self.fields
                .judge(wanted, array, first, &mut keep, &mut refused);
        }
        let places = self.places(&batch, first)?;
        let whole = refused.is_empty();
        // A column that may not be null may have been: its rows go first.
        let nullable: Vec<Field> = self
            .fields
            .schema
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(nullable)), columns)
            .map_err(|error| Error::data(&self.name, error))?;
        let (batch, places) = match whole {
            true => (batch, places),
            false => {
                let mask = BooleanArray::from(keep.clone());
                let batch = filter_record_batch(&batch, &mask)
                    .map_err(|error| Error::data(&self.name, error))?;
                let places = places.into_iter().zip(keep);
                let places = places.filter_map(|(place, keep)| keep.then_some(place));
                (batch, places.collect())
            }
        };
        Ok(Some(Rows {
            batch,
            places,
            of_stream: self.of_stream.is_some(),
            read: read as u64,
            refused,
            first,
        }))
    }

    fn column(
        &self,
        batch: &RecordBatch,
        wanted: &Wanted,
        found: &Found,
    ) -> Result<ArrayRef, Error> {
        let data_type = &wanted.column.data_type;
        let fault = |error: &dyn std::fmt::Display| {
            Error::data(
                &self.name,
                format!("column `{}` as {data_type}: {error}", wanted.held),
            )
        };
        match found {
            Found::Root(root) => {
                let place = self.roots.binary_search(root).unwrap_or_default();
                bring(batch.column(place), &wanted.column).map_err(|error| fault(&error))
            }
            Found::Folder(value) => {
                let text = match value.as_str() {
                    // Hive's word for null.
                    "__HIVE_DEFAULT_PARTITION__" => None,
                    value => Some(value),
                };
                let one: ArrayRef = Arc::new(StringArray::from(vec![text]));
                let one = cast(&one, &data_type.to_arrow()).map_err(|error| fault(&error))?;
                let all = arrow::array::UInt32Array::from(vec![0; batch.num_rows()]);
                arrow::compute::take(&one, &all, None).map_err(|error| fault(&error))
            }
            Found::Absent => {
                absent(&wanted.column, batch.num_rows()).map_err(|error| fault(&error))
            }
        }
    }

    fn places(&self, batch: &RecordBatch, first: u64) -> Result<Vec<(u32, i64)>, Error> {
        let Some((partition, offset)) = self.of_stream else {
            let rows = first..first + batch.num_rows() as u64;
            let place = |row: u64| (OF_TABLE | self.file, row.cast_signed());
            return Ok(rows.map(place).collect());
        };
        let place = |root: usize| self.roots.binary_search(&root).unwrap_or_default();
        let partitions = batch
            .column(place(partition))
            .as_primitive_opt::<Int32Type>();
        let offsets = batch.column(place(offset)).as_primitive_opt::<Int64Type>();
        let (Some(partitions), Some(offsets)) = (partitions, offsets) else {
            return Err(Error::data(
                &self.name,
                format!(
                    "`{PARTITION}` must be int32 and `{OFFSET}` int64: where the stream held the event"
                ),
            ));
        };
        if partitions.null_count() + offsets.null_count() > 0 {
            return Err(Error::data(
                &self.name,
                format!("`{PARTITION}` or `{OFFSET}` is null"),
            ));
        }
        let partitions = partitions
            .values()
            .iter()
            .map(|number| number.cast_unsigned());
        Ok(partitions.zip(offsets.values().iter().copied()).collect())
    }
}

impl Fields {
    /// Finds the rows whose value in a column is not taken.
    fn judge(
        &self,
        wanted: &Wanted,
        array: &mut ArrayRef,
        first: u64,
        keep: &mut [bool],
        refused: &mut Vec<Refusal>,
    ) {
        let mut refuse = |row: usize, reason, detail: String| {
            if std::mem::replace(&mut keep[row], false) {
                refused.push((first + row as u64, reason, detail));
            }
        };
        if !wanted.column.nullable && array.null_count() > 0 {
            for row in (0..array.len()).filter(|row| array.is_null(*row)) {
                let detail = format!("column `{}` is null", wanted.held);
                refuse(row, Reason::MissingColumn, detail);
            }
        }
        if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
            let strange = |row: &usize| floats.is_valid(*row) && !floats.value(*row).is_finite();
            let mut rows = (0..floats.len()).filter(strange).peekable();
            if rows.peek().is_some() {
                if self.not_finite_as_null && wanted.column.nullable {
                    let finite = floats.iter().map(|x| x.filter(|x| x.is_finite()));
                    let finite: Float64Array = finite.collect();
                    *array = Arc::new(finite);
                    return;
                }
                for row in rows {
                    let detail = format!("column `{}` is NaN or infinite", wanted.held);
                    refuse(row, Reason::NotFinite, detail);
                }
            }
        }
        let lengths: Option<Vec<usize>> = match array.data_type() {
            ArrowType::Utf8 if self.max_text_bytes < usize::MAX => {
                let texts = array.as_string::<i32>();
                Some(
                    (0..texts.len())
                        .map(|row| texts.value_length(row) as usize)
                        .collect(),
                )
            }
            ArrowType::Binary if self.max_text_bytes < usize::MAX => {
                let bytes = array.as_binary::<i32>();
                Some(
                    (0..bytes.len())
                        .map(|row| bytes.value_length(row) as usize)
                        .collect(),
                )
            }
            _ => None,
        };
        for (row, length) in lengths.into_iter().flatten().enumerate() {
            if length > self.max_text_bytes && array.is_valid(row) {
                let detail = format!(
                    "column `{}` has {length} bytes, more than {}",
                    wanted.held, self.max_text_bytes
                );
                refuse(row, Reason::TextTooLong, detail);
            }
        }
    }
}

/// Whether a table's type holds what a column is declared as.
fn reads_as(held: &ArrowType, column: &Column) -> bool {
    use ArrowType as A;
    if let A::Dictionary(_, values) = held {
        return reads_as(values, column);
    }
    match column.data_type {
        DataType::Bool => matches!(held, A::Boolean),
        DataType::Int64 => held.is_integer(),
        DataType::Float64 => held.is_floating() || held.is_integer(),
        DataType::Decimal { .. } => {
            held.is_integer()
                || matches!(
                    held,
                    A::Decimal32(..) | A::Decimal64(..) | A::Decimal128(..) | A::Decimal256(..)
                )
        }
        DataType::String => is_text(held),
        DataType::Bytes => matches!(
            held,
            A::Binary | A::LargeBinary | A::BinaryView | A::FixedSizeBinary(_)
        ),
        DataType::Timestamp => {
            let number = held.is_integer() && column.time_unit != TimeUnit::Rfc3339;
            number || is_text(held) || matches!(held, A::Timestamp(..) | A::Date32 | A::Date64)
        }
        DataType::Duration => matches!(held, A::Duration(_)),
        DataType::List(_) | DataType::Map(..) => false,
    }
}

fn is_text(held: &ArrowType) -> bool {
    matches!(
        held,
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View
    )
}

/// An array as the type that a column is declared as.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn brought(array: &ArrayRef, column: &Column) -> Result<ArrayRef, String> {
    let held = array.data_type();
    if !reads_as(held, column) {
        return Err(format!("it is {held}"));
    }
    bring(array, column).map_err(|error| error.to_string())
}

/// Brings an array to the type that a column is declared as.
fn bring(array: &ArrayRef, column: &Column) -> Result<ArrayRef, arrow::error::ArrowError> {
    let to = column.data_type.to_arrow();
    match (array.data_type(), &column.data_type) {
        (held, _) if *held == to => Ok(Arc::clone(array)),
        (ArrowType::Timestamp(ArrowUnit::Nanosecond, _), DataType::Timestamp) => {
            let nanos = array.as_primitive::<TimestampNanosecondType>();
            let micros: TimestampMicrosecondArray = nanos.unary(|nanos| nanos.div_euclid(1000));
            Ok(Arc::new(micros))
        }
        // What a zone is called changes nothing of the instant.
        (ArrowType::Timestamp(unit, Some(_)), DataType::Timestamp) => {
            let plain = cast(array, &ArrowType::Timestamp(*unit, None))?;
            cast(&plain, &to)
        }
        (held, DataType::Timestamp) if held.is_integer() => {
            let whole = cast(array, &ArrowType::Int64)?;
            let (by, down) = match column.time_unit {
                TimeUnit::Seconds => (1_000_000, 1),
                TimeUnit::Millis => (1_000, 1),
                TimeUnit::Nanos => (1, 1_000),
                TimeUnit::Days => (86_400_000_000, 1),
                TimeUnit::Micros | TimeUnit::Rfc3339 => (1, 1),
            };
            let micros: Result<TimestampMicrosecondArray, _> =
                whole.as_primitive::<Int64Type>().try_unary(|count: i64| {
                    let micros = count.div_euclid(down).checked_mul(by);
                    micros.ok_or_else(|| {
                        let message = format!("{count} is out of the range of instants");
                        arrow::error::ArrowError::ComputeError(message)
                    })
                });
            Ok(Arc::new(micros?))
        }
        (held, DataType::Float64) if held.is_integer() => {
            const EXACT: u64 = 1 << 53;
            let whole = cast(array, &ArrowType::Int64)?;
            let whole = whole.as_primitive::<Int64Type>();
            if let Some(n) = whole.iter().flatten().find(|n| n.unsigned_abs() > EXACT) {
                let message = format!("{n} has more digits than a double");
                return Err(arrow::error::ArrowError::ComputeError(message));
            }
            cast(array, &to)
        }
        _ => cast(array, &to),
    }
}

fn cast(array: &ArrayRef, to: &ArrowType) -> Result<ArrayRef, arrow::error::ArrowError> {
    let strictly = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, to, &strictly)
}

/// A column that a file does not have.
fn absent(column: &Column, rows: usize) -> Result<ArrayRef, arrow::error::ArrowError> {
    let to = column.data_type.to_arrow();
    let text = match &column.default {
        Value::Null => return Ok(new_null_array(&to, rows)),
        Value::Bool(held) => held.to_string(),
        Value::Int(held) => held.to_string(),
        Value::Float(held) => held.to_string(),
        Value::String(held) => held.to_string(),
        other => {
            let message = format!("a default of {other:?} cannot stand in for a column of a table");
            return Err(arrow::error::ArrowError::ComputeError(message));
        }
    };
    let one: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let one = cast(&one, &to)?;
    let all = arrow::array::UInt32Array::from(vec![0; rows]);
    arrow::compute::take(&one, &all, None)
}

//! One Parquet file of an archive: written whole, read by columns, merged with others.

use super::identity::{self, Keys, id_type};
use super::layout::{Layout, OWN_COLUMNS, stored};
use super::manifest::FORMAT;
use crate::error::Error;
use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Rows of a row group: enough to compress, little enough to be passed over by time.
const GROUP: usize = 128 << 10;

/// Rows that are read or written at once.
const TOGETHER: usize = 4096;

/// A file that is being written to memory. Its rows come in the order of event time.
pub(super) struct Writing {
    writer: ArrowWriter<Vec<u8>>,
    event_time: usize,
    rows: u64,
    least: i64,
    greatest: i64,
}

/// A file as it was written.
#[derive(Debug)]
pub(super) struct Written {
    pub bytes: Vec<u8>,
    pub rows: u64,
    pub least: i64,
    pub greatest: i64,
}

impl Writing {
    /// Begins a file; its event time is column number `event_time`.
    pub(super) fn new(
        schema: SchemaRef,
        layout: &Layout,
        event_time: usize,
    ) -> Result<Writing, Error> {
        let entry = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
        let level = ZstdLevel::try_new(3).expect("zstd has level 3");
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(GROUP))
            .set_created_by("tiderace".to_owned())
            .set_key_value_metadata(Some(vec![
                entry("tiderace.format", FORMAT.to_string()),
                entry("tiderace.source", layout.source.clone()),
            ]))
            .build();
        // Plain Parquet says all there is to say; Arrow's own schema would be a second opinion.
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options);
        Ok(Writing {
            writer: writer.map_err(|why| Error::data(&layout.source, why))?,
            event_time,
            rows: 0,
            least: i64::MAX,
            greatest: i64::MIN,
        })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let times = identity::times(batch.column(self.event_time));
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            return Ok(());
        };
        self.least = self.least.min(*first);
        self.greatest = self.greatest.max(*last);
        self.rows += batch.num_rows() as u64;
        let written = self.writer.write(batch);
        written.map_err(|why| Error::data("a file of the archive", why))
    }

    pub(super) fn finish(self) -> Result<Written, Error> {
        let bytes = self.writer.into_inner();
        Ok(Written {
            bytes: bytes.map_err(|why| Error::data("a file of the archive", why))?,
            rows: self.rows,
            least: self.least,
            greatest: self.greatest,
        })
    }
}

/// The keys of all events of a file. A file that has no column of ids gives null ids.
pub(super) fn keys(name: &str, bytes: Bytes, layout: &Layout) -> Result<Keys, Error> {
    let (Some(id), Some(data_type)) = (layout.event_id(), id_type(layout)) else {
        return Ok(Keys::default());
    };
    let time = layout.name(layout.event_time);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes);
    let builder = builder.map_err(|why| Error::data(name, why))?;
    let fields = builder.schema().fields();
    let wanted = fields.iter().enumerate();
    let wanted = wanted.filter(|(_, field)| field.name() == time || field.name() == id);
    let wanted: Vec<usize> = wanted.map(|(place, _)| place).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(mask).with_batch_size(1 << 16);
    let mut keys = Keys::default();
    for batch in reader.build().map_err(|why| Error::data(name, why))? {
        let batch = batch.map_err(|why| Error::data(name, why))?;
        let times = batch.column_by_name(time).map(identity::times);
        let times = times.ok_or_else(|| Error::data(name, format!("it has no column `{time}`")))?;
        let ids = match batch.column_by_name(id) {
            Some(ids) => Arc::clone(ids),
            None => new_null_array(&stored(data_type), batch.num_rows()),
        };
        keys.extend(&Keys::by_id(times, &ids, data_type));
    }
    Ok(keys)
}

/// Merges files into one, in the order of event time. They are in the order in which they were made.
///
/// `columns` are the names of all columns of the archive, in order, without its own.
pub(super) fn merge<'a>(
    files: Vec<(String, Bytes)>,
    layout: &Layout,
    columns: impl Iterator<Item = &'a str>,
) -> Result<Written, Error> {
    let mut inputs = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        inputs.push(Input::open(name, bytes)?);
    }
    let schema = union(&inputs, layout, columns);
    let event_time = schema.index_of(layout.name(layout.event_time));
    let event_time = event_time.map_err(|why| Error::data(&layout.source, why))?;
    let mut writing = Writing::new(Arc::clone(&schema), layout, event_time)?;
    let mut next = BinaryHeap::new();
    for (place, input) in inputs.iter_mut().enumerate() {
        if input.advance(&schema)? {
            next.push(Reverse((input.time(event_time), place)));
        }
    }
    let mut chosen: Vec<(usize, usize)> = Vec::new();
    while let Some(Reverse((_, place))) = next.pop() {
        let input = &mut inputs[place];
        chosen.push((place, input.at));
        input.at += 1;
        let over = input.at == input.batch.num_rows();
        if over || chosen.len() == TOGETHER {
            write(&mut writing, &inputs, &mut chosen)?;
        }
        let input = &mut inputs[place];
        if !over || input.advance(&schema)? {
            next.push(Reverse((input.time(event_time), place)));
        }
    }
    writing.finish()
}

fn write(
    writing: &mut Writing,
    inputs: &[Input],
    chosen: &mut Vec<(usize, usize)>,
) -> Result<(), Error> {
    let batches: Vec<&RecordBatch> = inputs.iter().map(|input| &input.batch).collect();
    let batch = interleave_record_batch(&batches, chosen);
    chosen.clear();
    writing.write(&batch.map_err(|why| Error::data("a file of the archive", why))?)
}

/// A file that is merged, at one of its rows.
struct Input {
    name: String,
    schema: SchemaRef,
    reader: ParquetRecordBatchReader,
    batch: RecordBatch,
    at: usize,
}

impl Input {
    fn open(name: String, bytes: Bytes) -> Result<Input, Error> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes);
        let builder = builder.map_err(|why| Error::data(&name, why))?;
        let schema = Arc::clone(builder.schema());
        let reader = builder.with_batch_size(TOGETHER).build();
        Ok(Input {
            reader: reader.map_err(|why| Error::data(&name, why))?,
            batch: RecordBatch::new_empty(Arc::clone(&schema)),
            name,
            schema,
            at: 0,
        })
    }

    /// Goes on to the next batch, in the columns of `schema`; tells whether there is one.
    fn advance(&mut self, schema: &SchemaRef) -> Result<bool, Error> {
        for batch in self.reader.by_ref() {
            let batch = batch.map_err(|why| Error::data(&self.name, why))?;
            if batch.num_rows() > 0 {
                self.batch =
                    as_schema(&batch, schema).map_err(|why| Error::data(&self.name, why))?;
                self.at = 0;
                return Ok(true);
            }
        }
        // What was chosen of others is taken beside it, so it has the same columns.
        self.batch = RecordBatch::new_empty(Arc::clone(schema));
        Ok(false)
    }

    fn time(&self, event_time: usize) -> i64 {
        identity::times(self.batch.column(event_time))[self.at]
    }
}

/// The columns that some of the files have, each in the type that is declared or was written last.
fn union<'a>(
    inputs: &[Input],
    layout: &Layout,
    columns: impl Iterator<Item = &'a str>,
) -> SchemaRef {
    let field = |name: &str| -> Option<Field> {
        let newest = inputs.iter().rev();
        let found = newest.filter_map(|input| input.schema.field_with_name(name).ok());
        let found = found.map(|field| field.data_type().clone()).next()?;
        let data_type = layout.type_of(name).map_or(found, stored);
        Some(Field::new(name, data_type, true))
    };
    let fields: Vec<Field> = columns.chain(OWN_COLUMNS).filter_map(field).collect();
    Arc::new(Schema::new(fields))
}

fn as_schema(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let column = |field: &Arc<Field>| -> Result<ArrayRef, arrow::error::ArrowError> {
        match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        }
    };
    let columns = schema.fields().iter().map(column);
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

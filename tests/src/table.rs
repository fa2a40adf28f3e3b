//! Parquet and CSV files of the tests: payments on their way in, training sets on their way out.

use crate::input::Payment;
use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use tiderace_types::{DataType, Value, arrays};

/// Payments in columns, by the names of the data set.
///
/// # Errors
/// Never, but for Arrow's own reasons.
pub fn batch(payments: &[Payment]) -> Result<RecordBatch> {
    let ints = |of: fn(&Payment) -> i64| -> ArrayRef {
        Arc::new(payments.iter().map(of).collect::<Int64Array>())
    };
    let times = payments.iter().map(|payment| payment.time.0);
    let times: TimestampMicrosecondArray = times.collect::<Vec<_>>().into();
    let amounts: Float64Array = payments
        .iter()
        .map(|payment| Some(payment.amount))
        .collect();
    Ok(RecordBatch::try_from_iter([
        ("tx_id", ints(|payment| payment.id)),
        ("tx_time", Arc::new(times.with_timezone("UTC")) as ArrayRef),
        ("customer_id", ints(|payment| payment.customer)),
        ("terminal_id", ints(|payment| payment.terminal)),
        ("amount", Arc::new(amounts)),
        ("is_fraud", ints(|payment| payment.is_fraud)),
    ])?)
}

/// Writes payments to a Parquet file, so many rows in a row group.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, payments: &[Payment], group: usize) -> Result<()> {
    write_batch(path, &batch(payments)?, group)
}

/// Writes any rows to a Parquet file. Its folder is made.
///
/// # Errors
/// When it cannot be written.
pub fn write_batch(path: &Path, batch: &RecordBatch, group: usize) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group));
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build()))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(())
}

/// The rows of a Parquet file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<RecordBatch>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
    Ok(reader.collect::<Result<_, _>>()?)
}

/// A column of integers that are all there.
///
/// # Panics
/// When it is another column, or lacks some.
#[must_use]
pub fn ints(batches: &[RecordBatch], name: &str) -> Vec<i64> {
    let columns = batches.iter().map(|batch| {
        let column = batch.column_by_name(name).expect("the column");
        assert_eq!(column.null_count(), 0, "nulls in {name}");
        column.as_primitive::<Int64Type>().values().to_vec()
    });
    columns.flatten().collect()
}

/// The values of a column.
///
/// # Panics
/// When there is no such column.
#[must_use]
pub fn values(batches: &[RecordBatch], name: &str) -> Vec<Value> {
    let columns = batches.iter().map(|batch| {
        let column = batch.column_by_name(name);
        let column = column.unwrap_or_else(|| panic!("no column {name}"));
        let data_type = type_of(column.data_type());
        let rows = 0..batch.num_rows();
        rows.map(|row| arrays::value_at(column, &data_type, row))
            .collect::<Vec<Value>>()
    });
    columns.flatten().collect()
}

fn type_of(arrow: &ArrowType) -> DataType {
    match arrow {
        ArrowType::Int64 => DataType::Int64,
        ArrowType::Float64 => DataType::Float64,
        ArrowType::Utf8 => DataType::String,
        ArrowType::Boolean => DataType::Bool,
        ArrowType::Timestamp(..) => DataType::Timestamp,
        ArrowType::Duration(_) => DataType::Duration,
        ArrowType::List(item) => DataType::List(Box::new(type_of(item.data_type()))),
        ArrowType::Map(entries, _) => match entries.data_type() {
            ArrowType::Struct(fields) => DataType::Map(
                Box::new(type_of(fields[0].data_type())),
                Box::new(type_of(fields[1].data_type())),
            ),
            other => panic!("a map of {other}"),
        },
        other => panic!("{other} is in no test"),
    }
}

//! Arrow rows written as JSON objects, the way a producer of events would.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType, UInt64Type,
};
use std::io::Write;
use tiderace_types::{Timestamp, Value, base64};

/// Writes the rows of one batch.
pub struct RowWriter {
    columns: Vec<(Vec<u8>, ArrayRef)>,
    rows: usize,
}

impl RowWriter {
    /// Brings every column to one of few types; the error names a column that has no JSON form.
    pub fn new(batch: &RecordBatch) -> Result<RowWriter, String> {
        let schema = batch.schema();
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            let column = canonical(field.data_type())
                .ok_or_else(|| "it has no JSON form here".to_owned())
                .and_then(|to| cast(array, &to).map_err(|error| error.to_string()));
            let column = column.map_err(|why| {
                format!(
                    "column \"{}\" of type {}: {why}",
                    field.name(),
                    field.data_type()
                )
            })?;
            let mut name = Vec::new();
            put_string(field.name(), &mut name);
            name.push(b':');
            columns.push((name, column));
        }
        Ok(RowWriter {
            columns,
            rows: batch.num_rows(),
        })
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends row `row` as an object; null fields are left out.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        let start = out.len();
        for (name, column) in &self.columns {
            if column.is_null(row) {
                continue;
            }
            if out.len() > start {
                out.push(b',');
            }
            out.extend_from_slice(name);
            put_value(column, row, out);
        }
        out.push(b'}');
    }
}

/// The type that carries a column's values here.
fn canonical(data_type: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match data_type {
        D::Boolean => D::Boolean,
        D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::UInt8 | D::UInt16 | D::UInt32 => D::Int64,
        D::UInt64 => D::UInt64,
        D::Float16 | D::Float32 | D::Float64 => D::Float64,
        D::Decimal32(precision, scale)
        | D::Decimal64(precision, scale)
        | D::Decimal128(precision, scale) => D::Decimal128(*precision, *scale),
        D::Utf8 | D::LargeUtf8 | D::Utf8View => D::Utf8,
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => D::Binary,
        // Arrow would round instants before 1970 up.
        D::Timestamp(TimeUnit::Nanosecond, _) => D::Timestamp(TimeUnit::Nanosecond, None),
        D::Timestamp(..) | D::Date32 | D::Date64 => D::Timestamp(TimeUnit::Microsecond, None),
        D::Dictionary(_, value) => canonical(value)?,
        D::Null => D::Boolean,
        _ => return None,
    })
}

fn put_value(column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    match column.data_type() {
        DataType::Boolean => put(column.as_boolean().value(row), out),
        DataType::Int64 => put(column.as_primitive::<Int64Type>().value(row), out),
        DataType::UInt64 => put(column.as_primitive::<UInt64Type>().value(row), out),
        DataType::Float64 => put_float(column.as_primitive::<Float64Type>().value(row), out),
        DataType::Decimal128(_, scale) => {
            let unscaled = column.as_primitive::<Decimal128Type>().value(row);
            put_quoted(Value::Decimal(unscaled, *scale), out);
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let nanos = column.as_primitive::<TimestampNanosecondType>().value(row);
            put_quoted(Timestamp(nanos.div_euclid(1000)), out);
        }
        DataType::Timestamp(..) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            put_quoted(Timestamp(micros), out);
        }
        DataType::Binary => put_quoted(base64::encode(column.as_binary::<i32>().value(row)), out),
        _ => put_string(column.as_string::<i32>().value(row), out),
    }
}

fn put(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    write!(out, "{value}").expect("a vector takes every byte");
}

fn put_quoted(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    write!(out, "\"{value}\"").expect("a vector takes every byte");
}

/// The shortest text that reads back as the same number. JSON has no NaN and
/// no infinities: as strings they are refused later, with the column's name.
fn put_float(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        write!(out, "{value:?}").expect("a vector takes every byte");
    } else {
        put_quoted(value, out);
    }
}

fn put_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a vector takes every byte, and text is JSON");
}

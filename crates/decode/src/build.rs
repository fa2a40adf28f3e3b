//! Growing Arrow columns, one typed buffer each; a row can be taken back.

use crate::cell::{Cell, Kind};
use crate::item::{Item, Tick, uuid};
use crate::settings::NotFinite;
use crate::texts::Texts;
use crate::{instant, number};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array,
    DurationMicrosecondArray, Float64Array, Int64Array, NullBufferBuilder, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::error::ArrowError;
use std::sync::Arc;
use tiderace_types::{Column, DataType, TimeUnit, Timestamp, Value};

/// One column of the batch being built.
#[derive(Debug)]
pub struct Builder {
    values: Values,
    nulls: NullBufferBuilder,
    rows: usize,
    max_text_bytes: usize,
    null_for_not_finite: bool,
}

#[derive(Debug)]
enum Values {
    Bool(BooleanBufferBuilder),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>, u8, i8),
    String(Texts),
    Bytes(Texts),
    Timestamp(Vec<i64>, TimeUnit),
    Duration(Vec<i64>),
    /// A type that no JSON value is read as: only nulls.
    Unread(DataType),
}

/// Why a cell is not a value of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is of another type, or does not fit this one.
    WrongType,
    /// It is a number beyond the largest double.
    NotFinite,
    /// It is a text that is not UTF-8.
    NotText,
    /// It is a longer text than is allowed.
    TooLong,
    /// The column of this batch has no room for it.
    Full,
}

impl Builder {
    /// An empty column with room for `rows`, none of which is a longer text than `max_text_bytes`.
    pub fn new(
        column: &Column,
        rows: usize,
        max_text_bytes: usize,
        not_finite: NotFinite,
    ) -> Builder {
        let values = match &column.data_type {
            DataType::Bool => Values::Bool(BooleanBufferBuilder::new(rows)),
            DataType::Int64 => Values::Int64(Vec::with_capacity(rows)),
            DataType::Float64 => Values::Float64(Vec::with_capacity(rows)),
            DataType::Decimal { precision, scale } => {
                Values::Decimal(Vec::with_capacity(rows), *precision, *scale)
            }
            DataType::String => Values::String(Texts::new(rows)),
            DataType::Bytes => Values::Bytes(Texts::new(rows)),
            DataType::Timestamp => Values::Timestamp(Vec::with_capacity(rows), column.time_unit),
            DataType::Duration => Values::Duration(Vec::with_capacity(rows)),
            DataType::List(_) | DataType::Map(..) => Values::Unread(column.data_type.clone()),
        };
        Builder {
            values,
            nulls: NullBufferBuilder::new(rows),
            rows: 0,
            max_text_bytes,
            null_for_not_finite: not_finite == NotFinite::Null && column.nullable,
        }
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.append(false),
            Values::Int64(values) | Values::Timestamp(values, _) | Values::Duration(values) => {
                values.push(0);
            }
            Values::Float64(values) => values.push(0.0),
            Values::Decimal(values, ..) => values.push(0),
            Values::String(texts) | Values::Bytes(texts) => texts.repeat_end(),
            Values::Unread(_) => {}
        }
        self.nulls.append_null();
        self.rows += 1;
    }

    /// Appends `value`, which is of the column's type; null where it is not.
    pub fn push_value(&mut self, value: &Value) {
        match (&mut self.values, value) {
            (Values::Bool(values), Value::Bool(value)) => values.append(*value),
            (Values::Int64(values), Value::Int(value))
            | (Values::Duration(values), Value::Duration(value))
            | (Values::Timestamp(values, _), Value::Timestamp(Timestamp(value))) => {
                values.push(*value);
            }
            (Values::Float64(values), Value::Float(value)) => values.push(*value),
            (Values::Decimal(values, _, scale), Value::Decimal(value, of)) if scale == of => {
                values.push(*value);
            }
            (Values::String(texts), Value::String(text)) => {
                if texts.push_plain(text.as_bytes(), usize::MAX).is_err() {
                    return self.push_null();
                }
            }
            (Values::Bytes(texts), Value::Bytes(bytes)) => {
                if texts.push_plain(bytes, usize::MAX).is_err() {
                    return self.push_null();
                }
            }
            _ => return self.push_null(),
        }
        self.nulls.append_non_null();
        self.rows += 1;
    }

    /// Appends the value that `cell` holds in `payload`.
    ///
    /// # Errors
    /// When it is not a value of the column; nothing is appended then.
    #[inline]
    pub fn push(&mut self, cell: &Cell, payload: &[u8]) -> Result<(), Refusal> {
        let body = &payload[cell.start..cell.end];
        let most = self.max_text_bytes;
        match (&mut self.values, cell.kind) {
            (Values::Float64(values), Kind::Number(number)) => {
                let value = number::to_f64(&number, body);
                if !value.is_finite() {
                    return Err(Refusal::NotFinite);
                }
                values.push(value);
            }
            (Values::Int64(values) | Values::Duration(values), Kind::Number(number)) => {
                values.push(number::to_i64(&number, body).ok_or(Refusal::WrongType)?);
            }
            (Values::Timestamp(values, unit), _) => {
                values.push(instant::read(cell, payload, *unit).ok_or(Refusal::WrongType)?);
            }
            (Values::String(texts), Kind::Text { escaped }) => texts.push(body, escaped, most)?,
            (Values::Bytes(texts), Kind::Text { escaped }) => {
                texts.push_base64(body, escaped, most)?
            }
            (Values::Bool(values), Kind::Bool(value)) => values.append(value),
            (Values::Decimal(values, precision, scale), kind) => {
                let value = decimal(kind, body, *precision, *scale).ok_or(Refusal::WrongType)?;
                values.push(value);
            }
            _ => return Err(Refusal::WrongType),
        }
        self.nulls.append_non_null();
        self.rows += 1;
        Ok(())
    }

    /// Appends the value of a binary format; an integer for an instant or a span counts ticks.
    ///
    /// # Errors
    /// When it is not a value of the column; nothing is appended then.
    #[inline]
    pub fn put(&mut self, item: Item<'_>, tick: Tick) -> Result<(), Refusal> {
        let most = self.max_text_bytes;
        match (&mut self.values, item) {
            (Values::Int64(values), Item::Int(number)) => values.push(number),
            (Values::Float64(values), Item::Int(number)) => values.push(number as f64),
            (Values::Float64(values), Item::Unscaled(number, 0)) => values.push(number as f64),
            (Values::Float64(values), Item::Float(number)) => {
                if !number.is_finite() {
                    return self.not_finite();
                }
                values.push(number);
            }
            (Values::Timestamp(values, _) | Values::Duration(values), Item::Int(number)) => {
                values.push(tick.micros(number).ok_or(Refusal::WrongType)?);
            }
            (Values::String(texts), Item::Text(text) | Item::Raw(text)) => {
                if str::from_utf8(text).is_err() {
                    return Err(Refusal::NotText);
                }
                texts.push_plain(text, most)?;
            }
            (Values::String(texts), Item::Uuid(bytes)) => texts.push_plain(&uuid(bytes), most)?,
            (Values::Bytes(texts), Item::Uuid(bytes)) => texts.push_plain(&bytes, most)?,
            (Values::Bytes(texts), Item::Text(bytes) | Item::Raw(bytes)) => {
                texts.push_plain(bytes, most)?;
            }
            (Values::Bool(values), Item::Bool(value)) => values.append(value),
            (Values::Decimal(values, precision, scale), item) => {
                let value = item.decimal(*precision, *scale).ok_or(Refusal::WrongType)?;
                values.push(value);
            }
            (Values::Timestamp(values, _), Item::Text(text)) => {
                values.push(instant::parse(text).ok_or(Refusal::WrongType)?);
            }
            _ => return Err(Refusal::WrongType),
        }
        self.nulls.append_non_null();
        self.rows += 1;
        Ok(())
    }

    #[cold]
    fn not_finite(&mut self) -> Result<(), Refusal> {
        if !self.null_for_not_finite {
            return Err(Refusal::NotFinite);
        }
        self.push_null();
        Ok(())
    }

    /// The text or the bytes that were appended last, of a column of such.
    pub fn last_text(&self) -> Option<&[u8]> {
        match &self.values {
            Values::String(texts) | Values::Bytes(texts) => Some(texts.last()),
            _ => None,
        }
    }

    /// Takes back every row from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        if self.rows <= rows {
            return;
        }
        match &mut self.values {
            Values::Bool(values) => values.truncate(rows),
            Values::Int64(values) | Values::Timestamp(values, _) | Values::Duration(values) => {
                values.truncate(rows);
            }
            Values::Float64(values) => values.truncate(rows),
            Values::Decimal(values, ..) => values.truncate(rows),
            Values::String(texts) | Values::Bytes(texts) => texts.truncate(rows),
            Values::Unread(_) => {}
        }
        self.nulls.truncate(rows);
        self.rows = rows;
    }

    /// The finished column.
    ///
    /// # Errors
    /// Never for what this builder accepts; Arrow checks lengths and text once more.
    pub fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.finish();
        Ok(match self.values {
            Values::Bool(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int64(values) => Arc::new(Int64Array::try_new(values.into(), nulls)?),
            Values::Float64(values) => Arc::new(Float64Array::try_new(values.into(), nulls)?),
            Values::Decimal(values, precision, scale) => Arc::new(
                Decimal128Array::try_new(values.into(), nulls)?
                    .with_precision_and_scale(precision, scale)?,
            ),
            Values::String(texts) => {
                let (offsets, bytes) = texts.finish();
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Bytes(texts) => {
                let (offsets, bytes) = texts.finish();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Timestamp(values, _) => {
                Arc::new(TimestampMicrosecondArray::try_new(values.into(), nulls)?)
            }
            Values::Duration(values) => {
                Arc::new(DurationMicrosecondArray::try_new(values.into(), nulls)?)
            }
            Values::Unread(data_type) => new_null_array(&data_type.to_arrow(), self.rows),
        })
    }
}

fn decimal(kind: Kind, body: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let unscaled = match kind {
        Kind::Number(_) | Kind::Text { escaped: false } => number::to_decimal(body, scale)?,
        _ => return None,
    };
    number::fits(unscaled, precision).then_some(unscaled)
}

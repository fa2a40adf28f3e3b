//! Values to Arrow columns and back.

use crate::{DataType, Timestamp, Value};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, DurationMicrosecondArray,
    Float64Array, Int64Array, ListArray, MapArray, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType as ArrowType, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Builds a column of `data_type`; a value of another type is null.
///
/// # Errors
/// When Arrow has no such column: a decimal of more digits than its type.
pub fn from_values(data_type: &DataType, values: &[&Value]) -> Result<ArrayRef, ArrowError> {
    macro_rules! collect {
        ($array:ty, $pattern:pat => $body:expr) => {
            values
                .iter()
                .map(|value| match value {
                    $pattern => Some($body),
                    _ => None,
                })
                .collect::<$array>()
        };
    }
    Ok(match data_type {
        DataType::Bool => Arc::new(collect!(BooleanArray, Value::Bool(b) => *b)),
        DataType::Int64 => Arc::new(collect!(Int64Array, Value::Int(n) => *n)),
        DataType::Float64 => Arc::new(collect!(Float64Array, Value::Float(x) => *x)),
        DataType::Decimal { precision, scale } => Arc::new(
            collect!(Decimal128Array, Value::Decimal(unscaled, _) => *unscaled)
                .with_precision_and_scale(*precision, *scale)?,
        ),
        DataType::String => Arc::new(collect!(StringArray, Value::String(text) => &**text)),
        DataType::Bytes => Arc::new(collect!(BinaryArray, Value::Bytes(bytes) => &**bytes)),
        DataType::Timestamp => {
            Arc::new(collect!(TimestampMicrosecondArray, Value::Timestamp(at) => at.0))
        }
        DataType::Duration => {
            Arc::new(collect!(DurationMicrosecondArray, Value::Duration(micros) => *micros))
        }
        DataType::List(item) => list(data_type, item, values)?,
        DataType::Map(key, value) => map(data_type, key, value, values)?,
    })
}

fn list(data_type: &DataType, item: &DataType, values: &[&Value]) -> Result<ArrayRef, ArrowError> {
    let ArrowType::List(field) = data_type.to_arrow() else {
        unreachable!("a list is a list in Arrow");
    };
    let parts = values.iter().map(|value| match value {
        Value::List(items) => Some(items.as_slice()),
        _ => None,
    });
    let lengths = parts.clone().map(|items| items.map_or(0, <[Value]>::len));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls: NullBuffer = parts.clone().map(|items| items.is_some()).collect();
    let items: Vec<&Value> = parts.flatten().flatten().collect();
    let items = from_values(item, &items)?;
    Ok(Arc::new(ListArray::try_new(
        field,
        offsets,
        items,
        Some(nulls),
    )?))
}

fn map(
    data_type: &DataType,
    key: &DataType,
    value: &DataType,
    values: &[&Value],
) -> Result<ArrayRef, ArrowError> {
    let ArrowType::Map(field, ordered) = data_type.to_arrow() else {
        unreachable!("a map is a map in Arrow");
    };
    let ArrowType::Struct(fields) = field.data_type().clone() else {
        unreachable!("a map's entries are a struct in Arrow");
    };
    let parts = values.iter().map(|value| match value {
        Value::Map(entries) => Some(entries.as_slice()),
        _ => None,
    });
    let lengths = parts.clone().map(|entries| entries.map_or(0, <[_]>::len));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls: NullBuffer = parts.clone().map(|entries| entries.is_some()).collect();
    let entries: Vec<&(Value, Value)> = parts.flatten().flatten().collect();
    let keys: Vec<&Value> = entries.iter().map(|(key, _)| key).collect();
    let held: Vec<&Value> = entries.iter().map(|(_, value)| value).collect();
    let columns = vec![from_values(key, &keys)?, from_values(value, &held)?];
    let entries = StructArray::try_new(fields, columns, None)?;
    Ok(Arc::new(MapArray::try_new(
        field,
        offsets,
        entries,
        Some(nulls),
        ordered,
    )?))
}

/// Reads the value at `row` of a column made for `data_type`.
///
/// # Panics
/// When the column is of another type.
#[must_use]
pub fn value_at(array: &dyn Array, data_type: &DataType, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match data_type {
        DataType::Bool => Value::Bool(array.as_boolean().value(row)),
        DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal { scale, .. } => {
            Value::Decimal(array.as_primitive::<Decimal128Type>().value(row), *scale)
        }
        DataType::String => Value::string(array.as_string::<i32>().value(row)),
        DataType::Bytes => Value::Bytes(array.as_binary::<i32>().value(row).into()),
        DataType::Timestamp => Value::Timestamp(Timestamp(
            array.as_primitive::<TimestampMicrosecondType>().value(row),
        )),
        DataType::Duration => {
            Value::Duration(array.as_primitive::<DurationMicrosecondType>().value(row))
        }
        DataType::List(item) => {
            let items = array.as_list::<i32>().value(row);
            Value::List(
                (0..items.len())
                    .map(|place| value_at(&items, item, place))
                    .collect(),
            )
        }
        DataType::Map(key, value) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            Value::Map(
                (0..entries.len())
                    .map(|place| (value_at(keys, key, place), value_at(values, value, place)))
                    .collect(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_survives() {
        let check = |data_type: DataType, values: &[Value]| {
            let values: Vec<&Value> = values.iter().chain([&Value::Null]).collect();
            let array = from_values(&data_type, &values).expect("builds");
            assert_eq!(array.data_type(), &data_type.to_arrow());
            for (row, value) in values.iter().enumerate() {
                assert_eq!(&value_at(&array, &data_type, row), *value);
            }
        };
        check(DataType::Bool, &[Value::Bool(true)]);
        check(DataType::Int64, &[Value::Int(-5)]);
        check(DataType::Float64, &[Value::Float(0.5)]);
        let money = DataType::Decimal {
            precision: 12,
            scale: 2,
        };
        check(money, &[Value::Decimal(-5716, 2)]);
        check(
            DataType::String,
            &[Value::string("금액"), Value::string("")],
        );
        check(DataType::Bytes, &[Value::Bytes([0, 255].into())]);
        check(DataType::Timestamp, &[Value::Timestamp(Timestamp(-1))]);
        check(DataType::Duration, &[Value::Duration(7)]);
        let list = Value::List(vec![Value::Int(1), Value::Null]);
        check(
            DataType::List(Box::new(DataType::Int64)),
            &[list, Value::List(vec![])],
        );
        let map = Value::Map(vec![(Value::string("b"), Value::Float(2.0))]);
        check(
            DataType::Map(Box::new(DataType::String), Box::new(DataType::Float64)),
            &[map, Value::Map(vec![])],
        );
    }
}

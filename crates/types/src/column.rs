//! A source's declared columns, and how types look in Arrow.

use crate::{DataType, Value};
use arrow::datatypes as arrow_types;
use std::sync::Arc;

/// A declared column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name; of nested fields a path with dots.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// How the number of a timestamp counts, when it is one.
    pub time_unit: TimeUnit,
    /// Whether null (or absence) is allowed; false for event time and event id.
    pub nullable: bool,
    /// What it is where a record does not have it at all; `Null` for nothing. A null that stands in
    /// the record stays one.
    pub default: Value,
}

impl Column {
    /// The column that a decoder of changes of tables makes by itself: the identity of a change as
    /// bytes, which is its source's log position and its row.
    pub const IDENTITY: &str = "$id";
    /// The column that a decoder of changes of tables makes by itself: a bool that tells whether
    /// the row is taken back.
    pub const RETRACTS: &str = "$retracts";

    /// A column that may be null, without a default; an instant is RFC 3339 text.
    #[must_use]
    pub fn new(name: &str, data_type: DataType) -> Column {
        Column {
            name: name.to_owned(),
            data_type,
            time_unit: TimeUnit::default(),
            nullable: true,
            default: Value::Null,
        }
    }
}

/// What an integer timestamp counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimeUnit {
    /// Not an integer: RFC 3339 text only.
    #[default]
    Rfc3339,
    /// Seconds since the epoch.
    Seconds,
    /// Milliseconds since the epoch.
    Millis,
    /// Microseconds since the epoch.
    Micros,
    /// Nanoseconds since the epoch, rounded down to microseconds.
    Nanos,
    /// Days since the epoch.
    Days,
}

impl DataType {
    /// The Arrow type that carries it. Instants are microseconds without a zone and mean UTC.
    #[must_use]
    pub fn to_arrow(&self) -> arrow_types::DataType {
        use arrow_types::DataType as A;
        match self {
            DataType::Bool => A::Boolean,
            DataType::Int64 => A::Int64,
            DataType::Float64 => A::Float64,
            DataType::Decimal { precision, scale } => A::Decimal128(*precision, *scale),
            DataType::String => A::Utf8,
            DataType::Bytes => A::Binary,
            DataType::Timestamp => A::Timestamp(arrow_types::TimeUnit::Microsecond, None),
            DataType::Duration => A::Duration(arrow_types::TimeUnit::Microsecond),
            DataType::List(item) => A::List(Arc::new(arrow_types::Field::new_list_field(
                item.to_arrow(),
                true,
            ))),
            DataType::Map(key, value) => A::Map(
                Arc::new(arrow_types::Field::new_struct(
                    "entries",
                    vec![
                        arrow_types::Field::new("keys", key.to_arrow(), false),
                        arrow_types::Field::new("values", value.to_arrow(), true),
                    ],
                    false,
                )),
                false,
            ),
        }
    }
}

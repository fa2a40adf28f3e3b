//! Values and their types, as columns, keys and features carry them.

use crate::time::Timestamp;
use std::fmt;

/// The type of a column, an expression or a feature.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// True or false.
    Bool,
    /// A signed 64-bit integer. Narrower integers widen to it.
    Int64,
    /// An IEEE 754 double. Single precision widens to it.
    Float64,
    /// An exact number: `unscaled × 10^-scale`, of at most `precision` digits (at most 38).
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, 0 to `precision`.
        scale: i8,
    },
    /// UTF-8 text.
    String,
    /// Raw bytes.
    Bytes,
    /// An instant in microseconds, UTC.
    Timestamp,
    /// A span in microseconds (`time_since_…`, differences of instants).
    Duration,
    /// A list of values of one type.
    List(Box<DataType>),
    /// Ordered (key, value) pairs: `top_n`, `histogram`, `by:` breakdowns.
    Map(Box<DataType>, Box<DataType>),
}

impl fmt::Display for DataType {
    /// Writes the name used in definition files: `int64`, `decimal(12, 2)`, `map<string, int64>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::Bool => f.write_str("bool"),
            DataType::Int64 => f.write_str("int64"),
            DataType::Float64 => f.write_str("float64"),
            DataType::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            DataType::String => f.write_str("string"),
            DataType::Bytes => f.write_str("bytes"),
            DataType::Timestamp => f.write_str("timestamp"),
            DataType::Duration => f.write_str("duration"),
            DataType::List(item) => write!(f, "list<{item}>"),
            DataType::Map(key, value) => write!(f, "map<{key}, {value}>"),
        }
    }
}

/// One value. `Null` belongs to every type.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// A [`DataType::Bool`].
    Bool(bool),
    /// A [`DataType::Int64`].
    Int(i64),
    /// A [`DataType::Float64`].
    Float(f64),
    /// A [`DataType::Decimal`]: the unscaled number and its scale.
    Decimal(i128, i8),
    /// A [`DataType::String`].
    String(Box<str>),
    /// A [`DataType::Bytes`].
    Bytes(Box<[u8]>),
    /// A [`DataType::Timestamp`].
    Timestamp(Timestamp),
    /// A [`DataType::Duration`] in microseconds.
    Duration(i64),
    /// A [`DataType::List`].
    List(Vec<Value>),
    /// A [`DataType::Map`], in its meaningful order.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// Makes a string value.
    #[must_use]
    pub fn string(text: &str) -> Value {
        Value::String(text.into())
    }

    /// Tells whether this is `Null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

impl fmt::Display for Value {
    /// Writes the value for a person: decimals with their point, maps as `{key: value}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(n) => write!(f, "{n}"),
            Value::Float(x) => write!(f, "{x}"),
            Value::Decimal(unscaled, scale) => write_decimal(f, *unscaled, *scale),
            Value::String(text) => f.write_str(text),
            Value::Bytes(bytes) => {
                f.write_str("0x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Value::Timestamp(at) => write!(f, "{at}"),
            Value::Duration(micros) => write!(f, "{}", crate::Duration(*micros)),
            Value::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Value::Map(entries) => {
                f.write_str("{")?;
                for (i, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, unscaled: i128, scale: i8) -> fmt::Result {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = unscaled.unsigned_abs().to_string();
    match usize::try_from(scale) {
        Ok(0) | Err(_) => write!(
            f,
            "{sign}{digits}{}",
            "0".repeat(usize::from(scale.unsigned_abs()) * usize::from(scale < 0))
        ),
        Ok(scale) => {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            write!(f, "{sign}{whole}.{fraction}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_well() {
        for (value, shown) in [
            (Value::Decimal(5716, 2), "57.16"),
            (Value::Decimal(-5, 2), "-0.05"),
            (Value::Decimal(5, -2), "500"),
            (Value::Bytes([1, 255].into()), "0x01ff"),
            (
                Value::Map(vec![
                    (Value::string("a"), Value::Int(2)),
                    (Value::Int(1), Value::Null),
                ]),
                "{a: 2, 1: null}",
            ),
        ] {
            assert_eq!(value.to_string(), shown);
        }
    }
}

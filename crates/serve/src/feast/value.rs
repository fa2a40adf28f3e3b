//! Values to and from Feast's messages, of the kinds that all its clients know.
//!
//! What Feast has no kind for is sent as the nearest that loses least: decimals are text, instants
//! whole seconds, spans seconds with their fraction.

use super::answer::Said;
use super::types::{self, value::Val};
use crate::{Cells, proto};
use proto::value::Kind;
use tiderace_types::Value;

const MICROS: i64 = 1_000_000;

/// The message of a value; one without a kind is null.
pub(crate) fn message(said: Said<'_>) -> types::Value {
    let val = match said {
        Said::Null => None,
        Said::One(Value::List(items)) => list(items.iter()),
        Said::One(value) => one(value),
        Said::Keys(entries) => list(entries.iter().map(|(key, _)| key)),
        Said::Values(entries) => list(entries.iter().map(|(_, value)| value)),
    };
    types::Value { val }
}

fn one(value: &Value) -> Option<Val> {
    Some(match value {
        Value::Bool(b) => Val::BoolVal(*b),
        Value::Int(n) => Val::Int64Val(*n),
        Value::Float(x) => Val::DoubleVal(*x),
        Value::Decimal(..) => Val::StringVal(value.to_string()),
        Value::String(text) => Val::StringVal(text.to_string()),
        Value::Bytes(bytes) => Val::BytesVal(bytes.to_vec()),
        Value::Timestamp(at) => Val::UnixTimestampVal(at.0.div_euclid(MICROS)),
        Value::Duration(micros) => Val::DoubleVal(seconds(*micros)),
        Value::Null | Value::List(_) | Value::Map(_) => return None,
    })
}

/// A list of values of one type.
fn list<'a>(items: impl Iterator<Item = &'a Value> + Clone) -> Option<Val> {
    Some(match items.clone().next().and_then(one)? {
        Val::BoolVal(_) => Val::BoolListVal(types::BoolList {
            val: each(items, |val| match val {
                Val::BoolVal(b) => Some(b),
                _ => None,
            }),
        }),
        Val::Int64Val(_) => Val::Int64ListVal(types::Int64List {
            val: each(items, |val| match val {
                Val::Int64Val(n) => Some(n),
                _ => None,
            }),
        }),
        Val::UnixTimestampVal(_) => Val::UnixTimestampListVal(types::Int64List {
            val: each(items, |val| match val {
                Val::UnixTimestampVal(at) => Some(at),
                _ => None,
            }),
        }),
        Val::DoubleVal(_) => Val::DoubleListVal(types::DoubleList {
            val: each(items, |val| match val {
                Val::DoubleVal(x) => Some(x),
                _ => None,
            }),
        }),
        Val::StringVal(_) => Val::StringListVal(types::StringList {
            val: each(items, |val| match val {
                Val::StringVal(text) => Some(text),
                _ => None,
            }),
        }),
        Val::BytesVal(_) => Val::BytesListVal(types::BytesList {
            val: each(items, |val| match val {
                Val::BytesVal(bytes) => Some(bytes),
                _ => None,
            }),
        }),
        _ => return None,
    })
}

fn each<'a, T>(items: impl Iterator<Item = &'a Value>, take: impl Fn(Val) -> Option<T>) -> Vec<T> {
    items.filter_map(|item| one(item).and_then(&take)).collect()
}

pub(crate) fn seconds(micros: i64) -> f64 {
    micros as f64 / MICROS as f64
}

/// The cells of a column as a client sends it.
pub(crate) fn cells(column: types::RepeatedValue) -> Cells {
    let integer = |value: &types::Value| match value.val {
        Some(Val::Int64Val(n)) => Some(n),
        Some(Val::Int32Val(n)) => Some(n.into()),
        _ => None,
    };
    let integers: Option<Vec<i64>> = column.val.iter().map(integer).collect();
    match integers {
        Some(integers) => Cells::Ints(integers),
        None => Cells::Any(column.val.into_iter().map(own).collect()),
    }
}

fn own(value: types::Value) -> proto::Value {
    fn list<T>(items: Vec<T>, kind: impl Fn(T) -> Kind) -> Kind {
        let value = |item| proto::Value {
            kind: Some(kind(item)),
        };
        Kind::ListValue(proto::ValueList {
            values: items.into_iter().map(value).collect(),
        })
    }
    let instant = |seconds| Kind::TimestampValue(prost_types::Timestamp { seconds, nanos: 0 });
    let kind = match value.val {
        None | Some(Val::NullVal(_)) => Kind::NullValue(0),
        Some(Val::BytesVal(bytes)) => Kind::BytesValue(bytes),
        Some(
            Val::StringVal(text)
            | Val::UuidVal(text)
            | Val::TimeUuidVal(text)
            | Val::DecimalVal(text),
        ) => Kind::StringValue(text),
        Some(Val::Int32Val(n)) => Kind::Int64Value(n.into()),
        Some(Val::Int64Val(n)) => Kind::Int64Value(n),
        Some(Val::DoubleVal(x)) => Kind::DoubleValue(x),
        Some(Val::FloatVal(x)) => Kind::DoubleValue(x.into()),
        Some(Val::BoolVal(b)) => Kind::BoolValue(b),
        Some(Val::UnixTimestampVal(seconds)) => instant(seconds),
        Some(Val::BytesListVal(items)) => list(items.val, Kind::BytesValue),
        Some(Val::StringListVal(items)) => list(items.val, Kind::StringValue),
        Some(Val::Int32ListVal(items)) => list(items.val, |n| Kind::Int64Value(n.into())),
        Some(Val::Int64ListVal(items)) => list(items.val, Kind::Int64Value),
        Some(Val::DoubleListVal(items)) => list(items.val, Kind::DoubleValue),
        Some(Val::FloatListVal(items)) => list(items.val, |x| Kind::DoubleValue(x.into())),
        Some(Val::BoolListVal(items)) => list(items.val, Kind::BoolValue),
        Some(Val::UnixTimestampListVal(items)) => list(items.val, instant),
    };
    proto::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use tiderace_types::Timestamp;

    /// The bytes that a value is on the wire.
    fn check(value: Value, expect: &[u8]) {
        assert_eq!(
            message(Said::One(&value)).encode_to_vec(),
            expect,
            "{value:?}"
        );
    }

    #[test]
    fn kinds_have_their_numbers() {
        assert!(message(Said::Null).encode_to_vec().is_empty());
        check(Value::Bytes([255].into()), &[1 << 3 | 2, 1, 255]);
        check(Value::string("a"), &[2 << 3 | 2, 1, b'a']);
        check(Value::Int(5), &[4 << 3, 5]);
        check(Value::Float(1.5), b"\x29\x00\x00\x00\x00\x00\x00\xf8\x3f");
        check(Value::Bool(true), &[7 << 3, 1]);
        check(Value::Timestamp(Timestamp(7_999_999)), &[8 << 3, 7]);
        check(Value::Decimal(5710, 2), b"\x12\x0557.10");
        check(
            Value::Duration(1_500_000),
            b"\x29\x00\x00\x00\x00\x00\x00\xf8\x3f",
        );
        let list = |items: &[Value]| Value::List(items.to_vec());
        check(
            list(&[Value::Bytes([255].into())]),
            &[11 << 3 | 2, 3, 10, 1, 255],
        );
        check(list(&[Value::string("a")]), &[12 << 3 | 2, 3, 10, 1, b'a']);
        check(
            list(&[Value::Int(5), Value::Int(6)]),
            &[14 << 3 | 2, 4, 10, 2, 5, 6],
        );
        check(
            list(&[Value::Float(1.5)]),
            b"\x7a\x0a\x0a\x08\x00\x00\x00\x00\x00\x00\xf8\x3f",
        );
        check(list(&[Value::Bool(true)]), &[0x8a, 1, 3, 10, 1, 1]);
        check(
            list(&[Value::Timestamp(Timestamp(7_000_000))]),
            &[0x92, 1, 3, 10, 1, 7],
        );
    }

    #[test]
    fn a_map_is_two_lists() {
        let entries = [(Value::Int(5), Value::Float(1.5))];
        assert_eq!(
            message(Said::Keys(&entries)).val,
            Some(Val::Int64ListVal(types::Int64List { val: vec![5] }))
        );
        assert_eq!(
            message(Said::Values(&entries)).val,
            Some(Val::DoubleListVal(types::DoubleList { val: vec![1.5] }))
        );
    }

    #[test]
    fn columns_of_integers_stay_so() {
        let column = |vals: Vec<Option<Val>>| types::RepeatedValue {
            val: vals.into_iter().map(|val| types::Value { val }).collect(),
        };
        let narrow = column(vec![Some(Val::Int32Val(-1)), Some(Val::Int64Val(2))]);
        assert!(matches!(cells(narrow), Cells::Ints(found) if found == [-1, 2]));
        let mixed = column(vec![Some(Val::Int64Val(2)), None]);
        let Cells::Any(found) = cells(mixed) else {
            panic!("nothing is no integer");
        };
        assert_eq!(found[1].kind, Some(Kind::NullValue(0)));
    }
}

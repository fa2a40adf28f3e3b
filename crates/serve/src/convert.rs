//! Values to and from the messages and JSON.

use crate::proto;
use proto::value::Kind;
use serde_json::json;
use tiderace_aggregate::Bound;
use tiderace_types::{Duration, Timestamp, Value};

/// The message of the bound of value `index`, whose window's edges are `off` by so much.
pub(crate) fn bound(index: u32, bound: Option<Bound>, off: Duration) -> proto::ValueBound {
    use proto::value_bound::Bound as Form;
    let (form, confidence) = match bound {
        Some(Bound::Relative { error, confidence }) => (Some(Form::Relative(error)), confidence),
        Some(Bound::Absolute { error }) => (Some(Form::Absolute(error)), 1.0),
        Some(Bound::Keys { keys }) => (Some(Form::LeastKeys(keys)), 1.0),
        None => (None, 1.0),
    };
    proto::ValueBound {
        index,
        bound: form,
        confidence,
        edges_off: (off > Duration::ZERO).then(|| to_duration(off.0)),
    }
}

/// The message of a value.
pub(crate) fn to_proto(value: Value) -> proto::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(b),
        Value::Int(n) => Kind::Int64Value(n),
        Value::Float(x) => Kind::DoubleValue(x),
        Value::Decimal(..) => Kind::DecimalValue(value.to_string()),
        Value::String(text) => Kind::StringValue(text.into()),
        Value::Bytes(bytes) => Kind::BytesValue(bytes.into_vec()),
        Value::Timestamp(at) => Kind::TimestampValue(to_timestamp(at)),
        Value::Duration(micros) => Kind::DurationValue(to_duration(micros)),
        Value::List(items) => Kind::ListValue(proto::ValueList {
            values: items.into_iter().map(to_proto).collect(),
        }),
        Value::Map(entries) => Kind::MapValue(proto::ValueMap {
            entries: entries
                .into_iter()
                .map(|(key, value)| proto::ValueMapEntry {
                    key: Some(to_proto(key)),
                    value: Some(to_proto(value)),
                })
                .collect(),
        }),
    };
    proto::Value { kind: Some(kind) }
}

/// The message of an instant.
pub(crate) fn to_timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.0.div_euclid(MICROS),
        nanos: at.0.rem_euclid(MICROS) as i32 * 1000,
    }
}

/// The message of a span in microseconds.
pub(crate) fn to_duration(micros: i64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: micros / MICROS,
        nanos: (micros % MICROS) as i32 * 1000,
    }
}

/// The instant of a message; the error says what is wrong with it.
pub(crate) fn from_timestamp(at: &prost_types::Timestamp) -> Result<Timestamp, &'static str> {
    if !(0..1_000_000_000).contains(&at.nanos) {
        return Err("nanos must be between 0 and 999999999");
    }
    if at.nanos % 1000 != 0 {
        return Err("instants are exact to the microsecond; round the nanoseconds");
    }
    at.seconds
        .checked_mul(MICROS)
        .and_then(|micros| micros.checked_add(i64::from(at.nanos) / 1000))
        .map(Timestamp)
        .ok_or("the instant is out of range")
}

/// The span of a message in microseconds, if it is exact and in range.
pub(crate) fn from_duration(span: &prost_types::Duration) -> Option<i64> {
    if span.nanos % 1000 != 0 || span.nanos.abs() >= 1_000_000_000 {
        return None;
    }
    span.seconds
        .checked_mul(MICROS)?
        .checked_add(i64::from(span.nanos) / 1000)
}

/// Reads RFC 3339; `None` for anything else, and for digits finer than microseconds.
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let at = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    (at.timestamp_subsec_nanos() % 1000 == 0).then(|| Timestamp(at.timestamp_micros()))
}

/// The JSON of a value: numbers and text bare, decimals as text, bytes as base64,
/// instants as RFC 3339, spans in seconds, maps as an array of `{"key", "value"}` in order.
/// NaN and the infinities, which JSON has no number for, are text.
pub(crate) fn to_json(value: &proto::Value) -> serde_json::Value {
    let Some(kind) = &value.kind else {
        return serde_json::Value::Null;
    };
    match kind {
        Kind::NullValue(_) => serde_json::Value::Null,
        Kind::BoolValue(b) => json!(b),
        Kind::Int64Value(n) => json!(n),
        Kind::DoubleValue(x) if x.is_finite() => json!(x),
        Kind::DoubleValue(x) if x.is_nan() => json!("NaN"),
        Kind::DoubleValue(x) => json!(if *x > 0.0 { "Infinity" } else { "-Infinity" }),
        Kind::DecimalValue(text) | Kind::StringValue(text) => json!(text),
        Kind::BytesValue(bytes) => json!(tiderace_types::base64::encode(bytes)),
        Kind::TimestampValue(at) => timestamp_to_json(at),
        Kind::DurationValue(span) => duration_to_json(span),
        Kind::ListValue(list) => list.values.iter().map(to_json).collect(),
        Kind::MapValue(map) => map
            .entries
            .iter()
            .map(|entry| json!({"key": half(&entry.key), "value": half(&entry.value)}))
            .collect(),
    }
}

/// The JSON of an instant: RFC 3339.
pub(crate) fn timestamp_to_json(at: &prost_types::Timestamp) -> serde_json::Value {
    from_timestamp(at).map_or(serde_json::Value::Null, |at| json!(at.to_string()))
}

/// The JSON of a span: seconds, with their fraction.
pub(crate) fn duration_to_json(span: &prost_types::Duration) -> serde_json::Value {
    json!(span.seconds as f64 + f64::from(span.nanos) / 1e9)
}

fn half(value: &Option<proto::Value>) -> serde_json::Value {
    value.as_ref().map_or(serde_json::Value::Null, to_json)
}

const MICROS: i64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive() {
        for micros in [
            0,
            -1,
            1_522_540_831_000_000,
            1_522_540_831_000_001,
            -62e15 as i64,
        ] {
            let at = Timestamp(micros);
            assert_eq!(from_timestamp(&to_timestamp(at)), Ok(at));
            assert_eq!(parse_timestamp(&at.to_string()), Some(at), "{at}");
            assert_eq!(from_duration(&to_duration(micros)), Some(micros));
        }
        let fine = prost_types::Timestamp {
            seconds: 0,
            nanos: 1,
        };
        assert!(from_timestamp(&fine).is_err());
        assert_eq!(parse_timestamp("2018-04-01T00:00:00.0000001Z"), None);
        assert_eq!(parse_timestamp("2018-04-01"), None);
    }

    #[test]
    fn values_in_json() {
        let check = |value, expect: &str| assert_eq!(to_json(&to_proto(value)).to_string(), expect);
        check(Value::Null, "null");
        check(Value::Int(i64::MIN), "-9223372036854775808");
        check(Value::Float(2.0), "2.0");
        check(Value::Float(f64::NAN), "\"NaN\"");
        check(Value::Float(f64::NEG_INFINITY), "\"-Infinity\"");
        check(Value::Decimal(5710, 2), "\"57.10\"");
        check(Value::Bytes([255].into()), "\"/w==\"");
        check(
            Value::Timestamp(Timestamp(1)),
            "\"1970-01-01T00:00:00.000001Z\"",
        );
        check(Value::Duration(-1_500_000), "-1.5");
        check(
            Value::Map(vec![(Value::string("b"), Value::Int(2))]),
            r#"[{"key":"b","value":2}]"#,
        );
        check(
            Value::List(vec![Value::Bool(true), Value::Null]),
            "[true,null]",
        );
    }
}

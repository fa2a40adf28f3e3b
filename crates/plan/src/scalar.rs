//! Small texts with a meaning: durations, sizes, instants, types, and JSON values of a type.

use crate::at::At;
use crate::raw;
use crate::report::Report;
use crate::text::Place;
use crate::{Code, names};
use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use serde_json::Value as Json;
use tiderace_expr::nearest;
use tiderace_types::{DataType, Duration, TimeUnit, Timestamp, Value};

/// Reads a duration that may be left out.
pub(crate) fn duration_or(
    report: &Report,
    text: Option<&At<String>>,
    default: Duration,
) -> Option<Duration> {
    match text {
        None => Some(default),
        Some(text) => duration(report, text),
    }
}

/// Reads a duration.
pub(crate) fn duration(report: &Report, text: &At<String>) -> Option<Duration> {
    let (text, place) = text.text()?;
    let parsed = text.parse::<Duration>();
    if parsed.is_err() {
        let message = format!("`{text}` is not a duration");
        report.error_help(place, Code::Value, message, A_DURATION);
    }
    parsed.ok()
}

/// Reads a duration longer than none.
pub(crate) fn positive_duration(
    report: &Report,
    what: &str,
    text: &At<String>,
) -> Option<Duration> {
    let found = duration(report, text)?;
    if found > Duration::ZERO {
        return Some(found);
    }
    report.error(
        text.place,
        Code::Value,
        format!("{what} must be longer than `{found}`"),
    );
    None
}

/// Reads a duration from a text in a place where `word` is allowed too.
pub(crate) fn duration_or_word(
    report: &Report,
    text: &str,
    place: Place,
    word: &str,
) -> Option<Duration> {
    let parsed = text.parse::<Duration>();
    if parsed.is_err() {
        let message = match nearest(text, [word]) {
            Some(_) => format!("`{text}` is not a duration; did you mean `{word}`?"),
            None => format!("`{text}` is neither a duration nor `{word}`"),
        };
        report.error_help(place, Code::Value, message, A_DURATION);
    }
    parsed.ok()
}

const A_DURATION: &str =
    "a duration is a number with a unit of w, d, h, m, s, ms or us, such as `7d` or `1h30m`";

/// Reads a number of bytes that may be left out.
pub(crate) fn size_or(report: &Report, size: Option<&At<raw::Size>>, default: u64) -> Option<u64> {
    let Some(at) = size else {
        return Some(default);
    };
    let bytes = match at.value.as_ref()? {
        raw::Size::Bytes(bytes) => Some(*bytes),
        raw::Size::Text(text) => parse_size(text),
    };
    match bytes {
        Some(bytes) if bytes > 0 => Some(bytes),
        _ => {
            report.error_help(
                at.place,
                Code::Value,
                "this is not a size",
                "a size is a number with a unit of B, KiB, MiB or GiB, such as `64KiB`",
            );
            None
        }
    }
}

/// Reads a size in bytes: a number with a unit of B, KiB, MiB or GiB.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Reads an instant: RFC 3339 with a zone.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let time = text.get(10..)?;
    let zoned = time.ends_with(['Z', 'z']) || time.contains('+') || time.contains('-');
    if !zoned || !time.starts_with(['T', 't', ' ']) {
        return None;
    }
    let utc: Tz = "+00:00".parse().ok()?;
    let parsed = string_to_datetime(&utc, text).ok()?;
    Some(Timestamp(parsed.timestamp_micros()))
}

/// Reads an instant in a place.
pub(crate) fn instant_at(report: &Report, text: &At<String>) -> Option<Timestamp> {
    let (text, place) = text.text()?;
    let found = instant(text);
    if found.is_none() {
        report.error_help(
            place,
            Code::Value,
            format!("`{text}` is not an instant"),
            "an instant is RFC 3339 with a zone, such as `2018-04-01T00:00:31Z`",
        );
    }
    found
}

const TYPES: [&str; 9] = [
    "bool",
    "int32",
    "int64",
    "float32",
    "float64",
    "decimal",
    "string",
    "bytes",
    "timestamp",
];

/// Reads the name of a type in a place.
pub(crate) fn data_type(report: &Report, text: &str, place: Place) -> Option<DataType> {
    match parse_type(text) {
        Some(found) => return Some(found),
        None if text.trim_start().starts_with("decimal") => report.error_help(
            place,
            Code::Type,
            format!("`{text}` is not a decimal type"),
            "expected `decimal(precision, scale)`: a precision of 1 to 38, a scale of 0 to the precision",
        ),
        None => report.error_help(
            place,
            Code::Type,
            names::unknown("type", text, TYPES),
            format!("the types are {}", names::listed(TYPES)),
        ),
    }
    None
}

fn parse_type(text: &str) -> Option<DataType> {
    Some(match text.trim() {
        "bool" => DataType::Bool,
        "int32" | "int64" => DataType::Int64,
        "float32" | "float64" => DataType::Float64,
        "string" => DataType::String,
        "bytes" => DataType::Bytes,
        "timestamp" => DataType::Timestamp,
        decimal => {
            let inside = decimal.strip_prefix("decimal")?.trim_start();
            let inside = inside.strip_prefix('(')?.strip_suffix(')')?;
            let (precision, scale) = inside.split_once(',')?;
            let precision: u8 = precision.trim().parse().ok()?;
            let scale: u8 = scale.trim().parse().ok()?;
            let fits = (1..=38).contains(&precision) && scale <= precision;
            return fits.then_some(DataType::Decimal {
                precision,
                scale: scale.cast_signed(),
            });
        }
    })
}

/// The value that a JSON value stands for in a type; `None` when it does not fit. Keys of maps, which
/// JSON has only as texts, are read as the type says.
pub(crate) fn value(json: &Json, data_type: &DataType, unit: TimeUnit) -> Option<Value> {
    Some(match (data_type, json) {
        (_, Json::Null) => Value::Null,
        (DataType::Bool, Json::Bool(b)) => Value::Bool(*b),
        (DataType::Int64, Json::Number(n)) => Value::Int(n.as_i64()?),
        (DataType::Float64, Json::Number(n)) => Value::Float(n.as_f64()?),
        (DataType::Decimal { precision, scale }, Json::Number(n)) => {
            decimal(&n.to_string(), *precision, *scale)?
        }
        (DataType::Decimal { precision, scale }, Json::String(text)) => {
            decimal(text, *precision, *scale)?
        }
        (DataType::String, Json::String(text)) => Value::string(text),
        (DataType::Bytes, Json::String(text)) => Value::Bytes(text.as_bytes().into()),
        (DataType::Timestamp, Json::String(text)) => Value::Timestamp(instant(text)?),
        (DataType::Timestamp, Json::Number(n)) => Value::Timestamp(counted(n.as_i64()?, unit)?),
        (DataType::Duration, Json::String(text)) => {
            Value::Duration(text.parse::<Duration>().ok()?.0)
        }
        (DataType::List(of), Json::Array(items)) => {
            let items = items.iter().map(|item| present(item, of, unit));
            Value::List(items.collect::<Option<_>>()?)
        }
        (DataType::Map(key, of), Json::Object(entries)) => {
            let entry = |(name, held): (&String, &Json)| {
                Some((key_value(name, key, unit)?, present(held, of, unit)?))
            };
            Value::Map(entries.iter().map(entry).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// A value that is there.
fn present(json: &Json, data_type: &DataType, unit: TimeUnit) -> Option<Value> {
    value(json, data_type, unit).filter(|value| *value != Value::Null)
}

/// The key of a map's entry: a text, or what the text is in JSON.
fn key_value(text: &str, data_type: &DataType, unit: TimeUnit) -> Option<Value> {
    let as_text = value(&Json::String(text.to_owned()), data_type, unit);
    as_text.or_else(|| present(&text.parse().ok()?, data_type, unit))
}

fn counted(number: i64, unit: TimeUnit) -> Option<Timestamp> {
    let micros = match unit {
        TimeUnit::Rfc3339 => return None,
        TimeUnit::Seconds => number.checked_mul(1_000_000)?,
        TimeUnit::Millis => number.checked_mul(1000)?,
        TimeUnit::Micros => number,
        TimeUnit::Nanos => number.div_euclid(1000),
        TimeUnit::Days => number.checked_mul(86_400_000_000)?,
    };
    Some(Timestamp(micros))
}

/// Reads a decimal exactly; `None` when a digit would be lost.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<Value> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = usize::try_from(scale).ok()?;
    let padding = places.checked_sub(fraction.len())?;
    let all = format!("{whole}{fraction}{}", "0".repeat(padding));
    let plain = all.chars().all(|c| c.is_ascii_digit()) && !whole.is_empty();
    let fits = all.trim_start_matches('0').len() <= usize::from(precision);
    let unscaled: i128 = (plain && fits).then(|| all.parse().ok()).flatten()?;
    Some(Value::Decimal(sign * unscaled, scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn instants_have_a_zone() {
        for (text, micros) in [
            ("1970-01-01T00:00:01Z", Some(1_000_000)),
            ("1970-01-01T00:00:01.5Z", Some(1_500_000)),
            ("1970-01-01T09:00:01+09:00", Some(1_000_000)),
            ("1970-01-01T00:00:01", None),
            ("1970-01-01", None),
            ("yesterday at noon", None),
        ] {
            assert_eq!(instant(text).map(|at| at.0), micros, "{text}");
        }
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        for (json, read) in [
            (json!("57.16"), Some(5716)),
            (json!(57), Some(5700)),
            (json!("-0.05"), Some(-5)),
            (json!("1.005"), None),
            (json!("10000"), None),
            (json!("abc"), None),
        ] {
            let kind = DataType::Decimal {
                precision: 6,
                scale: 2,
            };
            let found = value(&json, &kind, TimeUnit::Rfc3339);
            assert_eq!(found, read.map(|n| Value::Decimal(n, 2)), "{json}");
        }
    }

    #[test]
    fn lists_and_maps_are_of_their_types() {
        let list = DataType::List(Box::new(DataType::Int64));
        let map = |key| DataType::Map(Box::new(key), Box::new(DataType::Float64));
        let ints = |numbers: &[i64]| Value::List(numbers.iter().map(|n| Value::Int(*n)).collect());
        for (json, data_type, read) in [
            (json!([]), list.clone(), Some(ints(&[]))),
            (json!([3, 1]), list.clone(), Some(ints(&[3, 1]))),
            (json!([3, null]), list.clone(), None),
            (json!([3, "1"]), list.clone(), None),
            (json!({}), list, None),
            (json!({}), map(DataType::String), Some(Value::Map(vec![]))),
            (
                json!({ "7": 0.5 }),
                map(DataType::Int64),
                Some(Value::Map(vec![(Value::Int(7), Value::Float(0.5))])),
            ),
            (
                json!({ "7": 0.5 }),
                map(DataType::String),
                Some(Value::Map(vec![(Value::string("7"), Value::Float(0.5))])),
            ),
            (json!({ "seven": 0.5 }), map(DataType::Int64), None),
            (json!({ "7": "much" }), map(DataType::Int64), None),
        ] {
            let found = value(&json, &data_type, TimeUnit::Rfc3339);
            assert_eq!(found, read, "{json} as {data_type}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        for (text, bytes) in [
            ("64KiB", Some(65_536)),
            ("1 MiB", Some(1 << 20)),
            ("10", Some(10)),
            ("64KB", None),
            ("KiB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }
}

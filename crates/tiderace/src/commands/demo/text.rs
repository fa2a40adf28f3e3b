//! Numbers and values as people read them.

use std::time::Duration;
use tiderace_serve::proto::value::Kind;
use tiderace_serve::proto::{Completeness, Status, Value};

/// A count: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A short span: `0.21 ms`, `11.3 ms`, `1.25 s`.
pub fn micros(micros: u64) -> String {
    let millis = micros as f64 / 1e3;
    match micros {
        0..10_000 => format!("{millis:.2} ms"),
        10_000..1_000_000 => format!("{millis:.1} ms"),
        _ => format!("{:.2} s", millis / 1e3),
    }
}

/// How long something runs: `03:07`.
pub fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// A feature's value.
pub fn value(value: &Value) -> String {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => "null".to_owned(),
        Some(Kind::Int64Value(n)) => signed(*n),
        Some(Kind::DoubleValue(x)) => number(*x),
        Some(Kind::MapValue(map)) => {
            let half = |half: &Option<Value>| match half.as_ref().and_then(|v| v.kind.as_ref()) {
                // The keys of a map are names: no separators in them.
                Some(Kind::Int64Value(n)) => n.to_string(),
                _ => half.as_ref().map(self::value).unwrap_or_default(),
            };
            let entry = |e: &tiderace_serve::proto::ValueMapEntry| {
                format!("{}: {}", half(&e.key), half(&e.value))
            };
            let entries: Vec<String> = map.entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Some(_) => tiderace_serve::render::value(value),
    }
}

/// The number in a value, to compare with another.
pub fn magnitude(value: &Value) -> Option<f64> {
    match &value.kind {
        Some(Kind::Int64Value(n)) => Some(*n as f64),
        Some(Kind::DoubleValue(x)) => Some(*x),
        _ => None,
    }
}

/// A status: nothing to say of a value that is there.
pub fn status(status: i32) -> &'static str {
    match Status::try_from(status).unwrap_or_default() {
        Status::Present => "",
        Status::Null => "null",
        Status::NotFound => "no events",
        Status::OutsideMaxAge => "too old",
        Status::OutsideHistory => "outside history",
        Status::Unavailable => "unavailable",
        Status::Error => "error",
        Status::Unspecified => "?",
    }
}

/// How complete a value is.
pub fn completeness(bits: u32) -> &'static str {
    let has = |bit: Completeness| bits & (bit as u32) != 0;
    match () {
        () if has(Completeness::Stale) => "stale",
        () if has(Completeness::Warming) => "warming",
        () if has(Completeness::Approximate) => "approximate",
        () => "complete",
    }
}

fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", count(number.unsigned_abs()))
}

fn number(x: f64) -> String {
    let places = if x != 0.0 && x.abs() < 1.0 { 3 } else { 2 };
    let text = format!("{:.places$}", x.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
    let sign = if x < 0.0 { "-" } else { "" };
    match whole.parse() {
        Ok(whole) => format!("{sign}{}.{fraction}", count(whole)),
        Err(_) => x.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(number(-1234.567), "-1,234.57");
        assert_eq!(number(0.0425), "0.043");
        assert_eq!(micros(214), "0.21 ms");
        assert_eq!(clock(Duration::from_secs(187)), "03:07");
    }
}

//! The JSON of Feast's HTTP door.
//!
//! Values are bare, column by column. An integer is a number however large, a double keeps its
//! `.0`, NaN and the infinities are text, bytes are base64, an instant is whole seconds.

use super::answer::{Answer, Column, Pace, Said};
use super::value::seconds;
use super::{Fault, Question, selection};
use crate::Error;
use crate::json::{Pairs, columns};
use std::io::Write;
use tiderace_types::{Timestamp, Value, base64};

/// Reads the body of a request. What Feast's clients may send beside is not looked at.
pub(crate) fn question(body: &[u8]) -> Result<Question, Fault> {
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| Error::invalid(format!("request body: {error}")))?;
    let Some(entities) = asked.entities else {
        return Err(Fault::Missing("entities"));
    };
    Ok(Question {
        selection: selection(
            asked.feature_service.unwrap_or_default(),
            asked.features.unwrap_or_default(),
        )?,
        entities: columns("entities", entities)?,
        request_context: columns("request_context", asked.request_context.unwrap_or_default())?,
        full_names: asked.full_feature_names.unwrap_or(false),
        views: asked.include_feature_view_version_metadata.unwrap_or(false),
    })
}

#[derive(serde::Deserialize)]
struct Asked {
    feature_service: Option<String>,
    features: Option<Vec<String>>,
    entities: Option<Pairs>,
    request_context: Option<Pairs>,
    full_feature_names: Option<bool>,
    include_feature_view_version_metadata: Option<bool>,
}

/// Writes an answer, letting others run now and then.
pub(crate) async fn write(answer: &Answer<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(ROUGHLY);
    out.extend(b"{\"results\":[");
    let mut pace = Pace::default();
    for (place, column) in answer.columns().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_column(&mut out, column);
        pace.wrote(column.rows()).await;
    }
    out.extend(b"],\"metadata\":");
    out.extend(answer.told.json.as_bytes());
    out.push(b'}');
    out
}

/// How large an answer may well be.
const ROUGHLY: usize = 4 << 10;

fn write_column(out: &mut Vec<u8>, column: Column<'_>) {
    let rows = 0..column.rows();
    out.extend(b"{\"values\":");
    write_list(out, rows.clone(), |out, row| {
        write_value(out, column.cell(row).value);
    });
    out.extend(b",\"statuses\":");
    write_list(out, rows.clone(), |out, row| {
        put(
            out,
            format_args!("\"{}\"", column.cell(row).status.as_str_name()),
        );
    });
    out.extend(b",\"event_timestamps\":");
    write_list(out, rows, |out, row| {
        let newest = column.cell(row).newest.unwrap_or(Timestamp(0));
        put(out, format_args!("\"{newest}\""));
    });
    out.push(b'}');
}

fn write_value(out: &mut Vec<u8>, said: Said<'_>) {
    match said {
        Said::Null => out.extend(b"null"),
        Said::One(Value::List(items)) => write_list(out, items, write_one),
        Said::One(value) => write_one(out, value),
        Said::Keys(entries) => write_list(out, entries, |out, (key, _)| write_one(out, key)),
        Said::Values(entries) => write_list(out, entries, |out, (_, value)| write_one(out, value)),
    }
}

fn write_one(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Bool(b) => put(out, format_args!("{b}")),
        Value::Int(n) => put(out, format_args!("{n}")),
        Value::Float(x) => write_float(out, *x),
        Value::Decimal(..) => put(out, format_args!("\"{value}\"")),
        Value::String(text) => write_text(out, text),
        Value::Bytes(bytes) => put(out, format_args!("\"{}\"", base64::encode(bytes))),
        Value::Timestamp(at) => put(out, format_args!("{}", at.0.div_euclid(1_000_000))),
        Value::Duration(micros) => write_float(out, seconds(*micros)),
        // An answer has none of these inside another.
        Value::Null | Value::List(_) | Value::Map(_) => out.extend(b"null"),
    }
}

fn write_float(out: &mut Vec<u8>, x: f64) {
    match x {
        _ if x.is_nan() => out.extend(b"\"NaN\""),
        f64::INFINITY => out.extend(b"\"Infinity\""),
        f64::NEG_INFINITY => out.extend(b"\"-Infinity\""),
        _ => serde_json::to_writer(out, &x).expect("memory takes every byte"),
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("memory takes every byte");
}

fn write_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("memory takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_json() {
        let check = |value: Value, expect: &str| {
            let mut out = Vec::new();
            write_value(&mut out, Said::One(&value));
            assert_eq!(String::from_utf8_lossy(&out), expect, "{value:?}");
        };
        check(Value::Int(i64::MIN), "-9223372036854775808");
        check(Value::Float(2.0), "2.0");
        check(Value::Float(0.1), "0.1");
        check(Value::Float(1e300), "1e+300");
        check(Value::Float(f64::NAN), "\"NaN\"");
        check(Value::Float(f64::INFINITY), "\"Infinity\"");
        check(Value::Float(f64::NEG_INFINITY), "\"-Infinity\"");
        check(Value::Bool(true), "true");
        check(Value::Decimal(5710, 2), "\"57.10\"");
        check(Value::string("a\"금액\n"), "\"a\\\"금액\\n\"");
        check(Value::Bytes([255].into()), "\"/w==\"");
        check(Value::Timestamp(Timestamp(-1)), "-1");
        check(Value::Duration(1_500_000), "1.5");
        check(
            Value::List(vec![Value::Float(1.0), Value::Float(2.5)]),
            "[1.0,2.5]",
        );
    }

    #[test]
    fn what_is_not_asked_for_is_not_looked_at() {
        let body = br#"{"features": ["a:b"], "entities": {"k": [1]}, "query": null, "feature_service": null}"#;
        let question = question(body).expect("it is one");
        assert!(!question.full_names && !question.views);
        assert_eq!(question.entities[0].name, "k");
    }
}

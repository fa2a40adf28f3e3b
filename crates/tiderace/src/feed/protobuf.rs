//! Values in Protobuf: the schema of a view's records, and records by it.
//!
//! The number of a feature's field is a hash of its name, so that a feature keeps it whatever others
//! come or go before it.

use super::{Form, Record};
use std::collections::BTreeSet;
use std::fmt::Write;
use tiderace_aggregate::Bound;
use tiderace_plan::model::View;
use tiderace_serve::ToldValue;
use tiderace_types::wire::put_u64;
use tiderace_types::{DataType, Duration, Timestamp, Value, hash_key};

/// The numbers of features' fields lie from here to the greatest one there is; those that Protobuf
/// keeps for itself lie before.
const LEAST: u64 = 20_000;
const GREATEST: u64 = (1 << 29) - 1;

/// The numbers of the fields of a view's features, in the order of its outputs.
pub fn numbers(view: &View) -> Vec<u32> {
    let mut taken = BTreeSet::new();
    let number = |name: &str| {
        let mut number = LEAST + hash_key(name.as_bytes()) % (GREATEST - LEAST);
        while !taken.insert(number) {
            number += 1;
        }
        number as u32
    };
    let names = view.spec.outputs.iter().map(|output| output.name.as_str());
    names.map(number).collect()
}

const STATUSES: &str = "\
  enum Status {
    STATUS_UNSPECIFIED = 0;
    STATUS_PRESENT = 1;
    STATUS_NULL = 2;
    STATUS_NOT_FOUND = 3;
    STATUS_OUTSIDE_MAX_AGE = 4;
    STATUS_OUTSIDE_HISTORY = 5;
    STATUS_UNAVAILABLE = 6;
    STATUS_ERROR = 7;
  }
";

const REST: &str = "\
  message Version { uint64 epoch = 1; uint64 seq = 2; }
  message Bound {
    string feature = 1;
    optional double relative = 2;
    optional double absolute = 3;
    optional uint32 least_keys = 4;
    double confidence = 5;
    google.protobuf.Duration edges_off = 6;
  }
  message Message { string feature = 1; string message = 2; }
";

/// The schema of a view's records. The one message of the file holds the others.
pub fn schema(project: &str, view: &View, numbers: &[u32]) -> String {
    let mut text = String::from("syntax = \"proto3\";\n");
    let _ = writeln!(text, "package tiderace.{project};");
    text.push_str("import \"google/protobuf/duration.proto\";\n");
    text.push_str("import \"google/protobuf/timestamp.proto\";\n");
    text.push_str(
        "// The features of one entity as of an instant. The greatest version of a key stands.\n",
    );
    let _ = writeln!(text, "message {} {{", camel(&view.name));
    for (number, field) in [
        "string view",
        "Entity entity",
        "google.protobuf.Timestamp as_of",
        "google.protobuf.Timestamp valid_until",
        "google.protobuf.Timestamp newest_event_time",
        "string fingerprint",
        "uint32 generation",
        "Version version",
        "google.protobuf.Duration lag",
        "google.protobuf.Timestamp warming_since",
        "Values values",
        "Statuses statuses",
        "Completeness completeness",
        "repeated Bound bounds",
        "repeated Message messages",
    ]
    .iter()
    .enumerate()
    {
        let _ = writeln!(text, "  {field} = {};", number + 1);
    }
    text.push_str("  message Entity {\n");
    for (place, (name, of)) in view.entity.keys.iter().enumerate() {
        field(name, of, place as u32 + 1, &mut text);
    }
    text.push_str("  }\n  message Values {\n");
    let outputs = || view.spec.outputs.iter().zip(numbers);
    for (output, number) in outputs() {
        field(&output.name, &output.data_type, *number, &mut text);
    }
    for (block, of) in [("Statuses", "Status"), ("Completeness", "uint32")] {
        let _ = writeln!(text, "  }}\n  message {block} {{");
        for (output, number) in outputs() {
            let _ = writeln!(text, "    {of} {} = {number};", output.name);
        }
    }
    text.push_str("  }\n");
    text.push_str(STATUSES);
    text.push_str(REST);
    text.push_str("}\n");
    text
}

/// `customer_spend` as `CustomerSpend`, `customer_spend@v2` as `CustomerSpendV2`.
fn camel(name: &str) -> String {
    let words = name.split(['_', '@']).map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect()
}

/// A field, after the messages that it needs.
fn field(name: &str, of: &DataType, number: u32, text: &mut String) {
    let of = data_type(name, of, text);
    let _ = writeln!(text, "    optional {of} {name} = {number};");
}

/// The name of a type; what it needs is written before. Names of messages begin with a capital letter, as
/// no feature's does.
fn data_type(name: &str, of: &DataType, text: &mut String) -> String {
    match of {
        DataType::Bool => "bool".to_owned(),
        DataType::Int64 => "int64".to_owned(),
        DataType::Float64 => "double".to_owned(),
        // Decimals are text, every digit of their scale written.
        DataType::Decimal { .. } | DataType::String => "string".to_owned(),
        DataType::Bytes => "bytes".to_owned(),
        DataType::Timestamp => "google.protobuf.Timestamp".to_owned(),
        DataType::Duration => "google.protobuf.Duration".to_owned(),
        DataType::List(item) => {
            let item = data_type(&format!("{name}_item"), item, text);
            let _ = writeln!(
                text,
                "    message Item_{name} {{ optional {item} value = 1; }}"
            );
            let _ = writeln!(
                text,
                "    message List_{name} {{ repeated Item_{name} items = 1; }}"
            );
            format!("List_{name}")
        }
        DataType::Map(key, value) => {
            let key = data_type(&format!("{name}_key"), key, text);
            let value = data_type(&format!("{name}_value"), value, text);
            let _ = writeln!(
                text,
                "    message Entry_{name} {{ optional {key} key = 1; optional {value} value = 2; }}"
            );
            let _ = writeln!(
                text,
                "    message Map_{name} {{ repeated Entry_{name} entries = 1; }}"
            );
            format!("Map_{name}")
        }
    }
}

/// Writes a record. Fields that hold their type's zero are left out, as proto3 does, but for those
/// that say whether they are there.
pub fn write(form: &Form, record: &Record<'_>, numbers: &[u32], out: &mut Vec<u8>) {
    let (view, told) = (form.view(), record.told);
    let outputs = || view.spec.outputs.iter().zip(&told.values);
    bytes(1, view.name.as_bytes(), out);
    message(2, out, |out| {
        for (place, key) in record.keys.iter().enumerate() {
            value(place as u32 + 1, key, out);
        }
    });
    instant(3, told.as_of, out);
    let instants = [(4, told.until()), (5, told.newest)];
    for (number, at) in instants {
        at.into_iter().for_each(|at| instant(number, at, out));
    }
    bytes(6, form.teller.fingerprint().as_bytes(), out);
    integer(7, record.generation.0.into(), out);
    message(8, out, |out| {
        integer(1, record.version.epoch, out);
        integer(2, record.version.seq, out);
    });
    told.lag.into_iter().for_each(|lag| span(9, lag.0, out));
    let warming = told.warming_since;
    warming.into_iter().for_each(|at| instant(10, at, out));
    let numbered = || numbers.iter().copied().zip(&told.values);
    message(11, out, |out| {
        numbered().for_each(|(number, told)| value(number, &told.value, out));
    });
    message(12, out, |out| {
        for (number, told) in numbered() {
            integer(number, i32::from(told.status).cast_unsigned().into(), out);
        }
    });
    message(13, out, |out| {
        for (number, told) in numbered().filter(|(_, told)| told.completeness > 0) {
            integer(number, told.completeness.into(), out);
        }
    });
    for (output, told) in outputs() {
        if told.bound.is_some() || told.off > Duration::ZERO {
            message(14, out, |out| bound(&output.name, told, out));
        }
    }
    for (output, told) in outputs() {
        if let Some(said) = &told.message {
            message(15, out, |out| {
                bytes(1, output.name.as_bytes(), out);
                bytes(2, said.as_bytes(), out);
            });
        }
    }
}

fn bound(name: &str, told: &ToldValue, out: &mut Vec<u8>) {
    bytes(1, name.as_bytes(), out);
    let sure = match told.bound {
        Some(Bound::Relative { error, confidence }) => {
            double(2, error, out);
            confidence
        }
        Some(Bound::Absolute { error }) => {
            double(3, error, out);
            1.0
        }
        Some(Bound::Keys { keys }) => {
            integer(4, keys.into(), out);
            1.0
        }
        None => 1.0,
    };
    double(5, sure, out);
    if told.off > Duration::ZERO {
        span(6, told.off.0, out);
    }
}

fn tag(number: u32, wire: u64, out: &mut Vec<u8>) {
    put_u64(u64::from(number) << 3 | wire, out);
}

fn integer(number: u32, of: u64, out: &mut Vec<u8>) {
    tag(number, 0, out);
    put_u64(of, out);
}

fn double(number: u32, of: f64, out: &mut Vec<u8>) {
    tag(number, 1, out);
    out.extend(of.to_le_bytes());
}

fn bytes(number: u32, of: &[u8], out: &mut Vec<u8>) {
    tag(number, 2, out);
    put_u64(of.len() as u64, out);
    out.extend_from_slice(of);
}

fn message(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(number, &inner, out);
}

fn instant(number: u32, at: Timestamp, out: &mut Vec<u8>) {
    parts(
        number,
        at.0.div_euclid(MICROS),
        at.0.rem_euclid(MICROS),
        out,
    );
}

fn span(number: u32, micros: i64, out: &mut Vec<u8>) {
    parts(number, micros / MICROS, micros % MICROS, out);
}

const MICROS: i64 = 1_000_000;

/// Seconds, and nanoseconds of what is over.
fn parts(number: u32, seconds: i64, micros: i64, out: &mut Vec<u8>) {
    message(number, out, |out| {
        integer(1, seconds.cast_unsigned(), out);
        integer(2, (micros * 1000).cast_unsigned(), out);
    });
}

/// A field, unless it is null.
fn value(number: u32, of: &Value, out: &mut Vec<u8>) {
    match of {
        Value::Null => {}
        Value::Bool(b) => integer(number, (*b).into(), out),
        Value::Int(n) => integer(number, n.cast_unsigned(), out),
        Value::Float(x) => double(number, *x, out),
        Value::Decimal(..) => bytes(number, of.to_string().as_bytes(), out),
        Value::String(text) => bytes(number, text.as_bytes(), out),
        Value::Bytes(of) => bytes(number, of, out),
        Value::Timestamp(at) => instant(number, *at, out),
        Value::Duration(micros) => span(number, *micros, out),
        Value::List(items) => message(number, out, |out| {
            items
                .iter()
                .for_each(|item| message(1, out, |out| value(1, item, out)));
        }),
        Value::Map(entries) => message(number, out, |out| {
            for (key, of) in entries {
                message(1, out, |out| {
                    value(1, key, out);
                    value(2, of, out);
                });
            }
        }),
    }
}

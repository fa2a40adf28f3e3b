//! Values in Avro: the schema of a view's records, and records by it.
//!
//! Fields that features bring have defaults, so that a reader with a newer schema reads older records,
//! and the other way round.

use super::{Form, Record};
use serde_json::{Value as Json, json};
use tiderace_aggregate::Bound;
use tiderace_plan::model::View;
use tiderace_serve::ToldValue;
use tiderace_serve::proto::Status;
use tiderace_types::wire::{put_i64, put_u64};
use tiderace_types::{DataType, Duration, Timestamp, Value};

/// The statuses, in the order of their numbers.
const STATUSES: [Status; 7] = [
    Status::Present,
    Status::Null,
    Status::NotFound,
    Status::OutsideMaxAge,
    Status::OutsideHistory,
    Status::Unavailable,
    Status::Error,
];

/// The schema of a view's records.
pub fn schema(project: &str, view: &View) -> String {
    // Avro's names have no `@`.
    let name = &view.name.replace('@', "_");
    let outputs = &view.spec.outputs;
    let field = |name: &str, of: Json| json!({ "name": name, "type": of });
    let defaulted = |name: &str, of: &Json, default: Json| json!({ "name": name, "type": of, "default": default });
    let record = |name: String, fields: Vec<Json>| json!({ "type": "record", "name": name, "fields": fields });
    let maybe = |of: Json| json!(["null", of]);
    let optional = |name: &str, of: Json| defaulted(name, &maybe(of), Json::Null);
    let instant = || json!({ "type": "long", "logicalType": "timestamp-micros" });
    let entity = view.entity.keys.iter();
    let entity = entity.map(|(key, of)| field(key, data_type(&format!("{name}_{key}"), of)));
    let values = outputs.iter().map(|output| {
        let of = data_type(&format!("{name}_{}", output.name), &output.data_type);
        optional(&output.name, of)
    });
    let symbols = STATUSES.map(tiderace_serve::status_name);
    let mut status = json!({ "type": "enum", "name": "status", "symbols": symbols });
    let statuses: Vec<Json> = outputs
        .iter()
        .map(|output| {
            // Named where it stands first.
            let of = std::mem::replace(&mut status, json!("status"));
            defaulted(&output.name, &of, json!("UNAVAILABLE"))
        })
        .collect();
    let bits = outputs.iter();
    let bits = bits.map(|output| defaulted(&output.name, &json!("int"), json!(0)));
    let version = vec![field("epoch", json!("long")), field("seq", json!("long"))];
    let bound = vec![
        field("feature", json!("string")),
        optional("relative", json!("double")),
        optional("absolute", json!("double")),
        optional("least_keys", json!("int")),
        field("confidence", json!("double")),
        optional("edges_off_us", json!("long")),
    ];
    let message = vec![
        field("feature", json!("string")),
        field("message", json!("string")),
    ];
    let list = |of: Json| json!({ "type": "array", "items": of });
    let fields = vec![
        field("view", json!("string")),
        field("entity", record(format!("{name}_entity"), entity.collect())),
        field("as_of", instant()),
        optional("valid_until", instant()),
        optional("newest_event_time", instant()),
        field("fingerprint", json!("string")),
        field("generation", json!("int")),
        field("version", record("version".to_owned(), version)),
        optional("lag_us", json!("long")),
        optional("warming_since", instant()),
        field("values", record(format!("{name}_values"), values.collect())),
        field("statuses", record(format!("{name}_statuses"), statuses)),
        field(
            "completeness",
            record(format!("{name}_completeness"), bits.collect()),
        ),
        defaulted(
            "bounds",
            &list(record("bound".to_owned(), bound)),
            json!([]),
        ),
        defaulted(
            "messages",
            &list(record("message".to_owned(), message)),
            json!([]),
        ),
    ];
    let mut schema = record(name.clone(), fields);
    schema["namespace"] = json!(format!("tiderace.{project}"));
    schema["doc"] =
        json!("The features of one entity as of an instant. The greatest version of a key stands.");
    schema.to_string()
}

/// The type of a value that is not null; records in it are called after `name`.
fn data_type(name: &str, of: &DataType) -> Json {
    match of {
        DataType::Bool => json!("boolean"),
        DataType::Int64 => json!("long"),
        DataType::Float64 => json!("double"),
        DataType::Decimal { precision, scale } => {
            json!({ "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale })
        }
        DataType::String => json!("string"),
        DataType::Bytes => json!("bytes"),
        DataType::Timestamp => json!({ "type": "long", "logicalType": "timestamp-micros" }),
        // Microseconds.
        DataType::Duration => json!("long"),
        DataType::List(item) => {
            let item = data_type(&format!("{name}_item"), item);
            json!({ "type": "array", "items": ["null", item] })
        }
        DataType::Map(key, value) => {
            let key = data_type(&format!("{name}_key"), key);
            let value = data_type(&format!("{name}_value"), value);
            let fields = json!([
                { "name": "key", "type": ["null", key], "default": null },
                { "name": "value", "type": ["null", value], "default": null },
            ]);
            let entry =
                json!({ "type": "record", "name": format!("{name}_entry"), "fields": fields });
            json!({ "type": "array", "items": entry })
        }
    }
}

/// Writes a record, field by field in the order of [`schema`].
pub fn write(form: &Form, record: &Record<'_>, out: &mut Vec<u8>) {
    let (view, told) = (form.view(), record.told);
    let names = || view.spec.outputs.iter().map(|output| output.name.as_str());
    text(&view.name, out);
    for key in record.keys {
        value(key, out);
    }
    put_i64(told.as_of.0, out);
    maybe(told.until(), out, instant);
    maybe(told.newest, out, instant);
    text(form.teller.fingerprint(), out);
    put_i64(record.generation.0.into(), out);
    put_i64(record.version.epoch.cast_signed(), out);
    put_i64(record.version.seq.cast_signed(), out);
    maybe(told.lag, out, |lag, out| put_i64(lag.0, out));
    maybe(told.warming_since, out, instant);
    for told in &told.values {
        nullable(&told.value, out);
    }
    for told in &told.values {
        let place = STATUSES.iter().position(|status| *status == told.status);
        put_i64(place.unwrap_or_default() as i64, out);
    }
    for told in &told.values {
        put_i64(told.completeness.into(), out);
    }
    let bounded = |told: &&ToldValue| told.bound.is_some() || told.off > Duration::ZERO;
    let bounds: Vec<_> = names()
        .zip(&told.values)
        .filter(|(_, told)| bounded(told))
        .collect();
    array(&bounds, out, |(name, told), out| bound(name, told, out));
    let messages = names().zip(&told.values);
    let messages = messages.filter_map(|(name, told)| Some((name, told.message.as_ref()?)));
    array(
        &messages.collect::<Vec<_>>(),
        out,
        |(name, message), out| {
            text(name, out);
            text(message, out);
        },
    );
}

fn bound(name: &str, told: &ToldValue, out: &mut Vec<u8>) {
    let (mut relative, mut absolute, mut keys, mut sure) = (None, None, None, 1.0);
    match told.bound {
        None => {}
        Some(Bound::Relative { error, confidence }) => (relative, sure) = (Some(error), confidence),
        Some(Bound::Absolute { error }) => absolute = Some(error),
        Some(Bound::Keys { keys: least }) => keys = Some(least),
    }
    let double = |number: f64, out: &mut Vec<u8>| out.extend(number.to_le_bytes());
    text(name, out);
    maybe(relative, out, double);
    maybe(absolute, out, double);
    maybe(keys, out, |keys, out| put_i64(keys.into(), out));
    double(sure, out);
    let off = (told.off > Duration::ZERO).then_some(told.off);
    maybe(off, out, |off, out| put_i64(off.0, out));
}

/// The second branch of a union with null, or the first.
fn maybe<T>(some: Option<T>, out: &mut Vec<u8>, write: impl FnOnce(T, &mut Vec<u8>)) {
    match some {
        None => put_i64(0, out),
        Some(some) => {
            put_i64(1, out);
            write(some, out);
        }
    }
}

fn instant(at: Timestamp, out: &mut Vec<u8>) {
    put_i64(at.0, out);
}

fn text(text: &str, out: &mut Vec<u8>) {
    bytes(text.as_bytes(), out);
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_i64(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// One block of all items, and the end.
fn array<T>(items: &[T], out: &mut Vec<u8>, mut write: impl FnMut(&T, &mut Vec<u8>)) {
    if !items.is_empty() {
        put_i64(items.len() as i64, out);
        items.iter().for_each(|item| write(item, out));
    }
    put_u64(0, out);
}

fn nullable(of: &Value, out: &mut Vec<u8>) {
    let some = (!of.is_null()).then_some(of);
    maybe(some, out, value);
}

fn value(of: &Value, out: &mut Vec<u8>) {
    match of {
        Value::Null => {}
        Value::Bool(b) => out.push((*b).into()),
        Value::Int(n) | Value::Duration(n) => put_i64(*n, out),
        Value::Float(x) => out.extend(x.to_le_bytes()),
        Value::Decimal(unscaled, _) => bytes(&unscaled.to_be_bytes(), out),
        Value::String(of) => text(of, out),
        Value::Bytes(of) => bytes(of, out),
        Value::Timestamp(at) => put_i64(at.0, out),
        Value::List(items) => array(items, out, nullable),
        Value::Map(entries) => array(entries, out, |(key, value), out| {
            nullable(key, out);
            nullable(value, out);
        }),
    }
}

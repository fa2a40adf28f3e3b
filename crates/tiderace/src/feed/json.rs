//! Keys and values in JSON, in the words of the HTTP door.

use super::{Form, Record};
use serde_json::{Map, Value as Json, json};
use tiderace_aggregate::Bound;
use tiderace_plan::model::Entity;
use tiderace_serve::{ToldValue, completeness_name, status_name, value_json};
use tiderace_types::{Duration, Timestamp, Value};

/// The key of an entity's records. Written by hand, so that the order of the keys is the declared one.
pub fn key(entity: &Entity, keys: &[Value]) -> Vec<u8> {
    let pairs = entity.keys.iter().zip(keys);
    let pairs: Vec<String> = pairs
        .map(|((name, _), value)| format!("{}:{}", json!(name), value_json(value.clone())))
        .collect();
    format!("{{{}}}", pairs.join(",")).into_bytes()
}

/// The value of a record.
pub fn value(form: &Form, record: &Record<'_>) -> Vec<u8> {
    let (view, told) = (form.view(), record.told);
    let keys = view.entity.keys.iter().zip(record.keys);
    let entity = keys.map(|((name, _), value)| (name.clone(), value_json(value.clone())));
    let names = || view.spec.outputs.iter().map(|output| output.name.clone());
    let each = |of: &dyn Fn(&ToldValue) -> Json| -> Map<String, Json> {
        names().zip(told.values.iter().map(of)).collect()
    };
    let some = |of: &dyn Fn(&ToldValue) -> Option<Json>| -> Map<String, Json> {
        let all = names().zip(told.values.iter().map(of));
        all.filter_map(|(name, json)| Some((name, json?))).collect()
    };
    let mut out = json!({
        "view": view.name,
        "entity": entity.collect::<Map<String, Json>>(),
        "as_of": instant(told.as_of),
        "valid_until": told.until().map(instant),
        "newest_event_time": told.newest.map(instant),
        "fingerprint": form.teller.fingerprint(),
        "generation": record.generation.0,
        "version": { "epoch": record.version.epoch, "seq": record.version.seq },
        "lag_seconds": told.lag.map(seconds),
        "warming_since": told.warming_since.map(instant),
        "values": each(&|value| value_json(value.value.clone())),
        "statuses": each(&|value| status_name(value.status).into()),
        "completeness": each(&|value| completeness_name(value.completeness).into()),
    });
    let bounds = some(&bound);
    if !bounds.is_empty() {
        out["bounds"] = bounds.into();
    }
    let messages = some(&|value| value.message.clone().map(Json::from));
    if !messages.is_empty() {
        out["messages"] = messages.into();
    }
    out.to_string().into_bytes()
}

fn bound(value: &ToldValue) -> Option<Json> {
    if value.bound.is_none() && value.off == Duration::ZERO {
        return None;
    }
    let mut out = match value.bound {
        None => json!({ "confidence": 1.0 }),
        Some(Bound::Relative { error, confidence }) => {
            json!({ "relative": error, "confidence": confidence })
        }
        Some(Bound::Absolute { error }) => json!({ "absolute": error, "confidence": 1.0 }),
        Some(Bound::Keys { keys }) => json!({ "least_keys": keys, "confidence": 1.0 }),
    };
    if value.off > Duration::ZERO {
        out["edges_off_seconds"] = seconds(value.off);
    }
    Some(out)
}

fn instant(at: Timestamp) -> Json {
    value_json(Value::Timestamp(at))
}

fn seconds(span: Duration) -> Json {
    value_json(Value::Duration(span.0))
}

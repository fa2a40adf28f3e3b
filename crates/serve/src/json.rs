//! The JSON of the HTTP door: what a person would write by hand.

use crate::{Cells, Column, Error, Request, Selection, completeness, convert, proto};
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value as Json, json};
use std::fmt;

/// Reads the body of a lookup.
pub(crate) fn request(body: &[u8]) -> Result<Request, Error> {
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| Error::invalid(format!("request body: {error}")))?;
    let selection = match (asked.service, asked.features) {
        (Some(service), None) => Selection::Service(service),
        (None, Some(features)) => Selection::Features(features),
        (None, None) => return Err(crate::request::nothing_selected()),
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "both \"service\" and \"features\" are given; give one of them",
            ));
        }
    };
    let as_of = match asked.as_of {
        None => None,
        Some(text) => Some(convert::parse_timestamp(&text).ok_or_else(|| {
            Error::invalid(format!(
                "as_of {text:?}: expected RFC 3339 of at most microseconds, \
                 such as \"2018-04-01T00:00:31Z\""
            ))
        })?),
    };
    Ok(Request {
        selection,
        entities: columns("entities", asked.entities)?,
        request_data: columns("request_data", asked.request_data)?,
        as_of,
        full_names: asked.full_names,
        include_valid_until: asked.include_valid_until,
        include_metadata: asked.include_metadata,
    })
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    service: Option<String>,
    features: Option<Vec<String>>,
    #[serde(default)]
    entities: Pairs,
    #[serde(default)]
    request_data: Pairs,
    as_of: Option<String>,
    #[serde(default)]
    full_names: bool,
    #[serde(default)]
    include_metadata: bool,
    #[serde(default)]
    include_valid_until: bool,
}

/// An object as its pairs, so that a name given twice is seen and not silently dropped.
#[derive(Default)]
pub(crate) struct Pairs(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of columns, such as {\"customer_id\": [596]}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

/// Makes the columns of an object of arrays; `what` is its name in the body.
pub(crate) fn columns(what: &str, pairs: Pairs) -> Result<Vec<Column>, Error> {
    let column = |(name, cells)| match cells {
        Json::Array(cells) => Ok(Column {
            name,
            cells: Cells::Json(cells),
        }),
        other => Err(Error::invalid(format!(
            "{what} {name:?}: expected an array with one value per row, found {other}"
        ))),
    };
    pairs.0.into_iter().map(column).collect()
}

/// Writes an answer.
pub(crate) fn response(response: &proto::GetOnlineFeaturesResponse) -> Json {
    let mut out = json!({
        "as_of": response.as_of.as_ref().map(convert::timestamp_to_json),
        "rows": response.rows.iter().map(row).collect::<Vec<Json>>(),
    });
    let Some(metadata) = &response.metadata else {
        return out;
    };
    out["features"] = json!(metadata.feature_names);
    out["fingerprint"] = json!(metadata.fingerprint);
    if !metadata.features.is_empty() {
        let types = metadata.features.iter().map(|feature| &feature.r#type);
        out["types"] = json!(types.collect::<Vec<_>>());
        let views = metadata
            .features
            .iter()
            .map(|feature| match &*feature.view {
                "" => Json::Null,
                view => json!(view),
            });
        out["views"] = views.collect();
    }
    out
}

fn row(row: &proto::Row) -> Json {
    let statuses = row
        .statuses
        .iter()
        .map(|status| json!(status_name(*status)));
    let completeness = row
        .completeness
        .iter()
        .map(|bits| json!(completeness_name(*bits)));
    let mut out = json!({
        "values": row.values.iter().map(convert::to_json).collect::<Json>(),
        "statuses": statuses.collect::<Json>(),
        "completeness": completeness.collect::<Json>(),
    });
    if !row.views.is_empty() {
        out["views"] = row.views.iter().map(view).collect();
    }
    if !row.messages.is_empty() {
        let messages = row.messages.iter();
        out["messages"] = messages
            .map(|each| json!({"index": each.index, "message": each.message}))
            .collect();
    }
    if !row.bounds.is_empty() {
        out["bounds"] = row.bounds.iter().map(bound).collect();
    }
    if !row.ends.is_empty() {
        let ends = row.ends.iter();
        let until = |at: &prost_types::Timestamp| convert::timestamp_to_json(at);
        out["valid_until"] = ends
            .map(|end| json!({"index": end.index, "valid_until": end.valid_until.as_ref().map(until)}))
            .collect();
    }
    out
}

fn bound(bound: &proto::ValueBound) -> Json {
    use proto::value_bound::Bound;
    let mut out = json!({"index": bound.index, "confidence": bound.confidence});
    match bound.bound {
        Some(Bound::Relative(share)) => out["relative"] = json!(share),
        Some(Bound::Absolute(error)) => out["absolute"] = json!(error),
        Some(Bound::LeastKeys(keys)) => out["least_keys"] = json!(keys),
        None => {}
    }
    if let Some(off) = &bound.edges_off {
        out["edges_off_seconds"] = convert::duration_to_json(off);
    }
    out
}

fn view(view: &proto::ViewDetails) -> Json {
    json!({
        "view": view.view,
        "warming_since": view.warming_since.as_ref().map(convert::timestamp_to_json),
        "lag_seconds": view.lag.as_ref().map(convert::duration_to_json),
        "newest_event_time": view.newest_event_time.as_ref().map(convert::timestamp_to_json),
        "fingerprint": view.fingerprint,
    })
}

/// The name of a status without its prefix.
pub(crate) fn status_name(status: i32) -> &'static str {
    let status = proto::Status::try_from(status).unwrap_or_default();
    status.as_str_name().trim_start_matches("STATUS_")
}

/// The names of completeness bits, `|` between them.
pub(crate) fn completeness_name(bits: u32) -> String {
    let names = [
        (completeness::WARMING, "WARMING"),
        (completeness::STALE, "STALE"),
        (completeness::APPROXIMATE, "APPROXIMATE"),
    ];
    let set: Vec<&str> = names
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    if set.is_empty() {
        return "COMPLETE".to_owned();
    }
    set.join("|")
}

/// Cuts a pushed body into events without copying them: one JSON object, several one after
/// another (JSON lines), or an array of them.
pub(crate) fn events(body: &Bytes) -> Result<Vec<Bytes>, Error> {
    let start = skip_spaces(body, 0);
    if body.get(start) == Some(&b'[') {
        return array(body, start + 1);
    }
    let mut events = Vec::new();
    let mut at = start;
    while at < body.len() {
        at = skip_spaces(body, event(body, at, &mut events)?);
    }
    Ok(events)
}

fn array(body: &Bytes, start: usize) -> Result<Vec<Bytes>, Error> {
    let mut events = Vec::new();
    let mut at = skip_spaces(body, start);
    if body.get(at) != Some(&b']') {
        loop {
            at = skip_spaces(body, event(body, at, &mut events)?);
            match body.get(at) {
                Some(b',') => at = skip_spaces(body, at + 1),
                Some(b']') => break,
                _ => return Err(misplaced(at, "expected \",\" or \"]\" after an event")),
            }
        }
    }
    let end = skip_spaces(body, at + 1);
    if end < body.len() {
        return Err(misplaced(end, "nothing may follow the array"));
    }
    Ok(events)
}

/// Takes the event that begins at `start`; returns where it ends.
fn event(body: &Bytes, start: usize, events: &mut Vec<Bytes>) -> Result<usize, Error> {
    if body.get(start) != Some(&b'{') {
        let what = format!("event {} is no JSON object", events.len());
        return Err(misplaced(start, &what));
    }
    let mut values = serde_json::Deserializer::from_slice(&body[start..]).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => {
            let end = start + values.byte_offset();
            events.push(body.slice(start..end));
            Ok(end)
        }
        Some(Err(error)) => {
            let what = format!("event {}: {error} (counted from there)", events.len());
            Err(misplaced(start, &what))
        }
        None => Err(misplaced(start, "expected an event")),
    }
}

fn skip_spaces(body: &[u8], from: usize) -> usize {
    let rest = body.get(from..).unwrap_or_default();
    let spaces = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
    from + spaces.count()
}

fn misplaced(at: usize, what: &str) -> Error {
    Error::invalid(format!("body at byte {at}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_cut_into_events() {
        let check = |body: &str, expect: Result<&[&str], &str>| {
            let found = events(&Bytes::copy_from_slice(body.as_bytes()));
            match (found, expect) {
                (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{body}"),
                (Err(error), Err(expect)) => assert_eq!(error.to_string(), expect, "{body}"),
                (found, expect) => panic!("{body}: {found:?}, expected {expect:?}"),
            }
        };
        check(r#"{"a":1}"#, Ok(&[r#"{"a":1}"#]));
        check(
            " {\"a\": \"}\"}\n{\"b\":[1, 2]}\r\n\n",
            Ok(&[r#"{"a": "}"}"#, r#"{"b":[1, 2]}"#]),
        );
        check(r#"[{"a":1} , {"b":2}]"#, Ok(&[r#"{"a":1}"#, r#"{"b":2}"#]));
        check("[]", Ok(&[]));
        check("", Ok(&[]));
        check("[1]", Err("body at byte 1: event 0 is no JSON object"));
        check(
            "{\"a\":1}\n7",
            Err("body at byte 8: event 1 is no JSON object"),
        );
        check(
            "[{}",
            Err("body at byte 3: expected \",\" or \"]\" after an event"),
        );
        check("[{},]", Err("body at byte 4: event 1 is no JSON object"));
        check(
            "[{}] {}",
            Err("body at byte 5: nothing may follow the array"),
        );
        check(
            "{\"a\":}",
            Err("body at byte 0: event 0: expected value at line 1 column 6 (counted from there)"),
        );
    }

    #[test]
    fn completeness_reads_well() {
        assert_eq!(completeness_name(0), "COMPLETE");
        assert_eq!(completeness_name(3), "WARMING|STALE");
        assert_eq!(status_name(3), "NOT_FOUND");
    }
}

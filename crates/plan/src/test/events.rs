//! The events of a test, as the records of a source.

use super::{Subject, wrong_value};
use crate::at::{At, Entries, TextOr};
use crate::model::{EventFile, Record, TestEvent};
use crate::report::Report;
use crate::text::Place;
use crate::{Code, names, raw, scalar, source};
use serde_json::{Map, Value as Json};
use tiderace_types::Timestamp;

/// What an event may say beside its columns, none of which begins so.
const BESIDE: [&str; 3] = ["_source", "_arrives", "_partition"];

/// The endings of files that have events.
const ENDINGS: [&str; 4] = ["jsonl", "ndjson", "json", "parquet"];

/// A file of events.
pub(super) fn file(
    report: &Report,
    at: &At<TextOr<raw::EventFile>>,
    subject: &Subject,
) -> Option<EventFile> {
    let (path, place, source) = match at.value.as_ref()? {
        TextOr::Text(path) => (path.as_str(), at.place, None),
        TextOr::Mapping(file) => {
            let (path, place) = file.path.text()?;
            (path, place, file.source.as_ref())
        }
    };
    let ending = path.rsplit_once('.').map(|(_, ending)| ending);
    if !ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
        let message = format!("`{path}` is not a file of events");
        let help = "expected JSON lines (`.jsonl`, `.ndjson`, `.json`) or `.parquet`";
        report.error_help(place, Code::Value, message, help);
        return None;
    }
    let source = match source {
        Some(source) => {
            let (name, place) = source.text()?;
            named(report, name, place, subject)?
        }
        None => only(report, place, subject, "source")?,
    };
    Some(EventFile {
        place,
        path: path.to_owned(),
        source: source.source.name.clone(),
    })
}

/// One event.
pub(super) fn event(report: &Report, at: &raw::Record, subject: &Subject) -> Option<TestEvent> {
    let entries = match at.value.as_ref()? {
        TextOr::Text(text) => {
            return Some(TestEvent {
                place: at.place,
                source: only(report, at.place, subject, "_source")?
                    .source
                    .name
                    .clone(),
                partition: 0,
                arrives: None,
                record: Record::Text(text.clone()),
            });
        }
        TextOr::Mapping(entries) => entries,
    };
    let beside = |name: &str| {
        let mut entries = entries.0.iter();
        let found = entries.find(|(key, _)| key.value.as_deref() == Some(name));
        found.map(|(_, value)| value)
    };
    let source = match beside("_source") {
        Some(at) => match &at.value {
            Some(Json::String(name)) => named(report, name, at.place, subject)?,
            _ => return wrong(report, at, "_source", "the name of a source"),
        },
        None => only(report, at.place, subject, "_source")?,
    };
    let arrives: Option<Timestamp> = match beside("_arrives") {
        None => None,
        Some(at) => match at.value.as_ref().and_then(Json::as_str) {
            Some(text) if scalar::instant(text).is_some() => scalar::instant(text),
            _ => return wrong(report, at, "_arrives", "an instant"),
        },
    };
    let partition = match beside("_partition") {
        None => 0,
        Some(at) => {
            let number = at.value.as_ref().and_then(Json::as_u64);
            match number.and_then(|number| u16::try_from(number).ok()) {
                Some(number) => number.into(),
                None => return wrong(report, at, "_partition", "a number from 0 to 65535"),
            }
        }
    };
    // A change of a row is an envelope, which the decoder judges.
    if !source.source.format.encoding.is_debezium() {
        columns(report, entries, at.place, source);
    }
    Some(TestEvent {
        place: at.place,
        source: source.source.name.clone(),
        partition,
        arrives,
        record: object(entries),
    })
}

/// A record as it is written, without what is said beside it.
pub(super) fn record(written: &TextOr<Entries<Json>>) -> Record {
    match written {
        TextOr::Text(text) => Record::Text(text.clone()),
        TextOr::Mapping(entries) => object(entries),
    }
}

fn object(entries: &Entries<Json>) -> Record {
    let mut object = Map::new();
    for (key, value) in &entries.0 {
        if let (Some((name, _)), Some(json)) = (key.text(), &value.value)
            && !BESIDE.contains(&name)
        {
            object.insert(name.to_owned(), json.clone());
        }
    }
    Record::Object(object)
}

/// Checks that an event has columns of the source, of their types, and those that every event has.
fn columns(report: &Report, entries: &Entries<Json>, place: Place, from: &source::Draft) {
    let columns = &from.source.columns;
    let mut given: Vec<&str> = vec![];
    for (key, value) in &entries.0 {
        let (Some((name, at)), Some(json)) = (key.text(), value.value.as_ref()) else {
            continue;
        };
        if BESIDE.contains(&name) {
            continue;
        }
        let first = |path: &str| path.split('.').next().is_some_and(|part| part == name);
        if let Some(column) = columns.iter().find(|column| column.name == name) {
            if scalar::value(json, &column.data_type, column.time_unit).is_none() {
                wrong_value(report, value, name, &column.data_type.to_string());
            }
        } else if name.starts_with('_') {
            let message = names::unknown("key", name, BESIDE);
            let help = format!("beside its columns an event has {}", names::listed(BESIDE));
            report.error_help(at, Code::UnknownKey, message, help);
        } else if !columns.iter().any(|column| first(&column.name)) {
            from.column(report, name, at);
        }
        if !json.is_null() {
            given.push(name);
        }
    }
    let needed = [Some(from.source.event_time), from.source.event_id];
    for column in needed.into_iter().flatten() {
        let path = columns[column].name.as_str();
        if !path.contains('.') && !given.contains(&path) {
            report.error_help(
                place,
                Code::Shape,
                format!("the event has no `{path}`"),
                "a record that is to be refused for this is written as a text: `'{…}'`",
            );
        }
    }
}

/// The one source that there is.
fn only<'a>(
    report: &Report,
    place: Place,
    subject: &Subject<'a>,
    key: &str,
) -> Option<&'a source::Draft> {
    match subject.sources[..] {
        [source] => Some(source),
        _ => {
            let names = || subject.sources.iter().map(|held| held.source.name.as_str());
            let message = format!("say which source this is of: `{key}: …`");
            let help = format!("{} reads {}", subject.what, names::listed(names()));
            report.error_help(place, Code::Shape, message, help);
            None
        }
    }
}

fn named<'a>(
    report: &Report,
    name: &str,
    place: Place,
    subject: &Subject<'a>,
) -> Option<&'a source::Draft> {
    let mut sources = subject.sources.iter();
    let found = sources.find(|held| held.source.name == name).copied();
    if found.is_none() {
        let names = || subject.sources.iter().map(|held| held.source.name.as_str());
        report.error_help(
            place,
            Code::Unknown,
            names::unknown("source", name, names()),
            format!("{} reads {}", subject.what, names::listed(names())),
        );
    }
    found
}

fn wrong<T>(report: &Report, at: &At<Json>, name: &str, expected: &str) -> Option<T> {
    wrong_value(report, at, name, expected);
    None
}

//! `kind: test` documents: names and columns that exist, values of their types.

use crate::at::{At, Entries};
use crate::model::{Ask, Test};
use crate::names::Defined;
use crate::report::Report;
use crate::seal::Sealed;
use crate::service::Views;
use crate::text::Place;
use crate::{Code, names, raw, scalar, source};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use tiderace_types::{TimeUnit, Value};

/// Checks a test; `None` when something in it, or what it refers to, is wrong.
pub(crate) fn check(
    report: &Report,
    raw: &raw::Test,
    views: &Views,
    sources: &Defined<source::Draft>,
) -> Option<Test> {
    let before = report.count();
    let (name, place) = raw.view.text()?;
    let view = *views.by_name.find(report, name, place)?;
    let sealed = &views.sealed[view];
    let source_name = &sealed.view.source.name;
    let source = sources.find(report, source_name, place)?;
    let events = raw.events.value.iter().flatten();
    let events: Vec<Json> = events
        .filter_map(|at| event(report, at.value.as_ref()?, at.place, source))
        .collect();
    let asks = raw.asks.value.iter().flatten();
    let asks: Vec<Ask> = asks
        .filter_map(|at| ask(report, at.value.as_ref()?, sealed))
        .collect();
    (report.count() == before).then_some(Test {
        name: raw.name.value.clone()?,
        view,
        events,
        asks,
    })
}

/// An event as its JSON object.
fn event(
    report: &Report,
    entries: &Entries<Json>,
    place: Place,
    from: &source::Draft,
) -> Option<Json> {
    let columns = &from.source.columns;
    let mut object = Map::new();
    for (key, value) in &entries.0 {
        let (Some((name, at)), Some(json)) = (key.text(), value.value.as_ref()) else {
            continue;
        };
        let first = |path: &str| path.split('.').next().is_some_and(|part| part == name);
        if let Some(column) = columns.iter().find(|column| column.name == name) {
            if scalar::value(json, &column.data_type, column.time_unit).is_none() {
                wrong_value(report, value, name, &column.data_type.to_string());
            }
        } else if !columns.iter().any(|column| first(&column.name)) {
            from.column(report, name, at);
        }
        object.insert(name.to_owned(), json.clone());
    }
    let needed = [Some(from.source.event_time), from.source.event_id];
    for column in needed.into_iter().flatten() {
        let path = &columns[column].name;
        // What identifies a change is made by the decoder.
        let is_declared = column < from.scope.len();
        if is_declared && !path.contains('.') && object.get(path).is_none_or(Json::is_null) {
            report.error(place, Code::Shape, format!("the event has no `{path}`"));
        }
    }
    Some(Json::Object(object))
}

fn ask(report: &Report, raw: &raw::Ask, sealed: &Sealed) -> Option<Ask> {
    let at = scalar::instant_at(report, &raw.at);
    let entity = entity(report, &raw.entity, sealed);
    let mut expect = BTreeMap::new();
    for (key, value) in raw.expect.value.iter().flat_map(|entries| &entries.0) {
        let (Some((name, place)), Some(json)) = (key.text(), value.value.as_ref()) else {
            continue;
        };
        let outputs = &sealed.view.spec.outputs;
        if !outputs.iter().any(|output| output.name == name) {
            let all = || outputs.iter().map(|output| output.name.as_str());
            report.error_help(
                place,
                Code::Unknown,
                names::unknown("feature", name, all()),
                format!("view `{}` has {}", sealed.view.name, names::listed(all())),
            );
        }
        expect.insert(name.to_owned(), json.clone());
    }
    Some(Ask {
        at: at?,
        entity: entity?,
        expect,
    })
}

/// The key, in the entity's order.
fn entity(report: &Report, at: &At<Entries<Json>>, sealed: &Sealed) -> Option<Vec<Value>> {
    let entries = &at.value.as_ref()?.0;
    let entity = &sealed.view.entity;
    let before = report.count();
    for (key, _) in entries {
        if let Some((name, place)) = key.text()
            && !entity.keys.iter().any(|(held, _)| held == name)
        {
            let all = || entity.keys.iter().map(|(name, _)| name.as_str());
            report.error(place, Code::Unknown, names::unknown("key", name, all()));
        }
    }
    if report.count() > before {
        // A misspelt key would be reported again as a missing one.
        return None;
    }
    let mut values = vec![];
    for (name, data_type) in &entity.keys {
        let given = entries
            .iter()
            .find(|(key, _)| key.value.as_ref() == Some(name));
        let Some((_, value)) = given else {
            report.error(
                at.place,
                Code::Shape,
                format!("the key `{name}` is missing"),
            );
            continue;
        };
        let json = value.value.as_ref()?;
        match scalar::value(json, data_type, TimeUnit::Rfc3339) {
            Some(found) if !found.is_null() => values.push(found),
            _ => wrong_value(report, value, name, &data_type.to_string()),
        }
    }
    (values.len() == entity.keys.len()).then_some(values)
}

fn wrong_value(report: &Report, value: &At<Json>, name: &str, expected: &str) {
    let found = value.value.as_ref().unwrap_or(&Json::Null);
    report.error(
        value.place,
        Code::Type,
        format!("`{name}` is {expected}, which `{found}` is not"),
    );
}

//! The definitions for the console: what was written, and what was understood of it.

use super::Console;
use crate::completeness::Terms;
use crate::prepared::{Prepared, hexadecimal};
use serde_json::{Value as Json, json};
use tiderace_plan::model::{Service, Source, Stream, View};
use tiderace_plan::{Group, Lock};
use tiderace_types::DataType;

/// Everything that stays as it is while the process runs. `answers` tells whether it can be asked for features.
pub(super) fn told(console: &Console, answers: bool) -> Json {
    let plan = &console.plan;
    let entities = plan.entities.iter().map(|entity| {
        let keys = entity.keys.iter();
        let keys: Json = keys.map(|(name, ty)| field(name, ty)).collect();
        written(console, "entity", &entity.name, json!({"keys": keys}))
    });
    let lock = Lock::of(plan);
    let sources = plan.sources.iter().map(|each| source(console, each));
    let views = plan
        .views
        .iter()
        .map(|each| view(console, &lock.views, each));
    let services = plan.services.iter();
    let services = services.map(|each| service(console, &lock.services, each));
    json!({
        "project": plan.project.name,
        "version": env!("CARGO_PKG_VERSION"),
        "role": console.process.role(),
        "answers": answers,
        "sources": sources.collect::<Json>(),
        "entities": entities.collect::<Json>(),
        "views": views.collect::<Json>(),
        "services": services.collect::<Json>(),
    })
}

/// What a name means, in the words of the lock file.
fn words<'a>(groups: &'a [Group], group: &str, name: &str) -> Option<&'a str> {
    let group = groups.iter().find(|held| held.own.name == group)?;
    let line = group.parts.iter().find(|line| line.name == name)?;
    Some(&line.words)
}

fn field(name: &str, data_type: &DataType) -> Json {
    json!({"name": name, "type": data_type.to_string()})
}

/// Adds to what is understood of a definition what was written.
fn written(console: &Console, kind: &str, name: &str, mut told: Json) -> Json {
    told["name"] = json!(name);
    let mut all = console.written.iter();
    if let Some(written) = all.find(|written| written.kind == kind && written.name == name) {
        told["owner"] = json!(written.owner);
        told["description"] = json!(written.description);
        told["file"] = json!(format!("{}:{}", written.path, written.line));
        told["text"] = json!(written.text);
    }
    told
}

fn source(console: &Console, source: &Source) -> Json {
    let name_of = |column: usize| source.columns[column].name.as_str();
    let columns = source.declared().iter();
    let columns = columns.map(|column| field(&column.name, &column.data_type));
    let told = json!({
        "stream": match &source.stream {
            Stream::Embedded => "embedded log".to_owned(),
            Stream::Kafka { topic, .. } => format!("Kafka topic {topic}"),
            Stream::Table(table) if table.query.is_some() => "answer of a query".to_owned(),
            Stream::Table(_) => "table".to_owned(),
        },
        "is_table": source.table().is_some(),
        "columns": columns.collect::<Json>(),
        "event_time": name_of(source.event_time),
        "event_id": source.event_id.map(name_of),
        "allowed_lateness": source.allowed_lateness.to_string(),
        "max_lag_seconds": source.max_lag.0 as f64 / 1e6,
    });
    written(console, "source", &source.name, told)
}

fn view(console: &Console, lock: &[Group], view: &View) -> Json {
    let inputs = &view.inputs;
    let input = |place: Option<usize>| place.map(|place| inputs[place].canonical());
    let features = view.spec.outputs.iter().map(|output| {
        json!({
            "name": output.name,
            "type": output.data_type.to_string(),
            "window": output.window.to_string(),
            "of": input(output.input),
            "by": input(output.by),
            "words": words(lock, &view.name, &output.name),
        })
    });
    let told = json!({
        "entity": view.entity.name,
        "source": view.source.name,
        "features": features.collect::<Json>(),
        "fingerprint": hexadecimal(view.spec.fingerprint),
        "history": view.history.map_or("all".to_owned(), |span| span.to_string()),
        "reach_seconds": Terms::of(view).reach.map(|reach| reach.0 as f64 / 1e6),
        "max_age": view.max_age.map(|span| span.to_string()),
        "topic": view.feed.as_ref().map(|feed| &feed.topic),
    });
    written(console, "feature_view", &view.name, told)
}

fn service(console: &Console, lock: &[Group], service: &Service) -> Json {
    let plan = &console.plan;
    let features = service.features.iter().map(|feature| {
        let view = &plan.views[feature.view];
        json!({"view": view.name, "name": view.spec.outputs[feature.output].name})
    });
    let on_demand = service.on_demand.iter().map(|feature| {
        json!({
            "name": feature.name,
            "type": feature.data_type.to_string(),
            "expr": feature.expr.canonical(),
            "words": words(lock, &service.name, &feature.name),
        })
    });
    // A service that can never be answered has stopped the server before.
    let prepared = Prepared::service(plan, service).ok();
    let keys = prepared.iter().flat_map(|prepared| &prepared.keys);
    let keys = keys.map(|key| field(&key.name, &key.data_type));
    let request = service.request.iter().map(|(name, ty)| field(name, ty));
    let told = json!({
        "features": features.collect::<Json>(),
        "on_demand": on_demand.collect::<Json>(),
        "keys": keys.collect::<Json>(),
        "request_data": request.collect::<Json>(),
    });
    written(console, "feature_service", &service.name, told)
}

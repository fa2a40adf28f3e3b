//! How to reach Kafka and the schema registry beside it.

use crate::at::At;
use crate::model::{SchemaRegistry, Secret};
use crate::report::Report;
use crate::{Code, names, raw};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Properties that exactly-once rests on: they are set, and not by the user.
const OURS: [&str; 9] = [
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "metadata.broker.list",
];

/// The client's further properties; `None` when one is wrong.
pub(crate) fn properties(
    report: &Report,
    kafka: Option<&raw::Kafka>,
) -> Option<BTreeMap<String, Secret>> {
    let Some(at) = kafka.and_then(|kafka| kafka.properties.as_ref()) else {
        return Some(BTreeMap::new());
    };
    let before = report.count();
    let mut properties = BTreeMap::new();
    for (name, value) in &at.value.as_ref()?.0 {
        let (Some((name, place)), Some(json)) = (name.text(), &value.value) else {
            continue;
        };
        if OURS.contains(&name) {
            report.error_help(
                place,
                Code::Value,
                format!("`{name}` is not yours to set"),
                "counting every record once rests on it; brokers are named by `brokers`",
            );
            continue;
        }
        match text(json) {
            Some(text) => {
                properties.insert(name.to_owned(), Secret(text));
            }
            None => report.error(
                value.place,
                Code::Shape,
                format!("expected a text, a number, true or false for `{name}`"),
            ),
        }
    }
    (report.count() == before).then_some(properties)
}

fn text(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The schema registry; the outer `None` when something in it is wrong.
pub(crate) fn schema_registry(
    report: &Report,
    kafka: Option<&raw::Kafka>,
) -> Option<Option<SchemaRegistry>> {
    let Some(at) = kafka.and_then(|kafka| kafka.schema_registry.as_ref()) else {
        return Some(None);
    };
    let raw = at.value.as_ref()?;
    let url = url(report, &raw.url);
    let optional = |at: &Option<At<String>>| match at {
        None => Some(None),
        Some(at) => at.value.clone().map(Some),
    };
    let login = match (optional(&raw.username)?, optional(&raw.password)?) {
        (None, None) => None,
        (Some(username), Some(password)) => Some((username, password)),
        (username, _) => {
            let (has, lacks) = match username {
                Some(_) => ("username", "password"),
                None => ("password", "username"),
            };
            let message = format!("the schema registry has a `{has}` and no `{lacks}`");
            report.error(at.place, Code::Shape, message);
            return None;
        }
    };
    Some(Some(SchemaRegistry {
        url: url?,
        login,
        ca: optional(&raw.ca)?,
    }))
}

/// The URL, which must have no credentials in it: URLs are shown in messages.
fn url(report: &Report, at: &At<String>) -> Option<String> {
    let (text, place) = at.text()?;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    match host {
        Some(host) if host.contains('@') => report.error_help(
            place,
            Code::Unsafe,
            "the URL of the schema registry holds credentials",
            "write `username` and `password` beside it, the password as `${NAME}`",
        ),
        Some(host) if !host.is_empty() => return Some(text.trim_end_matches('/').to_owned()),
        _ => report.error_help(
            place,
            Code::Value,
            format!("`{text}` is not the URL of a schema registry"),
            "expected `https://host:port`, or `http://host:port`",
        ),
    }
    None
}

/// The headers that a source's own records have.
pub(crate) fn headers(report: &Report, topic: &raw::Topic) -> Option<Vec<(String, String)>> {
    let Some(at) = &topic.header else {
        return Some(vec![]);
    };
    let entries = &at.value.as_ref()?.0;
    if entries.is_empty() {
        report.error_help(
            at.place,
            Code::Shape,
            "no header is named",
            "write `header: { name: value }`, or leave it out to read every record",
        );
        return None;
    }
    let mut seen = vec![];
    let mut headers = vec![];
    for (name, value) in entries {
        let (text, place) = name.text()?;
        if !names::unique(report, &mut seen, "header", text, place) {
            return None;
        }
        headers.push((text.to_owned(), value.value.clone()?));
    }
    Some(headers)
}

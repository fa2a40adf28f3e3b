//! Whether an Avro schema lets a column be null.

use serde_json::Value as Json;
use std::collections::HashMap;
use tiderace_source::{RegisteredSchema, SchemaKind};

/// Tells whether the field at a path with dots, or a record around it, may be null. What is not Avro, or
/// not there, may not.
pub fn may_be_null(schema: &RegisteredSchema, path: &str) -> bool {
    if schema.kind != SchemaKind::Avro {
        return false;
    }
    let texts = schema.references.iter().map(|(_, text)| text);
    let parsed: Vec<Json> = texts
        .chain([&schema.text])
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect();
    let mut named = HashMap::new();
    for json in &parsed {
        gather(json, "", &mut named);
    }
    let Some(mut at) = parsed.last() else {
        return false;
    };
    for part in path.split('.') {
        let record = record(at, &named);
        let fields = record.and_then(|record| record["fields"].as_array());
        let field = fields.and_then(|fields| fields.iter().find(|field| field["name"] == part));
        let Some(field) = field else {
            return false;
        };
        at = &field["type"];
        if at
            .as_array()
            .is_some_and(|branches| branches.iter().any(|branch| branch == "null"))
        {
            return true;
        }
    }
    false
}

/// The record that a type is, by itself, by name, or among the branches of a union.
fn record<'a>(at: &'a Json, named: &HashMap<String, &'a Json>) -> Option<&'a Json> {
    match at {
        Json::Object(_) if at["type"] == "record" => Some(at),
        Json::Object(_) => record(&at["type"], named),
        Json::String(name) => {
            let short = name.rsplit('.').next().unwrap_or(name);
            named.get(name).or_else(|| named.get(short)).copied()
        }
        Json::Array(branches) => branches.iter().find_map(|branch| record(branch, named)),
        _ => None,
    }
}

/// Notes every record by its full and by its short name.
fn gather<'a>(json: &'a Json, space: &str, named: &mut HashMap<String, &'a Json>) {
    match json {
        Json::Array(items) => items.iter().for_each(|item| gather(item, space, named)),
        Json::Object(_) => {
            let space = json["namespace"].as_str().unwrap_or(space);
            if json["type"] == "record"
                && let Some(name) = json["name"].as_str()
            {
                named.insert(format!("{space}.{name}"), json);
                named.insert(name.to_owned(), json);
            }
            for part in ["type", "fields", "items", "values"] {
                gather(&json[part], space, named);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unions_with_null_may_be_null() {
        let text = r#"{"type": "record", "name": "P", "namespace": "shop", "fields": [
            {"name": "id", "type": "long"},
            {"name": "note", "type": ["null", "string"]},
            {"name": "from", "type": {"type": "record", "name": "Party", "fields": [
                {"name": "id", "type": "long"}, {"name": "name", "type": ["string", "null"]}]}},
            {"name": "to", "type": "shop.Party"},
            {"name": "via", "type": ["null", "Party"]}]}"#;
        let schema = RegisteredSchema {
            kind: SchemaKind::Avro,
            text: text.to_owned(),
            references: vec![],
        };
        for (path, expected) in [
            ("id", false),
            ("note", true),
            ("from.id", false),
            ("from.name", true),
            ("to.id", false),
            ("to.name", true),
            ("via.id", true),
            ("nowhere", false),
        ] {
            assert_eq!(may_be_null(&schema, path), expected, "{path}");
        }
    }
}

//! The reference of definitions, written from their JSON Schema: what editors are told, on a page.
//!
//! It has no words of its own about a field: what is said of one stands at its type in `raw`.

mod field;
mod flow;

use crate::json_schema;
use field::Fields;
use serde_json::Value as Json;
use std::fmt::Write;

/// One of each kind: a project that loads.
pub const EXAMPLE: &str = include_str!("reference/example.yaml");

/// The kinds of documents: how each begins, the type that reads it, and its place in the example.
const KINDS: [(&str, &str, usize); 8] = [
    ("no `kind`, in `tiderace.yaml`", "Project", 0),
    ("`kind: source`", "Source", 1),
    ("`kind: entity`", "Entity", 2),
    ("`kind: feature_view` with a `source`", "FeatureView", 3),
    ("`kind: feature_view` with a `batch`", "BatchView", 4),
    ("`kind: feature_view` with `sql`", "SqlView", 5),
    ("`kind: feature_service`", "FeatureService", 6),
    ("`kind: test`", "Test", 7),
];

const HEAD: &str = "\
# Reference of definitions

Every kind of document, and every field of each. `tiderace schema --format markdown` writes this page, and `tiderace schema` says the
same to editors as a JSON Schema; a test holds the page to it.

A definition file has one document or several, divided by `---`. Fields that are not here are refused. `${NAME}` in a
text stands for a variable of the environment.

## How values are written

| | | for example |
|---|---|---|
| duration | a number and a unit, one or several: `ms`, `s`, `m`, `h`, `d`, `w` | `90s`, `1h30m`, `7d` |
| size | a number of bytes, or one with a unit: `B`, `KiB`, `MiB`, `GiB` | `65536`, `64KiB` |
| instant | RFC 3339 | `2026-03-01T12:00:00Z` |
| unit | a duration that divides time from 1970 on, or hours, days, weeks, months, quarters or years, in a time zone | `1h`, `1 day @ Asia/Seoul` |
| type | `bool`, `int32`, `int64`, `float32`, `float64`, `decimal(precision, scale)`, `string`, `bytes`, `timestamp` | `decimal(12, 2)` |
| SQL | one expression of DataFusion's SQL over columns; a condition is one that is true or false | `amount > 100` |
| name | letters, digits and `_`, not beginning with a digit | `card_payments` |
| address | an IP address and a port | `127.0.0.1:6565` |
| file, folder | a path, relative to the project where it is not absolute | `certificates/server.pem` |
| bucket | `s3://` with a bucket and a prefix | `s3://lake/payments` |
| secret | a text that comes from the environment | `${REDIS_PASSWORD}` |
";

/// The page.
#[must_use]
pub fn reference() -> String {
    let schema = json_schema();
    let fields = Fields {
        definitions: &schema["$defs"],
    };
    let mut page = HEAD.to_owned();
    let mut shown: Vec<String> = KINDS.map(|(_, name, _)| name.to_owned()).into();
    let examples: Vec<&str> = EXAMPLE.split("---\n").collect();
    for (begins, name, place) in KINDS {
        let within = section(&mut page, &fields, "##", name, begins);
        let example = examples.get(place).copied().unwrap_or_default();
        _ = write!(page, "\n```yaml\n{example}```\n");
        let mut waiting = within;
        while !waiting.is_empty() {
            let next = waiting.remove(0);
            if shown.contains(&next) {
                continue;
            }
            let more = section(&mut page, &fields, "###", &next, "");
            waiting.splice(0..0, more);
            shown.push(next);
        }
    }
    page
}

/// Writes what a type has; gives the types of its fields that have sections of their own.
fn section(
    page: &mut String,
    fields: &Fields,
    head: &str,
    name: &str,
    begins: &str,
) -> Vec<String> {
    let definition = &fields.definitions[name];
    _ = write!(page, "\n{head} {name}\n\n");
    if !begins.is_empty() {
        _ = write!(page, "{}: ", upper(begins));
    }
    let about = field::words(definition);
    _ = writeln!(page, "{about}\n");
    let mut within = Vec::new();
    if let Some(values) = field::values(definition) {
        page.push_str("| value | |\n|---|---|\n");
        for (value, about) in values {
            _ = writeln!(page, "| `{value}` | {about} |");
        }
        return within;
    }
    page.push_str("| field | type | default | for example | |\n|---|---|---|---|---|\n");
    let none = serde_json::Map::new();
    let properties = definition["properties"].as_object().unwrap_or(&none);
    let required = |name: &str| {
        let names = definition["required"].as_array();
        names.is_some_and(|names| names.iter().any(|needed| needed == name))
    };
    let (needed, other): (Vec<_>, Vec<_>) = properties
        .iter()
        .filter(|(name, _)| *name != "kind")
        .partition(|(name, _)| required(name));
    let needed = needed.into_iter().map(|each| (each, true));
    for ((name, property), is_needed) in needed.chain(other.into_iter().map(|each| (each, false))) {
        let told = fields.told(property, &mut within);
        let default = match is_needed {
            true => "*required*",
            false => &told.default,
        };
        let (form, example, about) = (&told.form, &told.example, &told.about);
        _ = writeln!(
            page,
            "| `{name}` | {form} | {default} | {example} | {about} |"
        );
    }
    within
}

/// With a capital letter, unless it begins with code.
fn upper(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}

/// What is lacking for a page on which everything is said: fields without a description or an example.
#[must_use]
pub fn unsaid() -> Vec<String> {
    let schema = json_schema();
    let none = serde_json::Map::new();
    let mut unsaid = Vec::new();
    for (name, definition) in schema["$defs"].as_object().unwrap_or(&none) {
        let properties = definition["properties"].as_object().unwrap_or(&none);
        for (field, property) in properties.iter().filter(|(field, _)| *field != "kind") {
            if !property["description"].is_string() {
                unsaid.push(format!("{name}.{field} has no description"));
            }
            let examples = property["examples"]
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            let fits = |example: &Json| field::fits(property, example, &schema["$defs"]);
            if examples.is_empty() || !examples.iter().all(fits) {
                unsaid.push(format!("{name}.{field} has no example that it would take"));
            }
        }
    }
    unsaid
}

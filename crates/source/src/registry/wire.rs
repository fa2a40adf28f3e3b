//! What a registry answers, out of its JSON.

use super::SchemaKind;
use serde_json::{Value as Json, json};

/// A schema as it is answered, its references not yet fetched.
pub struct Answered {
    /// Its number, where that is told.
    pub id: Option<u32>,
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// What it refers to.
    pub references: Vec<Reference>,
}

/// What a schema refers to.
pub struct Reference {
    /// How the schema calls it.
    pub name: String,
    /// The subject that it is registered under.
    pub subject: String,
    /// Which version of it.
    pub version: u32,
}

/// Reads the answer about a schema.
pub fn schema(body: &str) -> Result<Answered, String> {
    let json = json(body)?;
    let kind = match json.get("schemaType").map(Json::as_str) {
        None | Some(Some("AVRO")) => SchemaKind::Avro,
        Some(Some("PROTOBUF")) => SchemaKind::Protobuf,
        Some(Some("JSON")) => SchemaKind::Json,
        Some(_) => return Err(format!("unknown schemaType {}", json["schemaType"])),
    };
    let references = match &json["references"] {
        Json::Null => vec![],
        Json::Array(items) => items.iter().map(reference).collect::<Result<_, _>>()?,
        _ => return Err("`references` is not a list".to_owned()),
    };
    Ok(Answered {
        id: number(&json["id"]),
        kind,
        text: text(&json, "schema")?,
        references,
    })
}

/// Reads the answer about the versions of a subject.
pub fn versions(body: &str) -> Result<Vec<u32>, String> {
    let json = json(body)?;
    let items = json.as_array().ok_or("expected a list of versions")?;
    let versions = items.iter().map(number);
    let versions: Option<Vec<u32>> = versions.collect();
    versions.ok_or_else(|| "a version is not a number".to_owned())
}

/// What registers a schema.
pub fn registration(kind: SchemaKind, text: &str) -> String {
    json!({ "schemaType": kind.name(), "schema": text }).to_string()
}

/// Reads the number that a schema was registered under.
pub fn id(body: &str) -> Result<u32, String> {
    number(&json(body)?["id"]).ok_or_else(|| "no number `id`".to_owned())
}

/// Reads whether a schema is compatible.
pub fn is_compatible(body: &str) -> Result<bool, String> {
    let found = json(body)?["is_compatible"].as_bool();
    found.ok_or_else(|| "no `is_compatible`".to_owned())
}

/// What a registry says of an error, in its own words where it has some.
pub fn message(body: &str) -> String {
    let said = json(body).ok();
    let said = said.as_ref().and_then(|json| json["message"].as_str());
    let most = said.unwrap_or(body).chars().take(500);
    most.collect()
}

/// Tells whether a body with status 404 is a registry's own word that there is no such thing.
pub fn says_unknown(body: &str) -> bool {
    let code = json(body).ok().and_then(|json| json["error_code"].as_u64());
    matches!(code, Some(404 | 40_401..=40_403))
}

fn reference(json: &Json) -> Result<Reference, String> {
    Ok(Reference {
        name: text(json, "name")?,
        subject: text(json, "subject")?,
        version: number(&json["version"]).ok_or("a reference without a version")?,
    })
}

fn json(body: &str) -> Result<Json, String> {
    serde_json::from_str(body).map_err(|error| format!("not JSON: {error}"))
}

fn text(json: &Json, name: &str) -> Result<String, String> {
    let text = json[name].as_str().map(str::to_owned);
    text.ok_or_else(|| format!("no text `{name}`"))
}

fn number(json: &Json) -> Option<u32> {
    json.as_u64().and_then(|number| u32::try_from(number).ok())
}

//! The JSON Schema of definition files, for editors.

use crate::raw;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value as Json, json};

/// The JSON Schema of one document of a definition file, made from the very types that read it.
#[must_use]
pub fn json_schema() -> Json {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut documents = vec![generator.subschema_for::<raw::Project>().to_value()];
    for (kind, reference) in [
        ("source", reference::<raw::Source>(&mut generator)),
        ("entity", reference::<raw::Entity>(&mut generator)),
        (
            "feature_view",
            reference::<raw::FeatureView>(&mut generator),
        ),
        ("feature_view", reference::<raw::BatchView>(&mut generator)),
        ("feature_view", reference::<raw::SqlView>(&mut generator)),
        (
            "feature_service",
            reference::<raw::FeatureService>(&mut generator),
        ),
        ("test", reference::<raw::Test>(&mut generator)),
    ] {
        documents.push(json!({
            "properties": { "kind": { "const": kind } },
            "required": ["kind"],
            "$ref": reference,
        }));
    }
    let mut definitions = Json::Object(generator.take_definitions(true));
    for name in KINDS {
        allow_kind(&mut definitions[name]);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tiderace definitions",
        "anyOf": documents,
        "$defs": definitions,
    })
}

/// The raw types that have a `kind`.
const KINDS: [&str; 7] = [
    "Source",
    "Entity",
    "FeatureView",
    "BatchView",
    "SqlView",
    "FeatureService",
    "Test",
];

fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Json {
    generator.subschema_for::<T>().to_value()["$ref"].clone()
}

/// The reader takes `kind` away before the rest is read; the schema has to permit it.
fn allow_kind(definition: &mut Json) {
    if let Some(properties) = definition["properties"].as_object_mut() {
        properties.insert("kind".to_owned(), json!({ "type": "string" }));
    }
}

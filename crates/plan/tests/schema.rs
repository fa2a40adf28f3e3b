//! The JSON Schema is made from the types that read, and so are its descriptions.

use tiderace_plan::json_schema;

#[test]
fn the_schema_describes_every_kind() {
    let schema = json_schema();
    assert_eq!(schema["anyOf"].as_array().map(Vec::len), Some(8));
    let definitions = &schema["$defs"];
    for (name, key) in [
        ("Project", "project"),
        ("Source", "columns"),
        ("Entity", "keys"),
        ("FeatureView", "features"),
        ("BatchView", "batch"),
        ("Batch", "deleted_when"),
        ("BatchFeature", "column"),
        ("SqlView", "audience"),
        ("Sql", "query"),
        ("SqlTable", "archive"),
        ("FeatureService", "on_demand"),
        ("Test", "asks"),
        ("Feature", "aggregate"),
        ("Output", "kafka"),
        ("Tls", "cert"),
        ("Auth", "callers"),
        ("Jwt", "jwks"),
        ("Caller", "tokens"),
    ] {
        let property = &definitions[name]["properties"][key];
        assert!(
            property["description"].is_string(),
            "{name}.{key}: {property}"
        );
        assert_eq!(definitions[name]["additionalProperties"], false, "{name}");
    }
    assert!(definitions["Source"]["properties"]["kind"].is_object());
    let text = schema.to_string();
    let eviction = &definitions["Redis"]["properties"]["allow_eviction"];
    let said = eviction["description"].as_str().expect("a description");
    assert!(said.contains("noeviction"), "{said}");
    for word in ["count_distinct", "top_n", "allowed_lateness", "lifetime"] {
        assert!(text.contains(word), "{word}");
    }
    for reference in text.split("\"$ref\":\"#/$defs/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(definitions[name].is_object(), "{name} is not defined");
    }
}

//! What the schema says of one field, in the cells of a table.

use super::flow::flow;
use serde_json::Value as Json;

/// Enumerations of more values have a section of their own.
const INLINE: usize = 6;

/// The types of the schema.
pub struct Fields<'a> {
    pub definitions: &'a Json,
}

/// A field, as its row tells it.
pub struct Told {
    pub form: String,
    pub default: String,
    pub example: String,
    pub about: String,
}

impl Fields<'_> {
    /// What is said of a field; the types that have sections of their own go to `within`.
    pub fn told(&self, property: &Json, within: &mut Vec<String>) -> Told {
        let words = words(property);
        let (mut about, default) = default(&words);
        let mut form = self.form(property, within);
        if let Some(values) = self.inline_values(property) {
            let values = values.into_iter();
            let values: Vec<String> = values
                .map(|(value, meaning)| format!("`{value}`: {meaning}"))
                .collect();
            about = format!("{about}<br>{}", values.join("<br>"));
        }
        if let Some(own) = property["x-form"].as_str() {
            form = form.replacen("text", own, 1);
        }
        let example = property["examples"].get(0).map(flow).unwrap_or_default();
        Told {
            form,
            default,
            example: cell(&format!("`{example}`")),
            about,
        }
    }

    /// The type of a field, in words.
    fn form(&self, schema: &Json, within: &mut Vec<String>) -> String {
        if let Some(name) = referred(schema) {
            return self.named(name, within);
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            let choices = choices.iter().filter(|choice| choice["type"] != "null");
            let choices: Vec<String> = choices.map(|choice| self.form(choice, within)).collect();
            return choices.join(" or ");
        }
        match kind(schema) {
            Some("string") => "text".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            Some("integer") => "whole number".to_owned(),
            Some("array") => format!("list of {}", self.form(&schema["items"], within)),
            Some("object") if schema["additionalProperties"].is_object() => {
                let value = self.form(&schema["additionalProperties"], within);
                format!("mapping of names to {value}")
            }
            Some("object") => "mapping".to_owned(),
            _ => "any value".to_owned(),
        }
    }

    fn named(&self, name: &str, within: &mut Vec<String>) -> String {
        let definition = &self.definitions[name];
        match values(definition) {
            _ if name == "Size" => "size".to_owned(),
            Some(values) if values.len() <= INLINE => {
                let values: Vec<String> = values
                    .iter()
                    .map(|(value, _)| format!("`{value}`"))
                    .collect();
                values.join(", ")
            }
            _ => {
                within.push(name.to_owned());
                format!("[{name}](#{})", name.to_lowercase())
            }
        }
    }

    /// The values of a field that takes one of few, with what each means.
    fn inline_values(&self, property: &Json) -> Option<Vec<(String, String)>> {
        let own = referred(property);
        let of = |choices: &Json| {
            choices
                .as_array()?
                .iter()
                .find_map(referred)
                .map(str::to_owned)
        };
        let name = own.map(str::to_owned).or_else(|| of(&property["anyOf"]))?;
        let values = values(&self.definitions[&name])?;
        (values.len() <= INLINE && name != "Size").then_some(values)
    }
}

fn referred(schema: &Json) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

/// The type, beside null.
fn kind(schema: &Json) -> Option<&str> {
    match &schema["type"] {
        Json::String(kind) => Some(kind),
        Json::Array(kinds) => kinds
            .iter()
            .filter_map(Json::as_str)
            .find(|kind| *kind != "null"),
        _ => None,
    }
}

/// The values of an enumeration, with what each means.
pub fn values(definition: &Json) -> Option<Vec<(String, String)>> {
    let choices = definition["oneOf"].as_array()?;
    let choice = |choice: &Json| Some((choice["const"].as_str()?.to_owned(), words(choice)));
    choices.iter().map(choice).collect()
}

/// A description in one line, its pages as links.
pub fn words(schema: &Json) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let words = text.split_whitespace().map(|word| {
        let name = word
            .strip_prefix("docs/")
            .and_then(|rest| rest.split_once(".md"));
        match name {
            Some((name, rest)) => format!("[{name}.md]({name}.md){rest}"),
            None => word.to_owned(),
        }
    });
    let words: Vec<String> = words.collect();
    cell(&words.join(" "))
}

/// Takes the default out of a description.
fn default(words: &str) -> (String, String) {
    if let Some((before, rest)) = words.split_once("Default: ") {
        // A full stop ends it where a sentence follows, or nothing.
        let end = rest.find(". ").unwrap_or(rest.len());
        let default = rest[..end].trim_end_matches('.').to_owned();
        let after = rest.get(end + 2..).unwrap_or_default();
        let about = format!("{before}{after}");
        return (about.trim().to_owned(), default);
    }
    let before = words.split_once(" (default)").map(|(before, _)| before);
    let word = before.and_then(|before| before.rsplit(' ').next());
    let word = word.filter(|word| word.starts_with('`'));
    (words.to_owned(), word.unwrap_or("–").to_owned())
}

/// A text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Tells whether an example is of a field's type, as deep as types are named.
pub fn fits(schema: &Json, example: &Json, definitions: &Json) -> bool {
    if let Some(name) = referred(schema) {
        return fits(&definitions[name], example, definitions);
    }
    for choices in [&schema["anyOf"], &schema["oneOf"]] {
        if let Some(choices) = choices.as_array() {
            return choices
                .iter()
                .any(|choice| fits(choice, example, definitions));
        }
    }
    if let Some(value) = schema.get("const") {
        return value == example;
    }
    match (kind(schema), example) {
        (Some("string"), Json::String(_)) | (Some("boolean"), Json::Bool(_)) => true,
        (Some("integer"), Json::Number(number)) => number.is_u64(),
        (Some("array"), Json::Array(items)) => items
            .iter()
            .all(|item| fits(&schema["items"], item, definitions)),
        (Some("object"), Json::Object(entries)) => entries.iter().all(|(name, value)| {
            match (
                schema["properties"].get(name),
                &schema["additionalProperties"],
            ) {
                (Some(property), _) => fits(property, value, definitions),
                (None, Json::Bool(allowed)) => *allowed,
                (None, other) => fits(other, value, definitions),
            }
        }),
        (None, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_are_told_apart() {
        for (words, about, expect) in [
            ("How late. Default: `7d`.", "How late.", "`7d`"),
            (
                "How. Default: twice `refresh`. See there.",
                "How. See there.",
                "twice `refresh`",
            ),
            ("`stop` (default) stops", "`stop` (default) stops", "`stop`"),
            ("What it is.", "What it is.", "–"),
        ] {
            assert_eq!(default(words), (about.to_owned(), expect.to_owned()));
        }
    }

    #[test]
    fn pages_are_links() {
        let told = words(&json!({"description": "See\ndocs/windows.md."}));
        assert_eq!(told, "See [windows.md](windows.md).");
    }

    #[test]
    fn an_example_of_another_type_is_noticed() {
        let definitions = json!({"A": {"type": "object", "properties": {"b": {"type": "boolean"}}, "additionalProperties": false}});
        let schema = json!({"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]});
        assert!(fits(&schema, &json!({"b": true}), &definitions));
        for wrong in [json!({"b": 1}), json!({"c": true}), json!("b")] {
            assert!(!fits(&schema, &wrong, &definitions), "{wrong}");
        }
    }
}

//! Values as YAML writes them in one line.

use serde_json::Value as Json;

/// A value in flow style.
pub fn flow(value: &Json) -> String {
    match value {
        Json::String(text) if is_plain(text) => text.clone(),
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(name, value)| {
                let name = flow(&Json::String(name.clone()));
                format!("{name}: {}", flow(value))
            });
            let entries: Vec<String> = entries.collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// Tells whether YAML takes a text for itself without quotes, in a flow too.
fn is_plain(text: &str) -> bool {
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let is_word = !["true", "false", "null", "yes", "no", "on", "off"].contains(&text);
    let inner = |letter: char| letter.is_alphanumeric() || " _-./@".contains(letter);
    let duration = text.starts_with(|first: char| first.is_ascii_digit())
        && text.ends_with(|last: char| last.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric());
    duration || (starts && is_word && text.chars().all(inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_yaml_reads_it() {
        for (value, expect) in [
            (json!("payments"), "payments"),
            (json!("7d"), "7d"),
            (json!("true"), "\"true\""),
            (json!("amount > 0"), "\"amount > 0\""),
            (json!("${NAME}"), "\"${NAME}\""),
            (
                json!({"a": ["b:*", 1], "c": {}}),
                "{ a: [\"b:*\", 1], c: {  } }",
            ),
        ] {
            let told = flow(&value);
            assert_eq!(told, expect);
            let read: Json = serde_saphyr::from_str(&told).expect("YAML");
            assert_eq!(read, value, "{told}");
        }
    }
}

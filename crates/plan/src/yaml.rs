//! Text to nodes: YAML 1.2 with places, several documents per file.

use crate::node::{Content, Node};
use crate::report::Report;
use crate::text::Place;
use crate::{Code, SourceFile};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Spanned};
use std::fmt;

/// The documents of a file; `None`, with a finding, when it is not YAML.
pub(crate) fn documents(report: &Report, files: &[SourceFile], file: usize) -> Option<Vec<Node>> {
    let text = &files[file].text;
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
    };
    match serde_saphyr::from_multiple_with_options::<Spanned<Parsed>>(text, options) {
        Ok(parsed) => Some(
            parsed
                .into_iter()
                .map(|document| node(document, file as u32))
                .filter(|document| document.value != Content::Null)
                .collect(),
        ),
        Err(error) => {
            report.error(
                error_place(&error, text, file as u32),
                Code::Yaml,
                plain(&error),
            );
            None
        }
    }
}

/// What serde sees of a value, before it has a place.
enum Parsed {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Parsed>>),
    Mapping(Vec<(Spanned<String>, Spanned<Parsed>)>),
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Parsed, D::Error> {
        deserializer.deserialize_any(ParsedVisitor)
    }
}

struct ParsedVisitor;

impl<'de> Visitor<'de> for ParsedVisitor {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, b: bool) -> Result<Parsed, E> {
        Ok(Parsed::Bool(b))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Parsed, E> {
        Ok(Parsed::Int(n))
    }

    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Parsed, E> {
        i64::try_from(n)
            .map(Parsed::Int)
            .map_err(|_| E::custom(format!("the number {n} does not fit int64")))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Parsed, E> {
        Ok(Parsed::Float(x))
    }

    fn visit_str<E>(self, text: &str) -> Result<Parsed, E> {
        Ok(Parsed::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Null)
    }

    fn visit_none<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parsed, D::Error> {
        Parsed::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Parsed, A::Error> {
        let mut list = vec![];
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Parsed::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Parsed, A::Error> {
        let mut mapping: Vec<(Spanned<String>, Spanned<Parsed>)> = vec![];
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, _>()? {
            mapping.push((key, value));
        }
        Ok(Parsed::Mapping(mapping))
    }
}

fn node(parsed: Spanned<Parsed>, file: u32) -> Node {
    let place = place(&parsed, file);
    let value = match parsed.value {
        Parsed::Null => Content::Null,
        Parsed::Bool(b) => Content::Bool(b),
        Parsed::Int(n) => Content::Int(n),
        Parsed::Float(x) => Content::Float(x),
        Parsed::Text(text) => Content::Text {
            text,
            filled: false,
        },
        Parsed::List(items) => {
            Content::List(items.into_iter().map(|item| node(item, file)).collect())
        }
        Parsed::Mapping(entries) => Content::Mapping(
            entries
                .into_iter()
                .map(|(key, value)| (key_node(key, file), node(value, file)))
                .collect(),
        ),
    };
    let mut node = Node { place, value };
    if let Content::Mapping(entries) = &node.value
        && let Some((first, _)) = entries.first()
    {
        // A mapping has no text of its own: it is shown by its first key.
        node.place = first.place;
    }
    node
}

fn key_node(key: Spanned<String>, file: u32) -> Node {
    Node {
        place: place(&key, file),
        value: Content::Text {
            text: key.value,
            filled: false,
        },
    }
}

fn place<T>(spanned: &Spanned<T>, file: u32) -> Place {
    let span = spanned.referenced.span();
    Place {
        file,
        start: small(span.byte_offset().unwrap_or_default()),
        length: small(span.byte_len().unwrap_or_default()),
    }
}

fn error_place(error: &Error, text: &str, file: u32) -> Place {
    let Some(location) = error.location() else {
        return Place {
            file,
            ..Place::default()
        };
    };
    let span = location.span();
    let by_line = || {
        let before = location.line().saturating_sub(1) as usize;
        let line: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
        (line + location.column().saturating_sub(1) as usize) as u64
    };
    Place {
        file,
        start: small(span.byte_offset().unwrap_or_else(by_line)),
        length: small(span.byte_len().unwrap_or_default()),
    }
}

/// The parser's message on one line, without the place, which is shown apart.
fn plain(error: &Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let first = match first.rsplit_once(" at line ") {
        Some((message, place)) if place.starts_with(|c: char| c.is_ascii_digit()) => message,
        _ => first,
    };
    if let Some(key) = first.strip_prefix("duplicate mapping key: ") {
        let key = key.split(", set ").next().unwrap_or(key);
        return format!("the key `{key}` is given twice");
    }
    format!("not YAML: {}", first.trim_end_matches([':', ',', '.']))
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

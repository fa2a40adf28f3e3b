//! Nodes to raw documents: a serde reader that reports what is wrong and reads on.
//!
//! Unknown keys are reported with the nearest name and skipped. A value inside an
//! [`At`](crate::at::At) that is wrong is reported and left out; what surrounds it is still read.

use crate::at::{AT, TEXT_OR};
use crate::node::{Content, Node};
use crate::report::Report;
use crate::text::Place;
use crate::{Code, names};
use serde::de::{self, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;

mod access;
use access::{Entries, Items, Placed, Variant};

/// Reads a document; `None`, with findings, when it is not of the right shape.
pub(crate) fn read<'a, T: de::Deserialize<'a>>(
    report: &'a Report<'a>,
    node: &'a Node,
) -> Option<T> {
    T::deserialize(Reader { report, node })
        .map_err(|wrong| wrong.report(report, node.place))
        .ok()
}

/// What is wrong with a value, and where when that is known already.
#[derive(Debug)]
pub(crate) struct Wrong {
    place: Option<Place>,
    code: Code,
    message: String,
    help: Option<String>,
}

impl Wrong {
    fn new(place: Place, code: Code, message: String) -> Wrong {
        Wrong {
            place: Some(place),
            code,
            message,
            help: None,
        }
    }

    fn expected(what: &str, found: &Node) -> Wrong {
        let message = format!("expected {what}, found {}", found.describe());
        Wrong::new(found.place, Code::Shape, message)
    }

    fn report(self, report: &Report, otherwise: Place) {
        let place = self.place.unwrap_or(otherwise);
        match self.help {
            Some(help) => report.error_help(place, self.code, self.message, help),
            None => report.error(place, self.code, self.message),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Wrong {
        Wrong {
            place: None,
            code: Code::Shape,
            message: message.to_string(),
            help: None,
        }
    }

    fn missing_field(field: &'static str) -> Wrong {
        Wrong::custom(format!("`{field}` is missing"))
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    report: &'a Report<'a>,
    node: &'a Node,
}

impl<'a> Reader<'a> {
    /// The number or truth that a filled-in text stands for.
    fn filled(&self) -> Option<Content> {
        let Content::Text { text, filled: true } = &self.node.value else {
            return None;
        };
        let int = || text.parse().map(Content::Int).ok();
        let float = || text.parse().map(Content::Float).ok();
        let truth = || text.parse().map(Content::Bool).ok();
        int().or_else(float).or_else(truth)
    }

    fn scalar<V: Visitor<'a>>(self, what: &str, visitor: V) -> Result<V::Value, Wrong> {
        match self.filled().as_ref().unwrap_or(&self.node.value) {
            Content::Bool(b) if what.contains("true or false") => visitor.visit_bool(*b),
            Content::Int(n) if what.contains("number") => match u64::try_from(*n) {
                Ok(n) => visitor.visit_u64(n),
                Err(_) => visitor.visit_i64(*n),
            },
            Content::Float(x) if what == "a number" => visitor.visit_f64(*x),
            _ => Err(Wrong::expected(what, self.node)),
        }
        .map_err(|wrong| Wrong {
            place: wrong.place.or(Some(self.node.place)),
            ..wrong
        })
    }

    fn text<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.node.text() {
            Some(text) => visitor.visit_borrowed_str(text),
            None => Err(Wrong::expected("text", self.node)),
        }
    }

    fn list<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Content::List(items) => visitor.visit_seq(Items {
                report: self.report,
                rest: items.iter(),
            }),
            _ => Err(Wrong::expected("a list", self.node)),
        }
    }

    fn mapping<V: Visitor<'a>>(
        self,
        known: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let Content::Mapping(entries) = &self.node.value else {
            return Err(Wrong::expected("a mapping", self.node));
        };
        let mut kept = vec![];
        for (key, value) in entries {
            match (known, key.text()) {
                (Some(known), Some(name)) if !known.contains(&name) => {
                    self.unknown_key(key.place, name, known);
                }
                _ => kept.push((key, value)),
            }
        }
        visitor
            .visit_map(Entries {
                report: self.report,
                rest: kept.into_iter(),
                value: None,
            })
            .map_err(|wrong| Wrong {
                place: wrong.place.or(Some(self.node.place)),
                ..wrong
            })
    }

    fn unknown_key(&self, place: Place, name: &str, known: &[&str]) {
        self.report.error_help(
            place,
            Code::UnknownKey,
            names::unknown("key", name, known.iter().copied()),
            format!("the keys here are {}", names::listed(known.iter().copied())),
        );
    }
}

impl<'a> Deserializer<'a> for Reader<'a> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.filled().as_ref().unwrap_or(&self.node.value) {
            Content::Null | Content::Broken => visitor.visit_unit(),
            Content::Bool(b) => visitor.visit_bool(*b),
            Content::Int(n) => visitor.visit_i64(*n),
            Content::Float(x) => visitor.visit_f64(*x),
            Content::Text { .. } => self.text(visitor),
            Content::List(_) => self.list(visitor),
            Content::Mapping(_) => self.mapping(None, visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match (name, &self.node.value) {
            (AT, _) => visitor.visit_seq(Placed {
                reader: self,
                state: 0,
            }),
            (TEXT_OR, Content::Mapping(_)) => visitor.visit_newtype_struct(self),
            (TEXT_OR, Content::Text { text, .. }) => visitor.visit_borrowed_str(text),
            (TEXT_OR, _) => Err(Wrong::expected("text or a mapping", self.node)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.node.value {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.scalar("true or false", visitor)
    }

    fn deserialize_u32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.filled().as_ref().unwrap_or(&self.node.value) {
            Content::Int(n) if u32::try_from(*n).is_err() => {
                Err(Wrong::expected("a whole number from 0 up", self.node))
            }
            _ => self.scalar("a whole number", visitor),
        }
    }

    fn deserialize_u64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.scalar("a whole number", visitor)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.scalar("a number", visitor)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.text(visitor)
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.text(visitor)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.mapping(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.mapping(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let Some(text) = self.node.text() else {
            let one_of = format!("one of {}", names::listed(variants.iter().copied()));
            return Err(Wrong::expected(&one_of, self.node));
        };
        if variants.contains(&text) {
            return visitor.visit_enum(Variant(text));
        }
        Err(Wrong {
            help: Some(format!(
                "expected one of {}",
                names::listed(variants.iter().copied())
            )),
            ..Wrong::new(
                self.node.place,
                Code::Value,
                names::unknown(name, text, variants.iter().copied()),
            )
        })
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        i8 i16 i32 i64 i128 u8 u16 u128 f32 char bytes byte_buf unit unit_struct
        tuple tuple_struct ignored_any
    }
}

//! A YAML document as a tree whose every part knows its place.

use crate::text::Place;

/// A value and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Content,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// It could not be filled in, which has been reported.
    Broken,
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Text, and whether a variable was filled into it: then it may stand for a number.
    Text {
        text: String,
        filled: bool,
    },
    List(Vec<Node>),
    /// Keys are text, in the order they are written.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Content::Mapping(entries) => entries
                .iter()
                .find(|(name, _)| name.text() == Some(key))
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// Takes a key's value away.
    pub(crate) fn take(&mut self, key: &str) -> Option<Node> {
        match &mut self.value {
            Content::Mapping(entries) => {
                let at = entries
                    .iter()
                    .position(|(name, _)| name.text() == Some(key))?;
                Some(entries.remove(at).1)
            }
            _ => None,
        }
    }

    /// The text, when it is text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Content::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Content::Null | Content::Broken => "nothing".to_owned(),
            Content::Bool(b) => format!("`{b}`"),
            Content::Int(n) => format!("the number `{n}`"),
            Content::Float(x) => format!("the number `{x}`"),
            Content::Text { text, .. } => format!("the text `{text}`"),
            Content::List(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

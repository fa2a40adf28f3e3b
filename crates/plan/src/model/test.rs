//! What a `kind: test` document says: events, questions, and the answers that are expected.

use super::FeatureRef;
use crate::Place;
use serde_json::Value as Json;
use tiderace_types::{CoveredFrom, Reason, Timestamp, Value};

/// A `kind: test` document, with every name and type checked.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// Where it is named.
    pub place: Place,
    /// What it asks.
    pub asked: Asked,
    /// Since when every event there is has come.
    pub covered_from: CoveredFrom,
    /// Files with events, which come before `events`.
    pub files: Vec<EventFile>,
    /// The events, in the order of their arrival where nothing else is said.
    pub events: Vec<TestEvent>,
    /// The questions, in the order of the text.
    pub asks: Vec<Ask>,
    /// The records that are to be refused.
    pub letters: Vec<Letter>,
}

/// What a test asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All outputs of a view, by its name.
    View(String),
    /// All features of a service, by its name.
    Service(String),
}

/// A file of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFile {
    /// Where it is named.
    pub place: Place,
    /// Its path, relative to the project.
    pub path: String,
    /// The source whose records it has.
    pub source: String,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct TestEvent {
    /// Where it is written.
    pub place: Place,
    /// The source whose record it is.
    pub source: String,
    /// The partition that it comes by.
    pub partition: u32,
    /// When it comes; `None` for when it happened, or with the one before it if that came later.
    pub arrives: Option<Timestamp>,
    /// The record.
    pub record: Record,
}

/// A record as a test writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A JSON object.
    Object(serde_json::Map<String, Json>),
    /// Text as it stands.
    Text(String),
}

/// One question.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Where it is written.
    pub place: Place,
    /// When it is asked.
    pub at: Timestamp,
    /// As of when, where that is another instant.
    pub as_of: Option<Timestamp>,
    /// The entity keys.
    pub entity: Vec<Given>,
    /// The request data.
    pub request: Vec<Given>,
    /// The answers expected.
    pub expect: Vec<Expectation>,
}

/// One value that a question gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Its name.
    pub name: String,
    /// As it is written.
    pub json: Json,
    /// What that is in its type.
    pub value: Value,
}

/// What is expected of one column of the answer. What is not said is not looked at.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Where it is written.
    pub place: Place,
    /// The column's name.
    pub name: String,
    /// Its place in the answer.
    pub column: usize,
    /// The view's output that it is; `None` for an on-demand feature.
    pub feature: Option<FeatureRef>,
    /// The value.
    pub value: Option<Value>,
    /// How far a number may be off.
    pub tolerance: Option<f64>,
    /// The status, as answers in JSON name it.
    pub status: Option<&'static str>,
    /// The completeness, as answers in JSON name it: several words, in their order.
    pub completeness: Option<Vec<&'static str>>,
}

/// A record that is to be refused.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Where it is written.
    pub place: Place,
    /// Why it is refused.
    pub reason: Reason,
    /// Which one: columns that it has, or its text.
    pub event: Record,
}

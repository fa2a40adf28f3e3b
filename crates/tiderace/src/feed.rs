//! The records of a view's topic: the key names the entity, the value tells its features, as JSON, Avro
//! or Protobuf.
//!
//! Pure: what is told is an argument, and so is the number that the schema was registered under.
//! docs/output.md is the manual of the bytes.

mod avro;
mod json;
mod protobuf;

use std::sync::Arc;
use tiderace_plan::model::{Encoding, Feed, View};
use tiderace_serve::{Teller, Told};
use tiderace_source::SchemaKind;
use tiderace_types::{Generation, KeyBytes, Value, Version, decode_key};

/// How a view's records are written.
pub struct Form {
    /// What tells the values.
    pub teller: Teller,
    feed: Feed,
    /// The schema of values, where the encoding has one.
    pub schema: Option<(SchemaKind, String)>,
    /// The numbers of the fields of Protobuf's messages.
    numbers: Vec<u32>,
}

/// What a record says.
pub struct Record<'a> {
    /// The entity's keys, in declared order.
    pub keys: &'a [Value],
    /// The values.
    pub told: &'a Told,
    /// The publication.
    pub version: Version,
    /// The generation of the view.
    pub generation: Generation,
}

impl Form {
    /// The form of a view's records; `None` where they go nowhere.
    #[must_use]
    pub fn of(project: &str, view: &Arc<View>) -> Option<Form> {
        let feed = view.feed.clone()?;
        let numbers = protobuf::numbers(view);
        let schema = match feed.encoding {
            Encoding::Avro => Some((SchemaKind::Avro, avro::schema(project, view))),
            Encoding::Protobuf => {
                let text = protobuf::schema(project, view, &numbers);
                Some((SchemaKind::Protobuf, text))
            }
            _ => None,
        };
        Some(Form {
            teller: Teller::new(view),
            feed,
            schema,
            numbers,
        })
    }

    /// The view.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        self.teller.view()
    }

    /// The topic.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The registry's subject for the schema.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}-value", self.feed.topic)
    }

    /// The entity's keys out of a row's key.
    #[must_use]
    pub fn keys(&self, entity: &KeyBytes) -> Vec<Value> {
        decode_key(entity).unwrap_or_default()
    }

    /// The key of an entity's records: a JSON object of its keys in declared order, without spaces.
    #[must_use]
    pub fn key(&self, keys: &[Value]) -> Vec<u8> {
        json::key(&self.view().entity, keys)
    }

    /// The value of a record; `schema` is the number that its schema was registered under.
    #[must_use]
    pub fn value(&self, record: &Record<'_>, schema: u32) -> Vec<u8> {
        match self.feed.encoding {
            Encoding::Avro => {
                let mut out = framed(schema);
                avro::write(self, record, &mut out);
                out
            }
            Encoding::Protobuf => {
                let mut out = framed(schema);
                // The first message of the file.
                out.push(0);
                protobuf::write(self, record, &self.numbers, &mut out);
                out
            }
            _ => json::value(self, record),
        }
    }
}

/// What stands before a value in Confluent's framing.
fn framed(schema: u32) -> Vec<u8> {
    let mut out = vec![0];
    out.extend(schema.to_be_bytes());
    out
}

//! Values that group, and the order keys of events: owned, so that partials outlive rows.

use crate::column::Cell;
use crate::events::{Events, Id};
use std::cmp::Ordering;
use tiderace_types::{DataType, encode_key_value};

/// A value that groups: an owned [`Cell`] in key order.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// From an integer form.
    Int(i64),
    /// From a double; −0 and 0 are two keys.
    Float(f64),
    /// From a decimal.
    Decimal(i128),
    /// From text.
    Bytes(Box<[u8]>),
}

impl Key {
    /// Copies a cell; a null is no key.
    #[must_use]
    pub fn new(cell: Cell<'_>) -> Option<Key> {
        Some(match cell {
            Cell::Null => return None,
            Cell::Int(n) => Key::Int(n),
            Cell::Float(x) => Key::Float(x),
            Cell::Decimal(n) => Key::Decimal(n),
            Cell::Bytes(bytes) => Key::Bytes(bytes.into()),
        })
    }

    /// The cell it came from.
    #[must_use]
    pub fn cell(&self) -> Cell<'_> {
        match self {
            Key::Int(n) => Cell::Int(*n),
            Key::Float(x) => Cell::Float(*x),
            Key::Decimal(n) => Cell::Decimal(*n),
            Key::Bytes(bytes) => Cell::Bytes(bytes),
        }
    }

    pub(crate) fn order(&self, other: &Key) -> Ordering {
        self.cell().key_order(&other.cell())
    }
}

/// A value with the place of its event in the order of events.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The event's time in microseconds.
    pub time: i64,
    /// What orders it among events of that time.
    pub tie: Tie,
    /// The value.
    pub key: Key,
}

/// What orders events of one time: the event id; without one, the view's inputs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tie {
    /// An integer event id.
    Int(i64),
    /// Another event id, or the inputs, in key encoding.
    Bytes(Box<[u8]>),
}

impl Tie {
    /// The tie key of event `index`.
    pub(crate) fn of(events: &Events, inputs: &[DataType], index: usize) -> Tie {
        match events.id(index) {
            Id::Int(id) => Tie::Int(id),
            Id::Bytes(id) => Tie::Bytes(id.into()),
            Id::Position { .. } => {
                let mut bytes = Vec::new();
                for (input, data_type) in inputs.iter().enumerate() {
                    // An input is neither a list nor a map, so it is always a key.
                    let _ = encode_key_value(
                        &events.input(input).cell(index).to_value(data_type),
                        &mut bytes,
                    );
                }
                Tie::Bytes(bytes.into_boxed_slice())
            }
        }
    }
}

impl Placed {
    /// The order of the events. Events that are equal in it have equal inputs, so it decides every value.
    pub(crate) fn order(&self, other: &Placed) -> Ordering {
        (self.time.cmp(&other.time)).then_with(|| self.tie.cmp(&other.tie))
    }
}

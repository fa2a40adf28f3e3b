//! Values that group, owned, so that partials outlive rows.

use crate::column::Cell;
use std::cmp::Ordering;

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

    /// The order of the key encoding.
    pub(crate) fn order(&self, other: &Key) -> Ordering {
        self.cell().key_order(&other.cell())
    }
}

//! What is read and what comes of it: the instant and its window; the value and its bound.

use tiderace_types::{Timestamp, Value};

/// The instant that is asked about, and the window there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The instant.
    pub as_of: Timestamp,
    /// Events at or before this are not in the window; [`Timestamp::MIN`] where it has no left edge.
    pub after: Timestamp,
    /// Events after this are not in the window.
    pub upto: Timestamp,
}

/// A value, and how far from the exact one it may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// Set iff the value comes from past a cap.
    pub bound: Option<Bound>,
}

impl From<Value> for Answer {
    /// An answer that is exact.
    fn from(value: Value) -> Answer {
        Answer { value, bound: None }
    }
}

/// How far an approximate value may be from the exact one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// By `error × |exact value|` at most, but for a chance of 1 − `confidence`.
    Relative {
        /// The error, as a share of the exact value.
        error: f64,
        /// How sure it is; 1 is certain.
        confidence: f64,
    },
    /// By `error` at most, certainly. In a map: each value; and a key that is missing has at most
    /// `error` itself.
    Absolute {
        /// The error.
        error: f64,
    },
    /// A map that has only its `keys` least keys; what it has is exact.
    Keys {
        /// How many.
        keys: u32,
    },
}

//! What is told of one row without being asked: all values of its view, judged as answers are.
//!
//! For whoever owns rows and sends their values on. The same code finishes and judges them, so what is
//! told as of an instant is what a lookup as of that instant answers.

use crate::completeness::{At, STALE};
use crate::lookup::{OfView, answer_view};
use crate::prepared::ViewRead;
use crate::proto::Status;
use crate::{convert, json};
use bytes::Bytes;
use std::sync::Arc;
use tiderace_aggregate::Bound;
use tiderace_plan::model::View;
use tiderace_types::{CoveredFrom, Duration, Timestamp, Value, ViewMarker};

/// Tells the values of one view.
#[derive(Debug)]
pub struct Teller {
    read: ViewRead,
}

/// What is told of one row.
#[derive(Clone, Debug)]
pub struct Told {
    /// As of when.
    pub as_of: Timestamp,
    /// The values, in the order of the view's outputs.
    pub values: Vec<ToldValue>,
    /// The newest event at that instant.
    pub newest: Option<Timestamp>,
    /// The first event after it.
    pub ahead: Option<Timestamp>,
    /// How long ago the row was last known to hold everything.
    pub lag: Option<Duration>,
    /// Since when rows hold everything, where that is not from the beginning.
    pub warming_since: Option<Timestamp>,
}

/// One value with all that is said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToldValue {
    /// The value; null wherever the status is neither PRESENT nor NOT_FOUND.
    pub value: Value,
    /// What became of it.
    pub status: Status,
    /// Bits of [`crate::completeness`].
    pub completeness: u32,
    /// How far it may be from the exact one.
    pub bound: Option<Bound>,
    /// How far its window's edges are off.
    pub off: Duration,
    /// What is the matter with it.
    pub message: Option<String>,
    /// When it may be another with no further event; `None` for never.
    pub until: Option<Timestamp>,
}

impl Teller {
    /// A teller of all outputs of `view`.
    #[must_use]
    pub fn new(view: &Arc<View>) -> Teller {
        Teller {
            read: ViewRead::whole(view),
        }
    }

    /// The view.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.read.view
    }

    /// The definition, in hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.read.fingerprint
    }

    /// Tells what the bytes of a row say as of an instant; `said` is what its owner says of the view.
    #[must_use]
    pub fn tell(&self, said: &ViewMarker, row: Option<&Bytes>, as_of: Timestamp) -> Told {
        let at = At { as_of, now: as_of };
        let mut of_view = answer_view(&self.read, Some(said), row, at, None);
        of_view.find_ends(&self.read, as_of);
        let (newest, lag) = (of_view.standing.newest(), of_view.standing.lag());
        let ahead = of_view.ahead(as_of);
        let values = of_view.judged.into_iter().map(|judged| ToldValue {
            value: judged.value,
            status: judged.status,
            completeness: judged.flags,
            bound: judged.bound,
            off: judged.off,
            message: judged.message,
            until: judged.until,
        });
        Told {
            as_of,
            values: values.collect(),
            newest,
            ahead,
            lag,
            warming_since: match said.covered_from {
                CoveredFrom::Instant(from) => Some(from),
                CoveredFrom::Beginning | CoveredFrom::Nothing => None,
            },
        }
    }

    /// When a row's values change next after `as_of` with no further event.
    #[must_use]
    pub fn changes_after(
        &self,
        said: &ViewMarker,
        row: &Bytes,
        as_of: Timestamp,
    ) -> Option<Timestamp> {
        let at = At { as_of, now: as_of };
        let mut of_view: OfView<'_> = answer_view(&self.read, Some(said), Some(row), at, None);
        of_view.find_ends(&self.read, as_of);
        of_view
            .judged
            .iter()
            .filter_map(|judged| judged.until)
            .min()
    }
}

impl Told {
    /// The first instant at which any of the values may be another with no further event.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.values.iter().filter_map(|value| value.until).min()
    }

    /// Tells whether any value is further behind its source than that allows.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.values
            .iter()
            .any(|value| value.completeness & STALE != 0)
    }

    /// Tells whether the entity surely has no event within reach.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let nothing =
            |value: &ToldValue| value.status == Status::NotFound && value.completeness == 0;
        self.values.iter().all(nothing)
    }
}

/// The name of a status, as answers in JSON have it.
#[must_use]
pub fn status_name(status: Status) -> &'static str {
    json::status_name(status.into())
}

/// The names of completeness bits, as answers in JSON have them.
#[must_use]
pub fn completeness_name(bits: u32) -> String {
    json::completeness_name(bits)
}

/// A value as answers in JSON have it.
#[must_use]
pub fn value_json(value: Value) -> serde_json::Value {
    convert::to_json(&convert::to_proto(value))
}

/// A value as people read it in answers.
#[must_use]
pub fn value_text(value: Value) -> String {
    crate::render::value(&convert::to_proto(value))
}

/// An answer's value as answers in JSON have it.
#[must_use]
pub fn answer_json(value: &crate::proto::Value) -> serde_json::Value {
    convert::to_json(value)
}

//! An answer as Feast has it, column by column: a value, a status and a time of each.
//!
//! | ours | Feast's |
//! |---|---|
//! | PRESENT, however complete | PRESENT |
//! | NULL; an empty list or map, which Feast's clients cannot read | NULL_VALUE |
//! | NOT_FOUND | NOT_FOUND and null, whatever the answer over nothing is: Feast's clients hide the status |
//! | OUTSIDE_MAX_AGE | OUTSIDE_MAX_AGE and null |
//! | ERROR; a list with a null in it | INVALID and null |
//! | UNAVAILABLE, OUTSIDE_HISTORY | the call fails: there is no status for what is not known |

use super::serving::FieldStatus;
use super::shape::{Half, Part, Shape, Told};
use crate::lookup::{self, Judged, Looked};
use crate::proto::Status;
use crate::{Error, Kind, json};
use std::sync::Arc;
use tiderace_types::{Timestamp, Value};
use tokio::sync::SemaphorePermit;

/// An answer, not yet in either door's form.
pub(crate) struct Answer<'a> {
    /// The call is in flight.
    _permit: SemaphorePermit<'a>,
    shape: Arc<Shape>,
    pub(crate) told: Told,
    /// The entity keys as they came.
    keys: Vec<Vec<Value>>,
    looked: Looked,
}

impl<'a> Answer<'a> {
    /// Puts an answer together.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] where a value is not known.
    pub(crate) fn new(
        permit: SemaphorePermit<'a>,
        shape: Arc<Shape>,
        told: Told,
        keys: Vec<Vec<Value>>,
        looked: Looked,
    ) -> Result<Answer<'a>, Error> {
        let mut values = looked.rows.iter().flat_map(|row| &row.values);
        let unknown = |status| matches!(status, Status::Unavailable | Status::OutsideHistory);
        if let Some(judged) = values.find(|judged| unknown(judged.status)) {
            let message = judged.message.clone();
            return Err(Error::new(
                Kind::Unavailable,
                message.unwrap_or_else(|| "a value is not known".to_owned()),
            ));
        }
        Ok(Answer {
            _permit: permit,
            shape,
            told,
            keys,
            looked,
        })
    }

    /// The columns, in the order of their names.
    pub(crate) fn columns(&self) -> impl Iterator<Item = Column<'_>> {
        let parts = self.shape.parts.iter();
        let keys = self.keys.iter().map(|values| Column::Key(values));
        keys.chain(parts.map(|part| Column::Part(*part, &self.looked.rows)))
    }

    /// The instant that the answer is for.
    pub(crate) fn as_of(&self) -> String {
        self.looked.as_of.to_string()
    }

    /// How complete the least complete of the values is, which Feast has no place for.
    pub(crate) fn completeness(&self) -> String {
        let values = self.looked.rows.iter().flat_map(|row| &row.values);
        json::completeness_name(values.fold(0, |flags, judged| flags | judged.flags))
    }
}

/// Lets others run now and then while an answer is written.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    values: usize,
}

impl Pace {
    /// Counts what has been written.
    pub(crate) async fn wrote(&mut self, values: usize) {
        self.values += values;
        if self.values >= TURN {
            self.values = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// How many values are written before others get their turn on the thread.
const TURN: usize = 512;

/// One column.
#[derive(Clone, Copy)]
pub(crate) enum Column<'a> {
    /// An entity key.
    Key(&'a [Value]),
    /// A feature, or one half of it.
    Part(Part, &'a [lookup::Answer]),
}

/// One value with all that Feast says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell<'a> {
    pub(crate) value: Said<'a>,
    pub(crate) status: FieldStatus,
    /// The newest event.
    pub(crate) newest: Option<Timestamp>,
}

/// What is said of a value. Nothing in it is null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Said<'a> {
    Null,
    One(&'a Value),
    Keys(&'a [(Value, Value)]),
    Values(&'a [(Value, Value)]),
}

impl<'a> Column<'a> {
    pub(crate) fn rows(self) -> usize {
        match self {
            Column::Key(values) => values.len(),
            Column::Part(_, rows) => rows.len(),
        }
    }

    pub(crate) fn cell(self, row: usize) -> Cell<'a> {
        match self {
            Column::Key(values) => Cell {
                value: Said::One(&values[row]),
                status: FieldStatus::Present,
                newest: None,
            },
            Column::Part(part, rows) => cell(&rows[row].values[part.place], part.half),
        }
    }
}

fn cell(judged: &Judged, half: Half) -> Cell<'_> {
    let (status, value) = match judged.status {
        Status::Present => say(&judged.value, half),
        Status::Null => (FieldStatus::NullValue, Said::Null),
        Status::NotFound => (FieldStatus::NotFound, Said::Null),
        Status::OutsideMaxAge => (FieldStatus::OutsideMaxAge, Said::Null),
        // Of the last three there is none in an answer.
        Status::Error | Status::Unavailable | Status::OutsideHistory | Status::Unspecified => {
            (FieldStatus::Invalid, Said::Null)
        }
    };
    Cell {
        value,
        status,
        newest: judged.newest,
    }
}

fn say(value: &Value, half: Half) -> (FieldStatus, Said<'_>) {
    let plain = |value: &Value| !matches!(value, Value::Null | Value::List(_) | Value::Map(_));
    let (empty, plainly, said) = match (value, half) {
        (Value::Map(entries), Half::Keys) => (
            entries.is_empty(),
            entries.iter().all(|(key, _)| plain(key)),
            Said::Keys(entries),
        ),
        (Value::Map(entries), _) => (
            entries.is_empty(),
            entries.iter().all(|(_, value)| plain(value)),
            Said::Values(entries),
        ),
        (Value::List(items), _) => (items.is_empty(), items.iter().all(plain), Said::One(value)),
        _ => (value.is_null(), true, Said::One(value)),
    };
    match (empty, plainly) {
        (true, _) => (FieldStatus::NullValue, Said::Null),
        (_, false) => (FieldStatus::Invalid, Said::Null),
        _ => (FieldStatus::Present, said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_like() {
        let check = |status, value: Value, half, expect, said| {
            let judged = Judged {
                value: value.clone(),
                status,
                ..Judged::default()
            };
            let found = cell(&judged, half);
            assert_eq!(
                (found.status, found.value),
                (expect, said),
                "{status:?} {value:?}"
            );
        };
        use FieldStatus::{Invalid, NotFound, NullValue, OutsideMaxAge, Present};
        let whole = Half::Whole;
        let one = Value::Int(1);
        check(
            Status::Present,
            one.clone(),
            whole,
            Present,
            Said::One(&one),
        );
        check(Status::Null, Value::Null, whole, NullValue, Said::Null);
        check(Status::NotFound, Value::Int(0), whole, NotFound, Said::Null);
        check(
            Status::OutsideMaxAge,
            Value::Null,
            whole,
            OutsideMaxAge,
            Said::Null,
        );
        check(Status::Error, Value::Null, whole, Invalid, Said::Null);
        let list = Value::List(vec![Value::Int(1)]);
        check(
            Status::Present,
            list.clone(),
            whole,
            Present,
            Said::One(&list),
        );
        check(
            Status::Present,
            Value::List(vec![]),
            whole,
            NullValue,
            Said::Null,
        );
        let holed = Value::List(vec![Value::Int(1), Value::Null]);
        check(Status::Present, holed, whole, Invalid, Said::Null);
        let entries = [(Value::string("a"), Value::Int(1))];
        let map = Value::Map(entries.to_vec());
        check(
            Status::Present,
            map.clone(),
            Half::Keys,
            Present,
            Said::Keys(&entries),
        );
        check(
            Status::Present,
            map,
            Half::Values,
            Present,
            Said::Values(&entries),
        );
        check(
            Status::Present,
            Value::Map(vec![]),
            Half::Keys,
            NullValue,
            Said::Null,
        );
    }
}

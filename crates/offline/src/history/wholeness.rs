//! How complete answers are, as serving would say: WARMING where they reach back before the past begins and so may
//! lack events, APPROXIMATE past a cap.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use std::sync::Arc;
use tiderace_aggregate::Window;
use tiderace_plan::model::Source;
use tiderace_types::{CoveredFrom, Timestamp};

/// What the column of a feature's completeness is called.
pub(super) fn name_of(feature: &str) -> String {
    format!("{feature}__completeness")
}

/// Since when the past of a source is whole, of which `earliest` is the first event in its table.
pub(super) fn whole_from(source: &Source, earliest: Option<Timestamp>) -> CoveredFrom {
    match (source.complete_since, earliest) {
        // What the table of a batch view holds is all there is.
        _ if source.table().is_some() => CoveredFrom::Beginning,
        (Some(declared), _) => declared,
        (None, Some(earliest)) => CoveredFrom::Instant(earliest),
        (None, None) => CoveredFrom::Nothing,
    }
}

/// Which of some instants a feature lacks events at, or may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Warming {
    #[default]
    None,
    All,
    Some(Vec<bool>),
}

impl Warming {
    /// Of a window, at instants of which these are the first and the last.
    pub(super) fn of(
        window: Window,
        whole: CoveredFrom,
        instants: &[Timestamp],
        (first, last): (Timestamp, Timestamp),
    ) -> Warming {
        let lacks = |as_of: Timestamp| !whole.covers(window.left_edge(as_of));
        // Windows begin no earlier at a later instant.
        match (lacks(first), lacks(last)) {
            (false, _) => Warming::None,
            (true, true) => Warming::All,
            (true, false) => Warming::Some(instants.iter().map(|as_of| lacks(*as_of)).collect()),
        }
    }

    /// Of what is made of both.
    pub(super) fn or(self, other: &Warming) -> Warming {
        match (self, other) {
            (Warming::All, _) | (_, Warming::All) => Warming::All,
            (Warming::None, other) => other.clone(),
            (own, Warming::None) => own,
            (Warming::Some(own), Warming::Some(other)) => {
                Warming::Some(own.iter().zip(other).map(|(a, b)| *a || *b).collect())
            }
        }
    }

    /// At how many of so many instants.
    pub(super) fn count(&self, instants: usize) -> u64 {
        match self {
            Warming::None => 0,
            Warming::All => instants as u64,
            Warming::Some(each) => each.iter().filter(|warming| **warming).count() as u64,
        }
    }

    /// As a column of so many rows, of which some are approximate.
    pub(super) fn column(&self, rows: usize, approximate: &Approximate) -> ArrayRef {
        let at = |row: usize| match self {
            Warming::None => false,
            Warming::All => true,
            Warming::Some(each) => each[row],
        };
        let name = |row| match (at(row), approximate.at(row)) {
            (false, false) => "COMPLETE",
            (true, false) => "WARMING",
            (false, true) => "APPROXIMATE",
            (true, true) => "WARMING|APPROXIMATE",
        };
        Arc::new(StringArray::from_iter_values((0..rows).map(name)))
    }
}

/// Which answers of a feature are approximate: those that any of some columns marks.
#[derive(Clone, Debug, Default)]
pub(super) struct Approximate(Vec<BooleanArray>);

impl Approximate {
    /// Those that a column of marks says, if there is one.
    pub(super) fn of(marks: Option<&ArrayRef>) -> Approximate {
        Approximate(
            marks
                .map(|marks| marks.as_boolean().clone())
                .into_iter()
                .collect(),
        )
    }

    /// Of what is made of both.
    pub(super) fn or(mut self, other: &Approximate) -> Approximate {
        self.0.extend(other.0.iter().cloned());
        self
    }

    fn at(&self, row: usize) -> bool {
        self.0
            .iter()
            .any(|marks| marks.is_valid(row) && marks.value(row))
    }
}

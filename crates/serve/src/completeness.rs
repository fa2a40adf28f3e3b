//! How far one value can be believed: a pure function of what the store said.
//!
//! The owner of a shard publishes rows, and after them a marker that says how far the rows go
//! and since when they are whole. A reader at `now` answering for instant T combines the two:
//!
//! - without the marker of exactly this definition nothing is known: [`Standing::Unavailable`];
//! - what has been let go, or may have expired, is never guessed at: [`Standing::OutsideHistory`];
//! - a window that begins before the rows do is flagged [`WARMING`], one answered from rows
//!   further behind than their source allows [`STALE`]. Flags never hide the value.
//!
//! A missing row and a row with nothing in reach stand alike, so that a store's own
//! expiry changes no answer.

use tiderace_aggregate::{Kept, Window};
use tiderace_plan::model::View;
use tiderace_types::{Duration, Timestamp, ViewMarker};

/// Every event there is up to T is in the value.
pub const COMPLETE: u32 = 0;
/// The window begins before the view's rows do.
pub const WARMING: u32 = 1;
/// The rows are further behind their source than it allows.
pub const STALE: u32 = 2;
/// The value is approximate within its declared bound.
pub const APPROXIMATE: u32 = 4;

/// What a view's definition says about believing its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The definition that rows must have been made by.
    pub fingerprint: u64,
    /// What is kept behind the shard clock.
    pub kept: Kept,
    /// How far back any window sees; `None` with a lifetime or a last-N window.
    pub reach: Option<Duration>,
    /// Past this age of the newest event, values are withheld.
    pub max_age: Option<Duration>,
    /// Past this lag, values are [`STALE`].
    pub max_lag: Duration,
}

impl Terms {
    /// Reads them off a view.
    #[must_use]
    pub fn of(view: &View) -> Terms {
        let outputs = view.spec.outputs.iter();
        let horizons: Option<Vec<_>> = outputs.map(|output| output.window.horizon()).collect();
        let reach = horizons.map(|all| all.into_iter().max().unwrap_or(Duration::ZERO));
        Terms {
            fingerprint: view.spec.fingerprint,
            kept: view.spec.kept,
            reach,
            max_age: view.max_age,
            max_lag: view.source.max_lag,
        }
    }

    /// When the entity itself is known no more, or too old, by its newest event at `as_of`; or when it
    /// may be known again, by its first event after that.
    #[must_use]
    pub fn ends(
        &self,
        newest: Option<Timestamp>,
        ahead: Option<Timestamp>,
        as_of: Timestamp,
    ) -> Option<Timestamp> {
        let unknown = newest.zip(self.reach).map(|(at, reach)| at.plus(reach));
        let too_old = newest.zip(self.max_age);
        let too_old = too_old.map(|(at, max_age)| at.plus(max_age).plus(Duration(1)));
        let ends = [unknown, too_old, ahead].into_iter().flatten();
        ends.filter(|at| *at > as_of && *at < Timestamp::MAX).min()
    }
}

/// The two instants of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The instant that the answer is for.
    pub as_of: Timestamp,
    /// The wall clock of the reader.
    pub now: Timestamp,
}

/// What the store holds under the row's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// No row.
    Absent,
    /// A row.
    Row {
        /// Events at or before it may be missing; [`Timestamp::MIN`] when none is.
        kept_from: Timestamp,
        /// The newest event at T.
        newest: Option<Timestamp>,
    },
    /// A row whose events about T are held merged: which one is the newest at T is not known.
    Within {
        /// As of [`Held::Row`].
        kept_from: Timestamp,
        /// An event at or before T.
        since: Timestamp,
    },
}

/// How a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The entity is known: the value is what it is.
    Known,
    /// No event within reach: the answer over nothing.
    NotFound,
    /// The newest event is older than the view's `max_age`.
    OutsideMaxAge,
    /// T is further back than can be answered exactly.
    OutsideHistory,
    /// Nothing is known of the view.
    Unavailable,
}

/// How one row of one view stands, before looking at any window.
#[derive(Clone, Copy, Debug)]
pub struct RowStanding<'a> {
    terms: &'a Terms,
    said: Option<&'a ViewMarker>,
    at: At,
    held: Held,
    entity: Standing,
    exact: bool,
}

/// Judges one row of one view by what its shard's marker said of the view.
#[must_use]
pub fn judge<'a>(
    terms: &'a Terms,
    said: Option<&'a ViewMarker>,
    at: At,
    held: Held,
) -> RowStanding<'a> {
    let said = said.filter(|said| said.fingerprint == terms.fingerprint);
    RowStanding {
        terms,
        said,
        at,
        held,
        entity: entity_standing(terms, at.as_of, held),
        exact: said.is_some_and(|said| row_is_exact(terms, said, at, held)),
    }
}

impl RowStanding<'_> {
    /// Tells how a value over `window` stands, and its completeness bits.
    ///
    /// `needs_after` is asked only where the events decide how far back the window needs all of
    /// them: see [`Window::needs_after`].
    #[must_use]
    pub fn value(
        &self,
        window: Window,
        needs_after: impl FnOnce() -> Timestamp,
    ) -> (Standing, u32) {
        let Some(said) = self.said else {
            return (Standing::Unavailable, COMPLETE);
        };
        let flags = self.warming(said, window, needs_after) | self.stale(said);
        if !self.exact || !self.window_is_kept(window) {
            return (Standing::OutsideHistory, flags);
        }
        (self.entity, flags)
    }

    /// Is no surer than `other`.
    pub(crate) fn rests_on(&mut self, other: &RowStanding<'_>) {
        self.exact &= other.exact;
    }

    /// How long ago the rows were last known to hold everything; `None` when unavailable, and
    /// when they never were.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        let said = self.said?;
        (said.caught_up_at > Timestamp::MIN)
            .then(|| self.at.now.since(said.caught_up_at).max(Duration::ZERO))
    }

    /// The newest event at T, where it is known.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        match self.held {
            Held::Absent | Held::Within { .. } => None,
            Held::Row { newest, .. } => newest,
        }
    }

    fn stale(&self, said: &ViewMarker) -> u32 {
        if self.at.now.since(said.caught_up_at) > self.terms.max_lag {
            STALE
        } else {
            COMPLETE
        }
    }

    fn warming(
        &self,
        said: &ViewMarker,
        window: Window,
        needs_after: impl FnOnce() -> Timestamp,
    ) -> u32 {
        let covered = said.covered_from;
        let by_events = window.bounds(self.at.as_of).is_none();
        if covered.covers(window.left_edge(self.at.as_of))
            || by_events && covered.covers(needs_after())
        {
            COMPLETE
        } else {
            WARMING
        }
    }

    /// Tells whether what the row has let go is all outside the window. What a lifetime or a
    /// last-N window needs of it is folded or remembered, so these need only that nothing later
    /// than T was let go.
    fn window_is_kept(&self, window: Window) -> bool {
        let (Held::Row { kept_from, .. } | Held::Within { kept_from, .. }) = self.held else {
            return true;
        };
        self.terms.kept == Kept::All || window.holds(self.at.as_of, kept_from)
    }
}

/// Tells whether T is within what every row is kept for, by the clocks alone, so that the
/// answer does not hang on whether trimming or expiry happened to run.
fn row_is_exact(terms: &Terms, view: &ViewMarker, at: At, held: Held) -> bool {
    let Kept::Span {
        history, lateness, ..
    } = terms.kept
    else {
        return true;
    };
    let by_clock = at.as_of >= view.clock.minus(lateness).minus(history);
    // With a lifetime or a last-N window a view's rows never expire.
    let may_have_expired = held == Held::Absent && terms.reach.is_some();
    let by_expiry = !may_have_expired || at.as_of >= view.surely_kept(at.now).minus(history);
    by_clock && by_expiry
}

fn entity_standing(terms: &Terms, as_of: Timestamp, held: Held) -> Standing {
    let newest = match held {
        Held::Absent => return Standing::NotFound,
        // Nothing is said of what is not known: there may be an event within reach.
        Held::Within { since, .. } => {
            return match terms.max_age {
                Some(max_age) if since < as_of.minus(max_age) => Standing::OutsideHistory,
                _ => Standing::Known,
            };
        }
        Held::Row { newest, .. } => newest,
    };
    let within = |newest: Timestamp| match terms.reach {
        Some(reach) => newest > as_of.minus(reach),
        None => true,
    };
    match newest {
        Some(newest) if within(newest) => match terms.max_age {
            Some(max_age) if newest < as_of.minus(max_age) => Standing::OutsideMaxAge,
            _ => Standing::Known,
        },
        _ => Standing::NotFound,
    }
}

#[cfg(test)]
#[path = "completeness_tests.rs"]
mod tests;

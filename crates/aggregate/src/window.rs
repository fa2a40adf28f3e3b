//! Windows: which events an output is over, for an answer at T.
//!
//! Every window is taken at `T − delay`; later events never count. A *passing* event is one
//! that belongs to the view and passes the feature's own `where`: to a feature no other exists,
//! so sessions and last-N windows are made of passing events.
//!
//! # Laws
//! - [`Window::bounds`] is there for windows that time alone decides. Neither edge falls as T rises.
//! - [`Window::select`] is a function of the times and of which events pass, for every window.
//! - No event at or before [`Window::left_edge`] matters to the answer.
//! - Near the ends of time edges are held at [`Timestamp::MIN`] and [`Timestamp::MAX`], where no
//!   event is: nothing overflows, and nothing is counted that should not be.

use crate::calendar::{Unit, floor};
use std::fmt;
use std::ops::Range;
use tiderace_types::{Duration, Timestamp};

/// The least span there is.
const MICRO: Duration = Duration(1);

/// Which events an output is over, for an answer at T.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// How far back.
    pub span: Span,
    /// The window is taken at `T - delay`.
    pub delay: Duration,
}

/// How far back a window goes from where it is taken, R.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// `R - size < t <= R`.
    Sliding(Duration),
    /// As sliding, but the left edge only stands at multiples of `hop`:
    /// `floor(R - size, hop) < t <= R`. So it is up to a hop longer, never shorter.
    Hopping {
        /// How far back at least.
        size: Duration,
        /// The left edge's step, from 1970-01-01T00:00:00Z.
        hop: Duration,
    },
    /// One unit of aligned ones: `start <= t`.
    Tumbling {
        /// How long, and aligned to what.
        unit: Unit,
        /// Which one.
        part: Part,
    },
    /// What happened together until R: the last passing event, if it is no more than `gap`
    /// before R, and before it each one that is no more than `gap` before the next and no
    /// more than `max_length` before the last. So a session that would grow longer lets go of
    /// its oldest events: it never begins anew at a point that depends on how it began.
    Session {
        /// The longest silence within.
        gap: Duration,
        /// From the first event to the last at most; [`Duration::MAX`] for no bound.
        max_length: Duration,
    },
    /// Every event up to R.
    Lifetime,
    /// The newest so many passing events up to R, by (time, id, inputs). An event whose input is
    /// null is one of them.
    LastN(u32),
}

/// Which of the aligned units a tumbling window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The one that R lies in, up to R.
    Current,
    /// The one before it: the last that is complete.
    Last,
}

/// The edges of a window that time alone decides: `after < t <= upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The instant before the first that counts; [`Timestamp::MIN`] where all do.
    pub after: Timestamp,
    /// The last instant that counts.
    pub upto: Timestamp,
}

/// How an edge of a window goes as the instant that is asked about rises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edge {
    /// It may come to be anywhere from the first of these to the last.
    Moves(Timestamp, Timestamp),
    /// It only ever is at one of these, which rise.
    Stands(Vec<Timestamp>),
}

/// An edge that comes to stand at more places than these is said to move.
const PLACES: usize = 64;

/// The filter of a feature over a row's events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passing<'a> {
    /// The events' filter bits.
    pub bits: &'a [u64],
    /// The bit that an event needs; with none, all pass.
    pub filter: Option<usize>,
}

impl Passing<'_> {
    /// Tells whether event `index` passes.
    #[inline]
    #[must_use]
    pub fn passes(&self, index: usize) -> bool {
        self.filter
            .is_none_or(|bit| self.bits[index] >> bit & 1 == 1)
    }

    /// Where the newest `count` passing events before index `end` begin; `None` where there are fewer.
    #[must_use]
    pub fn newest(&self, count: usize, end: usize) -> Option<usize> {
        match (self.filter, count.checked_sub(1)) {
            (_, None) => Some(end),
            (None, _) => end.checked_sub(count),
            (Some(_), Some(others)) => (0..end).rev().filter(|i| self.passes(*i)).nth(others),
        }
    }
}

impl Window {
    /// What a row must keep behind the instants that are asked about. Last-N windows need
    /// events of any age beside: see [`crate::RowSpec::remembered`].
    #[must_use]
    pub fn reach(self) -> Duration {
        let reach = match self.span {
            Span::Sliding(size) => size,
            Span::Hopping { size, hop } => size.plus(hop),
            Span::Tumbling { unit, part } => match part {
                Part::Current => unit.longest(),
                Part::Last => unit.longest().plus(unit.longest()),
            },
            Span::Session { gap, max_length } => gap.plus(max_length).plus(MICRO),
            // What is let go for good is later than no event that may still come.
            Span::Lifetime | Span::LastN(_) => MICRO,
        };
        reach.plus(self.delay)
    }

    /// How far behind T an event can lie and still count; `None` where any event can.
    #[must_use]
    pub fn horizon(self) -> Option<Duration> {
        match self.span {
            Span::Lifetime | Span::LastN(_) => None,
            _ => Some(self.reach()),
        }
    }

    /// The edges at `as_of`; `None` where the events decide: sessions and last-N windows.
    #[must_use]
    pub fn bounds(self, as_of: Timestamp) -> Option<Bounds> {
        let upto = as_of.minus(self.delay);
        let after = match self.span {
            Span::Sliding(size) => upto.minus(size),
            Span::Hopping { size, hop } => Timestamp(floor(upto.minus(size).0, hop.0)),
            Span::Tumbling { unit, part } => {
                let before = unit.start(upto).minus(MICRO);
                match part {
                    Part::Current => before,
                    Part::Last => {
                        return Some(Bounds {
                            after: unit.start(before).minus(MICRO),
                            upto: before,
                        });
                    }
                }
            }
            Span::Lifetime => Timestamp::MIN,
            Span::Session { .. } | Span::LastN(_) => return None,
        };
        Some(Bounds { after, upto })
    }

    /// How the left edge and the right one go from `as_of` to `later`; `None` where events decide.
    #[must_use]
    pub fn edges(self, as_of: Timestamp, later: Timestamp) -> Option<[Edge; 2]> {
        let (from, to) = (self.bounds(as_of)?, self.bounds(later)?);
        let left = (from.after, to.after);
        let right = (from.upto, to.upto);
        let moves = |(from, to)| Edge::Moves(from, to);
        Some(match self.span {
            Span::Hopping { hop, .. } => {
                let hops = |edge: Timestamp| Timestamp(floor(edge.minus(MICRO).0, hop.0));
                [stands(left, hops), moves(right)]
            }
            Span::Tumbling { unit, part } => {
                let units = |edge: Timestamp| unit.start(edge).minus(MICRO);
                match part {
                    Part::Current => [stands(left, units), moves(right)],
                    Part::Last => [stands(left, units), stands(right, units)],
                }
            }
            _ => [moves(left), moves(right)],
        })
    }

    /// The instant after which all events lie that decide the answer at `as_of`, whatever they are.
    #[must_use]
    pub fn left_edge(self, as_of: Timestamp) -> Timestamp {
        match (self.bounds(as_of), self.span) {
            (Some(bounds), _) => bounds.after,
            (None, Span::Session { gap, max_length }) => {
                let last = as_of.minus(self.delay).minus(gap);
                oldest(last, max_length).minus(MICRO)
            }
            (None, _) => Timestamp::MIN,
        }
    }

    /// As [`Window::left_edge`], knowing the events: the instant after which these must be all
    /// there are for the answer to be right.
    #[must_use]
    pub fn needs_after(self, as_of: Timestamp, times: &[i64], passing: Passing<'_>) -> Timestamp {
        let upto = as_of.minus(self.delay);
        match self.span {
            Span::LastN(n) => {
                let end = times.partition_point(|t| *t <= upto.0);
                let first = passing.newest(n as usize, end);
                first.map_or(Timestamp::MIN, |i| Timestamp(times[i]).minus(MICRO))
            }
            Span::Session { gap, max_length } => {
                let session = &times[self.select(as_of, times, passing)];
                let after = match (session.first(), session.last()) {
                    // What comes before is too far from the first, or too old beside the last.
                    (Some(first), Some(last)) => {
                        let near = Timestamp(*first).minus(gap);
                        near.max(oldest(Timestamp(*last), max_length))
                    }
                    _ => upto.minus(gap),
                };
                after.minus(MICRO)
            }
            _ => self.left_edge(as_of),
        }
    }

    /// Tells whether the answer at `as_of` is exact from a row that may have let go of events at
    /// or before `kept_from`, but for what is folded and remembered of them.
    #[must_use]
    pub fn holds(self, as_of: Timestamp, kept_from: Timestamp) -> bool {
        match self.span {
            Span::Lifetime | Span::LastN(_) => as_of.minus(self.delay) >= kept_from,
            _ => self.left_edge(as_of) >= kept_from,
        }
    }

    /// The events in the window at `as_of`, as a range of indices into `times`, which never
    /// fall. Those in it that do not pass do not count.
    #[must_use]
    pub fn select(self, as_of: Timestamp, times: &[i64], passing: Passing<'_>) -> Range<usize> {
        if let Some(Bounds { after, upto }) = self.bounds(as_of) {
            let end = times.partition_point(|t| *t <= upto.0);
            let start = times[..end].partition_point(|t| *t <= after.0);
            return start..end;
        }
        let upto = as_of.minus(self.delay);
        let end = times.partition_point(|t| *t <= upto.0);
        match self.span {
            Span::LastN(n) => passing.newest(n as usize, end).unwrap_or(0)..end,
            Span::Session { gap, max_length } => {
                session(gap, max_length, upto, &times[..end], passing).unwrap_or(end..end)
            }
            _ => unreachable!("time alone decides every other window"),
        }
    }
}

/// The places of an edge, each found from the one after it.
fn stands((from, to): (Timestamp, Timestamp), before: impl Fn(Timestamp) -> Timestamp) -> Edge {
    let mut places = vec![to];
    let mut place = to;
    while place > from {
        if places.len() == PLACES {
            return Edge::Moves(from, to);
        }
        place = before(place).max(from);
        places.push(place);
    }
    places.reverse();
    Edge::Stands(places)
}

/// The session at `upto`, among events up to it.
fn session(
    gap: Duration,
    max_length: Duration,
    upto: Timestamp,
    times: &[i64],
    passing: Passing<'_>,
) -> Option<Range<usize>> {
    let last = passing.newest(1, times.len())?;
    if Timestamp(times[last]) < upto.minus(gap) {
        return None;
    }
    let oldest = oldest(Timestamp(times[last]), max_length);
    let mut first = last;
    for index in (0..last).rev() {
        let time = Timestamp(times[index]);
        if time < oldest.max(Timestamp(times[first]).minus(gap)) {
            break;
        }
        if passing.passes(index) {
            first = index;
        }
    }
    Some(first..last + 1)
}

/// The first instant that may belong to a session whose last event is at `last`.
const fn oldest(last: Timestamp, max_length: Duration) -> Timestamp {
    match max_length {
        Duration::MAX => Timestamp::MIN,
        length => last.minus(length),
    }
}

impl fmt::Display for Window {
    /// Writes `7d`, `1h hop 1m`, `1 day @ Asia/Seoul`, `last complete 1h`, `session 30m up to 4h`,
    /// `last 100` or `lifetime`, and ` delay 7d` after it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.span {
            Span::Sliding(size) => write!(f, "{size}")?,
            Span::Hopping { size, hop } => write!(f, "{size} hop {hop}")?,
            Span::Tumbling { unit, part } => match part {
                Part::Current => write!(f, "tumbling {unit}")?,
                Part::Last => write!(f, "last complete {unit}")?,
            },
            Span::Session { gap, max_length } => {
                write!(f, "session {gap}")?;
                if max_length < Duration::MAX {
                    write!(f, " up to {max_length}")?;
                }
            }
            Span::Lifetime => f.write_str("lifetime")?,
            Span::LastN(n) => write!(f, "last {n}")?,
        }
        if self.delay > Duration::ZERO {
            write!(f, " delay {}", self.delay)?;
        }
        Ok(())
    }
}

//! Until when an answer stands: the first instant at which it may be another with no further event.
//!
//! An answer changes by itself when an event leaves its window, or comes into it (with a delay, or from
//! what was ahead of T). Whoever acts on an answer without asking again needs to know when that is.

use crate::row::Row;
use crate::window::{Passing, Span, Window};
use crate::{Function, RowSpec};
use tiderace_types::{Duration, Timestamp};

/// The least span there is.
const MICRO: Duration = Duration(1);

impl Window {
    /// The first instant after `as_of` at which the window has other passing events than at `as_of`;
    /// `None` where it never has.
    #[must_use]
    pub fn changes_after(
        self,
        as_of: Timestamp,
        times: &[i64],
        passing: Passing<'_>,
    ) -> Option<Timestamp> {
        let selected = self.select(as_of, times, passing);
        let passes = |index: &usize| passing.passes(*index);
        let next = (selected.end..times.len()).find(passes);
        let first = selected.clone().find(passes);
        let last = selected.rev().find(passes);
        let at = |index: usize| Timestamp(times[index]);
        let enters = next.and_then(|next| self.has_come_to(as_of, at(next)));
        let leaves = match self.span {
            Span::Session { gap, .. } => {
                last.map(|last| at(last).plus(gap).plus(self.delay).plus(MICRO))
            }
            Span::Lifetime | Span::LastN(_) => None,
            _ => first.and_then(|first| self.has_passed(as_of, at(first))),
        };
        let changes = [enters, leaves].into_iter().flatten().min();
        changes.filter(|at| *at < Timestamp::MAX)
    }

    /// The first instant after `as_of` whose window may hold an event at `time`.
    fn has_come_to(self, as_of: Timestamp, time: Timestamp) -> Option<Timestamp> {
        match self.span {
            Span::Tumbling { .. } => first_after(as_of, |at| {
                self.bounds(at).is_some_and(|bounds| bounds.upto >= time)
            }),
            _ => Some(time.plus(self.delay)),
        }
    }

    /// The first instant after `as_of` whose window is past an event at `time`.
    fn has_passed(self, as_of: Timestamp, time: Timestamp) -> Option<Timestamp> {
        match self.span {
            Span::Sliding(size) => Some(time.plus(size).plus(self.delay)),
            _ => first_after(as_of, |at| {
                self.bounds(at).is_some_and(|bounds| bounds.after >= time)
            }),
        }
    }
}

/// The first instant after `as_of` for which `holds`, which holds for all that follow; by halving.
fn first_after(as_of: Timestamp, holds: impl Fn(Timestamp) -> bool) -> Option<Timestamp> {
    let (mut not, mut yes) = (as_of.0, Timestamp::MAX.0);
    if !holds(Timestamp(yes)) {
        return None;
    }
    while not.saturating_add(1) < yes {
        let middle = not.midpoint(yes);
        match holds(Timestamp(middle)) {
            true => yes = middle,
            false => not = middle,
        }
    }
    Some(Timestamp(yes))
}

impl Function {
    /// Tells whether its answer over `window` is another at every instant, with no event coming or going.
    #[must_use]
    pub fn moves(&self, window: Window) -> bool {
        match self {
            Function::DecaySum { .. } | Function::TimeSinceFirst | Function::TimeSinceLast => true,
            // The longer the window, the less.
            Function::Rate { .. } => !matches!(window.span, Span::Sliding(_)),
            _ => false,
        }
    }
}

impl Row {
    /// The first instant after `as_of` at which output `index` may be another with no further event:
    /// what it answers at `as_of` stands until then. `None` where it stands for good.
    ///
    /// What moves with time itself (ages, decaying weights, rates over a unit that is not over) stands for
    /// no time. Of a dense row nothing is promised past its horizon.
    #[must_use]
    pub fn valid_until(&self, spec: &RowSpec, index: usize, as_of: Timestamp) -> Option<Timestamp> {
        let row = &*self.net(spec);
        let output = &spec.outputs[index];
        let at_once = as_of.plus(MICRO);
        if row.off(output.window, as_of) > Duration::ZERO {
            return Some(at_once);
        }
        let last = row.last(output);
        let events = last.as_ref().unwrap_or(&row.events);
        let passing = Passing {
            bits: events.bits(),
            filter: output.filter,
        };
        if output.function.moves(output.window) && row.newest(as_of).is_some() {
            return Some(at_once);
        }
        let changes = output.window.changes_after(as_of, events.times(), passing);
        let horizon = self
            .merged
            .as_ref()
            .map(|merged| merged.horizon.plus(MICRO));
        [changes, horizon].into_iter().flatten().min()
    }
}

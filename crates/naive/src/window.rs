//! Which events a window is over, put as plainly as can be.

use super::{Event, calendar};
use tiderace_aggregate::{Part, Span, Unit, Window};
use tiderace_types::Timestamp;

/// Of a feature's events, those that lie in its window at `as_of`.
///
/// `events` are by (time, id, inputs), each one once, and pass the feature's filter.
pub(super) fn within(window: Window, mut events: Vec<&Event>, as_of: Timestamp) -> Vec<&Event> {
    let time = |event: &Event| i128::from(event.time.0);
    let right = i128::from(as_of.0) - i128::from(window.delay.0);
    events.retain(|event| time(event) <= right);
    match window.span {
        Span::Sliding(size) => events.retain(|event| right - i128::from(size.0) < time(event)),
        Span::Hopping { size, hop } => {
            let left = below(right - i128::from(size.0), i128::from(hop.0));
            events.retain(|event| left < time(event));
        }
        Span::Tumbling { unit, part } => {
            let start = start_of(unit, right);
            match part {
                Part::Current => events.retain(|event| start <= time(event)),
                Part::Last => {
                    let earlier = start_of(unit, start - 1);
                    events.retain(|event| (earlier..start).contains(&time(event)));
                }
            }
        }
        Span::Session { gap, max_length } => {
            let (gap, most) = (i128::from(gap.0), i128::from(max_length.0));
            let together = |from: usize| {
                let times: Vec<i128> = events[from..].iter().map(|event| time(event)).collect();
                let (first, last) = (times[0], times[times.len() - 1]);
                let near = times.windows(2).all(|pair| pair[1] - pair[0] <= gap);
                let unbounded = max_length.0 == i64::MAX;
                near && right - last <= gap && (unbounded || last - first <= most)
            };
            let from = (0..events.len()).find(|from| together(*from));
            events.drain(..from.unwrap_or(events.len()));
        }
        Span::Lifetime => {}
        Span::LastN(n) => {
            let older = events.len().saturating_sub(n as usize);
            events.drain(..older);
        }
    }
    events
}

/// How long the window at `as_of` is, where it has a length that no event decides and begins
/// after the first instant that there is.
pub(super) fn length(window: Window, as_of: Timestamp) -> Option<i128> {
    let right = i128::from(as_of.0) - i128::from(window.delay.0);
    let (after, upto) = match window.span {
        Span::Sliding(size) => (right - i128::from(size.0), right),
        Span::Hopping { size, hop } => {
            (below(right - i128::from(size.0), i128::from(hop.0)), right)
        }
        Span::Tumbling { unit, part } => {
            let start = start_of(unit, right);
            match part {
                Part::Current => (start - 1, right),
                Part::Last => (start_of(unit, start - 1) - 1, start - 1),
            }
        }
        Span::Session { .. } | Span::Lifetime | Span::LastN(_) => return None,
    };
    (after > i128::from(i64::MIN)).then_some(upto - after)
}

/// Tells whether the oracle's calendar goes that far: no calendar is needed, or the years have
/// four digits.
#[must_use]
pub fn can_tell(window: Window, as_of: Timestamp) -> bool {
    let calendar = matches!(
        window.span,
        Span::Tumbling {
            unit: Unit::Calendar(_),
            ..
        }
    );
    let right = i128::from(as_of.0) - i128::from(window.delay.0);
    !calendar || calendar::KNOWN.contains(&right)
}

fn start_of(unit: Unit, at: i128) -> i128 {
    match unit {
        Unit::Fixed(length) => below(at, i128::from(length.0)),
        Unit::Calendar(calendar) => calendar::start_of(calendar, at),
    }
}

/// The greatest multiple of `step` up to `at`.
fn below(at: i128, step: i128) -> i128 {
    at - at.rem_euclid(step)
}

//! The oracle: what a feature's answer is, by the most obvious loops over all events.
//!
//! # Laws
//! - For an output with a filter there are only the events with that bit set. Of these, windows
//!   take those that `Span` says: sliding ones `T − delay − size < t ≤ T − delay`, and so on.
//! - Of events with the same time and id the first given is the event; the others are copies.
//! - A retraction takes back one event of the same time, filters and inputs, whenever it comes;
//!   of several alike the last. One that finds none is nothing.
//! - Nulls are skipped. Over nothing, counts are 0 and the rest is null; `default` stands in for null.
//! - Order is that of key encoding; ties of time break by id, then by the inputs.
//! - Integers and decimals are exact; a float sum is the exact sum, rounded once. What goes
//!   through doubles is computed with about 32 digits, or comes with what it may be off by.
//! - `top_n`: null keys are skipped; a null weight adds nothing, and a key with no weight
//!   that is not null is skipped. So it is in breakdowns.
//! - Caps are not known to answers, which are always exact; [`judge`] knows what past them is allowed.
//!
//! It shares nothing with the aggregates it judges but the words they are specified in.
//! It knows nothing of what is kept: every event given is remembered.

mod calendar;
mod function;
mod judge;
mod moments;
mod number;
mod window;

pub use judge::judge;
pub use window::can_tell;

use std::collections::{BTreeMap, BTreeSet};
use tiderace_aggregate::Output;
use tiderace_types::{Timestamp, Value, encode_key_value};

/// An accepted event as a view sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// Which.
    pub id: Value,
    /// The view's evaluated inputs.
    pub inputs: Vec<Value>,
    /// The filters that it passes.
    pub bits: u64,
    /// Whether it takes back an event of the same time, inputs and filters.
    pub retracts: bool,
}

/// The answer does not fit its type, or is not finite where it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// The answer of `output` at `as_of` over `events`, given in any order.
///
/// # Errors
/// [`Overflow`] when an exact number does not fit the type of the answer.
///
/// # Panics
/// When an input is a list or a map, or of a type that the function is not over.
pub fn answer(output: &Output, events: &[Event], as_of: Timestamp) -> Result<Value, Overflow> {
    let answer = function::over(output, &in_window(output, events, as_of), as_of)?.value;
    Ok(match (&answer, &output.default) {
        (Value::Null, Some(default)) => default.clone(),
        _ => answer,
    })
}

/// Tells whether two answers agree: equal, or, where floats are, within 1e-9 relative.
#[must_use]
pub fn agree(left: &Value, right: &Value) -> bool {
    agree_within(left, right, 0.0)
}

/// As [`agree`], where floats may also differ by 1e-9 of `magnitude`: for sums of numbers
/// that cancel, the sum of their magnitudes.
#[must_use]
pub fn agree_within(left: &Value, right: &Value, magnitude: f64) -> bool {
    match (left, right) {
        (Value::Float(a), Value::Float(b)) => {
            a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(magnitude)
        }
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree_within(a, b, magnitude))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.0 == b.0 && agree_within(&a.1, &b.1, magnitude))
        }
        _ => left == right,
    }
}

/// The events that count for `output` at `as_of`: by (time, id, inputs), copies left out.
fn in_window<'a>(output: &Output, events: &'a [Event], as_of: Timestamp) -> Vec<&'a Event> {
    let passes = |event: &&Event| output.filter.is_none_or(|bit| event.bits >> bit & 1 == 1);
    let passing = net(events).into_iter().filter(passes);
    window::within(output.window, passing.collect(), as_of)
}

/// The events that are not taken back, by (time, id, inputs): of `n` alike and `m` retractions of
/// such the first `n − m`.
fn net(events: &[Event]) -> Vec<&Event> {
    let mut seen = BTreeSet::new();
    let mut whole: Vec<&Event> = Vec::new();
    for event in events {
        if seen.insert((event.time, encoded(&event.id), event.retracts)) {
            whole.push(event);
        }
    }
    let inputs = |event: &Event| -> Vec<u8> { event.inputs.iter().flat_map(encoded).collect() };
    whole.sort_by_cached_key(|event| (event.time, encoded(&event.id), inputs(event)));
    let content = |event: &Event| (event.time, event.bits, inputs(event));
    let mut taken_back = BTreeMap::new();
    let mut events_alike = BTreeMap::new();
    for event in &whole {
        let counts = match event.retracts {
            true => &mut taken_back,
            false => &mut events_alike,
        };
        *counts.entry(content(event)).or_insert(0u64) += 1;
    }
    whole.retain(|event| !event.retracts);
    let mut left: BTreeMap<_, u64> = events_alike
        .into_iter()
        .map(|(content, count)| {
            let back = taken_back.get(&content).copied().unwrap_or_default();
            (content, count.saturating_sub(back))
        })
        .collect();
    whole.retain(|event| match left.get_mut(&content(event)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    });
    whole
}

/// How many retractions take back nothing, of all `events`.
#[must_use]
pub fn unmatched(events: &[Event]) -> u64 {
    let whole = events
        .iter()
        .map(|event| (event.time, encoded(&event.id), event.retracts));
    let identities: BTreeSet<_> = whole.collect();
    let retractions = identities
        .iter()
        .filter(|(_, _, retracts)| *retracts)
        .count();
    let matched = identities.len() - retractions - net(events).len();
    (retractions - matched) as u64
}

fn count(number: usize) -> Value {
    Value::Int(i64::try_from(number).expect("events fit in memory"))
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key_value(value, &mut bytes).expect("inputs and ids are neither lists nor maps");
    bytes
}

#[cfg(test)]
mod tests;

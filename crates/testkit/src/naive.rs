//! The oracle: what a feature's answer is, by the most obvious loops over all events.
//!
//! # Laws
//! - For an output with a filter there are only the events with that bit set. Of these, windows
//!   take those that `Span` says: sliding ones `T − delay − size < t ≤ T − delay`, and so on.
//! - Of events with the same time and id the first given is the event; the others are copies.
//! - Nulls are skipped. Over nothing, counts are 0 and the rest is null; `default` stands in for null.
//! - Order is that of key encoding; ties of time break by id, then by the inputs.
//! - Integers and decimals are exact; a float sum is the exact sum, rounded once.
//! - `top_n`: null keys are skipped; a null weight adds nothing, and a key with no weight
//!   that is not null is skipped.
//!
//! It shares nothing with the aggregates it judges but the words they are specified in.
//! It knows nothing of what is kept: every event given is remembered.

mod calendar;
mod number;
mod window;

pub use window::can_tell;

use number::Sum;
use std::collections::{BTreeMap, BTreeSet};
use tiderace_aggregate::{Function, Output};
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
}

/// The answer does not fit its type.
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
    let answer = over(output, &in_window(output, events, as_of))?;
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
    let mut seen = BTreeSet::new();
    let mut passing = Vec::new();
    for event in events {
        let passes = output.filter.is_none_or(|bit| event.bits >> bit & 1 == 1);
        if seen.insert((event.time, encoded(&event.id))) && passes {
            passing.push(event);
        }
    }
    passing.sort_by_cached_key(|event| {
        let inputs: Vec<u8> = event.inputs.iter().flat_map(encoded).collect();
        (event.time, encoded(&event.id), inputs)
    });
    window::within(output.window, passing, as_of)
}

fn over(output: &Output, events: &[&Event]) -> Result<Value, Overflow> {
    let values: Vec<&Value> = match output.input {
        Some(input) => events
            .iter()
            .map(|event| &event.inputs[input])
            .filter(|value| !value.is_null())
            .collect(),
        None => Vec::new(),
    };
    let least_first = || {
        let mut sorted = values.clone();
        sorted.sort_by_cached_key(|value| encoded(value));
        sorted
    };
    let or_null = |value: Option<&&Value>| value.map_or(Value::Null, |value| (*value).clone());
    Ok(match &output.function {
        Function::Count if output.input.is_none() => count(events.len()),
        Function::Count => count(values.len()),
        Function::CountDistinct { .. } => {
            let distinct: BTreeSet<Vec<u8>> = values.iter().map(|value| encoded(value)).collect();
            count(distinct.len())
        }
        Function::Min => or_null(least_first().first()),
        Function::Max => or_null(least_first().last()),
        Function::First => or_null(values.first()),
        Function::Last => or_null(values.last()),
        Function::Sum if values.is_empty() => Value::Null,
        Function::Sum => Sum::of(&values).total()?,
        Function::Avg if values.is_empty() => Value::Null,
        Function::Avg => Sum::of(&values).average(values.len())?,
        Function::TopN { n, .. } => top(output, events, *n)?,
        other => unreachable!("the oracle does not know {other:?} yet"),
    })
}

/// The heaviest keys: weights descending, then keys ascending.
fn top(output: &Output, events: &[&Event], n: u32) -> Result<Value, Overflow> {
    let key_input = output.input.expect("top_n is of an input");
    let one = Value::Int(1);
    let mut weights: BTreeMap<Vec<u8>, (&Value, Vec<&Value>)> = BTreeMap::new();
    for event in events {
        let key = &event.inputs[key_input];
        let weight = output.by.map_or(&one, |by| &event.inputs[by]);
        if !key.is_null() && !weight.is_null() {
            let entry = weights.entry(encoded(key)).or_insert((key, Vec::new()));
            entry.1.push(weight);
        }
    }
    let mut heaviest: Vec<(&Value, Sum)> = weights
        .into_values()
        .map(|(key, weights)| (key, Sum::of(&weights)))
        .collect();
    // Stable, over keys in their order: equal weights stay in it.
    heaviest.sort_by(|(_, a), (_, b)| b.compare(a));
    if heaviest.is_empty() {
        return Ok(Value::Null);
    }
    let shown = heaviest
        .into_iter()
        .take(n as usize)
        .map(|(key, sum)| Ok((key.clone(), sum.total()?)))
        .collect::<Result<_, Overflow>>()?;
    Ok(Value::Map(shown))
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

//! Whether an answer is right: exact up to a cap, within its bound past it.

use super::function::{self, Exact};
use super::number::Sum;
use super::{Event, Overflow, encoded, in_window};
use std::collections::{BTreeMap, BTreeSet};
use tiderace_aggregate::{Answer, Bound, FinishError, Function, Output};
use tiderace_types::{Timestamp, Value};

/// Says what is wrong with an answer of `output` at `as_of` over `events`, given in any order.
///
/// # Errors
/// The sentence, if anything is.
///
/// # Panics
/// As [`super::answer`].
pub fn judge(
    output: &Output,
    events: &[Event],
    as_of: Timestamp,
    found: &Result<Answer, FinishError>,
) -> Result<(), String> {
    let inside = in_window(output, events, as_of);
    let exact = function::over(output, &inside, as_of);
    let verdict = match (found, &exact) {
        (Err(_), Err(Overflow)) => Ok(()),
        (Ok(found), Ok(exact)) => right(output, &inside, found, exact),
        // Past the cap other values may be listed, of which one fits and another does not.
        (Ok(found), Err(Overflow)) if found.bound.is_some() => Ok(()),
        // What is estimated there may not fit where what is exact does, and says so.
        (Err(_), Ok(_)) if is_weighed(output) && past_cap(output, &inside) => Ok(()),
        _ => Err("only one of them is an error".to_owned()),
    };
    verdict.map_err(|what| {
        format!(
            "{} ({:?}) over {} at {}: {found:?}; expected {exact:?}: {what}",
            output.name, output.function, output.window, as_of
        )
    })
}

fn right(output: &Output, inside: &[&Event], found: &Answer, exact: &Exact) -> Result<(), String> {
    let past = past_cap(output, inside);
    match (&exact.value, &output.default) {
        (Value::Null, Some(default)) => {
            return same(
                found.value == *default && found.bound.is_none(),
                "the default",
            );
        }
        _ if !past && found.bound.is_some() => return Err("it is within the cap".to_owned()),
        _ if past && found.bound.is_none() => return Err("it is past the cap".to_owned()),
        _ => {}
    }
    match (found.bound, &output.function) {
        (None, Function::TopN { .. }) => heaviest(output, inside, &found.value, exact),
        (None, _) => same(close(&found.value, &exact.value, exact.tolerance), "exact"),
        (Some(bound), Function::TopN { n, .. }) => {
            heavy(output, inside, &found.value, bound, Some(*n as usize))
        }
        (Some(bound), Function::Histogram { .. }) => {
            heavy(output, inside, &found.value, bound, None)
        }
        (Some(Bound::Keys { keys }), Function::Breakdown { cap, .. }) => {
            let Value::Map(mut entries) = exact.value.clone() else {
                return Err("there is nothing to leave out".to_owned());
            };
            entries.truncate(*cap as usize);
            let kept = close(&found.value, &Value::Map(entries), exact.tolerance);
            same(keys == *cap && kept, "the least keys")
        }
        (Some(bound), _) => within(&found.value, &exact.value, bound, exact.tolerance),
    }
}

fn same(is_right: bool, what: &str) -> Result<(), String> {
    match is_right {
        true => Ok(()),
        false => Err(format!("it is not {what}")),
    }
}

/// Tells whether there are more values, or different ones, than the cap.
fn past_cap(output: &Output, inside: &[&Event]) -> bool {
    let values = || {
        let values = inside.iter().map(|event| match output.input {
            Some(input) => &event.inputs[input],
            None => &Value::Null,
        });
        values.filter(|value| !value.is_null())
    };
    let many = match output.function {
        Function::CountDistinct { .. } | Function::Entropy { .. } => {
            values().map(encoded).collect::<BTreeSet<_>>().len()
        }
        Function::Quantile { .. } | Function::Quantiles { .. } => values().count(),
        Function::TopN { .. } | Function::Histogram { .. } | Function::Breakdown { .. } => {
            function::by_key(output, inside).len()
        }
        _ => 0,
    };
    many > output.function.cap()
}

/// Equal, but for floats, which may differ by `tolerance` or 1e-9 of themselves.
fn close(found: &Value, exact: &Value, tolerance: f64) -> bool {
    match (found, exact) {
        (Value::Float(a), Value::Float(b)) => {
            // Below the least normal one, a double has fewer digits.
            let allowed = tolerance.max(1e-9 * b.abs()).max(f64::MIN_POSITIVE);
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= allowed
        }
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(a, b, tolerance))
        }
        (Value::Map(a), Value::Map(b)) => {
            let equal = |((k, v), (l, w)): (&(Value, Value), &(Value, Value))| {
                encoded(k) == encoded(l) && close(v, w, tolerance)
            };
            a.len() == b.len() && a.iter().zip(b).all(equal)
        }
        _ => found == exact,
    }
}

/// As [`close`], but that float weights within the tolerance of each other may stand in any order.
fn heaviest(
    output: &Output,
    inside: &[&Event],
    found: &Value,
    exact: &Exact,
) -> Result<(), String> {
    let (Value::Map(entries), Value::Map(expected)) = (found, &exact.value) else {
        return same(*found == exact.value, "exact");
    };
    if !matches!(expected.first(), Some((_, Value::Float(_)))) {
        return same(found == &exact.value, "exact");
    }
    let weights = weights(output, inside)?;
    let mut seen = BTreeSet::new();
    for ((key, weight), (_, expected)) in entries.iter().zip(expected) {
        let own = weights.get(&encoded(key)).ok_or("there is no such key")?;
        let right = close(weight, own, exact.tolerance);
        let in_place = close(weight, expected, exact.tolerance);
        same(
            seen.insert(encoded(key)) && right && in_place,
            "in its place",
        )?;
    }
    same(entries.len() == expected.len(), "as long")
}

/// The exact weight of every key.
fn weights(output: &Output, inside: &[&Event]) -> Result<BTreeMap<Vec<u8>, Value>, String> {
    let found = function::by_key(output, inside).into_iter();
    let weight = |(key, values): (&Value, Vec<&Value>)| {
        let total = Sum::of(&values).total();
        Ok((encoded(key), total.map_err(|_| "a weight overflows")?))
    };
    found.map(weight).collect()
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Int(n) => *n as f64,
        Value::Float(x) => *x,
        other => other.to_string().parse().expect("a weight is a number"),
    }
}

/// Weights past the cap: each within the bound, and what is missing no heavier than that allows.
fn heavy(
    output: &Output,
    inside: &[&Event],
    found: &Value,
    bound: Bound,
    n: Option<usize>,
) -> Result<(), String> {
    let (Value::Map(entries), Bound::Absolute { error }) = (found, bound) else {
        return Err("it is no map within an absolute bound".to_owned());
    };
    let Ok(mut weights) = weights(output, inside) else {
        return Ok(());
    };
    let all: f64 = weights.values().map(|weight| number(weight).abs()).sum();
    let allowed = error * (1.0 + 1e-9) + 1e-9 * all;
    let mut least = f64::INFINITY;
    for (key, weight) in entries {
        let exact = weights
            .remove(&encoded(key))
            .ok_or("no such key, or twice")?;
        let (weight, exact) = (number(weight), number(&exact));
        same((weight - exact).abs() <= allowed, "within its bound")?;
        if n.is_some() {
            same(weight <= least, "heaviest first")?;
        }
        least = weight;
    }
    let full = n.is_some_and(|n| entries.len() >= n);
    let missing = |exact: &Value| match full {
        true => number(exact) <= least.max(0.0) + allowed,
        false => number(exact).abs() <= allowed,
    };
    same(n.is_none_or(|n| entries.len() <= n), "so short")?;
    same(weights.values().all(missing), "all that is heavy")
}

fn within(found: &Value, exact: &Value, bound: Bound, tolerance: f64) -> Result<(), String> {
    if let (Value::List(found), Value::List(exact)) = (found, exact) {
        let mut pairs = found.iter().zip(exact);
        return pairs.try_for_each(|(found, exact)| within(found, exact, bound, tolerance));
    }
    let (found, exact) = (number(found), number(exact));
    let allowed = match bound {
        // Where it is not certain, so few cases as a test has are held to three times as much,
        // and small counts may be off by a few.
        Bound::Relative { error, confidence } if confidence < 1.0 => {
            (3.0 * error * exact.abs()).max(3.0)
        }
        Bound::Relative { error, .. } => error * exact.abs() * (1.0 + 1e-9),
        Bound::Absolute { error } => error,
        Bound::Keys { .. } => 0.0,
    };
    // What is not normal counts as zero.
    let near = (found - exact).abs() <= allowed + tolerance + f64::MIN_POSITIVE;
    same(near || found == exact, "within its bound")
}

/// Whether the answer lists weights, which past the cap are estimated.
fn is_weighed(output: &Output) -> bool {
    matches!(
        output.function,
        Function::TopN { .. } | Function::Histogram { .. }
    )
}

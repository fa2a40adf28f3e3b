//! What each function comes to over the events of a window, exactly, whatever its cap.

use super::moments::Moments;
use super::number::Sum;
use super::{Event, Overflow, count, encoded, window};
use std::collections::{BTreeMap, BTreeSet};
use tiderace_aggregate::{Function, Level, Output, Repeats};
use tiderace_types::{Timestamp, Value};

/// An answer, and how far from it a correct one may be where it is, or has, a float.
#[derive(Clone, Debug)]
pub(super) struct Exact {
    pub(super) value: Value,
    pub(super) tolerance: f64,
}

/// Floats agree to so much of what they are made of.
const AGREE: f64 = 1e-9;

impl From<Value> for Exact {
    fn from(value: Value) -> Exact {
        let tolerance = match value {
            Value::Float(x) => AGREE * x.abs(),
            _ => 0.0,
        };
        Exact { value, tolerance }
    }
}

/// The answer over `events`, which are in the window and in order.
pub(super) fn over(
    output: &Output,
    events: &[&Event],
    as_of: Timestamp,
) -> Result<Exact, Overflow> {
    // Each event that has a value, with the value: without an input, all.
    let pairs: Vec<(&Event, &Value)> = events
        .iter()
        .map(|event| match output.input {
            Some(input) => (*event, &event.inputs[input]),
            None => (*event, &Value::Bool(true)),
        })
        .filter(|(_, value)| !value.is_null())
        .collect();
    let values: Vec<&Value> = pairs.iter().map(|(_, value)| *value).collect();
    let sorted = || {
        let mut sorted = values.clone();
        sorted.sort_by_cached_key(|value| encoded(value));
        sorted
    };
    let floats = || -> Vec<f64> { values.iter().map(|value| float(value)).collect() };
    let at = i128::from(as_of.0) - i128::from(output.window.delay.0);
    Ok(match &output.function {
        Function::Count => count(values.len()).into(),
        Function::Rate { per } => match window::length(output.window, as_of) {
            Some(length) => Value::Float(values.len() as f64 * per.0 as f64 / length as f64).into(),
            None => Value::Null.into(),
        },
        Function::CountDistinct { .. } => count(distinct(&values).len()).into(),
        Function::Min => or_null(sorted().first()).into(),
        Function::Max => or_null(sorted().last()).into(),
        Function::First => or_null(values.first()).into(),
        Function::Last => or_null(values.last()).into(),
        Function::Sum | Function::Avg => added(&output.function, &values)?,
        Function::TopN { .. } | Function::Histogram { .. } | Function::Breakdown { .. } => {
            keyed(output, events)?
        }
        Function::BottomK { k } => list(sorted().into_iter().take(*k as usize)),
        Function::TopK { k } => list(sorted().into_iter().rev().take(*k as usize)),
        Function::DistinctList { n } => {
            let mut sorted = sorted();
            sorted.dedup_by_key(|value| encoded(value));
            list(sorted.into_iter().take(*n as usize))
        }
        Function::FirstN { n, repeats } => first_n(values.iter().copied(), *n, *repeats),
        Function::LastN { n, repeats } => first_n(values.iter().copied().rev(), *n, *repeats),
        Function::VarSamp
        | Function::VarPop
        | Function::StddevSamp
        | Function::StddevPop
        | Function::Skewness
        | Function::Kurtosis => Moments::of(&floats()).answer(&output.function)?,
        Function::Quantile { level, .. } => or_empty(&values, || quantile(&floats(), *level)),
        Function::Quantiles { levels, .. } => or_empty(&values, || {
            Value::List(
                levels
                    .iter()
                    .map(|level| quantile(&floats(), *level))
                    .collect(),
            )
        }),
        Function::Entropy { .. } => or_empty(&values, || entropy(&values)),
        Function::DecaySum { half_life } | Function::DecayAvg { half_life } => {
            // To an average only matters how old events are beside each other.
            let to = match (&output.function, pairs.last()) {
                (Function::DecayAvg { .. }, Some((event, _))) => i128::from(event.time.0),
                _ => at,
            };
            let weighted = pairs.iter().map(|(event, value)| {
                let age = to - i128::from(event.time.0);
                (float(value), age as f64 / half_life.0 as f64)
            });
            decayed(&output.function, &weighted.collect::<Vec<_>>())
        }
        Function::TimeSinceFirst => since(at, pairs.first())?.into(),
        Function::TimeSinceLast => since(at, pairs.last())?.into(),
    })
}

fn or_null(value: Option<&&Value>) -> Value {
    value.map_or(Value::Null, |value| (*value).clone())
}

fn or_empty(values: &[&Value], answer: impl Fn() -> Value) -> Exact {
    match values.is_empty() {
        true => Value::Null.into(),
        false => answer().into(),
    }
}

fn list<'a>(values: impl Iterator<Item = &'a Value>) -> Exact {
    let values: Vec<Value> = values.cloned().collect();
    match values.is_empty() {
        true => Value::Null.into(),
        false => Value::List(values).into(),
    }
}

fn first_n<'a>(values: impl Iterator<Item = &'a Value>, n: u32, repeats: Repeats) -> Exact {
    let mut seen = BTreeSet::new();
    let fresh = values.filter(|value| repeats == Repeats::Kept || seen.insert(encoded(value)));
    list(fresh.take(n as usize))
}

fn distinct(values: &[&Value]) -> BTreeSet<Vec<u8>> {
    values.iter().map(|value| encoded(value)).collect()
}

fn added(function: &Function, values: &[&Value]) -> Result<Exact, Overflow> {
    if values.is_empty() {
        return Ok(Value::Null.into());
    }
    let value = match function {
        Function::Avg => Sum::of(values).average(values.len())?,
        _ => Sum::of(values).total()?,
    };
    Ok(Exact {
        value,
        tolerance: AGREE * magnitude(values),
    })
}

/// The sum of the magnitudes of what are floats.
fn magnitude(values: &[&Value]) -> f64 {
    let magnitude = |value: &&Value| match value {
        Value::Float(x) => x.abs(),
        _ => 0.0,
    };
    values.iter().map(magnitude).sum()
}

/// What a function that gives a map has for each key, keys ascending: the values it adds up.
pub(super) fn by_key<'a>(
    output: &Output,
    events: &[&'a Event],
) -> Vec<(&'a Value, Vec<&'a Value>)> {
    const ONE: &Value = &Value::Int(1);
    let (key, value) = match output.function {
        Function::Breakdown { .. } => (output.by, output.input),
        _ => (output.input, output.by),
    };
    let key = key.expect("a map has keys");
    let mut found: BTreeMap<Vec<u8>, (&Value, Vec<&Value>)> = BTreeMap::new();
    for event in events {
        let key = &event.inputs[key];
        let value = value.map_or(ONE, |value| &event.inputs[value]);
        if !key.is_null() && !value.is_null() {
            let entry = found.entry(encoded(key)).or_insert((key, Vec::new()));
            entry.1.push(value);
        }
    }
    found.into_values().collect()
}

fn keyed(output: &Output, events: &[&Event]) -> Result<Exact, Overflow> {
    let found = by_key(output, events);
    let all: Vec<&Value> = found
        .iter()
        .flat_map(|(_, values)| values.clone())
        .collect();
    let tolerance = AGREE * magnitude(&all);
    let mut entries: Vec<(Value, Value)> = Vec::new();
    match &output.function {
        Function::TopN { n, .. } => {
            let sums = found.iter().map(|(key, values)| (*key, Sum::of(values)));
            let mut heaviest: Vec<(&Value, Sum)> = sums.collect();
            // Stable, over keys in their order: equal weights stay in it.
            heaviest.sort_by(|(_, a), (_, b)| b.compare(a));
            for (key, sum) in heaviest.into_iter().take(*n as usize) {
                entries.push((key.clone(), sum.total()?));
            }
        }
        Function::Breakdown { each, .. } => {
            for (key, values) in found {
                let mut sorted = values.clone();
                sorted.sort_by_cached_key(|value| encoded(value));
                let value = match each.function() {
                    Function::Count => count(values.len()),
                    Function::Min => or_null(sorted.first()),
                    Function::Max => or_null(sorted.last()),
                    function => added(&function, &values)?.value,
                };
                entries.push((key.clone(), value));
            }
        }
        _ => {
            for (key, values) in found {
                entries.push((key.clone(), count(values.len())));
            }
        }
    }
    let value = match entries.is_empty() {
        true => Value::Null,
        false => Value::Map(entries),
    };
    Ok(Exact { value, tolerance })
}

fn quantile(floats: &[f64], level: Level) -> Value {
    let mut sorted = floats.to_vec();
    sorted.sort_by(f64::total_cmp);
    let reached = |place: &usize| {
        // (place + 1) / count >= level, without rounding.
        (*place as u128 + 1) * 1_000_000 >= u128::from(level.0) * sorted.len() as u128
    };
    let place = (0..sorted.len()).find(reached).expect("all are reached");
    Value::Float(sorted[place])
}

fn entropy(values: &[&Value]) -> Value {
    let mut counts: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
    for value in values {
        *counts.entry(encoded(value)).or_default() += 1.0;
    }
    let share = |count: &f64| count / values.len() as f64;
    let sum: f64 = counts.values().map(|n| -share(n) * share(n).log2()).sum();
    Value::Float(sum + 0.0)
}

/// Numbers with their ages in half-lives.
fn decayed(function: &Function, aged: &[(f64, f64)]) -> Exact {
    if aged.is_empty() {
        return Value::Null.into();
    }
    // In two steps, so that no weight is lost before it meets a number that is as large.
    let weighed = |x: f64, age: f64| x * (-age / 2.0).exp2() * (-age / 2.0).exp2();
    let products = || aged.iter().map(|(x, age)| weighed(*x, *age));
    let sum = Sum::rounded_once(products().collect());
    let magnitude: f64 = products().map(f64::abs).sum();
    if matches!(function, Function::DecaySum { .. }) {
        return Exact {
            value: Value::Float(sum),
            tolerance: AGREE * magnitude,
        };
    }
    let weights: f64 = aged.iter().map(|(_, age)| weighed(1.0, *age)).sum();
    Exact {
        value: Value::Float(sum / weights),
        tolerance: AGREE * magnitude / weights,
    }
}

fn since(at: i128, pair: Option<&(&Event, &Value)>) -> Result<Value, Overflow> {
    let Some((event, _)) = pair else {
        return Ok(Value::Null);
    };
    let since = i64::try_from(at - i128::from(event.time.0));
    since.map(Value::Duration).map_err(|_| Overflow)
}

/// A number as the nearest float.
fn float(value: &Value) -> f64 {
    match value {
        Value::Int(n) => *n as f64,
        Value::Float(x) => *x,
        decimal @ Value::Decimal(..) => {
            let text = decimal.to_string();
            text.parse().expect("a decimal's text is a float's")
        }
        other => panic!("{other:?} is no number"),
    }
}

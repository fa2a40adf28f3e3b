//! From a row and an instant to answers.

mod distinct;
mod entropy;
mod heavy;
pub(crate) mod nested;
mod once;
pub(crate) mod plain;
mod sums;
mod top;
pub(crate) mod values;
mod weigh;

use crate::answer::{Answer, Bound, Reading};
use crate::column::{Cell, Column};
use crate::events::Events;
use crate::function::{Function, Level};
use crate::partial::{
    Breakdown, Choice, Decayed, Group, Key, Members, Moments, Numbers, Partial, Sum, Weights, best,
    of_scale,
};
use crate::row::{Row, passing};
use crate::sketch::Hll;
use crate::spec::{Output, RowSpec};
use crate::window::Span;
use nested::Within;
use std::cmp::Ordering;
use std::ops::Range;
use sums::{finish_sum, sum_value};
use tiderace_types::{DataType, Timestamp, Value};

/// Why a value could not be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// The exact result does not fit the answer's type.
    #[error("the exact result does not fit {0}")]
    Overflow(DataType),
    /// A number that went in, or a power of it, is past what a double can hold.
    #[error("a number that went in, or a power of it, is not finite")]
    NotFinite,
}

impl Row {
    /// Answers one output over its window, from a row of net events.
    pub(crate) fn finish_within(
        &self,
        spec: &RowSpec,
        index: usize,
        within: &Within,
    ) -> Result<Answer, FinishError> {
        let Within {
            reading,
            edges,
            range,
            ..
        } = within;
        let output = &spec.outputs[index];
        let base = match output.window.span {
            Span::Lifetime => self.base_of(index),
            _ => None,
        };
        if let Some(events) = self.last(output) {
            let passing = passing(&events, output);
            let range = (output.window).select(reading.as_of, events.times(), passing);
            return finish_events(output, &spec.inputs, &events, range, reading);
        }
        let merged = self.merged.as_ref();
        let merged = merged.filter(|merged| !merged.pieces.is_empty());
        if base.is_none() && merged.is_none() {
            return finish_events(output, &spec.inputs, &self.events, range.clone(), reading);
        }
        let mut partial = base
            .cloned()
            .unwrap_or_else(|| Partial::empty(output, &spec.inputs));
        if let Some(merged) = merged {
            merged.add(index, output, *edges, &mut partial);
        }
        partial.add(output, &spec.inputs, &self.events, range.clone());
        finish_partial(output, &spec.inputs, &partial, reading)
    }
}

/// Answers straight from events where that saves copies, else by way of a partial.
fn finish_events(
    output: &Output,
    inputs: &[DataType],
    events: &Events,
    range: Range<usize>,
    reading: &Reading,
) -> Result<Answer, FinishError> {
    let members = Members {
        events,
        filter: output.filter,
        range,
    };
    let answer = match output.input {
        Some(input) => {
            let column = events.input(input);
            finish_members(output, &members, column, &inputs[input])
        }
        None if output.function == Function::Count => Some(count_value(members.count())),
        None => None,
    };
    match answer {
        Some(answer) => answer.map(|answer| or_default(output, answer)),
        None => {
            let mut partial = Partial::empty(output, inputs);
            partial.add(output, inputs, events, members.range);
            finish_partial(output, inputs, &partial, reading)
        }
    }
}

/// Answers straight from events; `None` where it is no shorter than by way of a partial.
fn finish_members<'a>(
    output: &Output,
    members: &Members<'a>,
    column: Column<'a>,
    data_type: &DataType,
) -> Option<Result<Answer, FinishError>> {
    let one = |cell: Option<Cell<'_>>| {
        let value = cell.map(|cell| cell.to_value(data_type));
        Ok(value.unwrap_or_default().into())
    };
    Some(match &output.function {
        Function::Count => count_value(members.count_of(column)),
        function @ (Function::Sum | Function::Avg) => {
            let mut sum = Sum::zero(data_type);
            let count = members.add_to(&mut sum, column);
            finish_sum(function, data_type, &output.data_type, sum, count).map(Answer::from)
        }
        function @ (Function::Min | Function::Max) => one(best(function, members.cells(column))),
        Function::First => one(members.cells(column).next()),
        Function::Last => one(members.cells(column).next_back()),
        Function::FirstN { repeats, .. } | Function::LastN { repeats, .. }
            if *repeats == crate::Repeats::Kept =>
        {
            let choice = Choice::of(&output.function);
            let indices = choice.best_first(members, column).take(choice.most);
            let values = indices.map(|index| column.cell(index).to_value(data_type));
            Ok(list(values.collect()).into())
        }
        _ => return None,
    })
}

/// Answers from a partial, the default standing in for null.
///
/// `reading` is the window whose events the partial is of.
///
/// # Errors
/// [`FinishError::Overflow`] where the exact result does not fit; [`FinishError::NotFinite`]
/// where moments leave the doubles.
pub fn finish_partial(
    output: &Output,
    inputs: &[DataType],
    partial: &Partial,
    reading: &Reading,
) -> Result<Answer, FinishError> {
    let data_type = output
        .input
        .map_or(&DataType::Int64, |input| &inputs[input]);
    let answer = match partial {
        Partial::Count(count) => match output.function {
            Function::Rate { per } => Answer::from(rate(*count, per.0, reading)),
            _ => count_value(*count)?,
        },
        Partial::Sum { sum, count } => {
            finish_sum(&output.function, data_type, &output.data_type, *sum, *count)?.into()
        }
        Partial::One(held) => {
            let value = held.as_ref().map(|key| key.cell().to_value(data_type));
            value.unwrap_or_default().into()
        }
        Partial::Time(held) => since(*held, taken_at(output, reading))?.into(),
        Partial::Placed(held) => {
            let values = held
                .iter()
                .map(|placed| placed.key.cell().to_value(data_type));
            match output.function {
                Function::First | Function::Last => one_of(values).into(),
                _ => list(values.collect()).into(),
            }
        }
        Partial::Values(held) => {
            let values = held.iter().map(|key| key.cell().to_value(data_type));
            list(values.collect()).into()
        }
        Partial::Distinct(keys) => count_value(keys.len() as u64)?,
        Partial::Hll(hll) => estimated(output, hll),
        Partial::Weights(weights) => finish_weights(output, data_type, weights)?,
        Partial::Listed(listed) => {
            return finish_partial(output, inputs, &listed.partial(), reading);
        }
        Partial::Breakdown(breakdown) => finish_breakdown(output, inputs, data_type, breakdown)?,
        Partial::Numbers(numbers) => quantiles(&output.function, numbers),
        Partial::Moments(moments) => moment(&output.function, moments)?.into(),
        Partial::Decay(held) => {
            decayed(&output.function, held.as_ref(), taken_at(output, reading)).into()
        }
    };
    Ok(or_default(output, answer))
}

#[inline]
fn or_default(output: &Output, answer: Answer) -> Answer {
    match (&output.default, &answer.value) {
        (Some(default), Value::Null) => default.clone().into(),
        _ => answer,
    }
}

fn count_value(count: u64) -> Result<Answer, FinishError> {
    i64::try_from(count)
        .map(|count| Value::Int(count).into())
        .map_err(|_| FinishError::Overflow(DataType::Int64))
}

/// The first of some values, or null.
fn one_of(mut values: impl Iterator<Item = Value>) -> Value {
    values.next().unwrap_or_default()
}

/// A list; nothing at all is null.
fn list(values: Vec<Value>) -> Value {
    match values.is_empty() {
        true => Value::Null,
        false => Value::List(values),
    }
}

/// About how many: never fewer than is certain, which is one past the cap.
fn estimated(output: &Output, hll: &Hll) -> Answer {
    let least = i64::try_from(output.function.cap()).map_or(i64::MAX, |cap| cap.saturating_add(1));
    Answer {
        value: Value::Int((hll.estimate().round() as i64).max(least)),
        bound: Some(Bound::Relative {
            error: Hll::ERROR,
            confidence: Hll::CONFIDENCE,
        }),
    }
}

/// Events per `per` microseconds, over the length of the window.
fn rate(count: u64, per: i64, reading: &Reading) -> Value {
    if reading.after == Timestamp::MIN {
        return Value::Null;
    }
    let length = i128::from(reading.upto.0) - i128::from(reading.after.0);
    match length {
        1.. => Value::Float(count as f64 * (per as f64 / length as f64)),
        _ => Value::Null,
    }
}

/// The instant that ages are counted to.
const fn taken_at(output: &Output, reading: &Reading) -> Timestamp {
    reading.as_of.minus(output.window.delay)
}

/// From an event's time to `at`.
fn since(time: Option<i64>, at: Timestamp) -> Result<Value, FinishError> {
    let Some(time) = time else {
        return Ok(Value::Null);
    };
    let since = at.0.checked_sub(time).map(Value::Duration);
    since.ok_or(FinishError::Overflow(DataType::Duration))
}

fn moment(function: &Function, moments: &Moments) -> Result<Value, FinishError> {
    if moments.count == 0 {
        return Ok(Value::Null);
    }
    let answer = match function {
        Function::VarSamp => moments.variance(1),
        Function::StddevSamp => moments.variance(1).map(f64::sqrt),
        Function::StddevPop => moments.variance(0).map(f64::sqrt),
        Function::Skewness => moments.skewness(),
        Function::Kurtosis => moments.kurtosis(),
        _ => moments.variance(0),
    };
    match answer {
        Some(x) if !x.is_finite() => Err(FinishError::NotFinite),
        answer => Ok(answer.map_or(Value::Null, Value::Float)),
    }
}

fn quantiles(function: &Function, numbers: &Numbers) -> Answer {
    let count = numbers.count();
    if count == 0 {
        return Value::Null.into();
    }
    let at = |level: &Level| Value::Float(numbers.at(level.rank(count)));
    let value = match function {
        Function::Quantile { level, .. } => at(level),
        Function::Quantiles { levels, .. } => Value::List(levels.iter().map(at).collect()),
        other => unreachable!("{other:?} is no quantile"),
    };
    let bound = match numbers {
        Numbers::Each(_) => None,
        Numbers::Counted(buckets) => Some(Bound::Relative {
            error: buckets.error(),
            confidence: 1.0,
        }),
    };
    Answer { value, bound }
}

fn decayed(function: &Function, held: Option<&Decayed>, at: Timestamp) -> Value {
    match (function, held) {
        (_, None) => Value::Null,
        (Function::DecaySum { half_life }, Some(held)) => Value::Float(held.sum_at(at, *half_life)),
        (_, Some(held)) => Value::Float(held.average()),
    }
}

fn finish_weights(
    output: &Output,
    data_type: &DataType,
    weights: &Weights,
) -> Result<Answer, FinishError> {
    let entries = || weights.entries.iter();
    let pairs = || entries().map(|weight| (weight.key.cell(), weight.sum));
    let value = match &output.function {
        Function::TopN { n, .. } => top(output, data_type, *n as usize, pairs().collect())?,
        Function::Entropy { .. } => return Ok(entropy::finish(weights)),
        _ => map(output, data_type, pairs())?,
    };
    let bound = weights.past.map(|past| Bound::Absolute {
        error: past.missed / by_unit(output),
    });
    Ok(Answer { value, bound })
}

/// What the unscaled weights of a map are divided by.
fn by_unit(output: &Output) -> f64 {
    match &output.data_type {
        DataType::Map(_, weight) => match weight.as_ref() {
            DataType::Decimal { scale, .. } => of_scale(*scale),
            _ => 1.0,
        },
        _ => 1.0,
    }
}

/// The `n` heaviest: weight descending, then key ascending.
fn top(
    output: &Output,
    data_type: &DataType,
    n: usize,
    mut weights: Vec<(Cell<'_>, Sum)>,
) -> Result<Value, FinishError> {
    let heavier = |a: &(Cell<'_>, Sum), b: &(Cell<'_>, Sum)| -> Ordering {
        b.1.order(&a.1).then_with(|| a.0.key_order(&b.0))
    };
    if weights.len() > n {
        weights.select_nth_unstable_by(n, heavier);
        weights.truncate(n);
    }
    weights.sort_unstable_by(heavier);
    map(output, data_type, weights.into_iter())
}

/// Keys with their weights, in this order. Nothing at all is null.
fn map<'a>(
    output: &Output,
    key_type: &DataType,
    weights: impl Iterator<Item = (Cell<'a>, Sum)>,
) -> Result<Value, FinishError> {
    let DataType::Map(_, weight_type) = &output.data_type else {
        unreachable!("the plan types {:?} as a map", output.function);
    };
    let mut entries = Vec::with_capacity(weights.size_hint().0);
    for (key, sum) in weights {
        let weight = sum_value(sum, weight_type)?;
        entries.push((key.to_value(key_type), weight));
    }
    Ok(match entries.is_empty() {
        true => Value::Null,
        false => Value::Map(entries),
    })
}

fn finish_breakdown(
    output: &Output,
    inputs: &[DataType],
    data_type: &DataType,
    breakdown: &Breakdown,
) -> Result<Answer, FinishError> {
    let (DataType::Map(key_type, part_type), Function::Breakdown { each, cap }) =
        (&output.data_type, &output.function)
    else {
        unreachable!("the plan types {:?} as a map", output.function);
    };
    debug_assert!(output.by.is_none_or(|by| inputs[by] == **key_type));
    let function = each.function();
    let mut entries = Vec::with_capacity(breakdown.entries.len());
    for (key, part) in &breakdown.entries {
        let value = match part {
            Group::Count(count) => count_value(*count)?.value,
            Group::Sum { sum, count } => finish_sum(&function, data_type, part_type, *sum, *count)?,
            Group::One(key) => Key::cell(key).to_value(data_type),
        };
        entries.push((key.cell().to_value(key_type), value));
    }
    Ok(Answer {
        value: match entries.is_empty() {
            true => Value::Null,
            false => Value::Map(entries),
        },
        bound: breakdown.cut.then_some(Bound::Keys { keys: *cap }),
    })
}

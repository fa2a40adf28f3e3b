//! From a row and an instant to answers.

use crate::answer::{Answer, Reading};
use crate::column::Cell;
use crate::events::Events;
use crate::function::Function;
use crate::partial::{Key, Members, Partial, Sum, add_all, distinct, weigh};
use crate::row::Row;
use crate::spec::{Output, RowSpec};
use crate::window::Span;
use std::ops::Range;
use tiderace_types::{DataType, Timestamp, Value};

/// Why a value could not be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// The exact result does not fit the answer's type.
    #[error("the exact result does not fit {0}")]
    Overflow(DataType),
}

impl Row {
    /// Answers `outputs` (indices into the spec's) at `as_of`.
    ///
    /// Exact for every window that lies inside what the row keeps; see [`Row::holds`].
    #[must_use]
    pub fn finish(
        &self,
        spec: &RowSpec,
        outputs: &[usize],
        as_of: Timestamp,
    ) -> Vec<Result<Answer, FinishError>> {
        outputs
            .iter()
            .map(|index| self.finish_one(spec, *index, as_of))
            .collect()
    }

    /// The window of an output, and which of the row's own events are in it.
    fn reading(&self, output: &Output, as_of: Timestamp) -> (Reading, Range<usize>) {
        let range = self.select(output, as_of);
        let upto = as_of.minus(output.window.delay);
        let bounds = output.window.bounds(as_of);
        let reading = Reading {
            as_of,
            after: bounds.map_or(Timestamp::MIN, |bounds| bounds.after),
            upto: bounds.map_or(upto, |bounds| bounds.upto),
        };
        (reading, range)
    }

    fn finish_one(
        &self,
        spec: &RowSpec,
        index: usize,
        as_of: Timestamp,
    ) -> Result<Answer, FinishError> {
        let output = &spec.outputs[index];
        let (reading, range) = self.reading(output, as_of);
        let base = match output.window.span {
            Span::Lifetime => self.base_of(index),
            _ => None,
        };
        let merged = self
            .merged
            .as_ref()
            .filter(|merged| !merged.pieces.is_empty());
        match base {
            _ if merged.is_some() => {
                let mut partial = base
                    .cloned()
                    .unwrap_or_else(|| Partial::empty(output, &spec.inputs));
                if let Some(merged) = merged {
                    merged.add(index, output, (reading.after, reading.upto), &mut partial);
                }
                partial.add(output, &spec.inputs, &self.events, range);
                let answer = finish_partial(output, &spec.inputs, &partial, &reading)?;
                Ok(or_default(output, answer))
            }
            None => {
                let answer = finish_events(output, &spec.inputs, &self.events, range)?;
                Ok(or_default(output, answer))
            }
            Some(base) => {
                let mut partial = base.clone();
                partial.add(output, &spec.inputs, &self.events, range);
                finish_partial(output, &spec.inputs, &partial, &reading)
            }
        }
    }
}

fn or_default(output: &Output, answer: Answer) -> Answer {
    match (&answer.value, &output.default) {
        (Value::Null, Some(default)) => default.clone().into(),
        _ => answer,
    }
}

/// Answers straight from events, without copying keys.
fn finish_events(
    output: &Output,
    inputs: &[DataType],
    events: &Events,
    range: Range<usize>,
) -> Result<Answer, FinishError> {
    let members = Members {
        events,
        filter: output.filter,
        range,
    };
    let Some(input) = output.input else {
        return count_value(members.count());
    };
    let (column, data_type) = (events.input(input), &inputs[input]);
    let cells = || members.cells(column);
    let one = |cell: Option<Cell<'_>>| {
        let value = cell.map_or(Value::Null, |cell| cell.to_value(data_type));
        Ok(value.into())
    };
    match output.function {
        Function::Count => count_value(cells().count() as u64),
        Function::Sum | Function::Avg => {
            let mut sum = Sum::zero(data_type);
            let count = add_all(&mut sum, &members, column);
            finish_sum(output, data_type, sum, count)
        }
        Function::Min => one(cells().min_by(Cell::key_order)),
        Function::Max => one(cells().max_by(Cell::key_order)),
        Function::First => one(cells().next()),
        Function::Last => one(cells().last()),
        Function::CountDistinct { .. } => count_value(distinct(cells().collect()).len() as u64),
        Function::TopN { n, .. } => top(
            output,
            inputs,
            n,
            weigh(&members, column, output.by, inputs),
        ),
        _ => unreachable!("no definition can ask for it yet"),
    }
}

/// Answers from a partial, the default standing in for null.
///
/// `reading` is the window whose events the partial is of.
///
/// # Errors
/// [`FinishError::Overflow`] where the exact result does not fit.
pub fn finish_partial(
    output: &Output,
    inputs: &[DataType],
    partial: &Partial,
    _reading: &Reading,
) -> Result<Answer, FinishError> {
    let data_type = output
        .input
        .map_or(&DataType::Int64, |input| &inputs[input]);
    let answer = match partial {
        Partial::Count(count) => count_value(*count),
        Partial::Sum { sum, count } => finish_sum(output, data_type, *sum, *count),
        Partial::One(held) => {
            let value = held.as_ref().map(|key| key.cell().to_value(data_type));
            Ok(value.unwrap_or_default().into())
        }
        Partial::Placed(held) => {
            let value = held.first();
            let value = value.map(|placed| placed.key.cell().to_value(data_type));
            Ok(value.unwrap_or_default().into())
        }
        Partial::Distinct(keys) => count_value(keys.len() as u64),
        Partial::Weights(weights) => {
            let n = match output.function {
                Function::TopN { n, .. } => n,
                _ => 0,
            };
            let weights = weights.iter().map(|(key, sum)| (Key::cell(key), *sum));
            top(output, inputs, n, weights.collect())
        }
    };
    answer.map(|answer| or_default(output, answer))
}

fn count_value(count: u64) -> Result<Answer, FinishError> {
    i64::try_from(count)
        .map(|count| Value::Int(count).into())
        .map_err(|_| FinishError::Overflow(DataType::Int64))
}

fn finish_sum(
    output: &Output,
    data_type: &DataType,
    sum: Sum,
    count: u64,
) -> Result<Answer, FinishError> {
    if count == 0 {
        return Ok(Value::Null.into());
    }
    match (&output.function, sum) {
        (Function::Avg, Sum::Float(sum)) => Ok(Value::Float(sum.total() / count as f64).into()),
        (Function::Avg, Sum::Exact(sum)) => {
            let average = sum
                .total()
                .and_then(|sum| average(sum, count, data_type, &output.data_type));
            let average = average.map(Answer::from);
            average.ok_or_else(|| FinishError::Overflow(output.data_type.clone()))
        }
        (_, sum) => sum_value(sum, &output.data_type).map(Answer::from),
    }
}

/// The average of `count` numbers that come to `sum`; `None` where it does not fit.
fn average(sum: i128, count: u64, from: &DataType, to: &DataType) -> Option<Value> {
    let DataType::Decimal { scale: wider, .. } = to else {
        return Some(Value::Float(sum as f64 / count as f64));
    };
    let scale = match from {
        DataType::Decimal { scale, .. } => *scale,
        _ => 0,
    };
    let factor = 10i128.checked_pow(u32::try_from(wider - scale).ok()?)?;
    let count = i128::from(count);
    // Whole and rest apart, so that nothing overflows on the way but what does in the end.
    let whole = (sum / count).checked_mul(factor)?;
    let rest = divide_rounded((sum % count).checked_mul(factor)?, count);
    let unscaled = whole.checked_add(rest)?;
    fits(unscaled, to).then_some(Value::Decimal(unscaled, *wider))
}

/// Tells whether a decimal has no more digits than its type.
fn fits(unscaled: i128, data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal { precision, .. } => 10u128
            .checked_pow(u32::from(*precision))
            .is_none_or(|bound| unscaled.unsigned_abs() < bound),
        _ => true,
    }
}

/// Writes a sum in its result type: the one place where integer ranges are checked.
fn sum_value(sum: Sum, data_type: &DataType) -> Result<Value, FinishError> {
    let sum = match sum {
        Sum::Float(sum) => return Ok(Value::Float(sum.total())),
        Sum::Exact(sum) => sum.total(),
    };
    let value = sum.and_then(|sum| match data_type {
        DataType::Decimal { scale, .. } => {
            fits(sum, data_type).then_some(Value::Decimal(sum, *scale))
        }
        DataType::Duration => i64::try_from(sum).ok().map(Value::Duration),
        _ => i64::try_from(sum).ok().map(Value::Int),
    });
    value.ok_or_else(|| FinishError::Overflow(data_type.clone()))
}

/// Divides, rounding half away from zero.
const fn divide_rounded(number: i128, by: i128) -> i128 {
    let (quotient, remainder) = (number / by, number % by);
    if remainder.unsigned_abs() * 2 >= by.unsigned_abs() {
        quotient + if number < 0 { -1 } else { 1 }
    } else {
        quotient
    }
}

/// The `n` heaviest: weight descending, then key ascending. Nothing at all is null.
fn top(
    output: &Output,
    inputs: &[DataType],
    n: u32,
    mut weights: Vec<(Cell<'_>, Sum)>,
) -> Result<Answer, FinishError> {
    let DataType::Map(_, weight_type) = &output.data_type else {
        unreachable!("the plan types top_n as a map");
    };
    if weights.is_empty() {
        return Ok(Value::Null.into());
    }
    weights.sort_by(|a, b| sum_order(&b.1, &a.1).then_with(|| a.0.key_order(&b.0)));
    weights.truncate(n as usize);
    let key_type = output
        .input
        .map_or(&DataType::Int64, |input| &inputs[input]);
    let entries = weights
        .into_iter()
        .map(|(key, sum)| Ok((key.to_value(key_type), sum_value(sum, weight_type)?)));
    let entries = entries.collect::<Result<_, _>>()?;
    Ok(Value::Map(entries).into())
}

fn sum_order(a: &Sum, b: &Sum) -> std::cmp::Ordering {
    match (a, b) {
        (Sum::Exact(a), Sum::Exact(b)) => a.cmp(b),
        (Sum::Float(a), Sum::Float(b)) => a.total().total_cmp(&b.total()),
        _ => std::cmp::Ordering::Equal,
    }
}

//! Sums and averages in the type of the answer: the one place where ranges are checked.

use super::FinishError;
use crate::function::Function;
use crate::partial::Sum;
use tiderace_types::{DataType, Value};

/// The sum or the average of `count` numbers of type `from`, as `to`. Of none: null.
pub(super) fn finish_sum(
    function: &Function,
    from: &DataType,
    to: &DataType,
    sum: Sum,
    count: u64,
) -> Result<Value, FinishError> {
    if count == 0 {
        return Ok(Value::Null);
    }
    match (function, sum) {
        (Function::Avg, Sum::Float(sum)) => Ok(Value::Float(sum.total() / count as f64)),
        (Function::Avg, Sum::Exact(sum)) => {
            let average = sum.total().and_then(|sum| average(sum, count, from, to));
            average.ok_or_else(|| FinishError::Overflow(to.clone()))
        }
        (_, sum) => sum_value(sum, to),
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

/// A sum in its result type.
pub(super) fn sum_value(sum: Sum, data_type: &DataType) -> Result<Value, FinishError> {
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

//! Sums and averages, exactly.

use super::Overflow;
use std::cmp::Ordering;
use tiderace_types::Value;

/// More digits than this no decimal has.
const DECIMAL_DIGITS: u32 = 38;

/// The sum of some numbers of one type, before it is fitted into that type.
#[derive(Clone, Debug)]
pub(super) enum Sum {
    Int(i128),
    Float(f64),
    Decimal(i128, i8),
}

impl Sum {
    /// Adds `values`, of which there is at least one.
    pub(super) fn of(values: &[&Value]) -> Sum {
        match values[0] {
            Value::Int(_) => Sum::Int(values.iter().map(|v| i128::from(int(v))).sum()),
            Value::Decimal(_, scale) => Sum::Decimal(exact(values), *scale),
            Value::Float(_) => {
                Sum::Float(Sum::rounded_once(values.iter().map(|v| float(v)).collect()))
            }
            other => panic!("{other:?} cannot be added"),
        }
    }

    /// Adds floats without error until the last rounding: the sum is held as floats whose
    /// digits do not overlap (J. R. Shewchuk, 1997), least first.
    pub(super) fn rounded_once(values: Vec<f64>) -> f64 {
        let mut parts: Vec<f64> = Vec::new();
        for value in &values {
            let mut carried = *value;
            let mut kept = Vec::with_capacity(parts.len() + 1);
            for part in parts {
                let (large, small) = if carried.abs() < part.abs() {
                    (part, carried)
                } else {
                    (carried, part)
                };
                let high = large + small;
                let low = small - (high - large);
                if low != 0.0 {
                    kept.push(low);
                }
                carried = high;
            }
            kept.push(carried);
            parts = kept;
        }
        // Adding zero makes −0 into 0: a sum is never −0.
        let sum: f64 = parts.iter().sum::<f64>() + 0.0;
        // Infinities and what overflows to them have no exact parts.
        if sum.is_nan() {
            values.iter().sum()
        } else {
            sum
        }
    }

    pub(super) fn compare(&self, other: &Sum) -> Ordering {
        match (self, other) {
            (Sum::Int(a), Sum::Int(b)) | (Sum::Decimal(a, _), Sum::Decimal(b, _)) => a.cmp(b),
            (Sum::Float(a), Sum::Float(b)) => a.total_cmp(b),
            _ => panic!("sums of different types"),
        }
    }

    /// The sum as a value.
    pub(super) fn total(&self) -> Result<Value, Overflow> {
        match *self {
            Sum::Int(sum) => i64::try_from(sum).map(Value::Int).map_err(|_| Overflow),
            Sum::Float(sum) => Ok(Value::Float(sum)),
            Sum::Decimal(sum, scale) => decimal(sum, scale),
        }
    }

    /// The average over `count` numbers: of decimals with four more digits after the point,
    /// rounded half away from zero; of the others a float.
    pub(super) fn average(&self, count: usize) -> Result<Value, Overflow> {
        match *self {
            Sum::Int(sum) => Ok(Value::Float(sum as f64 / count as f64)),
            Sum::Float(sum) => Ok(Value::Float(sum / count as f64)),
            // Held at the limit: what it would have been is not known.
            Sum::Decimal(i128::MIN | i128::MAX, _) => Err(Overflow),
            Sum::Decimal(sum, scale) => {
                let wider = (scale + 4).min(38);
                let shift = 10i128.pow(u32::from((wider - scale).unsigned_abs()));
                let count = count as i128;
                // Whole and rest apart, so that the shift overflows only where the answer does.
                let whole = (sum / count).checked_mul(shift).ok_or(Overflow)?;
                let rest = sum % count * shift;
                let half_away = (2 * rest.abs() + count) / (2 * count) * rest.signum();
                decimal(whole.checked_add(half_away).ok_or(Overflow)?, wider)
            }
        }
    }
}

fn decimal(unscaled: i128, scale: i8) -> Result<Value, Overflow> {
    if unscaled.unsigned_abs() >= 10u128.pow(DECIMAL_DIGITS) {
        return Err(Overflow);
    }
    Ok(Value::Decimal(unscaled, scale))
}

/// Adds decimals. Each next one has the sign opposite to the sum's while there is such a one,
/// so nothing overflows on the way but what does in the end, and that is held at the limit.
fn exact(values: &[&Value]) -> i128 {
    let number = |value: &Value| match value {
        Value::Decimal(unscaled, _) => *unscaled,
        other => panic!("{other:?} among decimals"),
    };
    let (mut minus, mut plus): (Vec<i128>, Vec<i128>) =
        values.iter().map(|v| number(v)).partition(|n| *n < 0);
    let mut sum = 0i128;
    while let Some(next) = match sum {
        0.. => minus.pop().or_else(|| plus.pop()),
        _ => plus.pop().or_else(|| minus.pop()),
    } {
        sum = sum.saturating_add(next);
    }
    sum
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(n) => *n,
        other => panic!("{other:?} among integers"),
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Float(x) => *x,
        other => panic!("{other:?} among floats"),
    }
}

//! Whether a served value is the one that a recount gives.

use crate::convert::to_proto;
use crate::proto;
use proto::value::Kind;
use proto::value_bound::Bound;
use tiderace_types::Value;

/// How a served value stands to a recounted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are equal; doubles to 1e-9 of themselves, or of the sum of magnitudes.
    Equal,
    /// The served one says by how much it may be off, and is off by no more.
    WithinBound,
    /// They are not.
    Different,
}

/// Compares a served value with a recounted one. `magnitude` is the sum of magnitudes of what was
/// added up, to which sums of doubles are exact; 0 where there is none.
#[must_use]
pub fn judge(
    served: &proto::Value,
    bound: Option<&proto::ValueBound>,
    recounted: &Value,
    magnitude: f64,
) -> Verdict {
    let expected = to_proto(recounted.clone());
    if agrees(served, &expected, 1e-9, magnitude) {
        return Verdict::Equal;
    }
    let within = bound.is_some_and(|bound| within(served, bound, &expected));
    match within {
        true => Verdict::WithinBound,
        false => Verdict::Different,
    }
}

fn within(served: &proto::Value, bound: &proto::ValueBound, expected: &proto::Value) -> bool {
    match bound.bound {
        Some(Bound::Relative(error)) => agrees(served, expected, error, 0.0),
        // Which keys are missing from a map that is cut is for its aggregate to say.
        Some(Bound::Absolute(_) | Bound::LeastKeys(_)) => true,
        // Edges that are off bound no value.
        None => bound.edges_off.is_some(),
    }
}

fn agrees(a: &proto::Value, b: &proto::Value, relative: f64, magnitude: f64) -> bool {
    let close =
        |a: f64, b: f64| a == b || (a - b).abs() <= relative * a.abs().max(b.abs()).max(magnitude);
    match (&a.kind, &b.kind) {
        (Some(Kind::DoubleValue(a)), Some(Kind::DoubleValue(b))) => close(*a, *b),
        (Some(Kind::Int64Value(a)), Some(Kind::Int64Value(b))) if relative > 1e-9 => {
            close(*a as f64, *b as f64)
        }
        (Some(Kind::ListValue(a)), Some(Kind::ListValue(b))) => {
            let mut pairs = a.values.iter().zip(&b.values);
            a.values.len() == b.values.len()
                && pairs.all(|(a, b)| agrees(a, b, relative, magnitude))
        }
        (Some(Kind::MapValue(a)), Some(Kind::MapValue(b))) => {
            let mut pairs = a.entries.iter().zip(&b.entries);
            a.entries.len() == b.entries.len()
                && pairs.all(|(a, b)| {
                    a.key == b.key
                        && match (&a.value, &b.value) {
                            (Some(a), Some(b)) => agrees(a, b, relative, magnitude),
                            (a, b) => a == b,
                        }
                })
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_agree_to_the_sum_of_magnitudes() {
        let served = |x: f64| to_proto(Value::Float(x));
        let verdict = |x, magnitude| judge(&served(x), None, &Value::Float(1.0), magnitude);
        assert_eq!(verdict(1.0 + 1e-10, 0.0), Verdict::Equal);
        assert_eq!(verdict(1.0 + 1e-8, 0.0), Verdict::Different);
        assert_eq!(verdict(1.0 + 1e-8, 100.0), Verdict::Equal);
    }

    #[test]
    fn a_bound_is_held_to() {
        let bound = proto::ValueBound {
            bound: Some(Bound::Relative(0.1)),
            ..Default::default()
        };
        let verdict = |n| {
            judge(
                &to_proto(Value::Int(n)),
                Some(&bound),
                &Value::Int(100),
                0.0,
            )
        };
        assert_eq!(verdict(100), Verdict::Equal);
        assert_eq!(verdict(109), Verdict::WithinBound);
        assert_eq!(verdict(120), Verdict::Different);
        assert_eq!(
            judge(&to_proto(Value::Null), None, &Value::Int(0), 0.0),
            Verdict::Different
        );
    }
}

//! Entropy: exact from all counts, between bounds from those of the heavy values.
//!
//! Past the cap, a share ρ of all N values is not in what is held: R values, of which no
//! more than `missed` are equal. What is held and what is not are two distributions mixed,
//! and the entropy of a mixture is at least the mean of theirs and at most that and the
//! entropy of the choice, H(ρ). That of what is not held is at least log2(R / missed), and at
//! most log2 R: no two equal. The answer is the middle.

use crate::answer::{Answer, Bound};
use crate::partial::{Sum, Weights};
use tiderace_types::Value;

pub(super) fn finish(weights: &Weights) -> Answer {
    let Some(total) = weights.total().map(Sum::to_f64) else {
        return Value::Null.into();
    };
    let held = || weights.entries.iter().map(|weight| weight.sum.to_f64());
    let sum_held: f64 = held().sum();
    let of_held: f64 = held().map(|count| share(count / sum_held)).sum();
    let Some(past) = weights.past else {
        return Value::Float(of_held).into();
    };
    let others = (total - sum_held).max(0.0);
    let rest = others / total;
    let known = (1.0 - rest) * of_held;
    let least = known + rest * (others / past.missed.max(1.0)).max(1.0).log2();
    let most = known + rest * others.max(1.0).log2() + share(rest) + share(1.0 - rest);
    Answer {
        value: Value::Float(f64::midpoint(least, most)),
        bound: Some(Bound::Absolute {
            error: (most - least) / 2.0,
        }),
    }
}

/// What a share adds to the entropy.
fn share(p: f64) -> f64 {
    match p > 0.0 && p < 1.0 {
        true => -p * p.log2(),
        false => 0.0,
    }
}

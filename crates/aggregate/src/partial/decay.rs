//! Exponential decay: sums of numbers that lose half of their weight in every half-life.
//!
//! Weights are taken at a multiple of the half-life at or after every event, the *step*. A later
//! event moves the step, which halves what is held so many times: exactly, so that no error
//! gathers, and nothing grows: what is too old to matter becomes zero.
//!
//! # Laws
//! - Sums agree to 1e-9 of the sum of weighted magnitudes in any split and order.
//! - Numbers do not depend on when they are asked for. The weight of a term is between ½ and 1
//!   when it comes.

use crate::float::{FloatSum, halved};
use tiderace_types::{Duration, Timestamp};

/// Weighted sums at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decayed {
    /// The instant that weights are taken at, in half-lives since 1970.
    pub step: i64,
    /// The weighted sum.
    pub sum: FloatSum,
    /// The sum of the weights.
    pub weight: FloatSum,
}

impl Decayed {
    /// One number at an instant.
    pub(crate) fn of(x: f64, time: i64, half_life: Duration) -> Decayed {
        let (before, past) = (time.div_euclid(half_life.0), time.rem_euclid(half_life.0));
        let (step, until) = match past {
            0 => (before, 0),
            _ => (before + 1, half_life.0 - past),
        };
        let weight = (-(until as f64 / half_life.0 as f64)).exp2();
        let one = |x| FloatSum { sum: x, lost: 0.0 };
        Decayed {
            step,
            sum: one(x * weight),
            weight: one(weight),
        }
    }

    /// Adds other numbers.
    pub(crate) fn merge(&mut self, other: &Decayed) {
        let step = self.step.max(other.step);
        let (a, b) = (self.at(step), other.at(step));
        *self = a;
        self.sum.merge(b.sum);
        self.weight.merge(b.weight);
    }

    /// The same at a later step.
    fn at(&self, step: i64) -> Decayed {
        let times = step.abs_diff(self.step);
        Decayed {
            step,
            sum: self.sum.halved(times),
            weight: self.weight.halved(times),
        }
    }

    /// The weighted sum as of an instant at or after every event.
    pub(crate) fn sum_at(&self, at: Timestamp, half_life: Duration) -> f64 {
        let step = i128::from(self.step) * i128::from(half_life.0);
        let since = i128::from(at.0) - step;
        let half_life = i128::from(half_life.0);
        let (times, rest) = (since.div_euclid(half_life), since.rem_euclid(half_life));
        let sum = self.sum.total() * (-(rest as f64 / half_life as f64)).exp2();
        match u64::try_from(times) {
            Ok(times) => halved(sum, times),
            // The step lies after the instant, by less than a half-life.
            Err(_) => sum * 2.0,
        }
    }

    /// The weighted average.
    pub(crate) fn average(&self) -> f64 {
        self.sum.total() / self.weight.total()
    }
}

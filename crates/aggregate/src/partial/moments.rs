//! Variance, standard deviation, skewness and kurtosis: sums of powers about the mean.
//!
//! A range of events is gone through twice, once for its mean and once for the powers of the
//! differences from it. Parts are put together by the formulas of T. Chan et al. (1979) and
//! P. Pébay (2008). The mean is held as two doubles and the sums are compensated, so that
//! neither a mean that is large beside the differences nor many small parts cost digits.
//!
//! # Laws
//! - Where all numbers are equal, every sum is exactly 0.
//! - The second and fourth sum agree to 1e-9 of themselves in any split and order, the third
//!   to 1e-9 of the sum of absolute third powers, while these are neither past 1.8e308 nor below 2.3e-308.

use crate::float::{FloatSum, two_sum};

/// Sums of powers of the differences of numbers from their mean.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Moments {
    /// How many numbers.
    pub count: u64,
    /// The mean: its double, and what that leaves over.
    pub mean: [f64; 2],
    /// The sums of second, third and fourth powers.
    pub powers: [FloatSum; 3],
}

impl Moments {
    /// The moments of `numbers`, which are gone through twice.
    pub(crate) fn of(numbers: impl Iterator<Item = f64> + Clone) -> Moments {
        let Some(origin) = numbers.clone().next() else {
            return Moments::default();
        };
        // From the first number on, so that equal ones differ by nothing.
        let (mut count, mut sum) = (0u64, FloatSum::default());
        for x in numbers.clone() {
            let (difference, lost) = two_sum(x, -origin);
            sum.add(difference);
            sum.lost += lost;
            count += 1;
        }
        let (high, low) = two_sum(origin, sum.total() / count as f64);
        let mut moments = Moments {
            count,
            mean: [high, low],
            powers: [FloatSum::default(); 3],
        };
        for x in numbers {
            let (difference, lost) = two_sum(x, -high);
            let d = difference + (lost - low);
            let square = d * d;
            moments.powers[0].add(square);
            moments.powers[1].add(square * d);
            moments.powers[2].add(square * square);
        }
        moments.settle();
        moments
    }

    /// Writes what is past the doubles in one way.
    fn settle(&mut self) {
        if !self.mean.iter().all(|part| part.is_finite()) {
            self.mean = [f64::INFINITY, 0.0];
        }
        for sum in &mut self.powers {
            if !sum.total().is_finite() {
                *sum = FloatSum {
                    sum: f64::INFINITY,
                    lost: 0.0,
                };
            }
        }
    }

    /// Adds other numbers.
    pub(crate) fn merge(&mut self, other: &Moments) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let all = a + b;
        let (share_a, share_b) = (a / all, b / all);
        let (d, mean) = joined(self.mean, other.mean, share_b);
        let [a2, a3, _] = self.powers.map(FloatSum::total);
        let [b2, b3, _] = other.powers.map(FloatSum::total);
        let terms = [
            [d * d * a * share_b, 0.0, 0.0],
            [
                d * d * d * a * share_b * (share_a - share_b),
                3.0 * d * (share_a * b2 - share_b * a2),
                0.0,
            ],
            [
                d * d
                    * d
                    * d
                    * a
                    * share_b
                    * (share_a * share_a - share_a * share_b + share_b * share_b),
                6.0 * d * d * (share_a * share_a * b2 + share_b * share_b * a2),
                4.0 * d * (share_a * b3 - share_b * a3),
            ],
        ];
        for ((held, more), terms) in self.powers.iter_mut().zip(other.powers).zip(terms) {
            held.merge(more);
            terms.into_iter().for_each(|term| held.add(term));
        }
        self.mean = mean;
        self.count = self.count.saturating_add(other.count);
        self.settle();
    }

    /// The variance over `count − less`; `None` where there are no more numbers than that.
    pub(crate) fn variance(&self, less: u64) -> Option<f64> {
        let over = self.count.checked_sub(less).filter(|over| *over > 0)?;
        Some(self.power(0).max(0.0) / over as f64)
    }

    /// `√count · m3 / m2^1.5`; `None` where that divides by nothing.
    pub(crate) fn skewness(&self) -> Option<f64> {
        let m2 = self.power(0);
        let scale = divisor(m2 * m2.sqrt())?;
        Some((self.count as f64).sqrt() * (self.power(1) / scale))
    }

    /// `count · m4 / m2² − 3`; `None` where that divides by nothing.
    pub(crate) fn kurtosis(&self) -> Option<f64> {
        let m2 = self.power(0);
        let scale = divisor(m2 * m2)?;
        Some(self.count as f64 * (self.power(2) / scale) - 3.0)
    }

    fn power(&self, place: usize) -> f64 {
        self.powers[place].total()
    }
}

/// How far the mean of other numbers is from `mean`, and the mean of both, of which the others are `share`.
pub(super) fn joined(mean: [f64; 2], other: [f64; 2], share: f64) -> (f64, [f64; 2]) {
    let (between, lost) = two_sum(other[0], -mean[0]);
    let d = between + (lost + (other[1] - mean[1]));
    let (high, lost) = two_sum(mean[0], d * share);
    let (high, low) = two_sum(high, lost + mean[1]);
    (d, [high, low])
}

/// A divisor that is neither nothing nor all but. One that is not finite makes no finite answer.
fn divisor(scale: f64) -> Option<f64> {
    match scale {
        scale if scale < f64::MIN_POSITIVE => None,
        scale if scale.is_finite() => Some(scale),
        _ => Some(f64::NAN),
    }
}

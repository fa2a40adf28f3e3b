//! Variance alone: what [`Moments`](super::Moments) tell of the second powers, in less time.
//!
//! Numbers are gone through twice, for a mean and for the squares of the differences from it; what
//! the first pass gets wrong of the mean, the second tells (T. Chan, G. Golub and R. LeVeque,
//! "Algorithms for computing the sample variance", 1983). Squares do not cancel out, so that plain
//! sums, four side by side, lose no more than the last digits. Parts are put together as moments are.
//!
//! # Laws
//! - Where all numbers are equal, the sum is exactly 0.
//! - It agrees with that of [`Moments`](super::Moments) to 1e-9 of itself.

use super::Moments;
use super::moments::joined;
use crate::float::{FloatSum, two_sum};

/// How many sums are added to side by side.
const LANES: usize = 4;

/// The sum of the squares of the differences of numbers from their mean.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    count: u64,
    mean: [f64; 2],
    squares: FloatSum,
}

impl Moments {
    /// What they tell of second powers.
    pub(crate) const fn spread(&self) -> Spread {
        Spread {
            count: self.count,
            mean: self.mean,
            squares: self.powers[0],
        }
    }
}

impl Spread {
    /// The spread of `numbers`.
    pub(crate) fn of<T>(numbers: &[T], double: impl Fn(&T) -> f64) -> Spread {
        let Some(first) = numbers.first() else {
            return Spread::default();
        };
        let origin = double(first);
        let count = numbers.len() as f64;
        let [sum] = sums(numbers, |x| [double(x) - origin]);
        let (high, low) = two_sum(origin, sum / count);
        let [off, squares] = sums(numbers, |x| {
            let difference = (double(x) - high) - low;
            [difference, difference * difference]
        });
        let off = off / count;
        let (high, low) = two_sum(high, low + off);
        let mut spread = Spread {
            count: numbers.len() as u64,
            mean: [high, low],
            squares: FloatSum {
                sum: (squares - off * off * count).max(0.0),
                lost: 0.0,
            },
        };
        spread.settle(squares);
        spread
    }

    /// Adds other numbers.
    pub(crate) fn merge(&mut self, other: &Spread) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let share = b / (a + b);
        let (d, mean) = joined(self.mean, other.mean, share);
        self.squares.merge(other.squares);
        self.squares.add(d * d * a * share);
        self.mean = mean;
        self.count = self.count.saturating_add(other.count);
        self.settle(self.squares.total());
    }

    /// Writes what is past the doubles in one way.
    fn settle(&mut self, squares: f64) {
        if !self.mean.iter().all(|part| part.is_finite()) {
            self.mean = [f64::INFINITY, 0.0];
        }
        if !squares.is_finite() {
            self.squares = FloatSum {
                sum: f64::INFINITY,
                lost: 0.0,
            };
        }
    }

    /// The same as moments, of which only the second is told.
    pub(crate) fn moments(&self) -> Moments {
        Moments {
            count: self.count,
            mean: self.mean,
            powers: [self.squares, FloatSum::default(), FloatSum::default()],
        }
    }
}

/// Sums of what comes of each number, added up side by side.
#[inline]
fn sums<T, const N: usize>(numbers: &[T], of: impl Fn(&T) -> [f64; N]) -> [f64; N] {
    let mut lanes = [[0.0; LANES]; N];
    let mut add = |numbers: &[T]| {
        for (lane, number) in numbers.iter().enumerate() {
            for (sums, term) in lanes.iter_mut().zip(of(number)) {
                sums[lane] += term;
            }
        }
    };
    let (fours, rest) = numbers.as_chunks::<LANES>();
    fours.iter().for_each(|four| add(four));
    add(rest);
    lanes.map(|[a, b, c, d]| (a + b) + (c + d))
}

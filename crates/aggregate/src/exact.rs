//! Addition of integers and decimals that never loses a digit.

/// A sum of 128-bit numbers, however far past 128 bits it goes on the way.
///
/// It stands for `low + carry × 2^128`, in one way only, so any order of addition
/// gives the same sum. Fields are in the order that makes greater sums greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ExactSum {
    /// How often the low half has run over, less how often it has run under.
    pub carry: i64,
    /// The low half.
    pub low: i128,
}

impl ExactSum {
    /// Adds one number.
    #[inline]
    pub const fn add(&mut self, number: i128) {
        let (low, ran_over) = self.low.overflowing_add(number);
        self.low = low;
        if ran_over {
            self.carry = self.carry.saturating_add(if number < 0 { -1 } else { 1 });
        }
    }

    /// Adds another sum.
    pub const fn merge(&mut self, other: ExactSum) {
        self.add(other.low);
        self.carry = self.carry.saturating_add(other.carry);
    }

    /// The sum, where it fits 128 bits.
    #[must_use]
    pub const fn total(self) -> Option<i128> {
        match self.carry {
            0 => Some(self.low),
            _ => None,
        }
    }
}

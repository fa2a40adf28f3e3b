//! What one value weighs, in a form that takes little to add to and to compare.

use crate::column::Cell;
use crate::exact::ExactSum;
use crate::float::{FloatSum, of_rank, rank};
use crate::partial::Sum;
use crate::partial::listed::Sums;
use tiderace_types::{DataType, Value};

/// What one value weighs.
pub(super) trait Weigh: Copy + Default {
    /// What is greater for what weighs more.
    type Rank: Ord + Copy;
    fn rank(self) -> Self::Rank;
    /// Whether a [`Weigh::word`] tells all of an answer of this type.
    fn in_word(weight_type: &DataType) -> bool;
    /// The same as a number of the same order.
    fn word(self) -> u64;
    /// What a [`Weigh::word`] is the same as.
    fn of_word(word: u64) -> Self;
    /// What is answered for a [`Weigh::word`].
    fn value(word: u64) -> Value;
    /// Tells at once of most that weigh less.
    fn is_lighter(self, than: Self) -> bool;
    fn add_cell(&mut self, cell: Cell<'_>);
    /// The form that it has in lists.
    type Listed;
    /// A list of that form.
    fn listed(sums: &Sums) -> Option<&[Self::Listed]>;
    fn merge_listed(&mut self, sum: &Self::Listed);
    fn merge_sum(&mut self, sum: Sum);
    fn sum(self) -> Sum;
    /// The same as a double.
    fn about(self) -> f64;
}

impl Weigh for ExactSum {
    type Rank = ExactSum;

    fn rank(self) -> ExactSum {
        self
    }

    fn in_word(_: &DataType) -> bool {
        false
    }

    fn word(self) -> u64 {
        0
    }

    fn of_word(_: u64) -> ExactSum {
        ExactSum::default()
    }

    fn value(word: u64) -> Value {
        unreachable!("{word} tells no sum")
    }

    type Listed = ExactSum;

    fn listed(_: &Sums) -> Option<&[ExactSum]> {
        None
    }

    fn merge_listed(&mut self, sum: &ExactSum) {
        self.merge(*sum);
    }

    fn is_lighter(self, than: ExactSum) -> bool {
        self < than
    }

    #[inline]
    fn add_cell(&mut self, cell: Cell<'_>) {
        match cell {
            Cell::Int(n) => self.add(n.into()),
            Cell::Decimal(n) => self.add(n),
            _ => {}
        }
    }

    #[inline]
    fn merge_sum(&mut self, sum: Sum) {
        if let Sum::Exact(sum) = sum {
            self.merge(sum);
        }
    }

    fn sum(self) -> Sum {
        Sum::Exact(self)
    }

    fn about(self) -> f64 {
        self.sum().to_f64()
    }
}

/// How often a value comes, or a sum of integers, where that leaves room for as much again and again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Small(i64);

impl Weigh for Small {
    type Rank = i64;

    fn rank(self) -> i64 {
        self.0
    }

    fn in_word(weight_type: &DataType) -> bool {
        *weight_type == DataType::Int64
    }

    #[inline]
    fn word(self) -> u64 {
        rising(self.0)
    }

    #[inline]
    fn of_word(word: u64) -> Small {
        Small(risen(word))
    }

    #[inline]
    fn value(word: u64) -> Value {
        Value::Int(risen(word))
    }

    #[inline]
    fn is_lighter(self, than: Small) -> bool {
        self.0 < than.0
    }

    type Listed = i64;

    fn listed(sums: &Sums) -> Option<&[i64]> {
        match sums {
            Sums::Small(counts) => Some(counts),
            Sums::Float(_) => None,
        }
    }

    #[inline]
    fn merge_listed(&mut self, count: &i64) {
        self.0 = self.0.saturating_add(*count);
    }

    #[inline]
    fn add_cell(&mut self, cell: Cell<'_>) {
        if let Cell::Int(n) = cell {
            self.0 = self.0.saturating_add(n);
        }
    }

    #[inline]
    fn merge_sum(&mut self, sum: Sum) {
        if let Sum::Exact(sum) = sum {
            self.0 = self.0.saturating_add(sum.low as i64);
        }
    }

    fn sum(self) -> Sum {
        Sum::Exact(ExactSum {
            carry: 0,
            low: self.0.into(),
        })
    }

    #[inline]
    fn about(self) -> f64 {
        self.0 as f64
    }
}

impl Weigh for FloatSum {
    type Rank = i64;

    #[inline]
    fn rank(self) -> i64 {
        rank(self.total())
    }

    fn in_word(_: &DataType) -> bool {
        true
    }

    #[inline]
    fn word(self) -> u64 {
        rising(rank(self.total()))
    }

    #[inline]
    fn of_word(word: u64) -> FloatSum {
        FloatSum {
            sum: of_rank(risen(word)),
            lost: 0.0,
        }
    }

    #[inline]
    fn value(word: u64) -> Value {
        Value::Float(of_rank(risen(word)))
    }

    type Listed = FloatSum;

    fn listed(sums: &Sums) -> Option<&[FloatSum]> {
        match sums {
            Sums::Float(sums) => Some(sums),
            Sums::Small(_) => None,
        }
    }

    #[inline]
    fn merge_listed(&mut self, sum: &FloatSum) {
        self.merge(*sum);
    }

    /// Of what is not finite ranks tell.
    #[inline]
    fn is_lighter(self, than: FloatSum) -> bool {
        let sum = self.sum + self.lost;
        sum < than.sum && sum >= f64::MIN
    }

    #[inline]
    fn add_cell(&mut self, cell: Cell<'_>) {
        if let Cell::Float(x) = cell {
            self.add(x);
        }
    }

    #[inline]
    fn merge_sum(&mut self, sum: Sum) {
        if let Sum::Float(sum) = sum {
            self.merge(sum);
        }
    }

    fn sum(self) -> Sum {
        Sum::Float(self)
    }

    #[inline]
    fn about(self) -> f64 {
        self.total()
    }
}

/// Signed numbers as unsigned ones of the same order.
#[inline]
pub(super) const fn rising(number: i64) -> u64 {
    (number ^ i64::MIN).cast_unsigned()
}

/// The signed number of a [`rising`] one.
#[inline]
pub(super) const fn risen(number: u64) -> i64 {
    number.cast_signed() ^ i64::MIN
}

//! What one value weighs, in a form that takes little to add to and to compare.

use super::plain::{of_rank, rank};
use crate::column::Cell;
use crate::exact::ExactSum;
use crate::float::FloatSum;
use crate::partial::Sum;
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
    /// What is answered for a [`Weigh::word`].
    fn value(word: u64) -> Value;
    fn add_cell(&mut self, cell: Cell<'_>);
    fn merge_sum(&mut self, sum: Sum);
    fn sum(self) -> Sum;
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

    fn value(word: u64) -> Value {
        unreachable!("{word} tells no sum")
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
}

/// How often a value comes, where that leaves room for as much again and again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Small(i64);

impl Small {
    /// So large may counts that are merged be.
    const MOST: i128 = 1 << 40;

    pub(super) fn fits(sum: Sum) -> bool {
        matches!(sum, Sum::Exact(ExactSum { carry: 0, low }) if (0..=Small::MOST).contains(&low))
    }
}

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
    fn value(word: u64) -> Value {
        Value::Int(risen(word))
    }

    /// A count has nothing but ones to add.
    #[inline]
    fn add_cell(&mut self, _: Cell<'_>) {
        self.0 += 1;
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
    fn value(word: u64) -> Value {
        Value::Float(of_rank(risen(word)))
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

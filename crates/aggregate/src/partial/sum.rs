//! Sums of one column: exact, or compensated.

use crate::column::Cell;
use crate::exact::ExactSum;
use crate::float::FloatSum;
use std::cmp::Ordering;
use tiderace_types::DataType;

/// An exact or compensated sum, with how many values went in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    /// Of integers and decimals (unscaled).
    Exact(ExactSum),
    /// Of doubles.
    Float(FloatSum),
}

impl Sum {
    /// Adds a cell; a null adds nothing. Tells whether it was a value.
    #[inline]
    pub fn add(&mut self, cell: Cell<'_>) -> bool {
        match (&mut *self, cell) {
            (_, Cell::Null | Cell::Bytes(_)) => return false,
            (Sum::Exact(sum), Cell::Int(n)) => sum.add(n.into()),
            (Sum::Exact(sum), Cell::Decimal(n)) => sum.add(n),
            (Sum::Float(sum), Cell::Float(x)) => sum.add(x),
            _ => {}
        }
        true
    }

    /// Adds another sum of the same column.
    pub fn merge(&mut self, other: Sum) {
        match (self, other) {
            (Sum::Exact(a), Sum::Exact(b)) => a.merge(b),
            (Sum::Float(a), Sum::Float(b)) => a.merge(b),
            (a, b) => debug_assert!(false, "sums of one column differ: {a:?} and {b:?}"),
        }
    }

    /// Nothing yet, for inputs of `data_type`.
    #[must_use]
    pub fn zero(data_type: &DataType) -> Sum {
        match data_type {
            DataType::Float64 => Sum::Float(FloatSum::default()),
            _ => Sum::Exact(ExactSum::default()),
        }
    }

    /// Nothing yet, of the kind of another.
    pub(crate) const fn zero_like(other: Sum) -> Sum {
        match other {
            Sum::Exact(_) => Sum::Exact(ExactSum { carry: 0, low: 0 }),
            Sum::Float(_) => Sum::Float(FloatSum {
                sum: 0.0,
                lost: 0.0,
            }),
        }
    }

    /// The order of sums of one column: doubles by IEEE 754 total order.
    pub(crate) fn order(&self, other: &Sum) -> Ordering {
        match (self, other) {
            (Sum::Exact(a), Sum::Exact(b)) => a.cmp(b),
            (Sum::Float(a), Sum::Float(b)) => a.total().total_cmp(&b.total()),
            _ => Ordering::Equal,
        }
    }

    /// The sum as a double, of integers and of unscaled decimals too.
    pub(crate) fn to_f64(self) -> f64 {
        match self {
            Sum::Exact(sum) => sum.low as f64 + sum.carry as f64 * 2f64.powi(128),
            Sum::Float(sum) => sum.total(),
        }
    }
}

//! Sums of one column: exact, or compensated.

use crate::column::Cell;
use crate::exact::ExactSum;
use crate::float::FloatSum;
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
}

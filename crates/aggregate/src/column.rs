//! One evaluated input of a row's events: typed values with nulls.
//!
//! Five physical forms carry all scalar types: booleans, instants and spans are
//! integers here, text is bytes. What they mean is the spec's [`DataType`].

use std::cmp::Ordering;
use tiderace_types::{DataType, Timestamp, Value};

/// One input value of one event, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// A bool (0 or 1), an int64, a timestamp or a duration.
    Int(i64),
    /// A float64.
    Float(f64),
    /// A decimal's unscaled number.
    Decimal(i128),
    /// A string or bytes.
    Bytes(&'a [u8]),
}

impl Cell<'_> {
    /// The order of the key encoding: nulls first, floats by IEEE 754 total order.
    ///
    /// Both cells come from one column, so their forms agree.
    #[inline]
    #[must_use]
    pub fn key_order(&self, other: &Cell<'_>) -> Ordering {
        match (self, other) {
            (Cell::Int(a), Cell::Int(b)) => a.cmp(b),
            (Cell::Float(a), Cell::Float(b)) => a.total_cmp(b),
            (Cell::Decimal(a), Cell::Decimal(b)) => a.cmp(b),
            (Cell::Bytes(a), Cell::Bytes(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Cell::Null => 0,
            Cell::Int(_) => 1,
            Cell::Float(_) => 2,
            Cell::Decimal(_) => 3,
            Cell::Bytes(_) => 4,
        }
    }

    /// The value it stands for in a column of `data_type`.
    ///
    /// Bytes that are not UTF-8 in a string column read with replacement characters;
    /// decoders refuse such bytes, so none is stored.
    #[inline]
    #[must_use]
    pub fn to_value(self, data_type: &DataType) -> Value {
        match (self, data_type) {
            (Cell::Null, _) => Value::Null,
            (Cell::Int(n), DataType::Bool) => Value::Bool(n != 0),
            (Cell::Int(n), DataType::Timestamp) => Value::Timestamp(Timestamp(n)),
            (Cell::Int(n), DataType::Duration) => Value::Duration(n),
            (Cell::Int(n), _) => Value::Int(n),
            (Cell::Float(x), _) => Value::Float(x),
            (Cell::Decimal(n), DataType::Decimal { scale, .. }) => Value::Decimal(n, *scale),
            (Cell::Decimal(n), _) => Value::Decimal(n, 0),
            (Cell::Bytes(bytes), DataType::Bytes) => Value::Bytes(bytes.into()),
            (Cell::Bytes(bytes), _) => Value::string(&String::from_utf8_lossy(bytes)),
        }
    }
}

/// Which slots of a column are null.
#[derive(Clone, Copy, Debug)]
pub struct Nulls<'a> {
    /// One word of flags per event; empty when no input has a null.
    pub(crate) words: &'a [u64],
    /// This column's flag.
    pub(crate) bit: u32,
}

impl Nulls<'_> {
    /// Tells whether slot `index` is null.
    #[inline]
    #[must_use]
    pub fn is_null(&self, index: usize) -> bool {
        !self.words.is_empty() && self.words[index] >> self.bit & 1 == 1
    }

    /// Tells whether any slot is null.
    #[must_use]
    pub fn any(&self) -> bool {
        self.words.iter().any(|flags| flags >> self.bit & 1 == 1)
    }
}

impl<'a> Nulls<'a> {
    /// Those of the slots from `from` on.
    pub(crate) fn tail(self, from: usize) -> Nulls<'a> {
        Nulls {
            words: self.words.get(from..).unwrap_or_default(),
            bit: self.bit,
        }
    }
}

/// Values of one physical form. Null slots hold the form's default.
#[derive(Debug)]
pub struct Slots<'a, T> {
    /// The values.
    pub values: &'a [T],
    /// Which slots are null.
    pub nulls: Nulls<'a>,
}

// Derived, these would ask the same of `T`.
impl<T> Copy for Slots<'_, T> {}
impl<T> Clone for Slots<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<'a, T> Slots<'a, T> {
    /// Those from `from` on.
    fn tail(self, from: usize) -> Slots<'a, T> {
        Slots {
            values: &self.values[from..],
            nulls: self.nulls.tail(from),
        }
    }
}

impl<T> Slots<'_, T> {
    /// Tells whether slot `index` is null.
    #[inline]
    #[must_use]
    pub fn is_null(&self, index: usize) -> bool {
        self.nulls.is_null(index)
    }
}

/// One input over all events of a row, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Column<'a> {
    /// Bools, int64s, timestamps, durations.
    Int(Slots<'a, i64>),
    /// Float64s.
    Float(Slots<'a, f64>),
    /// Decimals, unscaled.
    Decimal(Slots<'a, i128>),
    /// Strings and bytes.
    Bytes(Slots<'a, Box<[u8]>>),
}

impl<'a> Column<'a> {
    /// Which of its values are null.
    #[inline]
    #[must_use]
    pub fn nulls(&self) -> Nulls<'a> {
        match self {
            Column::Int(slots) => slots.nulls,
            Column::Float(slots) => slots.nulls,
            Column::Decimal(slots) => slots.nulls,
            Column::Bytes(slots) => slots.nulls,
        }
    }

    /// The column without its first `from` events.
    pub(crate) fn tail(self, from: usize) -> Column<'a> {
        match self {
            Column::Int(slots) => Column::Int(slots.tail(from)),
            Column::Float(slots) => Column::Float(slots.tail(from)),
            Column::Decimal(slots) => Column::Decimal(slots.tail(from)),
            Column::Bytes(slots) => Column::Bytes(slots.tail(from)),
        }
    }

    /// The cell of event `index`.
    #[inline]
    #[must_use]
    pub fn cell(&self, index: usize) -> Cell<'a> {
        match self {
            Column::Int(s) if !s.is_null(index) => Cell::Int(s.values[index]),
            Column::Float(s) if !s.is_null(index) => Cell::Float(s.values[index]),
            Column::Decimal(s) if !s.is_null(index) => Cell::Decimal(s.values[index]),
            Column::Bytes(s) if !s.is_null(index) => Cell::Bytes(&s.values[index]),
            _ => Cell::Null,
        }
    }
}

//! One evaluated input of a row's events: a typed vector with nulls.
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

/// A vector of one physical form. Null slots hold the form's default.
#[derive(Clone, Debug, PartialEq)]
pub struct Slots<T> {
    /// The values.
    pub values: Vec<T>,
    /// Which slots are null; empty when none is.
    pub nulls: Vec<bool>,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots {
            values: Vec::new(),
            nulls: Vec::new(),
        }
    }
}

impl<T: Clone + Default> Slots<T> {
    /// Tells whether slot `index` is null.
    #[inline]
    #[must_use]
    pub fn is_null(&self, index: usize) -> bool {
        !self.nulls.is_empty() && self.nulls[index]
    }

    fn insert(&mut self, index: usize, value: Option<T>) {
        if value.is_none() && self.nulls.is_empty() {
            self.nulls = vec![false; self.values.len() + 1];
            self.nulls[index] = true;
        } else if !self.nulls.is_empty() {
            self.nulls.insert(index, value.is_none());
        }
        self.values.insert(index, value.unwrap_or_default());
    }

    fn tail(&self, from: usize) -> Slots<T> {
        Slots {
            values: self.values[from..].to_vec(),
            nulls: self.nulls.get(from..).unwrap_or_default().to_vec(),
        }
    }

    fn drop_front(&mut self, count: usize) {
        self.values.drain(..count);
        if !self.nulls.is_empty() {
            self.nulls.drain(..count);
            if !self.nulls.contains(&true) {
                self.nulls = Vec::new();
            }
        }
    }
}

/// One input over all events of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Bools, int64s, timestamps, durations.
    Int(Slots<i64>),
    /// Float64s.
    Float(Slots<f64>),
    /// Decimals, unscaled.
    Decimal(Slots<i128>),
    /// Strings and bytes.
    Bytes(Slots<Box<[u8]>>),
}

impl Column {
    /// An empty column for inputs of `data_type`.
    #[must_use]
    pub fn new(data_type: &DataType) -> Column {
        match data_type {
            DataType::Float64 => Column::Float(Slots::default()),
            DataType::Decimal { .. } => Column::Decimal(Slots::default()),
            DataType::String | DataType::Bytes => Column::Bytes(Slots::default()),
            DataType::Bool | DataType::Int64 | DataType::Timestamp | DataType::Duration => {
                Column::Int(Slots::default())
            }
            DataType::List(_) | DataType::Map(..) => {
                unreachable!("the plan refuses lists and maps as inputs")
            }
        }
    }

    /// The cell of event `index`.
    #[inline]
    #[must_use]
    pub fn cell(&self, index: usize) -> Cell<'_> {
        match self {
            Column::Int(s) if !s.is_null(index) => Cell::Int(s.values[index]),
            Column::Float(s) if !s.is_null(index) => Cell::Float(s.values[index]),
            Column::Decimal(s) if !s.is_null(index) => Cell::Decimal(s.values[index]),
            Column::Bytes(s) if !s.is_null(index) => Cell::Bytes(&s.values[index]),
            _ => Cell::Null,
        }
    }

    /// Puts `cell` before event `index`. Its form must be the column's.
    #[inline]
    pub fn insert(&mut self, index: usize, cell: Cell<'_>) {
        match (self, cell) {
            (Column::Int(s), Cell::Int(n)) => s.insert(index, Some(n)),
            (Column::Float(s), Cell::Float(x)) => s.insert(index, Some(x)),
            (Column::Decimal(s), Cell::Decimal(n)) => s.insert(index, Some(n)),
            (Column::Bytes(s), Cell::Bytes(bytes)) => s.insert(index, Some(bytes.into())),
            (Column::Int(s), Cell::Null) => s.insert(index, None),
            (Column::Float(s), Cell::Null) => s.insert(index, None),
            (Column::Decimal(s), Cell::Null) => s.insert(index, None),
            (Column::Bytes(s), Cell::Null) => s.insert(index, None),
            (column, cell) => unreachable!("a {cell:?} in a column of {column:?}"),
        }
    }

    /// Copies the cells from index `from` on.
    #[must_use]
    pub fn tail(&self, from: usize) -> Column {
        match self {
            Column::Int(s) => Column::Int(s.tail(from)),
            Column::Float(s) => Column::Float(s.tail(from)),
            Column::Decimal(s) => Column::Decimal(s.tail(from)),
            Column::Bytes(s) => Column::Bytes(s.tail(from)),
        }
    }

    /// Forgets the first `count` events.
    pub fn drop_front(&mut self, count: usize) {
        match self {
            Column::Int(s) => s.drop_front(count),
            Column::Float(s) => s.drop_front(count),
            Column::Decimal(s) => s.drop_front(count),
            Column::Bytes(s) => s.drop_front(count),
        }
    }

    /// Roughly how many bytes of memory the column takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        match self {
            Column::Int(s) => s.values.capacity() * 8 + s.nulls.capacity(),
            Column::Float(s) => s.values.capacity() * 8 + s.nulls.capacity(),
            Column::Decimal(s) => s.values.capacity() * 16 + s.nulls.capacity(),
            Column::Bytes(s) => {
                let text: usize = s.values.iter().map(|bytes| bytes.len() + 16).sum();
                text + s.values.capacity() * 16 + s.nulls.capacity()
            }
        }
    }
}

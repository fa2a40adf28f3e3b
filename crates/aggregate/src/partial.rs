//! Partial aggregates: what a set of events comes to before it is finished.
//!
//! # Laws
//! - `merge` is commutative and associative for every function but `First` and
//!   `Last`, whose parts must come in event order; floats agree to 1e-9 of the
//!   sum of magnitudes, the rest bit for bit.
//! - Adding events one at a time, or merging the partials of any split, is the same.

use crate::column::{Cell, Column};
use crate::events::Events;
use crate::exact::ExactSum;
use crate::float::FloatSum;
use crate::spec::{Function, Output};
use std::cmp::Ordering;
use std::ops::Range;
use tiderace_types::DataType;

/// A value that groups: an owned [`Cell`] in key order.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// From an integer form.
    Int(i64),
    /// From a double; −0 and 0 are two keys.
    Float(f64),
    /// From a decimal.
    Decimal(i128),
    /// From text.
    Bytes(Box<[u8]>),
}

impl Key {
    /// Copies a cell; a null is no key.
    #[must_use]
    pub fn new(cell: Cell<'_>) -> Option<Key> {
        Some(match cell {
            Cell::Null => return None,
            Cell::Int(n) => Key::Int(n),
            Cell::Float(x) => Key::Float(x),
            Cell::Decimal(n) => Key::Decimal(n),
            Cell::Bytes(bytes) => Key::Bytes(bytes.into()),
        })
    }

    /// The cell it came from.
    #[must_use]
    pub fn cell(&self) -> Cell<'_> {
        match self {
            Key::Int(n) => Cell::Int(*n),
            Key::Float(x) => Cell::Float(*x),
            Key::Decimal(n) => Cell::Decimal(*n),
            Key::Bytes(bytes) => Cell::Bytes(bytes),
        }
    }
}

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

/// What a set of events comes to, for one output.
#[derive(Clone, Debug, PartialEq)]
pub enum Partial {
    /// `count`.
    Count(u64),
    /// `sum` and `avg`.
    Sum {
        /// The sum.
        sum: Sum,
        /// How many values.
        count: u64,
    },
    /// `min`, `max`, `first` and `last`: the value so far.
    One(Option<Key>),
    /// `count_distinct`: the values, sorted, each once.
    Distinct(Vec<Key>),
    /// `top_n`: every value with its weight, sorted by value.
    Weights(Vec<(Key, Sum)>),
}

impl Partial {
    /// The partial of no events.
    #[must_use]
    pub fn empty(output: &Output, inputs: &[DataType]) -> Partial {
        let zero = |place: Option<usize>| {
            Sum::zero(place.map_or(&DataType::Int64, |input| &inputs[input]))
        };
        match output.function {
            Function::Count => Partial::Count(0),
            Function::Sum | Function::Avg => Partial::Sum {
                sum: zero(output.input),
                count: 0,
            },
            Function::Min | Function::Max | Function::First | Function::Last => Partial::One(None),
            Function::CountDistinct => Partial::Distinct(Vec::new()),
            Function::TopN { .. } => Partial::Weights(Vec::new()),
        }
    }

    /// Adds the events of `range`, which come after every event already in.
    pub fn add(
        &mut self,
        output: &Output,
        inputs: &[DataType],
        events: &Events,
        range: Range<usize>,
    ) {
        let members = Members {
            events,
            filter: output.filter,
            range,
        };
        let column = output.input.map(|input| &events.inputs[input]);
        match (self, column) {
            (Partial::Count(count), None) => *count = count.saturating_add(members.count()),
            (Partial::Count(count), Some(column)) => {
                *count = count.saturating_add(members.cells(column).count() as u64);
            }
            (Partial::Sum { sum, count }, Some(column)) => {
                *count = count.saturating_add(add_all(sum, &members, column));
            }
            (Partial::One(held), Some(column)) => {
                let best = members
                    .cells(column)
                    .chain(
                        held.as_ref()
                            .map(Key::cell)
                            .filter(|_| !output.function.by_order()),
                    )
                    .reduce(|a, b| output.function.better(a, b));
                if let Some(best) = best.filter(|_| output.function.replaces(held)) {
                    *held = Key::new(best);
                }
            }
            (Partial::Distinct(held), Some(column)) => {
                let found = distinct(members.cells(column).collect());
                let found = found.into_iter().filter_map(Key::new).collect();
                *held = merge_sorted(std::mem::take(held), found, Key::order, |_, _| {});
            }
            (Partial::Weights(held), Some(column)) => {
                let found = weigh(&members, column, output.by, inputs)
                    .into_iter()
                    .filter_map(|(cell, sum)| Some((Key::new(cell)?, sum)))
                    .collect();
                *held = merge_sorted(std::mem::take(held), found, by_key, |a, b| a.1.merge(b.1));
            }
            (_, None) => unreachable!("the plan gives every aggregate but count an input"),
        }
    }

    /// Adds the partial of events that come after every event already in.
    pub fn merge(&mut self, output: &Output, later: Partial) {
        match (self, later) {
            (Partial::Count(a), Partial::Count(b)) => *a = a.saturating_add(b),
            (
                Partial::Sum { sum, count },
                Partial::Sum {
                    sum: more,
                    count: n,
                },
            ) => {
                sum.merge(more);
                *count = count.saturating_add(n);
            }
            (Partial::One(held), Partial::One(Some(key))) => {
                let keep = match (&*held, output.function) {
                    (None, _) | (_, Function::Last) => false,
                    (Some(_), Function::First) => true,
                    (Some(old), Function::Min) => old.order(&key) != Ordering::Greater,
                    (Some(old), _) => old.order(&key) != Ordering::Less,
                };
                if !keep {
                    *held = Some(key);
                }
            }
            (Partial::One(_), Partial::One(None)) => {}
            (Partial::Distinct(a), Partial::Distinct(b)) => {
                *a = merge_sorted(std::mem::take(a), b, Key::order, |_, _| {});
            }
            (Partial::Weights(a), Partial::Weights(b)) => {
                *a = merge_sorted(std::mem::take(a), b, by_key, |a, b| a.1.merge(b.1));
            }
            (a, b) => unreachable!("partials of one output differ: {a:?} and {b:?}"),
        }
    }
}

impl Key {
    fn order(&self, other: &Key) -> Ordering {
        self.cell().key_order(&other.cell())
    }
}

fn by_key(a: &(Key, Sum), b: &(Key, Sum)) -> Ordering {
    a.0.order(&b.0)
}

impl Function {
    /// Picks one of two cells, `a` coming earlier. Equal ones are the earlier.
    fn better<'a>(self, a: Cell<'a>, b: Cell<'a>) -> Cell<'a> {
        match self {
            Function::Min if b.key_order(&a).is_lt() => b,
            Function::Max if b.key_order(&a).is_gt() => b,
            Function::Last => b,
            _ => a,
        }
    }

    /// Tells whether order, not size, decides.
    const fn by_order(self) -> bool {
        matches!(self, Function::First | Function::Last)
    }

    /// Tells whether later events may replace what is held.
    const fn replaces(self, held: &Option<Key>) -> bool {
        held.is_none() || !matches!(self, Function::First)
    }
}

/// The events of a window that pass a filter.
pub(crate) struct Members<'a> {
    pub(crate) events: &'a Events,
    pub(crate) filter: Option<usize>,
    pub(crate) range: Range<usize>,
}

impl<'a> Members<'a> {
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> + use<'a> {
        let (bits, filter) = (&self.events.bits, self.filter);
        self.range
            .clone()
            .filter(move |index| filter.is_none_or(|bit| bits[*index] >> bit & 1 == 1))
    }

    pub(crate) fn count(&self) -> u64 {
        match self.filter {
            None => self.range.len() as u64,
            Some(_) => self.indices().count() as u64,
        }
    }

    /// The non-null cells of `column`.
    pub(crate) fn cells(&self, column: &'a Column) -> impl Iterator<Item = Cell<'a>> + use<'a> {
        self.indices()
            .map(|index| column.cell(index))
            .filter(|cell| *cell != Cell::Null)
    }
}

/// Adds the members' values to `sum`; tells how many there were.
pub(crate) fn add_all(sum: &mut Sum, members: &Members<'_>, column: &Column) -> u64 {
    members.cells(column).filter(|cell| sum.add(*cell)).count() as u64
}

/// Sorts cells by key and keeps each once.
pub(crate) fn distinct(mut cells: Vec<Cell<'_>>) -> Vec<Cell<'_>> {
    cells.sort_unstable_by(Cell::key_order);
    cells.dedup_by(|a, b| a.key_order(b).is_eq());
    cells
}

/// The weight of every key among the members, sorted by key: its count, or the sum of `by`.
///
/// A key whose weights are all null has no weight and is left out.
pub(crate) fn weigh<'a>(
    members: &Members<'a>,
    column: &'a Column,
    by: Option<usize>,
    inputs: &[DataType],
) -> Vec<(Cell<'a>, Sum)> {
    let mut pairs: Vec<(Cell<'a>, Cell<'a>)> = members
        .indices()
        .map(|index| {
            let weight = by.map_or(Cell::Int(1), |by| members.events.inputs[by].cell(index));
            (column.cell(index), weight)
        })
        .filter(|(key, weight)| *key != Cell::Null && *weight != Cell::Null)
        .collect();
    pairs.sort_by(|a, b| a.0.key_order(&b.0));
    let zero = Sum::zero(by.map_or(&DataType::Int64, |by| &inputs[by]));
    let mut weights: Vec<(Cell<'a>, Sum)> = Vec::new();
    for (key, weight) in pairs {
        match weights
            .last_mut()
            .filter(|last| last.0.key_order(&key).is_eq())
        {
            Some((_, sum)) => sum.add(weight),
            None => {
                weights.push((key, zero));
                weights.last_mut().is_some_and(|(_, sum)| sum.add(weight))
            }
        };
    }
    weights
}

/// Merges two sorted vectors; equal items are joined into the first.
fn merge_sorted<T>(
    a: Vec<T>,
    b: Vec<T>,
    order: impl Fn(&T, &T) -> Ordering,
    join: impl Fn(&mut T, T),
) -> Vec<T> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        match order(x, y) {
            Ordering::Less => out.extend(a.next()),
            Ordering::Greater => out.extend(b.next()),
            Ordering::Equal => {
                let mut joined = a.next();
                if let (Some(joined), Some(other)) = (joined.as_mut(), b.next()) {
                    join(joined, other);
                }
                out.extend(joined);
            }
        }
    }
    out.extend(a);
    out.extend(b);
    out
}

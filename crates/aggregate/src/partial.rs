//! Partial aggregates: what a set of events comes to before it is finished.
//!
//! # Laws
//! - `merge` is commutative and associative; doubles agree to 1e-9 of the sum of magnitudes, the
//!   rest bit for bit.
//! - Adding events one at a time in any order, or merging the partials of any split, is the same.
//! - A partial does not depend on the window, the name or the default of its output, so outputs
//!   that differ in nothing else share it.

mod key;
pub use key::{Key, Placed, Tie};
mod size;
pub use size::TEXT_BOUND;
mod sum;
pub use sum::Sum;

use crate::column::{Cell, Column};
use crate::events::Events;
use crate::function::Function;
use crate::spec::Output;
use std::cmp::Ordering;
use std::ops::Range;
use tiderace_types::DataType;

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
    /// `min` and `max`: the value so far.
    One(Option<Key>),
    /// `first`, `last` and their lists: the best so far, best first.
    Placed(Vec<Placed>),
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
            Function::Min | Function::Max => Partial::One(None),
            Function::First | Function::Last => Partial::Placed(Vec::new()),
            Function::CountDistinct { .. } => Partial::Distinct(Vec::new()),
            Function::TopN { .. } => Partial::Weights(Vec::new()),
            _ => unreachable!("no definition can ask for it yet"),
        }
    }

    /// Adds the events of `range`, none of which is in already.
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
        let column = output.input.map(|input| events.input(input));
        match (self, column) {
            (Partial::Count(count), None) => *count = count.saturating_add(members.count()),
            (Partial::Count(count), Some(column)) => {
                *count = count.saturating_add(members.cells(column).count() as u64);
            }
            (Partial::Sum { sum, count }, Some(column)) => {
                *count = count.saturating_add(add_all(sum, &members, column));
            }
            (Partial::One(held), Some(column)) => {
                let cells = members.cells(column);
                let best = cells.chain(held.as_ref().map(Key::cell));
                if let Some(best) = best.reduce(|a, b| output.function.better(a, b)) {
                    *held = Key::new(best);
                }
            }
            (Partial::Placed(held), Some(column)) => {
                let mut present = members
                    .indices()
                    .filter(|index| column.cell(*index) != Cell::Null);
                let index = match output.function {
                    Function::First => present.next(),
                    _ => present.last(),
                };
                let found = index.and_then(|index| {
                    Some(Placed {
                        time: events.times()[index],
                        tie: Tie::of(events, inputs, index),
                        key: Key::new(column.cell(index))?,
                    })
                });
                found
                    .into_iter()
                    .for_each(|found| output.function.place(held, &found));
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

    /// Adds the partial of other events.
    pub fn merge(&mut self, output: &Output, other: Partial) {
        match (self, other) {
            (Partial::Distinct(a), Partial::Distinct(b)) => {
                *a = merge_sorted(std::mem::take(a), b, Key::order, |_, _| {});
            }
            (Partial::Weights(a), Partial::Weights(b)) => {
                *a = merge_sorted(std::mem::take(a), b, by_key, |a, b| a.1.merge(b.1));
            }
            (this, other) => this.merge_ref(output, &other),
        }
    }

    /// Adds the partial of other events, which is still needed elsewhere.
    pub fn merge_ref(&mut self, output: &Output, other: &Partial) {
        match (self, other) {
            (Partial::Count(a), Partial::Count(b)) => *a = a.saturating_add(*b),
            (
                Partial::Sum { sum, count },
                Partial::Sum {
                    sum: more,
                    count: n,
                },
            ) => {
                sum.merge(*more);
                *count = count.saturating_add(*n);
            }
            (Partial::One(held), Partial::One(Some(key))) => {
                let better = |held: &Key| {
                    let best = output.function.better(held.cell(), key.cell());
                    best.key_order(&held.cell()).is_ne()
                };
                if held.as_ref().is_none_or(better) {
                    *held = Some(key.clone());
                }
            }
            (Partial::One(_), Partial::One(None)) => {}
            (Partial::Placed(held), Partial::Placed(other)) => {
                other
                    .iter()
                    .for_each(|placed| output.function.place(held, placed));
            }
            (this @ (Partial::Distinct(_) | Partial::Weights(_)), other) => {
                this.merge(output, other.clone());
            }
            (a, b) => unreachable!("partials of one output differ: {a:?} and {b:?}"),
        }
    }
}

impl Partial {
    /// Roughly how many bytes of memory it takes beside itself.
    #[must_use]
    pub fn memory(&self) -> usize {
        match self {
            Partial::Distinct(keys) => keys.len() * size_of::<Key>(),
            Partial::Weights(weights) => weights.len() * size_of::<(Key, Sum)>(),
            _ => 0,
        }
    }
}

fn by_key(a: &(Key, Sum), b: &(Key, Sum)) -> Ordering {
    a.0.order(&b.0)
}

impl Function {
    /// Picks one of two cells.
    fn better<'a>(&self, a: Cell<'a>, b: Cell<'a>) -> Cell<'a> {
        match self {
            Function::Min if b.key_order(&a).is_lt() => b,
            Function::Max if b.key_order(&a).is_gt() => b,
            _ => a,
        }
    }

    /// Holds `found` where it is better than what is held.
    fn place(&self, held: &mut Vec<Placed>, found: &Placed) {
        let better = |old: &Placed| match self {
            Function::First => found.order(old).is_lt(),
            _ => found.order(old).is_gt(),
        };
        if held.first().is_none_or(better) {
            *held = vec![found.clone()];
        }
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
        let (bits, filter) = (self.events.bits(), self.filter);
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
    pub(crate) fn cells(&self, column: Column<'a>) -> impl Iterator<Item = Cell<'a>> + use<'a> {
        self.indices()
            .map(move |index| column.cell(index))
            .filter(|cell| *cell != Cell::Null)
    }
}

/// Adds the members' values to `sum`; tells how many there were.
pub(crate) fn add_all(sum: &mut Sum, members: &Members<'_>, column: Column<'_>) -> u64 {
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
    column: Column<'a>,
    by: Option<usize>,
    inputs: &[DataType],
) -> Vec<(Cell<'a>, Sum)> {
    let mut pairs: Vec<(Cell<'a>, Cell<'a>)> = members
        .indices()
        .map(|index| {
            let weight = by.map_or(Cell::Int(1), |by| members.events.input(by).cell(index));
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

//! The events of a range that pass a filter, and their values.

use crate::column::{Cell, Column, Nulls};
use crate::events::Events;
use crate::partial::Sum;
use std::ops::Range;

/// The events of a range that pass a filter.
pub(crate) struct Members<'a> {
    pub(crate) events: &'a Events,
    pub(crate) filter: Option<usize>,
    pub(crate) range: Range<usize>,
}

impl<'a> Members<'a> {
    pub(crate) fn indices(&self) -> impl DoubleEndedIterator<Item = usize> + Clone + use<'a> {
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

    /// How many values `column` has, nulls apart.
    pub(crate) fn count_of(&self, column: Column<'a>) -> u64 {
        match column.nulls().any() {
            false => self.count(),
            true => self.present(column).count() as u64,
        }
    }

    /// The members that have a value in `column`.
    pub(crate) fn present(
        &self,
        column: Column<'a>,
    ) -> impl DoubleEndedIterator<Item = usize> + Clone + use<'a> {
        let nulls = column.nulls();
        self.indices().filter(move |index| !nulls.is_null(*index))
    }

    /// The values of `column`.
    pub(crate) fn cells(
        &self,
        column: Column<'a>,
    ) -> impl DoubleEndedIterator<Item = Cell<'a>> + Clone + use<'a> {
        self.present(column).map(move |index| column.cell(index))
    }

    /// Each member's pair of values that are not null: of `column`, and of `by` (1 without it).
    pub(crate) fn pairs(
        &self,
        column: Column<'a>,
        by: Option<Column<'a>>,
    ) -> impl Iterator<Item = (Cell<'a>, Cell<'a>)> + use<'a> {
        self.present(column)
            .map(move |index| {
                let weight = by.map_or(Cell::Int(1), |by| by.cell(index));
                (column.cell(index), weight)
            })
            .filter(|(_, weight)| *weight != Cell::Null)
    }

    /// Calls `take` with the place of each value in a column with such `nulls`; tells how many.
    #[inline]
    pub(crate) fn each(&self, nulls: Nulls<'_>, mut take: impl FnMut(usize)) -> u64 {
        let bits = self.events.bits();
        match self.filter {
            None if !nulls.any() => {
                self.range.clone().for_each(take);
                self.range.len() as u64
            }
            filter => {
                let mut count = 0;
                for index in self.range.clone() {
                    let passes = filter.is_none_or(|bit| bits[index] >> bit & 1 == 1);
                    if passes && !nulls.is_null(index) {
                        take(index);
                        count += 1;
                    }
                }
                count
            }
        }
    }

    /// Adds the values of `column` to `sum`; tells how many there were.
    pub(crate) fn add_to(&self, sum: &mut Sum, column: Column<'_>) -> u64 {
        match (sum, column) {
            (Sum::Float(sum), Column::Float(slots)) => {
                self.each(slots.nulls, |index| sum.add(slots.values[index]))
            }
            (Sum::Exact(sum), Column::Int(slots)) => {
                // So many 64-bit numbers cannot leave 128 bits.
                let mut total = 0i128;
                let count = self.each(slots.nulls, |index| {
                    total += i128::from(slots.values[index])
                });
                sum.add(total);
                count
            }
            (Sum::Exact(sum), Column::Decimal(slots)) => {
                self.each(slots.nulls, |index| sum.add(slots.values[index]))
            }
            // What cannot be added is not, but it is counted where a text stands.
            (_, column) => self.each(column.nulls(), |_| ()),
        }
    }
}

//! `by:`: a simple aggregate for every value of another input, of which the least few are held.
//!
//! # Laws
//! - Which values are held, and whether any was left out, is a function of the set of events: a
//!   value that `cap` lesser ones crowd out of a part is crowded out of the whole.

use crate::column::Cell;
use crate::function::Simple;
use crate::partial::{Key, Sum};
use tiderace_types::DataType;

/// A partial for every value.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Breakdown {
    /// The values held, ascending, with what there is to aggregate.
    pub entries: Vec<(Key, Group)>,
    /// Whether any value was left out.
    pub cut: bool,
}

/// The partial of a simple aggregate.
#[derive(Clone, Debug, PartialEq)]
pub enum Group {
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
    One(Key),
}

impl Group {
    fn of(each: Simple, cell: &Cell<'_>, data_type: &DataType) -> Option<Group> {
        Some(match each {
            Simple::Count => Group::Count(1),
            Simple::Sum | Simple::Avg => {
                let mut sum = Sum::zero(data_type);
                sum.add(*cell);
                Group::Sum { sum, count: 1 }
            }
            Simple::Min | Simple::Max => Group::One(Key::new(*cell)?),
        })
    }

    fn merge(&mut self, each: Simple, other: Group) {
        match (self, other) {
            (Group::Count(a), Group::Count(b)) => *a = a.saturating_add(b),
            (
                Group::Sum { sum, count },
                Group::Sum {
                    sum: more,
                    count: n,
                },
            ) => {
                sum.merge(more);
                *count = count.saturating_add(n);
            }
            (Group::One(held), Group::One(key)) => {
                let order = key.order(held);
                let better = match each {
                    Simple::Max => order.is_gt(),
                    _ => order.is_lt(),
                };
                if better {
                    *held = key;
                }
            }
            (a, b) => debug_assert!(false, "parts of one aggregate differ: {a:?} and {b:?}"),
        }
    }
}

impl Breakdown {
    /// Adds pairs of a value that the breakdown is by and one to aggregate.
    pub(crate) fn add<'a>(
        &mut self,
        each: Simple,
        cap: usize,
        pairs: impl Iterator<Item = (Cell<'a>, Cell<'a>)>,
        data_type: &DataType,
    ) {
        for (by, cell) in pairs {
            if let Some(part) = Group::of(each, &cell, data_type) {
                self.hold(each, cap, &by, part);
            }
        }
    }

    /// Adds another.
    pub(crate) fn merge(&mut self, each: Simple, cap: usize, other: &Breakdown) {
        self.cut |= other.cut;
        for (key, part) in &other.entries {
            self.hold(each, cap, &key.cell(), part.clone());
        }
    }

    fn hold(&mut self, each: Simple, cap: usize, by: &Cell<'_>, part: Group) {
        let found = self
            .entries
            .binary_search_by(|held| held.0.cell().key_order(by));
        match found {
            Ok(place) => self.entries[place].1.merge(each, part),
            Err(place) if place < cap => {
                self.entries.extend(Key::new(*by).map(|key| (key, part)));
                self.entries[place..].rotate_right(1);
                self.cut |= self.entries.len() > cap;
                self.entries.truncate(cap);
            }
            Err(_) => self.cut = true,
        }
    }

    /// Tells whether what was read is what is written.
    pub(crate) fn is_sound(&self, cap: usize) -> bool {
        let in_order = |pair: &[(Key, Group)]| pair[0].0.order(&pair[1].0).is_lt();
        self.entries.len() <= cap && self.entries.windows(2).all(in_order)
    }
}

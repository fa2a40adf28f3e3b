//! `top_n`, `histogram` and `entropy`: how much each value weighs.
//!
//! Exact up to the cap. Past it, a mergeable summary of heavy hitters in the manner of
//! SpaceSaving (A. Metwally et al., 2005; merged as by P. Agarwal et al., "Mergeable
//! summaries", 2012): the lightest values go, and one that comes (back) may have weighed as
//! much before as the heaviest that ever went.
//!
//! # Laws
//! - At or under the cap, weights are a function of the multiset of pairs (doubles to 1e-9 of
//!   the sum of magnitudes).
//! - Past it, the weight of a value that is held is off by at most its error, and that of one
//!   that is not held is at most [`Past::missed`] from zero. Errors are at most `missed`, and
//!   that is at most the sum of magnitudes over ¾ of the cap. Weights may be of any sign.
//! - Merging commutes. Past the cap, how parts are split decides within that bound.

use crate::column::{Cell, Column};
use crate::partial::groups::Groups;
use crate::partial::{Key, Members, Sum};
use std::cmp::Ordering;
use tiderace_types::DataType;

/// Values with their weights.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Weights {
    /// Each value with its weight, values ascending.
    pub entries: Vec<Weight>,
    /// Set iff there were ever more values than the cap.
    pub past: Option<Past>,
}

/// One value with its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// The value.
    pub key: Key,
    /// What it weighs.
    pub sum: Sum,
    /// By how much that may be off; 0 at or under the cap.
    pub error: f64,
}

/// What is known of weights that are past their cap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Past {
    /// The most that a value which is not held may weigh.
    pub missed: f64,
    /// The sum of all weights that were added.
    pub total: Sum,
}

impl Weight {
    /// The most that the value may weigh, its sign apart.
    fn most(&self) -> f64 {
        up(self.sum.to_f64().abs() + self.error)
    }
}

/// Rounds a bound up, so that it stays one. What is exact stays so.
pub(crate) fn up(bound: f64) -> f64 {
    /// Integers below are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match bound.fract() == 0.0 && bound < EXACT {
        true => bound,
        false => bound.next_up(),
    }
}

impl Weights {
    /// Adds the members' pairs.
    pub(crate) fn add<'a>(
        &mut self,
        cap: usize,
        members: &Members<'a>,
        column: Column<'a>,
        by: Option<usize>,
        inputs: &[DataType],
    ) {
        /// So few are not worth a table.
        const FEW: usize = 8;
        if members.range.len() <= FEW {
            let by = by.map(|by| (members.events.input(by), &inputs[by]));
            let zero = Sum::zero(by.map_or(&DataType::Int64, |(_, data_type)| data_type));
            for (cell, weight) in members.pairs(column, by.map(|(column, _)| column)) {
                let mut sum = zero;
                sum.add(weight);
                self.add_one(&cell, sum);
            }
        } else {
            let tally = tally(members, column, by, inputs);
            tally
                .iter()
                .for_each(|(cell, sum)| self.add_one(cell, *sum));
        }
        if self.entries.len() > cap {
            self.settle(cap);
        }
    }

    fn add_one(&mut self, cell: &Cell<'_>, sum: Sum) {
        let found = self
            .entries
            .binary_search_by(|held| held.key.cell().key_order(cell));
        match found {
            Ok(place) => self.entries[place].sum.merge(sum),
            Err(place) => {
                let error = self.past.map_or(0.0, |past| past.missed);
                let key = Key::new(*cell);
                let weight = key.map(|key| Weight { key, sum, error });
                self.entries.extend(weight);
                self.entries[place..].rotate_right(1);
            }
        }
        if let Some(past) = &mut self.past {
            past.total.merge(sum);
        }
    }

    /// Adds the weights of other pairs.
    pub(crate) fn merge(&mut self, other: &Weights, cap: usize) {
        let (here, there) = (self.past, other.past);
        let missed = |past: Option<Past>| past.map_or(0.0, |past| past.missed);
        let total = match (here, there) {
            (None, None) => None,
            _ => match (self.total(), other.total()) {
                (Some(mut a), Some(b)) => {
                    a.merge(b);
                    Some(a)
                }
                (one, other) => one.or(other),
            },
        };
        let mut out = Vec::with_capacity(self.entries.len() + other.entries.len());
        let mut mine = std::mem::take(&mut self.entries).into_iter().peekable();
        for theirs in &other.entries {
            let alone = |mut weight: Weight, missed: f64| {
                weight.error = up(weight.error + missed);
                weight
            };
            while let Some(weight) = mine.next_if(|w| w.key.order(&theirs.key).is_lt()) {
                out.push(alone(weight, missed(there)));
            }
            match mine.next_if(|w| w.key.order(&theirs.key).is_eq()) {
                Some(mut weight) => {
                    weight.sum.merge(theirs.sum);
                    weight.error = up(weight.error + theirs.error);
                    out.push(weight);
                }
                None => out.push(alone(theirs.clone(), missed(here))),
            }
        }
        out.extend(mine.map(|mut weight| {
            weight.error = up(weight.error + missed(there));
            weight
        }));
        self.entries = out;
        self.past = total.map(|total| Past {
            missed: up(missed(here) + missed(there)),
            total,
        });
        // Values that the other did not hold have grown by what it missed: the least of them go,
        // lest bounds grow by more than weights.
        if self.past.is_some() || self.entries.len() > cap {
            self.settle(cap);
        }
    }

    /// The sum of all weights; `None` without any.
    pub(crate) fn total(&self) -> Option<Sum> {
        if let Some(past) = self.past {
            return Some(past.total);
        }
        let zero = Sum::zero_like(self.entries.first()?.sum);
        Some(self.entries.iter().fold(zero, |mut total, weight| {
            total.merge(weight.sum);
            total
        }))
    }

    /// Lets the lightest go: so many that it does not have to be done again for every value.
    pub(crate) fn settle(&mut self, cap: usize) {
        let keep = cap - cap / 4;
        let Some(total) = self.total().filter(|_| self.entries.len() > keep) else {
            return;
        };
        let heavier = |a: &Weight, b: &Weight| {
            (b.most().total_cmp(&a.most())).then_with(|| a.key.order(&b.key))
        };
        self.entries.select_nth_unstable_by(keep, heavier);
        let gone = self.entries.drain(keep..);
        let missed = self.past.map_or(0.0, |past| past.missed);
        let missed = gone.map(|weight| weight.most()).fold(missed, f64::max);
        self.entries.sort_by(|a, b| a.key.order(&b.key));
        self.past = Some(Past { missed, total });
    }

    /// Tells whether what was read is what is written.
    pub(crate) fn is_sound(&self) -> bool {
        let in_order = |pair: &[Weight]| pair[0].key.order(&pair[1].key) == Ordering::Less;
        self.entries.windows(2).all(in_order)
    }
}

/// The weight of every value among the members, in no particular order: its count, or the sum of `by`.
///
/// A value whose weights are all null has no weight and is left out.
pub(crate) fn tally<'a>(
    members: &Members<'a>,
    column: Column<'a>,
    by: Option<usize>,
    inputs: &[DataType],
) -> Vec<(Cell<'a>, Sum)> {
    let zero = Sum::zero(by.map_or(&DataType::Int64, |by| &inputs[by]));
    let mut groups = Groups::default();
    let mut sums: Vec<Sum> = Vec::new();
    for (key, weight) in members.pairs(column, by.map(|by| members.events.input(by))) {
        let number = groups.number(key);
        if number == sums.len() {
            sums.push(zero);
        }
        sums[number].add(weight);
    }
    groups.keys.into_iter().zip(sums).collect()
}

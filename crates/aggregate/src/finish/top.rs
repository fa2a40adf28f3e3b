//! Which values are the heaviest, over windows that lie within one another.

use super::nested::Gather;
use super::values::Of;
use super::weigh::{Weigh, risen, rising};
use super::{FinishError, by_unit, map};
use crate::answer::{Answer, Bound, Reading};
use crate::column::{Cell, Column};
use crate::float::{of_rank, rank};
use crate::function::Function;
use crate::partial::dictionary::{Dictionary, Form};
use crate::partial::{Partial, Sum, Weights, weights};
use crate::spec::Output;
use std::cmp::Ordering;
use std::ops::Range;
use tiderace_types::{DataType, Value};

/// Weights by value. Nothing is let go here, so past the cap they are off by what the merged
/// spans had let go of and by no more.
pub(super) struct Top<'n, 'a, W> {
    of: Of<'n, 'a>,
    cap: usize,
    by: Option<Column<'a>>,
    tally: Tally<W>,
    /// The most that a value may weigh beside what it is held to, where any was let go.
    missed: Option<f64>,
}

/// Weights by number.
struct Tally<W> {
    weights: Vec<(W, bool)>,
    /// The numbers that have one, in the order in which they came.
    held: Vec<u32>,
}

impl<W: Weigh> Tally<W> {
    fn room_for(&mut self, numbers: usize) {
        if self.weights.len() < numbers {
            self.weights.resize(numbers, (W::default(), false));
        }
    }

    #[inline]
    fn weight(&self, number: u32) -> W {
        self.weights[number as usize].0
    }

    /// The weight of a number, which has one from now on.
    #[inline]
    fn hold(&mut self, number: u32) -> &mut W {
        let (weight, is_held) = &mut self.weights[number as usize];
        if !std::mem::replace(is_held, true) {
            self.held.push(number);
        }
        weight
    }

    /// Holds weights of the numbers from 0 on, where none is held yet.
    fn begin(&mut self, sums: &[W::Listed]) {
        for ((weight, is_held), sum) in self.weights.iter_mut().zip(sums) {
            weight.merge_listed(sum);
            *is_held = true;
        }
        self.held.extend(0..sums.len() as u32);
    }

    fn clear(&mut self) {
        for number in self.held.drain(..) {
            self.weights[number as usize] = (W::default(), false);
        }
    }
}

impl<'n, 'a, W: Weigh> Top<'n, 'a, W> {
    pub(super) fn new(of: Of<'n, 'a>, cap: usize, by: Option<Column<'a>>) -> Top<'n, 'a, W> {
        let numbers = of.numbered.dictionary.len();
        Top {
            of,
            cap,
            by,
            tally: Tally {
                weights: vec![(W::default(), false); numbers],
                held: Vec::with_capacity(numbers),
            },
            missed: None,
        }
    }

    #[inline]
    fn merge_pairs(&mut self, pairs: impl ExactSizeIterator<Item = (Cell<'a>, Sum)>) {
        self.tally
            .room_for(self.of.numbered.dictionary.len() + pairs.len());
        let dictionary = &mut self.of.numbered.dictionary;
        for (cell, sum) in pairs {
            let number = dictionary.number(cell);
            self.tally.hold(number).merge_sum(sum);
        }
    }

    fn merge_listed(&mut self, keys: &[i64], sums: &[W::Listed]) {
        self.tally.room_for(self.of.numbered.dictionary.len());
        if self.tally.held.is_empty() && self.of.numbered.is_first(keys) {
            return self.tally.begin(sums);
        }
        let numbers = self.of.numbered.ints(keys);
        self.tally.room_for(self.of.numbered.dictionary.len());
        for (number, sum) in numbers.into_iter().zip(sums) {
            self.tally.hold(number).merge_listed(sum);
        }
    }

    /// The heaviest: weight descending, then key ascending.
    fn heaviest(&self, most: usize) -> Vec<u32> {
        let dictionary = &self.of.numbered.dictionary;
        let order = |(x, a): &(W::Rank, u32), (y, b): &(W::Rank, u32)| -> Ordering {
            let keys = || dictionary.cell(*a).key_order(&dictionary.cell(*b));
            y.cmp(x).then_with(keys)
        };
        let held = self.tally.held.iter();
        let ranked = held.map(|number| (self.tally.weight(*number).rank(), *number));
        let mut best: Vec<(W::Rank, u32)> = ranked.collect();
        if best.len() > most {
            best.select_nth_unstable_by(most, order);
            best.truncate(most);
        }
        best.sort_unstable_by(order);
        best.into_iter().map(|(_, number)| number).collect()
    }

    /// As [`Top::heaviest`], of values that are words: each as a number of its weight and its
    /// word, so that what is greater comes first. `best` is nothing but zeros, which are least.
    #[inline]
    fn greatest(&self, keys: &[u64], best: &mut [u128], key: impl Fn(u64) -> i64) {
        let Some(last) = best.len().checked_sub(1) else {
            return;
        };
        let mut least = W::default();
        let mut is_full = false;
        for number in &self.tally.held {
            let weight = self.tally.weight(*number);
            if is_full && weight.is_lighter(least) {
                continue;
            }
            let (weight, key) = (weight.word(), rising(key(keys[*number as usize])));
            let one = u128::from(weight) << 64 | u128::from(!key);
            if one <= best[last] {
                continue;
            }
            let mut at = last;
            while at > 0 && best[at - 1] < one {
                best[at] = best[at - 1];
                at -= 1;
            }
            best[at] = one;
            is_full = best[last] > 0;
            least = W::of_word((best[last] >> 64) as u64);
        }
    }

    /// The heaviest with their weights, where few are asked for and numbers tell all.
    fn few(&self, output: &Output, most: usize) -> Option<Value> {
        /// So few are put in their places one by one.
        const FEW: usize = 32;
        let (Dictionary::Words(words, form), DataType::Map(_, weight_type)) =
            (&self.of.numbered.dictionary, &output.data_type)
        else {
            return None;
        };
        if most > FEW || !W::in_word(weight_type) {
            return None;
        }
        let best = &mut [0; FEW][..most];
        let key_type = self.of.key_type;
        let entries = match (form, key_type) {
            (Form::Float, _) => {
                self.greatest(&words.keys, best, |bits| rank(f64::from_bits(bits)));
                entries::<W>(best, |key| Value::Float(of_rank(key)))
            }
            (Form::Int, DataType::Int64) => {
                self.greatest(&words.keys, best, u64::cast_signed);
                entries::<W>(best, Value::Int)
            }
            (Form::Int, _) => {
                self.greatest(&words.keys, best, u64::cast_signed);
                entries::<W>(best, |key| Cell::Int(key).to_value(key_type))
            }
        };
        Some(match entries.is_empty() {
            true => Value::Null,
            false => Value::Map(entries),
        })
    }
}

/// Values and weights of what is greater for what comes first: a weight, and a value that rises turned around.
#[inline]
pub(super) fn entries<W: Weigh>(
    numbers: &[u128],
    key: impl Fn(i64) -> Value,
) -> Vec<(Value, Value)> {
    let entry = |one: &u128| (key(risen(!(*one as u64))), W::value((*one >> 64) as u64));
    numbers.iter().map(entry).collect()
}

impl<'a, W: Weigh> Gather<'a> for Top<'_, 'a, W> {
    fn clear(&mut self) {
        self.tally.clear();
        self.missed = None;
    }

    fn merge(&mut self, partial: &'a Partial) {
        let past = match partial {
            Partial::Weights(Weights { entries, past }) => {
                let pairs = entries.iter();
                self.merge_pairs(pairs.map(|weight| (weight.key.cell(), weight.sum)));
                *past
            }
            Partial::Listed(listed) => {
                match W::listed(listed.sums()) {
                    Some(sums) => self.merge_listed(listed.keys(), sums),
                    None => {
                        let keys = listed.keys().iter().enumerate();
                        let sum = |place| listed.sums().get(place);
                        let pair = |(place, key): (usize, &i64)| (Cell::Int(*key), sum(place));
                        self.merge_pairs(keys.map(pair));
                    }
                }
                listed.past()
            }
            other => unreachable!("{other:?} holds no weights"),
        };
        if let Some(past) = past {
            let missed = self.missed.unwrap_or_default() + past.missed;
            self.missed = Some(weights::up(missed));
        }
    }

    fn add(&mut self, events: Range<usize>) {
        self.tally.room_for(self.of.numbered.dictionary.len());
        match self.by {
            None => self.of.each(events, |_, number| {
                self.tally.hold(number).add_cell(Cell::Int(1));
            }),
            Some(Column::Float(by)) if !by.nulls.any() => self.of.each(events, |index, number| {
                self.tally
                    .hold(number)
                    .add_cell(Cell::Float(by.values[index]));
            }),
            Some(by) => self.of.each(events, |index, number| {
                let cell = by.cell(index);
                if cell != Cell::Null {
                    self.tally.hold(number).add_cell(cell);
                }
            }),
        }
    }

    fn answer(&mut self, output: &Output, _: &Reading) -> Result<Answer, FinishError> {
        let Function::TopN { n, .. } = output.function else {
            unreachable!("{:?} does not list the heaviest", output.function);
        };
        let most = (n as usize).min(self.tally.held.len());
        let value = match self.few(output, most) {
            Some(value) => value,
            None => {
                let pairs = self.heaviest(most).into_iter().map(|number| {
                    let weight = self.tally.weight(number).sum();
                    (self.of.numbered.dictionary.cell(number), weight)
                });
                map(output, self.of.key_type, pairs)?
            }
        };
        let is_past = self.missed.is_some() || self.tally.held.len() > self.cap;
        let missed = self.missed.unwrap_or_default();
        Ok(Answer {
            value,
            bound: is_past.then(|| Bound::Absolute {
                error: missed / by_unit(output),
            }),
        })
    }
}

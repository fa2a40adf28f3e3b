//! Which values are the heaviest, over windows that lie within one another.

use super::nested::Gather;
use super::plain::{of_rank, rank};
use super::values::Of;
use super::weigh::{Weigh, risen, rising};
use super::{FinishError, by_unit, map};
use crate::answer::{Answer, Bound, Reading};
use crate::column::{Cell, Column};
use crate::function::Function;
use crate::partial::dictionary::{Dictionary, Form};
use crate::partial::{Partial, Weights, weights};
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
    /// By number.
    is_held: Vec<bool>,
    weights: Vec<W>,
    held: Vec<u32>,
    /// The most that a value may weigh beside what it is held to, where any was let go.
    missed: Option<f64>,
}

impl<'n, 'a, W: Weigh> Top<'n, 'a, W> {
    pub(super) fn new(of: Of<'n, 'a>, cap: usize, by: Option<Column<'a>>) -> Top<'n, 'a, W> {
        let numbers = of.numbered.dictionary.len();
        Top {
            of,
            cap,
            by,
            is_held: vec![false; numbers],
            weights: vec![W::default(); numbers],
            held: Vec::with_capacity(numbers),
            missed: None,
        }
    }

    /// The heaviest: weight descending, then key ascending.
    fn heaviest(&self, most: usize) -> Vec<u32> {
        let dictionary = &self.of.numbered.dictionary;
        let order = |(x, a): &(W::Rank, u32), (y, b): &(W::Rank, u32)| -> Ordering {
            let keys = || dictionary.cell(*a).key_order(&dictionary.cell(*b));
            y.cmp(x).then_with(keys)
        };
        let held = self.held.iter();
        let ranked = held.map(|number| (self.weights[*number as usize].rank(), *number));
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
        for number in &self.held {
            let place = *number as usize;
            let (weight, key) = (self.weights[place].word(), rising(key(keys[place])));
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

/// Values and weights of the numbers that [`Top::greatest`] makes of them.
#[inline]
fn entries<W: Weigh>(numbers: &[u128], key: impl Fn(i64) -> Value) -> Vec<(Value, Value)> {
    let entry = |one: &u128| (key(risen(!(*one as u64))), W::value((*one >> 64) as u64));
    numbers.iter().map(entry).collect()
}

#[inline]
fn hold<'w, W>(
    is_held: &mut [bool],
    held: &mut Vec<u32>,
    weights: &'w mut [W],
    number: u32,
) -> &'w mut W {
    if !std::mem::replace(&mut is_held[number as usize], true) {
        held.push(number);
    }
    &mut weights[number as usize]
}

impl<'a, W: Weigh> Gather<'a> for Top<'_, 'a, W> {
    fn clear(&mut self) {
        for number in self.held.drain(..) {
            self.is_held[number as usize] = false;
            self.weights[number as usize] = W::default();
        }
        self.missed = None;
    }

    fn merge(&mut self, partial: &'a Partial) {
        let Partial::Weights(Weights { entries, past }) = partial else {
            unreachable!("{partial:?} holds no weights");
        };
        let dictionary = &mut self.of.numbered.dictionary;
        let room = dictionary.len() + entries.len();
        self.is_held.resize(room, false);
        self.weights.resize(room, W::default());
        let (is_held, held, weights) = (&mut self.is_held, &mut self.held, &mut self.weights);
        for entry in entries {
            let number = dictionary.number(entry.key.cell());
            hold(is_held, held, weights, number).merge_sum(entry.sum);
        }
        if let Some(past) = past {
            let missed = self.missed.unwrap_or_default() + past.missed;
            self.missed = Some(weights::up(missed));
        }
    }

    fn add(&mut self, events: Range<usize>) {
        let numbers = self.of.numbered.dictionary.len();
        if self.is_held.len() < numbers {
            self.is_held.resize(numbers, false);
            self.weights.resize(numbers, W::default());
        }
        let (is_held, held, weights) = (&mut self.is_held, &mut self.held, &mut self.weights);
        match self.by {
            None => self.of.each(events, |_, number| {
                hold(is_held, held, weights, number).add_cell(Cell::Int(1));
            }),
            Some(by) => self.of.each(events, |index, number| {
                let cell = by.cell(index);
                if cell != Cell::Null {
                    hold(is_held, held, weights, number).add_cell(cell);
                }
            }),
        }
    }

    fn answer(&mut self, output: &Output, _: &Reading) -> Result<Answer, FinishError> {
        let Function::TopN { n, .. } = output.function else {
            unreachable!("{:?} does not list the heaviest", output.function);
        };
        let most = (n as usize).min(self.held.len());
        let value = match self.few(output, most) {
            Some(value) => value,
            None => {
                let pairs = self.heaviest(most).into_iter().map(|number| {
                    let weight = self.weights[number as usize].sum();
                    (self.of.numbered.dictionary.cell(number), weight)
                });
                map(output, self.of.key_type, pairs)?
            }
        };
        let is_past = self.missed.is_some() || self.held.len() > self.cap;
        let missed = self.missed.unwrap_or_default();
        Ok(Answer {
            value,
            bound: is_past.then(|| Bound::Absolute {
                error: missed / by_unit(output),
            }),
        })
    }
}

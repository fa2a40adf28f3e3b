//! Numbers for different values: what is weighed or counted by value is then an array.

use super::groups::{Groups, fold};
use super::{Key, Partial, Weight, Weights};
use crate::column::{Cell, Column, Nulls};
use std::ops::Range;

/// The number of no value.
pub(crate) const NOTHING: u32 = u32::MAX;

/// Different values of one input, numbered in the order in which they come.
pub(crate) enum Dictionary<'a> {
    /// Integers, or the bits of doubles.
    Words(Words, Form),
    /// What is no word.
    Cells(Groups<'a>),
}

/// What a word stands for.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Int,
    Float,
}

/// Different words: a table of their places, open, or direct where they are near one another.
pub(crate) struct Words {
    /// One more than a place in `keys`; 0 is free. Of an open table at least half are free.
    slots: Vec<u32>,
    /// The word of the first slot of a direct table.
    base: Option<u64>,
    pub(crate) keys: Vec<u64>,
}

impl<'a> Dictionary<'a> {
    /// An empty one for the values of a range of a column, and those of partials of it.
    pub(crate) fn of(
        column: Column<'_>,
        range: Range<usize>,
        partials: &[&Partial],
    ) -> Dictionary<'a> {
        match column {
            Column::Int(slots) => {
                let mut words = Near::of(&slots.values[range], partials).words();
                if let Some(keys) = Dictionary::first(partials) {
                    words.begin(keys);
                }
                Dictionary::Words(words, Form::Int)
            }
            Column::Float(_) => Dictionary::Words(Words::open(range.len()), Form::Float),
            _ => Dictionary::Cells(Groups::default()),
        }
    }

    /// The longest list of integers: its keys are the first ones, in their order.
    pub(crate) fn first<'p>(partials: &[&'p Partial]) -> Option<&'p [i64]> {
        let lists = partials.iter().filter_map(|partial| match partial {
            Partial::Listed(listed) => Some(listed),
            _ => None,
        });
        let longest = lists.max_by_key(|listed| listed.count());
        longest.map(|listed| listed.keys())
    }

    /// How many different values there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Dictionary::Words(words, _) => words.keys.len(),
            Dictionary::Cells(groups) => groups.keys.len(),
        }
    }

    /// The number of every value of `range`, [`NOTHING`] for a null.
    pub(crate) fn numbers(&mut self, column: Column<'a>, range: Range<usize>) -> Vec<u32> {
        match (self, column) {
            (Dictionary::Words(words, _), Column::Int(slots)) => {
                let values = slots.values[range.clone()].iter();
                words.numbers(values.map(|n| n.cast_unsigned()), range, slots.nulls)
            }
            (Dictionary::Words(words, _), Column::Float(slots)) => {
                let values = slots.values[range.clone()].iter();
                words.numbers(values.map(|x| x.to_bits()), range, slots.nulls)
            }
            (this, column) => range
                .map(|index| match column.cell(index) {
                    Cell::Null => NOTHING,
                    cell => this.number(cell),
                })
                .collect(),
        }
    }

    /// Gives `take` the number of every key.
    #[inline]
    pub(crate) fn ints(&mut self, keys: impl Iterator<Item = i64>, mut take: impl FnMut(u32)) {
        match self {
            Dictionary::Words(words, _) => {
                for key in keys {
                    take(words.number(key.cast_unsigned()));
                }
            }
            Dictionary::Cells(groups) => {
                keys.for_each(|key| take(groups.number(Cell::Int(key)) as u32));
            }
        }
    }

    /// The number of a value, which is not null.
    #[inline]
    pub(crate) fn number(&mut self, cell: Cell<'a>) -> u32 {
        match (self, cell) {
            (Dictionary::Words(words, _), Cell::Int(n)) => words.number(n.cast_unsigned()),
            (Dictionary::Words(words, _), Cell::Float(x)) => words.number(x.to_bits()),
            (Dictionary::Cells(groups), cell) => groups.number(cell) as u32,
            (Dictionary::Words(..), cell) => unreachable!("a {cell:?} among numbers"),
        }
    }

    /// The value of a number.
    #[inline]
    pub(crate) fn cell(&self, number: u32) -> Cell<'_> {
        match self {
            Dictionary::Words(words, Form::Int) => {
                Cell::Int(words.keys[number as usize].cast_signed())
            }
            Dictionary::Words(words, Form::Float) => {
                Cell::Float(f64::from_bits(words.keys[number as usize]))
            }
            Dictionary::Cells(groups) => groups.keys[number as usize],
        }
    }
}

/// How near one another integers are.
struct Near {
    least: i64,
    most: i64,
    count: usize,
}

impl Near {
    fn of(values: &[i64], partials: &[&Partial]) -> Near {
        let mut near = Near {
            least: i64::MAX,
            most: i64::MIN,
            count: values.len(),
        };
        for value in values {
            near.least = near.least.min(*value);
            near.most = near.most.max(*value);
        }
        for partial in partials {
            let (first, last, count) = match partial {
                Partial::Listed(listed) => {
                    let (first, last) = listed.ends();
                    (Some(first), Some(last), listed.count())
                }
                Partial::Distinct(keys) => (int(keys.first()), int(keys.last()), keys.len()),
                Partial::Weights(Weights { entries, .. }) => {
                    let key = |weight: Option<&Weight>| int(weight.map(|weight| &weight.key));
                    (key(entries.first()), key(entries.last()), entries.len())
                }
                _ => continue,
            };
            near.least = near.least.min(first.unwrap_or(i64::MAX));
            near.most = near.most.max(last.unwrap_or(i64::MIN));
            near.count += count;
        }
        near
    }

    /// A direct table, if it takes little more than an open one.
    fn words(&self) -> Words {
        let most = 8 * self.count as u64 + 64;
        let room = self.most.checked_sub(self.least);
        match room.and_then(|room| u64::try_from(room).ok()) {
            Some(room) if room < most => Words {
                slots: vec![0; room as usize + 1],
                base: Some(self.least.cast_unsigned()),
                keys: Vec::with_capacity(self.count),
            },
            _ => Words::open(self.count),
        }
    }
}

fn int(key: Option<&Key>) -> Option<i64> {
    match key {
        Some(Key::Int(n)) => Some(*n),
        _ => None,
    }
}

impl Words {
    /// A table that takes no memory yet: a direct one that everything is too far from.
    pub(crate) const fn few() -> Words {
        Words {
            slots: Vec::new(),
            base: Some(0),
            keys: Vec::new(),
        }
    }

    /// Different integers, in an open table.
    pub(crate) fn all(keys: &[i64]) -> Words {
        let mut words = Words {
            slots: Vec::new(),
            base: None,
            keys: Vec::with_capacity(2 * keys.len()),
        };
        words.begin(keys);
        words
    }

    /// An open table for about so many.
    fn open(count: usize) -> Words {
        let room = (2 * count).next_power_of_two().clamp(16, 1024);
        Words {
            slots: vec![0; room],
            base: None,
            keys: Vec::with_capacity(room / 2),
        }
    }

    fn numbers(
        &mut self,
        values: impl Iterator<Item = u64>,
        range: Range<usize>,
        nulls: Nulls<'_>,
    ) -> Vec<u32> {
        match nulls.any() {
            false => {
                let mut numbers = vec![0; range.len()];
                for (number, word) in numbers.iter_mut().zip(values) {
                    *number = self.number(word);
                }
                numbers
            }
            true => values
                .zip(range)
                .map(|(word, index)| match nulls.is_null(index) {
                    true => NOTHING,
                    false => self.number(word),
                })
                .collect(),
        }
    }

    #[inline]
    pub(crate) fn number(&mut self, word: u64) -> u32 {
        let near = self.base.and_then(|base| self.number_near(base, word));
        near.unwrap_or_else(|| self.number_of(word))
    }

    /// The number of a word in a direct table, which holds none that is too far from its base.
    #[inline(always)]
    fn number_near(&mut self, base: u64, word: u64) -> Option<u32> {
        let slot = self.slots.get_mut(word.wrapping_sub(base) as usize)?;
        if *slot == 0 {
            self.keys.push(word);
            *slot = self.keys.len() as u32;
        }
        Some(*slot - 1)
    }

    /// Numbers different integers, of which a direct table has none that is too far from its
    /// base, from 0 on.
    fn begin(&mut self, keys: &[i64]) {
        debug_assert!(self.keys.is_empty());
        self.keys.extend(keys.iter().map(|key| key.cast_unsigned()));
        let Some(base) = self.base else {
            return self.grow();
        };
        for (number, key) in (1..).zip(keys) {
            let near = key.cast_unsigned().wrapping_sub(base);
            if let Some(slot) = self.slots.get_mut(near as usize) {
                *slot = number;
            }
        }
    }

    /// The number of a word in an open table.
    fn number_of(&mut self, word: u64) -> u32 {
        if self.base.take().is_some() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = fold(word) as usize & mask;
        loop {
            match self.slots[at] {
                0 => break,
                taken if self.keys[taken as usize - 1] == word => return taken - 1,
                _ => at = (at + 1) & mask,
            }
        }
        self.keys.push(word);
        let number = self.keys.len() as u32;
        self.slots[at] = number;
        if 2 * self.keys.len() > self.slots.len() {
            self.grow();
        }
        number - 1
    }

    #[cold]
    fn grow(&mut self) {
        let room = (4 * self.keys.len()).next_power_of_two().max(16);
        self.slots.clear();
        self.slots.resize(room, 0);
        for (place, word) in self.keys.iter().enumerate() {
            let mut at = fold(*word) as usize & (room - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (room - 1);
            }
            self.slots[at] = place as u32 + 1;
        }
    }
}

//! Numbers for different values: what is weighed or counted by value is then an array.

use super::groups::{Groups, fold};
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

/// Different words: an open table of their places.
pub(crate) struct Words {
    /// One more than a place in `keys`; 0 is free. So many that half at least are free.
    slots: Vec<u32>,
    pub(crate) keys: Vec<u64>,
}

impl<'a> Dictionary<'a> {
    /// An empty one for values like those of a column, about `count` of them.
    pub(crate) fn of(column: Column<'_>, count: usize) -> Dictionary<'a> {
        match column {
            Column::Int(_) => Dictionary::Words(Words::for_about(count), Form::Int),
            Column::Float(_) => Dictionary::Words(Words::for_about(count), Form::Float),
            _ => Dictionary::Cells(Groups::default()),
        }
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

impl Words {
    fn for_about(count: usize) -> Words {
        let room = (2 * count).next_power_of_two().clamp(16, 1024);
        Words {
            slots: vec![0; room],
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
            false => values.map(|word| self.number(word)).collect(),
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
    fn number(&mut self, word: u64) -> u32 {
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
        let room = 4 * self.slots.len();
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

//! How many different values there are, over windows that lie within one another.

use super::nested::Gather;
use super::values::Of;
use super::{FinishError, count_value, estimated};
use crate::answer::{Answer, Reading};
use crate::partial::Partial;
use crate::sketch::Hll;
use crate::spec::Output;
use std::ops::Range;

/// Different values, each once, up to a cap; and a sketch of them past it.
pub(super) struct Distinct<'n, 'a> {
    of: Of<'n, 'a>,
    cap: usize,
    /// By number.
    is_seen: Vec<bool>,
    count: usize,
    hll: Option<Hll>,
}

impl<'n, 'a> Distinct<'n, 'a> {
    pub(super) fn new(of: Of<'n, 'a>, cap: usize) -> Distinct<'n, 'a> {
        Distinct {
            cap,
            is_seen: vec![false; of.numbered.dictionary.len()],
            of,
            count: 0,
            hll: None,
        }
    }

    /// Adds what has been seen before there was a sketch.
    fn add_seen(&self, hll: &mut Hll) {
        for (number, is_seen) in self.is_seen.iter().enumerate() {
            if *is_seen {
                hll.add_cell(&self.of.numbered.dictionary.cell(number as u32));
            }
        }
    }

    fn see_all(&mut self, numbers: &[u32]) {
        if self.hll.is_some() {
            return numbers.iter().for_each(|number| self.see(*number));
        }
        let mut count = self.count;
        for number in numbers {
            let is_seen = &mut self.is_seen[*number as usize];
            count += usize::from(!std::mem::replace(is_seen, true));
        }
        self.count = count;
    }

    fn see(&mut self, number: u32) {
        if !std::mem::replace(&mut self.is_seen[number as usize], true) {
            self.count += 1;
            if let Some(hll) = &mut self.hll {
                hll.add_cell(&self.of.numbered.dictionary.cell(number));
            }
        }
    }
}

impl<'a> Gather<'a> for Distinct<'_, 'a> {
    fn clear(&mut self) {
        self.is_seen.fill(false);
        self.count = 0;
        self.hll = None;
    }

    fn merge(&mut self, partial: &'a Partial) {
        match partial {
            Partial::Distinct(keys) => {
                let dictionary = &mut self.of.numbered.dictionary;
                self.is_seen.resize(dictionary.len() + keys.len(), false);
                for key in keys {
                    let number = self.of.numbered.dictionary.number(key.cell());
                    self.see(number);
                }
            }
            Partial::Listed(listed) => {
                let numbers = self.of.numbered.ints(listed.keys());
                let room = self.of.numbered.dictionary.len();
                self.is_seen.resize(room.max(self.is_seen.len()), false);
                self.see_all(&numbers);
            }
            Partial::Hll(more) => match &mut self.hll {
                Some(hll) => hll.merge(more),
                None => {
                    let mut hll = more.clone();
                    self.add_seen(&mut hll);
                    self.hll = Some(hll);
                }
            },
            other => unreachable!("{other:?} holds no different values"),
        }
    }

    fn add(&mut self, events: Range<usize>) {
        let (is_seen, mut count) = (&mut self.is_seen, self.count);
        let (dictionary, hll) = (&self.of.numbered.dictionary, &mut self.hll);
        match hll {
            None => self.of.each(events, |_, number| {
                let is_new = !std::mem::replace(&mut is_seen[number as usize], true);
                count += usize::from(is_new);
            }),
            Some(hll) => self.of.each(events, |_, number| {
                if !std::mem::replace(&mut is_seen[number as usize], true) {
                    count += 1;
                    hll.add_cell(&dictionary.cell(number));
                }
            }),
        }
        self.count = count;
    }

    fn answer(&mut self, output: &Output, _: &Reading) -> Result<Answer, FinishError> {
        if self.hll.is_none() && self.count > self.cap {
            let mut hll = Hll::default();
            self.add_seen(&mut hll);
            self.hll = Some(hll);
        }
        match &self.hll {
            Some(hll) => Ok(estimated(output, hll)),
            None => count_value(self.count as u64),
        }
    }
}

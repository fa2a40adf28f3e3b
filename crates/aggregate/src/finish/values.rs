//! How many different values there are and which are the heaviest, over windows that lie within
//! one another. Every value has a number, so what it weighs is a place in an array.

use super::FinishError;
use super::distinct::Distinct;
use super::heavy::Heavy;
use super::nested::{Gather, Nest, Place, Places};
use super::once;
use super::top::Top;
use super::weigh::Small;
use crate::answer::Answer;
use crate::column::{Cell, Column};
use crate::exact::ExactSum;
use crate::float::FloatSum;
use crate::function::Function;
use crate::partial::dictionary::{Dictionary, NOTHING};
use crate::partial::laying::small;
use crate::partial::{Members, Partial};
use crate::row::Row;
use crate::spec::{Output, RowSpec};
use std::ops::Range;
use tiderace_types::DataType;

/// What is asked of the different values of one input.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pub(crate) input: usize,
    runs: Vec<Run>,
}

/// Outputs that differ in their windows alone, or in how many values they list.
#[derive(Clone, Debug)]
struct Run {
    kind: Kind,
    filter: Option<usize>,
    by: Option<usize>,
    places: Places,
}

/// What is asked, with its cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Distinct(usize),
    Top(usize),
}

/// The input that an output tells equal values of, where it is finished here.
pub(crate) fn kind(output: &Output) -> Option<(usize, Kind)> {
    let cap = output.function.cap();
    let kind = match output.function {
        Function::CountDistinct { .. } => Kind::Distinct(cap),
        Function::TopN { .. } => Kind::Top(cap),
        _ => return None,
    };
    Some((output.input?, kind))
}

impl Values {
    /// Nothing is asked yet.
    pub(crate) const fn of(input: usize) -> Values {
        let runs = Vec::new();
        Values { input, runs }
    }

    pub(crate) fn ask(&mut self, kind: Kind, output: &Output, window: usize, place: Place) {
        let key = (kind, output.filter, output.by);
        let same = |run: &Run| (run.kind, run.filter, run.by) == key;
        let run = match self.runs.iter().position(same) {
            Some(run) => run,
            None => {
                self.runs.push(Run {
                    kind,
                    filter: output.filter,
                    by: output.by,
                    places: Places::default(),
                });
                self.runs.len() - 1
            }
        };
        self.runs[run].places.add(window, place);
    }

    pub(crate) fn finish<'a>(
        &self,
        spec: &RowSpec,
        row: &'a Row,
        nest: &Nest<'a>,
        answers: &mut [Result<Answer, FinishError>],
    ) {
        let column = row.events.input(self.input);
        let key_type = &spec.inputs[self.input];
        let asked = self.runs.iter();
        let runs = asked.filter(|run| !run.at_once(spec, row, (column, key_type), nest, answers));
        let runs: Vec<&Run> = runs.collect();
        if runs.is_empty() {
            return;
        }
        let range = nest.events_of(runs.iter().map(|run| &run.places));
        let range = range.unwrap_or_default();
        let partials = (runs.iter()).flat_map(|run| nest.partials_of(&run.places));
        let partials: Vec<&Partial> = partials.collect();
        let mut dictionary = Dictionary::of(column, range.clone(), &partials);
        let mut numbered = Numbered {
            numbers: dictionary.numbers(column, range.clone()),
            nulls: column.nulls().any(),
            first: Dictionary::first(&partials).unwrap_or_default(),
            dictionary,
            range,
        };
        for run in runs {
            let of = Of {
                bits: row.events.bits(),
                filter: run.filter,
                numbered: &mut numbered,
                key_type,
            };
            let mut finish = Finish {
                spec,
                nest,
                run,
                answers: &mut *answers,
            };
            match (run.kind, run.by.map(|by| row.events.input(by))) {
                (Kind::Distinct(cap), _) => finish.by(Distinct::new(of, cap)),
                (Kind::Top(cap), by @ Some(Column::Float(_))) => {
                    finish.by(Top::<FloatSum>::new(of, cap, by));
                }
                (Kind::Top(cap), None) if run.is_small(nest) => {
                    finish.by(Top::<Small>::new(of, cap, None));
                }
                (Kind::Top(cap), by @ Some(Column::Int(weights)))
                    if run.is_small(nest) && are_small(weights.values) =>
                {
                    finish.by(Top::<Small>::new(of, cap, by));
                }
                (Kind::Top(cap), by) => finish.by(Top::<ExactSum>::new(of, cap, by)),
            }
        }
    }
}

impl Run {
    /// Answers what is asked of one window by looking its events' values up in its merged spans; tells
    /// whether it could.
    fn at_once<'a>(
        &self,
        spec: &RowSpec,
        row: &'a Row,
        (column, key_type): (Column<'a>, &DataType),
        nest: &Nest<'a>,
        answers: &mut [Result<Answer, FinishError>],
    ) -> bool {
        let Some((places, range, partials)) = nest.only(&self.places) else {
            return false;
        };
        let members = Members {
            events: &row.events,
            filter: self.filter,
            range,
        };
        match self.kind {
            Kind::Distinct(_) => {
                let Some(different) = once::distinct(column, &members, &partials) else {
                    return false;
                };
                for place in places {
                    let output = &spec.outputs[place.output];
                    answers[place.slot] = different.answer(output);
                }
                true
            }
            Kind::Top(cap) => {
                let Column::Int(values) = column else {
                    return false;
                };
                let listed = match partials[..] {
                    [] => None,
                    [Partial::Listed(listed)] => Some(&**listed),
                    _ => return false,
                };
                let small = listed.map(|listed| listed.is_small());
                let heavy = Heavy {
                    listed,
                    members: &members,
                    values,
                };
                let to = (cap, key_type, places);
                match self.by.map(|by| row.events.input(by)) {
                    None if small.unwrap_or(true) => {
                        let one = |_| (Cell::Int(1), 1.0);
                        heavy.finish::<Small>(spec, to, one, answers)
                    }
                    Some(Column::Int(by))
                        if !by.nulls.any()
                            && small.unwrap_or(true)
                            && are_small(&by.values[members.range.clone()]) =>
                    {
                        let weight = |index| {
                            let n: i64 = by.values[index];
                            (Cell::Int(n), n.unsigned_abs() as f64)
                        };
                        heavy.finish::<Small>(spec, to, weight, answers)
                    }
                    Some(Column::Float(by)) if !by.nulls.any() && !small.unwrap_or(false) => {
                        let weight = |index| {
                            let x: f64 = by.values[index];
                            (Cell::Float(x), x.abs())
                        };
                        heavy.finish::<FloatSum>(spec, to, weight, answers)
                    }
                    _ => false,
                }
            }
        }
    }

    /// Whether the counts that are merged are small.
    fn is_small(&self, nest: &Nest<'_>) -> bool {
        let partials = nest.partials_of(&self.places);
        partials.into_iter().all(|partial| match partial {
            Partial::Listed(listed) => listed.is_small(),
            Partial::Weights(weights) => {
                let sums = weights.entries.iter().map(|weight| weight.sum);
                sums.map(small).all(|small| small.is_some())
            }
            _ => false,
        })
    }
}

/// Whether any sum of integers and of a small count leaves room for as much again.
fn are_small(numbers: &[i64]) -> bool {
    const ONE: u64 = 1 << 40;
    const MANY: usize = 1 << 20;
    let bits = numbers.iter().fold(0, |bits, n| bits | n.unsigned_abs());
    bits < ONE && numbers.len() < MANY
}

/// Where a run's answers come from and go to.
struct Finish<'s, 'a> {
    spec: &'s RowSpec,
    nest: &'s Nest<'a>,
    run: &'s Run,
    answers: &'s mut [Result<Answer, FinishError>],
}

impl<'a> Finish<'_, 'a> {
    fn by(&mut self, mut gathered: impl Gather<'a>) {
        let places = &self.run.places;
        self.nest
            .finish(self.spec, places, &mut gathered, self.answers);
    }
}

/// The values of a row's own events, as numbers.
pub(super) struct Numbered<'a> {
    pub(super) dictionary: Dictionary<'a>,
    numbers: Vec<u32>,
    /// The keys that have the first numbers, in their order.
    first: &'a [i64],
    /// The events that they are of.
    range: Range<usize>,
    /// Whether some are of no value.
    nulls: bool,
}

impl Numbered<'_> {
    /// Whether the keys of a list have the numbers from 0 on.
    pub(super) fn is_first(&self, keys: &[i64]) -> bool {
        keys == self.first
    }

    /// The numbers of the keys of a list.
    pub(super) fn ints(&mut self, keys: &[i64]) -> Vec<u32> {
        if self.is_first(keys) {
            return (0..keys.len() as u32).collect();
        }
        let mut numbers = Vec::with_capacity(keys.len());
        let keys = keys.iter().copied();
        self.dictionary.ints(keys, |number| numbers.push(number));
        numbers
    }
}

/// What a run gathers.
pub(super) struct Of<'n, 'a> {
    pub(super) numbered: &'n mut Numbered<'a>,
    bits: &'a [u64],
    filter: Option<usize>,
    pub(super) key_type: &'n DataType,
}

impl Of<'_, '_> {
    /// Calls `take` with each event that has a value and passes, and the number of its value.
    #[inline]
    pub(super) fn each(&self, events: Range<usize>, mut take: impl FnMut(usize, u32)) {
        let from = events.start - self.numbered.range.start;
        let numbers = &self.numbered.numbers[from..from + events.len()];
        let events = events.zip(numbers);
        match self.filter {
            None if !self.numbered.nulls => events.for_each(|(index, number)| take(index, *number)),
            filter => {
                for (index, number) in events {
                    let passes = filter.is_none_or(|bit| self.bits[index] >> bit & 1 == 1);
                    if passes && *number != NOTHING {
                        take(index, *number);
                    }
                }
            }
        }
    }
}

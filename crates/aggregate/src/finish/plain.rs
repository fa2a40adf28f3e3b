//! Aggregates that take a few words, over windows that lie within one another.
//!
//! Each event is looked at once, where it lies: no partial is made of it. What is not here is
//! gathered as a [`Partial`], by [`Whole`].

use super::nested::{Gather, Nest, Places};
use super::sums::finish_sum;
use super::{FinishError, count_value, finish_partial, moment, rate};
use crate::answer::{Answer, Reading};
use crate::column::{Cell, Column};
use crate::float::{of_rank, rank};
use crate::function::Function;
use crate::partial::{Key, Members, Partial, Spread, Sum};
use crate::row::Row;
use crate::spec::{Output, RowSpec};
use std::ops::Range;
use tiderace_types::DataType;

/// Answers outputs that have the same partial as output `of`. Those of moments that ask for no
/// more than variances are `spread`.
pub(crate) fn finish(
    spec: &RowSpec,
    row: &Row,
    nest: &Nest<'_>,
    (of, spread): (usize, bool),
    places: &Places,
    answers: &mut [Result<Answer, FinishError>],
) {
    let output = &spec.outputs[of];
    let input = Input::of(spec, row, output);
    let numbers = input.and_then(|input| input.numbers());
    let only = || Members {
        events: &row.events,
        filter: output.filter,
        range: 0..0,
    };
    match (&output.function, input) {
        (Function::Count | Function::Rate { .. }, _) => {
            let mut count = Count {
                members: only(),
                column: input.map(|input| input.column),
                count: 0,
            };
            nest.finish(spec, places, &mut count, answers);
        }
        (Function::Sum | Function::Avg, Some(input)) => {
            let mut total = Total {
                members: only(),
                input,
                sum: Sum::zero(input.data_type),
                count: 0,
            };
            nest.finish(spec, places, &mut total, answers);
        }
        (Function::First | Function::Last, Some(input)) if !nest.is_merged() => {
            let mut end = End {
                members: only(),
                input,
                latest: output.function == Function::Last,
                held: None,
            };
            nest.finish(spec, places, &mut end, answers);
        }
        (Function::Min | Function::Max, Some(input)) if numbers.is_some() => {
            let mut extreme = Extreme {
                input,
                flip: match output.function {
                    Function::Min => -1,
                    _ => 0,
                },
                held: None,
            };
            nest.finish(spec, places, &mut extreme, answers);
        }
        (_, Some(input)) if spread && numbers.is_some() => {
            let mut moments = Moments {
                input,
                held: Spread::default(),
            };
            nest.finish(spec, places, &mut moments, answers);
        }
        _ => {
            let mut whole = Whole {
                spec,
                row,
                output,
                partial: Partial::empty(output, &spec.inputs),
            };
            nest.finish(spec, places, &mut whole, answers);
        }
    }
}

/// Whether an answer needs no more of moments than the second.
pub(crate) const fn is_spread(function: &Function) -> bool {
    matches!(
        function,
        Function::VarSamp | Function::VarPop | Function::StddevSamp | Function::StddevPop
    )
}

/// What an output is of.
#[derive(Clone, Copy)]
struct Input<'a> {
    column: Column<'a>,
    data_type: &'a DataType,
    /// Whether every event has a value that counts.
    all: bool,
}

impl<'a> Input<'a> {
    fn of(spec: &'a RowSpec, row: &'a Row, output: &Output) -> Option<Input<'a>> {
        let input = output.input?;
        let column = row.events.input(input);
        Some(Input {
            column,
            data_type: &spec.inputs[input],
            all: output.filter.is_none() && !column.nulls().any(),
        })
    }

    /// The column, if it is one of numbers all of which count.
    fn numbers(self) -> Option<Column<'a>> {
        let words = matches!(self.column, Column::Int(_) | Column::Float(_));
        (self.all && words).then_some(self.column)
    }
}

/// `count` and `rate`.
struct Count<'a> {
    members: Members<'a>,
    column: Option<Column<'a>>,
    count: u64,
}

impl<'a> Gather<'a> for Count<'a> {
    fn clear(&mut self) {
        self.count = 0;
    }

    fn merge(&mut self, partial: &'a Partial) {
        let Partial::Count(more) = partial else {
            unreachable!("{partial:?} is no count");
        };
        self.count = self.count.saturating_add(*more);
    }

    fn add(&mut self, events: Range<usize>) {
        self.members.range = events;
        let more = match self.column {
            Some(column) => self.members.count_of(column),
            None => self.members.count(),
        };
        self.count = self.count.saturating_add(more);
    }

    fn answer(&mut self, output: &Output, reading: &Reading) -> Result<Answer, FinishError> {
        match output.function {
            Function::Rate { per } => Ok(rate(self.count, per.0, reading).into()),
            _ => count_value(self.count),
        }
    }
}

/// `sum` and `avg`.
struct Total<'a> {
    members: Members<'a>,
    input: Input<'a>,
    sum: Sum,
    count: u64,
}

impl<'a> Gather<'a> for Total<'a> {
    fn clear(&mut self) {
        self.sum = Sum::zero(self.input.data_type);
        self.count = 0;
    }

    fn merge(&mut self, partial: &'a Partial) {
        let Partial::Sum { sum, count } = partial else {
            unreachable!("{partial:?} is no sum");
        };
        self.sum.merge(*sum);
        self.count = self.count.saturating_add(*count);
    }

    fn add(&mut self, events: Range<usize>) {
        self.members.range = events;
        let more = self.members.add_to(&mut self.sum, self.input.column);
        self.count = self.count.saturating_add(more);
    }

    fn answer(&mut self, output: &Output, _: &Reading) -> Result<Answer, FinishError> {
        let (from, to) = (self.input.data_type, &output.data_type);
        finish_sum(&output.function, from, to, self.sum, self.count).map(Answer::from)
    }
}

/// `first` and `last`.
struct End<'a> {
    members: Members<'a>,
    input: Input<'a>,
    latest: bool,
    held: Option<Cell<'a>>,
}

impl<'a> Gather<'a> for End<'a> {
    fn clear(&mut self) {
        self.held = None;
    }

    fn merge(&mut self, partial: &'a Partial) {
        unreachable!("{partial:?} has no place among the row's own events");
    }

    fn add(&mut self, events: Range<usize>) {
        self.members.range = events;
        let column = self.input.column;
        match (self.latest, self.held) {
            (true, Some(_)) => {}
            (true, None) => self.held = self.members.cells(column).next_back(),
            (false, _) => self.held = self.members.cells(column).next().or(self.held),
        }
    }

    fn answer(&mut self, _: &Output, _: &Reading) -> Result<Answer, FinishError> {
        let value = self.held.map(|cell| cell.to_value(self.input.data_type));
        Ok(value.unwrap_or_default().into())
    }
}

/// `min` and `max` of numbers, as integers of the same order.
struct Extreme<'a> {
    input: Input<'a>,
    /// −1 turns the order around, 0 does not.
    flip: i64,
    held: Option<i64>,
}

impl Extreme<'_> {
    fn hold(&mut self, rank: i64) {
        self.held = Some(self.held.map_or(rank, |held| held.max(rank)));
    }
}

impl<'a> Gather<'a> for Extreme<'a> {
    fn clear(&mut self) {
        self.held = None;
    }

    fn merge(&mut self, partial: &'a Partial) {
        match partial {
            Partial::One(None) => {}
            Partial::One(Some(Key::Int(n))) => self.hold(n ^ self.flip),
            Partial::One(Some(Key::Float(x))) => self.hold(rank(*x) ^ self.flip),
            other => unreachable!("{other:?} is no number"),
        }
    }

    fn add(&mut self, events: Range<usize>) {
        let flip = self.flip;
        let best = match self.input.column {
            Column::Int(slots) => slots.values[events].iter().map(|n| n ^ flip).max(),
            Column::Float(slots) => {
                let ranks = slots.values[events].iter();
                ranks.map(|x| rank(*x) ^ flip).max()
            }
            _ => None,
        };
        if let Some(best) = best {
            self.hold(best);
        }
    }

    fn answer(&mut self, _: &Output, _: &Reading) -> Result<Answer, FinishError> {
        let value = self.held.map(|held| {
            let cell = match self.input.column {
                Column::Float(_) => Cell::Float(of_rank(held ^ self.flip)),
                _ => Cell::Int(held ^ self.flip),
            };
            cell.to_value(self.input.data_type)
        });
        Ok(value.unwrap_or_default().into())
    }
}

/// Variances and standard deviations of numbers.
struct Moments<'a> {
    input: Input<'a>,
    held: Spread,
}

impl<'a> Gather<'a> for Moments<'a> {
    fn clear(&mut self) {
        self.held = Spread::default();
    }

    fn merge(&mut self, partial: &'a Partial) {
        let Partial::Moments(moments) = partial else {
            unreachable!("{partial:?} holds no moments");
        };
        self.held.merge(&moments.spread());
    }

    fn add(&mut self, events: Range<usize>) {
        let more = match self.input.column {
            Column::Float(slots) => Spread::of(&slots.values[events], |x| *x),
            Column::Int(slots) => Spread::of(&slots.values[events], |n| *n as f64),
            _ => return,
        };
        self.held.merge(&more);
    }

    fn answer(&mut self, output: &Output, _: &Reading) -> Result<Answer, FinishError> {
        moment(&output.function, &self.held.moments()).map(Answer::from)
    }
}

/// Anything, as its partial.
struct Whole<'s, 'a> {
    spec: &'s RowSpec,
    row: &'a Row,
    output: &'s Output,
    partial: Partial,
}

impl<'a> Gather<'a> for Whole<'_, 'a> {
    fn clear(&mut self) {
        self.partial = Partial::empty(self.output, &self.spec.inputs);
    }

    fn merge(&mut self, partial: &'a Partial) {
        self.partial.merge_ref(self.output, partial);
    }

    fn add(&mut self, events: Range<usize>) {
        let inputs = &self.spec.inputs;
        self.partial
            .add(self.output, inputs, &self.row.events, events);
    }

    fn answer(&mut self, output: &Output, reading: &Reading) -> Result<Answer, FinishError> {
        finish_partial(output, &self.spec.inputs, &self.partial, reading)
    }
}

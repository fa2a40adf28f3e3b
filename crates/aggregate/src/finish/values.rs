//! How many different values there are and which are the heaviest, over windows that lie within
//! one another. Every value has a number, so what it weighs is a place in an array.

use super::nested::{Place, Step, Steps, Within};
use super::{FinishError, by_unit, count_value, estimated, map, or_default};
use crate::answer::{Answer, Bound};
use crate::column::{Cell, Column};
use crate::exact::ExactSum;
use crate::float::FloatSum;
use crate::function::Function;
use crate::partial::dictionary::{Dictionary, NOTHING};
use crate::partial::{Members, Partial, Sum, Weights, weights};
use crate::row::Row;
use crate::sketch::Hll;
use crate::spec::{Output, RowSpec};
use std::cmp::Ordering;
use std::ops::Range;

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
    /// One of them.
    output: usize,
    places: Vec<Place>,
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

/// The values of a row's own events, as numbers.
struct Numbered<'a> {
    dictionary: Dictionary<'a>,
    numbers: Vec<u32>,
    /// The events that they are of.
    range: Range<usize>,
}

impl Values {
    /// Nothing is asked yet.
    pub(crate) const fn of(input: usize) -> Values {
        let runs = Vec::new();
        Values { input, runs }
    }

    pub(crate) fn ask(&mut self, kind: Kind, output: &Output, place: Place) {
        let key = (kind, output.filter, output.by);
        let same = |run: &&mut Run| (run.kind, run.filter, run.by) == key;
        match self.runs.iter_mut().find(same) {
            Some(run) => run.places.push(place),
            None => self.runs.push(Run {
                kind,
                filter: output.filter,
                by: output.by,
                output: place.output,
                places: vec![place],
            }),
        }
    }

    pub(crate) fn finish(
        &self,
        spec: &RowSpec,
        row: &Row,
        windows: (&[usize], &[Within]),
        answers: &mut [Result<Answer, FinishError>],
    ) {
        let column = row.events.input(self.input);
        let places = self.runs.iter().flat_map(|run| &run.places);
        let mut ranges = places.map(|place| &windows.1[place.window].range);
        let Some(first) = ranges.next() else {
            return;
        };
        let range = ranges.fold(first.clone(), |all, range| {
            all.start.min(range.start)..all.end.max(range.end)
        });
        let mut dictionary = Dictionary::of(column, range.len());
        let mut numbered = Numbered {
            numbers: dictionary.numbers(column, range.clone()),
            dictionary,
            range,
        };
        for run in &self.runs {
            let of = Of { spec, row, run };
            match (run.kind, run.by.map(|by| row.events.input(by))) {
                (Kind::Distinct(cap), _) => {
                    of.finish(&mut Distinct::new(cap), &mut numbered, windows, answers);
                }
                (Kind::Top(cap), by @ Some(Column::Float(_))) => {
                    let mut top = Top::<FloatSum>::new(cap, by);
                    of.finish(&mut top, &mut numbered, windows, answers);
                }
                (Kind::Top(cap), by) => {
                    let mut top = Top::<ExactSum>::new(cap, by);
                    of.finish(&mut top, &mut numbered, windows, answers);
                }
            }
        }
    }
}

/// What is gathered of one window after another.
trait Gather<'a> {
    /// Forgets everything.
    fn clear(&mut self);
    /// Adds events.
    fn add(&mut self, members: &Members<'a>, numbered: &Numbered<'a>);
    /// Adds what other events come to.
    fn merge(&mut self, partial: &'a Partial, dictionary: &mut Dictionary<'a>);
    /// The answer by now.
    fn answer(
        &mut self,
        spec: &RowSpec,
        output: &Output,
        dictionary: &Dictionary<'a>,
    ) -> Result<Answer, FinishError>;
}

/// One run over one row.
struct Of<'r, 'a> {
    spec: &'r RowSpec,
    row: &'a Row,
    run: &'r Run,
}

impl<'a> Of<'_, 'a> {
    fn finish(
        &self,
        gathered: &mut impl Gather<'a>,
        numbered: &mut Numbered<'a>,
        (order, withins): (&[usize], &[Within]),
        answers: &mut [Result<Answer, FinishError>],
    ) {
        let Of { spec, row, run } = self;
        let merged = row.merged.as_ref();
        let measure = merged.map(|merged| merged.measures.of_output(run.output));
        let mut steps = Steps::new(row);
        for window in order {
            let asked = run.places.iter().filter(|place| place.window == *window);
            let mut asked = asked.peekable();
            if asked.peek().is_none() {
                continue;
            }
            let Step {
                anew,
                events,
                pieces,
            } = steps.to(&withins[*window]);
            if anew {
                gathered.clear();
            }
            for piece in pieces {
                let more = measure.and_then(|measure| piece.summary.partials[measure].as_ref());
                if let Some(more) = more {
                    gathered.merge(more, &mut numbered.dictionary);
                }
            }
            let members = Members {
                events: &row.events,
                filter: run.filter,
                range: events,
            };
            gathered.add(&members, numbered);
            for place in asked {
                let output = &spec.outputs[place.output];
                let answer = gathered.answer(spec, output, &numbered.dictionary);
                answers[place.slot] = answer.map(|answer| or_default(output, answer));
            }
        }
    }
}

impl Numbered<'_> {
    /// Calls `take` with each member and the number of its value.
    #[inline]
    fn each(&self, members: &Members<'_>, mut take: impl FnMut(usize, u32)) {
        let from = members.range.start - self.range.start;
        let numbers = &self.numbers[from..from + members.range.len()];
        let bits = members.events.bits();
        for (index, number) in members.range.clone().zip(numbers) {
            let passes = members.filter.is_none_or(|bit| bits[index] >> bit & 1 == 1);
            if passes && *number != NOTHING {
                take(index, *number);
            }
        }
    }
}

/// Different values, each once, up to a cap; and a sketch of them past it.
struct Distinct {
    cap: usize,
    is_seen: Vec<bool>,
    seen: Vec<u32>,
    hll: Option<Hll>,
}

impl Distinct {
    const fn new(cap: usize) -> Distinct {
        Distinct {
            cap,
            is_seen: Vec::new(),
            seen: Vec::new(),
            hll: None,
        }
    }

    fn room_for(&mut self, numbers: usize) {
        if self.is_seen.len() < numbers {
            self.is_seen.resize(numbers, false);
        }
    }

    #[inline]
    fn see(&mut self, number: u32, dictionary: &Dictionary<'_>) {
        if std::mem::replace(&mut self.is_seen[number as usize], true) {
            return;
        }
        self.seen.push(number);
        if let Some(hll) = &mut self.hll {
            hll.add_cell(&dictionary.cell(number));
        }
    }

    /// Adds what has been seen before there was a sketch.
    fn add_seen(&self, hll: &mut Hll, dictionary: &Dictionary<'_>) {
        for number in &self.seen {
            hll.add_cell(&dictionary.cell(*number));
        }
    }
}

impl<'a> Gather<'a> for Distinct {
    fn clear(&mut self) {
        self.is_seen.clear();
        self.seen.clear();
        self.hll = None;
    }

    fn add(&mut self, members: &Members<'a>, numbered: &Numbered<'a>) {
        self.room_for(numbered.dictionary.len());
        numbered.each(members, |_, number| self.see(number, &numbered.dictionary));
    }

    fn merge(&mut self, partial: &'a Partial, dictionary: &mut Dictionary<'a>) {
        match partial {
            Partial::Distinct(keys) => {
                self.room_for(dictionary.len() + keys.len());
                for key in keys {
                    let number = dictionary.number(key.cell());
                    self.see(number, dictionary);
                }
            }
            Partial::Hll(more) => match &mut self.hll {
                Some(hll) => hll.merge(more),
                None => {
                    let mut hll = more.clone();
                    self.add_seen(&mut hll, dictionary);
                    self.hll = Some(hll);
                }
            },
            other => unreachable!("{other:?} holds no different values"),
        }
    }

    fn answer(
        &mut self,
        _: &RowSpec,
        output: &Output,
        dictionary: &Dictionary<'a>,
    ) -> Result<Answer, FinishError> {
        if self.hll.is_none() && self.seen.len() > self.cap {
            let mut hll = Hll::default();
            self.add_seen(&mut hll, dictionary);
            self.hll = Some(hll);
        }
        match &self.hll {
            Some(hll) => Ok(estimated(output, hll)),
            None => count_value(self.seen.len() as u64),
        }
    }
}

/// What one value weighs.
trait Weigh: Copy + Default {
    /// What is greater for what weighs more.
    type Rank: Ord + Copy;
    fn rank(self) -> Self::Rank;
    fn add_cell(&mut self, cell: Cell<'_>);
    fn merge_sum(&mut self, sum: Sum);
    fn sum(self) -> Sum;
}

impl Weigh for ExactSum {
    #[inline]
    fn add_cell(&mut self, cell: Cell<'_>) {
        match cell {
            Cell::Int(n) => self.add(n.into()),
            Cell::Decimal(n) => self.add(n),
            _ => {}
        }
    }

    #[inline]
    fn merge_sum(&mut self, sum: Sum) {
        if let Sum::Exact(sum) = sum {
            self.merge(sum);
        }
    }

    fn sum(self) -> Sum {
        Sum::Exact(self)
    }

    type Rank = ExactSum;
    fn rank(self) -> ExactSum {
        self
    }
}

impl Weigh for FloatSum {
    #[inline]
    fn add_cell(&mut self, cell: Cell<'_>) {
        if let Cell::Float(x) = cell {
            self.add(x);
        }
    }

    #[inline]
    fn merge_sum(&mut self, sum: Sum) {
        if let Sum::Float(sum) = sum {
            self.merge(sum);
        }
    }

    fn sum(self) -> Sum {
        Sum::Float(self)
    }

    /// Doubles in their total order (IEEE 754 §5.10) as integers.
    type Rank = i64;
    #[inline]
    fn rank(self) -> i64 {
        let bits = self.total().to_bits().cast_signed();
        bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
    }
}

/// Weights by value. Nothing is let go here, so past the cap they are off by what the merged
/// spans had let go of and by no more.
struct Top<'a, W> {
    cap: usize,
    by: Option<Column<'a>>,
    is_held: Vec<bool>,
    held: Vec<u32>,
    weights: Vec<W>,
    /// The most that a value may weigh beside what it is held to, where any was let go.
    missed: Option<f64>,
}

impl<'a, W: Weigh> Top<'a, W> {
    const fn new(cap: usize, by: Option<Column<'a>>) -> Top<'a, W> {
        Top {
            cap,
            by,
            is_held: Vec::new(),
            held: Vec::new(),
            weights: Vec::new(),
            missed: None,
        }
    }

    fn room_for(&mut self, numbers: usize) {
        if self.is_held.len() < numbers {
            self.is_held.resize(numbers, false);
            self.weights.resize(numbers, W::default());
        }
    }

    #[inline]
    fn weight(&mut self, number: u32) -> &mut W {
        if !std::mem::replace(&mut self.is_held[number as usize], true) {
            self.held.push(number);
        }
        &mut self.weights[number as usize]
    }

    /// The heaviest: weight descending, then key ascending.
    fn heaviest(&self, most: usize, dictionary: &Dictionary<'_>) -> Vec<u32> {
        /// So few are put in their places one by one.
        const FEW: usize = 32;
        let order = |(x, a): &(W::Rank, u32), (y, b): &(W::Rank, u32)| -> Ordering {
            let keys = || dictionary.cell(*a).key_order(&dictionary.cell(*b));
            y.cmp(x).then_with(keys)
        };
        let held = self.held.iter();
        let ranked = held.map(|number| (self.weights[*number as usize].rank(), *number));
        let mut best: Vec<(W::Rank, u32)>;
        if most > FEW {
            best = ranked.collect();
            if best.len() > most {
                best.select_nth_unstable_by(most, order);
                best.truncate(most);
            }
            best.sort_unstable_by(order);
        } else {
            best = Vec::with_capacity(most + 1);
            for one in ranked {
                let place = match best.last() {
                    Some(last) if order(last, &one).is_lt() => best.len(),
                    _ => best.partition_point(|held| order(held, &one).is_lt()),
                };
                if place < most {
                    best.insert(place, one);
                    best.truncate(most);
                }
            }
        }
        best.into_iter().map(|(_, number)| number).collect()
    }
}

impl<'a, W: Weigh> Gather<'a> for Top<'a, W> {
    fn clear(&mut self) {
        for number in self.held.drain(..) {
            self.is_held[number as usize] = false;
            self.weights[number as usize] = W::default();
        }
        self.missed = None;
    }

    fn add(&mut self, members: &Members<'a>, numbered: &Numbered<'a>) {
        self.room_for(numbered.dictionary.len());
        match self.by {
            None => numbered.each(members, |_, number| {
                self.weight(number).add_cell(Cell::Int(1));
            }),
            Some(by) => numbered.each(members, |index, number| {
                let cell = by.cell(index);
                if cell != Cell::Null {
                    self.weight(number).add_cell(cell);
                }
            }),
        }
    }

    fn merge(&mut self, partial: &'a Partial, dictionary: &mut Dictionary<'a>) {
        let Partial::Weights(Weights { entries, past }) = partial else {
            unreachable!("{partial:?} holds no weights");
        };
        self.room_for(dictionary.len() + entries.len());
        for entry in entries {
            let number = dictionary.number(entry.key.cell());
            self.weight(number).merge_sum(entry.sum);
        }
        if let Some(past) = past {
            let missed = self.missed.unwrap_or_default() + past.missed;
            self.missed = Some(weights::up(missed));
        }
    }

    fn answer(
        &mut self,
        spec: &RowSpec,
        output: &Output,
        dictionary: &Dictionary<'a>,
    ) -> Result<Answer, FinishError> {
        let (Function::TopN { n, .. }, Some(input)) = (&output.function, output.input) else {
            unreachable!("{:?} does not list the heaviest", output.function);
        };
        let heaviest = self.heaviest(*n as usize, dictionary);
        let pairs = heaviest.into_iter().map(|number| {
            let weight = self.weights[number as usize].sum();
            (dictionary.cell(number), weight)
        });
        let value = map(output, &spec.inputs[input], pairs)?;
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

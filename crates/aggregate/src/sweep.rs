//! Outputs of a view at many instants of one row, which rise: what training sets ask.
//!
//! What can be taken back exactly is added up once over the row, and an answer is the difference of
//! two of these sums: integers, and doubles as whole multiples of the least bit that any of them
//! has, where 128 bits hold that. Extremes are kept in order while windows move on. Everything else is
//! finished instant by instant as any answer is.
//!
//! # Laws
//! - The answers are those of [`Asked::finish`] at each instant: bit for bit, but for floats, which
//!   agree to 1e-9 of the sum of magnitudes.

use crate::answer::Answer;
use crate::asked::Asked;
use crate::column::Column;
use crate::events::Events;
use crate::finish::FinishError;
use crate::float::{of_rank, rank};
use crate::function::Function;
use crate::row::{Row, passing};
use crate::spec::{Output, RowSpec};
use crate::window::Window;
use std::collections::VecDeque;
use tiderace_types::{DataType, Timestamp, Value};

/// Outputs of a view, to be finished at many instants.
#[derive(Clone, Debug)]
pub struct Sweep {
    outputs: Vec<usize>,
    /// Those that are finished instant by instant, and their slots.
    asked: Asked,
    apart: Vec<usize>,
    /// What is added up once over a row.
    tracks: Vec<Track>,
    windows: Vec<Window>,
    swept: Vec<Swept>,
}

/// What is added up: the values of an input of the events that pass a filter, or just these events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Track {
    input: Option<usize>,
    filter: Option<usize>,
    /// Whether sums are asked for, and not just counts.
    sums: bool,
}

/// An output that is the difference of two sums, or an extreme.
#[derive(Clone, Copy, Debug)]
struct Swept {
    slot: usize,
    output: usize,
    window: usize,
    track: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

/// The answers of a sweep, a column for each output.
#[derive(Debug, Default)]
pub struct SweptAnswers {
    /// In the order in which outputs were asked for.
    pub columns: Vec<SweptColumn>,
    scratch: Scratch,
}

/// The answers to one output, instant by instant.
#[derive(Debug)]
pub enum SweptColumn {
    /// Integers, and the places of those that are none, which rise.
    Ints(Vec<i64>, Vec<(usize, Said)>),
    /// Doubles, likewise.
    Floats(Vec<f64>, Vec<(usize, Said)>),
    /// Anything.
    Values(Vec<Result<Answer, FinishError>>),
}

/// What stands in a column of numbers in the place of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Null.
    Null,
    /// The exact result does not fit.
    Overflow,
}

/// Memory that is used again.
#[derive(Debug, Default)]
struct Scratch {
    ranges: Vec<Vec<(u32, u32)>>,
    tracks: Vec<Added>,
    deque: VecDeque<u32>,
}

/// A track over a row: what comes before each event.
#[derive(Debug, Default)]
struct Added {
    /// How many values; empty where every event has one.
    counts: Vec<u32>,
    /// Their sum.
    sums: Vec<i128>,
    /// What a sum counts: `2^unit`.
    unit: i32,
    /// Whether the sums hold everything.
    exact: bool,
}

impl Sweep {
    /// Prepares `outputs` (indices into the spec's).
    #[must_use]
    pub fn of(spec: &RowSpec, outputs: &[usize]) -> Sweep {
        let mut sweep = Sweep {
            outputs: outputs.to_vec(),
            asked: Asked::default(),
            apart: Vec::new(),
            tracks: Vec::new(),
            windows: Vec::new(),
            swept: Vec::new(),
        };
        for (slot, index) in outputs.iter().enumerate() {
            let output = &spec.outputs[*index];
            match kind(spec, output) {
                Some(kind) => sweep.add(slot, *index, output, kind),
                None => sweep.apart.push(slot),
            }
        }
        let apart: Vec<usize> = sweep.apart.iter().map(|slot| outputs[*slot]).collect();
        sweep.asked = Asked::of(spec, &apart);
        sweep
    }

    fn add(&mut self, slot: usize, index: usize, output: &Output, kind: Kind) {
        let window = place_of(&mut self.windows, output.window);
        let sums = matches!(kind, Kind::Sum | Kind::Avg);
        let same = |track: &Track| (track.input, track.filter) == (output.input, output.filter);
        let track = match self.tracks.iter().position(same) {
            Some(track) => track,
            None => {
                self.tracks.push(Track {
                    input: output.input,
                    filter: output.filter,
                    sums: false,
                });
                self.tracks.len() - 1
            }
        };
        self.tracks[track].sums |= sums;
        self.swept.push(Swept {
            slot,
            output: index,
            window,
            track,
            kind,
        });
    }

    /// Answers for `row` at `instants`, which never fall, into `answers`, whose columns get as many
    /// entries each. Where `without` says so of an instant, event `without[i]` of the row counts
    /// as not there.
    ///
    /// # Panics
    /// Where `without` is as long as neither `instants` nor nothing.
    pub fn run(
        &self,
        spec: &RowSpec,
        row: &Row,
        instants: &[Timestamp],
        without: &[Option<usize>],
        answers: &mut SweptAnswers,
    ) {
        assert!(without.is_empty() || without.len() == instants.len());
        self.clear(spec, answers);
        // What is folded or merged is in no events: such a row is asked instant by instant. So is one
        // with retractions, of which an event that is left out may be one half.
        let plain = row.base.is_none() && row.merged.is_none();
        if !plain || spec.sign.is_some() {
            let all = Asked::of(spec, &self.outputs);
            let slots: Vec<usize> = (0..self.outputs.len()).collect();
            self.ask(&all, &slots, spec, row, instants, without, answers);
            return;
        }
        self.ask(
            &self.asked,
            &self.apart,
            spec,
            row,
            instants,
            without,
            answers,
        );
        let mut scratch = std::mem::take(&mut answers.scratch);
        scratch.read(self, spec, &row.events, instants);
        let mut inexact = Vec::new();
        for swept in &self.swept {
            let output = &spec.outputs[swept.output];
            let added = &scratch.tracks[swept.track];
            if matches!(swept.kind, Kind::Sum | Kind::Avg) && !added.exact {
                inexact.push(swept.slot);
                continue;
            }
            let ranges = &scratch.ranges[swept.window];
            let column = &mut answers.columns[swept.slot];
            match swept.kind {
                Kind::Min | Kind::Max => {
                    let deque = &mut scratch.deque;
                    extremes(
                        output,
                        swept.kind,
                        &row.events,
                        (ranges, without),
                        deque,
                        column,
                    );
                }
                kind => {
                    let members = Members { output, added };
                    members.fill(kind, &spec.inputs, (ranges, without), column);
                }
            }
        }
        answers.scratch = scratch;
        if !inexact.is_empty() {
            let outputs: Vec<usize> = inexact.iter().map(|slot| self.outputs[*slot]).collect();
            let asked = Asked::of(spec, &outputs);
            self.ask(&asked, &inexact, spec, row, instants, without, answers);
        }
    }

    /// The column that answers to the output asked for at `slot` come in, empty: of numbers where they are
    /// swept, so exact; else of answers with their bounds.
    #[must_use]
    pub fn column(&self, spec: &RowSpec, slot: usize) -> SweptColumn {
        let apart = self.apart.contains(&slot);
        match spec.outputs[self.outputs[slot]].data_type {
            DataType::Int64 if !apart => SweptColumn::Ints(Vec::new(), Vec::new()),
            DataType::Float64 if !apart => SweptColumn::Floats(Vec::new(), Vec::new()),
            _ => SweptColumn::Values(Vec::new()),
        }
    }

    fn clear(&self, spec: &RowSpec, answers: &mut SweptAnswers) {
        let columns = &mut answers.columns;
        if columns.len() != self.outputs.len() {
            columns.clear();
            columns.extend((0..self.outputs.len()).map(|slot| self.column(spec, slot)));
        }
        columns.iter_mut().for_each(SweptColumn::clear);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what is asked, of what, and where it goes"
    )]
    fn ask(
        &self,
        asked: &Asked,
        slots: &[usize],
        spec: &RowSpec,
        row: &Row,
        instants: &[Timestamp],
        without: &[Option<usize>],
        answers: &mut SweptAnswers,
    ) {
        if slots.is_empty() {
            return;
        }
        let net = row.net(spec);
        let left_out = |at: usize| without.get(at).copied().flatten();
        for (at, as_of) in instants.iter().enumerate() {
            let found = match left_out(at) {
                None => asked.finish(spec, &net, *as_of),
                Some(event) => asked.finish(spec, &row.without(event), *as_of),
            };
            for (slot, answer) in slots.iter().zip(found) {
                answers.columns[*slot].push(answer);
            }
        }
    }
}

/// How an output is swept; `None` where it is finished instant by instant.
fn kind(spec: &RowSpec, output: &Output) -> Option<Kind> {
    // Where events decide the window it does not move in step with the instant.
    output.window.bounds(Timestamp(0))?;
    let number = |input: usize| {
        matches!(
            (&spec.inputs[input], &output.data_type),
            (DataType::Int64, DataType::Int64 | DataType::Float64)
                | (DataType::Float64, DataType::Float64)
        )
    };
    let of_number = output.input.is_some_and(number);
    Some(match output.function {
        Function::Count => Kind::Count,
        Function::Sum if of_number => Kind::Sum,
        Function::Avg if of_number => Kind::Avg,
        Function::Min if of_number => Kind::Min,
        Function::Max if of_number => Kind::Max,
        _ => return None,
    })
}

fn place_of<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    let found = all.iter().position(|held| *held == one);
    found.unwrap_or_else(|| {
        all.push(one);
        all.len() - 1
    })
}

impl SweptColumn {
    fn clear(&mut self) {
        match self {
            SweptColumn::Ints(numbers, said) => {
                numbers.clear();
                said.clear();
            }
            SweptColumn::Floats(numbers, said) => {
                numbers.clear();
                said.clear();
            }
            SweptColumn::Values(values) => values.clear(),
        }
    }

    /// Appends an answer.
    fn push(&mut self, answer: Result<Answer, FinishError>) {
        if let SweptColumn::Values(values) = self {
            values.push(answer);
            return;
        }
        match answer.map(|answer| answer.value) {
            Ok(Value::Int(number)) => self.push_int(number),
            Ok(Value::Float(number)) => self.push_float(number),
            Ok(_) => self.push_said(Said::Null),
            Err(_) => self.push_said(Said::Overflow),
        }
    }

    #[inline]
    fn push_int(&mut self, number: i64) {
        if let SweptColumn::Ints(numbers, _) = self {
            numbers.push(number);
        }
    }

    #[inline]
    fn push_float(&mut self, number: f64) {
        if let SweptColumn::Floats(numbers, _) = self {
            numbers.push(number);
        }
    }

    fn push_said(&mut self, what: Said) {
        match self {
            SweptColumn::Ints(numbers, said) => {
                said.push((numbers.len(), what));
                numbers.push(0);
            }
            SweptColumn::Floats(numbers, said) => {
                said.push((numbers.len(), what));
                numbers.push(0.0);
            }
            SweptColumn::Values(values) => values.push(Ok(Value::Null.into())),
        }
    }

    /// Null, or what the definition says in its place.
    fn push_nothing(&mut self, output: &Output) {
        match &output.default {
            Some(Value::Int(number)) => self.push_int(*number),
            Some(Value::Float(number)) => self.push_float(*number),
            _ => self.push_said(Said::Null),
        }
    }
}

impl Scratch {
    /// Finds every window's events at every instant, and adds up the tracks.
    fn read(&mut self, sweep: &Sweep, spec: &RowSpec, events: &Events, instants: &[Timestamp]) {
        let times = events.times();
        self.ranges.resize_with(sweep.windows.len(), Vec::new);
        for (window, ranges) in sweep.windows.iter().zip(&mut self.ranges) {
            ranges.clear();
            let (mut start, mut end) = (0, 0);
            for as_of in instants {
                let Some(bounds) = window.bounds(*as_of) else {
                    debug_assert!(false, "only windows that time decides are swept");
                    continue;
                };
                while times.get(end).is_some_and(|time| *time <= bounds.upto.0) {
                    end += 1;
                }
                while start < end && times[start] <= bounds.after.0 {
                    start += 1;
                }
                ranges.push((start as u32, end as u32));
            }
        }
        self.tracks.resize_with(sweep.tracks.len(), Added::default);
        for (track, added) in sweep.tracks.iter().zip(&mut self.tracks) {
            added.read(*track, spec, events);
        }
    }
}

impl Added {
    fn read(&mut self, track: Track, spec: &RowSpec, events: &Events) {
        self.counts.clear();
        self.sums.clear();
        self.unit = 0;
        self.exact = true;
        let column = track.input.map(|input| events.input(input));
        let nulls = column.is_some_and(|column| column.nulls().any());
        let passes = |index: usize| {
            track
                .filter
                .is_none_or(|bit| events.bits()[index] >> bit & 1 == 1)
                && column.is_none_or(|column| !nulls || !column.nulls().is_null(index))
        };
        if track.filter.is_some() || nulls {
            let mut count = 0;
            self.counts.push(0);
            for index in 0..events.len() {
                count += u32::from(passes(index));
                self.counts.push(count);
            }
        }
        if !track.sums {
            return;
        }
        debug_assert!(track.input.is_some_and(|input| input < spec.inputs.len()));
        match column {
            Some(Column::Int(slots)) => {
                let values = slots.values.iter().map(|value| i128::from(*value));
                self.sum(values, passes);
            }
            Some(Column::Float(slots)) => match common_unit(slots.values, passes) {
                Some(unit) => {
                    self.unit = unit;
                    let values = slots.values.iter().map(|value| in_units(*value, unit));
                    self.sum(values, passes);
                }
                None => self.exact = false,
            },
            _ => self.exact = false,
        }
    }

    fn sum(&mut self, values: impl Iterator<Item = i128>, passes: impl Fn(usize) -> bool) {
        let mut sum: i128 = 0;
        self.sums.push(0);
        for (index, value) in values.enumerate() {
            if passes(index) {
                // Of fewer than 2^32 values of 64 bits, or of what `common_unit` allows.
                sum = sum.wrapping_add(value);
            }
            self.sums.push(sum);
        }
    }
}

/// The exponent of the least bit that any of the doubles has, if all of them and their sums fit
/// 128 bits counted in it, and a double in the end.
fn common_unit(values: &[f64], passes: impl Fn(usize) -> bool) -> Option<i32> {
    let (mut least, mut greatest) = (i32::MAX, i32::MIN);
    for (index, value) in values.iter().enumerate() {
        if *value == 0.0 || !passes(index) {
            continue;
        }
        let (mantissa, exponent) = parts(*value)?;
        least = least.min(exponent + mantissa.trailing_zeros() as i32);
        greatest = greatest.max(exponent + (u64::BITS - mantissa.leading_zeros()) as i32);
    }
    if least == i32::MAX {
        return Some(0);
    }
    let room = (usize::BITS - values.len().leading_zeros()) as i32;
    let fits = greatest - least + room < 127 && least > -1022 && greatest + room < 1023;
    fits.then_some(least)
}

/// A double as `mantissa × 2^exponent`; `None` where it is not finite, or too small to be normal.
fn parts(value: f64) -> Option<(u64, i32)> {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let mantissa = bits & ((1 << 52) - 1);
    match exponent {
        0 | 0x7ff => None,
        _ => Some((mantissa | 1 << 52, exponent - 1075)),
    }
}

/// A double counted in units of `2^unit`.
fn in_units(value: f64, unit: i32) -> i128 {
    let Some((mantissa, exponent)) = parts(value) else {
        return 0;
    };
    let magnitude = i128::from(mantissa);
    let shift = exponent - unit;
    let magnitude = match shift {
        0.. => magnitude.wrapping_shl(shift.unsigned_abs()),
        _ => magnitude >> shift.unsigned_abs().min(127),
    };
    match value < 0.0 {
        true => -magnitude,
        false => magnitude,
    }
}

/// The double next to a sum, which is found sooner where 64 bits hold it.
#[inline]
fn rounded(sum: i128) -> f64 {
    match i64::try_from(sum) {
        Ok(sum) => sum as f64,
        Err(_) => sum as f64,
    }
}

/// Of a row's events those that an output is over.
struct Members<'a> {
    output: &'a Output,
    added: &'a Added,
}

impl Members<'_> {
    fn fill(
        &self,
        kind: Kind,
        inputs: &[DataType],
        (ranges, without): (&[(u32, u32)], &[Option<usize>]),
        column: &mut SweptColumn,
    ) {
        let floats = self
            .output
            .input
            .is_some_and(|at| inputs[at] == DataType::Float64);
        if let (Kind::Count, [], SweptColumn::Ints(numbers, _)) = (kind, without, &mut *column) {
            let count = |(start, end): &(u32, u32)| self.count(*start as usize, *end as usize);
            numbers.extend(ranges.iter().map(|range| i64::from(count(range))));
            return;
        }
        // A power of two that a double holds: `common_unit` sees to it.
        let unit = f64::from_bits(((1023 + self.added.unit) as u64) << 52);
        if let (Kind::Avg, [], SweptColumn::Floats(numbers, said)) = (kind, without, &mut *column) {
            let unit = if floats { unit } else { 1.0 };
            let nothing = match &self.output.default {
                Some(Value::Float(number)) => Some(*number),
                _ => None,
            };
            let sums = &self.added.sums;
            numbers.extend(ranges.iter().enumerate().map(|(at, (start, end))| {
                let (start, end) = (*start as usize, *end as usize);
                let count = self.count(start, end);
                if count > 0 {
                    return rounded(sums[end].wrapping_sub(sums[start])) * unit / f64::from(count);
                }
                nothing.unwrap_or_else(|| {
                    said.push((at, Said::Null));
                    0.0
                })
            }));
            return;
        }
        for (at, (start, end)) in ranges.iter().enumerate() {
            let (start, end) = (*start as usize, *end as usize);
            let left_out = without.get(at).copied().flatten();
            let left_out = left_out.filter(|event| (start..end).contains(event));
            let mut count = self.count(start, end);
            let mut sum = match kind {
                Kind::Count => 0,
                _ => self.added.sums[end].wrapping_sub(self.added.sums[start]),
            };
            if let Some(event) = left_out {
                count -= self.count(event, event + 1);
                if kind != Kind::Count {
                    sum -= self.added.sums[event + 1].wrapping_sub(self.added.sums[event]);
                }
            }
            match kind {
                Kind::Count => column.push_int(count.into()),
                _ if count == 0 => column.push_nothing(self.output),
                Kind::Avg if floats => column.push_float(rounded(sum) * unit / f64::from(count)),
                Kind::Avg => column.push_float(rounded(sum) / f64::from(count)),
                _ if floats => column.push_float(rounded(sum) * unit),
                _ => match i64::try_from(sum) {
                    Ok(sum) => column.push_int(sum),
                    Err(_) => column.push_said(Said::Overflow),
                },
            }
        }
    }

    #[inline]
    fn count(&self, start: usize, end: usize) -> u32 {
        match self.added.counts.is_empty() {
            true => (end - start) as u32,
            false => self.added.counts[end] - self.added.counts[start],
        }
    }
}

/// The least or the greatest value of each range: those that a later one does not beat wait in order.
fn extremes(
    output: &Output,
    kind: Kind,
    events: &Events,
    (ranges, without): (&[(u32, u32)], &[Option<usize>]),
    deque: &mut VecDeque<u32>,
    column: &mut SweptColumn,
) {
    let Some(input) = output.input else {
        return;
    };
    let values = events.input(input);
    let passing = passing(events, output);
    let counts = |index: usize| passing.passes(index) && !values.nulls().is_null(index);
    // Greater is better; the least is the greatest of the opposites in order.
    let flip = if kind == Kind::Min { -1 } else { 0 };
    let order = |index: usize| match values {
        Column::Int(slots) => slots.values[index] ^ flip,
        Column::Float(slots) => rank(slots.values[index]) ^ flip,
        Column::Decimal(_) | Column::Bytes(_) => 0,
    };
    let said = |best: Option<i64>, column: &mut SweptColumn| match (best, &values) {
        (None, _) => column.push_nothing(output),
        (Some(best), Column::Float(_)) => column.push_float(of_rank(best ^ flip)),
        (Some(best), _) => column.push_int(best ^ flip),
    };
    deque.clear();
    let mut upto = 0;
    for (at, (start, end)) in ranges.iter().enumerate() {
        while upto < *end {
            let index = upto as usize;
            if counts(index) {
                let new = order(index);
                while deque
                    .back()
                    .is_some_and(|last| order(*last as usize) <= new)
                {
                    deque.pop_back();
                }
                deque.push_back(upto);
            }
            upto += 1;
        }
        while deque.front().is_some_and(|first| *first < *start) {
            deque.pop_front();
        }
        let left_out = without.get(at).copied().flatten();
        let best = match left_out {
            Some(event) if deque.front() == Some(&(event as u32)) => {
                let range = (*start as usize..*end as usize).filter(|index| *index != event);
                range.filter(|index| counts(*index)).map(order).max()
            }
            _ => deque.front().map(|first| order(*first as usize)),
        };
        said(best, column);
    }
}

impl Row {
    /// The row without one of its events.
    #[must_use]
    pub fn without(&self, event: usize) -> Row {
        let mut row = self.clone();
        let mut events = self.events.slice(0..event);
        events.merge(&self.events.slice(event + 1..self.events.len()));
        row.events = events;
        row
    }
}

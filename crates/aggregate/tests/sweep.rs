//! A row swept over instants that rise answers as at each alone.

mod support;

use proptest::prelude::*;
use support::{Case, cases};
use tiderace_aggregate::{
    Answer, Cell, FinishError, Output, Row, RowSpec, Said, Sweep, SweptAnswers, SweptColumn,
};
use tiderace_testkit::generate::Dice;
use tiderace_types::{DataType, Timestamp, Value};

/// The answer of a column at a place.
fn at(column: &SweptColumn, place: usize, data_type: &DataType) -> Result<Answer, FinishError> {
    let said = |said: &[(usize, Said)], value: Value| {
        let said = said.iter().find(|(at, _)| *at == place);
        match said.map(|(_, said)| said) {
            None => Ok(value.into()),
            Some(Said::Null) => Ok(Value::Null.into()),
            Some(Said::Overflow) => Err(FinishError::Overflow(data_type.clone())),
        }
    };
    match column {
        SweptColumn::Ints(numbers, what) => said(what, Value::Int(numbers[place])),
        SweptColumn::Floats(numbers, what) => said(what, Value::Float(numbers[place])),
        SweptColumn::Values(values) => values[place].clone(),
    }
}

/// Whether two answers are equal, doubles to what another order of addition may change.
fn agree(
    magnitudes: f64,
    swept: &Result<Answer, FinishError>,
    alone: &Result<Answer, FinishError>,
) -> bool {
    match (swept, alone) {
        (Ok(a), Ok(b)) => match (&a.value, &b.value) {
            (Value::Float(x), Value::Float(y)) => {
                x.to_bits() == y.to_bits() || (x - y).abs() <= 1e-9 * magnitudes
            }
            _ => a == b,
        },
        // A column of numbers says no more of an error than that there is one.
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

/// The sum of the sizes of everything in a column of doubles.
fn magnitudes(output: &Output, row: &Row) -> f64 {
    let cells = |input: usize| {
        let events = 0..row.events.len();
        events.map(move |index| row.events.input(input).cell(index))
    };
    let sizes = output.input.into_iter().flat_map(cells);
    let sizes = sizes.map(|cell| match cell {
        Cell::Float(x) => x.abs(),
        _ => 0.0,
    });
    sizes.fold(0.0, |a, b| (a + b).min(f64::MAX))
}

fn check(spec: &RowSpec, row: &Row, instants: &[Timestamp], without: &[Option<usize>]) {
    let outputs: Vec<usize> = (0..spec.outputs.len()).collect();
    let sweep = Sweep::of(spec, &outputs);
    let mut answers = SweptAnswers::default();
    // A row before this one must leave no trace.
    sweep.run(spec, row, &[], &[], &mut answers);
    sweep.run(spec, row, instants, without, &mut answers);
    for (place, as_of) in instants.iter().enumerate() {
        let left = without.get(place).copied().flatten();
        let less = left.map(|event| row.without(event));
        let alone = less.as_ref().unwrap_or(row);
        let alone = alone.finish(spec, &outputs, *as_of);
        for ((output, column), alone) in spec.outputs.iter().zip(&answers.columns).zip(&alone) {
            let swept = at(column, place, &output.data_type);
            assert!(
                agree(magnitudes(output, row), &swept, alone),
                "{} ({:?}) at {as_of} without {left:?}: {swept:?}, alone {alone:?}",
                output.name,
                output.function
            );
        }
    }
}

fn some_left_out(row: &Row, instants: usize, dice: &mut Dice) -> Vec<Option<usize>> {
    let events = row.events.len();
    (0..instants)
        .map(|_| (events > 0 && dice.index(3) > 0).then(|| dice.index(events)))
        .collect()
}

/// Events at random places of a stretch, asked for every so often.
fn long(case: &Case, events: usize, step: i64) {
    let spec = case.spec();
    let mut dice = Dice::new(case.shuffle);
    let facts = case.facts();
    let Some(first) = facts.first() else {
        return;
    };
    let start = first.time.0.clamp(-1 << 40, 1 << 52);
    let mut row = Row::new(&spec);
    for _ in 0..events {
        let mut fact = facts[dice.index(facts.len())].clone();
        fact.time = Timestamp(start + dice.below(200_000_000).cast_signed());
        fact.offer(&spec, &mut row);
    }
    let instants: Vec<Timestamp> = (0..80).map(|n| Timestamp(start + n * step)).collect();
    check(&spec, &row, &instants, &[]);
    let without = some_left_out(&row, instants.len(), &mut dice);
    check(&spec, &row, &instants, &without);
}

proptest! {

    #[test]
    fn a_sweep_answers_as_each_instant_alone(case in cases()) {
        let (spec, facts) = (case.spec(), case.facts());
        let row = support::row(&spec, &facts);
        let mut instants = case.instants(&spec, &facts);
        instants.sort_unstable();
        check(&spec, &row, &instants, &[]);
        let without = some_left_out(&row, instants.len(), &mut Dice::new(case.shuffle));
        check(&spec, &row, &instants, &without);
    }

    #[test]
    fn a_sweep_over_a_long_row_answers_as_each_instant_alone(case in cases(), step in 1i64..7_000_000) {
        long(&case, 150, step);
    }
}

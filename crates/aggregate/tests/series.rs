//! A row at many instants at once answers as at each alone.

mod support;

use proptest::prelude::*;
use support::{Case, cases};
use tiderace_aggregate::{Function, Output, Row, RowSpec, Series};
use tiderace_testkit::generate::Dice;
use tiderace_types::{Timestamp, Value};

/// Whether two answers are equal, sums of doubles to what order and splits may change.
fn agree(function: &Function, magnitudes: f64, a: &Value, b: &Value) -> bool {
    match (function, a, b) {
        (Function::Sum | Function::Avg, Value::Float(a), Value::Float(b)) => {
            a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-9 * magnitudes
        }
        _ => a == b,
    }
}

/// The sum of the sizes of everything in a column of doubles.
fn magnitudes(output: &Output, row: &Row) -> f64 {
    let cells = |input: usize| {
        let events = 0..row.events.len();
        events.map(move |index| row.events.input(input).cell(index))
    };
    let sizes = output
        .input
        .into_iter()
        .flat_map(cells)
        .map(|cell| match cell {
            tiderace_aggregate::Cell::Float(x) => x.abs(),
            _ => 0.0,
        });
    sizes.fold(0.0, |a, b| (a + b).min(f64::MAX))
}

fn check(spec: &RowSpec, row: &Row, instants: &[Timestamp]) {
    let outputs: Vec<usize> = (0..spec.outputs.len()).collect();
    let mut places = instants.iter();
    let mut series = Series::new(spec, &outputs, instants);
    // A row before this one must leave no trace.
    series.finish(&Row::new(spec), |_, _| {});
    series.finish(row, |as_of, answers| {
        assert_eq!(places.next(), Some(&as_of));
        let alone = outputs
            .iter()
            .map(|index| row.finish(spec, &[*index], as_of));
        let alone: Vec<_> = alone.flatten().collect();
        for ((output, answer), alone) in spec.outputs.iter().zip(answers).zip(&alone) {
            let same = match (answer, alone) {
                (Ok(a), Ok(b)) => {
                    a.bound == b.bound
                        && agree(
                            &output.function,
                            magnitudes(output, row),
                            &a.value,
                            &b.value,
                        )
                }
                (a, b) => a == b,
            };
            assert!(
                same,
                "{} at {as_of}: {answer:?}, alone {alone:?}",
                output.name
            );
        }
    });
    assert_eq!(places.next(), None);
}

/// Events at random places of a stretch, asked for every so often.
fn long(case: &Case, events: usize, step: i64) {
    let spec = case.spec();
    let mut dice = Dice::new(case.shuffle);
    let facts = case.facts();
    let Some(start) = facts
        .first()
        .map(|fact| fact.time.0.clamp(-1 << 40, 1 << 52))
    else {
        return;
    };
    let mut row = Row::new(&spec);
    for _ in 0..events {
        let mut fact = facts[dice.index(facts.len())].clone();
        fact.time = Timestamp(start + dice.below(200_000_000).cast_signed());
        fact.offer(&spec, &mut row);
    }
    let instants: Vec<Timestamp> = (0..80).map(|n| Timestamp(start + n * step)).collect();
    check(&spec, &row, &instants);
}

proptest! {

    #[test]
    fn many_instants_answer_as_each_alone(case in cases()) {
        let (spec, facts) = (case.spec(), case.facts());
        let row = support::row(&spec, &facts);
        let mut instants = case.instants(&spec, &facts);
        instants.sort_unstable();
        check(&spec, &row, &instants);
    }

    #[test]
    fn long_rows_answer_as_at_each_instant_alone(case in cases(), step in 1i64..7_000_000) {
        long(&case, 150, step);
    }
}

//! The laws of partials: any split of the events, in any order, merges to the whole.

mod support;

use proptest::prelude::*;
use std::ops::Range;
use support::{Case, cases, next};
use tiderace_aggregate::{
    Function, Output, Partial, Reading, Row, RowSpec, Simple, Span, finish_partial,
};
use tiderace_testkit::naive;
use tiderace_types::wire::Reader;
use tiderace_types::{DataType, Duration, Timestamp};

fn of(spec: &RowSpec, output: &Output, row: &Row, range: Range<usize>) -> Partial {
    let mut partial = Partial::empty(output, &spec.inputs);
    partial.add(output, &spec.inputs, &row.events, range);
    partial
}

/// Tells whether partials of one set of events are equal to the last bit.
fn is_pinned(spec: &RowSpec, output: &Output) -> bool {
    let is_float =
        |input: Option<usize>| input.is_some_and(|input| spec.inputs[input] == DataType::Float64);
    match output.function {
        Function::Sum | Function::Avg => !is_float(output.input),
        Function::TopN { cap, .. } | Function::Histogram { cap } | Function::Entropy { cap } => {
            cap >= 256 && !is_float(output.by)
        }
        Function::Breakdown { each, .. } => {
            !matches!(each, Simple::Sum | Simple::Avg) || !is_float(output.input)
        }
        Function::VarSamp
        | Function::VarPop
        | Function::StddevSamp
        | Function::StddevPop
        | Function::Skewness
        | Function::Kurtosis
        | Function::DecaySum { .. }
        | Function::DecayAvg { .. } => false,
        _ => true,
    }
}

fn splits_merge_to_the_whole(case: &Case) {
    let (mut spec, facts) = (case.spec(), case.facts());
    for output in &mut spec.outputs {
        output.window.span = Span::Lifetime;
        output.window.delay = Duration::ZERO;
    }
    // Partials are of net events.
    let row = support::row(&spec, &facts).into_net(&spec);
    let count = row.events.len();
    let mut state = case.shuffle;
    let mut cuts: Vec<usize> = (0..3)
        .map(|_| next(&mut state) as usize % (count + 1))
        .chain([0, count])
        .collect();
    cuts.sort_unstable();
    let mut single: Vec<usize> = (0..count).collect();
    for place in (1..count).rev() {
        single.swap(place, next(&mut state) as usize % (place + 1));
    }
    let events: Vec<naive::Event> = facts.iter().map(support::Fact::naive).collect();
    let last = events.iter().map(|event| event.time).max();
    let as_of = last.unwrap_or(Timestamp(0));
    let reading = Reading {
        as_of,
        after: Timestamp::MIN,
        upto: as_of,
    };
    for output in &spec.outputs {
        let whole = of(&spec, output, &row, 0..count);
        let ranges = || cuts.windows(2).map(|pair| pair[0]..pair[1]);
        let parts: Vec<Partial> = ranges().map(|r| of(&spec, output, &row, r)).collect();
        let empty = || Partial::empty(output, &spec.inputs);
        let left = parts.iter().cloned().fold(empty(), |mut all, part| {
            all.merge(output, part);
            all
        });
        let right = parts
            .iter()
            .cloned()
            .rev()
            .fold(empty(), |later, mut part| {
                part.merge(output, later);
                part
            });
        let backwards = parts.iter().rev().fold(empty(), |mut all, part| {
            all.merge_ref(output, part);
            all
        });
        let added = |ranges: &mut dyn Iterator<Item = Range<usize>>| {
            ranges.fold(empty(), |mut all, range| {
                all.add(output, &spec.inputs, &row.events, range);
                all
            })
        };
        let grown = added(&mut ranges());
        let shrunk = added(&mut ranges().rev());
        let one_by_one = added(&mut single.iter().map(|index| *index..index + 1));
        let mut doubled = empty();
        for index in &single {
            doubled.merge(output, of(&spec, output, &row, *index..index + 1));
        }
        for found in [
            whole.clone(),
            left,
            right,
            backwards,
            grown,
            shrunk,
            one_by_one,
            doubled,
        ] {
            let answer = finish_partial(output, &spec.inputs, &found, &reading);
            if let Err(wrong) = naive::judge(output, &events, as_of, &answer) {
                panic!("{wrong}");
            }
            if is_pinned(&spec, output) {
                assert_eq!(found, whole, "{}", output.name);
            }
            let mut bytes = Vec::new();
            found.write(&mut bytes);
            let bound = output.partial_bound(&spec.inputs);
            assert!(
                bytes.len() <= bound,
                "{}: {} bytes",
                output.name,
                bytes.len()
            );
            let mut reader = Reader::new(&bytes);
            let read = Partial::read(&mut reader, output, &spec.inputs).expect("it was written");
            assert_eq!((read, reader.rest().len()), (found, 0), "{}", output.name);
        }
    }
}

proptest! {

    #[test]
    fn any_split_merges_to_the_whole(case in cases()) {
        splits_merge_to_the_whole(&case);
    }
}

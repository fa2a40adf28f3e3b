//! The laws of partials: any split of the events merges to the whole.

mod support;

use proptest::prelude::*;
use support::{Case, cases, next};
use tiderace_aggregate::{Output, Partial, Reading, RowSpec, finish_partial};
use tiderace_testkit::naive;
use tiderace_types::{Timestamp, Value};

fn of(
    spec: &RowSpec,
    output: &Output,
    row: &tiderace_aggregate::Row,
    range: std::ops::Range<usize>,
) -> Partial {
    let mut partial = Partial::empty(output, &spec.inputs);
    partial.add(output, &spec.inputs, &row.events, range);
    partial
}

fn check(spec: &RowSpec, output: &Output, found: &Partial, whole: &Partial, magnitude: f64) {
    let reading = Reading {
        as_of: Timestamp::MAX,
        after: Timestamp::MIN,
        upto: Timestamp::MAX,
    };
    let answer = |partial| finish_partial(output, &spec.inputs, partial, &reading);
    let same = match (answer(found), answer(whole)) {
        (Ok(found), Ok(whole)) => naive::agree_within(&found.value, &whole.value, magnitude),
        (found, whole) => found == whole,
    };
    assert!(same, "{}: {found:?} is not {whole:?}", output.name);
}

fn splits_merge_to_the_whole(case: &Case) {
    let (spec, facts) = (case.spec(), case.facts());
    let row = support::row(&spec, &facts);
    let count = row.events.len();
    let mut state = case.shuffle;
    let mut cuts: Vec<usize> = (0..3)
        .map(|_| next(&mut state) as usize % (count + 1))
        .chain([0, count])
        .collect();
    cuts.sort_unstable();
    for output in &spec.outputs {
        let magnitude = |fact: &support::Fact| match fact.inputs[output.by.or(output.input)?] {
            Value::Float(x) => Some(x.abs()),
            _ => None,
        };
        let magnitude: f64 = facts.iter().filter_map(magnitude).sum();
        let whole = of(&spec, output, &row, 0..count);
        let parts: Vec<Partial> = cuts
            .windows(2)
            .map(|pair| of(&spec, output, &row, pair[0]..pair[1]))
            .collect();
        let empty = || Partial::empty(output, &spec.inputs);
        let left = parts.iter().cloned().fold(empty(), |mut all, part| {
            all.merge(output, part);
            all
        });
        check(&spec, output, &left, &whole, magnitude);
        let right = parts
            .iter()
            .cloned()
            .rev()
            .fold(empty(), |later, mut part| {
                part.merge(output, later);
                part
            });
        check(&spec, output, &right, &whole, magnitude);
        let mut grown = empty();
        for pair in cuts.windows(2) {
            grown.add(output, &spec.inputs, &row.events, pair[0]..pair[1]);
        }
        check(&spec, output, &grown, &whole, magnitude);
        let mut shrunk = empty();
        for pair in cuts.windows(2).rev() {
            shrunk.add(output, &spec.inputs, &row.events, pair[0]..pair[1]);
        }
        check(&spec, output, &shrunk, &whole, magnitude);
        let backwards = parts.iter().rev().fold(empty(), |mut all, part| {
            all.merge_ref(output, part);
            all
        });
        check(&spec, output, &backwards, &whole, magnitude);
    }
}

proptest! {

    #[test]
    fn any_split_merges_to_the_whole(case in cases()) {
        splits_merge_to_the_whole(&case);
    }
}

//! Rows with merged spans answer as the oracle, wherever they say that they can.

mod support;

use proptest::prelude::*;
use std::sync::Arc;
use support::{Case, Fact, cases, next};
use tiderace_aggregate::{Measures, Merged, Output, Piece, Row, RowSpec, Summary};
use tiderace_types::{Timestamp, Version};

/// A row of which every other stretch between some cuts is held merged.
fn merged(case: &Case, spec: &RowSpec, facts: &[Fact]) -> Row {
    let whole = support::row(spec, facts);
    let measures = Arc::new(Measures::of(spec));
    let mut state = case.shuffle ^ 0xc075;
    let mut cuts: Vec<Timestamp> = facts.iter().map(|fact| fact.time).collect();
    cuts.retain(|_| next(&mut state).is_multiple_of(4));
    cuts.push(Timestamp::MAX);
    cuts.sort_unstable();
    cuts.dedup();
    let mut row = Row::new(spec);
    let mut pieces = Vec::new();
    let mut after = Timestamp::MIN;
    for upto in cuts {
        let events = whole.events.slice(whole.events.between(after, upto));
        match next(&mut state) % 3 {
            0 => row.events.merge(&events),
            _ if events.is_empty() => {}
            _ => pieces.push(Piece {
                after,
                upto,
                summary: Summary::of(spec, &measures, &events),
            }),
        }
        after = upto;
    }
    row.merged = Some(Box::new(Merged {
        measures,
        horizon: Timestamp::MAX,
        pieces,
        anchored: None,
    }));
    row
}

proptest! {
    #[test]
    fn merged_rows_answer_as_the_oracle(case in cases()) {
        let (spec, mut facts) = (case.spec(), case.facts());
        // No window begins before the first instant that there is.
        facts.retain(|fact| fact.time > Timestamp::MIN);
        let row = merged(&case, &spec, &facts);
        let bytes = row.encode(&spec, Version::default());
        let read = Row::decode(&bytes, &spec).expect("what was written reads");
        for as_of in case.instants(&spec, &facts) {
            let answers = |output: &Output| {
                let place = spec.outputs.iter().position(|held| std::ptr::eq(held, output));
                place.is_some_and(|index| row.answers(&spec, index, as_of))
            };
            support::check(&spec, &row, &facts, as_of, answers);
            support::check(&spec, &read, &facts, as_of, answers);
        }
    }
}

proptest! {
    // Each case is many answers, twice.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_pushed_counts_once_or_not_at_all(case in cases()) {
        let (spec, mut facts) = (case.spec(), case.facts());
        facts.retain(|fact| fact.time > Timestamp::MIN);
        let mut state = case.shuffle ^ 0x9054;
        let mut one_of = |count: u64| next(&mut state).is_multiple_of(count);
        let pushed: Vec<Fact> = facts.iter().filter(|_| one_of(3)).cloned().collect();
        // Of what was pushed some has come by the stream, and lies in spans or by itself.
        facts.retain(|fact| !pushed.contains(fact) || one_of(2));
        let row = merged(&case, &spec, &facts);
        let (mut with, mut without) = (row.clone(), row);
        let (mut counted, mut left) = (facts.clone(), facts);
        for fact in &pushed {
            let events = support::row(&spec, std::slice::from_ref(fact)).events;
            let spans = with.merged.as_deref();
            let in_span = spans.is_some_and(|spans| spans.place_at(fact.time).is_some());
            prop_assert_eq!(with.include(&spec, &events), !in_span);
            prop_assert_eq!(without.exclude(&spec, &events), !in_span);
            if in_span {
                continue;
            }
            left.retain(|held| held != fact);
            if !counted.contains(fact) {
                counted.push(fact.clone());
            }
        }
        for as_of in case.instants(&spec, &counted) {
            for (row, facts) in [(&with, &counted), (&without, &left)] {
                let answers = |output: &Output| {
                    let place = spec.outputs.iter().position(|held| std::ptr::eq(held, output));
                    place.is_some_and(|index| row.answers(&spec, index, as_of))
                };
                support::check(&spec, row, facts, as_of, answers);
            }
        }
    }
}

//! Every answer of a row against the oracle's.

mod support;

use proptest::prelude::*;
use support::{Case, cases, check};
use tiderace_aggregate::Row;
use tiderace_types::Version;

fn answers_are_the_oracles(case: &Case) {
    let (spec, facts) = (case.spec(), case.shuffled());
    let row = support::row(&spec, &facts);
    for as_of in case.instants(&spec, &facts) {
        check(&spec, &row, &facts, as_of, |_| true);
    }
}

/// Rows trimmed at rising instants, written and read between, answer whatever they hold.
fn trimmed_rows_answer_what_they_hold(case: &Case) {
    let spec = case.spec();
    let mut row = Row::new(&spec);
    let mut accepted = Vec::new();
    let mut state = case.shuffle;
    let mut upto = case.shuffled().iter().map(|fact| fact.time).min();
    for fact in case.shuffled() {
        if fact.time > row.kept_from {
            accepted.push(fact.clone());
        }
        fact.offer(&spec, &mut row);
        match support::next(&mut state) % 8 {
            0 => {
                // Half of the way on to this event, so that some are let go and most are not.
                let from = upto.unwrap_or(fact.time);
                let half = from.0.midpoint(fact.time.0).max(from.0);
                upto = Some(tiderace_types::Timestamp(half));
                row.trim(&spec, tiderace_types::Timestamp(half));
            }
            1 => {
                let bytes = row.encode(&spec, Version::default());
                let read = Row::decode(&bytes, &spec).expect("what was written reads");
                assert_eq!(read, row);
                row = read;
            }
            _ => {}
        }
    }
    for as_of in case.instants(&spec, &accepted) {
        check(&spec, &row, &accepted, as_of, |output| {
            row.holds(output.window, as_of)
        });
    }
}

proptest! {

    #[test]
    fn rows_answer_as_the_oracle(case in cases()) {
        answers_are_the_oracles(&case);
    }

    #[test]
    fn trimming_changes_nothing_that_is_held(case in cases()) {
        trimmed_rows_answer_what_they_hold(&case);
    }
}

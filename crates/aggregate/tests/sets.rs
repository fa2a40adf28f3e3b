//! A row is a set of events by identity: order, repetition and splits do not matter.

mod support;

use proptest::prelude::*;
use support::{Case, cases, next};
use tiderace_aggregate::{IdKind, Insert, Offer, Row, Span};
use tiderace_types::{Timestamp, Value, Version};

proptest! {

    #[test]
    fn the_order_of_arrival_does_not_matter(case in cases()) {
        let spec = case.spec();
        prop_assert_eq!(
            support::row(&spec, &case.facts()),
            support::row(&spec, &case.shuffled())
        );
    }

    #[test]
    fn copies_change_nothing_and_conflicts_are_told(case in cases()) {
        let (spec, facts) = (case.spec(), case.facts());
        let mut row = support::row(&spec, &facts);
        let whole = row.clone();
        for fact in case.shuffled() {
            prop_assert_eq!(fact.offer(&spec, &mut row), Offer::Known(Insert::Duplicate));
            let mut other = fact.clone();
            other.inputs[0] = match other.inputs[0] {
                Value::Int(7) => Value::Null,
                _ => Value::Int(7),
            };
            prop_assert_eq!(other.offer(&spec, &mut row), Offer::Known(Insert::Conflict));
            let mut other = fact.clone();
            other.bits ^= 2;
            prop_assert_eq!(other.offer(&spec, &mut row), Offer::Known(Insert::Conflict));
        }
        prop_assert_eq!(row, whole);
    }

    #[test]
    fn parts_make_the_whole(case in cases()) {
        parts_make_up_the_row(&case);
    }

    #[test]
    fn parts_that_overlap_make_the_whole(case in cases()) {
        overlapping_parts_make_up_the_row(&case);
    }

    #[test]
    fn of_what_was_folded_nobody_can_say_whether_it_had_come(case in cases()) {
        let (spec, facts) = (case.spec(), case.facts());
        let Some(upto) = facts.iter().map(|fact| fact.time).min() else {
            return Ok(());
        };
        let mut row = support::row(&spec, &facts);
        row.trim(&spec, upto);
        for fact in facts.iter().filter(|fact| fact.time <= upto) {
            let events = support::row(&spec, std::slice::from_ref(fact)).events;
            let before = row.clone();
            prop_assert_eq!(row.include(&spec, &events), !spec.unbounded());
            prop_assert_eq!(row.clone().exclude(&spec, &events), !spec.unbounded());
            prop_assert_eq!(&row, &before);
        }
    }

    #[test]
    fn what_is_not_kept_any_more_cannot_come_back(case in cases()) {
        let (spec, facts) = (case.spec(), case.facts());
        let mut row = support::row(&spec, &facts);
        for fact in &facts {
            row.trim(&spec, fact.time);
            let old = row.events.times().iter().filter(|time| **time <= row.kept_from.0);
            prop_assert!(old.count() <= remembered(&spec));
            let before = row.clone();
            prop_assert_eq!(fact.offer(&spec, &mut row), Offer::BeforeKept);
            prop_assert_eq!(&row, &before);
        }
    }
}

/// How many events last-N windows may have a row remember, at most.
fn remembered(spec: &tiderace_aggregate::RowSpec) -> usize {
    let last = spec
        .outputs
        .iter()
        .filter_map(|output| match output.window.span {
            Span::LastN(n) => Some(n as usize + 1),
            _ => None,
        });
    last.sum()
}

/// Cuts a history into parts as commits do: a first block of the whole row, then what came
/// after it, each written under the `kept_from` of its time.
fn parts_make_up_the_row(case: &Case) {
    let spec = case.spec();
    let facts = case.shuffled();
    let mut state = case.shuffle;
    let mut whole = Row::new(&spec);
    let mut blocks = vec![whole.encode(&spec, Version::default())];
    let mut part = Row::new(&spec);
    for fact in &facts {
        fact.offer(&spec, &mut whole);
        fact.offer(&spec, &mut part);
        if next(&mut state).is_multiple_of(4) {
            let upto = Timestamp(fact.time.0.saturating_sub(2));
            let gone = whole.trim(&spec, upto);
            part.trim(&spec, upto);
            if gone > 0 && spec.unbounded() {
                // A fold is written in the place of all blocks.
                blocks.clear();
                part = whole.clone();
            }
            blocks.push(part.encode(&spec, Version::default()));
            part = Row::new(&spec);
            part.kept_from = whole.kept_from;
        }
    }
    blocks.push(part.encode(&spec, Version::default()));
    let mut merged = Row::new(&spec);
    for block in &blocks {
        let part = Row::decode(block, &spec).expect("what was written reads");
        merged.merge(&spec, part);
    }
    assert_eq!(merged, whole);
}

/// Cuts a history into tails as commits do: each is written from the earliest event that came
/// since the last, whatever of it is written already.
fn overlapping_parts_make_up_the_row(case: &Case) {
    let spec = case.spec();
    let mut state = case.shuffle;
    let mut whole = Row::new(&spec);
    let mut blocks = vec![whole.encode(&spec, Version::default())];
    let mut stored = 0;
    for fact in &case.shuffled() {
        if let Offer::Known(Insert::Applied { at }) = fact.offer(&spec, &mut whole) {
            stored = stored.min(at);
        }
        if !next(&mut state).is_multiple_of(4) {
            continue;
        }
        let gone = whole.trim(&spec, Timestamp(fact.time.0.saturating_sub(2)));
        if gone > stored || gone > 0 && spec.unbounded() {
            blocks.clear();
            stored = 0;
        }
        stored = stored.saturating_sub(gone);
        blocks.push(match blocks.is_empty() {
            true => whole.encode(&spec, Version::default()),
            false => whole.encode_tail(&spec, Version::default(), stored),
        });
        stored = whole.events.len();
    }
    blocks.push(whole.encode_tail(&spec, Version::default(), stored));
    let mut merged = Row::new(&spec);
    for block in &blocks {
        let part = Row::decode(block, &spec).expect("what was written reads");
        merged.merge(&spec, part);
    }
    assert_eq!(merged, whole);
}

/// Without ids, ties break by inputs; where those are equal too, some order must hold all the same.
#[test]
fn equal_events_at_two_places_have_an_order() {
    let drawn = |id| support::Drawn {
        time: 1,
        id,
        bits: 0,
        picks: [1; 9],
    };
    let case = |ids: [u8; 3]| Case {
        kind: IdKind::Position,
        frame: 0,
        windows: vec![(0, 0)],
        drawn: ids.map(drawn).to_vec(),
        asks: Vec::new(),
        retractions: Vec::new(),
        shuffle: 0,
    };
    let row = |ids| {
        let case = case(ids);
        support::row(&case.spec(), &case.facts())
    };
    assert_eq!(row([0, 1, 2]), row([2, 0, 1]));
    assert_eq!(row([0, 1, 2]), row([1, 2, 0]));
}

fn fact(time: i64, id: i64, number: Value, decimal: Value) -> support::Fact {
    let mut inputs = vec![Value::Null; support::TYPES.len()];
    inputs[0] = number;
    inputs[3] = decimal;
    support::Fact {
        time: Timestamp(time),
        id: support::OwnId::Int(id),
        bits: 0,
        inputs,
    }
}

/// A row's first value may be a null, and stays one.
#[test]
fn a_null_that_comes_first_is_a_null() {
    let spec = support::spec(IdKind::Int64, Vec::new());
    let null = fact(2, 1, Value::Null, Value::Null);
    let later = fact(3, 2, Value::Int(0), Value::Null);
    let row = support::row(&spec, &[null.clone(), later.clone()]);
    assert_eq!(row.events.input(0).cell(0), tiderace_aggregate::Cell::Null);
    assert_eq!(row, support::row(&spec, &[later, null]));
}

/// A later block lets go of what an earlier one still has.
#[test]
fn a_later_part_lets_go_for_all() {
    let spec = support::spec(IdKind::Int64, Vec::new());
    let facts = [1, 2, 3].map(|time| fact(time, time, Value::Int(time), Value::Null));
    let mut row = support::row(&spec, &facts[..2]);
    let mut later = support::row(&spec, &facts[2..]);
    later.trim(&spec, Timestamp(1));
    row.merge(&spec, later.clone());
    assert_eq!(
        (row.kept_from, row.events.times()),
        (Timestamp(1), &[2, 3][..])
    );
    row.merge(&spec, later);
    assert_eq!(row.events.len(), 2);
}

/// Sums may go past 128 bits on the way: only the end counts, in whatever parts it is added.
#[test]
fn a_sum_may_run_over_and_come_back() {
    use tiderace_aggregate::{Cell, ExactSum, Partial, Reading, Sum, finish_partial};
    let most = 10i128.pow(38) - 1;
    let mut sum = Sum::Exact(ExactSum::default());
    for n in [most, most, -most, -most, -5] {
        sum.add(Cell::Decimal(n));
    }
    assert_eq!(sum, Sum::Exact(ExactSum { carry: 0, low: -5 }));
    let window = tiderace_aggregate::Window {
        span: tiderace_aggregate::Span::Lifetime,
        delay: tiderace_types::Duration::ZERO,
    };
    let outputs = support::every_output(window);
    let spec = support::spec(IdKind::Int64, outputs);
    let over = |output: &&tiderace_aggregate::Output| output.name == "Sum_Some(3)_None";
    let output = spec.outputs.iter().find(over).expect("sums are there");
    let decimal = |n| Value::Decimal(n, 36);
    let facts = [most, most, -most].map(decimal);
    let facts = [0, 1, 2].map(|at| fact(at, at, Value::Null, facts[at as usize].clone()));
    let row = support::row(&spec, &facts);
    let part = |range| {
        let mut partial = Partial::empty(output, &spec.inputs);
        partial.add(output, &spec.inputs, &row.events, range);
        partial
    };
    let mut all = part(0..2);
    let reading = Reading {
        as_of: Timestamp(3),
        after: Timestamp::MIN,
        upto: Timestamp(3),
    };
    assert!(finish_partial(output, &spec.inputs, &all, &reading).is_err());
    all.merge(output, part(2..3));
    assert_eq!(
        finish_partial(output, &spec.inputs, &all, &reading),
        Ok(decimal(most).into())
    );
    let mut folded = row.clone();
    folded.trim(&spec, Timestamp(1));
    let bytes = folded.encode(&spec, Version::default());
    assert_eq!(Row::decode(&bytes, &spec), Ok(folded));
}

//! Events that take others back: in any order, twice, and where there is nothing to take back.

mod support;

use proptest::prelude::*;
use support::{Fact, OwnId, RETRACTS, cases};
use tiderace_aggregate::{Balance, CodecError, IdKind, Insert, Offer, Row, RowSpec, Span, Window};
use tiderace_testkit::naive;
use tiderace_types::{Duration, Timestamp, Value, Version};

const SIGN: usize = RETRACTS.trailing_zeros() as usize;

fn spec(span: Span) -> RowSpec {
    let window = Window {
        span,
        delay: Duration::ZERO,
    };
    let mut outputs = support::every_output(window);
    outputs.truncate(1);
    let mut spec = support::spec(IdKind::Int64, outputs);
    spec.filters = 3;
    spec.sign = Some(SIGN);
    spec
}

fn fact(id: i64, time: i64, number: i64, bits: u64) -> Fact {
    let mut inputs = vec![Value::Null; support::TYPES.len()];
    inputs[0] = Value::Int(number);
    Fact {
        time: Timestamp(time),
        id: OwnId::Int(id),
        bits,
        inputs,
    }
}

/// Offers facts one by one; the ids that are left, and what each changed of the balance.
#[track_caller]
fn check(facts: &[Fact], left: &[i64], balances: &[Balance]) {
    let spec = spec(Span::Lifetime);
    let mut row = Row::new(&spec);
    let mut found = Vec::new();
    for fact in facts {
        match fact.offer(&spec, &mut row) {
            Offer::Known(Insert::Applied { at }) => found.push(row.events.balance(at, SIGN)),
            other => panic!("{fact:?}: {other:?}"),
        }
    }
    assert_eq!(found, balances);
    let net = row.clone().into_net(&spec);
    let ids: Vec<i64> = (0..net.events.len())
        .map(|index| match net.events.id(index) {
            tiderace_aggregate::Id::Int(id) => id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, left);
    assert_eq!(net.clone().into_net(&spec), net);
    let answer = row.finish(&spec, &[0], Timestamp::MAX).remove(0);
    let count = answer.expect("counts fit").value;
    assert_eq!(count, Value::Int(left.len() as i64));
}

#[test]
fn a_retraction_takes_back_one() {
    use Balance::{Even, Settled, Unmatched};
    let event = |id| fact(id, 5, 1, 0);
    let back = |id| fact(id, 5, 1, RETRACTS);
    check(&[event(1), back(1)], &[], &[Even, Even]);
    check(&[event(1), back(2)], &[], &[Even, Even]);
    // Before it has come.
    check(&[back(2), event(1)], &[], &[Unmatched, Settled]);
    // Twice: the second has nothing to take back, until there is something.
    check(&[event(1), back(2), back(3)], &[], &[Even, Even, Unmatched]);
    check(
        &[event(1), back(2), back(3), event(4)],
        &[],
        &[Even, Even, Unmatched, Settled],
    );
    check(
        &[back(2), back(3), event(1), event(4), event(5)],
        &[1],
        &[Unmatched, Unmatched, Settled, Settled, Even],
    );
    // Of several alike the first by id stay.
    check(
        &[event(9), event(3), back(1), event(6)],
        &[3, 6],
        &[Even, Even, Even, Even],
    );
}

#[test]
fn only_what_is_alike_is_taken_back() {
    use Balance::{Even, Unmatched};
    let event = fact(1, 5, 1, 1);
    for other in [
        fact(2, 6, 1, 1 | RETRACTS),
        fact(2, 5, 2, 1 | RETRACTS),
        fact(2, 5, 1, RETRACTS),
    ] {
        check(&[event.clone(), other], &[1], &[Even, Unmatched]);
    }
}

#[test]
fn an_event_and_its_retraction_are_two() {
    let spec = spec(Span::Lifetime);
    let (event, back) = (fact(1, 5, 1, 0), fact(1, 5, 1, RETRACTS));
    let one = support::row(&spec, &[event.clone(), back.clone()]);
    let mut other = support::row(&spec, &[back.clone(), event.clone()]);
    assert_eq!(one, other);
    for copy in [event, back] {
        assert_eq!(
            copy.offer(&spec, &mut other),
            Offer::Known(Insert::Duplicate)
        );
    }
    let conflict = fact(1, 5, 2, RETRACTS);
    assert_eq!(
        conflict.offer(&spec, &mut other),
        Offer::Known(Insert::Conflict)
    );
}

/// What was taken back takes no place among the last.
#[test]
fn the_last_are_the_last_that_stand() {
    let spec = spec(Span::LastN(2));
    let facts = [
        fact(1, 1, 1, 0),
        fact(2, 2, 2, 0),
        fact(3, 3, 3, 0),
        fact(4, 4, 4, 0),
        fact(5, 4, 4, RETRACTS),
        fact(6, 3, 3, RETRACTS),
    ];
    let mut row = support::row(&spec, &facts);
    row.trim(&spec, Timestamp(4));
    assert_eq!(row.events.times(), [1, 2]);
    support::check(&spec, &row, &facts, Timestamp(9), |_| true);
}

/// Bytes of a view without retractions are none of one with them, and the other way round.
#[test]
fn signed_rows_say_so() {
    let signed = spec(Span::Lifetime);
    let plain = RowSpec {
        sign: None,
        ..signed.clone()
    };
    for (writer, reader) in [(&signed, &plain), (&plain, &signed)] {
        let bytes = Row::new(writer).encode(writer, Version::default());
        assert!(Row::decode(&bytes, writer).is_ok());
        let found = Row::decode(&bytes, reader);
        assert!(matches!(found, Err(CodecError::Flags(_))), "{found:?}");
    }
}

proptest! {

    #[test]
    fn balances_come_to_what_is_left(case in cases()) {
        let spec = case.spec();
        let Some(sign) = spec.sign else {
            return Ok(());
        };
        let facts = case.shuffled();
        let mut row = Row::new(&spec);
        let mut left = 0i64;
        for fact in &facts {
            let Offer::Known(Insert::Applied { at }) = fact.offer(&spec, &mut row) else {
                panic!("each is new");
            };
            left += match row.events.balance(at, sign) {
                Balance::Even => 0,
                Balance::Unmatched => 1,
                Balance::Settled => -1,
            };
        }
        let events: Vec<naive::Event> = facts.iter().map(Fact::naive).collect();
        prop_assert_eq!(left, naive::unmatched(&events).cast_signed());
    }
}

//! Events in columns hold what a plain list of events holds, however many inputs there are and
//! whatever is inserted, let go, copied and joined.

use proptest::prelude::*;
use tiderace_aggregate::{Cell, Event, Events, Id, IdKind, Insert, Kept, RowSpec};
use tiderace_types::{DataType, Timestamp};

/// More inputs than there are bits in a word.
const INPUTS: usize = 70;

fn spec(id: IdKind, filters: usize) -> RowSpec {
    let types = [
        DataType::Int64,
        DataType::Float64,
        DataType::String,
        DataType::Decimal {
            precision: 30,
            scale: 2,
        },
        DataType::Timestamp,
    ];
    RowSpec {
        fingerprint: 1,
        id,
        inputs: types.iter().cycle().take(INPUTS).cloned().collect(),
        filters,
        sign: None,
        outputs: Vec::new(),
        kept: Kept::All,
    }
}

/// One event as a plain value: time, id, and what its inputs are made from.
type Plain = (i64, i64, u64);

/// What is done to the events.
#[derive(Clone, Debug)]
enum Step {
    Insert(Plain),
    /// Lets go of so many hundredths.
    Drop(usize),
    /// Goes on with a copy of what comes after so many hundredths.
    Tail(usize),
    /// Joins others in.
    Merge(Vec<Plain>),
}

fn plain() -> impl Strategy<Value = Plain> {
    (0..200i64, 0..3i64, prop_oneof![Just(0u64), any::<u64>()])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => plain().prop_map(Step::Insert),
        // In order, as most events come.
        20 => (any::<u64>()).prop_map(|seed| Step::Insert((i64::MAX, 0, seed))),
        1 => (0..=100usize).prop_map(Step::Drop),
        1 => (0..=100usize).prop_map(Step::Tail),
        2 => prop::collection::vec(plain(), 0..40).prop_map(Step::Merge),
    ]
}

/// The inputs of an event: few are null, and every form comes in many values.
fn cells(texts: &[String]) -> Vec<Cell<'_>> {
    let texts = texts.iter().enumerate();
    texts.map(|(input, text)| cell(input, text)).collect()
}

fn cell(input: usize, text: &str) -> Cell<'_> {
    let number = text.bytes().fold(0i64, |n, byte| n * 31 + i64::from(byte));
    match (input + text.len()) % 9 {
        8 if text.len() > 2 => Cell::Null,
        _ => match input % 5 {
            1 => Cell::Float(number as f64 / 8.0),
            2 => Cell::Bytes(text.as_bytes()),
            3 => Cell::Decimal(i128::from(number) << 40),
            _ => Cell::Int(number),
        },
    }
}

fn texts(seed: u64) -> Vec<String> {
    let text = |input: usize| match seed {
        0 => "0".to_owned(),
        seed => (seed.rotate_left(input as u32) % 1000).to_string(),
    };
    (0..INPUTS).map(text).collect()
}

fn insert(events: &mut Events, kind: IdKind, (time, id, seed): Plain) -> Insert {
    let texts = texts(seed);
    let bytes = id.to_be_bytes();
    events.insert(&Event {
        time: Timestamp(time),
        id: match kind {
            IdKind::Int64 => Id::Int(id),
            IdKind::Bytes => Id::Bytes(&bytes),
            IdKind::Position => Id::Position {
                partition: 7,
                offset: id,
            },
        },
        bits: seed & 3,
        inputs: &cells(&texts),
    })
}

/// Puts an event into a plain list, unless its identity is there.
fn put(list: &mut Vec<Plain>, event: Plain) {
    if !list
        .iter()
        .any(|held| (held.0, held.1) == (event.0, event.1))
    {
        list.push(event);
    }
}

fn check(kind: IdKind, filters: usize, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let spec = spec(kind, filters);
    let mut events = Events::new(&spec);
    let mut list: Vec<Plain> = Vec::new();
    for step in steps {
        match step {
            Step::Insert((time, id, seed)) => {
                let latest = list.iter().map(|held| held.0).max().unwrap_or(0);
                let event = (time.min(latest + 1), id, seed);
                insert(&mut events, kind, event);
                put(&mut list, event);
            }
            Step::Drop(hundredths) => {
                let count = events.len() * hundredths / 100;
                let gone: Vec<(i64, Option<i64>)> = (0..count)
                    .map(|index| (events.times()[index], number(events.id(index))))
                    .collect();
                events.drop_front(count);
                list.retain(|held| !gone.contains(&(held.0, Some(held.1))));
            }
            Step::Tail(hundredths) => {
                let from = events.len() * hundredths / 100;
                let gone: Vec<(i64, Option<i64>)> = (0..from)
                    .map(|index| (events.times()[index], number(events.id(index))))
                    .collect();
                events = events.slice(from..events.len());
                list.retain(|held| !gone.contains(&(held.0, Some(held.1))));
            }
            Step::Merge(more) => {
                let mut others = Events::new(&spec);
                for event in more {
                    insert(&mut others, kind, event);
                    if !list
                        .iter()
                        .any(|held| (held.0, held.1) == (event.0, event.1))
                    {
                        put(&mut list, event);
                    }
                }
                events.merge(&others);
            }
        }
        same(&events, filters, &list)?;
    }
    Ok(())
}

fn number(id: Id<'_>) -> Option<i64> {
    match id {
        Id::Int(id) => Some(id),
        Id::Bytes(bytes) => bytes.try_into().ok().map(i64::from_be_bytes),
        Id::Position { offset, .. } => Some(offset),
    }
}

fn same(events: &Events, filters: usize, list: &[Plain]) -> Result<(), TestCaseError> {
    prop_assert_eq!(events.len(), list.len());
    prop_assert!(events.times().is_sorted());
    for index in 0..events.len() {
        let key = (events.times()[index], number(events.id(index)));
        let found = list.iter().find(|held| (held.0, Some(held.1)) == key);
        let (.., seed) = found.expect("every event was put in");
        if filters > 0 {
            prop_assert_eq!(events.bits()[index], seed & 3);
        }
        let texts = texts(*seed);
        for (input, cell) in cells(&texts).into_iter().enumerate() {
            prop_assert_eq!(events.input(input).cell(index), cell);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn columns_hold_what_a_list_holds(
        kind in prop_oneof![
            Just(IdKind::Int64), Just(IdKind::Bytes), Just(IdKind::Position)
        ],
        filters in 0..2usize,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        check(kind, filters, steps)?;
    }
}

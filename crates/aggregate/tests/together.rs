//! Many events taken in together are what they would be one after another, and as words what they
//! are cell by cell; and the tail of a row is written as the row of its events.

use proptest::prelude::*;
use tiderace_aggregate::{
    Cell, Event, Events, Id, IdKind, Insert, Kept, Offer, Packed, Row, RowSpec,
};
use tiderace_types::{DataType, Timestamp, Version};

/// Time, id, and what the inputs and bits are made from.
type Plain = (i64, i64, u8);

fn spec(kind: IdKind, filters: usize, text: bool) -> RowSpec {
    let mut inputs = vec![DataType::Int64, DataType::Float64];
    inputs.extend(text.then_some(DataType::String));
    RowSpec {
        fingerprint: 1,
        id: kind,
        inputs,
        filters,
        sign: None,
        outputs: Vec::new(),
        kept: Kept::All,
    }
}

/// The cells of an event; few have a null.
fn cells(seed: u8, text: bool) -> Vec<Cell<'static>> {
    let number = match seed {
        0 => Cell::Null,
        seed => Cell::Int(seed.into()),
    };
    let mut cells = vec![number, Cell::Float(f64::from(seed) / 4.0)];
    cells.extend(text.then_some(Cell::Bytes(b"text")));
    cells
}

fn ids(plain: &[Plain]) -> Vec<[u8; 8]> {
    plain.iter().map(|(_, id, _)| id.to_be_bytes()).collect()
}

fn events<'a>(
    kind: IdKind,
    plain: &[Plain],
    ids: &'a [[u8; 8]],
    cells: &'a [Vec<Cell<'a>>],
) -> Vec<Event<'a>> {
    let event = |((&(time, id, seed), bytes), inputs): ((&Plain, &'a [u8; 8]), &'a Vec<_>)| Event {
        time: Timestamp(time),
        id: match kind {
            IdKind::Int64 => Id::Int(id),
            IdKind::Bytes => Id::Bytes(bytes),
            IdKind::Position => Id::Position {
                partition: 7,
                offset: id,
            },
        },
        bits: u64::from(seed & 1),
        inputs,
    };
    plain.iter().zip(ids).zip(cells).map(event).collect()
}

/// The same events as words, where they are.
fn words(spec: &RowSpec, events: &[Event<'_>]) -> Option<Vec<i64>> {
    let width = spec.words()?;
    let mut words = Vec::with_capacity(events.len() * width);
    for event in events {
        words.push(event.time.0);
        match event.id {
            Id::Int(id) => words.push(id),
            Id::Bytes(_) | Id::Position { .. } => return None,
        }
        words.extend((spec.filters > 0).then(|| event.bits.cast_signed()));
        for cell in event.inputs {
            match cell {
                Cell::Int(number) => words.push(*number),
                Cell::Float(number) => words.push(number.to_bits().cast_signed()),
                Cell::Null | Cell::Decimal(_) | Cell::Bytes(_) => return None,
            }
        }
    }
    Some(words)
}

/// What became of an event, its place apart.
fn kind_of(insert: Insert) -> u8 {
    match insert {
        Insert::Applied { .. } => 0,
        Insert::Duplicate => 1,
        Insert::Conflict => 2,
    }
}

fn check(
    kind: IdKind,
    filters: usize,
    text: bool,
    batches: &[(Vec<Plain>, usize)],
) -> Result<(), TestCaseError> {
    let spec = spec(kind, filters, text);
    let (mut one_by_one, mut together) = (Events::new(&spec), Events::new(&spec));
    let (mut packed, mut packed_together) = (one_by_one.clone(), together.clone());
    for (plain, dropped) in batches {
        let cells: Vec<_> = plain.iter().map(|(.., seed)| cells(*seed, text)).collect();
        let ids = ids(plain);
        let events = events(kind, plain, &ids, &cells);
        let before = one_by_one.clone();
        let expected: Vec<u8> = events
            .iter()
            .map(|event| kind_of(one_by_one.insert(event)))
            .collect();
        let mut told = vec![u8::MAX; events.len()];
        let mut least = usize::MAX;
        together.insert_all(&events, |index, insert| {
            told[index] = kind_of(insert);
            if let Insert::Applied { at } = insert {
                least = least.min(at);
            }
        });
        prop_assert_eq!(told, &*expected);
        prop_assert_eq!(&together, &one_by_one);
        if let Some(words) = words(&spec, &events) {
            let width = spec.words().unwrap_or(usize::MAX);
            let words: Vec<_> = words.chunks_exact(width).map(Packed).collect();
            let told: Vec<u8> = words
                .iter()
                .map(|event| kind_of(packed.insert(event)))
                .collect();
            prop_assert_eq!(told, &*expected);
            let mut told = vec![u8::MAX; events.len()];
            packed_together.insert_all(&words, |index, insert| told[index] = kind_of(insert));
            prop_assert_eq!(told, &*expected);
        } else {
            events.iter().for_each(|event| _ = packed.insert(event));
            packed_together.insert_all(&events, |_, _| {});
        }
        prop_assert_eq!(&packed, &one_by_one);
        prop_assert_eq!(&packed_together, &one_by_one);
        // What lies before the least place is as it was.
        let same = least.min(before.len());
        prop_assert_eq!(together.slice(0..same), before.slice(0..same));
        let row = Row {
            events: together.clone(),
            ..Row::new(&spec)
        };
        for from in [0, same, together.len() / 2, together.len()] {
            let tail = row.encode_tail(&spec, Version::default(), from);
            let tail = Row::decode(&tail, &spec).expect("what was written reads");
            prop_assert_eq!(&tail.events, &together.slice(from..together.len()));
        }
        let count = together.len() * dropped / 100;
        for events in [
            &mut together,
            &mut one_by_one,
            &mut packed,
            &mut packed_together,
        ] {
            events.drop_front(count);
        }
    }
    Ok(())
}

fn plain() -> impl Strategy<Value = Plain> {
    (0..60i64, 0..3i64, prop_oneof![20 => 1u8..4, 1 => Just(0)])
}

proptest! {
    #[test]
    fn together_is_one_after_another(
        kind in prop_oneof![Just(IdKind::Int64), Just(IdKind::Bytes), Just(IdKind::Position)],
        filters in 0..2usize,
        text in any::<bool>(),
        batches in prop::collection::vec(
            (prop::collection::vec(plain(), 0..30), prop_oneof![3 => Just(0), 1 => 0..=100usize]),
            1..8,
        ),
    ) {
        check(kind, filters, text, &batches)?;
    }

    #[test]
    fn what_a_row_does_not_keep_is_refused_among_others(
        plain in prop::collection::vec(plain(), 0..30),
        kept_from in -1..60i64,
    ) {
        let spec = spec(IdKind::Int64, 0, false);
        let cells: Vec<_> = plain.iter().map(|(.., seed)| cells(*seed, false)).collect();
        let ids = ids(&plain);
        let events = events(IdKind::Int64, &plain, &ids, &cells);
        let mut one_by_one = Row::new(&spec);
        one_by_one.kept_from = Timestamp(kept_from);
        let mut together = one_by_one.clone();
        let expected: Vec<_> = events.iter().map(|event| one_by_one.offer(&spec, event)).collect();
        let mut told = vec![None; events.len()];
        together.offer_all(&spec, &events, |index, offer| told[index] = Some(offer));
        for (told, expected) in told.into_iter().zip(expected) {
            let kept = |offer: &Offer| *offer != Offer::BeforeKept;
            prop_assert_eq!(told.as_ref().map(kept), Some(kept(&expected)));
        }
        prop_assert_eq!(together, one_by_one);
    }
}

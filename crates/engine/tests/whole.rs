//! Records that give two events each: refused as a whole, dropped one by one, counted once.

#[expect(dead_code, reason = "the definitions alone are needed")]
#[path = "support/definitions.rs"]
mod definitions;

use std::collections::BTreeMap;
use std::sync::Arc;
use tiderace_decode::Decoder;
use tiderace_engine::{Intake, Taken};
use tiderace_plan::model::{Archive, Source};
use tiderace_types::{
    Dropped, Outcome, Partition, Positions, Reason, RecordBatch, RecordMeta, Timestamp,
};

const START: i64 = 1_522_540_800_000_000;

/// An event: microseconds after the start, amount, score.
type Row = (i64, f64, i64);

/// Takes in records of two events each, which come from any payload at all.
fn taken(updates: &[[Row; 2]]) -> Taken {
    taken_from(definitions::world().source("payments"), updates)
}

fn taken_from(source: &Arc<Source>, updates: &[[Row; 2]]) -> Taken {
    let world = definitions::world();
    let partition = Partition {
        source: source.id,
        number: 0,
    };
    let meta = |offset: usize| RecordMeta {
        partition,
        offset: offset as i64,
        broker_time: Timestamp(START),
    };
    let (mut events, mut records) = (RecordBatch::default(), RecordBatch::default());
    for (number, (after, amount, score)) in updates.iter().flatten().enumerate() {
        let at = START + after;
        let payload = format!(
            r#"{{"id":{number},"at":{at},"who":1,"place":"p","amount":{amount:?},"score":{score}}}"#
        );
        events.push(meta(number), payload.as_bytes());
    }
    for number in 0..updates.len() {
        records.push(meta(number), b"an update");
    }
    let columns = source.used.iter();
    let columns = columns.map(|column| source.columns[*column].clone());
    let place = |column: usize| source.used.binary_search(&column).ok();
    let mut decoder = Decoder::json(
        columns.collect(),
        place(source.event_time).expect("event time is used"),
        source.event_id.and_then(place),
        source.max_record_bytes,
    );
    let mut decoded = decoder.decode(&events);
    assert_eq!(decoded.rejected, []);
    decoded.rows.iter_mut().for_each(|row| *row /= 2);
    let views = world.views.iter().enumerate();
    let own = views.filter(|(_, view)| view.view.source.id == source.id);
    let own = own.map(|(place, view)| (place, Arc::clone(&view.view)));
    let mut intake = Intake::new(Arc::clone(source), own.collect(), &Positions::default());
    intake.take(records, decoded)
}

fn place(name: &str) -> usize {
    let mut views = definitions::world().views.iter();
    let place = views.position(|view| view.view.name == name);
    place.expect("the view is defined")
}

/// The events that a view is given.
fn events(taken: &Taken, name: &str) -> Vec<u32> {
    let mut views = taken.packet.views.iter();
    let view = views.find(|view| view.view == place(name));
    view.expect("the view is fed").events.clone()
}

const GOOD: Row = (0, 1.0, 3);

#[test]
fn what_fails_one_event_refuses_the_record() {
    let late = (-4 * 3_600_000_000, 1.0, 3);
    let early = (3_600_000_000, 1.0, 3);
    let negative = (0, -1.0, 3);
    let taken = taken(&[
        [GOOD, GOOD],
        [negative, GOOD],
        [GOOD, negative],
        [negative, negative],
        [late, GOOD],
        [GOOD, early],
        [GOOD, GOOD],
    ]);
    assert_eq!(events(&taken, "life"), [0, 1, 12, 13]);
    let counts = taken.counts;
    assert_eq!((counts.read, counts.accepted), (7, 2));
    assert_eq!(
        counts.rejected,
        BTreeMap::from([
            (Reason::Rejected, 3),
            (Reason::TooLate, 1),
            (Reason::TooEarly, 1)
        ])
    );
    let dead: Vec<i64> = taken.dead.iter().map(|dead| dead.meta.offset).collect();
    assert_eq!(dead, [1, 2, 3, 4, 5]);
    // What was refused has not moved the clock.
    let (_, _, position) = taken.packet.reached[0];
    assert_eq!((position.next, position.clock), (7, Timestamp(START)));
}

#[test]
fn a_check_that_drops_is_a_filter_of_events() {
    let unseen = (0, 1.0, -1);
    let taken = taken(&[[GOOD, unseen], [unseen, GOOD], [unseen, unseen]]);
    assert_eq!(events(&taken, "life"), [0, 3]);
    assert_eq!((taken.counts.read, taken.counts.accepted), (3, 2));
    assert_eq!(taken.counts.dropped, BTreeMap::from([(Dropped::Check, 1)]));
    assert_eq!(
        taken.packet.homes.told,
        [(2, Outcome::Dropped(Dropped::Check))]
    );
    assert_eq!(taken.dead, []);
}

#[test]
fn a_view_takes_both_or_neither() {
    // `spend` divides by the score; `life` does not.
    let zero = (0, 1.0, 0);
    let taken = taken(&[[GOOD, zero], [zero, zero], [GOOD, GOOD]]);
    assert_eq!(events(&taken, "spend"), [4, 5]);
    assert_eq!(events(&taken, "life"), [0, 1, 2, 3, 4, 5]);
    assert_eq!(taken.counts.failed[&place("spend")], 4);
    let dead: Vec<_> = taken
        .dead
        .iter()
        .map(|dead| (dead.meta.offset, dead.reason))
        .collect();
    let failed = Reason::ExpressionFailed;
    assert_eq!(dead, [(0, failed), (1, failed)]);
}

/// What views make of events is nothing to the archive; what the source refuses is.
#[test]
fn accepted_events_come_with_their_places_where_they_are_archived() {
    let updates = [
        [GOOD, GOOD],
        [GOOD, (-4 * 3_600_000_000, 1.0, 3)],
        [GOOD, GOOD],
    ];
    assert!(taken(&updates).accepted.is_none());
    let source = definitions::world().source("payments");
    let taken = taken_from(&archived(source), &updates);
    let accepted = taken.accepted.expect("it is archived");
    // The second record is late by one of its events, and refused as a whole.
    assert_eq!(accepted.offsets, [0, 0, 2, 2]);
    assert_eq!(accepted.partitions, [0; 4]);
    assert_eq!(accepted.broker_times, [START; 4]);
    assert_eq!(accepted.events.num_rows(), 4);
    let reached = accepted
        .reached
        .iter()
        .map(|(number, at)| (*number, at.next));
    assert_eq!(reached.collect::<Vec<_>>(), [(0, 3)]);
    // One that a view's expression fails on is the source's all the same.
    let failing = taken_from(&archived(source), &[[(0, 1.0, 0), GOOD]]);
    assert_eq!(failing.counts.failed[&place("spend")], 2);
    assert_eq!(
        failing.accepted.map(|accepted| accepted.offsets),
        Some(vec![0, 0])
    );
}

fn archived(source: &Source) -> Arc<Source> {
    Arc::new(Source {
        archive: Some(Archive {
            parquet: "archive".to_owned(),
            write: true,
            retention: None,
            flush_interval: tiderace_types::Duration::from_secs(60),
            renamed: BTreeMap::new(),
        }),
        ..source.clone()
    })
}

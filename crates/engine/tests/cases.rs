//! Small histories, each with one thing to see.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use support::definitions::{World, world};
use support::driver::{Driver, Weather};
use support::log::{Log, Logged, Made};
use tiderace_engine::{Found, LaneError};
use tiderace_types::{Partition, Reason, Timestamp, Value, encode_key};

const START: i64 = 1_522_540_800_000_000;

fn payment(id: i64, who: i64) -> Made {
    Made {
        id,
        at: START + id,
        who: Some(who),
        place: Some("p1"),
        cents: Some(5716),
        score: Some(3),
    }
}

/// A log of payments by (partition, payment).
fn payments(world: &World, made: &[(u32, Made)]) -> Log {
    let source = world.source("payments").id;
    let mut partitions = BTreeMap::new();
    for (number, made) in made {
        let number = *number;
        let log: &mut Vec<Logged> = partitions.entry(Partition { source, number }).or_default();
        log.push(Logged::new(START + 1000, made.clone()));
    }
    Log { partitions }
}

/// A driver with one lane that has applied all of `log`.
fn applied(log: &Log) -> Driver<'_> {
    let mut driver = Driver::new(world(), log, Weather::default(), 1);
    let (_, last) = log.span();
    driver.wall = last;
    driver.start(1);
    for _ in 0..100 {
        driver.read();
        driver.apply(0);
    }
    driver
}

fn place(name: &str) -> usize {
    let mut views = world().views.iter();
    let place = views.position(|view| view.view.name == name);
    place.expect("the view is defined")
}

#[test]
fn an_event_counts_once_by_whatever_way_it_comes() {
    let mut other = payment(1, 596);
    other.cents = Some(1);
    let made = payment(1, 596);
    let log = payments(
        world(),
        &[(0, made.clone()), (1, made.clone()), (0, made), (0, other)],
    );
    let driver = applied(&log);
    assert_eq!(driver.totals.views[&place("life")], [1, 2, 1, 0]);
    let conflicts = driver
        .dead
        .iter()
        .filter(|dead| dead.reason == Reason::Conflict);
    // `spend`, `life`, `recent` and `latest` look at the amount; `risk` does not, and sees a third copy.
    assert_eq!(conflicts.count(), 4);
    assert_eq!(driver.totals.views[&place("risk")], [1, 3, 0, 0]);
}

#[test]
fn an_event_that_does_not_belong_cannot_fail() {
    let mut zero = payment(1, 596);
    zero.score = Some(0);
    let log = payments(world(), &[(0, zero)]);
    let driver = applied(&log);
    assert_eq!(driver.totals.failed.get(&place("risk")), None);
    assert_eq!(driver.totals.failed.get(&place("spend")), Some(&1));
    let [dead] = &driver.dead[..] else {
        panic!("one dead letter: {:?}", driver.dead);
    };
    assert_eq!(dead.reason, Reason::ExpressionFailed);
    assert!(dead.detail.starts_with("view `spend`: "), "{}", dead.detail);
}

/// A row that is evicted while a drain owes it stays owed to that drain.
#[test]
fn a_drain_keeps_what_is_evicted_from_it() {
    let log = payments(
        world(),
        &[(0, payment(1, 1)), (0, payment(2, 2)), (0, payment(3, 3))],
    );
    let mut driver = applied(&log);
    driver.commit(0);
    let now = driver.wall;
    let lane = &mut driver.workers[0].lane;
    let first = lane.chunk(now, 1);
    assert_eq!((first.rows.len(), first.last), (1, false));
    lane.evict(0);
    assert_eq!(lane.rows(), 0);
    let rest = lane.chunk(now, 100);
    assert!(rest.last);
    // Three customers in four views and one terminal, less the one that was published.
    assert_eq!(rest.stored.len(), 12);
}

#[test]
fn a_gap_stops_the_lane() {
    let log = payments(world(), &[(0, payment(1, 1))]);
    let mut driver = Driver::new(world(), &log, Weather::default(), 1);
    driver.wall = log.span().1;
    driver.start(1);
    while driver.workers[0].queue.is_empty() {
        driver.read();
    }
    let mut packet = driver.workers[0].queue.pop_back().expect("it was read");
    let packet = Arc::get_mut(&mut packet).expect("there is one lane");
    packet.contiguous = true;
    let lane = &mut driver.workers[0].lane;
    lane.prepare(&[&*packet])
        .expect("a partition may begin anywhere");
    while let Some(wants) = lane.wants(&[&*packet]) {
        let found = Found {
            rows: vec![Vec::new(); wants.rows.len()],
            ..Found::default()
        };
        lane.fill(found).expect("nothing is stored");
    }
    lane.apply(&[&*packet], driver.wall);
    packet.reached[0].1 = 5;
    let error = lane
        .prepare(&[&*packet])
        .expect_err("offsets 1 to 4 are missing");
    assert!(
        matches!(
            error,
            LaneError::Gap {
                expected: 1,
                got: 5,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_lane_answers_a_whole_view_at_many_instants() {
    let made = [payment(1, 596), payment(2, 596), payment(3, 7)];
    let log = payments(world(), &made.map(|made| (0, made)));
    let driver = applied(&log);
    let view = place("spend");
    let mut outputs = world().view(view).spec.outputs.iter();
    let output = outputs.position(|output| output.name == "n_10m");
    let output = output.expect("the view counts");
    // The window of the last has let go of the first payment, exactly.
    let instants = [1, 3, 600_000_001].map(|after| Timestamp(START + after));
    let mut answers: BTreeMap<Box<[u8]>, Vec<Value>> = BTreeMap::new();
    let mut asked = Vec::new();
    let done = driver.workers[0]
        .lane
        .answer(view, &[output], &instants, |entity, as_of, found| {
            asked.push(as_of);
            let answer = found[0].clone().map_err(|error| error.to_string())?;
            answers.entry(entity.into()).or_default().push(answer.value);
            Ok::<(), String>(())
        });
    assert_eq!(done, Ok(()));
    assert_eq!(asked, [instants, instants].concat());
    let key = |who| encode_key(&[Value::Int(who)]).expect("a number is a key");
    let counts = |counts: [i64; 3]| counts.map(Value::Int).to_vec();
    let expected = [(key(596), counts([1, 2, 1])), (key(7), counts([0, 1, 1]))];
    assert_eq!(answers, BTreeMap::from(expected));
}

#[test]
fn answering_ends_with_the_first_refusal() {
    let log = payments(world(), &[(0, payment(1, 596)), (0, payment(2, 7))]);
    let driver = applied(&log);
    let (mut asked, instants) = (0, [START, START + 9].map(Timestamp));
    let done = driver.workers[0]
        .lane
        .answer(place("spend"), &[0], &instants, |_, _, _| {
            asked += 1;
            Err("enough")
        });
    assert_eq!((done, asked), (Err("enough"), 1));
}

//! A late event between each pair of neighbouring edges of a dense row, which is published already: every
//! answer is right with it, now and until the row is cut anew.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use support::definitions::{LATENESS, dense_world};
use support::driver::{Driver, Weather};
use support::laws;
use support::log::{Log, Logged, Made};
use support::oracle::Oracle;
use tiderace_aggregate::Row;
use tiderace_types::{Duration, Partition, Timestamp};

const START: i64 = 1_522_540_800_000_000;
const SECOND: i64 = 1_000_000;

/// Events that make the rows dense, three hours of them.
const EVENTS: i64 = 120;
const EVERY: i64 = 90 * SECOND;

fn made(id: i64, at: i64) -> Made {
    Made {
        id,
        at,
        who: Some(1),
        place: Some("p1"),
        cents: Some(100 + id * 7 % 900),
        score: Some(2 + id % 5),
    }
}

/// One event every ninety seconds in every source, and a late one at `late` behind them.
fn log(late: Option<Timestamp>) -> Log {
    let mut partitions = BTreeMap::new();
    for source in ["payments", "clicks", "orders"] {
        let partition = Partition {
            source: dense_world().source(source).id,
            number: 0,
        };
        let in_time = (0..EVENTS).map(|id| (START + id * EVERY, made(id, START + id * EVERY)));
        let late = late.map(|late| (now().0 + SECOND, made(EVENTS, late.0)));
        let logged = in_time.chain(late).map(|(at, made)| Logged::new(at, made));
        partitions.insert(partition, logged.collect());
    }
    Log { partitions }
}

fn now() -> Timestamp {
    Timestamp(START + (EVENTS - 1) * EVERY)
}

/// Where windows begin and end as of now, over all features.
fn edges() -> BTreeSet<Timestamp> {
    let mut edges = BTreeSet::new();
    for view in &dense_world().views {
        let row = Row::new(&view.view.spec);
        for output in &view.view.spec.outputs {
            let bounds = row.edges(output.window, now());
            edges.extend(bounds.into_iter().flat_map(|b| [b.after, b.upto]));
        }
    }
    let kept = now().minus(LATENESS);
    edges.retain(|edge| *edge > kept && *edge <= now());
    edges.insert(kept.plus(Duration(1)));
    edges
}

#[test]
fn a_late_event_between_each_pair_of_edges() {
    let edges: Vec<Timestamp> = edges().into_iter().collect();
    assert!(edges.len() > 12, "{edges:?}");
    let weather = Weather {
        dense: true,
        ..Weather::default()
    };
    let mut answered = 0;
    for pair in edges.windows(2) {
        let between = Timestamp(pair[0].0.midpoint(pair[1].0));
        // Both edges themselves too: a window is open at its beginning and closed at its end.
        for late in [pair[0], between, pair[1]] {
            let log = log(Some(late));
            let mut driver = Driver::new(dense_world(), &log, weather, 7);
            driver.wall = now();
            driver.workers.clear();
            driver.start(1);
            let before = settled(&mut driver, now());
            answered += check(&driver, before, now());
            // The rows are there, and now it comes.
            let after = settled(&mut driver, now().plus(Duration(SECOND)));
            answered += check(&driver, after, driver.wall);
            let due = driver.workers[0].lane.anchors_at();
            let due = due.map_or(driver.wall, |due| due.max(driver.wall));
            answered += check(&driver, after, Timestamp(driver.wall.0.midpoint(due.0)));
            answered += check(&driver, after, due);
        }
    }
    println!("{} edges, {answered} answers", edges.len());
    assert!(answered > 5000, "{answered}");
}

/// Reads and publishes what is there at `wall`; gives how many records of each source that is.
fn settled(driver: &mut Driver<'_>, wall: Timestamp) -> usize {
    driver.wall = wall;
    driver.settle();
    let (partition, log) = driver.log.partitions.first_key_value().expect("sources");
    let read = driver.log.end(*partition, wall) as usize;
    assert!(read <= log.len());
    read
}

/// Holds every dense row against the oracle of the first `read` records of each source.
fn check(driver: &Driver<'_>, read: usize, as_of: Timestamp) -> usize {
    let mut log = driver.log.clone();
    log.partitions
        .values_mut()
        .for_each(|log| log.truncate(read));
    let oracle = Oracle::new(driver.world, &log);
    let [answered, refused] = laws::dense_rows_are_exact(driver, &oracle, as_of)
        .unwrap_or_else(|broken| panic!("{broken}"));
    assert_eq!(refused, 0, "what is published answers until it is due");
    assert!(answered > 0, "no row is dense");
    answered
}

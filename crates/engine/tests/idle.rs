//! Nothing comes any more, and windows move on: dense rows are exact at every instant while their lane
//! lives; when it does not, they refuse what they cannot answer.

mod support;

use support::definitions::dense_world;
use support::driver::{Driver, Weather};
use support::laws;
use support::log::Log;
use support::oracle::Oracle;
use support::random::Random;
use tiderace_types::Duration;

const LOGS: u64 = 5;

/// Instants of each log. Most of them are before the longest window has passed everything.
const NEAR: i64 = 180;
const FAR: i64 = 20;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// Walks through forty days without a record; gives what was answered and what was refused.
fn idle(seed: u64, lives: bool) -> Result<[usize; 2], String> {
    let world = dense_world();
    let mut random = Random(seed);
    let log = Log::new(world, &mut random);
    let oracle = Oracle::new(world, &log);
    let weather = Weather {
        dense: true,
        ..Weather::default()
    };
    let mut driver = Driver::new(world, &log, weather, seed);
    (_, driver.wall) = log.span();
    driver.finish();
    let mut seen = [0, 0];
    for step in 0..NEAR + FAR {
        let most = match step < NEAR {
            true => 2 * 8 * HOUR / NEAR,
            false => 2 * 40 * DAY / FAR,
        };
        driver.wall = driver.wall.plus(Duration(random.within(0, most)));
        if lives {
            // Nothing was read, so what is published now was anchored because time has come.
            driver.finish();
        }
        let due = driver.workers.iter().filter_map(|w| w.lane.anchors_at());
        let due = due.min().map_or(HOUR, |due| due.0 - driver.wall.0);
        let as_of = match lives {
            // Until the next anchor the rows that are published have to do.
            true => driver.wall.plus(Duration(random.within(0, due.max(0)))),
            false => driver.wall,
        };
        let [answered, refused] = laws::dense_rows_are_exact(&driver, &oracle, as_of)?;
        if lives && refused > 0 {
            return Err(format!("{refused} outputs cannot be answered at {as_of}"));
        }
        seen = [seen[0] + answered, seen[1] + refused];
    }
    Ok(seen)
}

fn all(lives: bool) -> [usize; 2] {
    let mut seen = [0, 0];
    for seed in support::seeds(LOGS) {
        match idle(seed, lives) {
            Ok([answered, refused]) => seen = [seen[0] + answered, seen[1] + refused],
            Err(broken) => panic!("TIDERACE_SEED={seed}: {broken}"),
        }
    }
    println!("{} answers, {} refusals", seen[0], seen[1]);
    seen
}

#[test]
fn a_lane_that_lives_keeps_dense_rows_exact() {
    let [answered, _] = all(true);
    assert!(answered > 10_000, "{answered}");
}

#[test]
fn without_their_lane_dense_rows_refuse_and_are_never_wrong() {
    let [answered, refused] = all(false);
    assert!(answered > 1000 && refused > 50, "{answered}, {refused}");
}

//! A past that is taken in at any moment beside the stream: in the end every row is what it would be had
//! all events come by the stream.

mod support;

use std::cell::Cell;
use support::definitions::{dense_world, world};
use support::driver::{Driver, Weather};
use support::laws;
use support::log::Log;
use support::oracle::Oracle;
use support::past::Prepared;
use support::random::Random;
use tiderace_types::{Ledger, READ};

const STEPS: u64 = 300;

/// Runs one schedule; tells how many events of the past were taken in.
fn run(seed: u64, weather: Weather) -> Result<u64, String> {
    let world = match weather.dense {
        true => dense_world(),
        false => world(),
    };
    let mut random = Random(seed ^ 0x70a5);
    let log = Log::without_conflicts(world, &mut random);
    let oracle = Oracle::new(world, &log);
    let past = Prepared::new(world, &log, &mut random);
    let mut driver = Driver::with(world, &log, weather, seed, Some(past.clone()));
    for _ in 0..random.below(STEPS) {
        driver.step();
    }
    driver.finish();
    laws::all_answers_are_right(&driver, &oracle, &mut random)?;
    laws::ledger_is_exact(&driver)?;
    let counted = all_is_counted(&driver, &past)?;
    if weather.dense {
        laws::dense_rows_answer(&driver)?;
    } else if !weather.expiry {
        let mut clean = Driver::new(world, &log, Weather::default(), seed ^ 0xc1ea);
        clean.finish();
        let (rows, expected) = (laws::online_rows(&driver)?, laws::online_rows(&clean)?);
        for (key, row) in &expected {
            if rows.get(key) != Some(row) {
                return Err(format!("row {key:?} is not that of a stream alone"));
            }
        }
        if rows.len() != expected.len() {
            return Err(format!("{} rows, not {}", rows.len(), expected.len()));
        }
    }
    Ok(counted)
}

/// Every event of the past is counted once, whatever happened on the way.
fn all_is_counted(driver: &Driver<'_>, past: &Prepared) -> Result<u64, String> {
    let mut ledger = Ledger::default();
    for worker in &driver.workers {
        ledger.merge(&worker.lane.ledger());
    }
    let mut taken = 0;
    for view in 0..past.views.len() {
        let source = Prepared::partition(view).source;
        let read = ledger.get(source, READ);
        if read != past.len(view) as u64 {
            return Err(format!("{read} of {} are counted", past.len(view)));
        }
        taken += ledger.get(source, "applied");
    }
    Ok(taken)
}

fn each(runs: u64, weather: Weather) {
    let taken = Cell::new(0);
    support::each(runs, |seed| {
        taken.set(taken.get() + run(seed, weather)?);
        Ok(())
    });
    println!("{} events of the past were taken in", taken.get());
    assert!(taken.get() > 0);
}

#[test]
fn it_makes_no_difference_by_which_way_events_come() {
    let weather = Weather {
        evictions: 30,
        ..Weather::default()
    };
    each(500, weather);
}

#[test]
fn deaths_and_other_lane_counts_change_nothing() {
    let weather = Weather {
        deaths: 12,
        recuts: true,
        lost_tails: true,
        evictions: 30,
        ..Weather::default()
    };
    each(750, weather);
}

#[test]
fn stores_that_are_emptied_and_swept_change_nothing() {
    let weather = Weather {
        deaths: 8,
        lost_tails: true,
        emptied: 6,
        evictions: 60,
        sweeps: 10,
        ..Weather::default()
    };
    each(500, weather);
}

#[test]
fn dense_rows_take_it_in() {
    let weather = Weather {
        deaths: 8,
        recuts: true,
        lost_tails: true,
        evictions: 30,
        dense: true,
        ..Weather::default()
    };
    each(750, weather);
}

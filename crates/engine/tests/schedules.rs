//! One log, any schedule: what is served is a function of the set of accepted events.

mod support;

use std::cell::RefCell;
use support::definitions::{dense_world, world};
use support::driver::{Driver, Fault, Totals, Weather};
use support::laws;
use support::log::Log;
use support::oracle::Oracle;
use support::random::Random;
use tiderace_testkit::naive;
use tiderace_types::Reason;

const STEPS: u64 = 400;

/// Runs one schedule, holding the laws all the way.
fn run(seed: u64, weather: Weather) -> Result<(), String> {
    run_seeing(seed, weather).map(|_| ())
}

/// As [`run`]; tells how many dense rows there were in the end, and how many of them coarse.
fn run_seeing(seed: u64, weather: Weather) -> Result<[usize; 2], String> {
    let world = match weather.dense {
        true => dense_world(),
        false => world(),
    };
    let mut random = Random(seed ^ 0x10_6000);
    let log = Log::new(world, &mut random);
    let oracle = Oracle::new(world, &log);
    let mut driver = Driver::new(world, &log, weather, seed);
    for _ in 0..random.below(STEPS) {
        if driver.step() {
            laws::markers_hold(&driver, &oracle)?;
        }
        laws::exact_answers_are_right(&driver, &oracle, &mut random)?;
    }
    driver.finish();
    laws::markers_hold(&driver, &oracle)?;
    laws::all_answers_are_right(&driver, &oracle, &mut random)?;
    laws::ledger_is_exact(&driver)?;
    // Lanes that are cut otherwise may be offered again what their rows have let go.
    if !weather.recuts {
        nothing_is_late(&driver)?;
    }
    let dense = match weather.dense {
        true => laws::dense_rows_answer(&driver)?,
        false => [0, 0],
    };
    // Where a dense row is cut depends on when.
    if !weather.expiry && !weather.dense {
        let clean = clean(&log, seed);
        if laws::online_rows(&driver)? != laws::online_rows(&clean)? {
            return Err("the rows are not those of one clean run".to_owned());
        }
    }
    Ok(dense)
}

/// One lane, nothing but reading, publishing once in the end.
fn clean(log: &Log, seed: u64) -> Driver<'_> {
    let mut driver = Driver::new(world(), log, Weather::default(), seed ^ 0xc1ea);
    driver.finish();
    driver
}

/// The logs are made so that no partition is ever further behind than rows keep.
fn nothing_is_late(driver: &Driver<'_>) -> Result<(), String> {
    match driver.totals.views.values().map(|counts| counts[3]).sum() {
        0u64 => Ok(()),
        late => Err(format!("{late} events came before what rows keep")),
    }
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
    support::each(750, |seed| run(seed, weather));
}

#[test]
fn deaths_alone_offer_nothing_twice_that_is_gone() {
    let weather = Weather {
        deaths: 12,
        lost_tails: true,
        evictions: 30,
        ..Weather::default()
    };
    support::each(250, |seed| run(seed, weather));
}

#[test]
fn dense_rows_answer_like_sparse_ones() {
    let weather = Weather {
        deaths: 8,
        recuts: true,
        lost_tails: true,
        evictions: 30,
        dense: true,
        ..Weather::default()
    };
    let seen = RefCell::new([0, 0]);
    let run = |seed| {
        let dense = run_seeing(seed, weather)?;
        let mut seen = seen.borrow_mut();
        *seen = [seen[0] + dense[0], seen[1] + dense[1]];
        Ok(())
    };
    support::each(750, run);
    // The last segment of a row was let go with a retraction in it that nothing had come for yet.
    support::again(&[14_121], run);
    let [dense, coarse] = seen.into_inner();
    assert!(coarse > 0 && dense > coarse, "{coarse} of {dense}");
}

#[test]
fn dense_rows_expire_and_are_filled_again() {
    let weather = Weather {
        deaths: 6,
        recuts: true,
        lost_tails: true,
        expiry: true,
        emptied: 8,
        evictions: 60,
        dense: true,
        ..Weather::default()
    };
    support::each(500, |seed| run(seed, weather));
    // The last five as of before the anchor were told by a row that had let go of the first of them.
    support::again(&[3762], |seed| run(seed, weather));
}

#[test]
fn expiry_under_a_reader_changes_no_exact_answer() {
    let weather = Weather {
        deaths: 6,
        recuts: true,
        lost_tails: true,
        expiry: true,
        evictions: 20,
        ..Weather::default()
    };
    support::each(750, |seed| run(seed, weather));
}

#[test]
fn an_emptied_store_is_filled_again() {
    let weather = Weather {
        deaths: 6,
        recuts: true,
        lost_tails: true,
        emptied: 12,
        evictions: 50,
        ..Weather::default()
    };
    support::each(500, |seed| run(seed, weather));
}

#[test]
fn memory_pressure_changes_nothing() {
    let weather = Weather {
        evictions: 100,
        ..Weather::default()
    };
    support::each(250, |seed| run(seed, weather));
}

/// Blocks leave the state under lanes that live on and under lanes that start again.
#[test]
fn sweeping_changes_nothing() {
    let weather = Weather {
        deaths: 8,
        lost_tails: true,
        evictions: 60,
        sweeps: 10,
        ..Weather::default()
    };
    support::each(500, |seed| run(seed, weather));
}

#[test]
fn sweeping_changes_nothing_for_other_lane_counts_and_emptied_stores() {
    let weather = Weather {
        deaths: 12,
        recuts: true,
        lost_tails: true,
        emptied: 6,
        evictions: 60,
        sweeps: 10,
        ..Weather::default()
    };
    support::each(750, |seed| run(seed, weather));
}

/// The schedules above do sweep something away.
#[test]
fn sweeps_find_something() {
    let weather = Weather {
        evictions: 60,
        sweeps: 10,
        ..Weather::default()
    };
    let swept = |seed| {
        let log = Log::new(world(), &mut Random(seed));
        let mut driver = Driver::new(world(), &log, weather, seed);
        (0..STEPS).for_each(|_| _ = driver.step());
        driver.swept
    };
    let swept: Vec<u64> = (0..50).map(swept).collect();
    let some = swept.iter().filter(|blocks| **blocks > 0).count();
    assert!(some > 10, "blocks swept by seed: {swept:?}");
}

/// Copies by any partition count once, conflicts are told, every record ends in one place.
#[test]
fn every_record_is_accounted_for_once() {
    support::each(250, |seed| {
        let log = Log::new(world(), &mut Random(seed));
        let oracle = Oracle::new(world(), &log);
        let mut driver = Driver::new(world(), &log, Weather::default(), seed);
        for _ in 0..seed % STEPS {
            driver.step();
        }
        driver.finish();
        accounted(&log, &oracle, &driver.totals)?;
        let conflicts = driver
            .dead
            .iter()
            .filter(|dead| dead.reason == Reason::Conflict);
        let expected: u64 = oracle.ledger.iter().map(|counts| counts[2]).sum();
        match conflicts.count() as u64 == expected {
            true => Ok(()),
            false => Err(format!("expected {expected} dead letters of conflicts")),
        }
    });
}

fn accounted(log: &Log, oracle: &Oracle, totals: &Totals) -> Result<(), String> {
    let records = || log.partitions.values().flatten();
    let unreadable = records().filter(|logged| logged.made.is_none()).count() as u64;
    let mut rejected = totals.rejected.clone();
    let known = [Reason::Rejected, Reason::TooEarly, Reason::TooLate];
    let by_contract = known.map(|reason| rejected.remove(&reason).unwrap_or(0));
    let expected = known.map(|reason| oracle.rejected.get(&reason).copied().unwrap_or(0));
    let rest: u64 = rejected.values().sum();
    let read = totals.accepted + totals.dropped + by_contract.iter().sum::<u64>() + rest;
    let same = by_contract == expected
        && rest == unreadable
        && totals.accepted == oracle.accepted
        && totals.dropped == oracle.dropped
        && read == records().count() as u64;
    if !same {
        return Err(format!("{totals:?}; expected {oracle:?}"));
    }
    for (view, [applied, copies, conflicts, failed]) in oracle.ledger.iter().enumerate() {
        let counts = totals.views.get(&view).copied().unwrap_or_default();
        let found_failed = totals.failed.get(&view).copied().unwrap_or(0);
        if counts != [*applied, *copies, *conflicts, 0] || found_failed != *failed {
            return Err(format!(
                "view {view}: {counts:?} and {found_failed} failed; expected {:?}",
                oracle.ledger[view]
            ));
        }
        // Whatever the order of arrival, as many are left as there are in the end.
        let [unmatched, settled] = totals.retractions.get(&view).copied().unwrap_or_default();
        let rows = oracle.views[view].values();
        let events = rows.map(|row| row.values().map(|member| member.event.clone()).collect());
        let left: u64 = events.map(|events: Vec<_>| naive::unmatched(&events)).sum();
        if unmatched != settled + left {
            return Err(format!(
                "view {view}: {unmatched} unmatched, {settled} settled; {left} are left"
            ));
        }
    }
    Ok(())
}

/// The simulation notices a shell that breaks its rules.
#[test]
fn planted_faults_are_caught() {
    let weather = Weather {
        deaths: 20,
        recuts: true,
        lost_tails: true,
        evictions: 30,
        sweeps: 10,
        ..Weather::default()
    };
    for fault in [
        Fault::ReadsTooFar,
        Fault::DropsOutbox,
        Fault::MarksFirst,
        Fault::LosesWrite,
        Fault::ShiftsEdge,
        Fault::Unfenced,
        Fault::GoesBack,
        Fault::ForgetsClock,
        Fault::LosesSegment,
        Fault::CommitsOthers,
    ] {
        let weather = Weather {
            fault: Some(fault),
            dense: fault == Fault::LosesSegment,
            // What a start does wrong shows where much has happened before it.
            deaths: match fault {
                Fault::GoesBack => 7,
                _ => weather.deaths,
            },
            ..weather
        };
        let caught = (0..10_000).find(|seed| run(*seed, weather).is_err());
        assert!(caught.is_some(), "{fault:?} goes unnoticed");
        println!("{fault:?} is caught by seed {caught:?}");
    }
}

//! A simulation of everything around lanes: logs, lanes, state, the online store, readers.
//!
//! One seed decides a log and a schedule: where batches are cut, which lane goes on when, when
//! it commits, publishes, marks, evicts, dies and with how many lanes it starts again, and how
//! much of the state's tail is lost with it. Nothing else does, so a seed is a replay:
//! `TIDERACE_SEED=n` runs that one, `TIDERACE_RUNS=n` runs n times as many as usual, and at night
//! (`TIDERACE_NIGHTLY`) twenty times.

#![allow(dead_code)] // every test file takes what it needs

pub mod definitions;
pub mod driver;
pub mod laws;
pub mod log;
pub mod online;
pub mod oracle;
pub mod past;
pub mod random;

/// The seeds of `count` runs (times `TIDERACE_RUNS`), or the one that `TIDERACE_SEED` names.
pub fn seeds(count: u64) -> std::ops::Range<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("a number"))
    };
    match number("TIDERACE_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let at_night = std::env::var_os("TIDERACE_NIGHTLY").is_some_and(|n| !n.is_empty());
            let usual = if at_night { 20 } else { 1 };
            0..count * number("TIDERACE_RUNS").unwrap_or(usual)
        }
    }
}

/// Runs every seed and stops at the first that breaks a law.
pub fn each(count: u64, run: impl Fn(u64) -> Result<(), String>) {
    let seeds = seeds(count);
    println!("{} schedules", seeds.end - seeds.start);
    hold(seeds, run);
}

/// Runs seeds that broke a law once.
pub fn again(seeds: &[u64], run: impl Fn(u64) -> Result<(), String>) {
    hold(seeds.iter().copied(), run);
}

fn hold(seeds: impl Iterator<Item = u64>, run: impl Fn(u64) -> Result<(), String>) {
    for seed in seeds {
        if let Err(broken) = run(seed) {
            panic!("TIDERACE_SEED={seed}: {broken}");
        }
    }
}

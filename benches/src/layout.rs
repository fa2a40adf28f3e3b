//! The two layouts of state that were considered, over the same events: a key an event, written
//! blindly, and a lane's cache of rows written behind as columnar blocks.
//!
//! Each candidate runs as a child: takes the events, waits for compaction to end, tells what that
//! cost, takes some more and is killed. Another child opens what is left, reads rows, and compacts
//! everything. Making the events up costs time as well: a third child does only that, and what it
//! costs is taken off.

mod blocks;
mod keyed;
mod reads;
mod worker;

use crate::child::Child;
use crate::cores::Cores;
use crate::driven::Event;
use crate::table::{self, grouped};
use anyhow::{Context, Result};
use clap::Args;
use std::path::Path;
use std::time::Duration;
use tiderace_testkit::generate::Dice;

pub use worker::{Arguments as Worker, run as work};

#[derive(Args)]
pub struct Arguments {
    /// How many events of many entities.
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// How many events of the one hot entity.
    #[arg(long, default_value_t = 100_000)]
    hot: u64,
    /// Memory for RocksDB.
    #[arg(long, default_value_t = 128)]
    memory_mib: usize,
    /// Memory for the rows of the lane; an eighth of it where rows are to be cold.
    #[arg(long, default_value_t = 128)]
    row_memory_mib: usize,
    /// How many events a commit takes.
    #[arg(long, default_value_t = 20_000)]
    commit: usize,
    /// Which workloads run.
    #[arg(long, value_delimiter = ',', default_value = "zipf,cold,hot")]
    workloads: Vec<Workload>,
}

/// Whose events they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// 100,000 entities, some far busier than others.
    Zipf,
    /// Each of an entity chosen evenly, 70 an entity, many more than are held.
    Cold,
    /// One entity.
    Hot,
}

/// How state is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Candidate {
    /// No state: what the events themselves cost.
    Nothing,
    /// One key an event; nothing is published.
    Keyed,
    /// One key an event; touched rows are read and encoded at every commit.
    KeyedPublished,
    /// Rows in memory, blocks behind them; nothing is published.
    Blocks,
    /// Rows in memory, blocks behind them; touched rows are encoded at every commit.
    BlocksPublished,
}

impl Candidate {
    const ALL: [Candidate; 5] = [
        Candidate::Nothing,
        Candidate::Keyed,
        Candidate::Blocks,
        Candidate::KeyedPublished,
        Candidate::BlocksPublished,
    ];

    fn name(self) -> &'static str {
        match self {
            Candidate::Nothing => "making events up",
            Candidate::Keyed => "a key an event",
            Candidate::KeyedPublished => "a key an event, publishing",
            Candidate::Blocks => "rows and blocks",
            Candidate::BlocksPublished => "rows and blocks, publishing",
        }
    }
}

/// When the first event is, and how long all of them take: within every window.
const START: i64 = 1_700_000_000_000_000;
const SPAN: i64 = 20 * 86_400_000_000;

/// How far out of order they come.
const DISORDER: u64 = 5_000_000;

/// The events of a workload.
pub struct Events {
    workload: Workload,
    count: u64,
    next: u64,
    dice: Dice,
}

impl Events {
    pub fn new(workload: Workload, count: u64) -> Events {
        Events {
            workload,
            count,
            next: 0,
            dice: Dice::new(7),
        }
    }

    /// How many entities there are.
    pub fn entities(&self) -> u64 {
        match self.workload {
            Workload::Zipf => 100_000,
            Workload::Cold => (self.count / 70).max(1),
            Workload::Hot => 1,
        }
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let entities = self.entities();
        let entity = match self.workload {
            // Uniform in the logarithm of the rank: the density falls as 1 / rank.
            Workload::Zipf => {
                let unit = self.dice.below(1 << 53) as f64 / (1u64 << 53) as f64;
                ((entities as f64).powf(unit) as u64).min(entities - 1)
            }
            Workload::Cold | Workload::Hot => self.dice.below(entities),
        };
        let at = START + (SPAN as f64 * (self.next as f64 / self.count as f64)) as i64;
        self.next += 1;
        Some(Event {
            // Ranks spread over the keys.
            entity: entity.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20,
            time: at - self.dice.below(DISORDER).cast_signed(),
            id: self.next.cast_signed(),
            terminal: self.dice.below(10_000).cast_signed(),
            amount: self.dice.below(100_000) as f64 / 100.0,
        })
    }
}

/// Nothing may take longer than this.
const WITHIN: Duration = Duration::from_mins(9);

pub fn run(arguments: &Arguments) -> Result<()> {
    let cores = Cores::divide(false)?;
    println!(
        "{} MiB for RocksDB, {} MiB for rows (an eighth of it where they are cold), a commit every \
         {} events; {}\n",
        arguments.memory_mib,
        arguments.row_memory_mib,
        grouped(arguments.commit as f64),
        cores.describe()
    );
    table::head(&[
        "workload",
        "layout",
        "µs of CPU an event",
        "bytes an event on disk",
        "written per byte kept",
        "peak memory",
        "reopened after a kill",
        "first 1,000 rows",
        "events a row",
        "CPU for a cold row",
        "for a warm row",
    ]);
    for workload in &arguments.workloads {
        let events = match workload {
            Workload::Hot => arguments.hot,
            _ => arguments.events,
        };
        let mut idle = 0.0;
        for candidate in Candidate::ALL {
            let folder = tempfile::tempdir()?;
            let written = take(
                arguments,
                *workload,
                candidate,
                events,
                folder.path(),
                &cores,
            )?;
            if candidate == Candidate::Nothing {
                idle = written[0];
                continue;
            }
            let read = read(
                arguments,
                *workload,
                candidate,
                events,
                folder.path(),
                &cores,
            )?;
            print(*workload, candidate, events, idle, &written, &read);
        }
    }
    Ok(())
}

fn print(
    workload: Workload,
    candidate: Candidate,
    events: u64,
    idle: f64,
    written: &[f64],
    read: &[f64],
) {
    let [processor, bytes, peak] = *written else {
        return;
    };
    let [open, first, cold, warm, held, size] = *read else {
        return;
    };
    table::row(&[
        format!("{workload:?}").to_lowercase(),
        candidate.name().to_owned(),
        format!("{:.2}", (processor - idle) * 1e6 / events as f64),
        format!("{:.1}", size / events as f64),
        format!("{:.1}", bytes / size),
        format!("{:.0} MiB", peak / f64::from(1 << 20)),
        format!("{:.0} ms", open * 1e3),
        format!("{:.0} ms", first * 1e3),
        grouped(held),
        format!("{:.1} µs", cold * 1e6),
        format!("{:.1} µs", warm * 1e6),
    ]);
}

/// Runs a candidate's child and kills it: processor seconds, bytes written, peak memory.
fn take(
    arguments: &Arguments,
    workload: Workload,
    candidate: Candidate,
    events: u64,
    folder: &Path,
    cores: &Cores,
) -> Result<Vec<f64>> {
    let child = start(
        arguments, workload, candidate, events, folder, cores, "take",
    )?;
    let numbers = numbers(&child)?;
    // Dropping it kills it.
    Ok(numbers)
}

/// Runs the child that reads: seconds to open, for the first rows, per cold row, per warm row;
/// events a row; bytes on disk.
fn read(
    arguments: &Arguments,
    workload: Workload,
    candidate: Candidate,
    events: u64,
    folder: &Path,
    cores: &Cores,
) -> Result<Vec<f64>> {
    let child = start(
        arguments, workload, candidate, events, folder, cores, "read",
    )?;
    numbers(&child)
}

fn numbers(child: &Child) -> Result<Vec<f64>> {
    let line = child.line(WITHIN)?;
    let numbers = line.split_whitespace().map(str::parse);
    numbers.collect::<Result<_, _>>().context(line)
}

fn start(
    arguments: &Arguments,
    workload: Workload,
    candidate: Candidate,
    events: u64,
    folder: &Path,
    cores: &Cores,
    work: &str,
) -> Result<Child> {
    use clap::ValueEnum;
    let row_memory_mib = match workload {
        Workload::Cold => arguments.row_memory_mib / 8,
        _ => arguments.row_memory_mib,
    };
    let name = |value: Option<clap::builder::PossibleValue>| {
        value
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    };
    Child::start(
        cores,
        &[
            "layout-worker",
            "--work",
            work,
            "--workload",
            &name(workload.to_possible_value()),
            "--candidate",
            &name(candidate.to_possible_value()),
            "--events",
            &events.to_string(),
            "--commit",
            &arguments.commit.to_string(),
            "--memory-mib",
            &arguments.memory_mib.to_string(),
            "--row-memory-mib",
            &row_memory_mib.to_string(),
            "--folder",
            folder.to_str().context("a folder name that is text")?,
        ],
    )
}

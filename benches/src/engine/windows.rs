//! Hopping windows evaluated: at the end of every minute, the sum and count of every customer
//! with a payment in the window, as a stream processor emits them.
//!
//! A window `[end - size, end)` is read from the rows at `end - 1 µs`, once the stream clock says
//! that nothing earlier can be accepted any more. As in Flink, whose watermarks are made every
//! 200 ms, it is looked every so often which windows have closed; those that are still open when
//! the records end are closed then. Every answer goes into a [`Sink`]. `benches/peers/flink` runs
//! the same query over the same file in Flink, and compares the rows.
//!
//! Nothing of this process is left out of account: it reads the file as it goes, and whoever
//! starts it measures it from outside.

use super::clock::{self, Every};
use super::definitions::Views;
use super::machine::{Machine, Settings};
use super::sink::Sink;
use super::stages::{STAGES, Stage};
use super::stream::{DISORDER, Lines};
use crate::table::grouped;
use anyhow::{Result, ensure};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration as Wall;
use tiderace_testkit::process::Usage;
use tiderace_types::{Duration, Timestamp};

#[derive(Args)]
pub struct Arguments {
    /// The events, as `tiderace-bench stream` writes them.
    #[arg(long)]
    file: PathBuf,
    /// The windows' size.
    #[arg(long, default_value = "10m")]
    size: Duration,
    /// How often all of the state is committed, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    commit_interval: u64,
    /// How often closed windows are read, in milliseconds.
    #[arg(long, default_value_t = 200)]
    interval: u64,
    /// Where the rows go; else they are counted and dropped.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Tells where the time goes.
    #[arg(long)]
    stages: bool,
}

/// Between the ends of two windows.
const HOP: Duration = Duration::from_secs(60);

const MICRO: Duration = Duration(1);

/// How far back windows can be read.
const HISTORY: Duration = Duration::from_secs(300);

/// A day of events is held as it is.
const ROW_MEMORY: u64 = 4 << 30;

/// Windows that are read in one pass over the rows.
const TOGETHER: usize = 64;

/// After an event this much younger nothing as old is accepted.
const LATENESS: Duration = DISORDER.plus(Duration::from_secs(1));

pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let plan = Views::One.plan(arguments.size, HISTORY)?;
    let settings = Settings {
        commit_interval: Wall::from_millis(arguments.commit_interval),
        publish: false,
        together: super::PACKETS,
        row_memory: ROW_MEMORY,
        // Every window is read from the events of a row.
        whole_rows: true,
    };
    let mut lines = Lines::open(&arguments.file)?;
    let mut machine = Machine::new(&plan, folder.path(), settings)?;
    let mut windows = Windows {
        outputs: plan.views[0].spec.outputs.len(),
        size: arguments.size,
        next: None,
        reading: Every::new(Wall::from_millis(arguments.interval))?,
        sink: Sink::open(arguments.out.as_deref())?,
    };
    let mut events = 0;
    loop {
        let source = machine.source();
        let records = machine.stages.time(Stage::Read, || lines.batch(source))?;
        if records.is_empty() {
            break;
        }
        events += records.len();
        machine.take(records)?;
        let now = machine.now();
        if now > Timestamp::MIN {
            windows.advance(&mut machine, now.minus(LATENESS))?;
        }
        machine.tend()?;
    }
    machine.apply()?;
    windows.finish(&mut machine)?;
    machine.commit()?;
    ensure!(
        machine.applied == events as u64,
        "{} events were applied",
        machine.applied
    );
    super::quiet()?;
    let (rows, sum) = windows.sink.close()?;
    let usage = Usage::of(std::process::id())?;
    let processor = usage.processor.as_secs_f64();
    println!(
        "{} windows: {} events, {} rows (checksum {sum:016x}), {processor:.2} CPU-s: \
         {} events and {} rows per CPU-s; at most {} MiB",
        arguments.size,
        grouped(events as f64),
        grouped(rows as f64),
        grouped(events as f64 / processor),
        grouped(rows as f64 / processor),
        usage.peak >> 20,
    );
    if arguments.stages {
        let stages = STAGES.iter().map(|(stage, name)| {
            let seconds = machine.stages.of(*stage).as_secs_f64();
            format!("{name} {seconds:.2}")
        });
        println!(
            "seconds by the clock: {}",
            stages.collect::<Vec<_>>().join(", ")
        );
    }
    Ok(())
}

/// The windows of one view.
struct Windows {
    /// How many outputs the view has.
    outputs: usize,
    size: Duration,
    /// The end of the next window.
    next: Option<Timestamp>,
    reading: Every,
    sink: Sink,
}

impl Windows {
    /// Reads the windows that end by `closed`, when it is time.
    fn advance(&mut self, machine: &mut Machine, closed: Timestamp) -> Result<()> {
        // The first batch decides where windows begin; those before it are empty.
        let next = *self.next.get_or_insert(ceiling(closed.minus(self.size)));
        let last_chance = closed >= next.plus(HISTORY).minus(HOP);
        if self.reading.is_due(clock::now()?) || last_chance {
            self.read(machine, closed)?;
        }
        Ok(())
    }

    /// Reads windows until nothing is in one.
    fn finish(&mut self, machine: &mut Machine) -> Result<()> {
        let last = machine.now().plus(self.size);
        self.read(machine, ceiling(last))
    }

    /// Reads the windows that end by `closed`.
    fn read(&mut self, machine: &mut Machine, closed: Timestamp) -> Result<()> {
        let Some(next) = self.next else {
            return Ok(());
        };
        let ends = std::iter::successors(Some(next), |end| Some(end.plus(HOP)));
        let ends: Vec<Timestamp> = ends.take_while(|end| *end <= closed).collect();
        self.next = ends.last().map_or(self.next, |end| Some(end.plus(HOP)));
        let outputs: Vec<usize> = (0..self.outputs).collect();
        let (lane, sink) = (&machine.lane, &mut self.sink);
        machine.stages.time(Stage::Evaluate, || {
            for ends in ends.chunks(TOGETHER) {
                let instants: Vec<_> = ends.iter().map(|end| end.minus(MICRO)).collect();
                lane.answer(0, &outputs, &instants, |entity, as_of, answers| {
                    sink.put(entity, as_of.plus(MICRO), answers)
                })?;
            }
            Ok(())
        })
    }
}

/// The next full hop at or after an instant.
fn ceiling(at: Timestamp) -> Timestamp {
    Timestamp((at.0 + HOP.0 - 1).div_euclid(HOP.0) * HOP.0)
}

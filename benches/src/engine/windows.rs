//! Hopping windows evaluated: at the end of every minute, the sum and count of every customer
//! with a payment in the window, as a stream processor emits them.
//!
//! A window `[end - size, end)` is read from the rows at `end - 1 µs`, as soon as the stream clock
//! says that nothing earlier can be accepted any more; the windows that are still open when the
//! records end are closed then. Every answer goes into a [`Sink`]. `benches/peers/flink` runs the
//! same query over the same file in Flink, and compares the rows.
//!
//! Nothing of this process is left out of account: it reads the file as it goes, and whoever
//! starts it measures it from outside.

use super::definitions::Views;
use super::machine::{Machine, Settings};
use super::sink::Sink;
use super::stages::{STAGES, Stage};
use super::stream::{DISORDER, Lines};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration as Wall;
use tiderace_plan::View;
use tiderace_types::{Duration, Timestamp};

#[derive(Args)]
pub struct Arguments {
    /// The events, as `tiderace-bench stream` writes them.
    #[arg(long)]
    file: PathBuf,
    /// The windows' size.
    #[arg(long, default_value = "10m")]
    size: Duration,
    /// How often state is committed, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    commit_interval: u64,
    /// Where the rows go; else they are counted and dropped.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Tells where the time goes.
    #[arg(long)]
    stages: bool,
}

/// Between the ends of two windows.
const HOP: Duration = Duration::from_secs(60);

/// After an event this much younger nothing as old is accepted.
const LATENESS: Duration = DISORDER.plus(Duration::from_secs(1));

pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir()?;
    // Windows are read up to a batch after they could be.
    let plan = Views::One.plan(arguments.size, HOP)?;
    let settings = Settings {
        commit_interval: Wall::from_millis(arguments.commit_interval),
        publish: false,
    };
    let mut lines = Lines::open(&arguments.file)?;
    let mut machine = Machine::new(&plan, folder.path(), settings)?;
    let mut windows = Windows {
        view: Arc::clone(plan.views.first().context("there is a view")?),
        size: arguments.size,
        next: None,
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
        windows.advance(&mut machine, now.minus(LATENESS))?;
        machine.tend()?;
    }
    windows.finish(&mut machine)?;
    machine.commit()?;
    ensure!(
        machine.applied == events as u64,
        "{} events were applied",
        machine.applied
    );
    super::quiet()?;
    let (rows, sum) = windows.sink.close()?;
    println!("{events} events, {rows} rows, checksum {sum:016x}");
    if arguments.stages {
        for (stage, name) in STAGES {
            println!("{name} {:.3}", machine.stages.of(stage).as_secs_f64());
        }
    }
    Ok(())
}

/// The windows of one view.
struct Windows {
    view: Arc<View>,
    size: Duration,
    /// The end of the next window.
    next: Option<Timestamp>,
    sink: Sink,
}

impl Windows {
    /// Reads every window that ends by `closed`.
    fn advance(&mut self, machine: &mut Machine, closed: Timestamp) -> Result<()> {
        // The first batch decides where windows begin; those before it are empty.
        let mut end = *self.next.get_or_insert(ceiling(closed.minus(self.size)));
        while end <= closed {
            self.read(machine, end)?;
            end = end.plus(HOP);
        }
        self.next = Some(end);
        Ok(())
    }

    /// Reads windows until nothing is in one.
    fn finish(&mut self, machine: &mut Machine) -> Result<()> {
        let last = machine.now().plus(self.size);
        self.advance(machine, ceiling(last))
    }

    fn read(&mut self, machine: &mut Machine, end: Timestamp) -> Result<()> {
        let as_of = end.minus(Duration(1));
        let after = as_of.minus(self.size);
        let spec = &self.view.spec;
        let outputs: Vec<usize> = (0..spec.outputs.len()).collect();
        let (lane, sink) = (&machine.lane, &mut self.sink);
        machine.stages.time(Stage::Evaluate, || {
            sink.window(end);
            for (entity, row) in lane.held(0) {
                if row.events.between(after, as_of).is_empty() {
                    continue;
                }
                sink.put(entity, &row.finish(spec, &outputs, as_of))?;
            }
            Ok(())
        })
    }
}

/// The next full hop at or after an instant.
fn ceiling(at: Timestamp) -> Timestamp {
    Timestamp((at.0 + HOP.0 - 1).div_euclid(HOP.0) * HOP.0)
}

//! A child of `layout`: takes events and waits to be killed, or reads what that left.

use super::blocks::Blocks;
use super::keyed::Keyed;
use super::{Candidate, Events, Workload, reads};
use crate::driven::{self, Event};
use anyhow::{Context, Result};
use clap::Args;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;
use tiderace_testkit::process::Usage;

#[derive(Args)]
pub struct Arguments {
    /// What to do.
    #[arg(long)]
    work: Work,
    /// Whose events.
    #[arg(long)]
    pub workload: Workload,
    /// How state is laid out.
    #[arg(long)]
    pub candidate: Candidate,
    /// How many events.
    #[arg(long)]
    pub events: u64,
    /// How many a commit takes.
    #[arg(long)]
    pub commit: usize,
    /// Memory for RocksDB.
    #[arg(long)]
    pub memory_mib: usize,
    /// Memory for rows.
    #[arg(long)]
    pub row_memory_mib: usize,
    /// Where state is.
    #[arg(long)]
    pub folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Work {
    Take,
    Read,
}

/// How many events are applied together.
const PACKET: usize = 1000;

pub fn run(arguments: &Arguments) -> Result<()> {
    match arguments.work {
        Work::Take => take(arguments),
        Work::Read => reads::run(arguments),
    }
}

/// A candidate as events come to it.
trait Layout {
    fn apply(&mut self, events: &[Event]) -> Result<()>;
    fn commit(&mut self) -> Result<()>;
}

struct Nothing;

impl Layout for Nothing {
    fn apply(&mut self, events: &[Event]) -> Result<()> {
        black_box(events);
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Layout for Keyed {
    fn apply(&mut self, events: &[Event]) -> Result<()> {
        self.put(events);
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        Keyed::commit(self)
    }
}

impl Layout for Blocks {
    fn apply(&mut self, events: &[Event]) -> Result<()> {
        Blocks::apply(self, events)
    }

    fn commit(&mut self) -> Result<()> {
        Blocks::commit(self)
    }
}

fn take(arguments: &Arguments) -> Result<()> {
    let publish = matches!(
        arguments.candidate,
        Candidate::KeyedPublished | Candidate::BlocksPublished
    );
    let view = driven::view()?;
    let mut layout: Box<dyn Layout> = match arguments.candidate {
        Candidate::Nothing => Box::new(Nothing),
        Candidate::Keyed | Candidate::KeyedPublished => {
            Box::new(Keyed::open(arguments, &view, publish)?)
        }
        Candidate::Blocks | Candidate::BlocksPublished => {
            Box::new(Blocks::open(arguments, &view, publish)?)
        }
    };
    let mut events = Events::new(arguments.workload, arguments.events);
    let count = usize::try_from(arguments.events)?;
    feed(&mut *layout, &mut events, count, arguments.commit)?;
    let usage = settle()?;
    // What lies in the log alone when the kill comes.
    feed(
        &mut *layout,
        &mut events,
        arguments.commit,
        arguments.commit,
    )?;
    let seconds = usage.processor.as_secs_f64();
    println!("{seconds} {} {}", written()?, usage.peak);
    loop {
        std::thread::park();
    }
}

fn feed(
    layout: &mut dyn Layout,
    events: &mut Events,
    mut count: usize,
    commit: usize,
) -> Result<()> {
    let mut since = 0;
    while count > 0 {
        let packet: Vec<Event> = events.take(PACKET.min(count)).collect();
        count -= packet.len();
        since += packet.len();
        layout.apply(&packet)?;
        if since >= commit || count == 0 {
            layout.commit()?;
            since = 0;
        }
    }
    Ok(())
}

/// Waits until nothing works in the background any more.
fn settle() -> Result<Usage> {
    loop {
        let before = Usage::of(std::process::id())?;
        std::thread::sleep(Duration::from_millis(600));
        let after = Usage::of(std::process::id())?;
        if after.processor - before.processor < Duration::from_millis(30) {
            return Ok(after);
        }
    }
}

/// The bytes that this process has sent to the disk.
fn written() -> Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io").context("read /proc/self/io")?;
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.context("write_bytes")?.parse()?)
}

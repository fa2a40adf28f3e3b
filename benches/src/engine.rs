//! The engine alone: JSON records in memory to committed rows on disk, on one thread, without
//! Kafka and without an online store, beside a program that parses the needed fields and drops
//! them. Both run in this process, in turns, over the same bytes.
//!
//! Processor time is the whole process's: what RocksDB does in the background counts, and a run
//! ends when it is done. What is left for later, compacting everything, is told apart. Answers
//! of some customers are compared with a recount; a difference fails the measurement.

pub mod clock;
pub mod reading;
pub mod stream;
pub mod windows;

mod definitions;
mod machine;
mod parse;
mod recount;
mod report;
mod sink;
mod stages;

use crate::table::grouped;
use anyhow::{Context, Result, ensure};
use clap::Args;
use definitions::Views;
use machine::{Machine, Settings};
use reading::Reading;
use recount::Recount;
use report::Report;
use stages::{Stage, Stages};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stream::Stream;
use tiderace_aggregate::Row;
use tiderace_plan::Plan;
use tiderace_testkit::process::Usage;
use tiderace_types::{Generation, RowKey, Value, encode_key};

#[derive(Args)]
pub struct Arguments {
    /// How many events.
    #[arg(long, default_value_t = 16_000_000)]
    events: usize,
    /// The events' file, as `tiderace-bench stream` writes it; else they are made up in memory.
    #[arg(long)]
    file: Option<PathBuf>,
    /// How often all of the state is committed, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    commit_interval: u64,
    /// How many records are read at once.
    #[arg(long, default_value_t = stream::RECORDS)]
    batch: usize,
    /// How many batches are applied together, as a lane does that has a queue of them.
    #[arg(long, default_value_t = PACKETS)]
    together: usize,
    /// How often everything is measured; the tables have medians.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Which contenders run.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "one,three,sum,distinct,top,top-by-sum"
    )]
    views: Vec<Views>,
    /// Also encodes what would be published, and drops it.
    #[arg(long)]
    publish: bool,
    /// Tells where the time goes.
    #[arg(long)]
    stages: bool,
}

/// One run of one contender.
#[derive(Clone, Debug, Default)]
struct Run {
    seconds: f64,
    processor: f64,
    /// Of it, the measured thread's.
    thread: f64,
    /// Processor time of compacting everything afterwards.
    compaction: f64,
    commits: f64,
    rows: f64,
    state: f64,
    published: f64,
    stages: Stages,
    readings: Vec<Reading>,
}

/// How many batches a lane applies together where events come as fast as they are taken.
const PACKETS: usize = 8;

const WINDOW: tiderace_types::Duration = tiderace_types::Duration::from_secs(600);

/// A customer of whom a window holds about 70 payments, and the one with the most.
const READ: [(&str, usize); 2] = [("sparse", 1417), ("dense", 0)];

pub fn run(arguments: &Arguments) -> Result<()> {
    let stream = match &arguments.file {
        Some(file) => Stream::read(file, arguments.events)?,
        None => Stream::made_up(arguments.events),
    };
    ensure!(
        stream.len() == arguments.events,
        "the file has too few events"
    );
    println!(
        "{} events of {:.0} bytes, {} keys an entity; windows of {WINDOW}; a commit every {} ms{}; {} rounds\n",
        grouped(stream.len() as f64),
        stream.size() as f64 / stream.len() as f64,
        grouped(stream::KEYS as f64),
        arguments.commit_interval,
        if arguments.publish {
            ", publications encoded and dropped"
        } else {
            ""
        },
        arguments.rounds,
    );
    let mut floors = [Vec::new(), Vec::new()];
    let mut runs = vec![Vec::new(); arguments.views.len()];
    for _ in 0..arguments.rounds {
        floors[0].push(floor(|| parse::narrow(&stream))?);
        floors[1].push(floor(|| parse::wide(&stream))?);
        for (views, runs) in arguments.views.iter().zip(&mut runs) {
            runs.push(measure(*views, &stream, arguments)?);
        }
    }
    let report = Report {
        views: &arguments.views,
        events: stream.len() as f64,
        floors,
        runs: &runs,
    };
    report.costs();
    if arguments.stages {
        report.stages();
    }
    report.readings();
    Ok(())
}

fn floor(parse: impl FnOnce() -> Result<()>) -> Result<Run> {
    let (before, began) = (processor()?, Instant::now());
    parse()?;
    Ok(Run {
        seconds: began.elapsed().as_secs_f64(),
        processor: processor()? - before,
        ..Run::default()
    })
}

fn measure(views: Views, stream: &Stream, arguments: &Arguments) -> Result<Run> {
    let folder = tempfile::tempdir()?;
    let plan = views.plan(WINDOW, tiderace_types::Duration::ZERO)?;
    let settings = Settings {
        commit_interval: Duration::from_millis(arguments.commit_interval),
        publish: arguments.publish,
        together: arguments.together,
        row_memory: plan.project.row_memory,
        whole_rows: false,
    };
    let mut machine = Machine::new(&plan, folder.path(), settings)?;
    let (before, thread, began) = (processor()?, clock::now()?, Instant::now());
    for range in stream.batches(arguments.batch) {
        let source = machine.source();
        let records = machine
            .stages
            .time(Stage::Read, || stream.batch(source, range));
        machine.take(records)?;
        machine.tend()?;
    }
    machine.commit()?;
    let seconds = began.elapsed().as_secs_f64();
    let thread = (clock::now()? - thread).as_secs_f64();
    let processor = quiet()? - before;
    let mut run = Run {
        seconds,
        processor,
        thread,
        commits: machine.commits as f64,
        rows: machine.lane.rows() as f64,
        published: machine.published as f64,
        stages: machine.stages,
        ..Run::default()
    };
    machine.state.compact().context("compact")?;
    run.compaction = quiet()? - before - processor;
    run.state = machine.state.size()? as f64;
    let every = stream.len() as u64 * plan.views.len() as u64;
    ensure!(
        machine.applied == every,
        "{} events were applied",
        machine.applied
    );
    run.readings = check(views, &plan, stream, &mut machine)?;
    Ok(run)
}

/// Compares some customers' answers with a recount, and reads the rows of two of them.
fn check(
    views: Views,
    plan: &Plan,
    stream: &Stream,
    machine: &mut Machine,
) -> Result<Vec<Reading>> {
    let places = (0..17).map(|power| (1 << power) - 1);
    let places: Vec<usize> = places.chain([READ[0].1]).collect();
    let view = plan
        .views
        .iter()
        .find(|view| view.entity.name == "customer");
    let view = view.context("there is a view of customers")?;
    let customer = |place: usize| stream::CUSTOMERS + place as i64;
    let key = |place: usize| -> Result<RowKey> {
        Ok(RowKey {
            view: view.id,
            generation: Generation(1),
            entity: encode_key(&[Value::Int(customer(place))])?,
        })
    };
    let keys: Vec<RowKey> = places
        .iter()
        .map(|place| key(*place))
        .collect::<Result<_>>()?;
    let as_of = machine.now();
    let rows = machine.rows(&keys)?;
    let customers: Vec<i64> = places.iter().map(|place| customer(*place)).collect();
    let recount = Recount::new(stream, &customers, WINDOW, as_of)?;
    for (key, customer) in keys.iter().zip(&customers) {
        let row = rows.iter().find(|row| row.key == *key);
        let row = match row {
            Some(row) => Row::decode(&row.value, &view.spec)?,
            None => Row::new(&view.spec),
        };
        recount.check(views, &view.spec, *customer, &row)?;
    }
    let mut readings = Vec::new();
    for (_, place) in READ {
        let key = key(place)?;
        let row = rows.iter().find(|row| row.key == key);
        let row = row.context("the customer has a row")?;
        readings.push(Reading::of(&row.value, &view.spec, as_of)?);
    }
    Ok(readings)
}

/// This process's processor time so far, in seconds.
fn processor() -> Result<f64> {
    Ok(Usage::of(std::process::id())?.processor.as_secs_f64())
}

/// Waits until nothing runs in the background any more; gives the processor time by then.
fn quiet() -> Result<f64> {
    let (mut seen, mut still) = (processor()?, 0);
    while still < 5 {
        std::thread::sleep(Duration::from_millis(50));
        let now = processor()?;
        still = if now > seen { 0 } else { still + 1 };
        seen = now;
    }
    Ok(seen)
}

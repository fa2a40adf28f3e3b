//! The engine alone: JSON records in memory to committed rows on disk, on one thread, without
//! Kafka and without an online store, beside a program that parses the needed fields and drops
//! them. Both run in this process, in turns, over the same bytes.
//!
//! Processor time is the whole process's: what RocksDB does in the background counts, and a run
//! ends when it is done. What is left for later, compacting everything, is told apart. Answers
//! of some customers are compared with a recount; a difference fails the measurement.

pub mod stream;
pub mod windows;

mod clock;
mod definitions;
mod machine;
mod parse;
mod reading;
mod recount;
mod sink;
mod stages;

use crate::table::{self, grouped, median};
use anyhow::{Context, Result, ensure};
use clap::Args;
use definitions::Views;
use machine::{Machine, Settings};
use reading::Reading;
use recount::Recount;
use stages::{STAGES, Stage, Stages};
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
    #[arg(long, default_value_t = 4_000_000)]
    events: usize,
    /// The events' file, as `tiderace-bench stream` writes it; else they are made up in memory.
    #[arg(long)]
    file: Option<PathBuf>,
    /// How often state is committed, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    commit_interval: u64,
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
    /// Processor time of compacting everything afterwards.
    compaction: f64,
    commits: f64,
    rows: f64,
    state: f64,
    published: f64,
    stages: Stages,
    readings: Vec<Reading>,
}

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
    let floors = floors.map(|floors| middle(&floors));
    costs(arguments, &stream, &floors, &runs);
    if arguments.stages {
        breakdown(arguments, &stream, &runs);
    }
    readings(arguments, &runs);
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
        row_memory: plan.project.row_memory,
        whole_rows: false,
    };
    let mut machine = Machine::new(&plan, folder.path(), settings)?;
    let (before, began) = (processor()?, Instant::now());
    for range in stream.batches() {
        let source = machine.source();
        let records = machine
            .stages
            .time(Stage::Read, || stream.batch(source, range));
        machine.take(records)?;
        machine.tend()?;
    }
    machine.commit()?;
    let seconds = began.elapsed().as_secs_f64();
    let processor = quiet()? - before;
    let mut run = Run {
        seconds,
        processor,
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

fn of(runs: &[Run], field: impl Fn(&Run) -> f64) -> f64 {
    median(runs.iter().map(field).collect())
}

fn middle(runs: &[Run]) -> Run {
    Run {
        seconds: of(runs, |run| run.seconds),
        processor: of(runs, |run| run.processor),
        ..Run::default()
    }
}

fn costs(arguments: &Arguments, stream: &Stream, floors: &[Run; 2], runs: &[Vec<Run>]) {
    let events = stream.len() as f64;
    table::head(&[
        "",
        "events/CPU-s",
        "of the floor",
        "µs of CPU an event",
        "of them in the background",
        "compacting all of it",
        "of the sum",
        "seconds",
        "commits",
        "rows",
        "state: an event",
        "published: an event",
    ]);
    for (name, run) in ["floor: four fields", "floor: six fields"]
        .iter()
        .zip(floors)
    {
        let mut cells = vec![
            (*name).to_owned(),
            grouped(events / run.processor),
            "1.00".to_owned(),
            format!("{:.3}", run.processor * 1e6 / events),
        ];
        cells.resize(12, String::new());
        cells[7] = format!("{:.1}", run.seconds);
        table::row(&cells);
    }
    let sum = arguments
        .views
        .iter()
        .position(|views| *views == Views::Sum);
    let sum = sum.map(|place| of(&runs[place], |run| run.processor));
    for (views, runs) in arguments.views.iter().zip(runs) {
        let floor = &floors[usize::from(views.is_wide())];
        let of = |field: fn(&Run) -> f64| of(runs, field);
        let processor = of(|run| run.processor);
        let each = |seconds: f64| format!("{:.3}", seconds * 1e6 / events);
        table::row(&[
            views.describe().to_owned(),
            grouped(events / processor),
            format!("{:.2}", floor.processor / processor),
            each(processor),
            each(of(|run| (run.processor - run.seconds).max(0.0))),
            each(of(|run| run.compaction)),
            sum.map_or(String::new(), |sum| format!("{:.2}", processor / sum)),
            format!("{:.1}", of(|run| run.seconds)),
            grouped(of(|run| run.commits)),
            grouped(of(|run| run.rows)),
            format!("{:.1} B", of(|run| run.state) / events),
            format!("{:.1} B", of(|run| run.published) / events),
        ]);
    }
}

/// The thread's stages, by the wall clock.
fn breakdown(arguments: &Arguments, stream: &Stream, runs: &[Vec<Run>]) {
    println!("\nµs of the thread's wall clock an event:\n");
    let names = STAGES.iter().map(|(_, name)| *name);
    let columns: Vec<&str> = std::iter::once("").chain(names).collect();
    table::head(&columns);
    for (views, runs) in arguments.views.iter().zip(runs) {
        let cells = STAGES.iter().map(|(stage, _)| {
            let seconds = of(runs, |run| run.stages.of(*stage).as_secs_f64());
            format!("{:.3}", seconds * 1e6 / stream.len() as f64)
        });
        let name = std::iter::once(views.describe().to_owned());
        table::row(&name.chain(cells).collect::<Vec<_>>());
    }
}

fn readings(arguments: &Arguments, runs: &[Vec<Run>]) {
    println!("\nReading an online row of a customer:\n");
    table::head(&["", "row", "decode", "finish", "both", "of the sum"]);
    let both = |runs: &[Run], place: usize| {
        of(runs, |run| {
            run.readings[place].decode + run.readings[place].finish
        })
    };
    let sum = arguments
        .views
        .iter()
        .position(|views| *views == Views::Sum);
    for (views, own) in arguments.views.iter().zip(runs) {
        for (place, (name, _)) in READ.iter().enumerate() {
            let of = |field: fn(&Reading) -> f64| of(own, |run| field(&run.readings[place]));
            let micros = |seconds: f64| format!("{:.2} µs", seconds * 1e6);
            let total = both(own, place);
            table::row(&[
                format!("{}, {name}", views.describe()),
                format!("{} B", grouped(of(|reading| reading.bytes as f64))),
                micros(of(|reading| reading.decode)),
                micros(of(|reading| reading.finish)),
                micros(total),
                sum.map_or(String::new(), |sum| {
                    format!("{:.2}", total / both(&runs[sum], place))
                }),
            ]);
        }
    }
}

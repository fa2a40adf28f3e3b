//! Events per second and per processor-second of the measured process, from its start until
//! everything is committed and its publication acknowledged.
//!
//! The end is told by the answers: every lane declares a lag shorter than the time since the
//! start, so that all that the topic held is published; a commit interval later all of it is
//! committed too, and only then clock and processor time are read. So the seconds are up to a
//! commit interval and 0.2 s (markers are written and read every 100 ms) too many. Start-up is
//! included.

use crate::answer::Asker;
use crate::child::Child;
use crate::cores::Cores;
use crate::payments;
use crate::project::{Project, Settings, TOPIC};
use crate::recount::Recount;
use crate::table::{self, grouped, median};
use anyhow::{Context, Result};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;

#[derive(Args)]
pub struct Arguments {
    /// How many events to make up.
    #[arg(long, default_value_t = 2_000_000)]
    events: usize,
    /// How many customers they are of.
    #[arg(long, default_value_t = 50_000)]
    customers: usize,
    /// How many terminals they are at.
    #[arg(long, default_value_t = 10_000)]
    terminals: usize,
    /// Over how many days.
    #[arg(long, default_value_t = 40)]
    days: i64,
    /// Real payments instead: a file that `tiderace replay` takes.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Threads that advance state.
    #[arg(long, default_value_t = 1)]
    lanes: usize,
    /// How often state is committed, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    commit_interval: u64,
    /// How often everything is measured; the table has medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Which contenders run.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "kafka-redis,kafka-embedded,embedded"
    )]
    contenders: Vec<Contender>,
    /// Lets every process use every core.
    #[arg(long)]
    shared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Contender {
    /// The topic into Redis.
    KafkaRedis,
    /// The topic into the embedded store.
    KafkaEmbedded,
    /// The embedded log into the embedded store.
    Embedded,
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Contender::KafkaRedis => "Kafka → state → Redis",
            Contender::KafkaEmbedded => "Kafka → state → embedded store",
            Contender::Embedded => "embedded log → state → embedded store",
        }
    }
}

/// What is read.
struct Input {
    file: PathBuf,
    recount: Recount,
}

/// One run.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    seconds: f64,
    processor: f64,
    redis: f64,
    peak: f64,
}

/// Nothing may take longer than this.
const WITHIN: Duration = Duration::from_mins(3);

pub fn run(arguments: &Arguments) -> Result<()> {
    let cores = Cores::divide(arguments.shared)?;
    let kafka = Kafka::start_for_load(1)?;
    kafka.create_topic(TOPIC, 4)?;
    let folder = tempfile::tempdir()?;
    let input = match &arguments.file {
        Some(file) => Input {
            file: file.clone(),
            recount: Recount::default(),
        },
        None => made_up(arguments, folder.path())?,
    };
    let settings = Settings {
        kafka: Some(kafka.bootstrap()),
        ..Settings::default()
    };
    let events = Project::new(&settings)?.replay(&input.file)?;
    println!(
        "{} events, 4 partitions, {} lane(s), a commit every {} ms, {} rounds; {}\n",
        grouped(events as f64),
        arguments.lanes,
        arguments.commit_interval,
        arguments.rounds,
        cores.describe()
    );
    let mut floors = Vec::new();
    let mut runs = vec![Vec::new(); arguments.contenders.len()];
    for _ in 0..arguments.rounds {
        floors.push(floor(&kafka, events, &cores)?);
        for (contender, runs) in arguments.contenders.iter().zip(&mut runs) {
            runs.push(measure(*contender, &kafka, &input, arguments, &cores)?);
        }
    }
    let events = events as f64;
    let floor = middle(&floors);
    table::head(&[
        "",
        "events/s",
        "of the floor",
        "events/CPU-s",
        "of the floor",
        "µs of CPU an event",
        "Redis: CPU-s",
        "peak memory",
        "seconds of each round",
    ]);
    print("floor: parse and drop", events, &floors, floor);
    for (contender, runs) in arguments.contenders.iter().zip(&runs) {
        print(contender.name(), events, runs, floor);
    }
    if let Some(runs) = runs.first() {
        println!(
            "\nhalf of the maximum: {:.0}",
            events / middle(runs).seconds / 2.0
        );
    }
    Ok(())
}

fn made_up(arguments: &Arguments, folder: &Path) -> Result<Input> {
    let file = folder.join("payments.jsonl");
    let town = payments::town(
        arguments.events,
        arguments.customers,
        arguments.terminals,
        arguments.days,
    );
    let mut recount = Recount::at(payments::now());
    let counted = town
        .take(arguments.events)
        .inspect(|payment| recount.add(payment));
    let bytes = payments::write(&file, counted)?;
    println!(
        "made up: {} customers, {} terminals, {} days, {} bytes an event",
        grouped(arguments.customers as f64),
        grouped(arguments.terminals as f64),
        arguments.days,
        bytes / arguments.events.max(1) as u64
    );
    Ok(Input { file, recount })
}

fn floor(kafka: &Kafka, events: u64, cores: &Cores) -> Result<Run> {
    let (brokers, events) = (kafka.bootstrap(), events.to_string());
    let child = Child::start(
        cores,
        &["floor", "--brokers", &brokers, "--events", &events],
    )?;
    let printed = child.line(WITHIN)?;
    let numbers = printed.split_whitespace().map(str::parse);
    let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
    Ok(Run {
        seconds: numbers[1],
        processor: numbers[2],
        ..Run::default()
    })
}

fn measure(
    contender: Contender,
    kafka: &Kafka,
    input: &Input,
    arguments: &Arguments,
    cores: &Cores,
) -> Result<Run> {
    let redis = match contender {
        Contender::KafkaRedis => Some(Redis::start()?),
        _ => None,
    };
    let project = Project::new(&Settings {
        kafka: (contender != Contender::Embedded).then(|| kafka.bootstrap()),
        redis: redis.as_ref().map(Redis::url),
        lanes: arguments.lanes,
        commit_interval: Some(format!("{}ms", arguments.commit_interval)),
        ..Settings::default()
    })?;
    if contender == Contender::Embedded {
        project.replay(&input.file)?;
    }
    let before = redis_processor(redis.as_ref())?;
    let began = Instant::now();
    let mut server = project.launch(cores)?;
    let mut asker = Asker::new(&server.grpc_url())?;
    asker.wait_caught_up(&mut server, began, WITHIN)?;
    std::thread::sleep(Duration::from_millis(arguments.commit_interval));
    let seconds = began.elapsed().as_secs_f64();
    let usage = server.usage()?;
    input.recount.check(&mut asker)?;
    // A connection that nobody drives would keep the server waiting for it.
    drop(asker);
    let run = Run {
        seconds,
        processor: usage.processor.as_secs_f64(),
        redis: redis_processor(redis.as_ref())? - before,
        peak: usage.peak as f64,
    };
    server.stop()?;
    Ok(run)
}

fn redis_processor(redis: Option<&Redis>) -> Result<f64> {
    let Some(redis) = redis else {
        return Ok(0.0);
    };
    let process = redis.process().context("redis runs")?;
    Ok(process.usage()?.processor.as_secs_f64())
}

fn middle(runs: &[Run]) -> Run {
    let of = |field: fn(&Run) -> f64| median(runs.iter().map(field).collect());
    Run {
        seconds: of(|run| run.seconds),
        processor: of(|run| run.processor),
        redis: of(|run| run.redis),
        peak: of(|run| run.peak),
    }
}

fn print(what: &str, events: f64, runs: &[Run], floor: Run) {
    let run = middle(runs);
    let rounds: Vec<String> = runs
        .iter()
        .map(|run| format!("{:.1}", run.seconds))
        .collect();
    table::row(&[
        what.to_owned(),
        grouped(events / run.seconds),
        format!("{:.2}", floor.seconds / run.seconds),
        grouped(events / run.processor),
        format!("{:.2}", floor.processor / run.processor),
        format!("{:.2}", run.processor * 1e6 / events),
        format!("{:.1}", run.redis),
        format!("{:.0} MiB", run.peak / f64::from(1 << 20)),
        rounds.join(", "),
    ]);
}

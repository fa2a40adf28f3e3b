//! Events per second and per processor-second, from Kafka to committed state and online store,
//! for the example's features; beside the floor on the same topic, in the same run.

use anyhow::{Context, Result};
use clap::Parser;
use std::time::{Duration, Instant};
use tiderace_benches::latency::grouped;
use tiderace_benches::{children, scene};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;
use tiderace_tests::ask::Asker;
use tiderace_tests::project::{Settings, TOPIC};

#[derive(Parser)]
struct Arguments {
    /// How many events.
    #[arg(long, default_value_t = 1_000_000)]
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
    /// Threads that advance state.
    #[arg(long, default_value_t = 1)]
    lanes: usize,
}

/// One line of the table.
struct Line {
    what: String,
    seconds: f64,
    processor: f64,
    redis_processor: f64,
    peak: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let kafka = Kafka::start(1)?;
    kafka.create_topic(TOPIC, 4)?;
    let payments = scene::payments(
        arguments.events,
        arguments.customers,
        arguments.terminals,
        arguments.days,
    );
    scene::produce(&kafka.bootstrap(), payments.take(arguments.events))?;
    let lines = [
        floor(&kafka, arguments.events)?,
        tiderace(&kafka, true, &arguments)?,
        tiderace(&kafka, false, &arguments)?,
        floor(&kafka, arguments.events)?,
    ];
    println!(
        "{} events of {} customers at {} terminals over {} days, {} lanes\n",
        grouped(arguments.events as u64),
        grouped(arguments.customers as u64),
        grouped(arguments.terminals as u64),
        arguments.days,
        arguments.lanes
    );
    println!("| | events/s | events/CPU-s | CPU-s of Redis | peak memory | seconds |");
    println!("|---|---|---|---|---|---|");
    for line in lines {
        line.print(arguments.events as f64);
    }
    Ok(())
}

impl Line {
    fn print(&self, events: f64) {
        println!(
            "| {} | {} | {} | {:.1} | {} MiB | {:.1} |",
            self.what,
            grouped((events / self.seconds) as u64),
            grouped((events / self.processor) as u64),
            self.redis_processor,
            self.peak >> 20,
            self.seconds
        );
    }
}

fn floor(kafka: &Kafka, events: usize) -> Result<Line> {
    let output = children::command("floor")?
        .args([
            "--brokers",
            &kafka.bootstrap(),
            "--events",
            &events.to_string(),
        ])
        .output()
        .context("run floor")?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = printed
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(Line {
        what: "floor: parse and drop".to_owned(),
        seconds: numbers[1],
        processor: numbers[2],
        redis_processor: 0.0,
        peak: 0,
    })
}

fn tiderace(kafka: &Kafka, with_redis: bool, arguments: &Arguments) -> Result<Line> {
    let redis = if with_redis {
        Some(Redis::start()?)
    } else {
        None
    };
    let redis_processor = || -> Result<Duration> {
        match redis.as_ref().and_then(Redis::process) {
            Some(process) => Ok(process.usage()?.processor),
            None => Ok(Duration::ZERO),
        }
    };
    let project = scene::project(&Settings {
        kafka: Some(kafka.bootstrap()),
        redis: redis.as_ref().map(Redis::url),
        lanes: arguments.lanes,
        ..Settings::default()
    })?;
    let redis_before = redis_processor()?;
    let began = Instant::now();
    let mut server = project.launch()?;
    server.wait_ready()?;
    let asker = Asker::new(&server.grpc_url())?;
    asker.wait_caught_up_in(&["spend", "risk"])?;
    let seconds = began.elapsed().as_secs_f64();
    let usage = server.usage()?;
    let line = Line {
        what: format!(
            "tiderace, {} online store",
            if with_redis { "Redis as" } else { "embedded" }
        ),
        seconds,
        processor: usage.processor.as_secs_f64(),
        redis_processor: redis_processor()?
            .saturating_sub(redis_before)
            .as_secs_f64(),
        peak: usage.peak,
    };
    server.stop()?;
    Ok(line)
}

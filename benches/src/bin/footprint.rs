//! Bytes per event and per entity, in RocksDB and in Redis, at 10, 60 and 500 events an entity;
//! and the memory of the process.

use anyhow::{Context, Result};
use clap::Parser;
use std::path::Path;
use tiderace_benches::latency::grouped;
use tiderace_benches::scene;
use tiderace_testkit::generate::Payment;
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;
use tiderace_tests::ask::Asker;
use tiderace_tests::project::{Settings, TOPIC};

#[derive(Parser)]
struct Arguments {
    /// How many events in all.
    #[arg(long, default_value_t = 300_000)]
    events: usize,
    /// How many events an entity has.
    #[arg(long, value_delimiter = ',', default_value = "10,60,500")]
    per_entity: Vec<usize>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!(
        "| events an entity | entities | RocksDB: bytes an event | an entity | Redis: bytes an event | an entity | memory |"
    );
    println!("|---|---|---|---|---|---|---|");
    for per_entity in &arguments.per_entity {
        measure(arguments.events, *per_entity)?;
    }
    println!(
        "\nAn event is held twice: by its customer and by its terminal. Both views are counted."
    );
    Ok(())
}

fn measure(events: usize, per_entity: usize) -> Result<()> {
    let entities = events / per_entity;
    let kafka = Kafka::start(1)?;
    kafka.create_topic(TOPIC, 4)?;
    let redis = Redis::start()?;
    let empty = used_memory(&redis)?;
    let project = scene::project(&Settings {
        kafka: Some(kafka.bootstrap()),
        redis: Some(redis.url()),
        ..Settings::default()
    })?;
    let payments = scene::payments(events, entities, entities, 25).take(events);
    let spread = payments.enumerate().map(|(number, payment)| {
        // The same number of events for each customer and for each terminal.
        let round = number / entities;
        Payment {
            customer_id: (number % entities) as i64,
            terminal_id: ((number * 7 + round) % entities) as i64,
            ..payment
        }
    });
    scene::produce(&kafka.bootstrap(), spread)?;
    let server = project.run()?;
    Asker::new(&server.grpc_url())?.wait_caught_up_in(&["spend", "risk"])?;
    let resident = server.usage()?.resident;
    let in_redis = used_memory(&redis)?.saturating_sub(empty);
    server.stop()?;
    let in_rocks = size(&project.folder().join("state"))?;
    let per = |bytes: u64, count: usize| bytes as f64 / count as f64;
    println!(
        "| {per_entity} | 2 × {} | {:.1} | {:.0} | {:.1} | {:.0} | {} MiB |",
        grouped(entities as u64),
        per(in_rocks, 2 * events),
        per(in_rocks, 2 * entities),
        per(in_redis, 2 * events),
        per(in_redis, 2 * entities),
        resident >> 20
    );
    Ok(())
}

fn used_memory(redis: &Redis) -> Result<u64> {
    let info = redis.command(&["INFO", "memory"])?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    Ok(line.context("used_memory")?.trim().parse()?)
}

/// The bytes of all files in a folder.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            size(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}

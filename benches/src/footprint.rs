//! Bytes per event and per entity, in RocksDB (compacted) and in Redis, at 10, 60 and 500
//! events an entity; and the memory of the process.
//!
//! Every customer and every terminal has the same number of events, all within reach. An event
//! is held twice, by its customer and by its terminal: both rows are counted, an event as two.

use crate::answer::Asker;
use crate::cores::Cores;
use crate::payments;
use crate::project::{Project, Settings};
use crate::table::{self, grouped};
use anyhow::{Context, Result};
use clap::Args;
use std::path::Path;
use std::time::{Duration, Instant};
use tiderace_state::{Options, RocksStore};
use tiderace_testkit::redis::Redis;

#[derive(Args)]
pub struct Arguments {
    /// How many events in all.
    #[arg(long, default_value_t = 300_000)]
    events: usize,
    /// How many events an entity has.
    #[arg(long, value_delimiter = ',', default_value = "10,60,500")]
    per_entity: Vec<usize>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let cores = Cores::divide(false)?;
    println!(
        "{} events over 25 days; every event is in two rows\n",
        grouped(arguments.events as f64)
    );
    table::head(&[
        "events an entity",
        "rows",
        "RocksDB: an event",
        "a row",
        "Redis: an event",
        "a row",
        "resident",
        "at most",
    ]);
    for per_entity in &arguments.per_entity {
        measure(arguments.events, *per_entity, &cores)?;
    }
    Ok(())
}

fn measure(events: usize, per_entity: usize, cores: &Cores) -> Result<()> {
    let entities = events / per_entity;
    let redis = Redis::start()?;
    let empty = used_memory(&redis)?;
    let project = Project::new(&Settings {
        redis: Some(redis.url()),
        ..Settings::default()
    })?;
    let file = project.folder().join("payments.jsonl");
    payments::write(&file, payments::evenly(events, entities))?;
    project.replay(&file)?;
    let began = Instant::now();
    let mut server = project.launch(cores)?;
    let mut asker = Asker::new(&server.grpc_url())?;
    asker.wait_caught_up(&mut server, began, Duration::from_mins(3))?;
    let usage = server.usage()?;
    let in_redis = used_memory(&redis)?.saturating_sub(empty);
    // A connection that nobody drives would keep the server waiting for it.
    drop(asker);
    server.stop()?;
    let in_rocks = compacted(&project.folder().join("state").join("rows"))?;
    let (held, rows) = ((2 * events) as f64, (2 * entities) as f64);
    let mebibytes = |bytes: u64| format!("{} MiB", bytes >> 20);
    table::row(&[
        per_entity.to_string(),
        grouped(rows),
        format!("{:.1} B", in_rocks as f64 / held),
        format!("{} B", grouped(in_rocks as f64 / rows)),
        format!("{:.1} B", in_redis as f64 / held),
        format!("{} B", grouped(in_redis as f64 / rows)),
        mebibytes(usage.resident),
        mebibytes(usage.peak),
    ]);
    Ok(())
}

fn used_memory(redis: &Redis) -> Result<u64> {
    let info = redis.command(&["INFO", "memory"])?;
    let mut lines = info.lines();
    let used = lines.find_map(|line| line.strip_prefix("used_memory:"));
    Ok(used.context("used_memory")?.trim().parse()?)
}

/// Compacts a store that nobody has open, and measures its tables.
fn compacted(path: &Path) -> Result<u64> {
    let store = RocksStore::open(path, Options::default())?;
    store.compact()?;
    drop(store);
    let mut bytes = 0;
    for entry in std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|kind| kind == "sst") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

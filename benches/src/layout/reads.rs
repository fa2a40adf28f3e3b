//! Reading what a killed child left: how soon it is open again, and what rows cost.

use super::worker::Arguments;
use super::{Candidate, Events, Workload, blocks, keyed};
use crate::driven;
use anyhow::{Context, Result, ensure};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;
use tiderace_aggregate::Row;
use tiderace_engine::LaneView;
use tiderace_state::Store;

/// How many rows are read to be cold, and then warm.
const ROWS: usize = 2000;

enum Opened {
    Keyed(rocksdb::DB),
    Blocks(Store),
}

impl Opened {
    fn open(arguments: &Arguments) -> Result<Opened> {
        Ok(match arguments.candidate {
            Candidate::Keyed | Candidate::KeyedPublished => Opened::Keyed(keyed::open(arguments)?),
            _ => Opened::Blocks(blocks::open(arguments)?),
        })
    }

    fn read(&self, view: &LaneView, entity: u64) -> Result<Row> {
        match self {
            Opened::Keyed(db) => keyed::read(db, view, entity),
            Opened::Blocks(store) => blocks::read(store, view, entity),
        }
    }

    fn compact(&self) -> Result<()> {
        match self {
            Opened::Keyed(db) => {
                db.flush()?;
                let mut options = rocksdb::CompactOptions::default();
                options.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
                db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &options);
                Ok(())
            }
            Opened::Blocks(store) => Ok(store.compact()?),
        }
    }
}

/// Prints seconds to open and for the first 1,000 rows; of processor, per cold row and per warm
/// one; how many events a row has; bytes on disk.
pub fn run(arguments: &Arguments) -> Result<()> {
    let view = driven::view()?;
    let rows = match arguments.workload {
        Workload::Hot => 20,
        _ => ROWS,
    };
    // Of the first events, so that every entity is one that there is.
    let events = Events::new(arguments.workload, arguments.events);
    let entities: Vec<u64> = events.take(3 * rows).map(|event| event.entity).collect();
    let began = Instant::now();
    let opened = Opened::open(arguments)?;
    let open = began.elapsed().as_secs_f64();
    // Processor time an entity, and events an entity.
    let read = |entities: &[u64]| -> Result<(f64, f64)> {
        let began = processor()?;
        let mut events = 0;
        for entity in entities {
            events += black_box(opened.read(&view, *entity)?).events.len();
        }
        let few = entities.len() as f64;
        Ok(((processor()? - began) / few, events as f64 / few))
    };
    let began = Instant::now();
    read(&entities[..rows / 2])?;
    let first = began.elapsed().as_secs_f64();
    let (cold, events) = read(&entities[rows..2 * rows])?;
    let (warm, _) = read(&entities[rows..2 * rows])?;
    ensure!(events > 0.0, "rows are there");
    opened.compact()?;
    drop(opened);
    let size = tables(&arguments.folder)?;
    println!("{open} {first} {cold} {warm} {events} {size}");
    Ok(())
}

/// The seconds that this thread has run: it is the first one, and reads by itself.
fn processor() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e9)
}

/// The bytes of all tables.
fn tables(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).context("list the state's folder")? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|kind| kind == "sst") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

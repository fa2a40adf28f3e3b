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

/// Prints seconds to open, for the first 1,000 rows, per cold row, per warm row, and bytes on disk.
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
    let read = |entities: &[u64]| -> Result<(f64, usize)> {
        let began = Instant::now();
        let mut events = 0;
        for entity in entities {
            events += black_box(opened.read(&view, *entity)?).events.len();
        }
        Ok((began.elapsed().as_secs_f64(), events))
    };
    let (first, found) = read(&entities[..rows / 2])?;
    let few = rows as f64;
    let (cold, again) = read(&entities[rows..2 * rows])?;
    let (warm, _) = read(&entities[rows..2 * rows])?;
    ensure!(found > 0 && again > 0, "rows are there");
    opened.compact()?;
    drop(opened);
    let size = tables(&arguments.folder)?;
    println!("{open} {first} {} {} {size}", cold / few, warm / few);
    Ok(())
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

//! Rows in a lane's memory, written behind as columnar blocks: what the product does.

use super::worker::Arguments;
use crate::driven::{Driven, Event, Feed, entity_key};
use anyhow::Result;
use tiderace_aggregate::Row;
use tiderace_engine::LaneView;
use tiderace_state::{Options, RocksStore, Store};
use tiderace_types::{RowKey, ShardRange};

pub struct Blocks {
    driven: Driven,
    feed: Feed,
    publish: bool,
}

impl Blocks {
    pub fn open(arguments: &Arguments, view: &LaneView, publish: bool) -> Result<Blocks> {
        let state = open(arguments)?;
        let memory = arguments.row_memory_mib << 20;
        Ok(Blocks {
            driven: Driven::new(view, state, ShardRange::ALL, memory)?,
            feed: Feed::new(view),
            publish,
        })
    }

    pub fn apply(&mut self, events: &[Event]) -> Result<()> {
        self.driven.apply(&self.feed.packet(events))
    }

    pub fn commit(&mut self) -> Result<()> {
        self.driven.commit()?;
        if self.publish {
            self.driven.publish()?;
        }
        Ok(())
    }
}

/// Opens the state.
pub fn open(arguments: &Arguments) -> Result<Store> {
    let options = Options {
        memory_bytes: arguments.memory_mib << 20,
        ..Options::default()
    };
    Ok(RocksStore::open(&arguments.folder, options)?)
}

/// Reads one row.
pub fn read(store: &Store, view: &LaneView, entity: u64) -> Result<Row> {
    let key = RowKey {
        view: view.view.id,
        generation: view.generation,
        entity: entity_key(entity).into(),
    };
    let spec = &view.view.spec;
    let mut row = Row::new(spec);
    for block in store.load(&[key])?.into_iter().flatten() {
        row.merge(spec, Row::decode(&block.bytes, spec)?);
    }
    Ok(row)
}

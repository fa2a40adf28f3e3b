//! One key an event, written blindly: the layout that was not taken.
//!
//! `05, shard, view, generation, length, entity, time, id → filter bits, inputs`. A copy of an
//! event overwrites it with itself; that it was a copy, or a conflict, nobody learns.

use super::worker::Arguments;
use crate::driven::{Event, entity_key};
use anyhow::{Context, Result, ensure};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, ReadOptions, SliceTransform, WriteBatch,
    WriteBufferManager,
};
use std::collections::BTreeSet;
use tiderace_aggregate::{Cell, Event as Member, Id, Row, RowSpec};
use tiderace_engine::LaneView;
use tiderace_types::wire::{Reader, put_i64, put_u64};
use tiderace_types::{DataType, Shard, Timestamp, Version};

pub struct Keyed {
    db: DB,
    view: LaneView,
    batch: WriteBatch,
    touched: BTreeSet<u64>,
    publish: bool,
    seen: u64,
}

impl Keyed {
    pub fn open(arguments: &Arguments, view: &LaneView, publish: bool) -> Result<Keyed> {
        Ok(Keyed {
            db: open(arguments)?,
            view: view.clone(),
            batch: WriteBatch::default(),
            touched: BTreeSet::new(),
            publish,
            seen: 0,
        })
    }

    pub fn put(&mut self, events: &[Event]) {
        for event in events {
            let mut key = prefix(&self.view, event.entity);
            key.extend(ordered(event.time));
            key.extend(ordered(event.id));
            let mut value = Vec::with_capacity(12);
            put_u64(0, &mut value);
            put_i64(event.terminal, &mut value);
            put_i64((event.amount * 100.0).round() as i64, &mut value);
            self.batch.put(key, value);
            if self.publish {
                self.touched.insert(event.entity);
            }
        }
        self.seen += events.len() as u64;
    }

    pub fn commit(&mut self) -> Result<()> {
        let mut batch = std::mem::take(&mut self.batch);
        batch.put([3, 0, 255], self.seen.to_be_bytes());
        self.db.write(batch)?;
        for entity in std::mem::take(&mut self.touched) {
            let row = read(&self.db, &self.view, entity)?;
            std::hint::black_box(row.encode(&self.view.view.spec, Version::default()));
        }
        Ok(())
    }
}

/// Bytes in the order of the numbers.
fn ordered(number: i64) -> [u8; 8] {
    (number ^ i64::MIN).to_be_bytes()
}

fn prefix(view: &LaneView, entity: u64) -> Vec<u8> {
    let entity = entity_key(entity);
    let mut key = vec![5, Shard::of(&entity).0];
    key.extend(view.view.id.0.to_be_bytes());
    key.extend(view.generation.0.to_be_bytes());
    key.extend((entity.len() as u16).to_be_bytes());
    key.extend(entity);
    key
}

/// Opens it with the settings of the state store, memory included.
pub fn open(arguments: &Arguments) -> Result<DB> {
    let memory = arguments.memory_mib << 20;
    let cache = Cache::new_lru_cache(memory);
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&cache);
    table.set_block_size(16 << 10);
    table.set_bloom_filter(10.0, false);
    table.set_whole_key_filtering(false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    let row: fn(&[u8]) -> &[u8] = |key| &key[..key.len() - 16];
    let event: fn(&[u8]) -> bool = |key| key.first() == Some(&5) && key.len() > 28;
    options.set_prefix_extractor(SliceTransform::create("row", row, Some(event)));
    options.set_memtable_prefix_bloom_ratio(0.05);
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
        memory / 4,
        true,
        cache.clone(),
    ));
    options.set_write_buffer_size((memory / 8).min(64 << 20));
    options.set_max_write_buffer_number(4);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_max_background_jobs(2);
    DB::open(&options, &arguments.folder).context("open")
}

/// Reads one row.
pub fn read(db: &DB, view: &LaneView, entity: u64) -> Result<Row> {
    let spec = &view.view.spec;
    let prefix = prefix(view, entity);
    let mut options = ReadOptions::default();
    options.set_prefix_same_as_start(true);
    let mut iterator = db.raw_iterator_opt(options);
    iterator.seek([&prefix[..], &[0; 16]].concat());
    let mut row = Row::new(spec);
    while let Some((key, value)) = iterator.item() {
        let Some(place) = key.strip_prefix(&prefix[..]) else {
            break;
        };
        add(spec, &mut row, place, value)?;
        iterator.next();
    }
    iterator.status()?;
    Ok(row)
}

fn add(spec: &RowSpec, row: &mut Row, place: &[u8], value: &[u8]) -> Result<()> {
    let (time, id) = place.split_at_checked(8).context("a time and an id")?;
    let number =
        |bytes: &[u8]| -> Result<i64> { Ok(i64::from_be_bytes(bytes.try_into()?) ^ i64::MIN) };
    let mut reader = Reader::new(value);
    let (bits, terminal, cents) = (reader.u64()?, reader.i64()?, reader.i64()?);
    let cells = spec.inputs.iter().map(|input| match input {
        DataType::Float64 => Cell::Float(cents as f64 / 100.0),
        _ => Cell::Int(terminal),
    });
    let cells: Vec<Cell<'_>> = cells.collect();
    let member = Member {
        time: Timestamp(number(time)?),
        id: Id::Int(number(id)?),
        bits,
        inputs: &cells,
    };
    let offered = row.offer(spec, &member);
    ensure!(
        matches!(offered, tiderace_aggregate::Offer::Known(_)),
        "{offered:?}"
    );
    Ok(())
}

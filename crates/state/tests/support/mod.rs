//! What the tests of the state share: places to keep a store, and short ways to say things.

#![allow(dead_code, reason = "each test uses its part")]

use tempfile::TempDir;
use tiderace_state::{Block, Commit, MemoryStore, Options, RocksStore, Store, Write};
use tiderace_types::{
    Generation, Ledger, Partition, PartitionPosition, Positions, RowKey, ShardRange, SourceId,
    Timestamp, ViewId,
};

/// Where a store lives between its openings.
pub enum Place {
    Disk(TempDir),
    Memory,
}

impl Place {
    pub fn disk() -> Place {
        Place::Disk(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn open(&self) -> Store {
        match self {
            Place::Disk(folder) => open(folder.path()),
            Place::Memory => MemoryStore::new(),
        }
    }

    /// Closes the store as a restart does, and opens it again.
    pub fn reopen(&self, store: Store) -> Store {
        if let Store::Memory(memory) = &store {
            return memory.reopen();
        }
        drop(store);
        self.open()
    }
}

pub fn open(path: &std::path::Path) -> Store {
    RocksStore::open(path, small()).expect("open the store")
}

/// Options with so little memory that tests meet flushes and compactions.
pub fn small() -> Options {
    Options {
        memory_bytes: 8 << 20,
        sync_every_commit: false,
    }
}

/// Runs a test on an empty store of each kind.
pub fn on_each(test: fn(&Place, Store)) {
    for place in [Place::disk(), Place::Memory] {
        let store = place.open();
        test(&place, store);
    }
}

pub fn key(view: u32, entity: &[u8]) -> RowKey {
    RowKey {
        view: ViewId(view),
        generation: Generation(0),
        entity: entity.into(),
    }
}

pub fn positions(next: i64) -> Positions {
    let partition = Partition {
        source: SourceId(1),
        number: 0,
    };
    let position = PartitionPosition {
        next,
        clock: Timestamp(next * 10),
    };
    Positions([(partition, position)].into())
}

/// A commit of every shard that only writes rows.
pub fn rows(writes: Vec<Write>) -> Commit {
    Commit {
        lane: ShardRange::ALL,
        shards: ShardRange::ALL,
        writes,
        positions: Positions::default(),
        ledger: Ledger::default(),
        retire: Vec::new(),
        outbox: Vec::new(),
        segments: Vec::new(),
        outbox_done: None,
    }
}

pub fn append(key: &RowKey, block: &[u8]) -> Write {
    Write::Append {
        key: key.clone(),
        block: block.to_vec(),
    }
}

pub fn load(store: &Store, key: &RowKey) -> Vec<Block> {
    let mut found = store.load(std::slice::from_ref(key)).expect("load");
    found.pop().expect("one row was asked for")
}

pub fn bytes(blocks: &[Block]) -> Vec<&[u8]> {
    blocks.iter().map(|block| &block.bytes[..]).collect()
}

/// A small generator of numbers, so that a failing seed can be pasted.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

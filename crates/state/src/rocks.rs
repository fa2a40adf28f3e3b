//! The store on disk: one RocksDB with one bounded memory.
//!
//! The block cache holds blocks, indexes and filters, and the memtables are
//! charged to it, so that [`Options::memory_bytes`] is what the whole store aims
//! to stay under (the blocks that iterators hold at one moment may exceed it).
//! Past its memtables' share, writers wait for the flush: backpressure, not growth.

use crate::error::Kind;
use crate::key::{self, Debt, Table};
use crate::opening::Opening;
use crate::store::Visit;
use crate::write::{Durability, Op};
use crate::{Block, Error, Store, codec};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, CompactOptions, DB, DBCompressionType,
    DBRawIterator, DBRecoveryMode, LogLevel, ReadOptions, SliceTransform, WriteBatch,
    WriteBufferManager, WriteOptions, properties,
};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tiderace_durable::failpoint::{self, Step};
use tiderace_durable::folder;
use tiderace_durable::links::{self, Hole, Links, Stored};
use tiderace_durable::logs;
use tiderace_durable::reopen::Reopened;

/// The layout this binary reads and writes.
const FORMAT: u64 = 1;

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What caches, filters and memtables may take together; at least 8 MiB is used.
    pub memory_bytes: usize,
    /// Whether every commit waits for the disk. Without it a commit survives the
    /// process but may be lost with the power, together with all that follow it.
    pub sync_every_commit: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            memory_bytes: 256 << 20,
            sync_every_commit: false,
        }
    }
}

/// What a store holds in memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Memory {
    /// The block cache: blocks, indexes, filters, and the memtables charged to it.
    pub cache: u64,
    /// The part of it that cannot be evicted now.
    pub pinned: u64,
    /// The memtables.
    pub memtables: u64,
    /// What table readers hold outside the cache.
    pub readers: u64,
}

/// A store on disk. A handle: clones share one database.
#[derive(Clone)]
pub struct RocksStore(Arc<Inner>);

struct Inner {
    db: Reopened<DB, Error>,
    links: Arc<Links>,
    cache: Cache,
    path: PathBuf,
    commit_durability: Durability,
    opening: Opening,
}

impl fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RocksStore").field(&self.0.path).finish()
    }
}

impl RocksStore {
    /// Opens or makes the store in the folder `path`, raises its epoch and makes that durable.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the folder holds something else, is of a newer format or is
    /// open elsewhere; [`Kind::Corrupt`] when it is damaged.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Store, Error> {
        let path = path.as_ref();
        check_folder(path)?;
        let cache = Cache::new_lru_cache(options.memory_bytes.max(MEMORY_LEAST));
        let injected = |cause| Error::injected("open state", &cause);
        let db = failpoint::around(Step::StateOpen, injected, || {
            open_db(path, options.memory_bytes, &cache)
        })?;
        let links = read_links(&db, path)?;
        let links = Links::new(&links).map_err(|hole| damaged(path, hole))?;
        let debts = debts(&db)?;
        let opening = Opening::new(raise_epoch(&db, &links, path)?, debts);
        let commit_durability = match options.sync_every_commit {
            true => Durability::Disk,
            false => Durability::Process,
        };
        let links = Arc::new(links);
        let again = {
            let (path, cache, links) = (path.to_owned(), cache.clone(), Arc::clone(&links));
            move || {
                let db = open_db(&path, options.memory_bytes, &cache)?;
                let found = read_links(&db, &path)?;
                let checked = links.check(&found);
                checked.map_err(|hole| damaged(&path, hole))?;
                Ok(db)
            }
        };
        Ok(Store::Rocks(RocksStore(Arc::new(Inner {
            db: Reopened::new(path.to_owned(), db, again),
            links,
            cache,
            path: path.to_owned(),
            commit_durability,
            opening,
        }))))
    }

    pub(crate) fn opening(&self) -> &Opening {
        &self.0.opening
    }

    pub(crate) fn commit_durability(&self) -> Durability {
        self.0.commit_durability
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let read = self.0.db.get()?.get(key);
        read.map_err(|error| self.error("read", &error))
    }

    pub(crate) fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let read = self.0.db.get()?.multi_get(keys).into_iter();
        read.map(|found| found.map_err(|error| self.error("read", &error)))
            .collect()
    }

    pub(crate) fn write(&self, ops: &mut [Op], durability: Durability) -> Result<(), Error> {
        self.0.db.write(|db| {
            let written = write(db, &self.0.links, ops, durability);
            written.map_err(|error| self.error("write", &error))
        })
    }

    /// Reads the blocks of each row; `rows` are the prefixes of their keys.
    pub(crate) fn rows(&self, rows: &[Vec<u8>]) -> Result<Vec<Vec<Block>>, Error> {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_unstable_by_key(|i| &rows[*i]);
        let mut read = ReadOptions::default();
        read.set_prefix_same_as_start(true);
        let db = self.0.db.get()?;
        let mut iterator = db.raw_iterator_opt(read);
        let mut found = vec![Vec::new(); rows.len()];
        for i in order {
            found[i] = self.blocks(&mut iterator, &rows[i])?;
        }
        Ok(found)
    }

    fn blocks(&self, iterator: &mut DBRawIterator<'_>, row: &[u8]) -> Result<Vec<Block>, Error> {
        let mut blocks = Vec::new();
        iterator.seek(key::block(row, 0));
        while let Some((key, bytes)) = iterator.item() {
            let (held, seq) = key::split_block(key)?;
            if held != row {
                break;
            }
            blocks.push(Block {
                seq,
                bytes: bytes.to_vec(),
            });
            iterator.next();
        }
        iterator
            .status()
            .map_err(|error| self.error("read a row", &error))?;
        Ok(blocks)
    }

    pub(crate) fn visit(&self, range: Range<Vec<u8>>, visit: &mut Visit<'_>) -> Result<(), Error> {
        let mut read = ReadOptions::default();
        read.set_total_order_seek(true);
        read.fill_cache(false);
        read.set_iterate_upper_bound(range.end);
        let db = self.0.db.get()?;
        let mut iterator = db.raw_iterator_opt(read);
        iterator.seek(range.start);
        while let Some((key, value)) = iterator.item() {
            if visit(key, value)?.is_break() {
                return Ok(());
            }
            iterator.next();
        }
        iterator
            .status()
            .map_err(|error| self.error("scan", &error))
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.0.db.write(|db| {
            let synced = db.flush_wal(true);
            synced.map_err(|error| self.error("sync", &error))
        })
    }

    pub(crate) fn compact(&self) -> Result<(), Error> {
        let db = self.0.db.get()?;
        let flushed = db.flush();
        flushed.map_err(|error| self.error("flush", &error))?;
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
        db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &options);
        Ok(())
    }

    pub(crate) fn compact_range(&self, range: &Range<Vec<u8>>) {
        let mut options = CompactOptions::default();
        // Lanes write meanwhile; the compactions that this calls for must not wait for it.
        options.set_exclusive_manual_compaction(false);
        // It is an offer: where the database cannot be opened, those who need it say so.
        if let Ok(db) = self.0.db.get() {
            db.compact_range_opt(Some(&range.start), Some(&range.end), &options);
        }
    }

    pub(crate) fn size(&self) -> Result<u64, Error> {
        let folder = |error: std::io::Error| {
            let path = self.0.path.display();
            Error::new(Kind::Retry, format!("state {path}: read folder: {error}"))
        };
        let mut total = 0;
        for entry in std::fs::read_dir(&self.0.path).map_err(folder)? {
            // A file may go between its listing and its measuring: compaction deletes them.
            total += entry
                .map_err(folder)?
                .metadata()
                .map_or(0, |data| data.len());
        }
        Ok(total)
    }

    pub(crate) fn memory(&self) -> Result<Memory, Error> {
        let db = self.0.db.get()?;
        let property = |name| {
            let read = db.property_int_value(name);
            read.map(Option::unwrap_or_default)
                .map_err(|error| self.error("measure", &error))
        };
        Ok(Memory {
            cache: self.0.cache.get_usage() as u64,
            pinned: self.0.cache.get_pinned_usage() as u64,
            memtables: property(properties::CUR_SIZE_ALL_MEM_TABLES)?,
            readers: property(properties::ESTIMATE_TABLE_READERS_MEM)?,
        })
    }

    fn error(&self, verb: &str, error: &rocksdb::Error) -> Error {
        Error::rocks(&format!("state {}: {verb}", self.0.path.display()), error)
    }
}

const MEMORY_LEAST: usize = 8 << 20;

/// What a compaction reads ahead of each file.
const READAHEAD: usize = 256 << 10;

/// How much of a file is written before the disk is told to take it.
const WRITTEN_BEHIND: u64 = 1 << 20;

/// How long a file may stay above the bottom level untouched.
const SINKING_SECONDS: u64 = 24 * 3600;

fn db_options(path: &Path, memory_bytes: usize, cache: &Cache) -> rocksdb::Options {
    let memory = memory_bytes.max(MEMORY_LEAST);
    let memtables = memory / 4;
    let jobs = std::thread::available_parallelism().map_or(2, usize::from);

    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    table.set_bloom_filter(10.0, false);
    // Rows are looked for by prefix only; see the crate's essay.
    table.set_whole_key_filtering(false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // In parts of a few KiB: a shard of a small cache holds half a MiB, and the filter of half a
    // million rows, in one piece, would never fit and be read again for every row.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(4 << 10);
    table.set_pin_top_level_index_and_filter(true);

    let mut options = rocksdb::Options::default()
        .get_options_from_string(links::log_options(path))
        .expect("the option is known");
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_prefix_extractor(SliceTransform::create(
        "tiderace.row.1",
        row_prefix,
        Some(key::is_block),
    ));
    options.set_memtable_prefix_bloom_ratio(0.05);
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
        memtables,
        true,
        cache.clone(),
    ));
    options.set_write_buffer_size((memtables / 2).min(64 << 20));
    options.set_max_write_buffer_number(4);
    // What has just come is soon written again.
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_compression_per_level(&[DBCompressionType::None, DBCompressionType::Lz4]);
    // Each merge with the level below writes all of that anew: the more at once, the less an event.
    options.set_level_zero_file_num_compaction_trigger(8);
    // What is idle sinks to the bottom, and meets what it deletes there.
    options.set_ttl(SINKING_SECONDS);
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // A list of files that has lost its end may name a log that is gone by now: that is damage, and not
    // an older state. It knows synced logs only; links tell of the others.
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_open_files(512);
    options.set_max_background_jobs(i32::try_from(jobs.clamp(2, 4)).unwrap_or(2));
    // A compaction has a buffer of this size for each file that it reads: they are not charged to
    // the cache, and where level 0 is long there are many.
    options.set_compaction_readahead_size(READAHEAD);
    // What is written goes to the disk by and by: under a hard limit of memory, pages that wait
    // to be written are what everything else waits for.
    options.set_bytes_per_sync(WRITTEN_BEHIND);
    options.set_wal_bytes_per_sync(WRITTEN_BEHIND);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(4);
    options
}

/// What the bloom filters hold of a block's key: all but its number.
fn row_prefix(key: &[u8]) -> &[u8] {
    &key[..key.len() - key::SEQ]
}

fn write(
    db: &DB,
    links: &Links,
    ops: &mut [Op],
    durability: Durability,
) -> Result<(), rocksdb::Error> {
    // In the order of their keys each finds its place in the memtable beside the last one's.
    // What is done to one key keeps its order.
    ops.sort_by(|a, b| a.key().cmp(b.key()));
    let mut batch = WriteBatch::with_capacity_bytes(ops.iter().map(Op::size).sum());
    for op in ops {
        match op {
            Op::Put(key, value) => batch.put(key, value),
            Op::Delete(key) => batch.delete(key),
            Op::DeleteOnce(key) => batch.single_delete(key),
            Op::DeleteRange(from, to) => batch.delete_range(from, to),
        }
    }
    let mut options = WriteOptions::default();
    options.set_sync(durability == Durability::Disk);
    links.write(|link| {
        batch.put(key::link(&link.put), &link.value);
        batch.delete(key::link(&link.delete));
        db.write_opt(batch, &options)
    })
}

/// Every link that is stored: its name and its value.
fn read_links(db: &DB, path: &Path) -> Result<Vec<Stored>, Error> {
    let range = key::links();
    let name = range.start.len();
    let mut read = ReadOptions::default();
    read.set_total_order_seek(true);
    read.set_iterate_upper_bound(range.end);
    let mut iterator = db.raw_iterator_opt(read);
    iterator.seek(range.start);
    let mut found = Vec::new();
    while let Some((key, value)) = iterator.item() {
        found.push((key[name..].to_vec(), value.to_vec()));
        iterator.next();
    }
    let read = iterator.status();
    let shown = path.display();
    read.map_err(|error| Error::rocks(&format!("state {shown}: read links"), &error))?;
    Ok(found)
}

fn damaged(path: &Path, hole: Hole) -> Error {
    Error::new(Kind::Corrupt, format!("state {}: {hole}", path.display()))
}

/// Checks the format, or writes it into an empty database, and raises the epoch.
fn raise_epoch(db: &DB, links: &Links, path: &Path) -> Result<u64, Error> {
    let shown = path.display();
    let read = |key: Vec<u8>| -> Result<Option<u64>, Error> {
        let bytes = db
            .get(key)
            .map_err(|error| Error::rocks(&format!("state {shown}: read meta"), &error))?;
        bytes.as_deref().map(codec::number).transpose()
    };
    let mut ops = Vec::new();
    match read(key::format())? {
        Some(FORMAT) => {}
        Some(other) => {
            return Err(Error::new(
                Kind::Invalid,
                format!("state {shown} has format {other}; this binary reads {FORMAT}"),
            ));
        }
        None if !read_links(db, path)?.is_empty() => {
            return Err(Error::new(
                Kind::Corrupt,
                format!(
                    "state {shown}: its first writes are missing: \
                     its list of files (MANIFEST) is damaged, or a file is gone"
                ),
            ));
        }
        None if db.latest_sequence_number() > 0 => {
            return Err(Error::new(
                Kind::Invalid,
                format!("state {shown} is a RocksDB database of something else"),
            ));
        }
        None => {
            ops.push(Op::Put(key::format(), FORMAT.to_be_bytes().into()));
            ops.extend(Links::beginnings().map(|name| Op::Put(key::link(&name), Vec::new())));
        }
    }
    let epoch = read(key::epoch())?.unwrap_or(0) + 1;
    ops.push(Op::Put(key::epoch(), epoch.to_be_bytes().into()));
    let injected = |cause| Error::injected("raise the epoch", &cause);
    failpoint::around(Step::StateEpoch, injected, || {
        write(db, links, &mut ops, Durability::Disk)
            .map_err(|error| Error::rocks(&format!("state {shown}: raise the epoch"), &error))
    })?;
    Ok(epoch)
}

/// Reads the keys of the outbox.
fn debts(db: &DB) -> Result<BTreeSet<Debt>, Error> {
    let range = Table::Outbox.range();
    let mut read = ReadOptions::default();
    read.set_total_order_seek(true);
    read.set_iterate_upper_bound(range.end);
    let mut iterator = db.raw_iterator_opt(read);
    iterator.seek(range.start);
    let mut debts = BTreeSet::new();
    while let Some(key) = iterator.key() {
        debts.insert(key::read_debt(key)?);
        iterator.next();
    }
    iterator
        .status()
        .map_err(|error| Error::rocks("read the outbox", &error))?;
    Ok(debts)
}

/// Refuses a folder that holds something else, before RocksDB writes into it.
fn check_folder(path: &Path) -> Result<(), Error> {
    let invalid = |why: String| {
        let shown = path.display();
        Error::new(Kind::Invalid, format!("state {shown}: {why}"))
    };
    folder::create(path).map_err(|error| invalid(format!("make folder: {error}")))?;
    let entries =
        std::fs::read_dir(path).map_err(|error| invalid(format!("read folder: {error}")))?;
    let mut stranger = None;
    for entry in entries {
        let entry = entry.map_err(|error| invalid(format!("read folder: {error}")))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "CURRENT" {
            return Ok(());
        }
        if !is_rocks_file(&name) {
            stranger = Some(name);
        }
    }
    match stranger {
        Some(name) => Err(invalid(format!(
            "not a state folder: it holds {name:?} and no database"
        ))),
        None => Ok(()),
    }
}

/// Tells whether RocksDB may have left `name` behind when its first opening was cut short.
fn is_rocks_file(name: &str) -> bool {
    let starts = ["LOCK", "LOG", "IDENTITY", "MANIFEST-", "OPTIONS-"];
    starts.iter().any(|start| name.starts_with(start))
        || name.ends_with(".dbtmp")
        || name.ends_with(".log")
}

fn open_db(path: &Path, memory_bytes: usize, cache: &Cache) -> Result<DB, Error> {
    let shown = path.display();
    let checked = logs::damaged(path);
    match checked.map_err(|why| Error::new(Kind::Retry, format!("state {shown}: {why}")))? {
        Some(damaged) => Err(Error::new(
            Kind::Corrupt,
            format!("state {shown}: {damaged}"),
        )),
        None => DB::open(&db_options(path, memory_bytes, cache), path)
            .map_err(|error| open_error(path, &error)),
    }
}

fn open_error(path: &Path, error: &rocksdb::Error) -> Error {
    let shown = path.display();
    let text = error.to_string();
    if text.contains("lock hold by current process") || text.contains("lock file") {
        let message = format!("state {shown} is open in another process or twice in this one");
        return Error::new(Kind::Invalid, message);
    }
    Error::rocks(&format!("open state {shown}"), error)
}

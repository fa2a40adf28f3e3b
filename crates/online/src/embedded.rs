//! The online store of a process that has no Redis: a RocksDB in a folder of its own.
//!
//! Layout (format 1): `01` is the format's number; a row is under `02`, its entity's
//! length (u16), entity, view (u32) and generation (u32), and holds the instant at which it
//! expires (microseconds, i64) before its bytes; a marker is under `03`, first and last shard; links
//! that tell of missing writes are under `04`.
//!
//! Writers of one row are kept apart by a lock per four shards, so lanes do not meet. The
//! log is written but never waited for: what a power cut takes, markers tell. Reads
//! run where they are called, since they are answered from memory but for the coldest rows;
//! writes run on the blocking pool. An expired row is never returned, and compaction drops it.

mod lately;

use crate::error::Kind;
use crate::{Clock, Error, MarkerWrite, RowWrite, fence};
use bytes::Bytes;
use lately::{Known, Lately};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, CompactionDecision, DB, DBCompressionType,
    DBRecoveryMode, LogLevel, ReadOptions, WriteBatch, WriteBufferManager,
};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tiderace_durable::folder;
use tiderace_durable::links::{self, Hole, Links, Stored};
use tiderace_durable::logs;
use tiderace_durable::reopen::Reopened;
use tiderace_types::wire::{Reader, WireError};
use tiderace_types::{Generation, Marker, RowKey, ShardRange, Timestamp, Version, ViewId};

/// How an embedded store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// What caches and memtables may take together; at least 8 MiB is used.
    pub memory_bytes: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> EmbeddedOptions {
        EmbeddedOptions {
            memory_bytes: 128 << 20,
        }
    }
}

/// An online store in a folder. A handle: clones share one database.
#[derive(Clone)]
pub struct EmbeddedStore(Arc<Inner>);

struct Inner {
    db: Reopened<DB, Error>,
    links: Arc<Links>,
    path: PathBuf,
    clock: Clock,
    rows: [Mutex<()>; STRIPES],
    lately: Arc<Lately>,
    markers: Mutex<()>,
}

const FORMAT: u8 = 1;
const STRIPES: usize = 64;
const EXPIRY: usize = 8;

const FORMAT_KEY: [u8; 1] = [1];
const ROW: u8 = 2;
const MARKER: u8 = 3;
const LINK: u8 = 4;

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EmbeddedStore").field(&self.0.path).finish()
    }
}

/// So many rows are quicker read one after another than made ready to be read together.
const FEW: usize = 8;

impl EmbeddedStore {
    /// Opens or makes the store in the folder `path`; rows expire by `clock`.
    ///
    /// # Errors
    /// When the folder holds something else, is open elsewhere or is damaged.
    pub fn open(
        path: &Path,
        options: EmbeddedOptions,
        clock: Clock,
    ) -> Result<EmbeddedStore, Error> {
        let shown = path.display();
        let invalid =
            |why: String| Error::new(Kind::Invalid, format!("online store {shown}: {why}"));
        folder::create(path).map_err(|error| invalid(format!("make folder: {error}")))?;
        let db = open_db(path, options.memory_bytes, &clock)?;
        let links = read_links(&db, path)?;
        let links = Links::new(&links).map_err(|hole| damaged(path, hole))?;
        let links = Arc::new(links);
        let is_new = db.latest_sequence_number() == 0;
        let lately = Arc::new(Lately::new(lately_bytes(options.memory_bytes)));
        let again = {
            let (path, clock, links) = (path.to_owned(), clock.clone(), Arc::clone(&links));
            let lately = Arc::clone(&lately);
            move || {
                lately.clear();
                let db = open_db(&path, options.memory_bytes, &clock)?;
                let found = read_links(&db, &path)?;
                let checked = links.check(&found);
                checked.map_err(|hole| damaged(&path, hole))?;
                Ok(db)
            }
        };
        let store = EmbeddedStore(Arc::new(Inner {
            db: Reopened::new(path.to_owned(), db, again),
            links,
            path: path.to_owned(),
            clock,
            rows: [const { Mutex::new(()) }; STRIPES],
            lately,
            markers: Mutex::new(()),
        }));
        match store.read(&FORMAT_KEY)?.as_deref() {
            Some([FORMAT]) => Ok(store),
            None if is_new => {
                let mut first = put(&FORMAT_KEY, &[FORMAT]);
                Links::beginnings().for_each(|name| first.put(link_key(&name), []));
                store.write(first)?;
                Ok(store)
            }
            _ => Err(invalid(
                "not an online store of this format; it is derived, so its folder may be deleted"
                    .into(),
            )),
        }
    }

    pub(crate) async fn put_rows(&self, rows: &[RowWrite]) -> Result<(), Error> {
        let store = self.clone();
        let rows = rows.to_vec();
        let write = move || store.put_rows_now(&rows);
        match tokio::task::spawn_blocking(write).await {
            Ok(written) => written,
            Err(error) if error.is_cancelled() => {
                Err(self.error(Kind::Closed, "write rows: the runtime stopped"))
            }
            Err(error) => Err(self.error(Kind::Bug, &format!("write rows: {error}"))),
        }
    }

    fn put_rows_now(&self, rows: &[RowWrite]) -> Result<(), Error> {
        let stripes: BTreeSet<usize> = rows.iter().map(|row| stripe(&row.key)).collect();
        // Taken in one order by everyone, so nobody waits in a circle.
        let _guards: Vec<_> = stripes.into_iter().map(|i| lock(&self.0.rows[i])).collect();
        let now = self.0.clock.now();
        let mut batch = WriteBatch::default();
        // The newest of this call for a key that it names twice.
        let mut pending: std::collections::HashMap<&Vec<u8>, &Bytes> = Default::default();
        let keys = rows
            .iter()
            .map(|row| row_key(&row.key))
            .collect::<Result<Vec<_>, _>>()?;
        let stored = self.0.db.get()?.multi_get(&keys);
        for ((row, key), stored) in rows.iter().zip(&keys).zip(stored) {
            let stored = stored.map_err(|error| rocks_error(&self.0.path, "read rows", &error))?;
            let held = stored.as_deref().and_then(|bytes| live(bytes, now));
            let held = pending.get(key).map(|bytes| &bytes[..]).or(held);
            if !fence::row_wins(&row.value, held) {
                continue;
            }
            let mut value = Vec::with_capacity(EXPIRY + row.value.len());
            value.extend(fence::expiry(now, row.ttl).0.to_be_bytes());
            value.extend_from_slice(&row.value);
            batch.put(key, value);
            pending.insert(key, &row.value);
        }
        let written = self.write(batch);
        // Failed or not: what fails may be there in the end.
        pending.keys().for_each(|key| self.0.lately.forget(key));
        written
    }

    pub(crate) fn get_rows(&self, keys: &[RowKey]) -> Result<Vec<Option<Bytes>>, Error> {
        let now = self.0.clock.now();
        let keys = keys.iter().map(row_key).collect::<Result<Vec<_>, _>>()?;
        let db = self.0.db.get()?;
        let mut rows = Vec::with_capacity(keys.len());
        let mut unknown = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            rows.push(match self.0.lately.get(key) {
                Known::Row(stored) => Some(stored),
                Known::Nothing(keeping) => {
                    unknown.push((place, keeping));
                    None
                }
            });
        }
        let asked = unknown.iter().map(|(place, _)| &keys[*place]);
        let found: Vec<_> = match unknown.len() {
            ..=FEW => asked.map(|key| db.get(key)).collect(),
            _ => db.multi_get(asked),
        };
        for ((place, keeping), stored) in unknown.into_iter().zip(found) {
            let stored = stored.map_err(|error| rocks_error(&self.0.path, "read rows", &error))?;
            let stored = stored.map(Bytes::from);
            if let Some((keeping, stored)) = keeping.zip(stored.as_ref()) {
                keeping.keep(stored.clone());
            }
            rows[place] = stored;
        }
        let live = |stored: Bytes| live(&stored, now).map(|_| stored.slice(EXPIRY..));
        Ok(rows.into_iter().map(|row| row.and_then(live)).collect())
    }

    pub(crate) fn put_marker(
        &self,
        expected: Option<Version>,
        marker: &Marker,
    ) -> Result<MarkerWrite, Error> {
        let _guard = lock(&self.0.markers);
        let decided = fence::decide(&self.held()?, marker.shards, expected, marker.version);
        if decided == MarkerWrite::Written {
            self.write(put(&marker_key(marker.shards), &marker.encode()))?;
        }
        Ok(decided)
    }

    pub(crate) fn markers(&self) -> Result<Vec<Marker>, Error> {
        let mut markers = Vec::new();
        self.visit(MARKER, |_, bytes| {
            markers.push(fence::read_marker(bytes)?);
            Ok(())
        })?;
        Ok(markers)
    }

    pub(crate) fn retire_markers(
        &self,
        overlapping: ShardRange,
        except: ShardRange,
    ) -> Result<(), Error> {
        let _guard = lock(&self.0.markers);
        let mut batch = WriteBatch::default();
        for range in fence::retired(&self.held()?, overlapping, except) {
            batch.delete(marker_key(range));
        }
        self.write(batch)
    }

    pub(crate) fn withdraw_markers(&self, shards: ShardRange) -> Result<(), Error> {
        let _guard = lock(&self.0.markers);
        let mut batch = WriteBatch::default();
        self.visit(MARKER, |key, _| {
            if let [_, first, last] = *key
                && (ShardRange { first, last }).overlaps(shards)
            {
                batch.delete(key);
            }
            Ok(())
        })?;
        self.write(batch)
    }

    pub(crate) fn scan_keys(&self) -> Result<Vec<RowKey>, Error> {
        let now = self.0.clock.now();
        let mut keys = Vec::new();
        self.visit(ROW, |key, value| {
            if live(value, now).is_some() {
                let read = read_row_key(key);
                keys.push(
                    read.map_err(|why| self.error(Kind::Corrupt, &format!("row key: {why}")))?,
                );
            }
            Ok(())
        })?;
        Ok(keys)
    }

    /// Compacts everything, which drops what has expired.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn compact(&self) -> Result<(), Error> {
        let db = self.0.db.get()?;
        let flushed = db.flush();
        flushed.map_err(|error| rocks_error(&self.0.path, "flush", &error))?;
        let mut options = rocksdb::CompactOptions::default();
        options.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
        db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &options);
        Ok(())
    }

    /// Counts the rows that are stored, expired ones included.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn stored_rows(&self) -> Result<usize, Error> {
        let mut count = 0;
        self.visit(ROW, |_, _| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }

    fn held(&self) -> Result<Vec<(ShardRange, Version)>, Error> {
        let held = |marker: Marker| (marker.shards, marker.version);
        Ok(self.markers()?.into_iter().map(held).collect())
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let read = self.0.db.get()?.get(key);
        read.map_err(|error| rocks_error(&self.0.path, "read", &error))
    }

    fn write(&self, mut batch: WriteBatch) -> Result<(), Error> {
        self.0.db.write(|db| {
            let written = self.0.links.write(|link| {
                batch.put(link_key(&link.put), &link.value);
                batch.delete(link_key(&link.delete));
                db.write(batch)
            });
            written.map_err(|error| rocks_error(&self.0.path, "write", &error))
        })
    }

    fn visit(
        &self,
        table: u8,
        each: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let db = self.0.db.get()?;
        visit(&db, &self.0.path, table, each)
    }

    fn error(&self, kind: Kind, why: &str) -> Error {
        Error::new(
            kind,
            format!("online store {}: {why}", self.0.path.display()),
        )
    }
}

fn open_db(path: &Path, memory_bytes: usize, clock: &Clock) -> Result<DB, Error> {
    let error = |kind, why: String| {
        let shown = path.display();
        Error::new(kind, format!("online store {shown}: {why}"))
    };
    let checked = logs::damaged(path).map_err(|why| error(Kind::Retry, why.to_string()))?;
    if let Some(damaged) = checked {
        return Err(error(Kind::Corrupt, format!("{damaged}{ADVICE}")));
    }
    let opened = DB::open(&db_options(path, memory_bytes, clock), path);
    opened.map_err(|failed| match failed.to_string().contains("lock") {
        true => error(
            Kind::Invalid,
            "open in another process or twice in this one".into(),
        ),
        false => rocks_error(path, "open", &failed),
    })
}

fn visit(
    db: &DB,
    path: &Path,
    table: u8,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut read = ReadOptions::default();
    read.set_iterate_upper_bound([table + 1]);
    let mut iterator = db.raw_iterator_opt(read);
    iterator.seek([table]);
    while let Some((key, value)) = iterator.item() {
        each(key, value)?;
        iterator.next();
    }
    iterator
        .status()
        .map_err(|error| rocks_error(path, "scan", &error))
}

/// Every link that is stored: its name and its value.
fn read_links(db: &DB, path: &Path) -> Result<Vec<Stored>, Error> {
    let mut found = Vec::new();
    visit(db, path, LINK, |key, value| {
        found.push((key[1..].to_vec(), value.to_vec()));
        Ok(())
    })?;
    Ok(found)
}

fn damaged(path: &Path, hole: Hole) -> Error {
    let shown = path.display();
    let why = format!("online store {shown}: {hole}{ADVICE}");
    Error::new(Kind::Corrupt, why)
}

const ADVICE: &str = "; it is derived from state: delete the folder and start again";

/// What rows that were asked for lately have of the memory: these are not looked for in files.
fn lately_bytes(memory_bytes: usize) -> usize {
    memory_bytes.max(8 << 20) / 8
}

fn db_options(path: &Path, memory_bytes: usize, clock: &Clock) -> rocksdb::Options {
    let memory = memory_bytes.max(8 << 20);
    let cache = Cache::new_lru_cache(memory - lately_bytes(memory));
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&cache);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // In parts of a few KiB: what does not fit into a shard of the cache is read for every row.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(4 << 10);
    table.set_pin_top_level_index_and_filter(true);

    let mut options = rocksdb::Options::default()
        .get_options_from_string(links::log_options(path))
        .expect("the option is known");
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
        memory / 4,
        true,
        cache,
    ));
    options.set_write_buffer_size((memory / 8).min(64 << 20));
    options.set_max_write_buffer_number(4);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_open_files(256);
    options.set_max_background_jobs(2);
    // As in state: buffers that nothing counts, and pages that wait to be written, stay few.
    options.set_compaction_readahead_size(256 << 10);
    options.set_bytes_per_sync(1 << 20);
    options.set_wal_bytes_per_sync(1 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(4);
    let clock = clock.clone();
    options.set_compaction_filter(
        "tiderace.expiry.1",
        move |_, key: &[u8], value: &[u8]| match key.first() == Some(&ROW)
            && live(value, clock.now()).is_none()
        {
            true => CompactionDecision::Remove,
            false => CompactionDecision::Keep,
        },
    );
    options
}

/// The row's bytes within a stored value, unless it has expired.
fn live(stored: &[u8], now: Timestamp) -> Option<&[u8]> {
    let (expires, bytes) = stored.split_first_chunk::<EXPIRY>()?;
    (i64::from_be_bytes(*expires) > now.0).then_some(bytes)
}

fn put(key: &[u8], value: &[u8]) -> WriteBatch {
    let mut batch = WriteBatch::default();
    batch.put(key, value);
    batch
}

fn stripe(key: &RowKey) -> usize {
    usize::from(key.shard().0) * STRIPES / 256
}

fn lock(mutex: &Mutex<()>) -> std::sync::MutexGuard<'_, ()> {
    // The lock protects an order, not data: a panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn link_key(name: &[u8]) -> Vec<u8> {
    [&[LINK][..], name].concat()
}

fn marker_key(range: ShardRange) -> [u8; 3] {
    [MARKER, range.first, range.last]
}

fn row_key(key: &RowKey) -> Result<Vec<u8>, Error> {
    let length = u16::try_from(key.entity.len()).map_err(|_| {
        let length = key.entity.len();
        Error::new(
            Kind::Invalid,
            format!("entity key of {length} bytes; at most 65535 fit"),
        )
    })?;
    let mut out = Vec::with_capacity(11 + key.entity.len());
    out.push(ROW);
    out.extend(length.to_be_bytes());
    out.extend_from_slice(&key.entity);
    out.extend(key.view.0.to_be_bytes());
    out.extend(key.generation.0.to_be_bytes());
    Ok(out)
}

fn read_row_key(bytes: &[u8]) -> Result<RowKey, WireError> {
    let mut reader = Reader::new(bytes);
    reader.u8()?;
    let length = u16::from_be_bytes(reader.array()?);
    Ok(RowKey {
        entity: reader.take(usize::from(length))?.into(),
        view: ViewId(u32::from_be_bytes(reader.array()?)),
        generation: Generation(u32::from_be_bytes(reader.array()?)),
    })
}

fn rocks_error(path: &Path, verb: &str, error: &rocksdb::Error) -> Error {
    use rocksdb::ErrorKind as E;
    let kind = match error.kind() {
        E::Corruption => Kind::Corrupt,
        E::InvalidArgument | E::NotSupported => Kind::Invalid,
        E::ShutdownInProgress => Kind::Closed,
        E::IOError | E::Busy | E::TryAgain | E::TimedOut | E::Aborted | E::Incomplete => {
            Kind::Retry
        }
        _ => Kind::Bug,
    };
    let advice = match kind {
        Kind::Corrupt => ADVICE,
        _ => "",
    };
    let shown = path.display();
    Error::new(
        kind,
        format!("online store {shown}: {verb}: {error}{advice}"),
    )
}

//! Rows that are not there cost no reads of data, and those that are cost little however small
//! the cache is; prints what loading costs.

mod support;

use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};
use std::time::Instant;
use support::{append, key, rows};
use tiderace_state::{Options, RocksStore};
use tiderace_types::RowKey;

const ROWS: u32 = 100_000;
const BATCH: usize = 1000;

fn entity(n: u32) -> RowKey {
    // As an encoded integer key: a tag and eight bytes.
    let mut bytes = vec![3];
    bytes.extend((u64::from(n) ^ 1 << 63).to_be_bytes());
    key(1, &bytes)
}

/// Bytes that compress about as well as columns of amounts and times.
fn block(dice: &mut support::Dice) -> Vec<u8> {
    (0..200).map(|_| dice.below(32) as u8).collect()
}

/// A cache that holds neither the rows nor what leads to them reads parts of both.
#[test]
fn a_small_cache_reads_little_for_a_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = support::open(folder.path());
    let keys: Vec<RowKey> = (0..600_000).map(entity).collect();
    let mut dice = support::Dice(1);
    for chunk in keys.chunks(BATCH) {
        let block = |dice: &mut support::Dice| block(dice)[..40].to_vec();
        let writes = chunk.iter().map(|key| append(key, &block(&mut dice)));
        store.commit(rows(writes.collect())).expect("commit");
    }
    store.compact().expect("compact");
    drop(store);
    // The options of every test: 8 MiB in all.
    let store = support::open(folder.path());
    set_perf_stats(PerfStatsLevel::EnableCount);
    let mut perf = PerfContext::default();
    perf.reset();
    const READ: usize = 2000;
    for _ in 0..READ {
        let key = &keys[dice.below(keys.len() as u64) as usize];
        assert_eq!(support::load(&store, key).len(), 1);
    }
    let bytes = perf.metric(PerfMetric::BlockReadByte) / READ as u64;
    let reads = perf.metric(PerfMetric::BlockReadCount) as f64 / READ as f64;
    println!("a row of 600,000 from a cache of 8 MiB: {reads:.1} reads, {bytes} bytes");
    assert!(bytes < 48 << 10, "{bytes} bytes for a row");
}

#[test]
fn an_absent_row_reads_no_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        memory_bytes: 64 << 20,
        ..Options::default()
    };
    let store = RocksStore::open(folder.path(), options).expect("open");
    let present: Vec<RowKey> = (0..ROWS).map(|n| entity(n * 2)).collect();
    let absent: Vec<RowKey> = (0..ROWS).map(|n| entity(n * 2 + 1)).collect();
    let started = Instant::now();
    let mut dice = support::Dice(1);
    for _ in 0..3 {
        for chunk in present.chunks(BATCH) {
            let writes = chunk
                .iter()
                .map(|key| append(key, &block(&mut dice)))
                .collect();
            store.commit(rows(writes)).expect("commit");
        }
    }
    let wrote = started.elapsed() / (3 * ROWS);
    store.compact().expect("compact");
    let size = store.size().expect("size");
    drop(store);

    let store = RocksStore::open(folder.path(), options).expect("open");
    set_perf_stats(PerfStatsLevel::EnableCount);
    let mut perf = PerfContext::default();
    perf.reset();
    let load = |keys: &[RowKey]| {
        let started = Instant::now();
        let mut blocks = 0;
        for chunk in keys.chunks(BATCH) {
            let found = store.load(chunk).expect("load");
            blocks += found.iter().map(Vec::len).sum::<usize>();
        }
        (blocks, started.elapsed() / keys.len() as u32)
    };
    let (blocks, nothing) = load(&absent);
    assert_eq!(blocks, 0);
    let reads = perf.metric(PerfMetric::BlockReadCount);
    let (blocks, something) = load(&present);
    assert_eq!(blocks, 3 * ROWS as usize);
    println!(
        "{ROWS} rows of 3 blocks of 200 B: commit {wrote:?} a block, load {something:?} a row, \
         absent {nothing:?} a row with {reads} block reads in all, {} B a block on disk",
        size / u64::from(3 * ROWS)
    );
    assert!(
        reads < u64::from(ROWS) / 20,
        "{reads} block reads for {ROWS} absent rows"
    );
}

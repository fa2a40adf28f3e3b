//! Folders that are not a state, are open elsewhere, are of the future, or are damaged.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use support::{Dice, append, bytes, key, load, open, positions, rows, small};
use tiderace_state::{Commit, Kind, RocksStore};
use tiderace_types::ShardRange;

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .expect("list")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    found
}

fn refused(folder: &Path, kind: Kind, word: &str) {
    let error = RocksStore::open(folder, small()).expect_err("refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(word), "{error}");
}

#[test]
fn a_folder_of_something_else_is_refused_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("letters.txt"), "dear").expect("write");
    refused(folder.path(), Kind::Invalid, "letters.txt");
    assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
    let file = folder.path().join("letters.txt");
    refused(&file, Kind::Invalid, "letters.txt");
}

#[test]
fn a_database_of_something_else_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = rocksdb::DB::open_default(folder.path()).expect("open");
    db.put("a", "b").expect("put");
    drop(db);
    refused(folder.path(), Kind::Invalid, "something else");
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    let db = rocksdb::DB::open_default(folder.path()).expect("open");
    db.put([1, 0, b'f'], 2u64.to_be_bytes()).expect("put");
    drop(db);
    refused(
        folder.path(),
        Kind::Invalid,
        "format 2; this binary reads 1",
    );
}

#[test]
fn a_store_is_open_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    refused(folder.path(), Kind::Invalid, "open in another process");
    drop(store);
    assert_eq!(open(folder.path()).epoch(), 2);
}

#[test]
fn a_flipped_byte_is_an_error_and_never_another_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let keys: Vec<_> = (0u32..300).map(|n| key(1, &n.to_be_bytes())).collect();
    let block = |n: usize| vec![n as u8; 150];
    for (n, key) in keys.iter().enumerate() {
        store
            .commit(rows(vec![append(key, &block(n))]))
            .expect("commit");
    }
    store.compact().expect("compact");
    drop(store);
    let table = files(folder.path(), "sst").pop().expect("a table");
    let whole = fs::read(&table).expect("read");
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut caught = 0;
    for _ in 0..16 {
        let mut bad = whole.clone();
        let at = dice.below(bad.len() as u64) as usize;
        bad[at] ^= 1 << dice.below(8);
        fs::write(&table, &bad).expect("write");
        let read = RocksStore::open(folder.path(), small()).and_then(|store| store.load(&keys));
        match read {
            Err(error) => {
                assert_eq!(error.kind(), Kind::Corrupt, "byte {at}: {error}");
                caught += 1;
            }
            Ok(found) => {
                for (n, row) in found.iter().enumerate() {
                    assert_eq!(bytes(row), [&block(n)[..]], "byte {at}");
                }
            }
        }
    }
    assert!(caught > 5, "most bytes matter; {caught} of 16 were caught");
    fs::write(&table, &whole).expect("write");
    assert_eq!(
        bytes(&load(&open(folder.path()), &keys[7])),
        [&block(7)[..]]
    );
}

#[test]
fn a_torn_log_leaves_a_prefix() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut lost = 0;
    for _ in 0..12 {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let log = files(folder.path(), "log").pop().expect("a log");
        let synced = fs::metadata(&log).expect("measure").len();
        let a = key(1, b"a");
        let mut last = 0;
        for n in 1..=50u8 {
            let commit = Commit {
                lane: ShardRange::ALL,
                positions: positions(n.into()),
                outbox: vec![a.clone()],
                ..rows(vec![append(&a, &[n])])
            };
            last = store.commit(commit).expect("commit");
        }
        drop(store);
        let end = fs::metadata(&log).expect("measure").len();
        let cut = synced + dice.below(end - synced);
        let file = fs::OpenOptions::new().write(true).open(&log).expect("open");
        file.set_len(cut).expect("truncate");
        let store = open(folder.path());
        assert_eq!(store.epoch(), 2, "the epoch was synced");
        let blocks = load(&store, &a);
        let count = blocks.len() as u8;
        let numbers: Vec<u8> = blocks.iter().map(|block| block.bytes[0]).collect();
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
        match store.positions().expect("positions").pop() {
            Some((_, held)) => assert_eq!(held, positions(count.into())),
            None => assert_eq!(count, 0),
        }
        assert_eq!(
            store.outbox(ShardRange::ALL).expect("outbox").len(),
            blocks.len()
        );
        let next = store.commit(rows(vec![append(&a, &[0])])).expect("commit");
        assert!(next > last, "a lost number is not given again");
        lost += u32::from(count < 50);
    }
    assert!(lost > 6, "the cuts took something: {lost} of 12");
}

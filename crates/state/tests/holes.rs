//! Lists of files and logs that have lost their ends: what opens is an earlier state, or it does not
//! open. It is never one with a hole.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use support::{append, bytes, key, open, positions, rows, small};
use tiderace_state::{Commit, Error, Kind, RocksStore, Store};
use tiderace_types::RowKey;

const ROWS: u32 = 7;

fn keys() -> Vec<RowKey> {
    (0..ROWS).map(|n| key(1, &n.to_be_bytes())).collect()
}

/// Commits the numbers that follow: each to one of the rows.
fn commit(store: &Store, numbers: std::ops::Range<u32>) {
    let keys = keys();
    for number in numbers {
        let row = &keys[(number % ROWS) as usize];
        let commit = Commit {
            positions: positions(number.into()),
            ..rows(vec![append(row, &number.to_be_bytes())])
        };
        store.commit(commit).expect("commit");
    }
}

/// Every number that is held, or why it cannot be told.
fn held(folder: &Path) -> Result<Vec<u32>, Error> {
    let store = RocksStore::open(folder, small())?;
    let mut held = Vec::new();
    for row in store.load(&keys())? {
        let numbers = bytes(&row).into_iter();
        held.extend(numbers.map(|number| u32::from_be_bytes(number.try_into().expect("a number"))));
    }
    held.sort_unstable();
    Ok(held)
}

/// What the openings of damaged copies came to: how many were refused, and the greatest number held of
/// the others.
fn survive(folder: &Path, damages: impl Iterator<Item = (PathBuf, u64)>) -> (usize, Vec<usize>) {
    let mut refused = 0;
    let mut kept = Vec::new();
    for (file, length) in damages {
        let copied = copy(folder);
        let name = file.file_name().expect("a name");
        let damaged = fs::OpenOptions::new()
            .write(true)
            .open(copied.path().join(name));
        damaged.expect("open").set_len(length).expect("cut");
        match held(copied.path()) {
            Ok(held) => {
                let prefix: Vec<u32> = (1..=held.len() as u32).collect();
                assert_eq!(held, prefix, "{} cut to {length}", name.display());
                kept.push(held.len());
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::Corrupt, "{error}");
                let folder = copied.path().display().to_string();
                assert!(error.to_string().contains(&folder), "{error}");
                refused += 1;
            }
        }
    }
    (refused, kept)
}

fn copy(folder: &Path) -> tempfile::TempDir {
    let copied = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(folder).expect("list") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        fs::copy(&path, copied.path().join(name)).expect("copy");
    }
    copied
}

/// The files whose names begin or end so, with their lengths.
fn files(folder: &Path, is_one: impl Fn(&str) -> bool) -> BTreeMap<PathBuf, u64> {
    let files = fs::read_dir(folder).expect("list").map(|entry| {
        let entry = entry.expect("an entry");
        (entry.path(), entry.metadata().expect("measure").len())
    });
    let named = files.filter(|(path, _)| {
        let name = path.file_name().expect("a name");
        is_one(&name.to_string_lossy())
    });
    named.collect()
}

/// Cuts the last list of files everywhere.
fn survives_cuts(folder: &Path) {
    let (list, length) = last_list(folder);
    let cuts = (0..length).step_by(11).map(|length| (list.clone(), length));
    let (refused, kept) = survive(folder, cuts);
    println!("{refused} refused; kept {kept:?}");
    assert!(refused > 0, "nothing was lost");
}

fn last_list(folder: &Path) -> (PathBuf, u64) {
    let lists = files(folder, |name| name.starts_with("MANIFEST-"));
    lists.into_iter().next_back().expect("a list of files")
}

#[test]
fn a_list_of_files_that_lost_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    commit(&store, 1..50);
    store.compact().expect("compact");
    commit(&store, 50..100);
    drop(store);
    let store = open(folder.path());
    commit(&store, 100..150);
    store.compact().expect("compact");
    commit(&store, 150..200);
    drop(store);
    survives_cuts(folder.path());
}

/// One bit makes a record of a log into one of a log that is used again, which RocksDB reads for ever.
#[test]
fn every_kind_of_record_that_a_flipped_bit_makes() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    commit(&store, 1..30);
    drop(store);
    let logs = files(folder.path(), |name| {
        name.starts_with("MANIFEST-") || name.ends_with(".log")
    });
    let mut refused = 0;
    for file in logs.keys() {
        let whole = fs::read(file).expect("read");
        let mut at = 0;
        while at + 7 <= whole.len() {
            let mut bad = whole.clone();
            bad[at + 6] ^= 4;
            fs::write(file, &bad).expect("write");
            let error = held(folder.path()).expect_err("it is damaged");
            assert_eq!(error.kind(), Kind::Corrupt, "byte {at}: {error}");
            let name = file.file_name().expect("a name").to_string_lossy();
            assert!(error.to_string().contains(&*name), "{error}");
            refused += 1;
            at += 7 + usize::from(u16::from_le_bytes([whole[at + 4], whole[at + 5]]));
        }
        fs::write(file, &whole).expect("write");
    }
    assert!(refused > 20, "{refused} records");
    assert_eq!(held(folder.path()).expect("whole again").len(), 29);
}

/// The flush that an opening begins with is the last thing in the list: its log is gone, and later
/// writes are in the next log.
#[test]
fn a_list_of_files_that_lost_what_its_opening_wrote() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    commit(&store, 1..50);
    drop(store);
    let store = open(folder.path());
    commit(&store, 50..100);
    drop(store);
    survives_cuts(folder.path());
}

/// A log that was not synced ends where it was synced last, and the log behind it is there: after a
/// loss of power this is what may be left.
#[test]
fn an_older_log_that_lost_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    commit(&store, 1..20);
    store.sync().expect("sync");
    let synced = files(folder.path(), |name| name.ends_with(".log"));
    let (log, synced) = synced.into_iter().next_back().expect("a log");
    commit(&store, 20..40);
    let before = copy(folder.path());
    // What is flushed has another log behind it.
    store.compact().expect("compact");
    commit(&store, 40..60);
    let after = files(folder.path(), |name| name.ends_with(".log"));
    let next = after.keys().next_back().expect("a log");
    assert_ne!(next, &log, "a log of its own");
    fs::copy(next, before.path().join(next.file_name().expect("a name"))).expect("copy");
    let log = before.path().join(log.file_name().expect("a name"));
    let whole = fs::metadata(&log).expect("measure").len();
    assert!(synced < whole);
    let (refused, kept) = survive(
        before.path(),
        [(log.clone(), synced), (log, whole)].into_iter(),
    );
    assert_eq!(refused, 0, "a loss of power is no damage");
    assert_eq!(kept, [19, 59]);
}

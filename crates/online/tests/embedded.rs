//! What only the embedded store does: live in a folder, and clear away what has expired.

mod support;

use std::fs::{self, File};
use support::{key, marker, row, version};
use tiderace_online::{Clock, EmbeddedOptions, EmbeddedStore, Kind, RowWrite, Store};
use tiderace_types::{Duration, RowKey, ShardRange, Timestamp};

fn open(folder: &std::path::Path, clock: &Clock) -> EmbeddedStore {
    EmbeddedStore::open(folder, EmbeddedOptions::default(), clock.clone()).expect("open")
}

#[tokio::test]
async fn rows_and_markers_outlive_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(Timestamp(0));
    let a = key(1, b"a");
    let store = Store::Embedded(open(folder.path(), &clock));
    store
        .put_rows(&[row(&a, version(3), b"x")])
        .await
        .expect("put");
    store
        .put_marker(None, &marker(ShardRange::ALL, version(3)))
        .await
        .expect("put marker");
    let twice = EmbeddedStore::open(folder.path(), EmbeddedOptions::default(), clock.clone());
    assert_eq!(twice.expect_err("open twice").kind(), Kind::Invalid);
    drop(store);
    let store = Store::Embedded(open(folder.path(), &clock));
    assert!(store.get_rows(std::slice::from_ref(&a)).await.expect("get")[0].is_some());
    assert_eq!(
        store.markers().await.expect("markers"),
        [marker(ShardRange::ALL, version(3))]
    );
    store
        .put_rows(&[row(&a, version(2), b"old")])
        .await
        .expect("put");
    let found = store
        .get_rows(&[a])
        .await
        .expect("get")
        .remove(0)
        .expect("there");
    assert_eq!(&found[16..], b"x");
}

#[tokio::test]
async fn compaction_drops_what_has_expired_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(Timestamp(0));
    let embedded = open(folder.path(), &clock);
    let store = Store::Embedded(embedded.clone());
    let keys: Vec<RowKey> = (0u32..1000).map(|n| key(1, &n.to_be_bytes())).collect();
    let write = |(n, key): (usize, &RowKey)| RowWrite {
        ttl: (n % 2 == 0).then_some(Duration::from_secs(10)),
        ..row(key, version(1), b"x")
    };
    let rows: Vec<RowWrite> = keys.iter().enumerate().map(write).collect();
    store.put_rows(&rows).await.expect("put");
    store
        .put_marker(None, &marker(ShardRange::ALL, version(1)))
        .await
        .expect("put marker");
    clock.set(Timestamp(9_999_999));
    embedded.compact().expect("compact");
    assert_eq!(embedded.stored_rows().expect("count"), 1000);
    clock.set(Timestamp(10_000_000));
    assert_eq!(store.scan_keys().await.expect("scan").len(), 500);
    embedded.compact().expect("compact");
    assert_eq!(embedded.stored_rows().expect("count"), 500);
    assert_eq!(store.markers().await.expect("markers").len(), 1);
}

#[tokio::test]
async fn a_folder_of_something_else_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = rocksdb::DB::open_default(folder.path()).expect("open");
    db.put("a", "b").expect("put");
    drop(db);
    let refused = Store::embedded(folder.path(), EmbeddedOptions::default());
    assert_eq!(refused.expect_err("refused").kind(), Kind::Invalid);
}

/// A list of files that has lost its end, while later writes are in the log: what opens has the first
/// writes and not others, or it does not open.
#[tokio::test]
async fn a_lost_end_of_the_list_of_files_leaves_no_hole() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(Timestamp(0));
    let keys: Vec<RowKey> = (0u32..80).map(|n| key(1, &n.to_be_bytes())).collect();
    for (session, keys) in keys.chunks(40).enumerate() {
        let embedded = open(folder.path(), &clock);
        let store = Store::Embedded(embedded.clone());
        for (n, key) in keys.iter().enumerate() {
            let row = row(key, version(1), b"x");
            store.put_rows(&[row]).await.expect("put");
            if session == 0 && n == 20 {
                embedded.compact().expect("compact");
            }
        }
    }
    let lists = fs::read_dir(folder.path()).expect("list").map(|entry| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, entry.metadata().expect("measure").len())
    });
    let lists = lists.filter(|(name, _)| name.starts_with("MANIFEST-"));
    let (list, length) = lists.max().expect("a list of files");
    let (mut refused, mut kept) = (0, 0);
    for length in (0..length).step_by(11) {
        let copied = tempfile::tempdir().expect("a folder");
        for entry in fs::read_dir(folder.path()).expect("list") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name");
            fs::copy(&path, copied.path().join(name)).expect("copy");
        }
        let damaged = File::options().write(true).open(copied.path().join(&list));
        damaged.expect("open").set_len(length).expect("cut");
        let options = EmbeddedOptions::default();
        let opened = EmbeddedStore::open(copied.path(), options, clock.clone());
        let store = match opened {
            Ok(store) => Store::Embedded(store),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Corrupt, "{error}");
                refused += 1;
                continue;
            }
        };
        let held = store.get_rows(&keys).await.expect("get");
        let held: Vec<bool> = held.iter().map(Option::is_some).collect();
        assert!(
            held.is_sorted_by(|a, b| a >= b),
            "cut to {length}: {held:?}"
        );
        kept += 1;
    }
    println!("{refused} refused, {kept} opened");
    assert!(refused > 0, "nothing was lost");
}

/// One bit makes a record of a log into one of a log that is used again, which RocksDB reads for ever.
#[tokio::test]
async fn a_record_of_a_kind_that_is_never_written_is_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(Timestamp(0));
    drop(open(folder.path(), &clock));
    let files = fs::read_dir(folder.path()).expect("list");
    let mut paths = files.map(|file| file.expect("a file").path());
    let is_list = |path: &std::path::PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy();
        name.starts_with("MANIFEST-")
    };
    let list = paths.find(is_list).expect("a list of files");
    let mut bytes = fs::read(&list).expect("read");
    bytes[6] ^= 4;
    fs::write(&list, bytes).expect("write");
    let opened = EmbeddedStore::open(folder.path(), EmbeddedOptions::default(), clock);
    let error = opened.expect_err("it is damaged");
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(
        error.to_string().contains("the record at byte 0"),
        "{error}"
    );
}

//! What only the embedded store does: live in a folder, and clear away what has expired.

mod support;

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

//! What only the twin in memory does: go away and come back as told.

mod support;

use support::{key, row, version};
use tiderace_online::{Clock, Kind, MemoryStore, Store};

#[tokio::test]
async fn it_goes_away_and_comes_back() {
    let memory = MemoryStore::new(Clock::Wall);
    let store = Store::Memory(memory.clone());
    let a = key(1, b"a");
    store
        .put_rows(&[row(&a, version(1), b"x")])
        .await
        .expect("put");
    memory.go_away();
    let away = store
        .get_rows(std::slice::from_ref(&a))
        .await
        .expect_err("away");
    assert_eq!(away.kind(), Kind::Retry);
    assert!(store.markers().await.is_err() && store.check().await.is_err());
    memory.come_back();
    assert!(store.get_rows(&[a]).await.expect("get")[0].is_some());
}

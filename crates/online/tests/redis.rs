//! What only Redis can do to us: go, stand still, come back empty, fill up, evict, refuse.

mod support;

use std::time::{Duration, Instant};
use support::{key, marker, patient, row, version};
use tiderace_online::{Error, Kind, MarkerWrite, Part, RedisOptions, RowWrite, Store};
use tiderace_testkit::redis::Redis;
use tiderace_types::{RowKey, ShardRange};

const DEADLINE: Duration = Duration::from_millis(400);
/// What a loaded machine may add to a deadline.
const GRACE: Duration = Duration::from_secs(5);

fn hasty() -> RedisOptions {
    RedisOptions {
        write_deadline: DEADLINE,
        read_deadline: DEADLINE,
        allow_eviction: false,
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test);
}

/// Repeats a call until it succeeds: it may meet a server that is still coming up.
async fn eventually<T>(mut call: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match call().await {
            Ok(value) => return value,
            Err(error) => assert!(
                error.kind() == Kind::Retry && Instant::now() < deadline,
                "{error}"
            ),
        }
        tokio::task::yield_now().await;
    }
}

async fn fails_in_time(store: &Store, a: &RowKey) {
    let started = Instant::now();
    let read = store.get_rows(std::slice::from_ref(a)).await;
    assert_eq!(read.expect_err("away").kind(), Kind::Retry);
    assert!(started.elapsed() < DEADLINE + GRACE);
    let started = Instant::now();
    let write = store.put_rows(&[row(a, version(2), b"y")]).await;
    assert_eq!(write.expect_err("away").kind(), Kind::Retry);
    assert!(started.elapsed() < DEADLINE + GRACE);
    let read = store.markers().await;
    assert_eq!(read.expect_err("away").kind(), Kind::Retry);
}

#[test]
fn a_killed_server_is_an_error_and_a_restarted_one_is_found_empty() {
    run(async {
        let mut redis = Redis::start().expect("start redis");
        let store = Store::redis(&redis.url(), "test", hasty())
            .await
            .expect("connect");
        let a = key(1, b"a");
        eventually(async || store.put_rows(&[row(&a, version(1), b"x")]).await).await;
        let put = async |expected, new| {
            eventually(async || {
                store
                    .put_marker(expected, &marker(ShardRange::ALL, version(new)))
                    .await
            })
            .await
        };
        assert_eq!(put(None, 1).await, MarkerWrite::Written);
        for _ in 0..2 {
            redis.kill();
            fails_in_time(&store, &a).await;
            fails_in_time(&store, &a).await;
            redis.restart().expect("restart redis");
            assert_eq!(
                put(Some(version(1)), 2).await,
                MarkerWrite::Lost { found: None }
            );
            let found = eventually(async || store.get_rows(std::slice::from_ref(&a)).await).await;
            assert_eq!(found, [None]);
            eventually(async || store.put_rows(&[row(&a, version(1), b"x")]).await).await;
            assert_eq!(put(None, 1).await, MarkerWrite::Written);
        }
    });
}

#[test]
fn a_server_that_restarts_between_calls_is_not_noticed() {
    run(async {
        let mut redis = Redis::start().expect("start redis");
        let store = Store::redis(&redis.url(), "test", patient())
            .await
            .expect("connect");
        let a = key(1, b"a");
        for _ in 0..3 {
            store
                .put_rows(&[row(&a, version(1), b"x")])
                .await
                .expect("put");
            redis.restart().expect("restart redis");
            assert_eq!(
                store.get_rows(std::slice::from_ref(&a)).await.expect("get"),
                [None]
            );
        }
    });
}

#[test]
fn rows_come_with_the_markers_that_tell_a_lost_one() {
    let redis = Redis::start().expect("redis");
    run(async {
        let store = Store::redis(&redis.url(), "p", patient()).await;
        let store = store.expect("connect");
        let (a, b) = (key(1, b"a"), key(1, b"b"));
        let said = marker(ShardRange::ALL, version(2));
        store
            .put_rows(&[row(&a, version(1), b"x")])
            .await
            .expect("put");
        store.put_marker(None, &said).await.expect("mark");
        let keys = [a, b];
        let found = store.read(&keys).await.expect("read");
        assert_eq!(found.rows, store.get_rows(&keys).await.expect("get"));
        assert!(found.rows[0].is_some() && found.rows[1].is_none());
        let whole = |markers| vec![(Part::WHOLE, markers)];
        assert_eq!(found.markers().expect("markers"), whole(vec![said]));
        redis.flush().expect("flush");
        let found = store.read(&keys).await.expect("read");
        assert_eq!(found.rows, [None, None]);
        assert_eq!(found.markers().expect("markers"), whole(vec![]));
    });
}

#[test]
fn a_server_that_stands_still_is_an_error_in_time() {
    run(async {
        let mut redis = Redis::start().expect("start redis");
        let store = Store::redis(&redis.url(), "test", hasty())
            .await
            .expect("connect");
        let a = key(1, b"a");
        eventually(async || store.put_rows(&[row(&a, version(1), b"x")]).await).await;
        redis.pause();
        fails_in_time(&store, &a).await;
        fails_in_time(&store, &a).await;
        redis.resume();
        let found = eventually(async || store.get_rows(std::slice::from_ref(&a)).await).await;
        assert!(found[0].is_some());
    });
}

#[test]
fn a_full_server_is_retried_and_says_why() {
    run(async {
        let redis = Redis::start_with(&["--maxmemory", "4mb"]).expect("start redis");
        let store = Store::redis(&redis.url(), "test", patient())
            .await
            .expect("connect");
        let big: Vec<RowWrite> = (0u32..2000)
            .map(|n| row(&key(1, &n.to_be_bytes()), version(1), &[7; 8000]))
            .collect();
        let full = store.put_rows(&big).await.expect_err("full");
        assert_eq!(full.kind(), Kind::Retry);
        assert!(full.to_string().contains("maxmemory"), "{full}");
        redis
            .command(&["CONFIG", "SET", "maxmemory", "0"])
            .expect("make room");
        store.put_rows(&big).await.expect("put");
        let keys: Vec<RowKey> = big.iter().map(|row| row.key.clone()).collect();
        let found = store.get_rows(&keys).await.expect("get");
        assert!(found.iter().all(Option::is_some));
    });
}

#[test]
fn a_server_that_evicts_is_refused() {
    run(async {
        let redis = Redis::start_with(&["--maxmemory-policy", "allkeys-lru"]).expect("start redis");
        let refused = Store::redis(&redis.url(), "test", patient())
            .await
            .expect_err("refused");
        assert_eq!(refused.kind(), Kind::Invalid);
        assert!(refused.to_string().contains("allkeys-lru"), "{refused}");
        let allowed = RedisOptions {
            allow_eviction: true,
            ..patient()
        };
        Store::redis(&redis.url(), "test", allowed)
            .await
            .expect("allowed");
        redis
            .command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])
            .expect("set");
        Store::redis(&redis.url(), "test", patient())
            .await
            .expect("fit");
    });
}

#[test]
fn a_server_that_hides_its_policy_is_refused_unless_allowed() {
    run(async {
        let hide = [
            "--rename-command",
            "CONFIG",
            "",
            "--rename-command",
            "INFO",
            "",
        ];
        let redis = Redis::start_with(&hide).expect("start redis");
        let refused = Store::redis(&redis.url(), "test", patient())
            .await
            .expect_err("refused");
        assert_eq!(refused.kind(), Kind::Invalid);
        assert!(refused.to_string().contains("allow_eviction"), "{refused}");
        let allowed = RedisOptions {
            allow_eviction: true,
            ..patient()
        };
        Store::redis(&redis.url(), "test", allowed)
            .await
            .expect("allowed");
    });
}

#[test]
fn a_cluster_that_is_not_made_yet_is_waited_for() {
    run(async {
        let redis = Redis::start_with(&["--cluster-enabled", "yes"]).expect("start redis");
        let early = Store::redis(&redis.url(), "test", patient()).await;
        assert_eq!(early.expect_err("no slots").kind(), Kind::Retry);
    });
}

#[test]
fn several_servers_that_are_no_cluster_are_refused() {
    run(async {
        let redis = [(); 2].map(|()| Redis::start().expect("start redis"));
        let ports = redis.each_ref().map(Redis::port);
        let url = format!("redis://127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
        let refused = Store::redis(&url, "test", patient()).await;
        let refused = refused.expect_err("refused");
        assert_eq!(refused.kind(), Kind::Invalid);
        assert!(
            refused.to_string().contains("no Redis Cluster"),
            "{refused}"
        );
    });
}

#[test]
fn secrets_are_never_shown() {
    run(async {
        let redis = Redis::start().expect("start redis");
        redis
            .command(&["CONFIG", "SET", "requirepass", "right-secret"])
            .expect("set a password");
        let port = redis.port();
        let wrong = format!("redis://:wrong-secret@127.0.0.1:{port}");
        let store = Store::redis_unchecked(&wrong, "test", patient()).expect("a url");
        let refused = store.get_rows(&[key(1, b"a")]).await.expect_err("refused");
        assert_eq!(refused.kind(), Kind::Invalid, "{refused}");
        let malformed = Store::redis_unchecked("redis//:wrong-secret@x", "test", patient());
        let away = Store::redis("redis://:wrong-secret@127.0.0.1:1", "test", hasty()).await;
        let shown = format!("{refused} {refused:?} {store:?} {malformed:?} {away:?}");
        assert!(!shown.contains("wrong-secret"), "{shown}");
        let right = format!("redis://:right-secret@127.0.0.1:{port}");
        Store::redis(&right, "test", patient())
            .await
            .expect("connect");
    });
}

#[test]
fn projects_do_not_meet() {
    run(async {
        let redis = Redis::start().expect("start redis");
        let one = Store::redis(&redis.url(), "one", patient())
            .await
            .expect("connect");
        let two = Store::redis(&redis.url(), "two", patient())
            .await
            .expect("connect");
        let a = key(1, b"a");
        one.put_rows(&[row(&a, version(1), b"x")])
            .await
            .expect("put");
        one.put_marker(None, &marker(ShardRange::ALL, version(1)))
            .await
            .expect("put marker");
        assert_eq!(
            two.get_rows(std::slice::from_ref(&a)).await.expect("get"),
            [None]
        );
        assert_eq!(two.scan_keys().await.expect("scan"), []);
        assert_eq!(two.markers().await.expect("markers"), []);
        for project in ["", "a b", "a{b}", "a*"] {
            let refused = Store::redis_unchecked(&redis.url(), project, patient());
            assert_eq!(refused.expect_err("refused").kind(), Kind::Invalid);
        }
    });
}

#[test]
fn keys_keep_their_bytes() {
    run(async {
        // Golden: other programs find rows by these.
        let redis = Redis::start().expect("start redis");
        let store = Store::redis(&redis.url(), "card_risk", patient())
            .await
            .expect("connect");
        store
            .put_rows(&[row(&key(0x4142_4344, b"e"), version(1), b"x")])
            .await
            .expect("put");
        store
            .put_marker(None, &marker(ShardRange::ALL, version(1)))
            .await
            .expect("put marker");
        let length = redis
            .command(&["STRLEN", "tr:card_risk:r{e}ABCD\0\0\0\0"])
            .expect("length");
        assert_eq!(length.trim_start_matches(':'), "17");
        let there = redis
            .command(&["HEXISTS", "tr:card_risk:markers", "0-255"])
            .expect("exists");
        assert_eq!(there.trim_start_matches(':'), "1");
    });
}

//! What the tests of the online stores share: a place of each kind, and short ways to say things.

#![allow(dead_code, reason = "each test uses its part")]

use bytes::Bytes;
use std::time::{Duration as Span, Instant};
use tempfile::TempDir;
use tiderace_online::{
    Clock, EmbeddedOptions, EmbeddedStore, MemoryStore, RedisAccess, RedisLogin, RedisOptions,
    RedisSentinel, RowWrite, Store,
};
use tiderace_testkit::redis::{Cluster, MASTER, PASSWORD, Redis, Sentinels};
use tiderace_types::{
    CoveredFrom, Duration, Generation, Marker, Partition, PartitionPosition, Positions, RowKey,
    ShardRange, SourceId, Timestamp, Version, ViewId, ViewMarker,
};

/// An empty store and what is behind it.
pub enum Place {
    Redis(Redis, Store),
    Cluster(Cluster, Store),
    Sentinels(Sentinels, Store),
    Embedded(TempDir, Store, Clock),
    Memory(MemoryStore, Clock),
}

/// Deadlines that a loaded machine keeps.
pub fn patient() -> RedisOptions {
    RedisOptions {
        write_deadline: Span::from_secs(20),
        read_deadline: Span::from_secs(20),
        allow_eviction: false,
    }
}

impl Place {
    async fn redis() -> Place {
        let redis = Redis::start().expect("start redis");
        let store = Store::redis(&redis.url(), "test", patient()).await;
        Place::Redis(redis, store.expect("connect"))
    }

    async fn cluster() -> Place {
        let cluster = Cluster::start(3, 0, &[]).expect("start a cluster");
        let store = Store::redis(&cluster.url(), "test", patient()).await;
        Place::Cluster(cluster, store.expect("connect"))
    }

    async fn sentinels() -> Place {
        let sentinels = Sentinels::start().expect("start sentinels");
        let store = behind(&sentinels, patient());
        store.check().await.expect("connect");
        Place::Sentinels(sentinels, store)
    }

    fn embedded() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::manual(Timestamp(1_000_000));
        let options = EmbeddedOptions {
            memory_bytes: 8 << 20,
        };
        let store = EmbeddedStore::open(folder.path(), options, clock.clone()).expect("open");
        Place::Embedded(folder, Store::Embedded(store), clock)
    }

    fn memory() -> Place {
        let clock = Clock::manual(Timestamp(1_000_000));
        Place::Memory(MemoryStore::new(clock.clone()), clock)
    }

    pub fn store(&self) -> Store {
        match self {
            Place::Redis(_, store)
            | Place::Cluster(_, store)
            | Place::Sentinels(_, store)
            | Place::Embedded(_, store, _) => store.clone(),
            Place::Memory(store, _) => Store::Memory(store.clone()),
        }
    }

    /// Lets time pass: by setting the clock, or by waiting until `passed` sees it.
    pub async fn pass(&self, span: Duration, mut passed: impl AsyncFnMut() -> bool) {
        if let Place::Embedded(_, _, clock) | Place::Memory(_, clock) = self {
            clock.set(clock.now().plus(span));
            assert!(passed().await);
            return;
        }
        let deadline = Instant::now() + Span::from_secs(20);
        while !passed().await {
            assert!(Instant::now() < deadline, "waited for {span}");
            tokio::task::yield_now().await;
        }
    }

    /// A way to empty the store behind its users' backs, where there is one.
    pub fn empty(&self) -> Option<Box<dyn Fn() + '_>> {
        match self {
            Place::Redis(redis, _) => Some(Box::new(|| {
                redis.flush().expect("flush");
                redis.command(&["SCRIPT", "FLUSH"]).expect("forget scripts");
            })),
            Place::Cluster(cluster, _) => Some(Box::new(|| {
                for node in cluster.nodes() {
                    node.flush().expect("flush");
                    node.command(&["SCRIPT", "FLUSH"]).expect("forget scripts");
                }
            })),
            Place::Sentinels(sentinels, _) => Some(Box::new(|| {
                let master = &sentinels.servers()[sentinels.master().expect("a master")];
                master.flush().expect("flush");
                master
                    .command(&["SCRIPT", "FLUSH"])
                    .expect("forget scripts");
            })),
            Place::Embedded(..) => None,
            Place::Memory(store, _) => Some(Box::new(|| store.clear())),
        }
    }
}

/// Runs a test on an empty store of each kind.
pub fn on_each(test: impl AsyncFn(&Place)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let redis = [
            Place::redis().await,
            Place::cluster().await,
            Place::sentinels().await,
        ];
        for place in [Place::memory(), Place::embedded()]
            .into_iter()
            .chain(redis)
        {
            test(&place).await;
        }
    });
}

/// The store whose master sentinels tell of.
pub fn behind(sentinels: &Sentinels, options: RedisOptions) -> Store {
    let access = RedisAccess {
        sentinel: Some(RedisSentinel {
            master: MASTER.to_owned(),
            login: Some(RedisLogin {
                user: None,
                password: PASSWORD.to_owned(),
            }),
        }),
        ..RedisAccess::default()
    };
    let store = Store::redis_with_access(&sentinels.url(), &access, "test", options);
    store.expect("a store")
}

pub fn key(view: u32, entity: &[u8]) -> RowKey {
    RowKey {
        view: ViewId(view),
        generation: Generation(0),
        entity: entity.into(),
    }
}

pub fn version(seq: u64) -> Version {
    Version { epoch: 1, seq }
}

pub fn row(key: &RowKey, version: Version, rest: &[u8]) -> RowWrite {
    RowWrite {
        key: key.clone(),
        value: Bytes::from([&version.to_bytes()[..], rest].concat()),
        ttl: None,
    }
}

pub fn marker(shards: ShardRange, version: Version) -> Marker {
    let partition = Partition {
        source: SourceId(1),
        number: 0,
    };
    let position = PartitionPosition {
        next: 7,
        clock: Timestamp(8),
    };
    Marker {
        version,
        incarnation: 3,
        shards,
        written_at: Timestamp(10),
        positions: Positions([(partition, position)].into()),
        views: vec![ViewMarker {
            view: ViewId(1),
            generation: Generation(0),
            fingerprint: 5,
            covered_from: CoveredFrom::Beginning,
            caught_up_at: Timestamp(9),
            clock: Timestamp(8),
            least_lag: Duration::ZERO,
        }],
    }
}

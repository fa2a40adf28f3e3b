//! A lane's hand on a store: what it tells of a Redis that was emptied, that went back, or whose
//! acknowledgements were lost; alone, behind sentinels and as a cluster.

mod support;

use support::{behind, key, marker, patient, row, version};
use tiderace_online::{Kind, Loss, Lost, Marked, MemoryStore, Part, RowWrite, Store, Writer};
use tiderace_testkit::redis::{Cluster, Redis, Sentinels};
use tiderace_types::{Marker, RowKey, ShardRange, Version};

const MIB: usize = 1 << 20;

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test);
}

/// A writer with the versions that a lane would give.
struct Hand {
    writer: Writer,
    seq: u64,
}

impl Hand {
    fn new(store: &Store, recent: usize) -> Hand {
        let writer = Writer::new(store.clone(), ShardRange::ALL, 1, recent, []);
        Hand { writer, seq: 0 }
    }

    fn next(&mut self) -> Version {
        self.seq += 1;
        version(self.seq)
    }

    async fn put(&mut self, keys: &[RowKey]) {
        let rows: Vec<RowWrite> = keys.iter().map(|key| row(key, self.next(), b"x")).collect();
        self.writer.put_rows(&rows).await.expect("put");
    }

    async fn mark(&mut self, healing: &[Part]) -> Marked {
        let incarnation = 1000 + self.seq;
        let marker = Marker {
            incarnation,
            ..marker(ShardRange::ALL, self.next())
        };
        let opening = Marker {
            version: self.next(),
            views: Vec::new(),
            ..marker.clone()
        };
        let marked = self.writer.mark(&marker, &opening, healing).await;
        marked.expect("mark")
    }

    /// Marks and tells what was lost.
    async fn lost(&mut self, healing: &[Part]) -> Vec<Loss> {
        match self.mark(healing).await {
            Marked::Written { lost, .. } => lost,
            Marked::Fenced { found } => panic!("fenced by {found}"),
        }
    }
}

fn all(parts: &[Part]) -> Vec<Loss> {
    let all = |part: &Part| Loss {
        part: *part,
        rows: Lost::All,
    };
    parts.iter().map(all).collect()
}

fn keys(from: u32, to: u32) -> Vec<RowKey> {
    (from..to).map(|n| key(1, &n.to_be_bytes())).collect()
}

/// Tells how many views the markers of each part speak for.
async fn spoken_for(store: &Store) -> Vec<(Part, usize)> {
    let parts = store.markers_by_part().await.expect("markers");
    let views = |markers: Vec<Marker>| markers.iter().map(|marker| marker.views.len()).sum();
    parts
        .into_iter()
        .map(|(part, markers)| (part, views(markers)))
        .collect()
}

#[test]
fn a_new_store_is_opened_and_an_emptied_one_again() {
    run(async {
        let redis = Redis::start().expect("redis");
        let memory = MemoryStore::new(tiderace_online::Clock::Wall);
        let there = Store::redis(&redis.url(), "test", patient()).await;
        for store in [there.expect("connect"), Store::Memory(memory.clone())] {
            let mut hand = Hand::new(&store, MIB);
            assert_eq!(hand.lost(&[]).await, all(&[Part::WHOLE]));
            assert_eq!(spoken_for(&store).await, [(Part::WHOLE, 0)]);
            hand.put(&keys(0, 10)).await;
            assert_eq!(hand.lost(&[Part::WHOLE]).await, [], "it is being healed");
            assert_eq!(spoken_for(&store).await, [(Part::WHOLE, 0)]);
            assert_eq!(hand.lost(&[]).await, []);
            assert_eq!(spoken_for(&store).await, [(Part::WHOLE, 1)]);
            redis.flush().expect("flush");
            memory.clear();
            assert_eq!(hand.lost(&[]).await, all(&[Part::WHOLE]));
            assert_eq!(spoken_for(&store).await, [(Part::WHOLE, 0)]);
        }
    });
}

#[test]
fn a_server_that_went_back_says_what_it_lacks() {
    run(async {
        let mut redis = Redis::start_with(&["--dbfilename", "kept.rdb"]).expect("redis");
        let store = Store::redis(&redis.url(), "test", patient()).await;
        let store = store.expect("connect");
        let mut hand = Hand::new(&store, MIB);
        hand.lost(&[]).await;
        hand.put(&keys(0, 100)).await;
        assert_eq!(hand.lost(&[]).await, []);
        let these = |keys: Vec<RowKey>| {
            vec![Loss {
                part: Part::WHOLE,
                rows: Lost::These(keys),
            }]
        };
        // The rows, the marker after them, and rows after that.
        redis.command(&["SAVE"]).expect("save");
        hand.put(&keys(50, 60)).await;
        hand.lost(&[]).await;
        hand.put(&keys(70, 80)).await;
        redis.restart().expect("back");
        let lost = [keys(50, 60), keys(70, 80)].concat();
        assert_eq!(hand.lost(&[]).await, these(lost));
        assert_eq!(spoken_for(&store).await, [(Part::WHOLE, 0)]);
        hand.put(&keys(50, 80)).await;
        assert_eq!(hand.lost(&[]).await, [], "it is whole again");
        // Rows alone: the marker is the expected one, but the receipt is not.
        redis.command(&["SAVE"]).expect("save");
        hand.put(&keys(90, 95)).await;
        redis.restart().expect("back");
        assert_eq!(hand.lost(&[]).await, these(keys(90, 95)));
        hand.put(&keys(90, 95)).await;
        assert_eq!(hand.lost(&[]).await, []);
        // Rows, unnoticed until others were put: those must not hide it.
        redis.command(&["SAVE"]).expect("save");
        hand.put(&keys(10, 12)).await;
        redis.restart().expect("back");
        hand.put(&keys(20, 22)).await;
        let lost = [keys(10, 12), keys(20, 22)].concat();
        assert_eq!(hand.lost(&[]).await, these(lost));
        hand.put(&keys(10, 12)).await;
        // Nothing at all.
        hand.lost(&[]).await;
        redis.command(&["SAVE"]).expect("save");
        redis.restart().expect("back");
        assert_eq!(hand.lost(&[]).await, []);
    });
}

#[test]
fn what_went_back_further_than_is_remembered_gets_everything() {
    run(async {
        let mut redis = Redis::start_with(&["--dbfilename", "kept.rdb"]).expect("redis");
        let store = Store::redis(&redis.url(), "test", patient()).await;
        let mut hand = Hand::new(&store.expect("connect"), 2000);
        hand.lost(&[]).await;
        hand.put(&keys(0, 10)).await;
        hand.lost(&[]).await;
        redis.command(&["SAVE"]).expect("save");
        for from in 0..20 {
            hand.put(&keys(from * 10, from * 10 + 10)).await;
        }
        redis.restart().expect("back");
        assert_eq!(hand.lost(&[]).await, all(&[Part::WHOLE]));
    });
}

#[test]
fn a_newer_owner_fences() {
    run(async {
        let store = Store::memory();
        let mut hand = Hand::new(&store, MIB);
        hand.lost(&[]).await;
        let found = Version { epoch: 2, seq: 0 };
        let newer = marker(ShardRange::ALL, found);
        store.put_marker(None, &newer).await.expect("put");
        assert_eq!(hand.mark(&[]).await, Marked::Fenced { found });
    });
}

#[test]
fn one_server_of_a_cluster_loses_its_parts_alone() {
    run(async {
        let cluster = Cluster::start(3, 0, &[]).expect("cluster");
        let store = Store::redis(&cluster.url(), "test", patient()).await;
        let store = store.expect("connect");
        let mut hand = Hand::new(&store, MIB);
        let parts = store.parts().await.expect("parts");
        assert!(parts.len() >= 16, "{parts:?}");
        assert_eq!(hand.lost(&[]).await, all(&parts));
        let keys = keys(0, 300);
        hand.put(&keys).await;
        assert_eq!(hand.lost(&[]).await, []);
        cluster.nodes()[1].flush().expect("flush");
        let held: Vec<bool> = {
            let rows = store.get_rows(&keys).await.expect("get");
            rows.iter().map(Option::is_some).collect()
        };
        let lost = hand.lost(&[]).await;
        let gone: Vec<Part> = lost.iter().map(|loss| loss.part).collect();
        assert_eq!(lost, all(&gone));
        for (key, held) in keys.iter().zip(held) {
            let lost = gone.iter().any(|part| part.holds(&key.entity));
            assert_eq!(lost, !held, "{key:?}");
        }
        for (part, views) in spoken_for(&store).await {
            assert_eq!(views, usize::from(!gone.contains(&part)), "{part}");
        }
        // Rows carry the markers of their own part.
        let found = store.read(&keys).await.expect("read");
        let witnesses = found.witnesses().expect("read").expect("a cluster");
        for (place, key) in keys.iter().enumerate() {
            let (part, _) = witnesses.of(place, key.shard()).expect("a marker");
            assert!(part.holds(&key.entity), "{key:?} is not in {part}");
        }
    });
}

#[test]
fn a_master_that_was_lost_is_followed_and_what_the_next_lacks_is_told() {
    run(async {
        let mut sentinels = Sentinels::start().expect("sentinels");
        let store = behind(&sentinels, patient());
        let mut hand = Hand::new(&store, MIB);
        assert_eq!(hand.lost(&[]).await, all(&[Part::WHOLE]));
        let first = keys(0, 100);
        hand.put(&first).await;
        assert_eq!(hand.lost(&[]).await, []);
        let (old, next) = (0, 1);
        assert_eq!(sentinels.master(), Some(old));
        sentinels.wait_replicated().expect("a replica that has it");
        // What comes now its replica has certainly not seen.
        sentinels.server(next).pause();
        let closed = sentinels.servers()[old].command(&["CLIENT", "KILL", "TYPE", "replica"]);
        closed.expect("close its connection");
        let later = keys(100, 120);
        hand.put(&later).await;
        assert_eq!(hand.lost(&[]).await, []);

        sentinels.server(old).kill();
        sentinels.server(next).resume();
        sentinels.wait_master(next).expect("a failover");
        // Repeating is safe, and the answer is the next master's.
        let rows = loop {
            match store.get_rows(&later).await {
                Ok(rows) => break rows,
                Err(error) => assert_eq!(error.kind(), Kind::Retry, "{error}"),
            }
        };
        assert!(rows.iter().all(Option::is_none));
        assert!(store.get_rows(&first).await.expect("get")[0].is_some());
        let lost = hand.lost(&[]).await;
        let [
            Loss {
                part,
                rows: Lost::These(names),
            },
        ] = &lost[..]
        else {
            panic!("{lost:?}");
        };
        assert_eq!(*part, Part::WHOLE);
        let mut names = names.clone();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, later);
        // Nothing is vouched for until it is whole again.
        assert_eq!(spoken_for(&store).await, [(Part::WHOLE, 0)]);
        hand.put(&later).await;
        assert_eq!(hand.lost(&[]).await, []);
        assert_eq!(spoken_for(&store).await, [(Part::WHOLE, 1)]);

        // The old one comes back as a replica, and nothing of it wins.
        sentinels.server(old).restart().expect("it starts");
        sentinels.wait_ready().expect("it is a replica");
        assert_eq!(sentinels.master(), Some(next));
        assert!(store.get_rows(&later).await.expect("get")[0].is_some());
        assert_eq!(hand.lost(&[]).await, []);
    });
}

//! What every store does, held against RocksDB and its twin alike.

mod support;

use support::{append, bytes, key, load, on_each, positions, rows};
use tiderace_state::{ArchiveNote, Commit, Kind, MemoryStore, Store, Sweep, ViewState, Write};
use tiderace_types::{
    CoveredFrom, Generation, Ledger, Outcome, Positions, RowKey, ShardRange, SourceId, Timestamp,
    ViewId,
};

const LOW: ShardRange = ShardRange {
    first: 0,
    last: 127,
};
const HIGH: ShardRange = ShardRange {
    first: 128,
    last: 255,
};

/// Entities whose shards lie in `lane`.
fn entities(lane: ShardRange, count: usize) -> Vec<RowKey> {
    let all = (0u32..).map(|n| key(1, &n.to_be_bytes()));
    all.filter(|key| lane.contains(key.shard()))
        .take(count)
        .collect()
}

fn owing(lane: ShardRange, outbox: Vec<RowKey>, outbox_done: Option<u64>) -> Commit {
    Commit {
        lane,
        shards: lane,
        outbox,
        segments: Vec::new(),
        outbox_done,
        ..rows(Vec::new())
    }
}

#[test]
fn ledgers_are_kept_by_shards() {
    on_each(|place, store| {
        let source = SourceId(7);
        let counted = |count| {
            let mut ledger = Ledger::default();
            ledger.read(source, count);
            ledger.note(source, Outcome::Applied, count);
            ledger
        };
        let commit = |lane, count| Commit {
            lane,
            shards: lane,
            ledger: counted(count),
            ..rows(Vec::new())
        };
        store.commit(commit(LOW, 1)).expect("commit");
        store.commit(commit(HIGH, 3)).expect("commit");
        store.commit(commit(LOW, 2)).expect("commit");
        let store = place.reopen(store);
        let ledgers = || store.ledgers().expect("ledgers");
        assert_eq!(ledgers(), [(LOW, counted(2)), (HIGH, counted(3))]);
        let whole = [(ShardRange::ALL, counted(5))];
        store.recut(&[], &whole).expect("cut");
        assert_eq!(ledgers(), whole);
    });
}

#[test]
fn a_row_is_its_blocks_in_order_of_commits() {
    on_each(|place, store| {
        let (a, b) = (key(1, b"a"), key(1, b"b"));
        let first = store
            .commit(rows(vec![append(&a, b"1"), append(&b, b"x")]))
            .expect("commit");
        let second = store.commit(rows(vec![append(&a, b"2")])).expect("commit");
        assert!(first < second);
        let check = |store: &Store| {
            let found = store
                .load(&[b.clone(), key(1, b"none"), a.clone(), b.clone()])
                .expect("load");
            let texts: Vec<_> = found.iter().map(|row| bytes(row)).collect();
            assert_eq!(
                texts,
                [vec![&b"x"[..]], vec![], vec![b"1", b"2"], vec![b"x"]]
            );
            let seqs: Vec<u64> = found[2].iter().map(|block| block.seq).collect();
            assert_eq!(seqs, [first, second]);
        };
        check(&store);
        let store = place.reopen(store);
        check(&store);
        let third = store.commit(rows(vec![append(&a, b"3")])).expect("commit");
        assert!(second < third, "numbers rise over openings");
        store.compact().expect("compact");
        assert_eq!(bytes(&load(&store, &a)), [b"1", b"2", b"3"]);
    });
}

#[test]
fn replace_and_delete_take_only_what_they_name() {
    on_each(|_, store| {
        let a = key(1, b"a");
        let mut seqs = Vec::new();
        for block in [b"1", b"2", b"3"] {
            seqs.push(store.commit(rows(vec![append(&a, block)])).expect("commit"));
        }
        let fold = Write::Replace {
            key: a.clone(),
            block: b"12".to_vec(),
            old: vec![seqs[0], seqs[1], seqs[0]],
        };
        seqs.push(store.commit(rows(vec![fold])).expect("commit"));
        assert_eq!(bytes(&load(&store, &a)), [&b"3"[..], b"12"]);
        let delete = |old: Vec<u64>| {
            rows(vec![Write::Delete {
                key: a.clone(),
                old,
            }])
        };
        store.commit(delete(vec![seqs[3], 999])).expect("commit");
        assert_eq!(bytes(&load(&store, &a)), [b"3"]);
        store.commit(delete(vec![seqs[2]])).expect("commit");
        assert_eq!(load(&store, &a), []);
        assert_eq!(store.scan(ShardRange::ALL, None, 10).expect("scan"), []);
        store.compact().expect("compact");
        assert_eq!(load(&store, &a), []);
    });
}

#[test]
fn keys_of_any_bytes_stay_apart() {
    on_each(|_, store| {
        let entities: [&[u8]; 7] = [
            b"",
            b"\0",
            b"\0\0",
            b"a",
            b"a\0",
            b"a\0\0\0\0\0\0\0\0\0",
            b"\xff\xff",
        ];
        let keys: Vec<RowKey> = entities
            .iter()
            .flat_map(|e| [key(1, e), key(2, e)])
            .collect();
        let block = |key: &RowKey| format!("{key:?}").into_bytes();
        let writes = || keys.iter().map(|key| append(key, &block(key))).collect();
        store.commit(rows(writes())).expect("commit");
        store.commit(rows(writes())).expect("commit");
        for (key, row) in keys.iter().zip(store.load(&keys).expect("load")) {
            assert_eq!(bytes(&row), [&block(key)[..]; 2], "{key:?}");
        }
        let scanned = store.scan(ShardRange::ALL, None, 100).expect("scan");
        assert_eq!(scanned.len(), keys.len());
        assert!(
            scanned
                .iter()
                .all(|(key, row)| bytes(row) == [&block(key)[..]; 2])
        );
        let long = key(1, &vec![7; 65_536]);
        let refused = store
            .load(std::slice::from_ref(&long))
            .expect_err("too long");
        assert_eq!(refused.kind(), Kind::Invalid);
        let longest = key(1, &vec![7; 65_535]);
        store
            .commit(rows(vec![append(&longest, b"x")]))
            .expect("commit");
        assert_eq!(bytes(&load(&store, &longest)), [b"x"]);
    });
}

#[test]
fn scans_go_by_shard_and_resume() {
    on_each(|_, store| {
        let keys = entities(ShardRange::ALL, 500);
        for chunk in keys.chunks(100) {
            store
                .commit(rows(chunk.iter().map(|key| append(key, b"1")).collect()))
                .expect("commit");
            store
                .commit(rows(chunk.iter().map(|key| append(key, b"2")).collect()))
                .expect("commit");
        }
        for range in [
            ShardRange::ALL,
            LOW,
            HIGH,
            ShardRange {
                first: 255,
                last: 255,
            },
            ShardRange { first: 7, last: 9 },
        ] {
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let part = store.scan(range, after.as_ref(), 7).expect("scan");
                assert!(part.len() <= 7 && part.iter().all(|(_, row)| bytes(row) == [b"1", b"2"]));
                let Some((last, _)) = part.last() else { break };
                after = Some(last.clone());
                seen.extend(part.into_iter().map(|(key, _)| key));
            }
            let mut expected: Vec<RowKey> = keys
                .iter()
                .filter(|key| range.contains(key.shard()))
                .cloned()
                .collect();
            expected.sort_by_key(|key| (key.shard(), key.entity.clone()));
            assert_eq!(seen, expected, "{range}");
        }
        assert_eq!(store.scan(ShardRange::ALL, None, 0).expect("scan"), []);
    });
}

#[test]
fn scans_of_a_view_pass_over_others() {
    on_each(|_, store| {
        // Beside one another in the order of keys: generations and views up to the last that there can be.
        let of = |view: u32, generation: u32| (ViewId(view), Generation(generation));
        let kinds = [
            of(0, 0),
            of(0, u32::MAX),
            of(1, 0),
            of(1, 1),
            of(2, 0),
            of(u32::MAX, u32::MAX),
        ];
        let entities: Vec<_> = entities(ShardRange::ALL, 300);
        let row = |(view, generation), entity: &RowKey| RowKey {
            view,
            generation,
            ..entity.clone()
        };
        for kind in kinds {
            let writes = entities
                .iter()
                .map(|entity| append(&row(kind, entity), b"1"));
            store.commit(rows(writes.collect())).expect("commit");
        }
        for range in [ShardRange::ALL, HIGH] {
            let own = entities
                .iter()
                .filter(|entity| range.contains(entity.shard()));
            let mut own: Vec<&RowKey> = own.collect();
            own.sort_by_key(|key| (key.shard(), key.entity.clone()));
            for kind in kinds {
                let mut seen = Vec::new();
                loop {
                    let part = store
                        .scan_view(range, kind, seen.last(), 7)
                        .expect("scanned");
                    assert!(part.len() <= 7);
                    assert!(part.iter().all(|(_, row)| bytes(row) == [b"1"]));
                    if part.is_empty() {
                        break;
                    }
                    seen.extend(part.into_iter().map(|(key, _)| key));
                }
                let expected: Vec<RowKey> = own.iter().map(|entity| row(kind, entity)).collect();
                assert_eq!(seen, expected, "{kind:?} in {range}");
            }
        }
        let none = store.scan_view(ShardRange::ALL, of(1, 2), None, 7);
        assert_eq!(none.expect("scanned"), []);
        let none = store.scan_view(ShardRange::ALL, of(1, 1), None, 0);
        assert_eq!(none.expect("scanned"), []);
    });
}

#[test]
fn a_refused_commit_changes_nothing() {
    on_each(|_, store| {
        let inside = entities(LOW, 1).remove(0);
        let outside = entities(HIGH, 1).remove(0);
        let twice = vec![append(&inside, b"1"), append(&inside, b"2")];
        for writes in [vec![append(&inside, b"1"), append(&outside, b"1")], twice] {
            let commit = Commit {
                lane: LOW,
                shards: LOW,
                outbox: vec![inside.clone()],
                positions: positions(5),
                ..rows(writes)
            };
            assert_eq!(store.commit(commit).expect_err("refused").kind(), Kind::Bug);
        }
        assert_eq!(load(&store, &inside), []);
        assert_eq!(store.positions().expect("positions"), []);
        assert_eq!(store.outbox(LOW).expect("outbox"), []);
    });
}

#[test]
fn a_part_of_a_lane_is_committed_by_itself() {
    on_each(|place, store| {
        let (inside, outside) = (entities(LOW, 1).remove(0), entities(HIGH, 1).remove(0));
        let commit = |key: &RowKey| Commit {
            lane: ShardRange::ALL,
            shards: LOW,
            outbox: vec![key.clone()],
            positions: positions(5),
            ..rows(vec![append(key, b"1")])
        };
        let refused = store
            .commit(commit(&outside))
            .expect_err("it is not of that part");
        assert_eq!(refused.kind(), Kind::Bug);
        let seq = store.commit(commit(&inside)).expect("commit");
        let store = place.reopen(store);
        assert_eq!(store.positions().expect("positions"), [(LOW, positions(5))]);
        // The whole lane owes what its part has changed.
        assert_eq!(
            store.outbox(ShardRange::ALL).expect("outbox"),
            [(seq, vec![inside])]
        );
    });
}

#[test]
fn positions_are_kept_by_lane_and_retired() {
    on_each(|place, store| {
        let commit = |lane, next, retire| Commit {
            lane,
            shards: lane,
            positions: positions(next),
            retire,
            ..rows(Vec::new())
        };
        store
            .commit(commit(ShardRange::ALL, 1, vec![]))
            .expect("commit");
        store.commit(commit(LOW, 2, vec![])).expect("commit");
        store
            .commit(commit(HIGH, 3, vec![ShardRange::ALL, HIGH]))
            .expect("commit");
        store.commit(commit(LOW, 4, vec![])).expect("commit");
        let store = place.reopen(store);
        assert_eq!(
            store.positions().expect("positions"),
            [(LOW, positions(4)), (HIGH, positions(3))]
        );
        store
            .recut(&[(ShardRange::ALL, positions(3))], &[])
            .expect("set");
        assert_eq!(
            store.positions().expect("positions"),
            [(ShardRange::ALL, positions(3))]
        );
        store.recut(&[], &[]).expect("set");
        assert_eq!(store.positions().expect("positions"), []);
        store.commit(owing(LOW, vec![], None)).expect("commit");
        assert_eq!(
            store.positions().expect("positions"),
            [(LOW, Positions::default())]
        );
    });
}

#[test]
fn what_is_owed_waits_until_it_is_paid() {
    on_each(|place, store| {
        let (low, high) = (entities(LOW, 3), entities(HIGH, 2));
        let first = store.commit(owing(LOW, low.clone(), None)).expect("commit");
        let other = store
            .commit(owing(HIGH, high.clone(), None))
            .expect("commit");
        let second = store
            .commit(owing(LOW, low[..1].to_vec(), None))
            .expect("commit");
        let store = place.reopen(store);
        assert_eq!(store.outbox_len(), 3);
        assert_eq!(
            store.outbox(LOW).expect("outbox"),
            [(first, low.clone()), (second, low[..1].to_vec())]
        );
        let third = store
            .commit(owing(LOW, low[1..].to_vec(), Some(first)))
            .expect("commit");
        let store = place.reopen(store);
        assert_eq!(
            store.outbox(LOW).expect("outbox"),
            [(second, low[..1].to_vec()), (third, low[1..].to_vec())]
        );
        store
            .commit(owing(LOW, vec![], Some(third)))
            .expect("commit");
        assert_eq!(store.outbox(LOW).expect("outbox"), []);
        assert_eq!(store.outbox(HIGH).expect("outbox"), [(other, high)]);
    });
}

#[test]
fn debts_follow_their_shards_when_lanes_are_cut_anew() {
    on_each(|place, store| {
        let (low, high) = (entities(LOW, 3), entities(HIGH, 2));
        let both = [&low[..], &high].concat();
        let first = store
            .commit(owing(ShardRange::ALL, both.clone(), None))
            .expect("commit");
        assert_eq!(store.outbox(LOW).expect("outbox"), [(first, low.clone())]);
        store
            .commit(owing(LOW, vec![], Some(first)))
            .expect("commit");
        let store = place.reopen(store);
        assert_eq!(store.outbox(LOW).expect("outbox"), []);
        assert_eq!(store.outbox(HIGH).expect("outbox"), [(first, high.clone())]);
        let second = store.commit(owing(LOW, low.clone(), None)).expect("commit");
        assert_eq!(
            store.outbox(ShardRange::ALL).expect("outbox"),
            [(first, high), (second, low)]
        );
        assert_eq!(
            store.outbox(HIGH).map(|owed| owed.len()).expect("outbox"),
            1
        );
        assert_eq!(store.outbox_len(), 2);
    });
}

#[test]
fn epochs_rise_at_every_opening() {
    on_each(|place, mut store| {
        for epoch in 1..4 {
            assert_eq!(store.epoch(), epoch);
            store = place.reopen(store);
        }
    });
}

#[test]
fn views_and_facts_are_remembered() {
    on_each(|place, store| {
        let state = ViewState {
            generation: Generation(2),
            fingerprint: u64::MAX,
            covered_from: CoveredFrom::Instant(Timestamp(-7)),
        };
        assert_eq!(store.view(ViewId(1)).expect("view"), None);
        assert_eq!(store.get_meta("").expect("meta"), None);
        store.set_view(ViewId(1), state).expect("set");
        store.put_meta("a", b"1").expect("put");
        store.put_meta("", b"").expect("put");
        store.put_meta("a", b"2").expect("put");
        let store = place.reopen(store);
        assert_eq!(store.view(ViewId(1)).expect("view"), Some(state));
        assert_eq!(store.view(ViewId(256)).expect("view"), None);
        assert_eq!(store.views().expect("views"), [(ViewId(1), state)]);
        assert_eq!(store.get_meta("a").expect("meta"), Some(b"2".to_vec()));
        assert_eq!(store.get_meta("").expect("meta"), Some(Vec::new()));
        assert_eq!(store.get_meta("b").expect("meta"), None);
    });
}

#[test]
fn sizes_are_told() {
    on_each(|_, store| {
        store
            .commit(rows(vec![append(&key(1, b"a"), &[7; 1000])]))
            .expect("commit");
        assert!(store.size().expect("size") >= 1000);
        assert!(store.memory().expect("memory").memtables >= 1000);
        store.sync().expect("sync");
    });
}

#[test]
fn the_twin_goes_back_in_time_but_not_past_what_is_durable() {
    let store = MemoryStore::new();
    let Store::Memory(memory) = &store else {
        unreachable!("made in memory")
    };
    let a = key(1, b"a");
    let commit =
        |store: &Store, block: &[u8]| store.commit(rows(vec![append(&a, block)])).expect("commit");
    commit(&store, b"1");
    store.sync().expect("sync");
    commit(&store, b"2");
    let lost = commit(&store, b"3");
    let snapshot = memory.snapshot();
    assert_eq!(snapshot.rewind(1), 1);
    let after = snapshot.reopen();
    assert_eq!(bytes(&load(&after, &a)), [b"1", b"2"]);
    assert!(
        commit(&after, b"4") > lost,
        "a lost number is not given again"
    );
    assert_eq!(
        bytes(&load(&store, &a)),
        [b"1", b"2", b"3"],
        "the copy goes its own way"
    );
    assert_eq!(memory.rewind(9), 2);
    assert_eq!(bytes(&load(&memory.reopen(), &a)), [b"1"]);
}

/// Blocks of `b"old"` are spent in view 1, everything of view 2's generation 0 is.
fn spent(view: ViewId, generation: Generation, block: &[u8]) -> bool {
    match (view, generation) {
        (ViewId(1), _) => block == b"old",
        (ViewId(2), Generation(0)) => true,
        _ => false,
    }
}

#[test]
fn a_sweep_deletes_what_is_spent_and_nothing_else() {
    on_each(|place, store| {
        let entities: Vec<[u8; 4]> = (0..50u32).map(u32::to_be_bytes).collect();
        let of = |view| entities.iter().map(move |entity| key(view, entity));
        let generation = Generation(1);
        let reborn = of(2).map(|key| RowKey { generation, ..key });
        let keys: Vec<RowKey> = of(1).chain(of(2)).chain(of(3)).chain(reborn).collect();
        for block in [&b"old"[..], b"new", b"old"] {
            let writes = keys.iter().map(|key| append(key, block)).collect();
            store.commit(rows(writes)).expect("commit");
        }
        let mut sweep = Sweep::over(LOW);
        while !sweep.done() {
            store.sweep(&mut sweep, 7, &spent).expect("sweep");
        }
        let low = keys.iter().filter(|key| LOW.contains(key.shard())).count() as u64;
        assert_eq!(sweep.seen.blocks, low * 3);
        assert_eq!(sweep.dropped.blocks, low / 4 * 5);
        store.compact_shards(LOW);
        let check = |store: &Store, swept: ShardRange| {
            for (key, row) in keys.iter().zip(store.load(&keys).expect("load")) {
                let gone = swept.contains(key.shard());
                let left = match (key.view.0, key.generation.0) {
                    (1, _) if gone => vec![&b"new"[..]],
                    (2, 0) if gone => vec![],
                    _ => vec![&b"old"[..], b"new", b"old"],
                };
                assert_eq!(bytes(&row), left, "{key:?}");
            }
        };
        check(&store, LOW);
        let store = place.reopen(store);
        check(&store, LOW);
        let mut sweep = Sweep::over(ShardRange::ALL);
        store.sweep(&mut sweep, 100_000, &spent).expect("sweep");
        assert!(sweep.done());
        check(&store, ShardRange::ALL);
        store.compact().expect("compact");
        check(&store, ShardRange::ALL);
        // What is done sweeps nothing more.
        store
            .commit(rows(vec![append(&keys[0], b"old")]))
            .expect("commit");
        let dropped = sweep.dropped;
        store.sweep(&mut sweep, 100_000, &spent).expect("sweep");
        assert_eq!(sweep.dropped, dropped);
    });
}

#[test]
fn a_lane_may_delete_once_more_what_was_swept() {
    on_each(|place, store| {
        let a = key(1, b"a");
        let put = |block: &[u8]| store.commit(rows(vec![append(&a, block)])).expect("commit");
        let old = vec![put(b"old"), put(b"new"), put(b"old")];
        // The blocks lie at the bottom, the sweep's deletes above them, the lane's on top.
        store.compact().expect("compact");
        let mut sweep = Sweep::over(ShardRange::ALL);
        store.sweep(&mut sweep, 10, &spent).expect("sweep");
        let fold = Write::Replace {
            key: a.clone(),
            block: b"folded".to_vec(),
            old,
        };
        store.commit(rows(vec![fold])).expect("commit");
        assert_eq!(bytes(&load(&store, &a)), [b"folded"]);
        store.compact().expect("compact");
        assert_eq!(bytes(&load(&store, &a)), [b"folded"]);
        let store = place.reopen(store);
        assert_eq!(bytes(&load(&store, &a)), [b"folded"]);
    });
}

#[test]
fn a_sweep_of_nothing_spent_changes_nothing() {
    on_each(|_, store| {
        store
            .commit(rows(vec![append(&key(1, b"a"), b"old")]))
            .expect("commit");
        let mut sweep = Sweep::over(ShardRange::ALL);
        assert!(!sweep.done());
        // Nothing is spent: nothing is written, all is looked at.
        store.sweep(&mut sweep, 1, &|_, _, _| false).expect("sweep");
        store.sweep(&mut sweep, 1, &|_, _, _| false).expect("sweep");
        assert!(sweep.done());
        assert_eq!((sweep.seen.blocks, sweep.dropped.blocks), (1, 0));
    });
}

#[test]
fn identities_of_archived_events_are_noted_taken_back_and_forgotten() {
    on_each(|place, store| {
        let (own, other) = (SourceId(7), SourceId(8));
        let note = |flush| ArchiveNote {
            archive: 1,
            flush,
            least: Timestamp(-2),
            greatest: Timestamp(9),
        };
        let instant = |at: i64| (at.cast_unsigned() ^ (1 << 63)).to_be_bytes();
        let of = |at: i64, id: u8| [&instant(at)[..], &[id]].concat();
        let keys: Vec<Vec<u8>> = (-2..10).map(|at| of(at, 1)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        assert_eq!(store.archive_note(own).expect("read"), None);
        store.note_archived(own, note(1), &keys[..6]).expect("note");
        store.note_archived(own, note(2), &keys[6..]).expect("note");
        store.note_archived(other, note(5), &keys).expect("note");
        let store = place.reopen(store);
        assert_eq!(store.archive_note(own).expect("read"), Some(note(2)));
        let flushes = |source| store.archived(source, &keys).expect("read");
        assert_eq!(flushes(own), [[Some(1); 6], [Some(2); 6]].concat());
        assert_eq!(store.archived(own, &[&of(3, 2)]).expect("read"), [None]);

        let span = (Timestamp(3), Timestamp(5));
        store.take_back_archived(own, 1, span).expect("take back");
        let left = [&[Some(1); 6][..], &[None; 2], &[Some(2); 4]].concat();
        assert_eq!(flushes(own), left);
        let nothing = (Timestamp::MAX, Timestamp::MIN);
        store.take_back_archived(own, 0, nothing).expect("nothing");
        assert_eq!(flushes(own), left);
        let all = (Timestamp::MIN, Timestamp::MAX);
        store.take_back_archived(own, 1, all).expect("take back");
        assert_eq!(flushes(own), [[Some(1); 6], [None; 6]].concat());

        store.forget_archived(own, Timestamp(0)).expect("forget");
        assert_eq!(
            flushes(own),
            [&[None; 2][..], &[Some(1); 4], &[None; 6]].concat()
        );
        store.forget_archived(own, Timestamp::MAX).expect("forget");
        assert_eq!(flushes(own), [None; 12]);
        assert_eq!(flushes(other), [Some(5); 12]);
    });
}

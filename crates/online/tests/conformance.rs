//! What every online store does, held against Redis, the embedded store and memory alike.

mod support;

use bytes::Bytes;
use support::{Place, key, marker, on_each, row, version};
use tiderace_online::{Kind, MarkerWrite, RowWrite};
use tiderace_types::{Duration, Generation, RowKey, ShardRange, Timestamp, Version, ViewId};

const LOW: ShardRange = ShardRange {
    first: 0,
    last: 127,
};
const HIGH: ShardRange = ShardRange {
    first: 128,
    last: 255,
};

#[test]
fn the_greatest_version_stays() {
    on_each(async |place: &Place| {
        let store = place.store();
        let a = key(1, b"a");
        // Every byte of the version decides, as a number and not as text.
        let versions = [
            Version {
                epoch: 0,
                seq: 0x7f,
            },
            Version {
                epoch: 0,
                seq: 0x80,
            },
            Version {
                epoch: 0,
                seq: 0xff00,
            },
            Version {
                epoch: 0,
                seq: 1 << 32,
            },
            Version {
                epoch: 0,
                seq: u64::MAX,
            },
            Version { epoch: 1, seq: 0 },
            Version {
                epoch: 0x41,
                seq: 0,
            },
            Version {
                epoch: 0x61,
                seq: 0,
            },
            Version {
                epoch: 1 << 31,
                seq: 7,
            },
            Version {
                epoch: 1 << 63,
                seq: 0,
            },
        ];
        for (i, low) in versions.iter().enumerate() {
            for (j, high) in versions.iter().enumerate().skip(i) {
                let entity = [i as u8, j as u8];
                let (up, down) = (key(1, &entity), key(2, &entity));
                store
                    .put_rows(&[row(&up, *low, b"low"), row(&down, *high, b"high")])
                    .await
                    .expect("put");
                store
                    .put_rows(&[row(&up, *high, b"high"), row(&down, *low, b"low")])
                    .await
                    .expect("put");
                let winner = if i == j { &b"low"[..] } else { b"high" };
                let found = store.get_rows(&[up, down]).await.expect("get");
                let texts: Vec<_> = found
                    .iter()
                    .map(|row| row.as_deref().map(|b| &b[16..]))
                    .collect();
                assert_eq!(
                    texts,
                    [Some(winner), Some(&b"high"[..])],
                    "{low} and {high}"
                );
            }
        }
        // In one call too.
        let twice = [row(&a, version(2), b"new"), row(&a, version(1), b"old")];
        store.put_rows(&twice).await.expect("put");
        let found = store.get_rows(std::slice::from_ref(&a)).await.expect("get");
        assert_eq!(found, [Some(twice[0].value.clone())]);
    });
}

#[test]
fn absent_rows_are_none_and_answers_keep_their_order() {
    on_each(async |place: &Place| {
        let store = place.store();
        assert_eq!(store.get_rows(&[]).await.expect("get"), []);
        store.put_rows(&[]).await.expect("put");
        let views: Vec<RowKey> = (0..40).map(|view| key(view, b"one entity")).collect();
        let writes: Vec<RowWrite> = views
            .iter()
            .step_by(2)
            .map(|key| row(key, version(1), &key.view.0.to_be_bytes()))
            .collect();
        store.put_rows(&writes).await.expect("put");
        let found = store.get_rows(&views).await.expect("get");
        for (i, (key, row)) in views.iter().zip(found).enumerate() {
            let expected = (i % 2 == 0).then(|| key.view.0.to_be_bytes().to_vec());
            assert_eq!(row.map(|bytes| bytes[16..].to_vec()), expected, "view {i}");
        }
        let repeated = [views[0].clone(), views[1].clone(), views[0].clone()];
        let found = store.get_rows(&repeated).await.expect("get");
        assert!(found[0].is_some() && found[1].is_none() && found[0] == found[2]);
    });
}

#[test]
fn keys_of_any_bytes_stay_apart() {
    on_each(async |place: &Place| {
        let store = place.store();
        let entities: [&[u8]; 10] = [
            b"",
            b"\0",
            b"\0\0",
            b"}",
            b"{",
            b"a}",
            b"a}b{",
            b"*?[a]\\",
            b"\r\n$5",
            b"\xff\xfe",
        ];
        let mut keys = Vec::new();
        for entity in entities {
            for (view, generation) in [(0, 0), (1, 0), (0, 1), (0x7d, 0x7b), (u32::MAX, u32::MAX)] {
                keys.push(RowKey {
                    view: ViewId(view),
                    generation: Generation(generation),
                    entity: entity.into(),
                });
            }
        }
        let value = |key: &RowKey| format!("{key:?}\0\r\n").into_bytes();
        let writes: Vec<RowWrite> = keys
            .iter()
            .map(|key| row(key, version(1), &value(key)))
            .collect();
        store.put_rows(&writes).await.expect("put");
        for (key, found) in keys.iter().zip(store.get_rows(&keys).await.expect("get")) {
            assert_eq!(found.expect("there")[16..], value(key), "{key:?}");
        }
        keys.sort_unstable();
        assert_eq!(store.scan_keys().await.expect("scan"), keys);
    });
}

#[test]
fn large_batches_are_all_there() {
    on_each(async |place: &Place| {
        let store = place.store();
        let keys: Vec<RowKey> = (0u32..5000).map(|n| key(1, &n.to_be_bytes())).collect();
        let writes: Vec<RowWrite> = keys
            .iter()
            .map(|key| row(key, version(1), &[7; 2000]))
            .collect();
        store.put_rows(&writes).await.expect("put");
        let found = store.get_rows(&keys).await.expect("get");
        assert!(
            found
                .iter()
                .zip(&writes)
                .all(|(found, write)| found.as_ref() == Some(&write.value))
        );
        assert_eq!(store.scan_keys().await.expect("scan").len(), keys.len());
    });
}

#[test]
fn rows_expire_and_are_then_absent_to_everyone() {
    on_each(async |place: &Place| {
        let store = place.store();
        let (short, long, ever) = (key(1, b"short"), key(1, b"long"), key(1, b"ever"));
        let write = |key: &RowKey, seq, ttl: Option<i64>| RowWrite {
            ttl: ttl.map(Duration::from_millis),
            ..row(key, version(seq), b"x")
        };
        let keys = [short.clone(), long.clone(), ever.clone()];
        store
            .put_rows(&[
                write(&short, 5, Some(300)),
                write(&long, 5, Some(3_600_000)),
                write(&ever, 5, None),
            ])
            .await
            .expect("put");
        assert!(
            store
                .get_rows(&keys)
                .await
                .expect("get")
                .iter()
                .all(Option::is_some)
        );
        place
            .pass(Duration::from_millis(301), async || {
                store.get_rows(&keys[..1]).await.expect("get")[0].is_none()
            })
            .await;
        let found = store.get_rows(&keys).await.expect("get");
        assert!(found[0].is_none() && found[1].is_some() && found[2].is_some());
        assert_eq!(
            store.scan_keys().await.expect("scan"),
            [ever.clone(), long.clone()]
        );
        // Nothing is left to fence an older version.
        store
            .put_rows(&[write(&short, 1, None)])
            .await
            .expect("put");
        assert!(store.get_rows(&keys).await.expect("get")[0].is_some());
    });
}

#[test]
fn a_row_without_a_time_to_live_loses_the_one_it_had() {
    on_each(async |place: &Place| {
        let store = place.store();
        let keys = [key(1, b"kept"), key(1, b"gone")];
        let ttl = Some(Duration::from_millis(200));
        for key in &keys {
            store
                .put_rows(&[RowWrite {
                    ttl,
                    ..row(key, version(1), b"x")
                }])
                .await
                .expect("put");
        }
        store
            .put_rows(&[row(&keys[0], version(2), b"y")])
            .await
            .expect("put");
        // A write that is fenced leaves the time to live alone.
        store
            .put_rows(&[row(&keys[1], version(1), b"y")])
            .await
            .expect("put");
        place
            .pass(Duration::from_millis(201), async || {
                store.get_rows(&keys).await.expect("get")[1].is_none()
            })
            .await;
        assert!(store.get_rows(&keys).await.expect("get")[0].is_some());
    });
}

#[test]
fn a_row_without_a_version_is_refused() {
    on_each(async |place: &Place| {
        let store = place.store();
        let a = key(1, b"a");
        let bad = RowWrite {
            key: a.clone(),
            value: Bytes::from_static(b"15 bytes at most"[..15].as_ref()),
            ttl: None,
        };
        let refused = store.put_rows(&[row(&a, version(1), b"x"), bad]).await;
        assert_eq!(refused.expect_err("refused").kind(), Kind::Bug);
        assert_eq!(store.get_rows(&[a]).await.expect("get"), [None]);
    });
}

#[test]
fn markers_are_fenced_and_losses_are_seen() {
    use MarkerWrite::{Fenced, Lost, Written};
    on_each(async |place: &Place| {
        let store = place.store();
        let put = async |expected: Option<u64>, new: u64| {
            let written = store
                .put_marker(expected.map(version), &marker(LOW, version(new)))
                .await;
            written.expect("put marker")
        };
        let held = async || -> Option<Version> {
            let markers = store.markers().await.expect("markers");
            markers.first().map(|marker| marker.version)
        };
        assert_eq!(put(Some(1), 2).await, Lost { found: None });
        assert_eq!(held().await, None);
        assert_eq!(put(None, 5).await, Written);
        assert_eq!(put(Some(5), 6).await, Written);
        assert_eq!(
            put(Some(5), 6).await,
            Written,
            "its acknowledgement was lost"
        );
        assert_eq!(
            put(Some(7), 8).await,
            Lost {
                found: Some(version(6))
            }
        );
        assert_eq!(put(Some(4), 5).await, Fenced { found: version(6) });
        assert_eq!(put(None, 5).await, Fenced { found: version(6) });
        assert_eq!(held().await, Some(version(6)));
        assert_eq!(put(None, 6).await, Written);
        assert_eq!(put(None, 300).await, Written);
        assert_eq!(
            put(Some(6), 200).await,
            Fenced {
                found: version(300)
            }
        );
        assert_eq!(held().await, Some(version(300)));
        assert_eq!(
            store.markers().await.expect("markers"),
            [marker(LOW, version(300))]
        );
    });
}

#[test]
fn a_newer_owner_of_any_overlapping_range_fences() {
    on_each(async |place: &Place| {
        let store = place.store();
        let put = async |range, expected: Option<u64>, new: u64| {
            let marker = marker(range, version(new));
            store
                .put_marker(expected.map(version), &marker)
                .await
                .expect("put marker")
        };
        assert_eq!(put(ShardRange::ALL, None, 5).await, MarkerWrite::Written);
        assert_eq!(put(LOW, None, 10).await, MarkerWrite::Written);
        assert_eq!(put(HIGH, None, 11).await, MarkerWrite::Written);
        store.retire_markers(LOW, LOW).await.expect("retire");
        let fenced = MarkerWrite::Fenced { found: version(11) };
        assert_eq!(put(ShardRange::ALL, Some(5), 6).await, fenced);
        assert_eq!(put(ShardRange::ALL, None, 6).await, fenced);
        let first = ShardRange { first: 0, last: 0 };
        assert_eq!(
            put(first, Some(8), 9).await,
            MarkerWrite::Fenced { found: version(10) }
        );
        assert_eq!(put(first, None, 11).await, MarkerWrite::Written);
    });
}

#[test]
fn only_a_newer_owner_retires_markers() {
    on_each(async |place: &Place| {
        let store = place.store();
        for (range, seq) in [(ShardRange::ALL, 5), (LOW, 10), (HIGH, 9)] {
            store
                .put_marker(None, &marker(range, version(seq)))
                .await
                .expect("put marker");
        }
        let ranges = async || -> Vec<ShardRange> {
            let markers = store.markers().await.expect("markers");
            markers.iter().map(|marker| marker.shards).collect()
        };
        store
            .retire_markers(ShardRange::ALL, ShardRange { first: 3, last: 4 })
            .await
            .expect("retire");
        store
            .retire_markers(ShardRange::ALL, ShardRange::ALL)
            .await
            .expect("retire");
        assert_eq!(ranges().await, [LOW, ShardRange::ALL, HIGH]);
        store.retire_markers(LOW, LOW).await.expect("retire");
        assert_eq!(ranges().await, [LOW, HIGH]);
        store.retire_markers(LOW, LOW).await.expect("retire");
        assert_eq!(ranges().await, [LOW, HIGH]);
    });
}

#[test]
fn an_emptied_store_is_seen_as_lost() {
    on_each(async |place: &Place| {
        let Some(empty) = place.empty() else {
            return;
        };
        let store = place.store();
        let a = key(1, b"a");
        store
            .put_rows(&[row(&a, version(1), b"x")])
            .await
            .expect("put");
        store
            .put_marker(None, &marker(LOW, version(1)))
            .await
            .expect("put marker");
        empty();
        assert_eq!(
            store.get_rows(std::slice::from_ref(&a)).await.expect("get"),
            [None]
        );
        assert_eq!(store.markers().await.expect("markers"), []);
        let lost = store
            .put_marker(Some(version(1)), &marker(LOW, version(2)))
            .await;
        assert_eq!(lost.expect("put marker"), MarkerWrite::Lost { found: None });
        // Scripts are taught again where they were forgotten.
        store
            .put_rows(&[row(&a, version(1), b"x")])
            .await
            .expect("put");
        let again = store.put_marker(None, &marker(LOW, version(3))).await;
        assert_eq!(again.expect("put marker"), MarkerWrite::Written);
        store.retire_markers(LOW, LOW).await.expect("retire");
    });
}

#[test]
fn writers_of_one_row_never_bring_back_the_old() {
    on_each(async |place: &Place| {
        let store = place.store();
        let keys: Vec<RowKey> = (0u8..20).map(|n| key(1, &[n])).collect();
        let mut tasks = Vec::new();
        for writer in 0..4u64 {
            let (store, keys) = (store.clone(), keys.clone());
            tasks.push(tokio::spawn(async move {
                for seq in (writer..60).step_by(4) {
                    let rows: Vec<RowWrite> = keys
                        .iter()
                        .map(|key| row(key, version(seq), &seq.to_be_bytes()))
                        .collect();
                    store.put_rows(&rows).await.expect("put");
                    for found in store.get_rows(&keys).await.expect("get") {
                        let bytes = found.expect("there");
                        assert!(bytes[8..16] >= seq.to_be_bytes()[..], "a row went back");
                    }
                }
            }));
        }
        for task in tasks {
            task.await.expect("a writer");
        }
        for found in store.get_rows(&keys).await.expect("get") {
            assert_eq!(found.expect("there")[16..], 59u64.to_be_bytes());
        }
    });
}

#[test]
fn markers_carry_everything() {
    on_each(async |place: &Place| {
        let store = place.store();
        let mut full = marker(HIGH, version(9));
        full.written_at = Timestamp(-1);
        full.incarnation = u64::MAX;
        store.put_marker(None, &full).await.expect("put marker");
        store
            .put_marker(None, &marker(LOW, version(8)))
            .await
            .expect("put marker");
        assert_eq!(
            store.markers().await.expect("markers"),
            [marker(LOW, version(8)), full]
        );
    });
}

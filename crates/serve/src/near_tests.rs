//! When a kept row is used, by a clock that the test moves.

use super::*;
use tiderace_types::{CoveredFrom, Duration as Span, Generation, ViewId};

const MAX_AGE: Duration = Duration::from_millis(500);
const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
const MAX_LAG: Span = Span(5_000_000);

fn key(entity: u32) -> RowKey {
    RowKey {
        view: ViewId(1),
        generation: Generation(3),
        entity: entity.to_be_bytes().into(),
    }
}

fn said() -> Said {
    Said {
        incarnation: 7,
        view: ViewMarker {
            view: ViewId(1),
            generation: Generation(3),
            fingerprint: 9,
            covered_from: CoveredFrom::Beginning,
            clock: NOW,
            caught_up_at: NOW,
            least_lag: Span::ZERO,
        },
    }
}

fn row(asked_at: Instant, bytes: Option<&[u8]>) -> Kept {
    Kept {
        bytes: bytes.map(Bytes::copy_from_slice),
        said: said(),
        asked_at,
        until: Timestamp::MAX,
    }
}

fn near(max_bytes: u64) -> Near {
    Near::new(NearCache {
        max_bytes,
        max_age: MAX_AGE,
    })
}

/// Asks for a row at `NOW`, where the same is said of its view as when it was read, but for `turn`.
fn found(near: &Near, now: Instant, turn: impl Fn(&mut Said, &mut At)) -> Option<Arc<Kept>> {
    let mut at = At {
        as_of: NOW,
        now: NOW,
    };
    let mut said = said();
    turn(&mut said, &mut at);
    let usage = Use {
        at,
        max_lag: MAX_LAG,
        view: &said.view,
        incarnation: said.incarnation,
    };
    near.get(&key(1), usage, now)
}

#[test]
fn a_row_is_used_as_long_as_it_is_young() {
    let began = Instant::now();
    for bytes in [Some(&b"row"[..]), None] {
        let near = near(1 << 20);
        assert!(found(&near, began, |_, _| {}).is_none());
        near.keep(key(1), row(began, bytes));
        let at = |age| found(&near, began + age, |_, _| {});
        assert_eq!(at(Duration::ZERO).expect("kept").bytes.as_deref(), bytes);
        assert_eq!(at(MAX_AGE).expect("kept").bytes.as_deref(), bytes);
        assert!(at(MAX_AGE + Duration::from_micros(1)).is_none());
        // Read again.
        near.keep(key(1), row(began + MAX_AGE * 2, bytes));
        assert!(at(MAX_AGE * 3).is_some());
        // One that was asked for earlier comes later.
        near.keep(key(1), row(began, bytes));
        assert!(at(MAX_AGE * 3).is_some());
        near.forget(&key(1));
        assert!(at(MAX_AGE * 2).is_none());
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!((count(&near.hits), count(&near.misses)), (4, 3));
    }
}

#[test]
fn a_row_is_not_used_for_what_it_does_not_serve() {
    let began = Instant::now();
    let near = near(1 << 20);
    let mut dense = row(began, Some(b"row"));
    dense.until = NOW.plus(Span(1_000));
    near.keep(key(1), dense);
    let check = |turn: fn(&mut Said, &mut At), expect: bool| {
        assert_eq!(found(&near, began, turn).is_some(), expect);
    };
    check(|_, _| {}, true);
    // What is said later changes nothing of what the row says for itself.
    check(|said, _| said.view.caught_up_at = NOW.plus(Span(1)), true);
    check(|said, _| said.view.clock = NOW.plus(Span(1)), true);
    check(|said, _| said.incarnation = 8, false);
    check(|said, _| said.view.generation = Generation(4), false);
    check(|said, _| said.view.fingerprint = 10, false);
    check(
        |said, _| said.view.covered_from = CoveredFrom::Instant(NOW),
        false,
    );
    // The row was cut for instants up to this.
    check(|_, at| at.as_of = NOW.plus(Span(1_000)), true);
    check(|_, at| at.as_of = NOW.plus(Span(1_001)), false);
    // By what was said when it was read it would be STALE.
    check(|_, at| at.now = NOW.plus(MAX_LAG), true);
    check(|_, at| at.now = NOW.plus(Span(MAX_LAG.0 + 1)), false);
}

#[test]
fn bytes_are_bounded() {
    const MOST: u64 = 1 << 20;
    let near = near(MOST);
    let bytes = vec![7; 1_000];
    for entity in 0..5_000 {
        near.keep(key(entity), row(Instant::now(), Some(&bytes)));
        assert!(near.rows.weight() <= MOST);
    }
    let evicted = near.evictions.load(Ordering::Relaxed);
    assert_eq!(evicted + near.rows.len() as u64, 5_000);
    assert!(near.rows.weight() > MOST / 2, "{}", near.rows.weight());
}

//! Random commits against a naive model: maps of maps, with restarts and new cuts of the lanes.

mod support;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::{Place, key, positions};
use tiderace_state::{Block, Commit, Store, Sweep, Write};
use tiderace_types::{Ledger, RowKey, ShardRange};

#[derive(Clone, Debug)]
enum Step {
    /// Lane, writes (row, what, block), position, rows owed, whether the past is paid.
    Commit(usize, Vec<(u8, u8, u8)>, i64, Vec<u8>, bool),
    Cut(usize),
    Reopen,
    Compact,
    /// Blocks of a byte below this are spent; looked at so many at a time, so many times.
    Sweep(u8, usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let writes = proptest::collection::vec((0u8..24, 0u8..4, any::<u8>()), 0..8);
    let owed = proptest::collection::vec(0u8..24, 0..4);
    let commit = (0usize..4, writes, 0i64..1000, owed, any::<bool>())
        .prop_map(|(lane, writes, next, owed, paid)| Step::Commit(lane, writes, next, owed, paid));
    let step = prop_oneof![
        12 => commit,
        1 => (1usize..4).prop_map(Step::Cut),
        2 => Just(Step::Reopen),
        1 => Just(Step::Compact),
        3 => (any::<u8>(), 1usize..8, 1usize..8)
            .prop_map(|(below, limit, times)| Step::Sweep(below, limit, times)),
    ];
    proptest::collection::vec(step, 1..40)
}

#[derive(Default)]
struct Model {
    rows: BTreeMap<RowKey, Vec<Block>>,
    /// Blocks that a sweep took, which lanes may still list.
    swept: BTreeMap<RowKey, Vec<u64>>,
    positions: BTreeMap<ShardRange, i64>,
    /// Rows owed, by commit; who owes them follows from the lanes.
    owed: BTreeMap<u64, BTreeSet<RowKey>>,
}

fn entity(n: u8) -> RowKey {
    key(u32::from(n % 3), &[n / 3])
}

fn run(place: &Place, steps: &[Step]) {
    let mut store = place.open();
    let mut lanes = ShardRange::split(2);
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Commit(lane, writes, next, owed, paid) => {
                let lane = lanes[lane % lanes.len()];
                commit(&store, &mut model, lane, writes, *next, owed, *paid);
            }
            Step::Cut(count) => {
                lanes = ShardRange::split(*count);
                let cut: Vec<_> = lanes.iter().map(|lane| (*lane, positions(0))).collect();
                store.recut(&cut, &[]).expect("cut");
                model.positions = lanes.iter().map(|lane| (*lane, 0)).collect();
            }
            Step::Reopen => store = place.reopen(store),
            Step::Compact => store.compact().expect("compact"),
            Step::Sweep(below, limit, times) => sweep(&store, &mut model, *below, *limit, *times),
        }
        check(&store, &model, &lanes);
    }
}

fn commit(
    store: &Store,
    model: &mut Model,
    lane: ShardRange,
    writes: &[(u8, u8, u8)],
    next: i64,
    owed: &[u8],
    paid: bool,
) {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for (row, what, byte) in writes {
        let key = entity(*row);
        if !lane.contains(key.shard()) || !seen.insert(key.clone()) {
            continue;
        }
        let held = model.rows.get(&key).cloned().unwrap_or_default();
        let swept = model.swept.get(&key).cloned().unwrap_or_default();
        let old: Vec<u64> = held.iter().map(|block| block.seq).chain(swept).collect();
        let some = old[..old.len() / 2].to_vec();
        let block = vec![*byte; usize::from(*byte) * 8];
        out.push(match what {
            0 | 1 => Write::Append { key, block },
            2 => Write::Replace { key, block, old },
            _ => Write::Delete { key, old: some },
        });
    }
    let owed: BTreeSet<RowKey> = owed
        .iter()
        .map(|n| entity(*n))
        .filter(|key| lane.contains(key.shard()))
        .collect();
    let newest = model.owed.keys().max().copied().filter(|_| paid);
    let seq = store
        .commit(Commit {
            lane,
            shards: lane,
            writes: out.clone(),
            positions: positions(next),
            ledger: Ledger::default(),
            retire: Vec::new(),
            outbox: owed.iter().cloned().collect(),
            segments: Vec::new(),
            outbox_done: newest,
        })
        .expect("commit");
    for write in out {
        let row = model.rows.entry(write.key().clone()).or_default();
        let (block, old) = match write {
            Write::Append { block, .. } => (Some(block), Vec::new()),
            Write::Replace { block, old, .. } => (Some(block), old),
            Write::Delete { old, .. } => (None, old),
        };
        row.retain(|block| !old.contains(&block.seq));
        row.extend(block.map(|bytes| Block { seq, bytes }));
    }
    model.rows.retain(|_, row| !row.is_empty());
    model.positions.insert(lane, next);
    if newest.is_some() {
        for keys in model.owed.values_mut() {
            keys.retain(|key| !lane.contains(key.shard()));
        }
    }
    model.owed.insert(seq, owed);
    model.owed.retain(|_, keys| !keys.is_empty());
}

/// Sweeps the first blocks of all in the order of their keys.
fn sweep(store: &Store, model: &mut Model, below: u8, limit: usize, times: usize) {
    let spent = |block: &[u8]| block.first().is_some_and(|byte| *byte < below);
    let mut sweep = Sweep::over(ShardRange::ALL);
    for _ in 0..times {
        let called = |_, _, block: &[u8]| spent(block);
        store.sweep(&mut sweep, limit, &called).expect("sweep");
    }
    let mut order: Vec<RowKey> = model.rows.keys().cloned().collect();
    order.sort_by_key(|key| (key.shard(), key.clone()));
    let mut left = limit * times;
    for key in order {
        let row = model.rows.get_mut(&key).expect("it is one of its keys");
        let mut looked = row.split_off(left.min(row.len()));
        std::mem::swap(row, &mut looked);
        left -= looked.len();
        let swept = looked.extract_if(.., |block| spent(&block.bytes));
        let listed = model.swept.entry(key).or_default();
        listed.extend(swept.map(|block| block.seq));
        row.splice(..0, looked);
    }
    model.rows.retain(|_, row| !row.is_empty());
    assert_eq!(sweep.done(), left > 0, "{sweep:?}");
}

fn check(store: &Store, model: &Model, lanes: &[ShardRange]) {
    let keys: Vec<RowKey> = (0..24).map(entity).collect();
    for (key, row) in keys.iter().zip(store.load(&keys).expect("load")) {
        assert_eq!(&row, model.rows.get(key).unwrap_or(&Vec::new()), "{key:?}");
    }
    let scanned = store.scan(ShardRange::ALL, None, 1000).expect("scan");
    let mut expected: Vec<_> = model.rows.clone().into_iter().collect();
    expected.sort_by_key(|(key, _)| (key.shard(), key.clone()));
    assert_eq!(scanned, expected);
    let held = store.positions().expect("positions");
    let expected: Vec<_> = model
        .positions
        .iter()
        .map(|(lane, next)| (*lane, positions(*next)))
        .collect();
    assert_eq!(held, expected);
    for lane in lanes {
        let owed: Vec<_> = store
            .outbox(*lane)
            .expect("outbox")
            .into_iter()
            .map(|(seq, keys)| (seq, BTreeSet::from_iter(keys)))
            .collect();
        let inside = |keys: &BTreeSet<RowKey>| -> BTreeSet<RowKey> {
            let mine = keys.iter().filter(|key| lane.contains(key.shard()));
            mine.cloned().collect()
        };
        let expected: Vec<_> = model
            .owed
            .iter()
            .map(|(seq, keys)| (*seq, inside(keys)))
            .filter(|(_, keys)| !keys.is_empty())
            .collect();
        assert_eq!(owed, expected, "lane {lane}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_twin_is_the_model(steps in steps()) {
        run(&Place::Memory, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_disk_is_the_model(steps in steps()) {
        run(&Place::disk(), &steps);
    }
}

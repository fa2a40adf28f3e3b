//! Rows of idle entities leave the disk: what is swept gives its room back.

mod support;

use support::{Dice, append, key, open, rows};
use tiderace_state::Sweep;
use tiderace_types::{RowKey, ShardRange};

const ROWS: u32 = 20_000;

#[test]
fn swept_rows_give_their_room_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let keys: Vec<RowKey> = (0..ROWS).map(|n| key(1, &n.to_be_bytes())).collect();
    let mut dice = Dice(1);
    // Every tenth entity lives on, the others fall silent.
    for chunk in keys.chunks(1000) {
        let block = |n: usize, dice: &mut Dice| {
            let mut bytes = vec![u8::from(n.is_multiple_of(10))];
            bytes.extend((0..200).map(|_| dice.below(256) as u8));
            bytes
        };
        let writes = chunk.iter().enumerate();
        let writes = writes.map(|(n, key)| append(key, &block(n, &mut dice)));
        store.commit(rows(writes.collect())).expect("commit");
    }
    store.compact().expect("compact");
    let full = tables(folder.path());
    let silent = |_, _, block: &[u8]| block[0] == 0;
    for shards in ShardRange::split(16) {
        let mut sweep = Sweep::over(shards);
        while !sweep.done() {
            store.sweep(&mut sweep, 500, &silent).expect("sweep");
        }
        store.compact_shards(shards);
    }
    // Closing waits until replaced tables are gone.
    drop(store);
    let left = tables(folder.path());
    let store = open(folder.path());
    println!("{ROWS} rows of 201 bytes: {full} bytes, {left} after nine in ten were swept");
    assert!(left < full / 5, "{left} of {full} bytes are left");
    let found = store.load(&keys).expect("load");
    let living = found.iter().filter(|row| !row.is_empty()).count();
    assert_eq!(living, ROWS as usize / 10);
}

/// The bytes of the tables.
fn tables(folder: &std::path::Path) -> u64 {
    let store_files = std::fs::read_dir(folder).expect("list the folder");
    let sizes = store_files.filter_map(|entry| {
        let entry = entry.ok()?;
        let table = entry.path().extension().is_some_and(|kind| kind == "sst");
        table.then(|| entry.metadata().map_or(0, |data| data.len()))
    });
    sizes.sum()
}

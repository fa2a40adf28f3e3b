//! Keys and values of state, as RocksDB gives them back.
//!
//! The crate itself brings RocksDB with it, so the two files that read are included by their paths.

#[path = "../../crates/state/src/codec.rs"]
mod codec;
#[expect(dead_code, reason = "included by its path; ranges are not read")]
#[path = "../../crates/state/src/key.rs"]
mod key;

/// A byte that chooses the table, then a key or a value of it.
///
/// # Panics
/// Where the property does not hold.
pub fn state(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    match choice % 10 {
        0 => {
            if let Ok(positions) = codec::read_positions(bytes) {
                let written = codec::positions(&positions);
                let read = codec::read_positions(&written).expect("what was written reads");
                assert_eq!(read, positions);
            }
        }
        1 => {
            if let Ok(keys) = codec::read_row_keys(bytes) {
                let written = codec::row_keys(&keys);
                let read = codec::read_row_keys(&written).expect("what was written reads");
                assert_eq!(read, keys);
            }
        }
        2 => {
            if let Ok(view) = codec::read_view(bytes) {
                let read = codec::read_view(&codec::view(&view)).expect("what was written reads");
                assert_eq!(read, view);
            }
            if let Ok(note) = codec::read_archive_note(bytes) {
                let written = codec::archive_note(&note);
                let read = codec::read_archive_note(&written).expect("what was written reads");
                assert_eq!(read, note);
            }
        }
        3 => {
            drop(codec::number(bytes));
            if let Ok(ledger) = codec::read_ledger(bytes) {
                let written = codec::ledger(&ledger);
                let read = codec::read_ledger(&written).expect("what was written reads");
                assert_eq!(read, ledger);
            }
        }
        4 => {
            if let Ok(row) = key::read_row(bytes) {
                let written = key::row(&row).expect("its key is short");
                assert_eq!(written[1..], bytes[1..]);
            }
        }
        5 => {
            if let Ok((row, start)) = key::read_entry(bytes) {
                let written = key::entry(&tiderace_types::SegmentKey { row, start });
                assert_eq!(written.expect("its key is short")[1..], bytes[1..]);
            }
        }
        6 => {
            if let Ok(debt) = key::read_debt(bytes) {
                assert_eq!(key::debt(debt)[1..], bytes[1..]);
            }
        }
        7 => {
            if let Ok(shards) = key::read_shards("positions", bytes) {
                assert_eq!(key::positions(shards)[1..], bytes[1..]);
                assert_eq!(key::ledger(shards)[1..], bytes[1..]);
            }
        }
        8 => {
            if let Ok(view) = key::read_view(bytes) {
                assert_eq!(key::view(view)[1..], bytes[1..]);
            }
        }
        _ => {
            let _ = (key::split_block(bytes), key::owner(bytes));
            let _ = key::is_block(bytes);
        }
    }
}

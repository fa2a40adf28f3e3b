//! Varints, lengths, keys: what all forms are made of.

use tiderace_types::wire::{Reader, put_bytes, put_i64, put_i128, put_u64};
use tiderace_types::{Duration, decode_key, encode_key};

/// A byte that chooses what to read, then what to read it from.
///
/// # Panics
/// Where the property does not hold.
pub fn wire(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else {
        return;
    };
    let mut reader = Reader::new(rest);
    let mut out = Vec::new();
    match choice % 6 {
        0 => reader.u64().map(|n| put_u64(n, &mut out)).is_ok(),
        1 => reader.i64().map(|n| put_i64(n, &mut out)).is_ok(),
        2 => reader.i128().map(|n| put_i128(n, &mut out)).is_ok(),
        3 => reader.bytes().map(|b| put_bytes(b, &mut out)).is_ok(),
        4 => return key(rest),
        _ => return duration(rest),
    };
    // A number may be padded, so its own form is no longer than what was read.
    let read = rest.len() - reader.rest().len();
    assert!(out.len() <= read);
}

/// The key encoding is bijective.
fn key(bytes: &[u8]) {
    if let Ok(values) = decode_key(bytes) {
        let written = encode_key(&values).expect("what decodes is a key");
        assert_eq!(&*written, bytes);
    }
}

fn duration(bytes: &[u8]) {
    let text = str::from_utf8(bytes).ok();
    let parsed = text.and_then(|text| text.parse::<Duration>().ok());
    if let Some(duration) = parsed {
        assert_eq!(duration.to_string().parse(), Ok(duration));
    }
}

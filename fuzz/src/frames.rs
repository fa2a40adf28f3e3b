//! Frames of the embedded log, as they lie on disk.

use tiderace_types::Timestamp;

#[allow(dead_code, reason = "included by its path; segments are not fuzzed")]
#[path = "../../crates/source/src/log/frame.rs"]
mod frame;

/// A frame with or without a good checksum.
///
/// # Panics
/// Where the property does not hold.
pub fn frames(bytes: &[u8]) {
    look(bytes);
    let Some((time, payload)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let mut out = Vec::new();
    frame::put(payload, Timestamp(i64::from_le_bytes(*time)), &mut out);
    look(&out);
    out.truncate(bytes.len());
    look(&out);
}

fn look(bytes: &[u8]) {
    if let Ok(found) = frame::get(bytes) {
        let mut out = Vec::new();
        frame::put(found.payload, found.time, &mut out);
        assert_eq!(out, bytes[..found.length()]);
    }
}

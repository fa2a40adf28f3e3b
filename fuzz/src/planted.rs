//! A fault that only guided search finds, to show that it searches: see `scripts/fuzz.sh planted`.

use std::sync::OnceLock;

/// Panics on bytes that begin in a way that noise has not in a lifetime, when
/// `TIDERACE_PLANTED` is set.
pub(crate) fn fault(bytes: &[u8]) {
    static IS_PLANTED: OnceLock<bool> = OnceLock::new();
    if !IS_PLANTED.get_or_init(|| std::env::var_os("TIDERACE_PLANTED").is_some()) {
        return;
    }
    let is_met = bytes.first_chunk() == Some(b"tiderace");
    assert!(!is_met, "the planted fault was found");
}

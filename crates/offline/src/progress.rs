//! How far long work has come.

use std::sync::atomic::AtomicU64;

/// How far a training set, or the preparation of a past, has come.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows that there are to read or to write, each for every time.
    pub total: AtomicU64,
    /// Those that were.
    pub done: AtomicU64,
}

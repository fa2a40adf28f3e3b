//! Stored rows that were asked for lately, so that asking for them again reads no database.
//!
//! # Laws
//! - What is given is what the database holds: a row that is written is forgotten after the write, and what was
//!   read of it before that is not kept when it comes later.
//! - Nobody waits: of several who read one row at a time, one keeps it.

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle, GuardResult, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, Weighter};
use std::time::Duration;

/// What a row takes beside its key and its bytes.
const BESIDE: usize = 128;

/// Bytes of a usual row, from which the number of rows is estimated.
const USUAL: usize = 1 << 10;

#[derive(Clone, Copy, Debug)]
pub(super) struct Weight;

impl Weighter<Vec<u8>, Bytes> for Weight {
    fn weight(&self, key: &Vec<u8>, stored: &Bytes) -> u64 {
        (BESIDE + key.len() + stored.len()) as u64
    }
}

/// The rows, by their keys in the database.
pub(super) struct Lately(Cache<Vec<u8>, Bytes, Weight>);

/// What is known of a row.
pub(super) enum Known<'a> {
    Row(Bytes),
    /// Nothing; who reads it may keep it.
    Nothing(Option<Keeping<'a>>),
}

/// The place of a row that is being read.
pub(super) struct Keeping<'a>(Place<'a>);

type Place<'a> = PlaceholderGuard<
    'a,
    Vec<u8>,
    Bytes,
    Weight,
    DefaultHashBuilder,
    DefaultLifecycle<Vec<u8>, Bytes>,
>;

impl Lately {
    /// Keeps rows of so many bytes.
    pub(super) fn new(bytes: usize) -> Lately {
        Lately(Cache::with_weighter(bytes / USUAL, bytes as u64, Weight))
    }

    pub(super) fn get(&self, key: &[u8]) -> Known<'_> {
        match self.0.get_value_or_guard(key, Some(Duration::ZERO)) {
            GuardResult::Value(stored) => Known::Row(stored),
            GuardResult::Guard(place) => Known::Nothing(Some(Keeping(place))),
            GuardResult::Timeout => Known::Nothing(None),
        }
    }

    /// Lets go of a row that was written, and of what is being read of it.
    pub(super) fn forget(&self, key: &[u8]) {
        self.0.remove(key);
    }

    /// Lets go of all rows.
    pub(super) fn clear(&self) {
        self.0.clear();
    }
}

impl Keeping<'_> {
    pub(super) fn keep(self, stored: Bytes) {
        // Written meanwhile, it is not kept.
        let _ = self.0.insert(stored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeping<'a>(lately: &'a Lately, key: &[u8]) -> Keeping<'a> {
        match lately.get(key) {
            Known::Nothing(Some(keeping)) => keeping,
            _ => panic!("it is known, or being read"),
        }
    }

    #[test]
    fn what_was_read_before_a_write_is_not_kept() {
        let lately = Lately::new(1 << 20);
        let read = keeping(&lately, b"row");
        assert!(matches!(lately.get(b"row"), Known::Nothing(None)));
        lately.forget(b"row");
        read.keep(Bytes::from_static(b"old"));
        keeping(&lately, b"row").keep(Bytes::from_static(b"new"));
        assert!(matches!(lately.get(b"row"), Known::Row(row) if row == "new"));
        lately.forget(b"row");
        assert!(matches!(lately.get(b"row"), Known::Nothing(Some(_))));
    }
}

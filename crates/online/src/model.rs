//! What is written, and what came of it.

use bytes::Bytes;
use tiderace_types::{Duration, RowKey, Version};

/// One row to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowWrite {
    /// The row.
    pub key: RowKey,
    /// Its bytes, the first 16 of them its version ([`Version::to_bytes`]).
    pub value: Bytes,
    /// How long it lives from now; for ever without one. Rounded up to a millisecond.
    pub ttl: Option<Duration>,
}

/// What came of writing a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerWrite {
    /// It is there.
    Written,
    /// It was not written: the store is not as this lane left it. It was emptied or went
    /// back in time, so every row must be published again.
    Lost {
        /// The marker's version in the store, if there is one.
        found: Option<Version>,
    },
    /// It was not written: a newer owner has written for these shards.
    Fenced {
        /// The newer owner's version.
        found: Version,
    },
}

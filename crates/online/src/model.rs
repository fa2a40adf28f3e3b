//! What is written, and what came of it.

use crate::{Error, fence};
use bytes::Bytes;
use tiderace_types::{Duration, Marker, RowKey, Version};

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

/// Rows as they were read, with the markers as they stood right after, in one round trip.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The rows; `None` for one that is absent or expired.
    pub rows: Vec<Option<Bytes>>,
    /// The markers' bytes; none from a store of this process, which loses nothing.
    pub(crate) markers: Option<Vec<Bytes>>,
}

impl Found {
    /// The markers as they stood after the rows were read: whether an absent row never was, or
    /// was lost with the whole store, is told by them. `None` from a store that loses nothing.
    ///
    /// # Errors
    /// When a marker is damaged.
    pub fn markers(&self) -> Result<Option<Vec<Marker>>, Error> {
        let read = |markers: &Vec<Bytes>| {
            markers
                .iter()
                .map(|bytes| fence::read_marker(bytes))
                .collect()
        };
        self.markers.as_ref().map(read).transpose()
    }
}

//! What is written, and what came of it.

use crate::{Error, Part, fence};
use bytes::Bytes;
use tiderace_types::{Duration, Marker, MarkerHead, RowKey, Shard, Version};

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

/// Rows as they were read, with the markers as they stood right after on the same server, in the
/// same round trip.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The rows; `None` for one that is absent or expired.
    pub rows: Vec<Option<Bytes>>,
    /// The bytes of the markers; none from a store of this process, which loses nothing.
    pub(crate) markers: Option<FoundMarkers>,
}

/// The markers of the parts that rows were read from.
#[derive(Clone, Debug, Default)]
pub(crate) struct FoundMarkers {
    pub(crate) parts: Vec<(Part, Vec<Bytes>)>,
    /// For each row the place of its part; empty where all rows are of one part.
    pub(crate) of_row: Vec<usize>,
}

/// What tells a row that never was from one that was lost: the heads of the markers that stood
/// when it had been read.
#[derive(Clone, Debug)]
pub struct Witnesses {
    parts: Vec<(Part, Vec<MarkerHead>)>,
    of_row: Vec<usize>,
}

impl Witnesses {
    /// What stood for the row at place `row`, of `shard`: its part, and the greatest marker there.
    #[must_use]
    pub fn of(&self, row: usize, shard: Shard) -> Option<(Part, &MarkerHead)> {
        let place = self.of_row.get(row).copied().unwrap_or_default();
        let (part, heads) = self.parts.get(place)?;
        let heads = heads.iter().filter(|head| head.shards.contains(shard));
        let head = heads.max_by_key(|head| head.version)?;
        Some((*part, head))
    }
}

impl Found {
    /// What stood when the rows had been read. `None` from a store that loses nothing.
    ///
    /// # Errors
    /// When a marker is damaged.
    pub fn witnesses(&self) -> Result<Option<Witnesses>, Error> {
        let Some(found) = &self.markers else {
            return Ok(None);
        };
        let heads = |markers: &Vec<Bytes>| {
            let heads = markers.iter().map(|bytes| fence::read_head(bytes));
            heads.collect::<Result<Vec<_>, _>>()
        };
        let parts = found.parts.iter();
        let parts = parts.map(|(part, markers)| Ok((*part, heads(markers)?)));
        Ok(Some(Witnesses {
            parts: parts.collect::<Result<_, Error>>()?,
            of_row: found.of_row.clone(),
        }))
    }

    /// The markers as they stood after the rows were read, of every part that was read; of none from
    /// a store that loses nothing.
    ///
    /// # Errors
    /// When a marker is damaged.
    pub fn markers(&self) -> Result<Vec<(Part, Vec<Marker>)>, Error> {
        let read = |(part, markers): &(Part, Vec<Bytes>)| {
            let markers = markers.iter().map(|bytes| fence::read_marker(bytes));
            Ok((*part, markers.collect::<Result<Vec<_>, Error>>()?))
        };
        let found = self.markers.iter();
        found.flat_map(|found| &found.parts).map(read).collect()
    }
}

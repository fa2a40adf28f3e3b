//! The online store as readers see it: fenced rows that may expire, fenced markers.

use std::collections::BTreeMap;
use tiderace_aggregate::version_of;
use tiderace_engine::Publication;
use tiderace_types::{Marker, RowKey, Shard, ShardRange, Timestamp, Version};

#[derive(Clone, Debug)]
pub struct Stored {
    pub value: Vec<u8>,
    pub expires: Timestamp,
}

#[derive(Clone, Debug, Default)]
pub struct Online {
    pub rows: BTreeMap<RowKey, Stored>,
    pub markers: BTreeMap<ShardRange, Marker>,
    /// Whether rows go when their time is over.
    pub expiring: bool,
    /// Whether an older row may overwrite a newer one: a fault.
    pub unfenced: bool,
}

impl Online {
    pub fn put(&mut self, publication: Publication, wall: Timestamp) {
        let stored = self.get(&publication.key, wall);
        let newer = stored.is_none_or(|stored| version_of(&publication.value) > version_of(stored));
        if newer || self.unfenced {
            let expires = publication
                .ttl
                .filter(|_| self.expiring)
                .map_or(Timestamp::MAX, |ttl| wall.plus(ttl));
            let value = publication.value;
            self.rows.insert(publication.key, Stored { value, expires });
        }
    }

    pub fn get(&self, key: &RowKey, wall: Timestamp) -> Option<&[u8]> {
        let stored = self.rows.get(key)?;
        (stored.expires > wall).then_some(&stored.value)
    }

    /// Writes a marker; false when the store is not as its lane left it.
    pub fn mark(&mut self, expected: Option<Version>, marker: Marker) -> bool {
        let found = self.markers.get(&marker.shards).map(|held| held.version);
        if expected.is_some() && found != expected {
            return false;
        }
        let newer =
            |held: &&Marker| held.shards.overlaps(marker.shards) && held.version > marker.version;
        assert!(
            !self.markers.values().any(|held| newer(&held)),
            "only one process runs, so nothing is fenced"
        );
        self.markers.insert(marker.shards, marker);
        true
    }

    /// Takes away the markers that `owner` has superseded.
    pub fn retire(&mut self, owner: ShardRange) {
        let Some(version) = self.markers.get(&owner).map(|marker| marker.version) else {
            return;
        };
        self.markers.retain(|range, marker| {
            *range == owner || !range.overlaps(owner) || marker.version >= version
        });
    }

    /// The marker that speaks for a shard: the greatest.
    pub fn marker(&self, shard: Shard) -> Option<&Marker> {
        let speaking = self
            .markers
            .values()
            .filter(|marker| marker.shards.contains(shard));
        speaking.max_by_key(|marker| marker.version)
    }

    pub fn empty(&mut self) {
        self.rows.clear();
        self.markers.clear();
    }
}

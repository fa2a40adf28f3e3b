//! The twin in memory, which tests can empty, take away and bring back.

use crate::error::Kind;
use crate::{Clock, Error, MarkerWrite, RowWrite, fence};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tiderace_types::{Marker, RowKey, ShardRange, Timestamp, Version};

/// An online store in memory. A handle: clones share one store.
#[derive(Clone, Debug)]
pub struct MemoryStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    away: bool,
    rows: BTreeMap<RowKey, Held>,
    markers: BTreeMap<ShardRange, Marker>,
}

#[derive(Debug)]
struct Held {
    value: Bytes,
    expires: Timestamp,
}

impl MemoryStore {
    /// Makes an empty store whose rows expire by `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> MemoryStore {
        MemoryStore(Arc::new(Inner {
            clock,
            tables: Mutex::default(),
        }))
    }

    /// Loses everything, as a server that was restarted empty.
    pub fn clear(&self) {
        let mut tables = self.tables();
        tables.rows.clear();
        tables.markers.clear();
    }

    /// Makes every call fail as if the store had gone, until [`MemoryStore::come_back`].
    pub fn go_away(&self) {
        self.tables().away = true;
    }

    /// Ends [`MemoryStore::go_away`]; what was stored is still there.
    pub fn come_back(&self) {
        self.tables().away = false;
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.present().map(drop)
    }

    pub(crate) fn put_rows(&self, rows: &[RowWrite]) -> Result<(), Error> {
        let now = self.0.clock.now();
        let mut tables = self.present()?;
        for row in rows {
            let stored = tables.rows.get(&row.key).filter(|held| held.expires > now);
            if fence::row_wins(&row.value, stored.map(|held| &held.value[..])) {
                let held = Held {
                    value: row.value.clone(),
                    expires: fence::expiry(now, row.ttl),
                };
                tables.rows.insert(row.key.clone(), held);
            }
        }
        Ok(())
    }

    pub(crate) fn get_rows(&self, keys: &[RowKey]) -> Result<Vec<Option<Bytes>>, Error> {
        let now = self.0.clock.now();
        let tables = self.present()?;
        let get = |key: &RowKey| {
            let held = tables.rows.get(key).filter(|held| held.expires > now)?;
            Some(held.value.clone())
        };
        Ok(keys.iter().map(get).collect())
    }

    pub(crate) fn put_marker(
        &self,
        expected: Option<Version>,
        marker: &Marker,
    ) -> Result<MarkerWrite, Error> {
        let mut tables = self.present()?;
        let decided = fence::decide(&tables.held(), marker.shards, expected, marker.version);
        if decided == MarkerWrite::Written {
            tables.markers.insert(marker.shards, marker.clone());
        }
        Ok(decided)
    }

    pub(crate) fn markers(&self) -> Result<Vec<Marker>, Error> {
        Ok(self.present()?.markers.values().cloned().collect())
    }

    pub(crate) fn retire_markers(
        &self,
        overlapping: ShardRange,
        except: ShardRange,
    ) -> Result<(), Error> {
        let mut tables = self.present()?;
        for range in fence::retired(&tables.held(), overlapping, except) {
            tables.markers.remove(&range);
        }
        Ok(())
    }

    pub(crate) fn scan_keys(&self) -> Result<Vec<RowKey>, Error> {
        let now = self.0.clock.now();
        let tables = self.present()?;
        let live = tables.rows.iter().filter(|(_, held)| held.expires > now);
        Ok(live.map(|(key, _)| key.clone()).collect())
    }

    fn present(&self) -> Result<MutexGuard<'_, Tables>, Error> {
        let tables = self.tables();
        match tables.away {
            false => Ok(tables),
            true => Err(Error::new(Kind::Retry, "memory store is away")),
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Nothing here panics between two changes that belong together.
        self.0.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn held(&self) -> Vec<(ShardRange, Version)> {
        let version = |(range, marker): (&ShardRange, &Marker)| (*range, marker.version);
        self.markers.iter().map(version).collect()
    }
}

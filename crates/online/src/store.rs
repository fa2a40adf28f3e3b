//! The one online store that callers see.

use crate::redis::{Expected, PartWrite, Receipts};
use crate::{
    Clock, EmbeddedOptions, EmbeddedStore, Error, Found, Kind, MarkerWrite, MemoryStore, Part,
    RedisAccess, RedisOptions, RedisStore, RowWrite,
};
use bytes::Bytes;
use std::path::Path;
use tiderace_durable::failpoint::{self, Side, Step};
use tiderace_types::{Marker, RowKey, ShardRange, Version};

/// Where readers look. A handle: clones share one store.
#[derive(Clone, Debug)]
pub enum Store {
    /// A Redis server or cluster.
    Redis(RedisStore),
    /// A folder of this process.
    Embedded(EmbeddedStore),
    /// This process's memory, for tests and simulations.
    Memory(MemoryStore),
}

impl Store {
    /// Connects to Redis and checks that it is fit: see [`Store::check`].
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid) for a malformed URL or project or an unfit
    /// server; [`Kind::Retry`](crate::Kind::Retry) when it is away.
    pub async fn redis(url: &str, project: &str, options: RedisOptions) -> Result<Store, Error> {
        let store = Store::redis_unchecked(url, project, options)?;
        store.check().await?;
        Ok(store)
    }

    /// Names a Redis without connecting, for a process that must start while it is away;
    /// call [`Store::check`] when it is back.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid) for a malformed URL or project.
    pub fn redis_unchecked(
        url: &str,
        project: &str,
        options: RedisOptions,
    ) -> Result<Store, Error> {
        Store::redis_with_access(url, &RedisAccess::default(), project, options)
    }

    /// As [`Store::redis_unchecked`], with what the URL does not say of how Redis is reached.
    ///
    /// # Errors
    /// As that; and for certificates that are none.
    pub fn redis_with_access(
        url: &str,
        access: &RedisAccess,
        project: &str,
        options: RedisOptions,
    ) -> Result<Store, Error> {
        RedisStore::new(url, access, project, options).map(Store::Redis)
    }

    /// Opens or makes the embedded store in the folder `path`.
    ///
    /// # Errors
    /// When the folder holds something else, is open elsewhere or is damaged.
    pub fn embedded(path: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Store, Error> {
        let open = || EmbeddedStore::open(path.as_ref(), options, Clock::Wall);
        failpoint::around(Step::OnlineOpen, injected, open).map(Store::Embedded)
    }

    /// Makes an empty store in memory.
    #[must_use]
    pub fn memory() -> Store {
        Store::Memory(MemoryStore::new(Clock::Wall))
    }

    /// Tells whether the store can be relied on: there, and evicting nothing by itself.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid) saying what to change;
    /// [`Kind::Retry`](crate::Kind::Retry) when the store is away.
    pub async fn check(&self) -> Result<(), Error> {
        match self {
            Store::Redis(redis) => redis.check().await,
            Store::Embedded(_) => Ok(()),
            Store::Memory(memory) => memory.check(),
        }
    }

    /// Publishes rows, fenced: a stored row of the same or a greater version stays, with
    /// its time to live, and that is success. All of them are there when this returns.
    ///
    /// # Errors
    /// When it is not known that all are there; repeating the call is safe.
    pub async fn put_rows(&self, rows: &[RowWrite]) -> Result<(), Error> {
        crate::fence::check(rows)?;
        failpoint::pass(Step::OnlineRows, Side::Before).map_err(injected)?;
        match self {
            Store::Redis(redis) => redis.put_rows(rows, None).await.map(drop),
            Store::Embedded(embedded) => embedded.put_rows(rows).await,
            Store::Memory(memory) => memory.put_rows(rows),
        }?;
        failpoint::pass(Step::OnlineRows, Side::After).map_err(injected)
    }

    /// Reads rows in one round trip; `None` for one that is absent or expired.
    ///
    /// # Errors
    /// When the store is away, slow or damaged; never an absent row instead.
    pub async fn get_rows(&self, keys: &[RowKey]) -> Result<Vec<Option<Bytes>>, Error> {
        match self {
            Store::Redis(redis) => redis.get_rows(keys).await,
            Store::Embedded(embedded) => embedded.get_rows(keys),
            Store::Memory(memory) => memory.get_rows(keys),
        }
    }

    /// Reads rows as [`Store::get_rows`], and in the same round trip what tells an absent row
    /// from a lost one.
    ///
    /// # Errors
    /// As [`Store::get_rows`].
    pub async fn read(&self, keys: &[RowKey]) -> Result<Found, Error> {
        match self {
            Store::Redis(redis) => redis.read_rows(keys).await,
            Store::Embedded(_) | Store::Memory(_) => Ok(Found {
                rows: self.get_rows(keys).await?,
                markers: None,
            }),
        }
    }

    /// Publishes rows as [`Store::put_rows`], and behind them receipts, whose number rises; gives
    /// the parts that rows went to.
    pub(crate) async fn put_rows_noted(
        &self,
        rows: &[RowWrite],
        receipts: &mut Receipts,
    ) -> Result<Vec<Part>, Error> {
        crate::fence::check(rows)?;
        match self {
            Store::Redis(redis) => redis.put_rows(rows, Some(receipts)).await,
            Store::Embedded(_) | Store::Memory(_) => {
                self.put_rows(rows).await?;
                Ok(Vec::new())
            }
        }
    }

    /// Tells whether the store may lose the end of what it has acknowledged and go on.
    pub(crate) fn goes_back(&self) -> bool {
        matches!(self, Store::Redis(_))
    }

    /// The parts of the store, in the order of their slots.
    ///
    /// # Errors
    /// When they are not known yet and the store is away.
    pub async fn parts(&self) -> Result<Vec<Part>, Error> {
        match self {
            Store::Redis(redis) => redis.parts().await,
            Store::Embedded(_) | Store::Memory(_) => Ok(vec![Part::WHOLE]),
        }
    }

    /// Writes a lane's marker to every part, after the rows it speaks for, and gives the worst
    /// that came of it: for a store that is one part. Of many, see [`Writer`](crate::Writer).
    ///
    /// `expected` is the version that this lane wrote last in this incarnation of the
    /// store; without one, any lower version or none may be there. See [`MarkerWrite`].
    ///
    /// # Errors
    /// When it is not known whether it was written; repeating the call is safe.
    pub async fn put_marker(
        &self,
        expected: Option<Version>,
        marker: &Marker,
    ) -> Result<MarkerWrite, Error> {
        failpoint::pass(Step::OnlineMarker, Side::Before).map_err(injected)?;
        let written = match self {
            Store::Redis(redis) => redis.put_marker(expected, marker).await,
            Store::Embedded(embedded) => embedded.put_marker(expected, marker),
            Store::Memory(memory) => memory.put_marker(expected, marker),
        }?;
        failpoint::pass(Step::OnlineMarker, Side::After).map_err(injected)?;
        Ok(written)
    }

    /// Writes a lane's marker to one part, if what is there is as expected.
    pub(crate) async fn put_marker_in(
        &self,
        part: Part,
        expected: Expected,
        marker: &Marker,
    ) -> Result<PartWrite, Error> {
        match self {
            Store::Redis(redis) => redis.put_marker_in(part, expected, marker).await,
            Store::Embedded(_) | Store::Memory(_) => Ok(PartWrite {
                write: self.put_marker(expected.marker, marker).await?,
                receipt: None,
            }),
        }
    }

    /// Reads every marker, in the order of their ranges, whatever part it is from; those that are
    /// the same in several parts once.
    ///
    /// # Errors
    /// When the store is away or slow, or a marker is damaged.
    pub async fn markers(&self) -> Result<Vec<Marker>, Error> {
        let parts = self.markers_by_part().await?;
        let mut markers: Vec<Marker> = parts.into_iter().flat_map(|(_, markers)| markers).collect();
        markers.sort_by_key(|marker| (marker.shards, marker.version));
        markers.dedup();
        Ok(markers)
    }

    /// Reads every marker of every part.
    ///
    /// # Errors
    /// As [`Store::markers`].
    pub async fn markers_by_part(&self) -> Result<Vec<(Part, Vec<Marker>)>, Error> {
        Ok(match self {
            Store::Redis(redis) => redis.markers().await?,
            Store::Embedded(embedded) => vec![(Part::WHOLE, embedded.markers()?)],
            Store::Memory(memory) => vec![(Part::WHOLE, memory.markers()?)],
        })
    }

    /// Deletes the markers of other ranges that overlap `overlapping` and are older than the
    /// marker of `except`; none while that is absent. So only a newer owner retires markers.
    ///
    /// # Errors
    /// When it is not known whether they are gone; repeating the call is safe.
    pub async fn retire_markers(
        &self,
        overlapping: ShardRange,
        except: ShardRange,
    ) -> Result<(), Error> {
        failpoint::pass(Step::OnlineRetire, Side::Before).map_err(injected)?;
        match self {
            Store::Redis(redis) => redis.retire_markers(overlapping, except).await,
            Store::Embedded(embedded) => embedded.retire_markers(overlapping, except),
            Store::Memory(memory) => memory.retire_markers(overlapping, except),
        }?;
        failpoint::pass(Step::OnlineRetire, Side::After).map_err(injected)
    }

    /// Deletes the markers that overlap `shards` where only this process reads the store, so that
    /// nothing is answered from rows that it is going to publish again. Other readers go on
    /// with what they have until the opening marker is there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn withdraw_markers(&self, shards: ShardRange) -> Result<(), Error> {
        match self {
            Store::Embedded(embedded) => embedded.withdraw_markers(shards),
            Store::Redis(_) | Store::Memory(_) => Ok(()),
        }
    }

    /// As [`Store::retire_markers`], in one part.
    pub(crate) async fn retire_markers_in(
        &self,
        part: Part,
        overlapping: ShardRange,
        except: ShardRange,
    ) -> Result<(), Error> {
        match self {
            Store::Redis(redis) => redis.retire_markers_in(part, overlapping, except).await,
            Store::Embedded(_) | Store::Memory(_) => self.retire_markers(overlapping, except).await,
        }
    }

    /// Lists the keys of all rows, in their order: for tests and tools, not for serving.
    ///
    /// # Errors
    /// When the store is away or slow.
    pub async fn scan_keys(&self) -> Result<Vec<RowKey>, Error> {
        let mut keys = match self {
            Store::Redis(redis) => redis.scan_keys().await?,
            Store::Embedded(embedded) => embedded.scan_keys()?,
            Store::Memory(memory) => memory.scan_keys()?,
        };
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }
}

fn injected(cause: std::io::Error) -> Error {
    Error::new(Kind::Retry, format!("online store: {cause}"))
}

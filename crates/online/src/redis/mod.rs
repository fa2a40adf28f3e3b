//! Redis as the online store, one server, one that sentinels tell of, or a cluster: one round trip a lookup, fenced writes by
//! script.
//!
//! A row is the string `tr:<project>:r{<entity>}<view u32><generation u32>` (numbers
//! big-endian; the braces are the hash tag, so that all rows of an entity share a slot). The
//! markers are the hash `tr:<project>:markers`, one field `first-last` each. A *receipt* is the
//! string `tr:<project>:written:<first-last>`: the number of the last call that put rows for these
//! shards, written behind them, over the one before; so whether the server has gone back since is
//! told by it.
//!
//! In a cluster every [`Part`] has markers and receipts of its own, in its first slot: their keys
//! end in `:<first slot>-<last slot>{<tag>}`.

mod access;
pub use access::{Login, RedisAccess, Sentinel};
mod calls;
mod check;
mod keys;
mod link;
mod read;
mod script;
mod sentinel;
mod servers;
mod topology;
mod write;

use crate::error::Kind;
use crate::part::Part;
use crate::{Error, MarkerWrite, fence};
use ::redis::{Pipeline, Value};
use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use keys::Keys;
use link::Link;
use script::Script;
use servers::{Servers, Topology};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tiderace_types::{Marker, RowKey, ShardRange, Version};

/// How Redis is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisOptions {
    /// How long a write may take, connecting included.
    pub write_deadline: Duration,
    /// How long a read may take, connecting included.
    pub read_deadline: Duration,
    /// Whether a server that evicts keys by itself is accepted. Evicted rows then look like
    /// entities that have no events: only for trials.
    pub allow_eviction: bool,
}

impl Default for RedisOptions {
    fn default() -> RedisOptions {
        RedisOptions {
            write_deadline: Duration::from_millis(500),
            read_deadline: Duration::from_millis(50),
            allow_eviction: false,
        }
    }
}

/// A Redis server or cluster. A handle: clones share its connections.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    servers: Servers,
    options: RedisOptions,
    keys: Keys,
    put_rows: Script,
    put_receipt: Script,
    put_marker: Script,
    retire_markers: Script,
}

/// The numbers of the calls that put rows for some shards.
#[derive(Clone, Debug)]
pub(crate) struct Receipts {
    pub(crate) shards: ShardRange,
    /// The number of the last call.
    pub(crate) version: Version,
    /// What each part holds, that of the last call which put rows there.
    pub(crate) held: BTreeMap<Part, Version>,
}

/// What a marker is written over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    /// The marker that is there; without one any lower one, or none.
    pub(crate) marker: Option<Version>,
    /// The least receipt that is there.
    pub(crate) receipt: Option<Version>,
    /// The receipt to begin with.
    pub(crate) first: Option<Version>,
}

/// What came of writing a marker to one part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartWrite {
    pub(crate) write: MarkerWrite,
    /// The receipt that is there, where the marker says that rows were lost.
    pub(crate) receipt: Option<Version>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.0.servers.address();
        f.debug_tuple("RedisStore").field(&address).finish()
    }
}

impl RedisStore {
    pub(crate) fn new(
        url: &str,
        access: &RedisAccess,
        project: &str,
        options: RedisOptions,
    ) -> Result<RedisStore, Error> {
        let connect_deadline = options.write_deadline.max(Duration::from_secs(1));
        Ok(RedisStore(Arc::new(Inner {
            servers: Servers::new(url, access, connect_deadline)?,
            options,
            keys: Keys::new(project)?,
            put_rows: Script::put_rows(),
            put_receipt: Script::put_receipt(),
            put_marker: Script::put_marker(),
            retire_markers: Script::retire_markers(),
        })))
    }

    /// The parts as they are known.
    pub(crate) async fn parts(&self) -> Result<Vec<Part>, Error> {
        let topology = self.topology(self.0.options.write_deadline).await?;
        Ok(topology.parts.iter().map(|(part, _)| *part).collect())
    }

    /// Writes a marker to every part as [`RedisStore::put_marker_in`], and gives the worst that
    /// came of it.
    pub(crate) async fn put_marker(
        &self,
        expected: Option<Version>,
        marker: &Marker,
    ) -> Result<MarkerWrite, Error> {
        let parts = self.parts().await?;
        let expected = Expected {
            marker: expected,
            ..Expected::default()
        };
        let put = |part: Part| self.put_marker_in(part, expected, marker);
        let written = try_join_all(parts.into_iter().map(put)).await?;
        let written = written.into_iter().map(|part| part.write);
        let worst = written.max_by_key(|write| match write {
            MarkerWrite::Written => 0,
            MarkerWrite::Lost { .. } => 1,
            MarkerWrite::Fenced { .. } => 2,
        });
        Ok(worst.unwrap_or(MarkerWrite::Written))
    }

    /// Writes a marker to one part, if what is there is as expected.
    pub(crate) async fn put_marker_in(
        &self,
        part: Part,
        expected: Expected,
        marker: &Marker,
    ) -> Result<PartWrite, Error> {
        let keys = &self.0.keys;
        let mut call = self.0.put_marker.call(2);
        call.arg(keys.markers(part))
            .arg(keys.receipt(part, marker.shards))
            .arg(marker.shards.to_string())
            .arg(marker.encode());
        for version in [expected.marker, expected.receipt, expected.first] {
            match version {
                Some(version) => call.arg(&version.to_bytes()[..]),
                None => call.arg(""),
            };
        }
        let answer = self.on_part(part, "write a marker", &call).await?;
        let (write, receipt) = script::read_marker_write(&answer)
            .ok_or_else(|| self.unexpected("the marker script", &answer))?;
        Ok(PartWrite { write, receipt })
    }

    /// The markers of every part.
    pub(crate) async fn markers(&self) -> Result<Vec<(Part, Vec<Marker>)>, Error> {
        let deadline = self.0.options.read_deadline;
        let topology = self.topology(deadline).await?;
        let read = |place: usize| {
            let topology = &topology;
            async move {
                let own = topology.parts.iter().filter(|(_, at)| *at == place);
                let own: Vec<Part> = own.map(|(part, _)| *part).collect();
                let mut pipeline = Pipeline::new();
                for part in &own {
                    pipeline.cmd("HVALS").arg(self.0.keys.markers(*part));
                }
                let link = &topology.masters[place];
                let answers = link.ask("read markers", &pipeline, deadline).await?;
                let found = own.into_iter().zip(answers);
                let found = found.map(|(part, answer)| Ok((part, self.found_markers(answer)?)));
                found.collect::<Result<Vec<_>, Error>>()
            }
        };
        let found = join_all((0..topology.masters.len()).map(read)).await;
        let found = found.into_iter().collect::<Result<Vec<_>, Error>>();
        let found = found.inspect_err(|_| self.0.servers.renew(&topology))?;
        let read = |(part, markers): (Part, Vec<Bytes>)| {
            let markers = markers.iter().map(|bytes| fence::read_marker(bytes));
            Ok((part, markers.collect::<Result<Vec<_>, Error>>()?))
        };
        found.into_iter().flatten().map(read).collect()
    }

    pub(crate) async fn retire_markers(
        &self,
        overlapping: ShardRange,
        except: ShardRange,
    ) -> Result<(), Error> {
        let retire = |part: Part| self.retire_markers_in(part, overlapping, except);
        let parts = self.parts().await?;
        try_join_all(parts.into_iter().map(retire)).await.map(drop)
    }

    pub(crate) async fn retire_markers_in(
        &self,
        part: Part,
        overlapping: ShardRange,
        except: ShardRange,
    ) -> Result<(), Error> {
        let mut call = self.0.retire_markers.call(1);
        call.arg(self.0.keys.markers(part))
            .arg(overlapping.first)
            .arg(overlapping.last)
            .arg(except.to_string());
        let retired = self.on_part(part, "retire markers", &call).await;
        retired.map(drop)
    }

    pub(crate) async fn scan_keys(&self) -> Result<Vec<RowKey>, Error> {
        let topology = self.topology(self.0.options.read_deadline).await?;
        let scan = |link: &Arc<Link>| self.scan(Arc::clone(link));
        let keys = try_join_all(topology.masters.iter().map(scan)).await?;
        Ok(keys.into_iter().flatten().collect())
    }

    async fn scan(&self, link: Arc<Link>) -> Result<Vec<RowKey>, Error> {
        let pattern = self.0.keys.all_rows();
        let mut cursor = b"0".to_vec();
        let mut keys = Vec::new();
        loop {
            let mut pipeline = Pipeline::new();
            pipeline
                .cmd("SCAN")
                .arg(&cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(1000);
            let deadline = self.0.options.read_deadline;
            let answer = link.ask("scan keys", &pipeline, deadline).await?.pop();
            let Some(Value::Array(parts)) = &answer else {
                return Err(self.unexpected("SCAN", &Value::Nil));
            };
            let [Value::BulkString(next), Value::Array(found)] = &parts[..] else {
                return Err(self.unexpected("SCAN", &Value::Nil));
            };
            for key in found {
                let Value::BulkString(key) = key else {
                    return Err(self.unexpected("SCAN", key));
                };
                keys.push(self.0.keys.read_row(key).ok_or_else(|| {
                    let address = link.address();
                    let why = format!("redis {address}: a row key is malformed");
                    Error::new(Kind::Corrupt, why)
                })?);
            }
            if next == b"0" {
                return Ok(keys);
            }
            cursor.clone_from(next);
        }
    }

    /// Who holds what, within a deadline.
    async fn topology(&self, deadline: Duration) -> Result<Arc<Topology>, Error> {
        let servers = &self.0.servers;
        let asked = tokio::time::timeout(deadline, servers.topology()).await;
        asked.unwrap_or_else(|_| {
            let address = servers.address();
            let why = format!("redis {address}: connect: no answer within {deadline:?}");
            Err(Error::new(Kind::Retry, why))
        })
    }

    fn found_markers(&self, answer: Value) -> Result<Vec<Bytes>, Error> {
        let Value::Array(values) = answer else {
            return Err(self.unexpected("HVALS", &answer));
        };
        values
            .into_iter()
            .map(|value| match value {
                Value::BulkString(bytes) => Ok(Bytes::from(bytes)),
                other => Err(self.unexpected("HVALS", &other)),
            })
            .collect()
    }

    fn invalid(&self, link: &Link, why: &str) -> Error {
        Error::new(Kind::Invalid, format!("redis {} {why}", link.address()))
    }

    fn unexpected(&self, command: &str, answer: &Value) -> Error {
        let kind = match answer {
            Value::Nil => "nil",
            Value::Int(_) => "a number",
            Value::BulkString(_) => "a string",
            Value::Array(_) => "an array",
            _ => "something else",
        };
        let address = self.0.servers.address();
        Error::new(
            Kind::Bug,
            format!("redis {address}: {command} answered {kind}, which it never does"),
        )
    }
}

//! Redis as the online store: one round trip a lookup, fenced writes by script.
//!
//! A row is the string `tr:<project>:r{<entity>}<view u32><generation u32>` (numbers
//! big-endian; the braces are the hash tag, so that all rows of an entity share a slot). The
//! markers are the hash `tr:<project>:markers`, one field `first-last` each.

mod link;
mod script;

use crate::error::Kind;
use crate::{Error, Found, MarkerWrite, RowWrite, fence};
use ::redis::{Cmd, Pipeline, Value};
use bytes::Bytes;
use link::Link;
use script::Script;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tiderace_types::{Generation, Marker, RowKey, ShardRange, Version, ViewId};

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

/// A Redis server. A handle: clones share one connection.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    link: Link,
    options: RedisOptions,
    /// What every row key starts with, up to the hash tag's brace.
    row_prefix: Vec<u8>,
    markers_key: String,
    put_rows: Script,
    put_marker: Script,
    retire_markers: Script,
}

/// How many rows one script call writes.
const KEYS_PER_CALL: usize = 64;
/// How many bytes of rows one round trip carries, so that the deadline is per amount of work.
const BYTES_PER_TRIP: usize = 4 << 20;

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.0.link.address();
        f.debug_tuple("RedisStore").field(&address).finish()
    }
}

impl RedisStore {
    pub(crate) fn new(
        url: &str,
        project: &str,
        options: RedisOptions,
    ) -> Result<RedisStore, Error> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if project.is_empty() || !project.chars().all(fits) {
            return Err(Error::new(
                Kind::Invalid,
                format!("project {project:?}: expected letters, digits, `_` and `-`"),
            ));
        }
        Ok(RedisStore(Arc::new(Inner {
            link: Link::new(url, options.write_deadline.max(Duration::from_secs(1)))?,
            options,
            row_prefix: format!("tr:{project}:r{{").into_bytes(),
            markers_key: format!("tr:{project}:markers"),
            put_rows: Script::put_rows(),
            put_marker: Script::put_marker(),
            retire_markers: Script::retire_markers(),
        })))
    }

    pub(crate) async fn check(&self) -> Result<(), Error> {
        let deadline = self.0.options.write_deadline.max(Duration::from_secs(1));
        let mut pipeline = Pipeline::new();
        pipeline.cmd("INFO").arg("server");
        pipeline.cmd("INFO").arg("memory");
        pipeline.cmd("CONFIG").arg("GET").arg("maxmemory-policy");
        let answers = self.0.link.ask_each("check", &pipeline, deadline).await?;
        let mut texts = answers.into_iter().map(|answer| answer.map(text));
        let mut next = || texts.next().unwrap_or(Ok(String::new()));
        let (server, memory, config) = (next(), next(), next());
        if server.is_ok_and(|info| field(&info, "redis_mode").as_deref() == Some("cluster")) {
            return Err(
                self.invalid("is a Redis Cluster, which is not supported; name a single server")
            );
        }
        if self.0.options.allow_eviction {
            return Ok(());
        }
        let informed = memory
            .as_ref()
            .ok()
            .and_then(|info| field(info, "maxmemory_policy"));
        let configured = config
            .as_ref()
            .ok()
            .and_then(|lines| lines.lines().nth(1).map(str::to_owned));
        match (informed.or(configured).as_deref(), memory, config) {
            (Some("noeviction"), ..) => Ok(()),
            (Some(policy), ..) => Err(self.invalid(&format!(
                "has maxmemory-policy {policy}, which deletes rows silently; set noeviction, \
                 or allow_eviction to accept it"
            ))),
            (None, Err(error), _) | (None, _, Err(error)) => Err(self.invalid(&format!(
                "does not tell its maxmemory-policy ({error}); permit INFO or CONFIG GET, \
                 or set allow_eviction to accept whatever it is"
            ))),
            (None, Ok(_), Ok(_)) => Err(self.invalid(
                "does not tell its maxmemory-policy; set allow_eviction to accept whatever it is",
            )),
        }
    }

    pub(crate) async fn put_rows(&self, rows: &[RowWrite]) -> Result<(), Error> {
        let mut pipeline = Pipeline::new();
        let mut bytes = 0;
        for chunk in rows.chunks(KEYS_PER_CALL) {
            pipeline.add_command(self.put_rows_call(chunk));
            bytes += chunk.iter().map(|row| row.value.len()).sum::<usize>();
            if bytes >= BYTES_PER_TRIP {
                self.run(&self.0.put_rows, "write rows", &pipeline).await?;
                pipeline = Pipeline::new();
                bytes = 0;
            }
        }
        match pipeline.is_empty() {
            true => Ok(()),
            false => self
                .run(&self.0.put_rows, "write rows", &pipeline)
                .await
                .map(drop),
        }
    }

    fn put_rows_call(&self, rows: &[RowWrite]) -> Cmd {
        let mut call = self.0.put_rows.call(rows.len());
        for row in rows {
            call.arg(self.row_key(&row.key));
        }
        for row in rows {
            call.arg(&row.value[..]);
            match row.ttl {
                Some(ttl) => call.arg(fence::ttl_millis(ttl)),
                None => call.arg(""),
            };
        }
        call
    }

    pub(crate) async fn get_rows(&self, keys: &[RowKey]) -> Result<Vec<Option<Bytes>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::new();
        pipeline.add_command(self.get_rows_call(keys));
        let answer = self.read("read rows", &pipeline).await?;
        self.found_rows(keys, answer)
    }

    /// The rows, and after them the markers' bytes: the server keeps the order of a round trip.
    pub(crate) async fn read_rows(&self, keys: &[RowKey]) -> Result<Found, Error> {
        let mut pipeline = Pipeline::new();
        pipeline.add_command(self.get_rows_call(keys));
        pipeline.cmd("HVALS").arg(&self.0.markers_key);
        let deadline = self.0.options.read_deadline;
        let answers = self.0.link.ask("read rows", &pipeline, deadline).await?;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or(Value::Nil);
        let rows = self.found_rows(keys, next())?;
        let markers = self.found_markers(next())?;
        Ok(Found {
            rows,
            markers: Some(markers),
        })
    }

    fn get_rows_call(&self, keys: &[RowKey]) -> Cmd {
        let mut command = ::redis::cmd("MGET");
        for key in keys {
            command.arg(self.row_key(key));
        }
        command
    }

    fn found_rows(&self, keys: &[RowKey], answer: Value) -> Result<Vec<Option<Bytes>>, Error> {
        let Value::Array(values) = answer else {
            return Err(self.unexpected("MGET", &answer));
        };
        if values.len() != keys.len() {
            return Err(self.unexpected("MGET", &Value::Int(values.len() as i64)));
        }
        values
            .into_iter()
            .map(|value| match value {
                Value::Nil => Ok(None),
                Value::BulkString(bytes) => Ok(Some(Bytes::from(bytes))),
                other => Err(self.unexpected("MGET", &other)),
            })
            .collect()
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

    pub(crate) async fn put_marker(
        &self,
        expected: Option<Version>,
        marker: &Marker,
    ) -> Result<MarkerWrite, Error> {
        let mut call = self.0.put_marker.call(1);
        call.arg(&self.0.markers_key)
            .arg(marker.shards.to_string())
            .arg(marker.encode());
        match expected {
            Some(version) => call.arg(&version.to_bytes()[..]),
            None => call.arg(""),
        };
        let mut pipeline = Pipeline::new();
        pipeline.add_command(call);
        let answer = self
            .run(&self.0.put_marker, "write a marker", &pipeline)
            .await?;
        script::read_marker_write(&answer)
            .ok_or_else(|| self.unexpected("the marker script", &answer))
    }

    pub(crate) async fn markers(&self) -> Result<Vec<Marker>, Error> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("HVALS").arg(&self.0.markers_key);
        let answer = self.read("read markers", &pipeline).await?;
        let markers = self.found_markers(answer)?;
        markers
            .iter()
            .map(|bytes| fence::read_marker(bytes))
            .collect()
    }

    pub(crate) async fn retire_markers(
        &self,
        overlapping: ShardRange,
        except: ShardRange,
    ) -> Result<(), Error> {
        let mut call = self.0.retire_markers.call(1);
        call.arg(&self.0.markers_key)
            .arg(overlapping.first)
            .arg(overlapping.last)
            .arg(except.to_string());
        let mut pipeline = Pipeline::new();
        pipeline.add_command(call);
        let retired = self
            .run(&self.0.retire_markers, "retire markers", &pipeline)
            .await;
        retired.map(drop)
    }

    pub(crate) async fn scan_keys(&self) -> Result<Vec<RowKey>, Error> {
        let pattern = [&self.0.row_prefix[..], b"*"].concat();
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
            let answer = self.read("scan keys", &pipeline).await?;
            let Value::Array(parts) = &answer else {
                return Err(self.unexpected("SCAN", &answer));
            };
            let [Value::BulkString(next), Value::Array(found)] = &parts[..] else {
                return Err(self.unexpected("SCAN", &answer));
            };
            for key in found {
                let Value::BulkString(key) = key else {
                    return Err(self.unexpected("SCAN", key));
                };
                keys.push(self.read_row_key(key)?);
            }
            if next == b"0" {
                return Ok(keys);
            }
            cursor.clone_from(next);
        }
    }

    async fn read(&self, verb: &str, pipeline: &Pipeline) -> Result<Value, Error> {
        let deadline = self.0.options.read_deadline;
        let answers = self.0.link.ask(verb, pipeline, deadline).await?;
        Ok(answers.into_iter().next().unwrap_or(Value::Nil))
    }

    /// Runs calls of one script, loading it first where the server does not know it;
    /// gives the last answer.
    async fn run(&self, script: &Script, verb: &str, pipeline: &Pipeline) -> Result<Value, Error> {
        let deadline = self.0.options.write_deadline;
        let link = &self.0.link;
        let mut answers = link.ask_each(verb, pipeline, deadline).await?;
        if answers
            .iter()
            .any(|answer| answer.as_ref().is_err_and(script::is_unknown))
        {
            link.ask("load a script", &script.load(), deadline).await?;
            answers = link.ask_each(verb, pipeline, deadline).await?;
        }
        let mut last = Value::Nil;
        for answer in answers {
            last = answer.map_err(|error| link.error(verb, &error))?;
        }
        Ok(last)
    }

    fn row_key(&self, key: &RowKey) -> Vec<u8> {
        let prefix = &self.0.row_prefix;
        let mut out = Vec::with_capacity(prefix.len() + key.entity.len() + 9);
        out.extend_from_slice(prefix);
        out.extend_from_slice(&key.entity);
        out.push(b'}');
        out.extend(key.view.0.to_be_bytes());
        out.extend(key.generation.0.to_be_bytes());
        out
    }

    fn read_row_key(&self, bytes: &[u8]) -> Result<RowKey, Error> {
        let read = || {
            let rest = bytes.strip_prefix(&self.0.row_prefix[..])?;
            let (rest, generation) = rest.split_last_chunk::<4>()?;
            let (rest, view) = rest.split_last_chunk::<4>()?;
            Some(RowKey {
                view: ViewId(u32::from_be_bytes(*view)),
                generation: Generation(u32::from_be_bytes(*generation)),
                entity: rest.strip_suffix(b"}")?.into(),
            })
        };
        read().ok_or_else(|| {
            let address = self.0.link.address();
            Error::new(
                Kind::Corrupt,
                format!("redis {address}: a row key is malformed"),
            )
        })
    }

    fn invalid(&self, why: &str) -> Error {
        Error::new(
            Kind::Invalid,
            format!("redis {} {why}", self.0.link.address()),
        )
    }

    fn unexpected(&self, command: &str, answer: &Value) -> Error {
        let kind = match answer {
            Value::Nil => "nil",
            Value::Int(_) => "a number",
            Value::BulkString(_) => "a string",
            Value::Array(_) => "an array",
            _ => "something else",
        };
        let address = self.0.link.address();
        Error::new(
            Kind::Bug,
            format!("redis {address}: {command} answered {kind}, which it never does"),
        )
    }
}

/// The text of an answer; arrays as lines.
fn text(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text,
        Value::Array(values) => {
            let lines: Vec<String> = values.into_iter().map(text).collect();
            lines.join("\n")
        }
        _ => String::new(),
    }
}

/// The value of one line of INFO's answer.
fn field(info: &str, name: &str) -> Option<String> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
}

//! Whether servers can be relied on: there, and evicting nothing by themselves.

use super::{Link, RedisStore};
use crate::Error;
use crate::error::Kind;
use ::redis::{Pipeline, Value};
use std::time::Duration;

impl RedisStore {
    /// Checks every server, those that only stand by among them where they can be reached.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        let deadline = self.0.options.write_deadline.max(Duration::from_secs(1));
        let topology = self.topology(deadline).await?;
        if topology.alone && self.0.servers.named() > 1 {
            let why = "is no Redis Cluster, and only of a cluster may several servers be named";
            return Err(self.invalid(&topology.masters[0], why));
        }
        for link in &topology.masters {
            self.check_one(link, topology.alone, deadline).await?;
        }
        for link in &topology.replicas {
            match self.check_one(link, topology.alone, deadline).await {
                Err(error) if error.kind() == Kind::Retry => {
                    tracing::warn!(%error, "a replica is away");
                }
                checked => checked?,
            }
        }
        Ok(())
    }

    async fn check_one(&self, link: &Link, alone: bool, deadline: Duration) -> Result<(), Error> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("INFO").arg("server");
        pipeline.cmd("INFO").arg("memory");
        pipeline.cmd("CONFIG").arg("GET").arg("maxmemory-policy");
        let answers = link.ask_each("check", &pipeline, deadline).await?;
        let mut texts = answers.into_iter().map(|answer| answer.map(text));
        let mut next = || texts.next().unwrap_or(Ok(String::new()));
        let (server, memory, config) = (next(), next(), next());
        let mode = server.ok().and_then(|info| field(&info, "redis_mode"));
        if mode.as_deref() == Some("sentinel") {
            let why =
                "is a sentinel; name the master that it tells of: `sentinel: { master: NAME }`";
            return Err(self.invalid(link, why));
        }
        if alone && mode.as_deref() == Some("cluster") {
            let why = "is a Redis Cluster that does not say who holds what; permit CLUSTER SLOTS";
            return Err(self.invalid(link, why));
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
            (Some(policy), ..) => Err(self.invalid(
                link,
                &format!(
                    "has maxmemory-policy {policy}, which deletes rows silently; set noeviction, \
                     or allow_eviction to accept it"
                ),
            )),
            (None, Err(error), _) | (None, _, Err(error)) => Err(self.invalid(
                link,
                &format!(
                    "does not tell its maxmemory-policy ({error}); permit INFO or CONFIG GET, \
                     or set allow_eviction to accept whatever it is"
                ),
            )),
            (None, Ok(_), Ok(_)) => Err(self.invalid(
                link,
                "does not tell its maxmemory-policy; set allow_eviction to accept whatever it is",
            )),
        }
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

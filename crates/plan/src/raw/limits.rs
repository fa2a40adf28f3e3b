//! What doors bear, as it is written.

use super::Size;
use crate::at::At;
use schemars::JsonSchema;
use serde::Deserialize;

/// What the doors bear; each has a default.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Rows that one lookup may ask for. Default: 1000.
    #[schemars(example = 100)]
    pub(crate) rows: Option<At<u32>>,
    /// Rows times features of one lookup. Default: 100000.
    #[schemars(example = 10_000)]
    pub(crate) values: Option<At<u32>>,
    /// The largest message or body taken. Default: `4MiB`.
    #[schemars(example = &"1MiB")]
    pub(crate) message: Option<At<Size>>,
    /// Calls answered at once; more are refused at once, as RESOURCE_EXHAUSTED or 429. Default: 1024.
    #[schemars(example = 256)]
    pub(crate) calls: Option<At<u32>>,
    /// How long a call may take. A client's own shorter deadline counts too. Default: `5s`.
    #[schemars(example = &"500ms", extend("x-form" = "duration"))]
    pub(crate) call_time: Option<At<String>>,
    /// Connections open at once, at each door; more are closed at once. Default: 10000.
    #[schemars(example = 2_000)]
    pub(crate) connections: Option<At<u32>>,
    /// After which clients are asked to connect anew, a tenth more or less by chance, so that those that keep
    /// their connections spread over new servers. Default: `30m`.
    #[schemars(example = &"1h", extend("x-form" = "duration"))]
    pub(crate) connection_age: Option<At<String>>,
    /// How long calls of such a connection may still take. Default: `30s`.
    #[schemars(example = &"10s", extend("x-form" = "duration"))]
    pub(crate) connection_grace: Option<At<String>>,
    /// After which a connection without a call is closed. Default: `10m`.
    #[schemars(example = &"5m", extend("x-form" = "duration"))]
    pub(crate) connection_idle: Option<At<String>>,
    /// How long the head of a call may take to arrive. Default: `10s`.
    #[schemars(example = &"5s", extend("x-form" = "duration"))]
    pub(crate) header_time: Option<At<String>>,
    /// How long a client may take to agree on TLS. Default: `10s`.
    #[schemars(example = &"5s", extend("x-form" = "duration"))]
    pub(crate) handshake_time: Option<At<String>>,
    /// Silence after which a client of gRPC is asked whether it lives. Default: `30s`.
    #[schemars(example = &"1m", extend("x-form" = "duration"))]
    pub(crate) keepalive: Option<At<String>>,
    /// How long it may take to answer that. Default: `10s`.
    #[schemars(example = &"20s", extend("x-form" = "duration"))]
    pub(crate) keepalive_time: Option<At<String>>,
    /// How long an answer may wait for its client to read more of it. Default: `1m`.
    #[schemars(example = &"30s", extend("x-form" = "duration"))]
    pub(crate) unread_time: Option<At<String>>,
    /// Memory for answers that clients have not read, at each door; one connection has an eighth. Past it,
    /// calls are refused until some are read. Default: `256MiB`.
    #[schemars(example = &"64MiB")]
    pub(crate) unread: Option<At<Size>>,
    /// How long calls may still take when the process is told to end. Default: `10s`.
    #[schemars(example = &"30s", extend("x-form" = "duration"))]
    pub(crate) drain: Option<At<String>>,
}

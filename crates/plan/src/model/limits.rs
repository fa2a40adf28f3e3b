//! What doors bear.

use tiderace_types::Duration;

/// The bounds of the doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows of one lookup.
    pub rows: usize,
    /// Rows times features of one lookup.
    pub values: usize,
    /// The largest message or body, in bytes.
    pub message: usize,
    /// Calls answered at once.
    pub calls: usize,
    /// How long a call may take.
    pub call_time: Duration,
    /// Connections open at once, at each door.
    pub connections: usize,
    /// After which clients are asked to connect anew.
    pub connection_age: Duration,
    /// How long calls of such a connection may still take.
    pub connection_grace: Duration,
    /// After which a connection without a call is closed.
    pub connection_idle: Duration,
    /// How long the head of a call may take to arrive.
    pub header_time: Duration,
    /// How long a client may take to agree on TLS.
    pub handshake_time: Duration,
    /// Silence after which a client is asked whether it lives.
    pub keepalive: Duration,
    /// How long it may take to answer that.
    pub keepalive_time: Duration,
    /// How long an answer may wait for its client.
    pub unread_time: Duration,
    /// Bytes of answers that clients have not read, at each door.
    pub unread: usize,
    /// How long calls may still take when the process is told to end.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let seconds = Duration::from_secs;
        Limits {
            rows: 1_000,
            values: 100_000,
            message: 4 << 20,
            calls: 1_024,
            call_time: seconds(5),
            connections: 10_000,
            connection_age: seconds(30 * 60),
            connection_grace: seconds(30),
            connection_idle: seconds(10 * 60),
            header_time: seconds(10),
            handshake_time: seconds(10),
            keepalive: seconds(30),
            keepalive_time: seconds(10),
            unread_time: seconds(60),
            unread: 256 << 20,
            drain: seconds(10),
        }
    }
}

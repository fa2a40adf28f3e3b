//! What the connections of a door may take: time, memory, and how many there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The bounds of every door's connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections open at once at each door; more are closed at once. 10,000.
    pub connections: usize,
    /// After which a client is asked to connect anew, a tenth more or less by chance: so clients that keep
    /// their connections spread over new servers. 30 min.
    pub age: Duration,
    /// How long calls of such a connection may still take. 30 s.
    pub grace: Duration,
    /// After which a connection without a call is closed. 10 min.
    pub idle: Duration,
    /// How long the head of a call, and the first words of a connection, may take to arrive. 10 s.
    pub headers: Duration,
    /// How long a client may take to agree on encryption. 10 s.
    pub handshake: Duration,
    /// Silence after which a client is asked whether it lives (gRPC). 30 s.
    pub keepalive: Duration,
    /// How long it has to answer that. 10 s.
    pub keepalive_answer: Duration,
    /// How long an answer may wait for its client to take any of it. 1 min.
    pub unread: Duration,
    /// Bytes of answers that clients have not taken yet, of all connections of a door; a connection has an
    /// eighth of it. Past it, calls are refused until some are taken. 256 MiB.
    pub unread_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            connections: 10_000,
            age: Duration::from_secs(30 * 60),
            grace: Duration::from_secs(30),
            idle: Duration::from_secs(10 * 60),
            headers: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            keepalive: Duration::from_secs(30),
            keepalive_answer: Duration::from_secs(10),
            unread: Duration::from_secs(60),
            unread_bytes: 256 << 20,
        }
    }
}

impl Bounds {
    /// The age of one connection: `chance` takes it from a tenth less to a tenth more.
    pub(crate) fn age_by(&self, chance: u64) -> Duration {
        const STEPS: u32 = 1 << 16;
        let step = u32::from(chance as u16);
        self.age / 10 * 9 + self.age / 5 / STEPS * step
    }
}

/// The bytes of answers that the clients of a door have not taken yet.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    bytes: Arc<AtomicUsize>,
    most: usize,
}

impl Unread {
    pub(crate) fn new(most: usize) -> Unread {
        Unread {
            bytes: Arc::default(),
            most,
        }
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn take(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether there is no room, for a connection that has so many bytes of it.
    pub(crate) fn is_full(&self, own: usize) -> bool {
        own > self.most / SHARE || self.bytes.load(Ordering::Relaxed) > self.most
    }
}

/// What one connection may have of all there is room for.
const SHARE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_a_tenth_around() {
        let bounds = Bounds::default();
        let check = |chance, seconds: u64| {
            let off = bounds.age_by(chance).as_secs().abs_diff(seconds);
            assert!(off <= 1, "{chance}: {:?}", bounds.age_by(chance));
        };
        check(0, 27 * 60);
        check(1 << 15, 30 * 60);
        check(u64::MAX, 33 * 60);
    }

    #[test]
    fn a_connection_has_its_share() {
        let unread = Unread::new(800);
        unread.add(101);
        assert!(unread.is_full(101));
        assert!(!unread.is_full(100));
        unread.add(700);
        assert!(unread.is_full(0));
        unread.take(1);
        assert!(!unread.is_full(0));
    }
}

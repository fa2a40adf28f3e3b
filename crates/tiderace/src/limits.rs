//! What the project says that doors bear, as the doors take it.

use std::time::Duration;
use tiderace_plan::model::{self, Limits};
use tiderace_serve::{self as serve, Bounds, NearCache, Options};

/// Sets the bounds of calls and connections.
pub fn set(limits: &Limits, options: &mut Options) {
    options.limits = serve::Limits {
        rows: limits.rows,
        values: limits.values,
    };
    options.max_message_bytes = limits.message;
    options.concurrency = limits.calls;
    options.timeout = time(limits.call_time);
    options.drain = time(limits.drain);
    options.bounds = bounds(limits);
}

/// What is kept near of rows that were read.
#[must_use]
pub fn near_cache(bounds: model::NearCache) -> NearCache {
    NearCache {
        max_bytes: bounds.max_bytes,
        max_age: time(bounds.max_age),
    }
}

/// The bounds of connections.
#[must_use]
pub fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        connections: limits.connections,
        age: time(limits.connection_age),
        grace: time(limits.connection_grace),
        idle: time(limits.connection_idle),
        headers: time(limits.header_time),
        handshake: time(limits.handshake_time),
        keepalive: time(limits.keepalive),
        keepalive_answer: time(limits.keepalive_time),
        unread: time(limits.unread_time),
        unread_bytes: limits.unread,
    }
}

fn time(duration: tiderace_types::Duration) -> Duration {
    Duration::from_micros(u64::try_from(duration.0).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_same_on_both_sides() {
        let mut options = Options::at("127.0.0.1:0", None);
        let before = format!("{options:?}");
        set(&Limits::default(), &mut options);
        assert_eq!(format!("{options:?}"), before);
    }
}

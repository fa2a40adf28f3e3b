//! Where the stores that expire rows themselves read the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;
use tiderace_types::Timestamp;

/// A clock: the machine's, or one that a test moves.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    Wall,
    /// Stands still until it is set; clones share it.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Makes a clock that stands at `now`.
    #[must_use]
    pub fn manual(now: Timestamp) -> Clock {
        Clock::Manual(Arc::new(AtomicI64::new(now.0)))
    }

    /// Moves a manual clock; the machine's is not moved.
    pub fn set(&self, now: Timestamp) {
        if let Clock::Manual(micros) = self {
            micros.store(now.0, Ordering::Relaxed);
        }
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::Wall => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let micros = since.map_or(0, |since| since.as_micros());
                Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
            }
            Clock::Manual(micros) => Timestamp(micros.load(Ordering::Relaxed)),
        }
    }
}

//! The clock that intervals are counted by: this thread's own processor time.
//!
//! On an idle machine it is the wall clock of a thread that never waits. On a busy one it is not
//! the neighbours' fault that there are more commits an event.

use anyhow::{Context, Result};
use std::time::Duration;

/// The processor time of the calling thread so far.
///
/// # Errors
/// When `/proc` does not tell.
pub fn now() -> Result<Duration> {
    let path = "/proc/thread-self/schedstat";
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let nanoseconds = text.split_whitespace().next().context(path)?;
    Ok(Duration::from_nanos(nanoseconds.parse().context(path)?))
}

/// Something to do every so often.
#[derive(Clone, Copy, Debug)]
pub struct Every {
    interval: Duration,
    last: Duration,
}

impl Every {
    /// From now on.
    ///
    /// # Errors
    /// When `/proc` does not tell the time.
    pub fn new(interval: Duration) -> Result<Every> {
        let last = now()?;
        Ok(Every { interval, last })
    }

    /// Tells whether it is time again; if so, the next interval begins.
    pub fn is_due(&mut self, now: Duration) -> bool {
        let due = now.saturating_sub(self.last) >= self.interval;
        if due {
            self.last = now;
        }
        due
    }
}

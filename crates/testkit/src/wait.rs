//! Waiting for something that another process does: polled, with a deadline, never a bare sleep.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(10);

/// Polls `look` until it gives something, and gives that.
///
/// # Errors
/// When `within` has passed; the message names `what`.
pub fn until_some<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {within:?} for {what}");
        }
        std::thread::sleep(EVERY);
    }
}

/// Polls `look` until it is true.
///
/// # Errors
/// When `within` has passed; the message names `what`.
pub fn until(what: &str, within: Duration, mut look: impl FnMut() -> bool) -> Result<()> {
    until_some(what, within, || look().then_some(()))
}

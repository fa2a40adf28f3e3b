//! The one place of this binary that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};
use tiderace_types::Timestamp;

/// The present instant, by the machine's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros());
    Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
}

//! The signals that ask a process to end in good order: SIGTERM and SIGINT.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Takes both from when it is made on: one that comes before anybody waits is kept.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them in place of the system, which would end the process at once.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn take() -> Result<Signals> {
        let take = |kind| signal(kind).context("take signals");
        Ok(Signals {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
        })
    }

    /// Waits for either.
    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

//! Asking the owner of a row, where what is published of it cannot answer.
//!
//! A dense row is published cut for the instants from now on. As of an earlier one it can be
//! answered only from state, which only the worker that owns the row has: the process that runs
//! both asks it, a server apart from its workers answers OUTSIDE_HISTORY. So it is with a row whose
//! published bytes are damaged: its owner answers and publishes it again, a server apart says ERROR.

use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tiderace_types::{RowKey, Timestamp};

/// The row as of an instant, in its byte form; `None` where the owner has nothing to say.
pub type Reading = Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>;

/// Why the owner of a row is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// The published row cannot answer as of the instant.
    Instant,
    /// The published row cannot be read: it is to be published again.
    Damage,
}

/// How the owner of a row is asked.
#[derive(Clone)]
pub struct Owner(pub Arc<dyn Fn(RowKey, Timestamp, Asking) -> Reading + Send + Sync>);

impl Owner {
    /// Asks for a row cut so that every window of it is exact as of an instant.
    pub(crate) async fn row_at(&self, key: &RowKey, as_of: Timestamp) -> Option<Bytes> {
        (self.0)(key.clone(), as_of, Asking::Instant).await
    }

    /// Asks for a row of which what is published is damaged, and has it published again.
    pub(crate) async fn mend(&self, key: &RowKey, as_of: Timestamp) -> Option<Bytes> {
        (self.0)(key.clone(), as_of, Asking::Damage).await
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owner")
    }
}

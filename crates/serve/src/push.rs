//! Where pushed events go: something that the binary provides.

use crate::proto;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Arc;
use tiderace_aggregate::PushedEvents;
use tiderace_types::Timestamp;

/// Takes events into a source.
///
/// A trait, and not an enum, because what takes them lives in crates that this one
/// must not know: the embedded log, a Kafka producer.
pub trait Push: Send + Sync + 'static {
    /// Gives `payloads`, each one event, to `source`, which the plan has: all or none.
    /// Returns when they are as durable as asked.
    fn push<'a>(
        &'a self,
        source: &'a str,
        payloads: Vec<Bytes>,
        durability: Durability,
    ) -> PushFuture<'a>;

    /// What reads the pushed events of a source before they come by the stream; `None` where nothing does.
    fn reader(&self, source: &str) -> Option<PushReader> {
        let _ = source;
        None
    }
}

/// Reads payloads as the stream will, but for what hangs on its clock.
pub type PushReader = Arc<dyn Fn(&[Bytes], &Written) -> PushedEvents + Send + Sync>;

/// What [`Push::push`] returns.
pub type PushFuture<'a> = BoxFuture<'a, Result<PushReceipt, PushError>>;

/// What events survive once a push has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// A crash of the machine.
    #[default]
    Disk,
    /// A crash of the process.
    Process,
}

/// Where the events are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushReceipt {
    /// The first one's offset in the embedded log, the others following; `None` for Kafka.
    pub first_offset: Option<i64>,
    /// How many there are.
    pub count: u64,
    /// The place and time of each.
    pub written: Written,
}

impl From<PushReceipt> for proto::PushResponse {
    fn from(receipt: PushReceipt) -> proto::PushResponse {
        proto::PushResponse {
            first_offset: receipt.first_offset,
            count: receipt.count,
        }
    }
}

/// Where records of a source lie, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The number of the partition and the offset of each.
    pub places: Vec<(u32, i64)>,
    /// The time that the records themselves say.
    pub at: Timestamp,
}

impl Written {
    /// The place of records that lie nowhere yet.
    pub(crate) const NOWHERE: (u32, i64) = (u32::MAX, -1);
}

/// A push that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PushError {
    /// What the caller can do about it.
    pub kind: PushErrorKind,
    /// What is the matter, naming it.
    pub message: String,
}

/// What the caller of a push can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushErrorKind {
    /// Change the events.
    Invalid,
    /// Push elsewhere: this source takes none here.
    Unsupported,
    /// Push again later.
    Unavailable,
    /// Push less at once.
    TooMuch,
    /// Report it.
    Bug,
}

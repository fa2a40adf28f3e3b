//! Where pushed events go: something that the binary provides.

use bytes::Bytes;
use futures::future::BoxFuture;

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
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushReceipt {
    /// The first one's offset in the embedded log, the others following; `None` for Kafka.
    pub first_offset: Option<i64>,
    /// How many there are.
    pub count: u64,
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

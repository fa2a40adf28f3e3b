//! What can go wrong with an online store, and what to do about it.

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The store is away, slow or full: the same call may succeed later.
    Retry,
    /// The request or the set-up is wrong; a person must change something.
    Invalid,
    /// Stored bytes are damaged.
    Corrupt,
    /// The store is shutting down.
    Closed,
    /// A broken assumption of this program.
    Bug,
}

/// Why an online store could not do something.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error {
            kind,
            message: message.into(),
        }
    }
}

//! What can go wrong with the state, and what to do about it.

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The same call may succeed later: the disk is full or busy.
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

/// Why the state could not do something.
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

    pub(crate) fn corrupt(table: &str, why: impl std::fmt::Display) -> Error {
        Error::new(Kind::Corrupt, format!("state table {table}: {why}"))
    }

    /// An error that a test made, met while trying to `verb`.
    pub(crate) fn injected(verb: &str, cause: &std::io::Error) -> Error {
        Error::new(Kind::Retry, format!("{verb}: {cause}"))
    }

    /// Translates RocksDB's error met while trying to `verb`.
    pub(crate) fn rocks(verb: &str, error: &rocksdb::Error) -> Error {
        Error::new(kind_of(error), format!("{verb}: {error}"))
    }
}

fn kind_of(error: &rocksdb::Error) -> Kind {
    use rocksdb::ErrorKind as E;
    match error.kind() {
        E::Corruption => Kind::Corrupt,
        E::InvalidArgument | E::NotSupported => Kind::Invalid,
        E::ShutdownInProgress => Kind::Closed,
        E::IOError | E::Busy | E::TryAgain | E::TimedOut | E::Aborted | E::Incomplete => {
            Kind::Retry
        }
        _ => Kind::Bug,
    }
}

//! What the included files of `state` name of their own crate.

#[allow(dead_code, reason = "included by its path; blocks are rows")]
#[path = "../../crates/state/src/commit.rs"]
mod commit;
pub(crate) use commit::{ArchiveNote, ViewState};

/// What to do about an [`Error`], as far as the included files say.
#[derive(Debug)]
pub(crate) enum Kind {
    /// The request is wrong.
    Invalid,
    /// Stored bytes are damaged.
    Corrupt,
}

/// As that of `state`, but for what RocksDB says.
#[derive(Debug, thiserror::Error)]
#[error("{kind:?}: {message}")]
pub(crate) struct Error {
    kind: Kind,
    message: String,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn corrupt(table: &str, why: impl std::fmt::Display) -> Error {
        Error::new(Kind::Corrupt, format!("state table {table}: {why}"))
    }
}

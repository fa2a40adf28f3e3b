//! What can go wrong, and what to do about it.

use std::fmt::Display;
use std::path::Path;

/// An error of a source.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
}

/// What the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Try again: the other side is away or slow.
    Retry,
    /// Change the request, the settings or the topic: trying again cannot help.
    Invalid,
    /// Stop and restore: stored bytes are not what was written.
    Corrupt,
    /// Open it anew: it is closed or has failed for good.
    Closed,
    /// Report it: this should not happen.
    Bug,
}

impl Error {
    /// What the caller should do.
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

    pub(crate) fn invalid(message: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, message)
    }

    /// An operation on a file that the system refused.
    pub(crate) fn io(verb: &str, path: &Path, cause: &std::io::Error) -> Error {
        use std::io::ErrorKind as E;
        let kind = match cause.kind() {
            E::NotFound | E::PermissionDenied | E::ReadOnlyFilesystem | E::NotADirectory => {
                Kind::Invalid
            }
            E::UnexpectedEof => Kind::Corrupt,
            _ => Kind::Retry,
        };
        Error::new(kind, format!("{verb} \"{}\": {cause}", path.display()))
    }

    /// Bytes of a file that are not what was written.
    pub(crate) fn corrupt(path: &Path, byte: u64, what: impl Display) -> Error {
        Error::new(
            Kind::Corrupt,
            format!("\"{}\" byte {byte}: {what}", path.display()),
        )
    }
}

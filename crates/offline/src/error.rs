//! What goes wrong with tables, and whose doing it is.

use std::fmt;

/// An error of the offline side.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
}

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for, or named, is wrong.
    Caller,
    /// A file does not read, or does not hold what it should.
    Data,
    /// The store cannot be reached, read or written; trying again may help.
    Store,
}

impl Error {
    /// An error in words.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error {
            kind,
            message: message.into(),
        }
    }

    /// What a store said about `name`.
    #[must_use]
    pub fn store(name: &str, error: impl fmt::Display) -> Error {
        Error::new(Kind::Store, format!("{name}: {error}"))
    }

    /// What is wrong with the content of `name`.
    #[must_use]
    pub fn data(name: &str, error: impl fmt::Display) -> Error {
        Error::new(Kind::Data, format!("{name}: {error}"))
    }

    /// The same, about `name`.
    #[must_use]
    pub fn of(self, name: &str) -> Error {
        Error::new(self.kind, format!("{name}: {}", self.message))
    }

    /// Whose doing it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

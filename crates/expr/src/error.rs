//! What is wrong with an expression, and what went wrong with one row.

use std::ops::Range;

/// Why an expression does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong, naming the thing.
    pub message: String,
    /// Where, as bytes of the SQL text.
    pub span: Option<Range<usize>>,
    /// What was expected, or the nearest name.
    pub help: Option<String>,
}

impl Error {
    /// An error about the whole expression.
    pub(crate) fn whole(message: impl Into<String>) -> Error {
        Error {
            message: message.into(),
            span: None,
            help: None,
        }
    }

    /// An error about some bytes of the text.
    pub(crate) fn at(span: Option<Range<usize>>, message: impl Into<String>) -> Error {
        Error {
            span,
            ..Error::whole(message)
        }
    }

    /// Says what to do.
    pub(crate) fn help(self, help: impl Into<String>) -> Error {
        Error {
            help: Some(help.into()),
            ..self
        }
    }
}

/// Why an expression has no answer for a row: an overflow, a division by zero, a failed cast.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}`: {message}")]
pub struct EvalError {
    /// The row of the batch.
    pub row: usize,
    /// The expression, as canonical text.
    pub expression: String,
    /// What went wrong.
    pub message: String,
}

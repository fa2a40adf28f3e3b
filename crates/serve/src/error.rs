//! What can go wrong in a call, and whose matter it is.

use axum::http::StatusCode;

/// A call that got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
}

/// What the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Change the request.
    Invalid,
    /// Ask for something that exists.
    NotFound,
    /// Say who asks, with a token that is right.
    Unauthenticated,
    /// Ask for what is allowed, or have it allowed.
    Forbidden,
    /// Ask for less, or later.
    TooMuch,
    /// Ask again: what is needed cannot be reached now.
    Unavailable,
    /// Ask again, or give it more time.
    Deadline,
    /// Ask another server: this one does not do that.
    Unsupported,
    /// Report it: this is a fault of the server.
    Bug,
}

impl Kind {
    /// Its name, as gRPC has it.
    #[must_use]
    pub(crate) fn code(self) -> &'static str {
        match self {
            Kind::Invalid => "INVALID_ARGUMENT",
            Kind::NotFound => "NOT_FOUND",
            Kind::Unauthenticated => "UNAUTHENTICATED",
            Kind::Forbidden => "PERMISSION_DENIED",
            Kind::TooMuch => "RESOURCE_EXHAUSTED",
            Kind::Unavailable => "UNAVAILABLE",
            Kind::Deadline => "DEADLINE_EXCEEDED",
            Kind::Unsupported => "UNIMPLEMENTED",
            Kind::Bug => "INTERNAL",
        }
    }

    /// Its status, as HTTP has it.
    #[must_use]
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::TooMuch => StatusCode::TOO_MANY_REQUESTS,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            Kind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Error {
    /// Makes an error.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error {
            kind,
            message: message.into(),
        }
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Error {
        Error::new(Kind::NotFound, message)
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> tonic::Status {
        let code = match error.kind {
            Kind::Invalid => tonic::Code::InvalidArgument,
            Kind::NotFound => tonic::Code::NotFound,
            Kind::Unauthenticated => tonic::Code::Unauthenticated,
            Kind::Forbidden => tonic::Code::PermissionDenied,
            Kind::TooMuch => tonic::Code::ResourceExhausted,
            Kind::Unavailable => tonic::Code::Unavailable,
            Kind::Deadline => tonic::Code::DeadlineExceeded,
            Kind::Unsupported => tonic::Code::Unimplemented,
            Kind::Bug => tonic::Code::Internal,
        };
        tonic::Status::new(code, error.message)
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Error {
        let kind = match status.code() {
            tonic::Code::InvalidArgument | tonic::Code::OutOfRange => Kind::Invalid,
            tonic::Code::NotFound => Kind::NotFound,
            tonic::Code::Unauthenticated => Kind::Unauthenticated,
            tonic::Code::PermissionDenied => Kind::Forbidden,
            tonic::Code::ResourceExhausted => Kind::TooMuch,
            tonic::Code::Unavailable => Kind::Unavailable,
            tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => Kind::Deadline,
            tonic::Code::Unimplemented => Kind::Unsupported,
            _ => Kind::Bug,
        };
        Error::new(kind, status.message())
    }
}

//! What can go wrong in a Feast call, as Feast's clients understand it.
//!
//! They repeat a call that is answered with 429, 500, 502, 503 or 504, and read every other error at
//! once: so no mistake of the caller may be one of those. What Feast has a class for is a 404 whose
//! body is a JSON string that contains JSON; its clients raise that class again.

use crate::{Error, Kind};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A Feast call that got no answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Something that does not exist, for which Feast has an exception.
    Unknown {
        /// The exception, of `feast.errors`.
        class: &'static str,
        /// What does not exist.
        message: String,
    },
    /// The body lacks a field.
    Missing(&'static str),
    /// Anything else.
    Other(Error),
}

impl Fault {
    /// Says with an exception of Feast that something does not exist.
    pub(crate) fn unknown(class: &'static str, error: &Error) -> Fault {
        Fault::Unknown {
            class,
            message: error.to_string(),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Other(error)
    }
}

impl From<Fault> for tonic::Status {
    fn from(fault: Fault) -> tonic::Status {
        match fault {
            Fault::Unknown { message, .. } => tonic::Status::not_found(message),
            Fault::Missing(field) => tonic::Status::invalid_argument(missing(field)),
            Fault::Other(error) => error.into(),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let error = match self {
            Fault::Unknown { class, message } => {
                let inside = format!(
                    "{{\"module\": \"feast.errors\", \"class\": \"{class}\", \"message\": {}}}",
                    json!(message)
                );
                return (StatusCode::NOT_FOUND, Json(json!(inside))).into_response();
            }
            Fault::Missing(field) => {
                let detail = json!({"detail": [
                    {"type": "missing", "loc": ["body", field], "msg": missing(field)},
                ]});
                return (StatusCode::UNPROCESSABLE_ENTITY, Json(detail)).into_response();
            }
            Fault::Other(error) => error,
        };
        let status = match error.kind() {
            Kind::Invalid | Kind::NotFound => StatusCode::UNPROCESSABLE_ENTITY,
            other => other.status(),
        };
        (status, Json(json!({"detail": error.to_string()}))).into_response()
    }
}

fn missing(field: &str) -> String {
    format!("Field required: {field}, an object with an array of values per column")
}

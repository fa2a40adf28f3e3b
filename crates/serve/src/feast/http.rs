//! Feast's HTTP door: `POST /get-online-features` and `GET /health`.
//!
//! What Feast has no place for is in two headers: `tiderace-as-of`, the instant of the answer, and
//! `tiderace-completeness`, how complete the least complete of the values is.

use super::{Door, Fault, json};
use crate::http::readable;
use crate::{Caller, Error};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde_json::json;
use std::sync::Arc;

/// The routes, for bodies of at most `max_body` bytes.
pub(crate) fn router(door: Arc<Door>, max_body: usize) -> Router {
    Router::new()
        .route("/get-online-features", post(features))
        .route("/health", get(async || StatusCode::OK))
        .fallback(async || nothing(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || nothing(StatusCode::METHOD_NOT_ALLOWED))
        .layer(DefaultBodyLimit::max(max_body))
        .with_state(door)
}

async fn features(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Fault> {
    if let Some(coding) = headers.get(header::CONTENT_ENCODING)
        && coding != "identity"
    {
        return Err(Error::invalid(format!(
            "content-encoding {coding:?} is not understood; send the body as it is"
        ))
        .into());
    }
    let question = json::question(&readable(body)?)?;
    let answer = door.answer(&caller, question).await?;
    let body = json::write(&answer).await;
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/json".to_owned()),
        (super::AS_OF, answer.as_of()),
        (super::COMPLETENESS, answer.completeness()),
    ];
    Ok((headers, body).into_response())
}

/// What this door does not have.
fn nothing(status: StatusCode) -> Response {
    let detail = "this door has POST /get-online-features and GET /health; \
        everything else of Feast's feature server is not there";
    (status, axum::Json(json!({"detail": detail}))).into_response()
}

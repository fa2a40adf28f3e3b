//! The HTTP door: JSON, for people and for clients without gRPC.
//!
//! | | |
//! |---|---|
//! | `POST /v1/features` | a lookup |
//! | `POST /v1/push/{source}?durability=disk` | an event, JSON lines, or an array of events |
//! | `GET /v1/catalogue` | what there is |
//! | `GET /health` | the process lives |
//! | `GET /ready` | lookups can be answered |
//! | `GET /metrics` | what the process has counted, as Prometheus reads it |
//! | `GET /console/` | the [console](crate::console), where the process has one |
//!
//! Where callers have to be known, `/health`, `/ready` and pages are open, `/metrics` needs the right to
//! administer, and the rest a token whose rights are judged by what is asked (`gate`).
//!
//! Errors are `{"error": {"code", "message"}}` with the names of the gRPC codes.

use crate::{Caller, Console, Durability, Error, Metrics, Page, Serving, console, json};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::json;
use std::sync::Arc;

/// The routes, for bodies of at most `max_body` bytes.
pub(crate) fn router(
    serving: Arc<Serving>,
    metrics: Option<Metrics>,
    console: Option<Console>,
    max_body: usize,
) -> Router {
    let console = match console {
        Some(shown) => console::data(shown, Some(Arc::clone(&serving))).merge(console::page()),
        None => Router::new(),
    };
    let counted = Arc::clone(&serving);
    let metrics = move || {
        let mut page = Page::default();
        counted.metrics(&mut page);
        let live = metrics.as_ref().map_or_else(String::new, |live| (live.0)());
        std::future::ready(live + &page.into_text())
    };
    Router::new()
        .route("/v1/features", post(features))
        .route("/v1/push/{source}", post(push))
        .route("/v1/catalogue", get(catalogue))
        .route("/health", get(async || Json(json!({"status": "ok"}))))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .fallback(async || Error::not_found("there is no such path; see GET /v1/catalogue"))
        .layer(DefaultBodyLimit::max(max_body))
        .with_state(serving)
        .merge(console)
}

async fn features(
    State(serving): State<Arc<Serving>>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    let request = json::request(&readable(body)?)?;
    let answer = serving.get(&caller, request).await?;
    Ok(Json(json::response(&answer)).into_response())
}

async fn push(
    State(serving): State<Arc<Serving>>,
    Extension(caller): Extension<Caller>,
    Path(source): Path<String>,
    Query(wanted): Query<Vec<(String, String)>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    let durability = durability(&wanted)?;
    let payloads = json::events(&readable(body)?)?;
    let receipt = serving.push(&caller, &source, payloads, durability).await?;
    let accepted = json!({"first_offset": receipt.first_offset, "count": receipt.count});
    Ok(Json(accepted).into_response())
}

async fn catalogue(
    State(serving): State<Arc<Serving>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    Json(&*serving.catalogue(&caller)).into_response()
}

async fn ready(State(serving): State<Arc<Serving>>) -> Result<Response, Error> {
    serving.ready()?;
    Ok(Json(json!({"status": "ready"})).into_response())
}

/// The body, if it could be read.
pub(crate) fn readable(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Error> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::invalid("the body is too large; send less at once"),
        _ => Error::invalid(format!("the body cannot be read: {rejection}")),
    })
}

fn durability(wanted: &[(String, String)]) -> Result<Durability, Error> {
    let mut durability = Durability::default();
    for (name, value) in wanted {
        durability = match (name.as_str(), value.as_str()) {
            ("durability", "disk") => Durability::Disk,
            ("durability", "process") => Durability::Process,
            _ => {
                return Err(Error::invalid(format!(
                    "parameter {name:?} = {value:?}: expected durability=disk or durability=process"
                )));
            }
        };
    }
    Ok(durability)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.kind().status();
        let body = json!({"error": {"code": self.kind().code(), "message": self.to_string()}});
        (status, Json(body)).into_response()
    }
}

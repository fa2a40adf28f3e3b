//! The console: a page for people, at the HTTP door, and the JSON that it lives on.
//!
//! | | |
//! |---|---|
//! | `GET /console/` | the page: plain files of this binary, which hold nothing of the project |
//! | `GET /v1/console/project` | the definitions, as they are written and as they are understood |
//! | `GET /v1/console/now` | what is counted, and where views stand; asked again and again |
//! | `GET /v1/console/values/{kind}/{name}` | how values of a view, or a service's own, were spread lately |
//! | `POST /v1/console/explain` | what one value was made of |
//! | `GET /v1/console/dead-letters/{source}` | the newest dead letters of a source |
//! | `GET /v1/console/changes` | what runs beside the lock file |
//!
//! The page is open; everything else needs the right to administer, and values of features the right to read
//! them too. What it may cost is bounded: the page asks
//! for small answers, [`now`](Shared::now) is made at most twice a second however many look, and what has
//! to read the store or a file is let in a few at a time.

mod assets;
mod project;

use crate::{Caller, Error, Kind, Selection, Serving, convert};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json as Body, Router};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tiderace_plan::{Plan, Written};
use tiderace_types::{CoveredFrom, Timestamp};
use tokio::sync::Semaphore;

/// How long what is said of now is said again.
const FRESH: Duration = Duration::from_millis(500);
/// Calls at once that read the store or files.
const HEAVY: usize = 2;
/// How long such a call waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// Dead letters that are shown, unless fewer are wanted.
const LETTERS: usize = 100;

/// What a console shows.
#[derive(Clone)]
pub struct Console {
    /// What runs.
    pub plan: Arc<Plan>,
    /// The definitions as they are written.
    pub written: Vec<Written>,
    /// The process around it.
    pub process: Arc<dyn Process>,
    /// Whether the door is of this machine alone. Then it is asked by an address or as `localhost`: a page from
    /// elsewhere whose name is made to lead here is refused.
    pub is_local: bool,
}

/// What a process knows of itself. Its methods may block.
pub trait Process: Send + Sync {
    /// What it is run as: `run`, `serve` or `worker`.
    fn role(&self) -> &'static str;

    /// What the live loop has counted, and how far backfills and syncs are; null where none runs here.
    fn counts(&self) -> Json;

    /// What is different between the definitions that run and the lock file beside them.
    ///
    /// # Errors
    /// When the lock file cannot be read.
    fn changes(&self) -> Result<Json, Error>;

    /// The newest dead letters of a source, at most `limit`, the newest first.
    ///
    /// # Errors
    /// When they cannot be read here.
    fn letters(&self, source: &str, limit: usize) -> Result<Json, Error>;
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("role", &self.process.role())
            .finish_non_exhaustive()
    }
}

/// What the calls share.
struct Shared {
    console: Console,
    serving: Option<Arc<Serving>>,
    project: Bytes,
    now: Mutex<Option<(Instant, Bytes)>>,
    heavy: Semaphore,
}

/// The files of the page. They are the same for everybody, and need no guard.
pub(crate) fn page() -> Router {
    assets::router()
}

/// The JSON that the page asks for. What is asked of features needs a `serving`.
pub(crate) fn data(console: Console, serving: Option<Arc<Serving>>) -> Router {
    let is_local = console.is_local;
    let project = project::told(&console, serving.is_some());
    let shared = Shared {
        project: project.to_string().into(),
        console,
        serving,
        now: Mutex::default(),
        heavy: Semaphore::new(HEAVY),
    };
    let router = Router::new()
        .route("/v1/console/project", get(the_project))
        .route("/v1/console/now", get(now))
        .route("/v1/console/values/{kind}/{name}", get(values))
        .route("/v1/console/explain", post(explain))
        .route("/v1/console/dead-letters/{source}", get(letters))
        .route("/v1/console/changes", get(changes))
        .with_state(Arc::new(shared));
    match is_local {
        true => router.layer(middleware::from_fn(by_own_name)),
        false => router,
    }
}

/// Lets calls through that name this machine by an address or as `localhost`.
async fn by_own_name(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.map(|host| host.to_str().unwrap_or_default());
    if host.is_none_or(is_own) {
        return next.run(request).await;
    }
    let message = "ask by an address or as localhost: this console is for this machine alone";
    Error::invalid(message).into_response()
}

/// Tells whether a host, with a port or without, is an address or `localhost`.
fn is_own(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok()
}

/// JSON that nobody keeps.
fn answer(body: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body).into_response()
}

async fn the_project(State(shared): State<Arc<Shared>>) -> Response {
    answer(shared.project.clone())
}

async fn now(State(shared): State<Arc<Shared>>) -> Result<Response, Error> {
    Ok(answer(shared.now().await?))
}

async fn values(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Response, Error> {
    caller.may_read(&match kind.as_str() {
        "service" => Selection::Service(name.clone()),
        _ => Selection::Features(vec![format!("{name}:*")]),
    })?;
    let recent = shared.serving()?.lookup().recent().json(&kind, &name)?;
    Ok(answer(recent.to_string().into()))
}

/// Which value is to be explained.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain {
    view: String,
    feature: String,
    keys: BTreeMap<String, Json>,
    as_of: Option<String>,
}

async fn explain(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    body: Result<Body<Explain>, JsonRejection>,
) -> Result<Response, Error> {
    let Body(asked) = body.map_err(|rejection| Error::invalid(rejection.body_text()))?;
    let feature = format!("{}:{}", asked.view, asked.feature);
    caller.may_read(&Selection::Features(vec![feature]))?;
    let as_of = match &asked.as_of {
        None => None,
        Some(text) => Some(convert::parse_timestamp(text).ok_or_else(|| {
            Error::invalid(format!(
                "as_of {text:?}: expected RFC 3339, such as \"2018-04-01T00:00:31Z\""
            ))
        })?),
    };
    let serving = shared.serving()?;
    let _turn = shared.turn().await?;
    let keys = asked.keys.into_iter().collect();
    let evidence = serving
        .lookup()
        .evidence(&asked.view, &asked.feature, keys, as_of);
    Ok(answer(evidence.await?.to_string().into()))
}

async fn changes(State(shared): State<Arc<Shared>>) -> Result<Response, Error> {
    let _turn = shared.turn().await?;
    let process = Arc::clone(&shared.console.process);
    let changes = blocking(move || process.changes()).await??;
    Ok(answer(changes.to_string().into()))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    limit: Option<usize>,
}

async fn letters(
    State(shared): State<Arc<Shared>>,
    Path(source): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Error> {
    let _turn = shared.turn().await?;
    let limit = wanted.limit.unwrap_or(LETTERS).min(LETTERS);
    let process = Arc::clone(&shared.console.process);
    let letters = blocking(move || process.letters(&source, limit)).await??;
    Ok(answer(letters.to_string().into()))
}

/// Runs what may block where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| Error::new(Kind::Bug, panic.to_string()))
}

impl Shared {
    fn serving(&self) -> Result<&Arc<Serving>, Error> {
        self.serving.as_ref().ok_or_else(|| {
            let message = "this process answers no lookups: ask one that runs as `run` or `serve`";
            Error::new(Kind::Unsupported, message)
        })
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        match tokio::time::timeout(TURN, self.heavy.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::new(
                Kind::TooMuch,
                "others are reading; try again a little later",
            )),
        }
    }

    /// What is counted, and where views stand.
    async fn now(&self) -> Result<Bytes, Error> {
        let held = self.held().clone();
        if let Some((_, text)) = held.filter(|(made, _)| made.elapsed() < FRESH) {
            return Ok(text);
        }
        let process = Arc::clone(&self.console.process);
        let counts = blocking(move || process.counts()).await?;
        let serving = self.serving.as_ref();
        let told = json!({
            "at": serving.map(|serving| serving.lookup().now().to_string()),
            "live": counts,
            "serving": serving.map(|serving| serving.traffic().json()),
            "views": serving.map(|serving| views(&self.console.plan, serving)),
        });
        let text = Bytes::from(told.to_string());
        *self.held() = Some((Instant::now(), text.clone()));
        Ok(text)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Bytes)>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the views stand, as lookups judge them; or why nothing can be said.
fn views(plan: &Plan, serving: &Serving) -> Json {
    let snapshot = match serving
        .ready()
        .and_then(|()| serving.lookup().markers().latest())
    {
        Ok(snapshot) => snapshot,
        Err(error) => return json!({"unready": error.to_string()}),
    };
    let now = serving.lookup().now();
    let views = plan.views.iter().map(|view| {
        let said = snapshot.standing(view.id, view.spec.fingerprint);
        let told = said.map(|said| {
            let lag = now.since(said.caught_up_at).0.max(0);
            let known = said.caught_up_at > Timestamp::MIN;
            json!({
                "generation": said.generation.0,
                "lag_seconds": known.then_some(lag as f64 / 1e6),
                "clock": Some(said.clock).filter(|at| at.0 > i64::MIN).map(|at| at.to_string()),
                "whole": match said.covered_from {
                    CoveredFrom::Beginning => json!("beginning"),
                    CoveredFrom::Instant(from) => json!(from.to_string()),
                    CoveredFrom::Nothing => Json::Null,
                },
                "stale": lag > view.source.max_lag.0,
            })
        });
        (view.name.clone(), told.unwrap_or(Json::Null))
    });
    json!({"by_name": views.collect::<serde_json::Map<String, Json>>()})
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn names_of_this_machine() {
        for own in [
            "localhost",
            "localhost:6568",
            "127.0.0.1",
            "127.0.0.1:6568",
            "[::1]",
            "[::1]:6568",
        ] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "evil.example",
            "evil.example:6568",
            "localhost.evil.example",
            "",
            "127.0.0.1.evil.example:80",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}

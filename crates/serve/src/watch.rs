//! The door of a process that answers nobody: how it is, and what it has counted.

use crate::connections;
use crate::gate::{Form, Guard};
use crate::server::{Protected, open_http};
use crate::tls::Spoken;
use crate::{Bounds, Clock, Console, Error, Kind, Metrics, Page, Protection, Sockets, console};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a page may take to be made.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Tells whether a process does its work.
#[derive(Clone)]
pub struct Works(pub Arc<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for Works {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Works")
    }
}

/// `GET /health`, `/ready`, `/metrics` and perhaps the console, until it is stopped.
#[derive(Debug)]
pub struct Watch {
    address: SocketAddr,
    stop: watch::Sender<()>,
    door: JoinHandle<()>,
    watching: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Opens the door at `address`. `/ready` is what `works` says; of the console all but what lookups tell.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an address that cannot be listened at, or certificates or keys that cannot be
    /// used.
    pub async fn start(
        address: &str,
        metrics: Metrics,
        works: Works,
        protection: Protection,
        clock: Clock,
        console: Option<Console>,
        bounds: Bounds,
    ) -> Result<Watch, Error> {
        let (stop, stopped) = watch::channel(());
        let protected = Protected::start(protection, Sockets::default(), clock, &stopped);
        let protected = protected.await?;
        let bounds = Arc::new(bounds);
        let doorway = protected.open("http", address, Spoken::Http, &bounds);
        let doorway = doorway.await?;
        let address = doorway.address()?;
        let counted = Arc::clone(doorway.connections());
        let metrics = move || {
            let mut page = Page::default();
            connections::metrics(std::slice::from_ref(&counted), &mut page);
            std::future::ready((metrics.0)() + &page.into_text())
        };
        let console = match console {
            Some(shown) => console::data(shown, None).merge(console::page()),
            None => Router::new(),
        };
        let router = console
            .route("/health", get(async || Json(json!({"status": "ok"}))))
            .route("/ready", get(move || std::future::ready(ready(&works))))
            .route("/metrics", get(metrics))
            .fallback(async || {
                Error::not_found(
                    "this process answers no lookups: ask one that runs as `run` or `serve`",
                )
            });
        let guard = Guard {
            gate: protected.gate,
            form: Form::Json,
            longest: bounds.headers + TIMEOUT,
        };
        Ok(Watch {
            address,
            stop,
            door: open_http(doorway, router, guard, &bounds, stopped),
            watching: protected.watching,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the door.
    ///
    /// # Errors
    /// [`Kind::Bug`] when it had failed.
    pub async fn stop(self) -> Result<(), Error> {
        drop(self.stop);
        let door = self.door.await;
        for watching in self.watching {
            // They end by themselves once the stop channel is closed.
            let _ = watching.await;
        }
        door.map_err(|panic| Error::new(Kind::Bug, panic.to_string()))
    }
}

fn ready(works: &Works) -> Response {
    match (works.0)() {
        true => Json(json!({"status": "ready"})).into_response(),
        false => {
            let status = Json(json!({"status": "a part of the work has ended; see its log"}));
            (StatusCode::SERVICE_UNAVAILABLE, status).into_response()
        }
    }
}

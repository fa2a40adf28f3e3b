//! A door: connections served within [`Bounds`], and closed in good order.
//!
//! A connection that has come of age, or has been idle, is told to take its calls elsewhere, and ends with
//! those it has; one whose client sends or takes nothing is cut. When the server stops all are told, and the
//! door ends with the last of them.

use crate::bounds::Bounds;
use crate::connections::{Connections, Cut};
use crate::corked::Corked;
use crate::doorway::{Connection, Doorway};
use crate::gate::Guard;
use crate::life::{Due, Life, Opening};
use crate::taking::taking;
use crate::tls::Spoken;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// The largest list of headers taken, in bytes.
const MAX_HEADERS: u32 = 16 << 10;

/// How long the first call of a connection may still take to arrive when the server stops: closed before
/// it, its client would not know what became of it.
const WELCOME: Duration = Duration::from_millis(500);

/// How often it is looked whether that has arrived.
const LOOK: Duration = Duration::from_millis(10);

/// What is served, and how.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) router: Router,
    pub(crate) guard: Guard,
    pub(crate) spoken: Spoken,
    pub(crate) bounds: Arc<Bounds>,
    /// Calls of one connection at once, where it can have several.
    pub(crate) calls: u32,
}

impl Door {
    /// Serves until `stopped`, and then until the last connection has ended.
    pub(crate) async fn serve(self, mut doorway: Doorway, mut stopped: watch::Receiver<()>) {
        let mut connections = JoinSet::new();
        let chance = RandomState::new();
        let mut number = 0_u64;
        loop {
            tokio::select! {
                biased;
                _ = stopped.changed() => break,
                connection = doorway.next() => {
                    number += 1;
                    let age = self.bounds.age_by(chance.hash_one(number));
                    connections.spawn(self.clone().attend(connection, age, stopped.clone()));
                }
                _ = connections.join_next(), if !connections.is_empty() => {}
            }
        }
        drop(doorway);
        while connections.join_next().await.is_some() {}
    }

    async fn attend(self, connection: Connection, age: Duration, stopped: watch::Receiver<()>) {
        let (life, peer) = (Arc::clone(connection.life()), connection.peer());
        let connections = Arc::clone(connection.door());
        let router = TowerToHyperService::new(self.router);
        let (of_calls, guard) = (Arc::clone(&life), self.guard);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            let call = of_calls.begin();
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(Arc::clone(&of_calls));
            let (router, guard) = (router.clone(), guard.clone());
            async move {
                let next = |request| async move {
                    let answer: Result<Response, Infallible> = router.call(request).await;
                    answer.unwrap_or_else(|never| match never {})
                };
                let answer = guard.answer(request.map(Body::new), next).await;
                Ok::<_, Infallible>(taking(answer, call))
            }
        });
        let watched = Attended {
            life,
            connections,
            bounds: self.bounds,
            opening: match self.spoken {
                Spoken::Grpc => Opening::Preface,
                Spoken::Http => Opening::Call,
            },
            age,
        };
        match self.spoken {
            Spoken::Grpc => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder
                    .timer(TokioTimer::new())
                    .keep_alive_interval(watched.bounds.keepalive)
                    .keep_alive_timeout(watched.bounds.keepalive_answer)
                    .max_concurrent_streams(self.calls)
                    .max_header_list_size(MAX_HEADERS);
                let io = TokioIo::new(Corked::new(connection));
                let served = builder.serve_connection(io, service);
                watched
                    .run(served, stopped, |served| served.graceful_shutdown())
                    .await;
            }
            Spoken::Http => {
                let mut builder = http1::Builder::new();
                // Heads that take too long are found by the connection's life.
                builder
                    .timer(TokioTimer::new())
                    .header_read_timeout(None)
                    .max_header_size(MAX_HEADERS as usize);
                let io = TokioIo::new(connection);
                let served = builder.serve_connection(io, service);
                watched
                    .run(served, stopped, |served| served.graceful_shutdown())
                    .await;
            }
        }
    }
}

/// What decides how long a connection is served.
struct Attended {
    life: Arc<Life>,
    connections: Arc<Connections>,
    bounds: Arc<Bounds>,
    opening: Opening,
    age: Duration,
}

impl Attended {
    /// Serves a connection to its end.
    async fn run<C: Future>(
        self,
        served: C,
        mut stopped: watch::Receiver<()>,
        leave: impl Fn(Pin<&mut C>),
    ) {
        let mut served = std::pin::pin!(served);
        let began = Instant::now();
        let of_age = began + self.age;
        // From when on it is not waited for any more.
        let mut end: Option<Instant> = None;
        let mut stopping = false;
        // Until when the first call of one that came before the stop is waited for.
        let mut welcome: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if welcome.is_some_and(|until| until <= now || self.life.has_had_a_call()) {
                welcome = None;
                leave(served.as_mut());
            }
            let due = self.life.due(&self.bounds, self.opening, began, now);
            let next = match (due, end) {
                (Due::Cut(why), _) => return self.connections.cut(why),
                (_, Some(end)) if end <= now => return,
                (Due::Leave, None) => now,
                (Due::Leave, Some(end)) => end,
                (Due::At(at), None) => at.min(of_age),
                (Due::At(at), Some(end)) => at.min(end),
            };
            if end.is_none() && (due == Due::Leave || of_age <= now) {
                self.connections.cut(match due {
                    Due::Leave => Cut::Idle,
                    Due::At(_) | Due::Cut(_) => Cut::Age,
                });
                self.life.leave();
                leave(served.as_mut());
                end = Some(now + self.bounds.grace);
                continue;
            }
            let next = welcome.map_or(next, |_| next.min(now + LOOK));
            tokio::select! {
                // Errors are of its client, which is gone.
                _ = served.as_mut() => return,
                () = sleep_until(next) => {}
                _ = stopped.changed(), if !stopping => {
                    stopping = true;
                    // By HTTP/2 a client is told that nothing was done of what it sent.
                    match self.opening == Opening::Call && !self.life.has_had_a_call() {
                        true => welcome = Some(Instant::now() + WELCOME),
                        false => leave(served.as_mut()),
                    }
                }
            }
        }
    }
}

//! A door: connections served within [`Bounds`], and closed in good order.
//!
//! A connection that has come of age, or has been idle, is told to take its calls elsewhere, and ends with
//! those it has; one whose client sends or takes nothing is cut. When the server stops all are told, and the
//! door ends with the last of them.

use crate::bounds::Bounds;
use crate::connections::{Connections, Cut};
use crate::corked::{Corked, Turn};
use crate::direct::Direct;
use crate::doorway::{Connection, Doorway, Peer};
use crate::gate::Guard;
use crate::here::Here;
use crate::life::{Call, Due, Life, Opening};
use crate::taking::{Taking, Whole, taking, taking_whole};
use crate::tls::Spoken;
use crate::{Caller, deadline};
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::pin::{Pin, pin};
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
    /// What answers lookups by gRPC, where it is spoken.
    pub(crate) direct: Option<Direct>,
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
        let of_calls = Arc::new(Calls {
            router: TowerToHyperService::new(self.router),
            direct: self.direct,
            guard: self.guard,
            life: Arc::clone(&life),
            peer,
        });
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let call = of_calls.life.begin();
            let of_calls = Arc::clone(&of_calls);
            async move { Ok::<_, Infallible>(of_calls.answer(request, call).await) }
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
            turn: Turn::default(),
        };
        match self.spoken {
            Spoken::Grpc => {
                let mut builder = http2::Builder::new(Here::new(&watched.life));
                builder
                    .timer(TokioTimer::new())
                    .keep_alive_interval(watched.bounds.keepalive)
                    .keep_alive_timeout(watched.bounds.keepalive_answer)
                    .max_concurrent_streams(self.calls)
                    .max_header_list_size(MAX_HEADERS);
                let io = TokioIo::new(Corked::new(connection, watched.turn.clone()));
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

/// What answers the calls of a connection.
struct Calls {
    router: TowerToHyperService<Router>,
    direct: Option<Direct>,
    guard: Guard,
    life: Arc<Life>,
    peer: Peer,
}

impl Calls {
    async fn answer(&self, request: hyper::Request<Incoming>, call: Call) -> Response<Taking> {
        let (caller, limit) = match self.guard.admit(&request, self.peer, &self.life) {
            Ok(admitted) => admitted,
            Err(error) => return taking(self.guard.refuse(error), call),
        };
        let direct = self.direct.as_ref().filter(|_| Direct::takes(&request));
        let answered = pin!(async {
            let Some(direct) = direct else {
                let answer = Box::pin(self.route(request.map(Body::new), caller));
                return Ok(Answered::By(answer.await));
            };
            let (head, body) = request.into_parts();
            match direct.read(body).await {
                Ok(message) => direct.answer(&caller, message).await.map(Answered::Whole),
                Err(again) => {
                    let request = hyper::Request::from_parts(head, Body::new(again));
                    let answer = Box::pin(self.route(request, caller));
                    Ok(Answered::By(answer.await))
                }
            }
        });
        let answered = deadline::within(limit, answered).await;
        match answered.unwrap_or_else(|| Err(deadline::passed(limit))) {
            Ok(Answered::Whole(answer)) => taking_whole(answer, call),
            Ok(Answered::By(answer)) => taking(answer, call),
            Err(error) => taking(self.guard.refuse(error), call),
        }
    }

    /// Has a call answered by the routes.
    async fn route(&self, mut request: hyper::Request<Body>, caller: Caller) -> Response {
        let extensions = request.extensions_mut();
        extensions.insert(Arc::clone(&self.life));
        extensions.insert(caller);
        let answer: Result<Response, Infallible> = self.router.call(request).await;
        answer.unwrap_or_else(|never| match never {})
    }
}

/// An answer, not yet taken.
enum Answered {
    By(Response),
    Whole(Whole),
}

/// What decides how long a connection is served.
struct Attended {
    life: Arc<Life>,
    connections: Arc<Connections>,
    bounds: Arc<Bounds>,
    opening: Opening,
    age: Duration,
    turn: Turn,
}

impl Attended {
    /// Serves a connection to its end.
    async fn run<C: Future>(
        self,
        served: C,
        mut stopped: watch::Receiver<()>,
        leave: impl Fn(Pin<&mut C>),
    ) {
        let mut served = pin!(served);
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
                _ = poll_fn(|context| {
                    self.turn.next();
                    served.as_mut().poll(context)
                }) => return,
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

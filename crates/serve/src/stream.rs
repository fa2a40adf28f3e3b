//! Many lookups over one stream: answered in order, an error answering its own request.
//!
//! At most [`IN_FLIGHT`] of a stream are looked up at once; more are not read before the client has taken
//! answers, so that one that does not read holds up itself and nobody else. Each is looked up in a task of its
//! own: what is in flight ends whether or not anybody reads. Where the connection has too many answers that
//! were not read, a stream takes one request at a time.

use crate::life::Life;
use crate::{Caller, Error, Kind, Request, Serving, proto};
use futures::{Stream, StreamExt};
use prost::Message;
use proto::stream_online_features_response::Result as Outcome;
use proto::{LookupError, StreamOnlineFeaturesRequest, StreamOnlineFeaturesResponse};
use std::sync::Arc;
use tokio::sync::watch;
use tonic::Status;

/// How many requests of one stream are looked up at once.
const IN_FLIGHT: usize = 16;

/// The answers to `requests`, until these end, fail, the connection has come of age, or the server stops.
pub(crate) fn answers(
    serving: Arc<Serving>,
    caller: Caller,
    requests: impl Stream<Item = Result<StreamOnlineFeaturesRequest, Status>> + Send + Unpin + 'static,
    stopped: watch::Receiver<()>,
    life: Arc<Life>,
) -> impl Stream<Item = Result<StreamOnlineFeaturesResponse, Status>> + Send + 'static {
    let open = Open {
        requests,
        stopped,
        life: Arc::clone(&life),
        pending: Arc::new(()),
    };
    let taken = futures::stream::unfold(Some(open), |open| async move {
        let mut open = open?;
        match open.next().await? {
            Ok(request) => {
                let pending = Arc::clone(&open.pending);
                Some((Ok((request, pending)), Some(open)))
            }
            Err(status) => Some((Err(status), None)),
        }
    });
    let answer = move |taken: Result<(StreamOnlineFeaturesRequest, Arc<()>), Status>| {
        let (serving, caller) = (Arc::clone(&serving), caller.clone());
        let life = Arc::clone(&life);
        async move {
            let (request, pending) = taken?;
            let id = request.id;
            let looking = tokio::spawn(async move { look(&serving, &caller, request).await });
            let outcome = match looking.await {
                Ok(Ok(answer)) => Outcome::Answer(answer),
                Ok(Err(error)) => failed(error),
                Err(panic) => failed(Error::new(Kind::Bug, panic.to_string())),
            };
            let answer = StreamOnlineFeaturesResponse {
                id,
                result: Some(outcome),
            };
            let held = life.hold(answer.encoded_len());
            Ok((answer, held, pending))
        }
    };
    let answers = taken.map(answer).buffered(IN_FLIGHT);
    // From here on it is the connection that holds it.
    answers.map(|answer| answer.map(|(answer, _held, _pending)| answer))
}

/// A stream whose requests are taken.
struct Open<R> {
    requests: R,
    stopped: watch::Receiver<()>,
    life: Arc<Life>,
    /// Shared by requests that are not answered.
    pending: Arc<()>,
}

impl<R: Stream<Item = Result<StreamOnlineFeaturesRequest, Status>> + Unpin> Open<R> {
    /// The next request; `None` where there are no more.
    async fn next(&mut self) -> Option<Result<StreamOnlineFeaturesRequest, Status>> {
        let pending = &self.pending;
        let (requests, life) = (&mut self.requests, &self.life);
        let next = async {
            life.room(|| Arc::strong_count(pending) == 1).await;
            requests.next().await
        };
        tokio::select! {
            biased;
            _ = self.stopped.changed() => Some(Err(ending("the server is stopping"))),
            () = self.life.left() => Some(Err(ending("the connection has come of age"))),
            request = next => request,
        }
    }
}

async fn look(
    serving: &Serving,
    caller: &Caller,
    request: StreamOnlineFeaturesRequest,
) -> Result<proto::GetOnlineFeaturesResponse, Error> {
    let lookup = request
        .lookup
        .ok_or_else(|| Error::invalid("nothing is asked: set `lookup`"))?;
    serving.get(caller, Request::try_from(lookup)?).await
}

fn failed(error: Error) -> Outcome {
    Outcome::Error(LookupError::from(error))
}

fn ending(why: &str) -> Status {
    Status::unavailable(format!(
        "{why}: requests without an answer were not looked up; send them again, by another connection"
    ))
}

//! Many lookups over one stream: answered in order, an error answering its own request.
//!
//! At most [`IN_FLIGHT`] of a stream are looked up at once; more are not read before the client has taken
//! answers, so that one that does not read holds up itself and nobody else. Each is looked up in a task of its
//! own: what is in flight ends whether or not anybody reads.

use crate::{Caller, Error, Kind, Request, Serving, proto};
use futures::{Stream, StreamExt};
use proto::stream_online_features_response::Result as Outcome;
use proto::{LookupError, StreamOnlineFeaturesRequest, StreamOnlineFeaturesResponse};
use std::sync::Arc;
use tokio::sync::watch;
use tonic::Status;

/// How many requests of one stream are looked up at once.
const IN_FLIGHT: usize = 16;

/// The answers to `requests`, until these end, fail, or the server stops.
pub(crate) fn answers(
    serving: Arc<Serving>,
    caller: Caller,
    requests: impl Stream<Item = Result<StreamOnlineFeaturesRequest, Status>> + Send + Unpin + 'static,
    stopped: watch::Receiver<()>,
) -> impl Stream<Item = Result<StreamOnlineFeaturesResponse, Status>> + Send + 'static {
    let taken = futures::stream::unfold(Some((requests, stopped)), |open| async move {
        let (mut requests, mut stopped) = open?;
        tokio::select! {
            biased;
            _ = stopped.changed() => Some((Err(stopping()), None)),
            request = requests.next() => match request? {
                Ok(request) => Some((Ok(request), Some((requests, stopped)))),
                Err(status) => Some((Err(status), None)),
            },
        }
    });
    let answer = move |request: Result<StreamOnlineFeaturesRequest, Status>| {
        let (serving, caller) = (Arc::clone(&serving), caller.clone());
        async move {
            let request = request?;
            let id = request.id;
            let looking = tokio::spawn(async move { look(&serving, &caller, request).await });
            let outcome = match looking.await {
                Ok(Ok(answer)) => Outcome::Answer(answer),
                Ok(Err(error)) => failed(error),
                Err(panic) => failed(Error::new(Kind::Bug, panic.to_string())),
            };
            Ok(StreamOnlineFeaturesResponse {
                id,
                result: Some(outcome),
            })
        }
    };
    taken.map(answer).buffered(IN_FLIGHT)
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
    let status = Status::from(error);
    Outcome::Error(LookupError {
        code: i32::from(status.code()),
        message: status.message().to_owned(),
    })
}

fn stopping() -> Status {
    Status::unavailable(
        "the server is stopping: requests without an answer were not looked up; send them to another",
    )
}

//! The gRPC door: messages in, messages out.

use crate::life::Life;
use crate::proto::feature_store_server::FeatureStore;
use crate::taking::weighed;
use crate::{Caller, Durability, Error, PushAndGet, Request, Serving, proto, stream};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::{Response, Status, Streaming};

/// [`Serving`] as the generated service.
pub(crate) struct Grpc {
    pub(crate) serving: Arc<Serving>,
    /// Closed when the server stops, which ends streams.
    pub(crate) stopped: watch::Receiver<()>,
}

/// Who makes a call, as the gate has found out.
pub(crate) fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::internal("a call came past the gate"))
}

#[tonic::async_trait]
impl FeatureStore for Grpc {
    async fn get_online_features(
        &self,
        request: tonic::Request<proto::GetOnlineFeaturesRequest>,
    ) -> Result<Response<proto::GetOnlineFeaturesResponse>, Status> {
        let caller = caller(&request)?;
        let request = Request::try_from(request.into_inner())?;
        Ok(weighed(self.serving.get(&caller, request).await?))
    }

    type StreamOnlineFeaturesStream =
        BoxStream<'static, Result<proto::StreamOnlineFeaturesResponse, Status>>;

    async fn stream_online_features(
        &self,
        request: tonic::Request<Streaming<proto::StreamOnlineFeaturesRequest>>,
    ) -> Result<Response<Self::StreamOnlineFeaturesStream>, Status> {
        let caller = caller(&request)?;
        let life = request.extensions().get::<Arc<Life>>().cloned();
        let life = life.ok_or_else(|| Status::internal("a call came past the door"))?;
        let (serving, stopped) = (Arc::clone(&self.serving), self.stopped.clone());
        let answers = stream::answers(serving, caller, request.into_inner(), stopped, life);
        Ok(Response::new(answers.boxed()))
    }

    async fn push(
        &self,
        request: tonic::Request<proto::PushRequest>,
    ) -> Result<Response<proto::PushResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let durability = durability(request.durability)?;
        let (source, payloads) = (&request.source, request.payloads);
        let pushed = self.serving.push(&caller, source, payloads, durability);
        Ok(Response::new(pushed.await?.into()))
    }

    async fn push_and_get(
        &self,
        request: tonic::Request<proto::PushAndGetRequest>,
    ) -> Result<Response<proto::PushAndGetResponse>, Status> {
        let caller = caller(&request)?;
        let asked = PushAndGet::try_from(request.into_inner())?;
        let done = self.serving.push_and_get(&caller, asked).await?;
        Ok(weighed(done.into()))
    }

    async fn get_catalogue(
        &self,
        request: tonic::Request<proto::GetCatalogueRequest>,
    ) -> Result<Response<proto::GetCatalogueResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(self.serving.catalogue(&caller).into_owned()))
    }
}

fn durability(asked: i32) -> Result<Durability, Error> {
    match proto::Durability::try_from(asked) {
        Ok(proto::Durability::Unspecified | proto::Durability::Disk) => Ok(Durability::Disk),
        Ok(proto::Durability::Process) => Ok(Durability::Process),
        Err(_) => Err(Error::invalid(format!(
            "durability {asked} is unknown; expected DISK (1) or PROCESS (2)"
        ))),
    }
}

impl TryFrom<proto::PushAndGetRequest> for PushAndGet {
    type Error = Error;

    fn try_from(request: proto::PushAndGetRequest) -> Result<PushAndGet, Error> {
        use proto::EventsInAnswer;
        let missing = |what: &str| Error::invalid(format!("nothing is {what}"));
        let push = request.push.ok_or_else(|| missing("pushed: set `push`"))?;
        let get = request.get.ok_or_else(|| missing("asked: set `get`"))?;
        let included = match EventsInAnswer::try_from(request.events) {
            Ok(EventsInAnswer::Unspecified | EventsInAnswer::Included) => true,
            Ok(EventsInAnswer::Excluded) => false,
            Err(_) => {
                return Err(Error::invalid(format!(
                    "events {} is unknown; expected INCLUDED (1) or EXCLUDED (2)",
                    request.events
                )));
            }
        };
        Ok(PushAndGet {
            durability: durability(push.durability)?,
            source: push.source,
            payloads: push.payloads,
            get: Request::try_from(get)?,
            included,
        })
    }
}

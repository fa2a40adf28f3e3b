//! The gRPC door: messages in, messages out.

use crate::proto::feature_store_server::FeatureStore;
use crate::{Durability, Error, Request, Serving, proto};
use std::sync::Arc;
use tonic::{Response, Status};

/// [`Serving`] as the generated service.
pub(crate) struct Grpc(pub(crate) Arc<Serving>);

#[tonic::async_trait]
impl FeatureStore for Grpc {
    async fn get_online_features(
        &self,
        request: tonic::Request<proto::GetOnlineFeaturesRequest>,
    ) -> Result<Response<proto::GetOnlineFeaturesResponse>, Status> {
        let request = Request::try_from(request.into_inner())?;
        Ok(Response::new(self.0.get(request).await?))
    }

    async fn push(
        &self,
        request: tonic::Request<proto::PushRequest>,
    ) -> Result<Response<proto::PushResponse>, Status> {
        let request = request.into_inner();
        let durability = match proto::Durability::try_from(request.durability) {
            Ok(proto::Durability::Unspecified | proto::Durability::Disk) => Durability::Disk,
            Ok(proto::Durability::Process) => Durability::Process,
            Err(_) => {
                let message = format!(
                    "durability {} is unknown; expected DISK (1) or PROCESS (2)",
                    request.durability
                );
                return Err(Error::invalid(message).into());
            }
        };
        let pushed = self.0.push(&request.source, request.payloads, durability);
        let receipt = pushed.await?;
        Ok(Response::new(proto::PushResponse {
            first_offset: receipt.first_offset,
            count: receipt.count,
        }))
    }

    async fn get_catalogue(
        &self,
        _: tonic::Request<proto::GetCatalogueRequest>,
    ) -> Result<Response<proto::GetCatalogueResponse>, Status> {
        Ok(Response::new(self.0.catalogue().clone()))
    }
}

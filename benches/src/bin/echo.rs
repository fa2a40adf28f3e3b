//! A bare tonic server that answers every lookup with the same bytes: the floor of lookups.
//!
//! Prints its port.

use anyhow::Result;
use clap::Parser;
use prost::Message;
use std::path::PathBuf;
use tiderace_serve::ResponseMetadata;
use tiderace_serve::proto::feature_store_server::{FeatureStore, FeatureStoreServer};
use tiderace_serve::proto::{
    GetCatalogueRequest, GetCatalogueResponse, GetOnlineFeaturesRequest, GetOnlineFeaturesResponse,
    PushRequest, PushResponse,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

#[derive(Parser)]
struct Arguments {
    /// A file with the encoded answer.
    #[arg(long)]
    answer: PathBuf,
}

struct Echo(GetOnlineFeaturesResponse);

#[tonic::async_trait]
impl FeatureStore for Echo {
    async fn get_online_features(
        &self,
        _: Request<GetOnlineFeaturesRequest>,
    ) -> Result<Response<GetOnlineFeaturesResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn push(&self, _: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        Err(Status::unimplemented("an echo takes no events"))
    }

    async fn get_catalogue(
        &self,
        _: Request<GetCatalogueRequest>,
    ) -> Result<Response<GetCatalogueResponse>, Status> {
        Err(Status::unimplemented("an echo has no catalogue"))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let bytes = std::fs::read(Arguments::parse().answer)?;
    let mut answer = GetOnlineFeaturesResponse::decode(bytes.as_slice())?;
    // Encoded once, as a server would that wants to be fast.
    if let Some(metadata) = answer.metadata.take() {
        answer.metadata = Some(ResponseMetadata::shared((*metadata).clone()));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .add_service(FeatureStoreServer::new(Echo(answer)))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await?;
    Ok(())
}

//! Feast's gRPC door: `feast.serving.ServingService`.
//!
//! The headers of Feast's HTTP door are metadata here.

use super::answer::Pace;
use super::serving::get_online_features_request::Kind;
use super::serving::get_online_features_response::FeatureVector;
use super::serving::serving_service_server::ServingService;
use super::serving::{
    GetFeastServingInfoRequest, GetFeastServingInfoResponse, GetOnlineFeaturesRequest,
    GetOnlineFeaturesResponse,
};
use super::{Answer, Door, Fault, Question, selection, types, value};
use crate::taking::weighed;
use crate::{Column, convert};
use std::collections::BTreeMap;
use std::sync::Arc;
use tiderace_types::Timestamp;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

/// [`Door`] as the generated service.
pub(crate) struct Grpc(pub(crate) Arc<Door>);

#[tonic::async_trait]
impl ServingService for Grpc {
    async fn get_feast_serving_info(
        &self,
        _: Request<GetFeastServingInfoRequest>,
    ) -> Result<Response<GetFeastServingInfoResponse>, Status> {
        Ok(Response::new(GetFeastServingInfoResponse {
            version: concat!("tiderace ", env!("CARGO_PKG_VERSION")).to_owned(),
        }))
    }

    async fn get_online_features(
        &self,
        request: Request<GetOnlineFeaturesRequest>,
    ) -> Result<Response<GetOnlineFeaturesResponse>, Status> {
        let caller = crate::grpc::caller(&request)?;
        let question = question(request.into_inner())?;
        let answer = self.0.answer(&caller, question).await?;
        let mut response = weighed(message(&answer).await);
        for (name, text) in [
            (super::AS_OF, answer.as_of()),
            (super::COMPLETENESS, answer.completeness()),
        ] {
            let value = MetadataValue::try_from(text);
            response
                .metadata_mut()
                .insert(name, value.expect("it is plain ASCII"));
        }
        Ok(response)
    }
}

fn question(request: GetOnlineFeaturesRequest) -> Result<Question, Fault> {
    let (service, features) = match request.kind {
        Some(Kind::FeatureService(name)) => (name, Vec::new()),
        Some(Kind::Features(list)) => (String::new(), list.val),
        None => (String::new(), Vec::new()),
    };
    Ok(Question {
        selection: selection(service, features)?,
        entities: columns(request.entities),
        request_context: columns(request.request_context),
        full_names: request.full_feature_names,
        views: request.include_feature_view_version_metadata,
    })
}

fn columns(columns: BTreeMap<String, types::RepeatedValue>) -> Vec<Column> {
    let column = |(name, values)| Column {
        name,
        cells: value::cells(values),
    };
    columns.into_iter().map(column).collect()
}

/// Makes the message, letting others run now and then.
async fn message(answer: &Answer<'_>) -> GetOnlineFeaturesResponse {
    let mut results = Vec::new();
    let mut pace = Pace::default();
    for column in answer.columns() {
        let rows = column.rows();
        let mut vector = FeatureVector {
            values: Vec::with_capacity(rows),
            statuses: Vec::with_capacity(rows),
            event_timestamps: Vec::with_capacity(rows),
        };
        for row in 0..rows {
            let cell = column.cell(row);
            let newest = cell.newest.unwrap_or(Timestamp(0));
            vector.values.push(value::message(cell.value));
            vector.statuses.push(cell.status.into());
            vector.event_timestamps.push(convert::to_timestamp(newest));
        }
        results.push(vector);
        pace.wrote(rows).await;
    }
    GetOnlineFeaturesResponse {
        metadata: Some(answer.told.message.clone()),
        results,
        status: true,
    }
}

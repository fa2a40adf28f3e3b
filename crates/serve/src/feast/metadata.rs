//! The part of a Feast answer that is the same in every answer to the same question.

use super::serving::{FeatureList, FeatureViewMetadata};
use crate::metadata::Once;
use prost::Message;

/// What the columns of an answer are. The fields of `GetOnlineFeaturesResponseMetadata` in
/// `proto/feast/serving/ServingService.proto`.
#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    /// The names: entity keys, then features.
    #[prost(message, optional, tag = "1")]
    pub feature_names: Option<FeatureList>,
    /// The views read; only on request.
    #[prost(message, repeated, tag = "2")]
    pub feature_view_metadata: Vec<FeatureViewMetadata>,
}

/// [`Metadata`], encoded once.
pub type ResponseMetadata = Once<Metadata>;

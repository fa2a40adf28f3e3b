//! The part of a response that is the same in every response: encoded once, shared.
//!
//! It stands in for the generated `ResponseMetadata`, so that naming fifty features
//! costs a copy of bytes and not fifty strings.

use crate::proto::{FeatureMetadata, ViewMetadata};
use prost::Message;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType};
use std::ops::Deref;
use std::sync::Arc;

/// What the values of every row are, in order. The fields of `proto/tiderace/v1/lookup.proto`.
#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    /// The names of the values.
    #[prost(string, repeated, tag = "1")]
    pub feature_names: Vec<String>,
    /// Changes with the meaning of any of them.
    #[prost(string, tag = "2")]
    pub fingerprint: String,
    /// Types and views; only on request.
    #[prost(message, repeated, tag = "3")]
    pub features: Vec<FeatureMetadata>,
    /// The views read; only on request.
    #[prost(message, repeated, tag = "4")]
    pub views: Vec<ViewMetadata>,
}

/// [`Metadata`], either received or prepared once and shared.
#[derive(Clone, Debug)]
pub enum ResponseMetadata {
    /// Received, or made for one response.
    Own(Metadata),
    /// Prepared, with its encoded form.
    Shared(Arc<(Metadata, Vec<u8>)>),
}

impl ResponseMetadata {
    /// Encodes `metadata` once, for many responses.
    #[must_use]
    pub fn shared(metadata: Metadata) -> ResponseMetadata {
        let encoded = metadata.encode_to_vec();
        ResponseMetadata::Shared(Arc::new((metadata, encoded)))
    }
}

impl Default for ResponseMetadata {
    fn default() -> Self {
        ResponseMetadata::Own(Metadata::default())
    }
}

impl PartialEq for ResponseMetadata {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Deref for ResponseMetadata {
    type Target = Metadata;

    fn deref(&self) -> &Metadata {
        match self {
            ResponseMetadata::Own(metadata) => metadata,
            ResponseMetadata::Shared(shared) => &shared.0,
        }
    }
}

impl Message for ResponseMetadata {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        match self {
            ResponseMetadata::Own(metadata) => metadata.encode_raw(buf),
            ResponseMetadata::Shared(shared) => buf.put_slice(&shared.1),
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        if let ResponseMetadata::Shared(shared) = self {
            *self = ResponseMetadata::Own(shared.0.clone());
        }
        match self {
            ResponseMetadata::Own(metadata) => metadata.merge_field(tag, wire_type, buf, ctx),
            ResponseMetadata::Shared(_) => unreachable!("was made its own above"),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            ResponseMetadata::Own(metadata) => metadata.encoded_len(),
            ResponseMetadata::Shared(shared) => shared.1.len(),
        }
    }

    fn clear(&mut self) {
        *self = ResponseMetadata::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::GetOnlineFeaturesResponse;

    #[test]
    fn shared_and_own_are_the_same_bytes() {
        let metadata = Metadata {
            feature_names: vec!["a".into(), "금액".into()],
            fingerprint: "00".into(),
            features: vec![FeatureMetadata {
                r#type: "int64".into(),
                view: "v".into(),
            }],
            views: vec![],
        };
        let response = |metadata| GetOnlineFeaturesResponse {
            metadata: Some(metadata),
            ..Default::default()
        };
        let own = response(ResponseMetadata::Own(metadata.clone()));
        let shared = response(ResponseMetadata::shared(metadata));
        assert_eq!(own.encode_to_vec(), shared.encode_to_vec());
        let decoded = GetOnlineFeaturesResponse::decode(&*shared.encode_to_vec()).expect("decodes");
        assert_eq!(decoded, own);
    }
}

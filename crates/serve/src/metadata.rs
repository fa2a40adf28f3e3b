//! The part of a response that is the same in every response: encoded once, shared.
//!
//! It stands in for the generated messages of metadata, so that naming fifty features
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

/// [`Metadata`], encoded once.
pub type ResponseMetadata = Once<Metadata>;

/// A message, either received or prepared once and shared.
#[derive(Clone, Debug)]
pub enum Once<M> {
    /// Received, or made for one response.
    Own(M),
    /// Prepared, with its encoded form.
    Shared(Arc<(M, Vec<u8>)>),
}

impl<M: Message> Once<M> {
    /// Encodes `message` once, for many responses.
    #[must_use]
    pub fn shared(message: M) -> Once<M> {
        let encoded = message.encode_to_vec();
        Once::Shared(Arc::new((message, encoded)))
    }
}

impl<M: Default> Default for Once<M> {
    fn default() -> Self {
        Once::Own(M::default())
    }
}

impl<M: PartialEq> PartialEq for Once<M> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<M> Deref for Once<M> {
    type Target = M;

    fn deref(&self) -> &M {
        match self {
            Once::Own(message) => message,
            Once::Shared(shared) => &shared.0,
        }
    }
}

impl<M: Message + Clone + Default> Message for Once<M> {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        match self {
            Once::Own(message) => message.encode_raw(buf),
            Once::Shared(shared) => buf.put_slice(&shared.1),
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        if let Once::Shared(shared) = self {
            *self = Once::Own(shared.0.clone());
        }
        match self {
            Once::Own(message) => message.merge_field(tag, wire_type, buf, ctx),
            Once::Shared(_) => unreachable!("was made its own above"),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Once::Own(message) => message.encoded_len(),
            Once::Shared(shared) => shared.1.len(),
        }
    }

    fn clear(&mut self) {
        *self = Once::default();
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

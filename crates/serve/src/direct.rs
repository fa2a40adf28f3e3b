//! Lookups by gRPC, straight from the connection to [`Serving`] and back.
//!
//! The one call that is made all the time does not go through routes, boxed services and streams of one message,
//! which cost as much as the lookup itself. Only its plain case is taken here: one message, whole and uncompressed.
//! Everything else goes the usual way, with what was read of it, so that what is wrong with a call is said by `tonic`.

use crate::lookup::{PREFIX, Written};
use crate::proto::GetOnlineFeaturesRequest;
use crate::taking::Whole;
use crate::{Caller, Error, Kind, Request, Serving};
use axum::body::Bytes;
use axum::http::Method;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use prost::Message;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The call.
const PATH: &str = "/tiderace.v1.FeatureStore/GetOnlineFeatures";

/// Answers it.
#[derive(Clone)]
pub(crate) struct Direct {
    serving: Arc<Serving>,
    /// The largest message taken.
    most: usize,
}

impl Direct {
    pub(crate) fn new(serving: Arc<Serving>, most: usize) -> Direct {
        Direct { serving, most }
    }

    /// Whether a request is of this call, and may be plain.
    pub(crate) fn takes<B>(request: &hyper::Request<B>) -> bool {
        request.uri().path() == PATH
            && request.method() == Method::POST
            && !request.headers().contains_key("grpc-encoding")
    }

    /// Reads the message of a request.
    ///
    /// # Errors
    /// All that was read, where that is not one plain message.
    pub(crate) async fn read(&self, mut body: Incoming) -> Result<GetOnlineFeaturesRequest, Again> {
        let mut read = VecDeque::with_capacity(2);
        // The message, perhaps an empty frame that says no more than that it was all, and the end.
        for _ in 0..3 {
            match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
                Some(frame) => {
                    let failed = frame.is_err();
                    read.push_back(frame);
                    if failed {
                        break;
                    }
                }
                None => {
                    let only = match read.front() {
                        Some(Ok(frame)) if read.len() == 1 => frame.data_ref(),
                        _ => None,
                    };
                    let message = only.and_then(|bytes| self.message(bytes));
                    let message =
                        message.and_then(|bytes| GetOnlineFeaturesRequest::decode(bytes).ok());
                    return message.ok_or(Again { read, rest: body });
                }
            }
        }
        Err(Again { read, rest: body })
    }

    /// The bytes of the one message that these are, if it is plain.
    fn message<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (prefix, message) = bytes.split_first_chunk::<PREFIX>()?;
        let [compressed, length @ ..] = *prefix;
        let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
        (compressed == 0 && length == message.len() && length <= self.most).then_some(message)
    }

    /// Answers a message.
    ///
    /// # Errors
    /// As [`Serving::get`].
    pub(crate) async fn answer(
        &self,
        caller: &Caller,
        message: GetOnlineFeaturesRequest,
    ) -> Result<Whole, Error> {
        let request = Request::try_from(message)?;
        let mut bytes = self.serving.get_as::<Written>(caller, request).await?;
        let length = u32::try_from(bytes.len() - PREFIX);
        let length = length.map_err(|_| Error::new(Kind::TooMuch, "the answer is past 4 GiB"))?;
        bytes[1..PREFIX].copy_from_slice(&length.to_be_bytes());
        Ok(Whole::ok(bytes.into()))
    }
}

/// The body of a request of which something was read already.
pub(crate) struct Again {
    read: VecDeque<Result<Frame<Bytes>, hyper::Error>>,
    rest: Incoming,
}

impl Body for Again {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        match this.read.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut this.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

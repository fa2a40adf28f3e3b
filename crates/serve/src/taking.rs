//! An answer as its client takes it: in parts, so that it is known how far it has come.

use crate::life::{Call, Held};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use http_body::{Body as _, Frame, SizeHint};
use prost::Message;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

/// What is handed over at once. A connection asks for more when most of it has been taken.
const PART: usize = 64 << 10;

/// The bytes of an answer that does not know its own length before it is encoded.
#[derive(Clone, Copy, Debug)]
struct Weight(usize);

/// An answer of gRPC, with its weight.
pub(crate) fn weighed<M: Message>(answer: M) -> tonic::Response<M> {
    let weight = Weight(answer.encoded_len());
    let mut response = tonic::Response::new(answer);
    response.extensions_mut().insert(weight);
    response
}

/// An answer of gRPC that is there as a whole.
#[derive(Debug)]
pub(crate) struct Whole(Bytes);

impl Whole {
    /// A message with what gRPC puts before it, after which all is well.
    pub(crate) fn ok(message: Bytes) -> Whole {
        Whole(message)
    }
}

/// The body of an answer, and the call that it ends.
pub(crate) struct Taking {
    body: Rest,
    rest: Bytes,
    call: Call,
    _held: Held,
}

/// Where more of an answer comes from.
enum Rest {
    Body(Body),
    /// Only the trailers, if these have not gone either.
    Trailers(Option<HeaderMap>),
}

/// Makes the call last until its answer is taken.
pub(crate) fn taking(answer: Response, call: Call) -> Response<Taking> {
    let weight = match answer.extensions().get::<Weight>() {
        Some(Weight(bytes)) => *bytes,
        None => usize::try_from(answer.body().size_hint().lower()).unwrap_or(usize::MAX),
    };
    let held = call.life.hold(weight);
    call.waits(Instant::now());
    answer.map(|body| Taking {
        body: Rest::Body(body),
        rest: Bytes::new(),
        call,
        _held: held,
    })
}

/// As [`taking`], of an answer that is there.
pub(crate) fn taking_whole(Whole(message): Whole, call: Call) -> Response<Taking> {
    const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
    const OK: HeaderValue = HeaderValue::from_static("0");
    let held = call.life.hold(message.len());
    call.waits(Instant::now());
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", OK);
    let mut answer = Response::new(Taking {
        body: Rest::Trailers(Some(trailers)),
        rest: message,
        call,
        _held: held,
    });
    answer.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    answer
}

impl http_body::Body for Taking {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        match &mut this.body {
            // Of one that is there it is known since when it waits, until a part of it was taken.
            Rest::Trailers(trailers) if this.rest.is_empty() => {
                let trailers = trailers.take().map(Frame::trailers);
                return Poll::Ready(trailers.map(Ok));
            }
            Rest::Body(body) if this.rest.is_empty() => {
                // Asked for more, so what there was has been taken.
                this.call.works();
                let frame = ready!(Pin::new(body).poll_frame(context));
                this.call.waits(Instant::now());
                match frame {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => this.rest = data,
                        Err(other) => return Poll::Ready(Some(Ok(other))),
                    },
                    other => return Poll::Ready(other),
                }
            }
            _ => this.call.waits(Instant::now()),
        }
        let part = this.rest.split_to(this.rest.len().min(PART));
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && match &self.body {
                Rest::Body(body) => body.is_end_stream(),
                Rest::Trailers(trailers) => trailers.is_none(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let Rest::Body(body) = &self.body else {
            // Trailers come behind it, so its length does not stand before it.
            return SizeHint::default();
        };
        let (inner, rest) = (body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

//! Spans of what a process does, sent to a collector of OpenTelemetry.
//!
//! Small on purpose: spans with attributes and links, sampled where they begin, in a bounded queue, by OTLP over gRPC.
//! OpenTelemetry's own SDK would have much of what is under this workspace compiled with other features, for what is three
//! hundred lines here.
//!
//! # Laws
//! - Where tracing is off, or a trace is not sampled, a span is nothing: no clock is read and nothing is allocated.
//! - Whoever makes spans never waits: what the queue has no room for is dropped and counted.
//! - No key, value or payload is in a span: what is written into one are names of definitions, counts and codes.

mod context;
pub use context::Context;

mod sampler;
pub use sampler::Sampler;

mod span;
pub use span::{Kind, Span, Value, child, within};

mod tracer;
pub use tracer::{Counts, Tracer};

mod export;
pub use export::{Exporter, Settings};

#[allow(missing_docs, clippy::pedantic, reason = "generated")]
pub mod proto {
    //! OTLP's messages, and its service.
    tonic::include_proto!("opentelemetry.proto.collector.trace.v1");
}

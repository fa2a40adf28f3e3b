//! The topic over which several processes share a source.
//!
//! Each process reads some partitions of the source and sends every record to those that need it, each of
//! which has one partition of the *shared topic*. A frame before the payload says where the record
//! was read, and how far the clock of its partition had come.
//!
//! # Laws
//! - What comes from one partition of the source comes in the order of its offsets. Whoever sends
//!   begins again where everything before is kept, and may repeat what came after; what is repeated
//!   is left out, also where it comes from one that has been replaced and does not know.
//! - Every record tells which one was sent to the same process before it. One that was not received is
//!   a gap, and reading ends there: nothing that comes after it is given.

mod frame;
mod reader;
mod sender;
pub use reader::{SharedReader, Told};
pub use sender::{SharedSender, ensure_shared_topic};

/// The name of a source's shared topic.
#[must_use]
pub fn shared_topic(project: &str, source: &str) -> String {
    format!("tiderace.{project}.{source}.shared")
}

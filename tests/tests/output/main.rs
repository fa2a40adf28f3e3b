//! Feature values in a Kafka topic: the binary with a real broker, read as a consumer reads.

mod change;
mod decay;
mod faults;
mod formats;
mod kills;
mod support;

//! A real Apache Kafka: brokers of this machine's Java, in a folder that goes with the test.
//!
//! How it runs. The jars come from Maven Central by `scripts/kafka-jars.sh` (the pom is
//! `tests/kafka/pom.xml`: the broker, and a logger because the published pom names none)
//! and lie in `$TIDERACE_CACHE/kafka`, by default `~/.cache/tiderace/kafka`.
//! `kafka.tools.StorageTool format` writes the KRaft metadata (a second), `kafka.Kafka`
//! is broker and controller in one process; with a static quorum (`controller.quorum.voters`)
//! the format needs no further flag. It is ready, some three seconds after its start,
//! when every broker tells the metadata of the whole cluster. Topics are made by the
//! two requests in [`wire`], so that neither a second Java nor a client library is needed.
//!
//! Records are kept for ever: event times of past years must not make them expire.

mod cluster;
pub mod wire;

pub use cluster::{Kafka, cache};

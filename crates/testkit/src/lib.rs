//! What tests and measurements share: an oracle, made-up payments, and real servers on a leash.
//!
//! | module | what it gives |
//! |---|---|
//! | [`naive`] | the answer of any feature, by the most obvious loops: the oracle |
//! | [`generate`] | card payments that a stranger would believe, from a seed; with disorder, repeats and broken records where asked |
//! | [`kafka`] | a real Apache Kafka on free ports, in a folder of its own |
//! | [`redis`] | a real redis-server on a free port, or a cluster of them |
//! | [`s3`] | a real S3 server over a folder |
//! | [`registry`] | a schema registry that misbehaves at a word |
//! | [`certificates`] | certificates for servers and clients, of authorities of the test's own |
//! | [`proxy`] | a network between two of these that fails in every way, when told to |
//! | [`power`] | a power cut: files as they are when everything that was not synced is lost |
//! | [`bin`] | the built `tiderace` binary: run it, serve with it, kill it |
//! | [`process`] | children that never outlive the test, and signals to them |
//! | [`ports`] | ports of loopback that no other test has |
//! | [`cgroup`] | a hard limit on the memory of children |
//! | [`wait`] | waiting for something outside, with a deadline |
//!
//! Servers are children of the test's own process: dropped they are killed, and
//! where the test itself is killed the kernel kills them. Nothing here depends
//! on the code under test but for the words in which features are specified.

pub mod generate;
pub use tiderace_naive as naive;

pub mod cgroup;
pub mod ports;
pub mod process;
pub mod wait;

pub mod bin;
pub mod certificates;
pub mod kafka;
pub mod redis;
pub mod registry;
pub mod s3;

pub mod power;
pub mod proxy;

//! The end-to-end tests: the built binary with real servers around it, from the outside.
//!
//! The tests themselves are in `tests/`; here is what they share. Nothing here knows
//! the inside of Tiderace: projects are YAML files, events are records in a topic or a file,
//! answers come by gRPC, and what they should be is computed by the loops of
//! [`tiderace_testkit::naive`] or published by others.

pub mod answer;
pub mod archive;
pub mod ask;
pub mod avro;
pub mod dead_letter;
pub mod deadline;
pub mod disk;
pub mod duckdb;
pub mod encode;
pub mod feast;
pub mod input;
pub mod ledger;
pub mod oracle;
pub mod prepared;
pub mod project;
pub mod rows;
pub mod scene;
pub mod shared;
pub mod table;
pub mod topic;
pub mod traffic;
pub mod values;

//! Changes of tables as Debezium writes them: rows that are put in and rows that are taken back.

mod change;

mod columns;

mod avro;
pub use avro::{DebeziumAvroReader, Envelope};

mod json;
pub use json::DebeziumJsonReader;

//! Where records come from, with positions; and where refused ones go.
//!
//! A [`Reader`] gives the raw records of one source, partition by partition in
//! offset order, from Kafka, from the embedded [`Log`], or from memory. It
//! starts exactly where it is told and keeps no progress of its own: positions
//! are committed with the state they describe, so nothing is ever committed
//! here. [`DeadLetters`] keeps refused records with their original bytes, and
//! [`Producer`] and [`read_file`] bring archives into a source. A [`Registry`] has the schemas
//! that records name by number.
//!
//! Everything is synchronous and meant for a thread of its own. No type of
//! Kafka's client leaves this crate. Nothing here knows what is inside a record.

mod error;
pub use error::{Error, Kind};

mod reader;
pub use reader::{Limit, Reader};

mod kafka;
pub use kafka::{
    KafkaConfig, KafkaDeadLetters, KafkaProducer, KafkaReader, KafkaValues, SharedReader,
    SharedSender, Told, ValueRecord, Watermarks, count_partitions, ensure_shared_topic,
    ensure_topic, shared_topic,
};

mod lag;
pub use lag::Lag;

mod registry;
pub use registry::{
    KeptSchemas, RegisteredSchema, Registry, RegistryConfig, SchemaKind, SchemaVersion,
};

mod log;
pub use log::{Durability, Log, LogOptions, LogReader, Repair};

mod trail;
pub use trail::{Loss, Mark, OnLoss, Track, Trail};

mod memory;
pub use memory::{MemoryLog, MemoryReader};

mod dead_letters;
pub use dead_letters::{DeadLetters, FileDeadLetters, MemoryDeadLetters};

mod letters;
pub use letters::{Entry, Letter, LetterPlace, letters_in_file, newest_in_file};

mod producer;
pub use producer::{LogProducer, Producer};

mod file;
pub use file::{FileProgress, FileRows, read_file};

//! Kafka, through librdkafka.

mod config;
pub use config::KafkaConfig;

mod error;
mod news;

mod reader;
mod resume;
pub use reader::KafkaReader;

mod topic;
pub use topic::{count_partitions, ensure_topic};

mod watermarks;
pub use watermarks::Watermarks;

mod outbox;

mod producer;
pub use producer::KafkaProducer;

mod shared;
pub use shared::{SharedReader, SharedSender, Told, ensure_shared_topic, shared_topic};

mod values;
pub use values::{KafkaValues, ValueRecord};

mod dead_letters;
pub use dead_letters::KafkaDeadLetters;

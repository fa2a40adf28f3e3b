//! Kafka, through librdkafka.

mod config;
pub use config::KafkaConfig;

mod error;

mod reader;
pub use reader::KafkaReader;

mod topic;
pub use topic::ensure_topic;

mod outbox;

mod producer;
pub use producer::KafkaProducer;

mod dead_letters;
pub use dead_letters::KafkaDeadLetters;

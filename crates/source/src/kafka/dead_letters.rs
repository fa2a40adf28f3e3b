//! Dead letters as records of a topic: the original bytes, the story in headers.

use super::config::KafkaConfig;
use super::outbox::Outbox;
use crate::Error;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use std::fmt;
use tiderace_types::DeadLetter;

/// Writes dead letters to one topic.
pub struct KafkaDeadLetters {
    config: KafkaConfig,
    outbox: Option<Outbox>,
    topic: String,
}

impl KafkaDeadLetters {
    /// Opens a writer to an existing topic (see [`crate::ensure_topic`]).
    ///
    /// # Errors
    /// When the client's settings are wrong.
    pub fn open(config: &KafkaConfig, topic: &str) -> Result<KafkaDeadLetters, Error> {
        Ok(KafkaDeadLetters {
            outbox: Some(Outbox::open(config)?),
            config: config.clone(),
            topic: topic.to_owned(),
        })
    }

    /// See [`crate::DeadLetters::write`]. After a failure the next call starts a new producer.
    ///
    /// # Errors
    /// When a letter could not be delivered; then write all of them again.
    pub fn write(&mut self, origin: &str, letters: &[DeadLetter]) -> Result<(), Error> {
        let outbox = match self.outbox.take() {
            Some(outbox) => outbox,
            None => Outbox::open(&self.config)?,
        };
        for letter in letters {
            let record = BaseRecord::to(&self.topic)
                .payload(letter.payload.as_slice())
                .headers(headers(origin, letter));
            outbox.send(record)?;
        }
        outbox.flush(&self.topic)?;
        self.outbox = Some(outbox);
        Ok(())
    }
}

fn headers(origin: &str, letter: &DeadLetter) -> OwnedHeaders {
    let meta = letter.meta;
    let texts = [
        ("tiderace.reason", letter.reason.name().to_owned()),
        ("tiderace.detail", letter.detail.clone()),
        ("tiderace.topic", origin.to_owned()),
        ("tiderace.partition", meta.partition.number.to_string()),
        ("tiderace.offset", meta.offset.to_string()),
    ];
    texts.iter().fold(
        OwnedHeaders::new_with_capacity(texts.len()),
        |headers, (key, text)| {
            let value = Some(text.as_str());
            headers.insert(Header { key, value })
        },
    )
}

impl fmt::Debug for KafkaDeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaDeadLetters")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

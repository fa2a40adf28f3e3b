//! Dead letters as records of a topic: the original bytes, the story in headers.
//!
//! A letter larger than the topic takes is kept cut, with `tiderace.cut_from`
//! telling its length: a bad record must never stop what comes after it. Give
//! the topic a `max.message.bytes` above the source's to keep them whole.

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
        if self.send(origin, letters, None)? == Outcome::TooLarge {
            // One by one, to cut only what must be; those kept before are there twice.
            for letter in letters {
                let letter = std::slice::from_ref(letter);
                if self.send(origin, letter, None)? == Outcome::TooLarge {
                    self.send(origin, letter, Some(CUT))?;
                }
            }
        }
        Ok(())
    }

    /// Sends `letters`, their payloads cut where `most` says so, and waits until they are kept.
    fn send(
        &mut self,
        origin: &str,
        letters: &[DeadLetter],
        most: Option<usize>,
    ) -> Result<Outcome, Error> {
        let outbox = match self.outbox.take() {
            Some(outbox) => outbox,
            None => Outbox::open(&self.config)?,
        };
        match send(&outbox, &self.topic, origin, letters, most) {
            Ok(()) => {
                self.outbox = Some(outbox);
                Ok(Outcome::Kept)
            }
            Err(_) if most.is_none() && outbox.found_too_large() => Ok(Outcome::TooLarge),
            Err(error) => Err(error),
        }
    }
}

/// What is kept of a letter that is too large for the topic.
const CUT: usize = 64 << 10;

/// How sending went, where it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Kept,
    TooLarge,
}

fn send(
    outbox: &Outbox,
    topic: &str,
    origin: &str,
    letters: &[DeadLetter],
    most: Option<usize>,
) -> Result<(), Error> {
    for letter in letters {
        let length = letter.payload.len();
        let kept = most.map_or(length, |most| most.min(length));
        let mut headers = headers(origin, letter);
        if kept < length {
            headers = headers.insert(Header {
                key: "tiderace.cut_from",
                value: Some(&length.to_string()),
            });
        }
        let record = BaseRecord::to(topic)
            .payload(&letter.payload[..kept])
            .headers(headers);
        outbox.send(record)?;
    }
    outbox.flush(topic)
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
        OwnedHeaders::new_with_capacity(texts.len() + 1),
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

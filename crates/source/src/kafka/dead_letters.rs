//! Dead letters as records of a topic: the original bytes, the story in headers.
//!
//! A letter larger than the topic takes is kept cut, with `tiderace.cut_from`
//! telling its length: a bad record must never stop what comes after it. Give
//! the topic a `max.message.bytes` above the source's to keep them whole.

use super::config::KafkaConfig;
use super::error::error;
use super::outbox::Outbox;
use super::topic::partitions;
use crate::{Entry, Error, Kind, Letter, LetterPlace};
use rdkafka::consumer::Consumer;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};
use tiderace_durable::failpoint::{self, Step};
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
        let injected = |cause: std::io::Error| Error::new(Kind::Retry, cause.to_string());
        failpoint::around(Step::LettersKafka, injected, || {
            self.write_whole(origin, letters)
        })
    }

    fn write_whole(&mut self, origin: &str, letters: &[DeadLetter]) -> Result<(), Error> {
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

    /// See [`crate::DeadLetters::note_replayed`]. A note has no payload.
    pub(crate) fn note_replayed(&mut self, places: &[LetterPlace]) -> Result<(), Error> {
        let outbox = match self.outbox.take() {
            Some(outbox) => outbox,
            None => Outbox::open(&self.config)?,
        };
        for place in places {
            let text = format!("{}/{}", place.partition, place.offset);
            let header = Header {
                key: REPLAYED,
                value: Some(&text),
            };
            let headers = OwnedHeaders::new().insert(header);
            outbox.send(BaseRecord::to(&self.topic).headers(headers))?;
        }
        outbox.flush(&self.topic)?;
        self.outbox = Some(outbox);
        Ok(())
    }

    /// See [`crate::DeadLetters::read`]: everything up to where the topic ended when asked.
    pub(crate) fn read(
        &self,
        visit: &mut dyn FnMut(Entry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.newest(usize::MAX, visit)
    }

    /// Reads at most the last `count` records of each partition, up to where the topic ended when asked.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn newest(
        &self,
        count: usize,
        visit: &mut dyn FnMut(Entry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let what = format!("read topic \"{}\"", self.topic);
        let failed = |cause| error(&what, &cause);
        let consumer = self.config.asker()?;
        let timeout = self.config.request_timeout;
        let mut list = TopicPartitionList::new();
        let mut open = BTreeMap::new();
        for number in partitions(&consumer, &self.topic, timeout)? {
            let number = i32::try_from(number).unwrap_or(i32::MAX);
            let watermarks = consumer.fetch_watermarks(&self.topic, number, timeout);
            let (low, high) = watermarks.map_err(failed)?;
            if low < high {
                open.insert(number, high);
                let from = low.max(high.saturating_sub(count));
                list.add_partition_offset(&self.topic, number, Offset::Offset(from))
                    .map_err(failed)?;
            }
        }
        consumer.assign(&list).map_err(failed)?;
        let mut quiet_since = Instant::now();
        while !open.is_empty() {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    quiet_since = Instant::now();
                    if let Some(entry) = entry(&message) {
                        visit(entry)?;
                    }
                }
                Some(Err(cause)) => return Err(failed(cause)),
                None if quiet_since.elapsed() > timeout => {
                    return Err(Error::new(Kind::Retry, format!("{what}: no answer")));
                }
                None => {}
            }
            // The position is past control records too, which are never delivered.
            let positions = consumer.position().map_err(failed)?;
            open.retain(|number, high| {
                let held = positions.find_partition(&self.topic, *number);
                let next = held.and_then(|held| held.offset().to_raw());
                next.is_none_or(|next| next < *high)
            });
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

/// The header of a note that a record was sent again.
const REPLAYED: &str = "tiderace.replayed";

/// What a message of the topic is; nothing, where somebody else wrote it.
fn entry(message: &BorrowedMessage<'_>) -> Option<Entry> {
    let headers = message.headers()?;
    let header = |name: &str| {
        let found = headers.iter().find(|header| header.key == name)?;
        str::from_utf8(found.value?).ok()
    };
    if let Some(place) = header(REPLAYED) {
        let (partition, offset) = place.split_once('/')?;
        return Some(Entry::Replayed(LetterPlace {
            partition: partition.parse().ok()?,
            offset: offset.parse().ok()?,
        }));
    }
    Some(Entry::Letter(Letter {
        reason: header("tiderace.reason")?.to_owned(),
        detail: header("tiderace.detail").unwrap_or_default().to_owned(),
        place: LetterPlace {
            partition: header("tiderace.partition")?.parse().ok()?,
            offset: header("tiderace.offset")?.parse().ok()?,
        },
        broker_time: header("tiderace.broker_time").map(str::to_owned),
        payload: message.payload().unwrap_or_default().to_vec(),
        cut_from: header("tiderace.cut_from").and_then(|text| text.parse().ok()),
    }))
}

fn headers(origin: &str, letter: &DeadLetter) -> OwnedHeaders {
    let meta = letter.meta;
    let texts = [
        ("tiderace.reason", letter.reason.name().to_owned()),
        ("tiderace.detail", letter.detail.clone()),
        ("tiderace.topic", origin.to_owned()),
        ("tiderace.partition", meta.partition.number.to_string()),
        ("tiderace.offset", meta.offset.to_string()),
        ("tiderace.broker_time", meta.broker_time.to_string()),
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

//! Feature values as records of topics: idempotent, in order per key, never given up.

use super::config::KafkaConfig;
use super::outbox::Outbox;
use crate::{Error, Kind};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use std::fmt;
use std::time::Duration;
use tiderace_durable::failpoint::{self, Step};
use tiderace_types::Timestamp;

/// One record of a topic of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueRecord {
    /// The topic.
    pub topic: String,
    /// The key, which decides the partition as Java's default partitioner does.
    pub key: Vec<u8>,
    /// The value; `None` says that there is none any more.
    pub value: Option<Vec<u8>>,
    /// A header.
    pub header: (&'static str, String),
    /// The record's timestamp.
    pub time: Timestamp,
}

/// Writes feature values.
pub struct KafkaValues {
    config: KafkaConfig,
    outbox: Option<Outbox>,
    found_too_large: bool,
}

/// How long one look at what is on its way takes.
const LOOK: Duration = Duration::from_millis(20);

/// How many bytes of records are given to the client before they are waited for.
const AT_ONCE: usize = 16 << 20;

impl KafkaValues {
    /// A writer; nothing is asked of the cluster yet.
    #[must_use]
    pub fn new(config: KafkaConfig) -> KafkaValues {
        KafkaValues {
            config,
            outbox: None,
            found_too_large: false,
        }
    }

    /// Writes records and waits until the brokers keep all of them, as long as `patient` says so.
    ///
    /// The client goes on by itself where brokers are away. After any other failure the records are to be
    /// written again, with a new client: those that were kept are there twice then.
    ///
    /// # Errors
    /// When a record cannot be delivered; [`Kind::Retry`] where patience ended.
    pub fn write(
        &mut self,
        records: &[ValueRecord],
        mut patient: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let injected = |cause: std::io::Error| Error::new(Kind::Closed, cause.to_string());
        let outbox = match self.outbox.take() {
            Some(outbox) => outbox,
            None => Outbox::persistent(&self.config)?,
        };
        let written = failpoint::around(Step::OutputKafka, injected, || {
            let mut bytes = 0;
            for record in records {
                send(&outbox, record)?;
                bytes += record.key.len() + record.value.as_ref().map_or(0, Vec::len);
                if bytes >= AT_ONCE {
                    bytes = 0;
                    settle(&outbox, &record.topic, &mut patient)?;
                }
            }
            let topic = records.last().map_or("", |record| &record.topic);
            settle(&outbox, topic, &mut patient)
        });
        self.found_too_large = written.is_err() && outbox.found_too_large();
        if written.is_ok() {
            self.outbox = Some(outbox);
        }
        written
    }

    /// Tells whether the last write failed because a record is larger than its topic takes.
    #[must_use]
    pub fn found_too_large(&self) -> bool {
        self.found_too_large
    }

    /// Writes records one by one after a failure, leaving out those that are larger than their topic
    /// takes; gives their places.
    ///
    /// # Errors
    /// As [`KafkaValues::write`].
    pub fn write_what_fits(
        &mut self,
        records: &[ValueRecord],
        mut patient: impl FnMut() -> bool,
    ) -> Result<Vec<usize>, Error> {
        let mut left_out = Vec::new();
        for (place, record) in records.iter().enumerate() {
            match self.write(std::slice::from_ref(record), &mut patient) {
                Err(_) if self.found_too_large => left_out.push(place),
                written => written?,
            }
        }
        Ok(left_out)
    }
}

fn send(outbox: &Outbox, record: &ValueRecord) -> Result<(), Error> {
    let (key, value) = (record.header.0, Some(record.header.1.as_str()));
    let headers = OwnedHeaders::new_with_capacity(1).insert(Header { key, value });
    let mut out = BaseRecord::<[u8], [u8]>::to(&record.topic)
        .key(&record.key)
        .headers(headers)
        .timestamp(record.time.0.div_euclid(1000).max(1));
    if let Some(value) = &record.value {
        out = out.payload(value);
    }
    outbox.send(out)
}

fn settle(outbox: &Outbox, topic: &str, patient: &mut dyn FnMut() -> bool) -> Result<(), Error> {
    while !outbox.is_settled(topic, LOOK)? {
        if !patient() {
            let message = format!("produce to topic \"{topic}\": it does not answer");
            return Err(Error::new(Kind::Retry, message));
        }
    }
    Ok(())
}

impl fmt::Debug for KafkaValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaValues").finish_non_exhaustive()
    }
}

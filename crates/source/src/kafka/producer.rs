//! Records into a topic, in order per key.

use super::config::KafkaConfig;
use super::outbox::Outbox;
use super::topic::partitions;
use crate::{Error, Kind};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use std::fmt;
use std::time::Duration;
use tiderace_durable::failpoint::{self, Step};
use tiderace_types::Timestamp;

/// The partition and offset of a record, or why it could not be delivered.
pub type Placed = Result<(u32, i64), Error>;

/// Produces to one topic: idempotent, acknowledged by all replicas in sync.
pub struct KafkaProducer {
    outbox: Outbox,
    topic: String,
    partitions: usize,
    headers: Vec<(String, String)>,
}

impl KafkaProducer {
    /// Opens a producer to an existing topic (see [`crate::ensure_topic`]).
    ///
    /// # Errors
    /// When the topic is unknown or the cluster does not answer.
    pub fn open(config: &KafkaConfig, topic: &str) -> Result<KafkaProducer, Error> {
        // A producer's own question would make the topic where brokers allow it.
        let asker = config.asker()?;
        let partitions = partitions(&asker, topic, config.request_timeout)?;
        Ok(KafkaProducer {
            outbox: Outbox::open(config)?,
            topic: topic.to_owned(),
            partitions: partitions.len(),
            headers: Vec::new(),
        })
    }

    /// As [`KafkaProducer::open`], but it never gives a record up: it is tried as long as it takes.
    ///
    /// # Errors
    /// As [`KafkaProducer::open`].
    pub fn persistent(config: &KafkaConfig, topic: &str) -> Result<KafkaProducer, Error> {
        let outbox = Outbox::persistent(config)?;
        let open = KafkaProducer::open(config, topic)?;
        Ok(KafkaProducer { outbox, ..open })
    }

    /// Waits for a while; tells whether every record is kept by the brokers.
    ///
    /// # Errors
    /// When one could not be delivered: what comes after it may be there without it.
    pub fn is_settled(&self, within: Duration) -> Result<bool, Error> {
        self.outbox.is_settled(&self.topic, within)
    }

    /// Has every record carry these headers.
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<(String, String)>) -> KafkaProducer {
        self.headers = headers;
        self
    }

    /// How many partitions the topic has.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Sends a record with `key`, which decides the partition as Java's default
    /// partitioner does (murmur2); an empty key lets the client choose. Times up
    /// to 1970 become its first millisecond: Kafka has none before, and takes 0 for now.
    ///
    /// # Errors
    /// When this record or one before it could not be delivered; open a new producer then.
    pub fn send(&mut self, key: &[u8], payload: &[u8], time: Timestamp) -> Result<(), Error> {
        let mut record = self.record(payload, time);
        if !key.is_empty() {
            record = record.key(key);
        }
        self.outbox.send(self.headed(record))
    }

    /// Sends records, letting the client choose partitions, and waits until all are kept or given up; tells the
    /// partition and offset of each, or why it could not be delivered, which is the matter of that record alone.
    ///
    /// # Errors
    /// When what became of them is not known; open a new producer then.
    pub fn place<'a>(
        &mut self,
        payloads: impl IntoIterator<Item = &'a [u8]>,
        time: Timestamp,
    ) -> Result<Vec<Placed>, Error> {
        for (number, payload) in payloads.into_iter().enumerate() {
            let record = self.record(payload, time);
            self.outbox.send_asking(self.headed(record), number)?;
        }
        self.flush()?;
        Ok(self.outbox.placed(&self.topic))
    }

    /// Sends a record to a partition that the topic has; any other leaves the choice to the client.
    ///
    /// # Errors
    /// As [`KafkaProducer::send`].
    pub fn send_to(
        &mut self,
        partition: u32,
        payload: &[u8],
        time: Timestamp,
    ) -> Result<(), Error> {
        let mut record = self.record(payload, time);
        if (partition as usize) < self.partitions {
            record = record.partition(i32::try_from(partition).unwrap_or(0));
        }
        self.outbox.send(self.headed(record))
    }

    /// As [`KafkaProducer::send_to`], with the time of its sending.
    ///
    /// # Errors
    /// As [`KafkaProducer::send`].
    pub fn send_now(&mut self, partition: u32, payload: &[u8]) -> Result<(), Error> {
        let partition = i32::try_from(partition).unwrap_or(i32::MAX);
        let record = BaseRecord::<[u8], [u8]>::to(&self.topic).payload(payload);
        self.outbox.send(self.headed(record.partition(partition)))
    }

    /// A record of this time, in milliseconds from 1 on.
    fn record<'a>(&'a self, payload: &'a [u8], time: Timestamp) -> BaseRecord<'a, [u8], [u8]> {
        BaseRecord::to(&self.topic)
            .payload(payload)
            .timestamp(time.0.div_euclid(1000).max(1))
    }

    fn headed<'a>(&self, record: BaseRecord<'a, [u8], [u8]>) -> BaseRecord<'a, [u8], [u8]> {
        if self.headers.is_empty() {
            return record;
        }
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (key, value) in &self.headers {
            let value = Some(value.as_str());
            headers = headers.insert(Header { key, value });
        }
        record.headers(headers)
    }

    /// Waits until everything sent is kept.
    ///
    /// # Errors
    /// When a record could not be delivered.
    pub fn flush(&mut self) -> Result<(), Error> {
        let injected = |cause: std::io::Error| Error::new(Kind::Retry, cause.to_string());
        failpoint::around(Step::KafkaPush, injected, || self.outbox.flush(&self.topic))
    }
}

impl fmt::Debug for KafkaProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaProducer")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

//! Producing into a topic and reading it back, apart from the code under test.

use anyhow::{Context, Result, bail};
use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tiderace_testkit::wait;

const WITHIN: Duration = Duration::from_secs(60);

/// Sends records to a topic, in order within each partition.
pub struct Sender {
    producer: BaseProducer,
    topic: String,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sender({})", self.topic)
    }
}

impl Sender {
    /// Makes a sender.
    ///
    /// # Errors
    /// When the client refuses.
    pub fn new(bootstrap: &str, topic: &str) -> Result<Sender> {
        Sender::with(bootstrap, topic, "5")
    }

    /// Makes a sender that gathers nothing: each record leaves at once.
    ///
    /// # Errors
    /// When the client refuses.
    pub fn prompt(bootstrap: &str, topic: &str) -> Result<Sender> {
        Sender::with(bootstrap, topic, "0")
    }

    fn with(bootstrap: &str, topic: &str, linger: &str) -> Result<Sender> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", linger)
            .set("message.max.bytes", "8000000")
            .set("compression.type", "lz4")
            .create()
            .context("make a producer")?;
        Ok(Sender {
            producer,
            topic: topic.to_owned(),
        })
    }

    /// Sends one record, to the partition of its key or to the one named.
    ///
    /// # Errors
    /// When the client refuses.
    pub fn send(&self, key: &[u8], payload: &[u8], partition: Option<i32>) -> Result<()> {
        let mut record = BaseRecord::to(&self.topic).key(key).payload(payload);
        record.partition = partition;
        self.deliver(record)
    }

    /// Gives a record to the client, waiting while its queue is full.
    fn deliver(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, refused)) => {
                    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(error).context("send a record");
                    }
                    record = refused;
                    self.producer.poll(Duration::from_millis(50));
                }
            }
        }
    }

    /// Sends one record with headers to a partition; without a payload it is a tombstone.
    ///
    /// # Errors
    /// When the client refuses.
    pub fn send_with(
        &self,
        partition: i32,
        payload: Option<&[u8]>,
        headers: &[(&str, &str)],
    ) -> Result<()> {
        let mut all = OwnedHeaders::new_with_capacity(headers.len());
        for (key, value) in headers {
            let value = Some(*value);
            all = all.insert(Header { key, value });
        }
        let mut record: BaseRecord<[u8], [u8]> = BaseRecord::to(&self.topic)
            .key(&b""[..])
            .partition(partition)
            .headers(all);
        if let Some(payload) = payload {
            record = record.payload(payload);
        }
        self.deliver(record)
    }

    /// Waits until Kafka has everything.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn flush(&self) -> Result<()> {
        self.producer.flush(WITHIN).context("flush the producer")
    }
}

/// A record that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The headers, as text.
    pub headers: BTreeMap<String, String>,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// Reads a topic from its beginning, until `take` says that it has enough.
///
/// # Errors
/// When there is not enough in time, or `take` fails.
pub fn read(
    bootstrap: &str,
    topic: &str,
    mut take: impl FnMut(Received) -> Result<bool>,
) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .set("fetch.message.max.bytes", "8000000")
        .create()
        .context("make a consumer")?;
    let metadata = consumer.fetch_metadata(Some(topic), WITHIN)?;
    let mut from = TopicPartitionList::new();
    for partition in metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions())
    {
        from.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&from)?;
    let deadline = Instant::now() + WITHIN;
    loop {
        if Instant::now() > deadline {
            bail!("too few records in topic {topic:?}");
        }
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message.context("read the topic")?;
        let headers = message.headers().map(|headers| {
            let text = |bytes: Option<&[u8]>| {
                String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
            };
            headers
                .iter()
                .map(|header| (header.key.to_owned(), text(header.value)))
                .collect()
        });
        let received = Received {
            headers: headers.unwrap_or_default(),
            payload: message.payload().unwrap_or_default().to_vec(),
        };
        if take(received)? {
            return Ok(());
        }
    }
}

/// The payloads that one partition of a topic has now.
///
/// # Errors
/// When they cannot be read.
pub fn read_partition(bootstrap: &str, topic: &str, partition: i32) -> Result<Vec<Vec<u8>>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .create()
        .context("make a consumer")?;
    let (low, high) = consumer.fetch_watermarks(topic, partition, WITHIN)?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, partition, Offset::Offset(low))?;
    consumer.assign(&from)?;
    let deadline = Instant::now() + WITHIN;
    let (mut payloads, mut next) = (Vec::new(), low);
    while next < high {
        if Instant::now() > deadline {
            bail!("topic {topic:?} partition {partition} ends at {next}, not at {high}");
        }
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message.context("read the topic")?;
        next = message.offset() + 1;
        payloads.push(message.payload().unwrap_or_default().to_vec());
    }
    Ok(payloads)
}

/// Deletes a topic, and waits until it is gone.
///
/// # Errors
/// When Kafka refuses.
pub fn delete(bootstrap: &str, topic: &str) -> Result<()> {
    let admin = admin(bootstrap)?;
    let deleted = admin.delete_topics(&[topic], &AdminOptions::new());
    for result in block_on(deleted).context("delete a topic")? {
        if let Err((topic, code)) = result {
            bail!("delete topic {topic:?}: {code}");
        }
    }
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .context("make a consumer")?;
    wait::until("the topic is gone", WITHIN, || {
        let metadata = consumer.fetch_metadata(None, WITHIN);
        metadata.is_ok_and(|metadata| metadata.topics().iter().all(|held| held.name() != topic))
    })
}

/// Has the first records of a partition expire: those before `offset`.
///
/// # Errors
/// When Kafka refuses.
pub fn expire(bootstrap: &str, topic: &str, partition: i32, offset: i64) -> Result<()> {
    let admin = admin(bootstrap)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    let deleted = admin.delete_records(&list, &AdminOptions::new());
    for element in block_on(deleted).context("delete records")?.elements() {
        element.error().context("delete records")?;
    }
    Ok(())
}

/// Sets one setting of a topic; others that differ from the brokers' own are forgotten.
///
/// # Errors
/// When Kafka refuses.
pub fn configure(bootstrap: &str, topic: &str, name: &str, value: &str) -> Result<()> {
    let admin = admin(bootstrap)?;
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
    let changed = admin.alter_configs([&change], &AdminOptions::new());
    for result in block_on(changed).context("configure a topic")? {
        if let Err((_, code)) = result {
            bail!("configure topic {topic:?}: {code}");
        }
    }
    Ok(())
}

fn admin(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config.create().context("make an admin client")
}

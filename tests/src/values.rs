//! A topic of feature values, read as a consumer reads it: newest record of each key, versions in order.

use anyhow::{Context, Result, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(60);

/// One record of a topic of values.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueRecord {
    /// Where it stands.
    pub place: (i32, i64),
    /// The key.
    pub key: String,
    /// The value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// The epoch and the number in it, out of the header.
    pub version: (u64, u64),
}

impl ValueRecord {
    /// The value as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Json {
        let value = self.value.as_deref().expect("a value");
        serde_json::from_slice(value).expect("JSON")
    }

    /// A field of the JSON value by its path: `/values/n_1d`; null of a tombstone.
    #[must_use]
    pub fn at(&self, path: &str) -> Json {
        match &self.value {
            Some(_) => self.json().pointer(path).cloned().unwrap_or_default(),
            None => Json::Null,
        }
    }
}

/// Reads a topic from its beginning to where it ends when this is called; nothing where there is no such
/// topic.
///
/// # Errors
/// When Kafka does not answer, or a record is not one of values.
pub fn read(bootstrap: &str, topic: &str) -> Result<Vec<ValueRecord>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .create()
        .context("make a consumer")?;
    let metadata = consumer.fetch_metadata(Some(topic), WITHIN)?;
    let partitions = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions());
    let mut from = TopicPartitionList::new();
    let mut open = BTreeMap::new();
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), WITHIN)?;
        if low < high {
            from.add_partition_offset(topic, partition.id(), Offset::Offset(low))?;
            open.insert(partition.id(), high);
        }
    }
    consumer.assign(&from)?;
    let deadline = Instant::now() + WITHIN;
    let mut records = Vec::new();
    while !open.is_empty() {
        ensure!(Instant::now() < deadline, "topic {topic:?} does not end");
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message.context("read the topic")?;
        let (partition, offset) = (message.partition(), message.offset());
        let Some(end) = open.get(&partition).copied() else {
            continue;
        };
        if offset + 1 >= end {
            open.remove(&partition);
        }
        if offset >= end {
            continue;
        }
        let headers = message.headers().context("a record without headers")?;
        let version = headers
            .iter()
            .find(|header| header.key == "tiderace.version");
        let version = version.and_then(|header| header.value);
        let version = std::str::from_utf8(version.context("a record without a version")?)?;
        let (epoch, seq) = version
            .split_once('.')
            .context("a version without a point")?;
        records.push(ValueRecord {
            place: (partition, offset),
            key: String::from_utf8(message.key().context("a record without a key")?.to_vec())?,
            value: message.payload().map(<[u8]>::to_vec),
            version: (epoch.parse()?, seq.parse()?),
        });
    }
    records.sort_by_key(|record| record.place);
    Ok(records)
}

/// The last record of each key, as log compaction leaves it.
#[must_use]
pub fn newest(records: &[ValueRecord]) -> BTreeMap<String, ValueRecord> {
    let by_key = records
        .iter()
        .map(|record| (record.key.clone(), record.clone()));
    by_key.collect()
}

/// Checks what consumers rest on: a key stays in its partition, a repeat is equal, and what is no repeat
/// has a greater version than all before.
///
/// # Panics
/// When that is not so.
pub fn assert_in_order(records: &[ValueRecord]) {
    let mut seen: BTreeMap<&str, BTreeMap<(u64, u64), &ValueRecord>> = BTreeMap::new();
    let mut partitions: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for record in records {
        let of_key = seen.entry(&record.key).or_default();
        partitions
            .entry(&record.key)
            .or_default()
            .insert(record.place.0);
        if let Some(before) = of_key.get(&record.version) {
            assert_eq!(
                before.value, record.value,
                "a repeat is another: {record:?}"
            );
            continue;
        }
        if let Some((last, before)) = of_key.last_key_value() {
            assert!(*last < record.version, "{record:?} comes after {before:?}");
        }
        of_key.insert(record.version, record);
    }
    for (key, partitions) in partitions {
        assert_eq!(partitions.len(), 1, "{key} is in {partitions:?}");
    }
}

//! The floor of `ingest`: consume the same topic, parse the fields that the example's features
//! need, drop them. Nothing a feature store does is in it, so nothing can be faster.
//!
//! Prints `events seconds processor-seconds`.

use crate::project::TOPIC;
use anyhow::{Context, Result, ensure};
use clap::Args;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::hint::black_box;
use std::time::{Duration, Instant};
use tiderace_testkit::process::Usage;

#[derive(Args)]
pub struct Arguments {
    /// Kafka's bootstrap servers.
    #[arg(long)]
    brokers: String,
    /// How many records to read, from the beginning.
    #[arg(long)]
    events: u64,
}

/// The fields that the example's features need.
#[derive(serde::Deserialize)]
pub struct Needed<'a> {
    pub tx_id: i64,
    pub tx_time: &'a str,
    pub customer_id: i64,
    pub terminal_id: i64,
    pub amount: f64,
    pub is_fraud: i64,
}

/// A consumer of all partitions of a topic from `start`, with Tiderace's own settings.
///
/// # Errors
/// When Kafka does not answer.
pub fn consumer(brokers: &str, topic: &str, start: Offset) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "floor")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("fetch.wait.max.ms", "5")
        .set("fetch.queue.backoff.ms", "2")
        .set("queued.min.messages", "50000")
        .set("queued.max.messages.kbytes", "16384")
        .set("check.crcs", "true")
        .set("socket.nagle.disable", "true")
        .create()
        .context("make a consumer")?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let mut from = TopicPartitionList::new();
    for found in metadata.topics() {
        for partition in found.partitions() {
            from.add_partition_offset(topic, partition.id(), start)?;
        }
    }
    consumer.assign(&from)?;
    Ok(consumer)
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let began = Instant::now();
    let consumer = consumer(&arguments.brokers, TOPIC, Offset::Beginning)?;
    let mut seen = 0;
    while seen < arguments.events {
        ensure!(
            began.elapsed() < Duration::from_mins(5),
            "{seen} events only"
        );
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message?;
        let needed: Needed<'_> = sonic_rs::from_slice(message.payload().unwrap_or_default())?;
        black_box((
            needed.tx_id,
            needed.tx_time,
            needed.customer_id,
            needed.terminal_id,
            needed.amount,
            needed.is_fraud,
        ));
        seen += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    let processor = Usage::of(std::process::id())?.processor.as_secs_f64();
    println!("{seen} {seconds} {processor}");
    Ok(())
}

//! The floor: a consumer that parses the needed fields of every record and drops them; with
//! `--redis`, one that sets a key per record instead: what freshness cannot be better than.
//!
//! Prints `events seconds processor-seconds` when it has seen `--events`.

use anyhow::{Context, Result};
use clap::Parser;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::hint::black_box;
use std::time::{Duration, Instant};
use tiderace_testkit::process::Usage;
use tiderace_tests::project::TOPIC;

#[derive(Parser)]
struct Arguments {
    /// Kafka's bootstrap servers.
    #[arg(long)]
    brokers: String,
    /// How many records to read from the beginning; 0 for ever, from the end.
    #[arg(long, default_value_t = 0)]
    events: u64,
    /// Sets `floor:CUSTOMER` in this Redis for every record.
    #[arg(long)]
    redis: Option<String>,
}

/// The fields that the example's features need.
#[derive(serde::Deserialize)]
struct Needed<'a> {
    tx_id: i64,
    tx_time: &'a str,
    customer_id: i64,
    terminal_id: i64,
    amount: f64,
    is_fraud: i64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let consumer = consumer(&arguments)?;
    match &arguments.redis {
        Some(url) => set_forever(&consumer, url),
        None => parse_and_drop(&consumer, arguments.events),
    }
}

fn consumer(arguments: &Arguments) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &arguments.brokers)
        .set("group.id", "floor")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "5")
        .create()
        .context("make a consumer")?;
    let metadata = consumer.fetch_metadata(Some(TOPIC), Duration::from_secs(10))?;
    let start = match arguments.events {
        0 => Offset::End,
        _ => Offset::Beginning,
    };
    let mut from = TopicPartitionList::new();
    for partition in metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions())
    {
        from.add_partition_offset(TOPIC, partition.id(), start)?;
    }
    consumer.assign(&from)?;
    Ok(consumer)
}

fn parse_and_drop(consumer: &BaseConsumer, events: u64) -> Result<()> {
    let began = Instant::now();
    let mut seen = 0;
    while seen < events {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message?;
        let needed: Needed<'_> = sonic_rs::from_slice(message.payload().unwrap_or_default())?;
        let Needed {
            tx_id,
            tx_time,
            customer_id,
            terminal_id,
            amount,
            is_fraud,
        } = needed;
        black_box((tx_id, tx_time, customer_id, terminal_id, amount, is_fraud));
        seen += 1;
    }
    let usage = Usage::of(std::process::id())?;
    println!(
        "{seen} {} {}",
        began.elapsed().as_secs_f64(),
        usage.processor.as_secs_f64()
    );
    Ok(())
}

fn set_forever(consumer: &BaseConsumer, url: &str) -> Result<()> {
    let mut redis = redis::Client::open(url)?.get_connection()?;
    // The first poll makes the assignment real; only then may the measurement begin.
    consumer.poll(Duration::from_millis(500));
    println!("ready");
    loop {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message?;
        let needed: Needed<'_> = sonic_rs::from_slice(message.payload().unwrap_or_default())?;
        let mut pipeline = redis::pipe();
        pipeline
            .set(format!("floor:{}", needed.customer_id), needed.tx_id)
            .ignore();
        pipeline.query::<()>(&mut redis)?;
    }
}

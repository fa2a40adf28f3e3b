//! The floor of `freshness`: consume a topic, set `floor:CUSTOMER` to the payment's id.
//!
//! What has arrived is set in one pipeline, and no waiting is done for more.
//! Prints `ready` when it reads; runs until it is killed.

use crate::floor::{Needed, consumer};
use anyhow::Result;
use clap::Args;
use rdkafka::Offset;
use rdkafka::message::Message;
use std::time::Duration;

#[derive(Args)]
pub struct Arguments {
    /// Kafka's bootstrap servers.
    #[arg(long)]
    brokers: String,
    /// The topic.
    #[arg(long)]
    topic: String,
    /// Where Redis is.
    #[arg(long)]
    redis: String,
}

/// How many are set in one pipeline at the most.
const BATCH: usize = 1000;

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut redis = redis::Client::open(arguments.redis.as_str())?.get_connection()?;
    let consumer = consumer(&arguments.brokers, &arguments.topic, Offset::Beginning)?;
    let mut ready = false;
    loop {
        let mut pipeline = redis::pipe();
        let mut count = 0;
        let mut wait = Duration::from_millis(100);
        while count < BATCH
            && let Some(message) = consumer.poll(wait)
        {
            let message = message?;
            let needed: Needed<'_> = sonic_rs::from_slice(message.payload().unwrap_or_default())?;
            let key = format!("floor:{}", needed.customer_id);
            pipeline.set(key, needed.tx_id).ignore();
            count += 1;
            wait = Duration::ZERO;
        }
        if count > 0 {
            pipeline.query::<()>(&mut redis)?;
        }
        if !ready {
            ready = true;
            println!("ready");
        }
    }
}

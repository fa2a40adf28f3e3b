//! The events of all measurements: made-up card payments, as a shop would send them.

use anyhow::{Context, Result};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tiderace_testkit::generate::{Payment, Payments, Town};
use tiderace_types::Timestamp;

const DAY: i64 = 86_400_000_000;

/// The wall clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.expect("after 1970").as_micros();
    Timestamp(i64::try_from(micros).expect("before the year 292277"))
}

/// `events` payments spread over the `days` days up to now.
pub fn town(events: usize, customers: usize, terminals: usize, days: i64) -> Payments {
    Payments::new(Town {
        seed: 42,
        customers,
        terminals,
        start: Timestamp(now().0 - days * DAY),
        // A little faster, so that the last of them is not ahead of its arrival.
        per_second: events as f64 / (days as f64 * 86_400.0) * 1.05,
        ..Town::default()
    })
}

/// Payments of which every customer and every terminal has as many.
pub fn evenly(events: usize, entities: usize) -> impl Iterator<Item = Payment> {
    let payments = town(events, entities, entities, 25).take(events);
    payments.enumerate().map(move |(number, payment)| {
        let round = number / entities;
        Payment {
            customer_id: (number % entities) as i64,
            terminal_id: ((number + 7919 * round) % entities) as i64,
            ..payment
        }
    })
}

/// The record: what the features need, and some more that they do not.
pub fn record(payment: &Payment) -> String {
    let mut json = payment.to_json();
    json.truncate(json.len() - 1);
    json.push_str(r#","currency":"EUR","channel":"contactless"}"#);
    json
}

/// Writes payments as JSON lines; gives the bytes.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, payments: impl Iterator<Item = Payment>) -> Result<u64> {
    let file = std::fs::File::create(path).with_context(|| format!("write {}", path.display()))?;
    let mut lines = std::io::BufWriter::new(file);
    let mut bytes = 0;
    for payment in payments {
        let line = record(&payment);
        bytes += line.len() as u64;
        writeln!(lines, "{line}")?;
    }
    lines.flush()?;
    Ok(bytes)
}

/// Sends payments into a topic, keyed by customer.
pub struct Sender {
    producer: BaseProducer,
    topic: String,
}

impl Sender {
    /// Makes a sender; `linger` is how many milliseconds it gathers records.
    ///
    /// # Errors
    /// When the client refuses.
    pub fn new(brokers: &str, topic: &str, linger: &str) -> Result<Sender> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("linger.ms", linger)
            .set("compression.type", "lz4")
            .set("socket.nagle.disable", "true")
            .create()
            .context("make a producer")?;
        Ok(Sender {
            producer,
            topic: topic.to_owned(),
        })
    }

    /// Sends one.
    ///
    /// # Errors
    /// When the client refuses.
    pub fn send(&self, payment: &Payment) -> Result<()> {
        let (key, json) = (payment.customer_id.to_string(), record(payment));
        let mut next = BaseRecord::to(&self.topic).key(&key).payload(&json);
        while let Err((error, refused)) = self.producer.send(next) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("send a record");
            }
            next = refused;
            self.producer.poll(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Lets the client work: call it now and then.
    pub fn poll(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until Kafka has everything.
    ///
    /// # Errors
    /// When that takes longer than a minute.
    pub fn flush(&self) -> Result<()> {
        let flushed = self.producer.flush(Duration::from_mins(1));
        flushed.context("flush the producer")
    }
}

//! The payments and the definitions of all measurements.

use anyhow::Result;
use std::time::{SystemTime, UNIX_EPOCH};
use tiderace_testkit::generate::{Payment, Payments, Town};
use tiderace_tests::project::{Project, Settings, TOPIC};
use tiderace_tests::topic::Sender;
use tiderace_types::Timestamp;

const DAY: i64 = 86_400_000_000;

/// The wall clock.
///
/// # Panics
/// Before 1970.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    Timestamp(since.as_micros() as i64)
}

/// `events` payments over the last `days` days.
#[must_use]
pub fn payments(events: usize, customers: usize, terminals: usize, days: i64) -> Payments {
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

/// Sends payments into the topic, keyed by customer.
///
/// # Errors
/// When Kafka does not take them.
pub fn produce(bootstrap: &str, payments: impl Iterator<Item = Payment>) -> Result<u64> {
    let sender = Sender::new(bootstrap, TOPIC)?;
    let mut count = 0;
    for payment in payments {
        let key = payment.customer_id.to_string();
        sender.send(key.as_bytes(), payment.to_json().as_bytes(), None)?;
        count += 1;
    }
    sender.flush()?;
    Ok(count)
}

/// A project with the example's features.
///
/// # Errors
/// When it cannot be written.
pub fn project(settings: &Settings) -> Result<Project> {
    let stream = match settings.kafka {
        Some(_) => format!("{{ kafka: {{ topic: {TOPIC} }}, format: json }}"),
        None => "embedded".to_owned(),
    };
    Project::with(settings, &DEFINITIONS.replace("$STREAM", &stream))
}

/// The example: two views over one source, each read by a service.
const DEFINITIONS: &str = "\
kind: source
name: card_payments
stream: $STREAM
columns: { tx_id: int64, tx_time: timestamp, customer_id: int64, terminal_id: int64, amount: float64, is_fraud: int64 }
event_time: tx_time
event_id: tx_id
complete_since: beginning
allowed_lateness: 1d
expect:
  - { check: \"amount >= 0\", otherwise: reject }
---
kind: entity
name: customer
keys: { customer_id: int64 }
---
kind: entity
name: terminal
keys: { terminal_id: int64 }
---
kind: feature_view
name: customer_spend
entity: customer
source: card_payments
where: \"amount > 0\"
features:
  - { name: tx_count, aggregate: count, windows: [1d, 7d, 30d] }
  - { name: amount_avg, aggregate: avg, of: amount, windows: [1d, 7d, 30d] }
  - { name: terminals, aggregate: count_distinct, of: terminal_id, windows: [7d] }
  - { name: top_terminals, aggregate: top_n, of: terminal_id, by: \"sum(amount)\", n: 3, windows: [30d] }
---
kind: feature_view
name: terminal_risk
entity: terminal
source: card_payments
features:
  - { name: tx_count, aggregate: count, windows: [1d, 7d, 30d], delay: 7d }
  - { name: risk, aggregate: avg, of: is_fraud, windows: [1d, 7d, 30d], delay: 7d }
---
kind: feature_service
name: spend
features: [\"customer_spend:*\"]
---
kind: feature_service
name: risk
features: [\"terminal_risk:*\"]
";

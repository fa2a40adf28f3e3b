//! Freshness: from just before an event is produced to the first gRPC answer that shows it, under
//! a steady load; beside a pass-through (consume, SET, GET) under the same load, in the same run.
//!
//! One probe at a time: a payment of a customer that nobody else is, asked for without pause
//! until it is counted.

use anyhow::{Context, Result};
use clap::Parser;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_benches::latency::{Latencies, grouped};
use tiderace_benches::{children, scene};
use tiderace_testkit::generate::Payment;
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::project::{Settings, TOPIC};
use tiderace_tests::topic::Sender;
use tiderace_types::Value;

#[derive(Parser)]
struct Arguments {
    /// Events per second beside the probes.
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    rates: Vec<u64>,
    /// How long each measurement goes on.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How many customers the load is of.
    #[arg(long, default_value_t = 50_000)]
    customers: usize,
}

/// Probes are numbered from here, apart from everybody else.
const PROBES: i64 = 1_000_000_000;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let kafka = Kafka::start(1)?;
    kafka.create_topic(TOPIC, 4)?;
    let redis = Redis::start()?;
    let project = scene::project(&Settings {
        kafka: Some(kafka.bootstrap()),
        redis: Some(redis.url()),
        ..Settings::default()
    })?;
    let server = project.run()?;
    let asker = Asker::new(&server.grpc_url())?;
    println!("| load | | probes | p50 | p99 | p99.9 |");
    println!("|---|---|---|---|---|---|");
    let mut next_probe = PROBES;
    for rate in &arguments.rates {
        let mut report =
            |what: &str, seen: &mut dyn FnMut(&Payment) -> Result<bool>| -> Result<()> {
                let latencies = under_load(&kafka, *rate, &arguments, &mut next_probe, seen)?;
                println!(
                    "| {}/s | {what} | {} | {} |",
                    grouped(*rate),
                    latencies.count(),
                    latencies.cells()
                );
                Ok(())
            };
        report("tiderace", &mut |payment| {
            let question = Question {
                as_of: None,
                ..Question::at("spend", payment.customer_id, payment.tx_time)
            };
            let answer = asker.ask(&question)?;
            Ok(answer.value("tx_count_1d") == &Value::Int(1))
        })?;
        let (_floor, _ready) = children::start(
            "floor",
            &["--brokers", &kafka.bootstrap(), "--redis", &redis.url()],
        )?;
        let mut connection = redis::Client::open(redis.url())?.get_connection()?;
        report("floor: consume, SET, GET", &mut |payment| {
            let key = format!("floor:{}", payment.customer_id);
            let found: Option<i64> = redis::cmd("GET").arg(key).query(&mut connection)?;
            Ok(found == Some(payment.tx_id))
        })?;
    }
    server.stop()
}

/// Probes while `rate` events a second are produced beside.
fn under_load(
    kafka: &Kafka,
    rate: u64,
    arguments: &Arguments,
    next_probe: &mut i64,
    seen: &mut dyn FnMut(&Payment) -> Result<bool>,
) -> Result<Latencies> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&kafka.bootstrap(), rate, arguments.customers, &over));
        let probed = probe(kafka, arguments.seconds, next_probe, seen);
        over.store(true, Ordering::Relaxed);
        load.join()
            .map_err(|_| anyhow::anyhow!("the load panicked"))??;
        probed
    })
}

fn probe(
    kafka: &Kafka,
    seconds: u64,
    next_probe: &mut i64,
    seen: &mut dyn FnMut(&Payment) -> Result<bool>,
) -> Result<Latencies> {
    let sender = Sender::prompt(&kafka.bootstrap(), TOPIC)?;
    let mut latencies = Latencies::default();
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        *next_probe += 1;
        let payment = Payment {
            tx_id: *next_probe,
            tx_time: scene::now(),
            customer_id: *next_probe,
            terminal_id: 1,
            cents: 100,
            is_fraud: false,
        };
        let json = payment.to_json();
        let key = payment.customer_id.to_string();
        let began = Instant::now();
        sender.send(key.as_bytes(), json.as_bytes(), None)?;
        while !seen(&payment)? {
            if began.elapsed() > Duration::from_secs(30) {
                anyhow::bail!("a probe was not seen within 30 s");
            }
        }
        latencies.record(began.elapsed());
    }
    Ok(latencies)
}

/// Sends payments of now at a steady rate, a hundredth of a second's worth at a time.
fn load(bootstrap: &str, rate: u64, customers: usize, over: &AtomicBool) -> Result<()> {
    let sender = Sender::new(bootstrap, TOPIC)?;
    let first_id = scene::now().0;
    let mut payments = scene::payments(1_000_000, customers, 10_000, 1);
    let began = Instant::now();
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as i64;
        while sent < due {
            let mut payment = payments.next().context("payments are endless")?;
            payment.tx_id = first_id + sent;
            payment.tx_time = scene::now();
            let key = payment.customer_id.to_string();
            sender.send(key.as_bytes(), payment.to_json().as_bytes(), None)?;
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    sender.flush()
}

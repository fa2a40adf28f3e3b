//! Freshness: from just before an event is produced to the first gRPC answer that shows it,
//! under a steady load; beside a pass-through (consume, SET, GET) under the same load.
//!
//! Each has a topic of its own, so that the one that is not measured stands idle. Probes are
//! payments of customers that nobody else is, sent one at a time and asked for, every 200 µs,
//! until the answer counts them.

use crate::answer::{self, Asker, Service};
use crate::child::Child;
use crate::cores::Cores;
use crate::latency::{Latencies, show};
use crate::payments::{self, Sender};
use crate::project::{Project, Settings, TOPIC};
use crate::table::{self, grouped};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tiderace_serve::proto::value::Kind;
use tiderace_testkit::generate::Payment;
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;

#[derive(Args)]
pub struct Arguments {
    /// Events per second beside the probes.
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    rates: Vec<u64>,
    /// How long each measurement goes on.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How often each is measured; the table has all probes together.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// How many customers the load is of.
    #[arg(long, default_value_t = 50_000)]
    customers: usize,
    /// How long Tiderace may gather rows before it publishes; its own default when absent.
    #[arg(long)]
    publish_deadline: Option<String>,
    /// How often state is committed, as a duration; its own default when absent.
    #[arg(long)]
    commit_interval: Option<String>,
    /// Lets every process use every core.
    #[arg(long)]
    shared: bool,
}

/// Probes are numbered from here, apart from everybody else.
const PROBES: i64 = 1_000_000_000;

/// The topic of the pass-through.
const FLOOR_TOPIC: &str = "floor";

/// A pause between looks, so that looking is not the load.
const LOOK: Duration = Duration::from_micros(200);

/// A pause between probes.
const PROBE: Duration = Duration::from_millis(10);

pub fn run(arguments: &Arguments) -> Result<()> {
    let cores = Cores::divide(arguments.shared)?;
    let kafka = Kafka::start_for_load(1)?;
    kafka.create_topic(TOPIC, 4)?;
    kafka.create_topic(FLOOR_TOPIC, 4)?;
    let redis = Redis::start()?;
    let project = Project::new(&Settings {
        kafka: Some(kafka.bootstrap()),
        redis: Some(redis.url()),
        publish_deadline: arguments.publish_deadline.clone(),
        commit_interval: arguments.commit_interval.clone(),
        ..Settings::default()
    })?;
    let began = Instant::now();
    let mut server = project.launch(&cores)?;
    let mut asker = Asker::new(&server.grpc_url())?;
    asker.wait_caught_up(&mut server, began, Duration::from_mins(1))?;
    let (brokers, url) = (kafka.bootstrap(), redis.url());
    let floor = [
        "pass-through",
        "--brokers",
        &brokers,
        "--topic",
        FLOOR_TOPIC,
        "--redis",
        &url,
    ];
    let floor = Child::start(&cores, &floor)?;
    floor.line(Duration::from_secs(20))?;
    let mut connection = redis::Client::open(url.as_str())?.get_connection()?;

    println!(
        "{} rounds of {} s each, in turns; {}\n",
        arguments.rounds,
        arguments.seconds,
        cores.describe()
    );
    table::head(&[
        "load",
        "",
        "probes",
        "p50",
        "p99",
        "p99.9",
        "events/s in fact",
        "calls refused",
    ]);
    let mut next_probe = PROBES;
    for rate in &arguments.rates {
        let mut of_tiderace = Measured::default();
        let mut of_floor = Measured::default();
        for _ in 0..arguments.rounds {
            let seen = |probe: &Payment| is_counted(&mut asker, probe);
            of_tiderace.round(&brokers, TOPIC, *rate, arguments, &mut next_probe, seen)?;
            let seen = |probe: &Payment| {
                let key = format!("floor:{}", probe.customer_id);
                let found: Option<i64> = redis::cmd("GET").arg(key).query(&mut connection)?;
                Ok(found == Some(probe.tx_id))
            };
            of_floor.round(
                &brokers,
                FLOOR_TOPIC,
                *rate,
                arguments,
                &mut next_probe,
                seen,
            )?;
        }
        of_tiderace.print(*rate, "tiderace: produce → gRPC answer");
        of_floor.print(*rate, "floor: consume, SET, GET");
    }
    // A connection that nobody drives would keep the server waiting for it.
    drop((floor, asker));
    server.stop()
}

/// Asks for the probe's customer; tells whether the payment is counted.
fn is_counted(asker: &mut Asker, probe: &Payment) -> Result<bool> {
    let answer = asker.ask(answer::request(Service::FraudV1, &[probe.customer_id]))?;
    let place = answer::place(&answer, "tx_count_1d")?;
    let row = answer.rows.first().context("one row")?;
    let count = row.values.get(place).and_then(|value| value.kind.as_ref());
    Ok(count == Some(&Kind::Int64Value(1)))
}

/// All rounds of one contender.
#[derive(Default)]
struct Measured {
    latencies: Latencies,
    sent: u64,
    seconds: f64,
}

impl Measured {
    /// Probes while `rate` events a second are produced beside.
    fn round(
        &mut self,
        brokers: &str,
        topic: &str,
        rate: u64,
        arguments: &Arguments,
        next_probe: &mut i64,
        mut seen: impl FnMut(&Payment) -> Result<bool>,
    ) -> Result<()> {
        let over = AtomicBool::new(false);
        let sent = AtomicU64::new(0);
        let began = Instant::now();
        std::thread::scope(|scope| {
            let load = scope.spawn(|| load(brokers, topic, rate, arguments, &over, &sent));
            let probed = self.probe(brokers, topic, arguments.seconds, next_probe, &mut seen);
            self.seconds += began.elapsed().as_secs_f64();
            self.sent += sent.load(Ordering::Relaxed);
            over.store(true, Ordering::Relaxed);
            let loaded = load.join();
            loaded.map_err(|_| anyhow::anyhow!("the load panicked"))??;
            probed
        })
    }

    fn probe(
        &mut self,
        brokers: &str,
        topic: &str,
        seconds: u64,
        next_probe: &mut i64,
        seen: &mut impl FnMut(&Payment) -> Result<bool>,
    ) -> Result<()> {
        let sender = Sender::new(brokers, topic, "0")?;
        // The first second is the load's to begin.
        let from = Instant::now() + Duration::from_secs(1);
        let until = from + Duration::from_secs(seconds);
        while Instant::now() < until {
            *next_probe += 1;
            let probe = Payment {
                tx_id: *next_probe,
                tx_time: payments::now(),
                customer_id: *next_probe,
                terminal_id: *next_probe,
                cents: 100,
                is_fraud: false,
            };
            let began = Instant::now();
            sender.send(&probe)?;
            loop {
                match seen(&probe) {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(_) => self.latencies.refuse(),
                }
                let waited = began.elapsed();
                ensure!(
                    waited < Duration::from_secs(30),
                    "a probe is not seen in 30 s"
                );
                std::thread::sleep(LOOK);
            }
            if began >= from {
                self.latencies.record(began.elapsed());
            }
            sender.poll();
            std::thread::sleep(PROBE);
        }
        Ok(())
    }

    fn print(&self, rate: u64, what: &str) {
        let quantile = |share| show(self.latencies.quantile(share));
        table::row(&[
            format!("{}/s", grouped(rate as f64)),
            what.to_owned(),
            self.latencies.count().to_string(),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            grouped(self.sent as f64 / self.seconds),
            self.latencies.refused().to_string(),
        ]);
    }
}

/// Sends payments of now at a steady rate, some milliseconds' worth at a time.
fn load(
    brokers: &str,
    topic: &str,
    rate: u64,
    arguments: &Arguments,
    over: &AtomicBool,
    sent: &AtomicU64,
) -> Result<()> {
    let sender = Sender::new(brokers, topic, "2")?;
    let first_id = payments::now().0;
    let mut town = payments::town(1_000_000, arguments.customers, 10_000, 1);
    let began = Instant::now();
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as i64;
        while count < due && !over.load(Ordering::Relaxed) {
            let mut payment = town.next().context("payments are endless")?;
            payment.tx_id = first_id + count;
            payment.tx_time = payments::now();
            sender.send(&payment)?;
            count += 1;
        }
        sent.store(count.unsigned_abs(), Ordering::Relaxed);
        sender.poll();
        std::thread::sleep(Duration::from_millis(2));
    }
    sender.flush()
}

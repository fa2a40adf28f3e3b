//! Lookups of one entity with all its features at 1, 16 and 64 in flight, over both online
//! stores; beside a bare tonic echo of the same bytes, and plain GETs of the same rows.
//!
//! A closed loop: each caller asks again as soon as it has its answer. The load neither makes
//! requests anew nor reads answers ([`crate::raw`]); one answer is read and checked before.

use crate::answer::{self, Asker, Service};
use crate::child::Child;
use crate::cores::Cores;
use crate::latency::{Latencies, show};
use crate::payments;
use crate::project::{Project, Settings};
use crate::raw::{PATH, Raw};
use crate::table::{self, grouped, median};
use anyhow::{Context, Result};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use prost::Message;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiderace_testkit::process::Process;
use tiderace_testkit::redis::Redis;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

#[derive(Args)]
pub struct Arguments {
    /// How long each measurement goes on.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// How often each is measured; the table has medians of rates and all latencies together.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// How many are in flight.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    in_flight: Vec<usize>,
    /// How many events there are.
    #[arg(long, default_value_t = 300_000)]
    events: usize,
    /// How many customers and terminals they are of.
    #[arg(long, default_value_t = 5000)]
    customers: usize,
    /// How many customers one request is about.
    #[arg(long, default_value_t = 1)]
    entities: usize,
    /// Which online stores are measured.
    #[arg(long, value_delimiter = ',', default_value = "redis,embedded")]
    stores: Vec<Kind>,
    /// Which services are asked.
    #[arg(long, value_delimiter = ',', default_value = "fraud_v1,wide")]
    services: Vec<String>,
    /// Lets every process use every core.
    #[arg(long)]
    shared: bool,
}

/// An online store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Redis,
    Embedded,
}

/// A view of 50 features, and the service of all of them.
const WIDE: &str = "\
kind: feature_view
name: customer_wide
entity: customer
source: card_payments
features:
  - { name: tx_count, aggregate: count, windows: [1h, 1d, 7d, 14d, 30d] }
  - { name: amount_sum, aggregate: sum, of: amount, windows: [1h, 1d, 7d, 14d, 30d] }
  - { name: amount_avg, aggregate: avg, of: amount, windows: [1h, 1d, 7d, 14d, 30d] }
  - { name: amount_min, aggregate: min, of: amount, windows: [1h, 1d, 7d, 14d, 30d] }
  - { name: amount_max, aggregate: max, of: amount, windows: [1h, 1d, 7d, 14d, 30d] }
  - { name: terminals, aggregate: count_distinct, of: terminal_id, windows: [1h, 1d, 7d, 14d, 30d] }
  - { name: large_count, aggregate: count, where: \"amount > 50\", windows: [1h, 1d, 7d, 14d, 30d] }
  - { name: large_sum, aggregate: sum, of: amount, where: \"amount > 50\", windows: [1h, 1d, 7d, 14d, 30d] }
  - { name: frauds, aggregate: sum, of: is_fraud, windows: [1h, 1d, 7d, 14d, 30d] }
  - { name: last_terminal, aggregate: last, of: terminal_id, windows: [1h, 1d, 7d, 14d, 30d] }
---
kind: feature_service
name: wide
features: [\"customer_wide:*\"]
";

/// The services measured, and how many values each answers.
const SERVICES: [(Service, &str, usize); 2] = [
    (Service::FraudV1, "fraud_v1", 17),
    (Service::Wide, "wide", 50),
];

/// Callers to a connection, up to [`CONNECTIONS`].
const CONNECTIONS: usize = 4;

pub fn run(arguments: &Arguments) -> Result<()> {
    let cores = Cores::divide(arguments.shared)?;
    println!(
        "{} events of {} customers over 30 days, {} of them a request, {} rounds of {} s, in turns; {}\n",
        grouped(arguments.events as f64),
        grouped(arguments.customers as f64),
        arguments.entities,
        arguments.rounds,
        arguments.seconds,
        cores.describe()
    );
    table::head(&[
        "online store",
        "in flight",
        "",
        "requests/s",
        "p50",
        "p99",
        "p99.9",
        "requests/CPU-s",
        "of the echo",
        "refused",
    ]);
    let mut notes = Vec::new();
    for store in &arguments.stores {
        notes.extend(match store {
            Kind::Redis => measure("Redis", Some(&Redis::start()?), arguments, &cores)?,
            Kind::Embedded => measure("embedded", None, arguments, &cores)?,
        });
    }
    println!();
    notes.iter().for_each(|note| println!("{note}"));
    Ok(())
}

fn measure(
    store: &str,
    redis: Option<&Redis>,
    arguments: &Arguments,
    cores: &Cores,
) -> Result<Vec<String>> {
    let project = Project::new(&Settings {
        redis: redis.map(Redis::url),
        more: Some(WIDE),
        ..Settings::default()
    })?;
    let town = payments::town(
        arguments.events,
        arguments.customers,
        arguments.customers,
        30,
    );
    let file = project.folder().join("payments.jsonl");
    payments::write(&file, town.take(arguments.events))?;
    project.replay(&file)?;
    let began = Instant::now();
    let mut server = project.launch(cores)?;
    let mut asker = Asker::new(&server.grpc_url())?;
    asker.wait_caught_up(&mut server, began, Duration::from_mins(3))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut notes = Vec::new();
    let url = server.grpc_url();
    let wanted = |name: &str| arguments.services.iter().any(|service| service == name);
    for (service, name, width) in SERVICES.into_iter().filter(|(_, name, _)| wanted(name)) {
        let some = group(1, arguments);
        let found = asker.insist(&answer::request(service, &some))?;
        answer::check(&found, width)?;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("answer");
        std::fs::write(&path, found.encode_to_vec())?;
        let path = path.to_str().context("a name that is text")?;
        let echo = Child::start(cores, &["echo", "--answer", path])?;
        let echo_url = format!("http://127.0.0.1:{}", echo.line(Duration::from_secs(10))?);
        notes.push(format!(
            "{store}, {name}: {width} values in an answer of {} bytes; resident memory {} MiB",
            found.encoded_len(),
            server.usage()?.resident >> 20
        ));
        let questions = questions(service, arguments);
        for in_flight in &arguments.in_flight {
            let mut asked = Measured::default();
            let mut echoed = Measured::default();
            for _ in 0..arguments.rounds {
                let asking = load(&url, *in_flight, arguments.seconds, &questions);
                asked.round(&runtime, Some(server.process()), asking)?;
                let echoing = load(&echo_url, *in_flight, arguments.seconds, &questions);
                echoed.round(&runtime, Some(&echo.process), echoing)?;
            }
            asked.print(
                store,
                *in_flight,
                &format!("tiderace {name}"),
                Some(&echoed),
            );
            echoed.print(store, *in_flight, "echo of the same bytes", None);
        }
    }
    if let Some(redis) = redis {
        for in_flight in &arguments.in_flight {
            let mut got = Measured::default();
            for _ in 0..arguments.rounds {
                got.round(
                    &runtime,
                    None,
                    load_redis(redis, *in_flight, arguments.seconds),
                )?;
            }
            got.print(store, *in_flight, "plain GETs of rows", None);
        }
    }
    // Connections that nobody drives would keep the server waiting for them.
    drop((asker, runtime));
    server.stop()?;
    Ok(notes)
}

/// A request that begins with every customer, encoded.
fn questions(service: Service, arguments: &Arguments) -> Arc<Vec<Bytes>> {
    let encode = |first| {
        let request = answer::request(service, &group(first, arguments));
        request.encode_to_vec().into()
    };
    Arc::new((0..arguments.customers).map(encode).collect())
}

/// The customers of one request.
fn group(first: usize, arguments: &Arguments) -> Vec<i64> {
    let customers = (0..arguments.entities).map(|next| first + 37 * next);
    customers
        .map(|customer| (customer % arguments.customers) as i64)
        .collect()
}

/// All rounds of one contender.
#[derive(Default)]
struct Measured {
    latencies: Latencies,
    rates: Vec<f64>,
    per_processor: Vec<f64>,
}

/// What one round has counted: latencies, and the seconds they took.
type Counted = Result<(Latencies, f64)>;

impl Measured {
    fn round(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        process: Option<&Process>,
        load: impl Future<Output = Counted>,
    ) -> Result<()> {
        let processor = || process.map(Process::usage).transpose();
        let before = processor()?;
        let (latencies, seconds) = runtime.block_on(load)?;
        let count = latencies.count() as f64;
        self.rates.push(count / seconds);
        if let (Some(before), Some(after)) = (before, processor()?) {
            let spent = after.processor.saturating_sub(before.processor);
            self.per_processor
                .push(count / spent.as_secs_f64().max(0.01));
        }
        self.latencies.add(&latencies);
        Ok(())
    }

    fn print(&self, store: &str, in_flight: usize, what: &str, echo: Option<&Measured>) {
        let quantile = |share| show(self.latencies.quantile(share));
        let per_processor = median(self.per_processor.clone());
        table::row(&[
            store.to_owned(),
            in_flight.to_string(),
            what.to_owned(),
            grouped(median(self.rates.clone())),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            match self.per_processor.is_empty() {
                true => String::new(),
                false => grouped(per_processor),
            },
            echo.map_or(String::new(), |echo| {
                let ratio = per_processor / median(echo.per_processor.clone());
                format!("{ratio:.2}")
            }),
            self.latencies.refused().to_string(),
        ]);
    }
}

/// Asks a server, over a few connections.
async fn load(url: &str, in_flight: usize, seconds: u64, questions: &Arc<Vec<Bytes>>) -> Counted {
    let mut channels = Vec::new();
    for _ in 0..in_flight.min(CONNECTIONS) {
        let endpoint = Channel::from_shared(url.to_owned())?.tcp_nodelay(true);
        channels.push(endpoint.connect().await?);
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..in_flight {
        let mut client = tonic::client::Grpc::new(channels[caller % channels.len()].clone());
        let questions = Arc::clone(questions);
        callers.spawn(async move {
            let path = PathAndQuery::from_static(PATH);
            let mut latencies = Latencies::default();
            let mut next = caller * 7919;
            while Instant::now() < until {
                next = (next + 104_729) % questions.len();
                let request = tonic::Request::new(questions[next].clone());
                let asked = Instant::now();
                client.ready().await?;
                match client.unary(request, path.clone(), Raw).await {
                    Ok(_) => latencies.record(asked.elapsed()),
                    Err(_) => latencies.refuse(),
                }
            }
            anyhow::Ok(latencies)
        });
    }
    gather(callers, began).await
}

/// Plain GETs of the rows that lookups read, over as many connections.
async fn load_redis(redis: &Redis, in_flight: usize, seconds: u64) -> Counted {
    let client = redis::Client::open(redis.url())?;
    let mut connections = Vec::new();
    for _ in 0..in_flight.min(CONNECTIONS) {
        connections.push(client.get_multiplexed_async_connection().await?);
    }
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS")
        .arg("tr:bench:r*")
        .query_async(&mut connections[0])
        .await?;
    let keys = Arc::new(keys);
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..in_flight {
        let mut connection = connections[caller % connections.len()].clone();
        let keys = Arc::clone(&keys);
        callers.spawn(async move {
            let mut latencies = Latencies::default();
            let mut next = caller * 7919;
            while Instant::now() < until {
                next = (next + 104_729) % keys.len();
                let asked = Instant::now();
                let row: Vec<u8> = redis::cmd("GET")
                    .arg(&keys[next])
                    .query_async(&mut connection)
                    .await?;
                anyhow::ensure!(!row.is_empty(), "a row is gone");
                latencies.record(asked.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    gather(callers, began).await
}

async fn gather(mut callers: tokio::task::JoinSet<Result<Latencies>>, began: Instant) -> Counted {
    let mut all = Latencies::default();
    while let Some(latencies) = callers.join_next().await {
        all.add(&latencies??);
    }
    Ok((all, began.elapsed().as_secs_f64()))
}

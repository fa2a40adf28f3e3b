//! Lookups of one entity with all its features at 1, 16 and 64 in flight, against both online
//! stores; beside a bare tonic echo of the same bytes, in the same run.
//!
//! A closed loop: each of the callers asks again as soon as it has its answer. Callers,
//! server and store share the machine.

use anyhow::{Context, Result};
use clap::Parser;
use prost::Message;
use std::time::{Duration, Instant};
use tiderace_benches::latency::{Latencies, grouped};
use tiderace_benches::{children, scene};
use tiderace_serve::proto::feature_store_client::FeatureStoreClient;
use tiderace_serve::proto::{GetOnlineFeaturesRequest, GetOnlineFeaturesResponse};
use tiderace_testkit::redis::Redis;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input;
use tiderace_tests::project::Settings;
use tiderace_types::Timestamp;
use tonic::transport::Channel;

#[derive(Parser)]
struct Arguments {
    /// How long each measurement goes on.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// How many are in flight.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    in_flight: Vec<usize>,
    /// How many events there are.
    #[arg(long, default_value_t = 300_000)]
    events: usize,
    /// How many customers they are of.
    #[arg(long, default_value_t = 5000)]
    customers: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!("| online store | in flight | | requests/s | p50 | p99 | p99.9 |");
    println!("|---|---|---|---|---|---|---|");
    let redis = Redis::start()?;
    measure("Redis", Some(redis.url()), &arguments)?;
    measure("embedded", None, &arguments)
}

fn measure(store: &str, redis: Option<String>, arguments: &Arguments) -> Result<()> {
    let project = scene::project(&Settings {
        redis,
        ..Settings::default()
    })?;
    let payments = scene::payments(arguments.events, arguments.customers, 10_000, 30);
    let lines: Vec<Vec<u8>> = payments
        .take(arguments.events)
        .map(|payment| payment.to_json().into_bytes())
        .collect();
    let file = project.folder().join("payments.jsonl");
    input::write_lines(&file, lines.iter().map(Vec::as_slice))?;
    project.replay(&file, "customer_id")?;
    let server = project.run()?;
    Asker::new(&server.grpc_url())?.wait_caught_up_in(&["spend", "risk"])?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let answer = runtime.block_on(one_answer(&server.grpc_url()))?;
    let folder = tempfile::tempdir()?;
    let bytes = folder.path().join("answer");
    std::fs::write(&bytes, answer.encode_to_vec())?;
    let path = bytes.to_str().context("a name that is text")?;
    let (_echo, port) = children::start("echo", &["--answer", path])?;
    let echo = format!("http://127.0.0.1:{port}");
    for in_flight in &arguments.in_flight {
        for (what, url) in [("tiderace", server.grpc_url()), ("echo", echo.clone())] {
            let (latencies, elapsed) = runtime.block_on(load(&url, *in_flight, arguments))?;
            let rate = latencies.count() as f64 / elapsed.as_secs_f64();
            println!(
                "| {store} | {in_flight} | {what} | {} | {} |",
                grouped(rate as u64),
                latencies.cells()
            );
        }
    }
    println!(
        "\n{store}: an answer has {} bytes; tiderace uses {} MiB\n",
        answer.encoded_len(),
        server.usage()?.resident >> 20
    );
    server.stop()
}

fn request(customer: i64) -> GetOnlineFeaturesRequest {
    let question = Question {
        as_of: None,
        ..Question::at("spend", customer, Timestamp(0))
    };
    GetOnlineFeaturesRequest {
        include_metadata: false,
        ..question.request()
    }
}

async fn client(url: &str) -> Result<FeatureStoreClient<Channel>> {
    let endpoint = Channel::from_shared(url.to_owned())?.tcp_nodelay(true);
    Ok(FeatureStoreClient::new(endpoint.connect().await?))
}

async fn one_answer(url: &str) -> Result<GetOnlineFeaturesResponse> {
    Ok(client(url)
        .await?
        .get_online_features(request(1))
        .await?
        .into_inner())
}

/// Asks for a second to warm up, then for as long as is measured.
async fn load(url: &str, in_flight: usize, arguments: &Arguments) -> Result<(Latencies, Duration)> {
    let begin = Instant::now() + Duration::from_secs(1);
    let end = begin + Duration::from_secs(arguments.seconds);
    let customers = arguments.customers as i64;
    let mut callers = tokio::task::JoinSet::new();
    let mut channel = client(url).await?;
    for caller in 0..in_flight {
        if caller % 16 == 0 && caller > 0 {
            channel = client(url).await?;
        }
        let mut client = channel.clone();
        callers.spawn(async move {
            let mut latencies = Latencies::default();
            let mut customer = caller as i64 * 7919;
            while Instant::now() < end {
                customer = (customer + 104_729) % customers;
                let asked = Instant::now();
                client.get_online_features(request(customer)).await?;
                if asked >= begin {
                    latencies.record(asked.elapsed());
                }
            }
            anyhow::Ok(latencies)
        });
    }
    let mut all = Latencies::default();
    while let Some(latencies) = callers.join_next().await {
        all.add(&latencies??);
    }
    Ok((all, begin.elapsed()))
}

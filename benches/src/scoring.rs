//! Push and get: from just before a payment is sent to the answer that has it in, durable by then, with the embedded
//! log and store; beside a write and sync of the same bytes to a file on the same disk, a push alone and a
//! lookup alone, in turns, under a steady load of other pushes.

use crate::answer::{self, Asker, Service};
use crate::cores::Cores;
use crate::latency::{Latencies, show};
use crate::payments;
use crate::project::{Project, Settings};
use crate::table;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_serve::proto::push_and_get_response::Answer;
use tiderace_serve::proto::value::Kind;
use tiderace_testkit::generate::Payment;

#[derive(Args)]
pub struct Arguments {
    /// Events per second that are pushed beside.
    #[arg(long, value_delimiter = ',', default_value = "0,1000")]
    rates: Vec<u64>,
    /// How long each is measured a round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often each is measured; the table has all rounds together.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Lets every process use every core.
    #[arg(long)]
    shared: bool,
}

const SOURCE: &str = "card_payments";

/// How many customers there are, and how many payments of theirs.
const CUSTOMERS: usize = 5_000;
const EVENTS: usize = 100_000;

/// Payments that are scored are numbered from here.
const FIRST: i64 = 1_000_000_000;

/// A pause between calls, so that calling is not the load.
const PAUSE: Duration = Duration::from_millis(2);

pub fn run(arguments: &Arguments) -> Result<()> {
    let cores = Cores::divide(arguments.shared)?;
    let project = Project::new(&Settings::default())?;
    let began = Instant::now();
    let mut server = project.launch(&cores)?;
    let url = server.grpc_url();
    let mut asker = Asker::new(&url)?;
    asker.wait_caught_up(&mut server, began, Duration::from_mins(1))?;
    let past = payments::town(EVENTS, CUSTOMERS, CUSTOMERS, 25).take(EVENTS);
    let past = past.map(|payment| payments::record(&payment).into_bytes());
    asker.push(SOURCE, past.collect())?;
    asker.wait_caught_up(&mut server, Instant::now(), Duration::from_mins(5))?;
    let mut file = File::create(project.folder().join("floor"))?;

    println!(
        "{} rounds of {} s each, in turns; {}\n",
        arguments.rounds,
        arguments.seconds,
        cores.describe()
    );
    table::head(&["pushed beside", "", "calls", "p50", "p99", "p99.9"]);
    let mut next = FIRST;
    for rate in &arguments.rates {
        let mut all = [(); 4].map(|()| Latencies::default());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let load = scope.spawn(|| load(&url, *rate, &over));
            let measured: Result<()> = (0..arguments.rounds).try_for_each(|_| {
                for (what, latencies) in all.iter_mut().enumerate() {
                    let until = Instant::now() + Duration::from_secs(arguments.seconds);
                    while Instant::now() < until {
                        next += 1;
                        let payment = payment(next);
                        let began = Instant::now();
                        match what {
                            0 => sync(&mut file, &payment)?,
                            1 => asker.push(SOURCE, vec![payments::record(&payment).into()])?,
                            2 => look(&mut asker, &payment)?,
                            _ => score(&mut asker, &payment)?,
                        }
                        latencies.record(began.elapsed());
                        std::thread::sleep(PAUSE);
                    }
                }
                Ok(())
            });
            over.store(true, Ordering::Relaxed);
            let loaded = load.join();
            loaded.map_err(|_| anyhow::anyhow!("the load panicked"))??;
            measured
        })?;
        let names = [
            "floor: write and sync of the same bytes",
            "push alone",
            "lookup alone",
            "push and get",
        ];
        for (name, latencies) in names.iter().zip(&all) {
            let quantile = |share| show(latencies.quantile(share));
            table::row(&[
                format!("{rate}/s"),
                (*name).to_owned(),
                latencies.count().to_string(),
                quantile(0.5),
                quantile(0.99),
                quantile(0.999),
            ]);
        }
        let [floor, _, _, scored] = &all;
        let over = |share| {
            let over = scored.quantile(share).as_secs_f64() - floor.quantile(share).as_secs_f64();
            format!("{:.2} ms", over * 1e3)
        };
        println!(
            "\nOver the floor: {} at p50, {} at p99.\n",
            over(0.5),
            over(0.99)
        );
    }
    drop(asker);
    server.stop()
}

/// A payment of now, by nobody who has paid before.
fn payment(id: i64) -> Payment {
    Payment {
        tx_id: id,
        tx_time: payments::now(),
        customer_id: id,
        terminal_id: id % CUSTOMERS as i64,
        cents: 1_250,
        is_fraud: false,
    }
}

fn sync(file: &mut File, payment: &Payment) -> Result<()> {
    file.write_all(payments::record(payment).as_bytes())?;
    file.sync_data().context("sync the floor's file")
}

fn look(asker: &mut Asker, payment: &Payment) -> Result<()> {
    let customer = payment.customer_id % CUSTOMERS as i64;
    let answer = asker.ask(answer::request(Service::FraudV1, &[customer]))?;
    ensure!(!answer.rows.is_empty(), "an answer without rows");
    Ok(())
}

/// Pushes and gets; the answer has the payment in it, which is the customer's first.
fn score(asker: &mut Asker, payment: &Payment) -> Result<()> {
    let get = answer::request(Service::FraudV1, &[payment.customer_id]);
    let response = asker.push_and_get(SOURCE, payments::record(payment).into(), get)?;
    ensure!(response.refused.is_empty(), "{:?}", response.refused);
    let Some(Answer::Features(features)) = response.answer else {
        bail!("no features: {:?}", response.answer);
    };
    let place = answer::place(&features, "tx_count_1d")?;
    let row = features.rows.first().context("one row")?;
    let count = row.values.get(place).and_then(|value| value.kind.as_ref());
    ensure!(count == Some(&Kind::Int64Value(1)), "{count:?} payments");
    Ok(())
}

/// Pushes payments of now at a steady rate until it is over.
fn load(url: &str, rate: u64, over: &AtomicBool) -> Result<()> {
    let mut asker = Asker::new(url)?;
    let mut town = payments::town(1_000_000, CUSTOMERS, CUSTOMERS, 1);
    let (began, first) = (Instant::now(), payments::now().0);
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as i64;
        let mut events = Vec::new();
        while count < due && events.len() < 100 {
            let mut payment = town.next().context("payments are endless")?;
            payment.tx_id = first + count;
            payment.tx_time = payments::now();
            events.push(payments::record(&payment).into_bytes());
            count += 1;
        }
        asker.push(SOURCE, events)?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

//! How fast what Redis has lost is there again: every row after a FLUSHALL, of one server and of
//! every server of a cluster; and the last writes after a failover that lost them.
//!
//! Every process may use every core: it is the whole that is measured.

use crate::answer::{self, Asker, Service};
use crate::cores::Cores;
use crate::payments;
use crate::project::{Project, Settings};
use crate::table::{self, grouped};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::time::{Duration, Instant};
use tiderace_serve::proto::{GetOnlineFeaturesResponse, Status};
use tiderace_testkit::bin::Server;
use tiderace_testkit::generate::Payment;
use tiderace_testkit::redis::{Cluster, Redis};

#[derive(Args)]
pub struct Arguments {
    /// How many rows there are; half of them customers', half terminals'.
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// How many events an entity has.
    #[arg(long, default_value_t = 2)]
    per_entity: usize,
    /// Threads that advance state.
    #[arg(long, default_value_t = 2)]
    lanes: usize,
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How often a failover is measured; 0 for never.
    #[arg(long, default_value_t = 3)]
    failovers: usize,
}

const WITHIN: Duration = Duration::from_mins(10);

pub fn run(arguments: &Arguments) -> Result<()> {
    println!(
        "{} rows of {} events, {} lanes\n",
        grouped(arguments.rows as f64),
        arguments.per_entity,
        arguments.lanes
    );
    table::head(&["what", "rows", "seconds of each round", "rows/s, median"]);
    let redis = Redis::start()?;
    flushed("one server, FLUSHALL", arguments, &redis.url(), &[&redis])?;
    drop(redis);
    let settings = ["--cluster-replica-validity-factor", "0"];
    let mut cluster = Cluster::start(3, 1, &settings)?;
    failed_over(arguments, &mut cluster)
}

/// Every row after every server was emptied; gives what goes on running.
fn flushed(what: &str, arguments: &Arguments, url: &str, servers: &[&Redis]) -> Result<Scene> {
    let mut scene = Scene::new(arguments, url)?;
    let rows = rows_in(servers)?;
    ensure!(rows >= arguments.rows, "{rows} rows are published");
    let mut seconds = Vec::new();
    for _ in 0..arguments.rounds {
        let began = Instant::now();
        for server in servers {
            server.flush()?;
        }
        while rows_in(servers)? < rows {
            ensure!(began.elapsed() < WITHIN, "{}", scene.server.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        seconds.push(began.elapsed().as_secs_f64());
        scene.wait_right(began)?;
    }
    let shown: Vec<String> = seconds.iter().map(|s| format!("{s:.1}")).collect();
    table::row(&[
        what.to_owned(),
        grouped(rows as f64),
        shown.join(", "),
        grouped(rows as f64 / table::median(seconds)),
    ]);
    Ok(scene)
}

/// From the kill of a master, whose last writes its replica has not seen, until every answer is
/// right again and nothing is stale.
fn failed_over(arguments: &Arguments, cluster: &mut Cluster) -> Result<()> {
    let masters = cluster.masters()?;
    let servers: Vec<&Redis> = masters
        .iter()
        .map(|place| &cluster.nodes()[*place])
        .collect();
    let what = "three masters with a replica each, FLUSHALL on all";
    let mut scene = flushed(what, arguments, &cluster.url(), &servers)?;
    let mut seconds = Vec::new();
    for round in 0..arguments.failovers {
        cluster.wait_ready()?;
        let master = cluster.masters()?[round % 3];
        let replica = cluster.replica_of(master)?;
        cluster.node(replica).pause();
        cluster.nodes()[master].command(&["CLIENT", "KILL", "TYPE", "replica"])?;
        scene.push(10_000)?;
        let began = Instant::now();
        cluster.node(master).kill();
        cluster.node(replica).resume();
        // Until then what was true before the failure may still be said.
        cluster.wait_ready()?;
        scene.wait_right(began)?;
        seconds.push(began.elapsed().as_secs_f64());
        cluster.node(master).restart()?;
    }
    if !seconds.is_empty() {
        let shown: Vec<String> = seconds.iter().map(|s| format!("{s:.1}")).collect();
        println!(
            "\na failover that loses the last 10,000 payments: right again after {} s \
             (node timeout 2 s)",
            shown.join(", ")
        );
    }
    Ok(())
}

/// A server that has published every row.
struct Scene {
    server: Server,
    asker: Asker,
    payments: Box<dyn Iterator<Item = Payment>>,
    _project: Project,
}

impl Scene {
    fn new(arguments: &Arguments, url: &str) -> Result<Scene> {
        let project = Project::new(&Settings {
            redis: Some(url.to_owned()),
            lanes: arguments.lanes,
            ..Settings::default()
        })?;
        let entities = arguments.rows / 2;
        let events = entities * arguments.per_entity;
        let mut payments: Box<dyn Iterator<Item = Payment>> =
            Box::new(payments::evenly(events + events / 10 + 1_000_000, entities));
        let file = project.folder().join("payments.jsonl");
        payments::write(&file, payments.by_ref().take(events))?;
        project.replay(&file)?;
        std::fs::remove_file(&file)?;
        let began = Instant::now();
        let mut server = project.launch(&Cores::Shared)?;
        let mut asker = Asker::new(&server.grpc_url())?;
        asker.wait_caught_up(&mut server, began, WITHIN)?;
        Ok(Scene {
            server,
            asker,
            payments,
            _project: project,
        })
    }

    /// Pushes payments more and waits until they show.
    fn push(&mut self, count: usize) -> Result<()> {
        let began = Instant::now();
        let payloads = self.payments.by_ref().take(count);
        let payloads = payloads.map(|payment| payments::record(&payment).into_bytes());
        self.asker.push("card_payments", payloads.collect())?;
        self.asker.wait_caught_up(&mut self.server, began, WITHIN)
    }

    /// Waits until answers about a thousand customers are complete, and everything that was in
    /// the source at `since` is in them.
    fn wait_right(&mut self, since: Instant) -> Result<()> {
        self.asker.wait_caught_up(&mut self.server, since, WITHIN)?;
        let customers: Vec<i64> = (0..500).collect();
        let request = answer::request(Service::FraudV1, &customers);
        loop {
            let answered = self.asker.ask(request.clone());
            if answered.as_ref().is_ok_and(is_whole) {
                return Ok(());
            }
            ensure!(
                since.elapsed() < WITHIN,
                "{answered:?}\n{}",
                self.server.log()
            );
        }
    }
}

fn is_whole(answer: &GetOnlineFeaturesResponse) -> bool {
    answer.rows.iter().all(|row| {
        let unknown = [Status::Unavailable, Status::OutsideHistory, Status::Error];
        // Answers of a young source warm up; what is stale is told apart.
        let stale = row.completeness.iter().any(|bits| bits & 2 != 0);
        !stale && !row.statuses().any(|status| unknown.contains(&status))
    })
}

/// How many rows there are: all keys but markers and receipts.
fn rows_in(servers: &[&Redis]) -> Result<usize> {
    let mut rows = 0;
    for server in servers {
        let keys = server.command(&["DBSIZE"])?;
        rows += keys.parse::<usize>().context("DBSIZE")?;
    }
    Ok(rows)
}

//! A full disk: what cannot be kept is refused or waits, answers stay and say how old they are, and
//! when there is room again everything goes on by itself.
//!
//! The state lies on a small tmpfs. Without the right to mount one this is skipped, loudly.

use std::fs;
use std::time::{Duration, Instant};
use tiderace_testkit::bin::Server;
use tiderace_testkit::generate::{Record, Town, records};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::ask::Asker;
use tiderace_tests::disk::Disk;
use tiderace_tests::oracle::{Oracle, SERVICES};
use tiderace_tests::project::{PAST, Project, Settings, TOPIC};
use tiderace_tests::topic::Sender;
use tiderace_tests::traffic::{TROUBLE, Traffic, first_copies, town};
use tiderace_types::Timestamp;

const WITHIN: Duration = Duration::from_secs(60);

/// Everything is embedded and on the full disk: the log, the state, and what is served.
#[test]
fn everything_on_a_full_disk() {
    let project = project(None, None);
    let Some(disk) = Disk::mount(&project.folder().join("state"), "48m") else {
        return;
    };
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let all = records(&town(5), TROUBLE, 9000);
    let last = first_copies(&all).map(|payment| payment.time).max();
    let last = last.expect("payments");
    let mut chunks = all.chunks(100);
    let mut oracle = Oracle::default();
    for chunk in chunks.by_ref().take(20) {
        asker.push(payloads(chunk)).expect("push");
        first_copies(chunk).for_each(|payment| oracle.add(payment));
    }
    converges(&asker, &server, &oracle, last, "the first payments");
    for round in 0..rounds() {
        disk.fill();
        let mut refused = Vec::new();
        let full = wait::until("a refused push", WITHIN, || {
            let Some(chunk) = chunks.next() else {
                return true;
            };
            match asker.push(payloads(chunk)) {
                Ok(_) => first_copies(chunk).for_each(|payment| oracle.add(payment)),
                Err(_) => refused.push(chunk),
            }
            !refused.is_empty()
        });
        full.unwrap_or_else(|late| panic!("round {round}: {late}\n{}", server.log()));
        assert!(!refused.is_empty(), "the disk was never full");
        // What was acknowledged is answered, or said to be late; nothing else is.
        for question in oracle.questions(&SERVICES, last) {
            let answer = asker.ask(&question).expect("serving stays up");
            if answer.is_complete() {
                assert_eq!(oracle.fault(&question, &answer), None);
            }
        }
        disk.clear();
        let since = Instant::now();
        for chunk in refused {
            // Not there, or there unacknowledged: it counts once all the same.
            let pushed = wait::until("a push again", WITHIN, || {
                asker.push(payloads(chunk)).is_ok()
            });
            pushed.unwrap_or_else(|late| panic!("round {round}: {late}\n{}", server.log()));
            first_copies(chunk).for_each(|payment| oracle.add(payment));
        }
        converges(&asker, &server, &oracle, last, "a full disk");
        let seconds = since.elapsed().as_secs_f64();
        eprintln!("embedded, round {round}: right again {seconds:.1} s after there was room");
    }
    server.kill();
    let server = project.run().expect("run again");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    converges(&asker, &server, &oracle, last, "a restart");
    server.stop().expect("stop");
}

/// Only the state is on the full disk: consuming waits, Kafka keeps what comes.
#[test]
fn state_on_a_full_disk() {
    let kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic(TOPIC, 3).expect("topic");
    let redis = Redis::start().expect("redis");
    let project = project(Some(kafka.bootstrap()), Some(redis.url()));
    let Some(disk) = Disk::mount(&project.folder().join("state"), "48m") else {
        return;
    };
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let sender = Sender::new(&kafka.bootstrap(), TOPIC).expect("sender");
    // Few, so that some rows are dense and can be answered by their lane alone, which waits for room.
    let town = Town {
        customers: 20,
        terminals: 6,
        ..town(6)
    };
    let mut traffic = Traffic::new(&town, TROUBLE, 8000 + 4000 * rounds(), 3);
    let last = traffic.last;
    traffic.send(&sender, 5000).expect("send");
    converges(&asker, &server, &traffic.oracle, last, "the first payments");
    for round in 0..rounds() {
        let waits = || server.log().matches("cannot be stored").count();
        let before = waits();
        disk.fill();
        let full = wait::until("a commit that finds no room", WITHIN, || {
            traffic.send(&sender, 50).expect("send");
            waits() > before
        });
        full.unwrap_or_else(|late| panic!("round {round}: {late}\n{}", server.log()));
        admits(&asker, &server, &traffic.oracle, last);
        disk.clear();
        let since = Instant::now();
        converges(&asker, &server, &traffic.oracle, last, "a full disk");
        let seconds = since.elapsed().as_secs_f64();
        let again = server.log().matches("it was opened again").count();
        eprintln!(
            "state, round {round}: right again {seconds:.1} s after there was room, opened again {again} times until now"
        );
    }
    server.kill();
    let server = project.run().expect("run again");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    converges(&asker, &server, &traffic.oracle, last, "a restart");
    server.stop().expect("stop");
}

fn project(kafka: Option<String>, redis: Option<String>) -> Project {
    let settings = Settings {
        kafka,
        redis,
        source: format!("{PAST}max_lag: 2s\n"),
        history: "all",
        lanes: 2,
        ..Settings::default()
    };
    let project = Project::new(&settings).expect("project");
    let path = project.folder().join("tiderace.yaml");
    let text = fs::read_to_string(&path).expect("read");
    // Little memory, so that no more of the log of state is set aside than it needs.
    let text = text.replace("lanes: 2", "lanes: 2, commit_interval: 320ms, memory: 8MiB");
    fs::write(&path, text).expect("write");
    project
}

/// Waits until answers say that they are old. Until then and while they do, none that claims to be
/// complete is wrong, and there are answers.
fn admits(asker: &Asker, server: &Server, oracle: &Oracle, last: Timestamp) {
    let questions = oracle.questions(&SERVICES, last);
    let mut turn = 0;
    let admitted = wait::until("stale answers", WITHIN, || {
        turn += 1;
        let question = &questions[turn * 7 % questions.len()];
        let answer = asker.ask(question).expect("serving stays up");
        !answer.is_complete()
    });
    admitted.unwrap_or_else(|late| panic!("{late}\n{}", server.log()));
}

fn converges(asker: &Asker, server: &Server, oracle: &Oracle, last: Timestamp, after: &str) {
    let questions = oracle.questions(&SERVICES, last);
    let right = oracle.wait_right(asker, &questions, WITHIN);
    right.unwrap_or_else(|late| panic!("after {after}: {late:#}\n{}", server.log()));
}

fn payloads(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(Record::payload).collect()
}

/// How often the disk is filled: more at night.
fn rounds() -> usize {
    match std::env::var_os("TIDERACE_NIGHTLY").is_some_and(|value| !value.is_empty()) {
        true => 20,
        false => 2,
    }
}

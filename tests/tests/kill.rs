//! kill -9 at random points, again and again, while payments come: every answer is that of
//! a recount in the end, every row that of a run without kills, every bad record a dead letter,
//! and the ledger exact. The points come from a seed, which is printed.

use std::collections::BTreeMap;
use std::time::Instant;
use tiderace_testkit::bin::Server;
use tiderace_testkit::generate::{Dice, Record, Town, Trouble, records};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::dead_letter;
use tiderace_tests::ledger;
use tiderace_tests::oracle::Oracle;
use tiderace_tests::project::{PAST, Project, Settings, TOPIC};
use tiderace_tests::rows;
use tiderace_tests::topic::Sender;
use tiderace_tests::traffic::{self, TROUBLE, Traffic, first_copies};
use tiderace_types::Duration;

#[test]
fn with_kafka_and_redis() {
    let seed = seed();
    let mut kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic(TOPIC, PARTITIONS as u32).expect("topic");
    let redis = Redis::start().expect("redis");
    let settings = Settings {
        kafka: Some(kafka.bootstrap()),
        redis: Some(redis.url()),
        source: PAST.to_owned(),
        history: "all",
        lanes: 3,
        ..Settings::default()
    };
    let project = Project::new(&settings).expect("project");
    let kills = kills();
    let records = 20_000.max(kills * 150);
    // As many as keep rows sparse: of dense ones a server that has Redis alone does not answer as of
    // instants long ago.
    let town = Town {
        customers: records * 150 / 20_000,
        terminals: records * 120 / 20_000,
        ..traffic::town(seed)
    };
    let mut traffic = Traffic::new(&town, TROUBLE, records, PARTITIONS);
    let sender = Sender::new(&kafka.bootstrap(), TOPIC).expect("sender");
    let mut dice = Dice::new(seed);
    let started = Instant::now();
    for kill in 0..kills {
        let mut server = project.launch().expect("launch");
        let killed_at = Instant::now() + random_life(&mut dice);
        // Records come all the time, so that there is something to do wherever the kill falls.
        let portion = traffic.left() / (kills - kill) / 8;
        while Instant::now() < killed_at {
            traffic.send(&sender, portion.max(1)).expect("send");
            if dice.chance(0.3) {
                // Whether it answers does not matter.
                let _ = server.get("/ready");
            }
            if kill == kills / 2 && kafka_dies(&mut kafka, &mut server) {
                break;
            }
        }
        server.kill();
    }
    eprintln!("{kills} kills in {} s", started.elapsed().as_secs());
    traffic.send(&sender, usize::MAX).expect("send");

    let server = project.run().expect("run");
    check(&server, &traffic.oracle, seed);
    check_rows(&redis, &traffic, &settings, seed);
    let expected = &traffic.letters;
    let found = dead_letter::of_topic(&kafka.bootstrap(), TOPIC, expected.len());
    assert_eq!(&found.expect("dead letters"), expected, "dead letters");
    check_ledger(&server, &traffic);
    server.stop().expect("stop");
}

const PARTITIONS: usize = 4;

/// From 0.1 to 3 seconds.
fn random_life(dice: &mut Dice) -> std::time::Duration {
    std::time::Duration::from_millis(100 + dice.below(2900))
}

/// Kafka itself dies and comes back, under a server that has opened its topic.
fn kafka_dies(kafka: &mut Kafka, server: &mut Server) -> bool {
    server.wait_ready().expect("ready");
    kafka.kill();
    kafka.restart().expect("kafka again");
    true
}

/// Every row in Redis is that of a run without kills, and readers of Redis alone are answered right.
fn check_rows(redis: &Redis, traffic: &Traffic, settings: &Settings, seed: u64) {
    let reader = Project::new(settings).expect("a project to serve from");
    let serving = reader.serve().expect("serve");
    check(&serving, &traffic.oracle, seed);
    serving.stop().expect("stop");

    let clean_redis = Redis::start().expect("redis");
    let clean = Project::new(&Settings {
        redis: Some(clean_redis.url()),
        ..settings.clone()
    });
    let server = clean.expect("project").run().expect("a run without kills");
    check(&server, &traffic.oracle, seed);
    server.stop().expect("stop");
    rows::assert_alike(redis, &clean_redis);
}

/// The ledger holds each record once, however often it was read.
fn check_ledger(server: &Server, traffic: &Traffic) {
    let expected = traffic.ledger();
    let mut found = BTreeMap::new();
    let exact = wait::until(
        "an exact ledger",
        std::time::Duration::from_secs(20),
        || {
            found = ledger::of(server, "card_payments").expect("a ledger that balances");
            found == expected
        },
    );
    exact.unwrap_or_else(|late| panic!("{late}: {found:?}, not {expected:?}"));
    eprintln!("the ledger: {found:?}");
}

#[test]
fn embedded() {
    let seed = seed();
    let project = Project::new(&Settings {
        source: PAST.to_owned(),
        history: "all",
        ..Settings::default()
    });
    let project = project.expect("project");
    let records = stream(seed);
    let mut dice = Dice::new(seed);
    let mut chunks = records.chunks(200).peekable();
    for _ in 0..rounds() {
        let mut server = project.run().expect("run");
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        for _ in 0..1 + dice.index(12) {
            // What was acknowledged is not sent again; a push that the kill
            // interrupts is, and what of it was kept counts once all the same.
            if let Some(chunk) = chunks.peek()
                && asker.push(payloads(chunk)).is_ok()
            {
                chunks.next();
            }
        }
        live_a_little(&mut server, &mut dice);
        if let Some(chunk) = chunks.peek() {
            // The answer to this push is never waited for.
            let payloads = payloads(chunk);
            std::thread::scope(|scope| {
                scope.spawn(|| asker.push(payloads));
                live_a_little(&mut server, &mut dice);
                server.kill();
            });
        }
    }
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    for chunk in chunks {
        asker.push(payloads(chunk)).expect("push");
    }
    server.stop().expect("stop");
    let server = project.run().expect("run");
    check(&server, &Oracle::new(first_copies(&records)), seed);
    server.stop().expect("stop");
}

/// Asks about every entity at three instants.
fn check(server: &Server, oracle: &Oracle, seed: u64) {
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.wait_caught_up().expect("caught up");
    let times = oracle.times();
    let last = *times.iter().max().expect("payments");
    let mut dice = Dice::new(seed ^ 1);
    let mut questions = Vec::new();
    for service in ["spend", "habits", "risk"] {
        for entity in oracle.entities(service) {
            let some = times[dice.index(times.len())];
            let later = last.plus(Duration::from_secs(5 * 86_400));
            for at in [some, last, later] {
                questions.push(Question::at(service, entity, at));
            }
        }
    }
    let answers = asker.ask_all(&questions).expect("answers");
    oracle.assert_all(&questions, &answers);
}

fn stream(seed: u64) -> Vec<Record> {
    let town = Town {
        seed,
        customers: 150,
        terminals: 120,
        per_second: 0.01,
        ..Town::default()
    };
    let trouble = Trouble {
        disorder: Duration::from_secs(3 * 86_400),
        duplicates: 0.1,
        broken: 0.02,
    };
    records(&town, trouble, 20_000)
}

fn payloads(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(Record::payload).collect()
}

/// Lets the server be for a random while: not at all, a few glances, or until it is ready.
fn live_a_little(server: &mut Server, dice: &mut Dice) {
    if dice.chance(0.2) {
        return;
    }
    if dice.chance(0.7) {
        server.wait_ready().expect("ready");
    }
    for _ in 0..dice.index(60) {
        // Whether it answers does not matter; only that it costs some time.
        let _ = server.get("/ready");
    }
}

/// How often it is killed: `TIDERACE_KILLS`, or 30, at night 200.
fn kills() -> usize {
    let given = std::env::var("TIDERACE_KILLS").ok();
    let usual = if at_night() { 200 } else { 30 };
    given.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How often the one without Kafka is killed.
fn rounds() -> usize {
    if at_night() { 60 } else { 8 }
}

fn at_night() -> bool {
    std::env::var_os("TIDERACE_NIGHTLY").is_some_and(|value| !value.is_empty())
}

/// `TIDERACE_SEED`, or always the same one.
fn seed() -> u64 {
    let given = std::env::var("TIDERACE_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok()).unwrap_or(20_260);
    eprintln!("TIDERACE_SEED={seed}");
    seed
}

//! kill -9 at random points, again and again, while payments come: every answer is that of
//! a recount in the end. The points come from a seed, which is printed.

use tiderace_testkit::bin::Server;
use tiderace_testkit::generate::{Dice, Record, Town, Trouble, records};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input::{Payment, made_up};
use tiderace_tests::oracle::Oracle;
use tiderace_tests::project::{PAST, Project, Settings, TOPIC};
use tiderace_tests::topic::Sender;
use tiderace_types::Duration;

#[test]
fn with_kafka_and_redis() {
    let seed = seed();
    let mut kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic(TOPIC, 4).expect("topic");
    let redis = Redis::start().expect("redis");
    let project = Project::new(&Settings {
        kafka: Some(kafka.bootstrap()),
        redis: Some(redis.url()),
        source: PAST.to_owned(),
        history: "all",
        lanes: 3,
        ..Settings::default()
    });
    let project = project.expect("project");
    let records = stream(seed);
    let sender = Sender::new(&kafka.bootstrap(), TOPIC).expect("sender");
    let mut dice = Dice::new(seed);
    let rounds = rounds();
    for (round, chunk) in records.chunks(records.len() / rounds + 1).enumerate() {
        let mut server = project.launch().expect("launch");
        live_a_little(&mut server, &mut dice);
        for record in chunk {
            // A copy may come by any partition.
            let partition = match record {
                Record::Copy(_) => i32::try_from(dice.below(4)).ok(),
                _ => None,
            };
            let sent = sender.send(&record.key(), &record.payload(), partition);
            sent.expect("send");
        }
        if round == rounds / 2 {
            // Kafka itself dies, under a server that has opened its topic.
            server.wait_ready().expect("ready");
            sender.flush().expect("flush");
            kafka.kill();
            kafka.restart().expect("kafka again");
        }
        live_a_little(&mut server, &mut dice);
        server.kill();
    }
    sender.flush().expect("flush");
    check(&project, &records, seed);
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
    check(&project, &records, seed);
}

/// Starts once more, and asks about every entity at three instants.
fn check(project: &Project, records: &[Record], seed: u64) {
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.wait_caught_up().expect("caught up");
    let payments: Vec<Payment> = records.iter().filter_map(first_copy).collect();
    let times: Vec<_> = payments.iter().map(|payment| payment.time).collect();
    let last = *times.iter().max().expect("payments");
    let oracle = Oracle::new(payments);
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
    server.stop().expect("stop");
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

fn first_copy(record: &Record) -> Option<Payment> {
    match record {
        Record::Payment(payment) => Some(made_up(payment)),
        Record::Copy(_) | Record::Broken(..) => None,
    }
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

/// How often it is killed: more at night.
fn rounds() -> usize {
    if std::env::var_os("TIDERACE_NIGHTLY").is_some_and(|value| !value.is_empty()) {
        60
    } else {
        8
    }
}

/// `TIDERACE_SEED`, or always the same one.
fn seed() -> u64 {
    let given = std::env::var("TIDERACE_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok()).unwrap_or(20_260);
    eprintln!("TIDERACE_SEED={seed}");
    seed
}

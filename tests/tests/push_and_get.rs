//! The features of the very event that is scored: pushed and asked in one call, with it or without it, held
//! against a recount, by the embedded log and by Kafka, of entities with few events and with many.

use tiderace_serve::proto::EventsInAnswer::{self, Excluded, Included};
use tiderace_serve::proto::Status;
use tiderace_testkit::generate::{Dice, Payments, Town};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input::{Payment, made_up, now};
use tiderace_tests::oracle::Oracle;
use tiderace_tests::project::{Project, Settings, TOPIC};
use tiderace_types::{Duration, Value};

/// What the source is: nothing is too late, and no answer is called stale for a slow machine.
const SOURCE: &str = "complete_since: beginning\nallowed_lateness: 60d\nmax_lag: 60s\n";

const DAY: i64 = 86_400_000_000;
const DAYS: i64 = 40;

/// How many payments there are before: enough for every entity to be dense.
const BEFORE: usize = 3_000;

/// How many are scored.
const SCORED: usize = 150;

/// How long what was pushed may take to be published.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// The first number of those that are scored.
const FIRST: i64 = 1_000_000_000;

#[test]
fn scored_payments_count_once_embedded() {
    embedded(true);
}

#[test]
fn scored_payments_count_once_embedded_without_ids() {
    embedded(false);
}

fn embedded(with_ids: bool) {
    let settings = Settings {
        source: SOURCE.to_owned(),
        history: "0s",
        ..Settings::default()
    };
    let project = Project::with(&settings, &definitions(&settings, with_ids)).expect("project");
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    check(&asker, with_ids);
    server.stop().expect("stop");
}

/// The views that are recounted, over events with ids or without.
fn definitions(settings: &Settings, with_ids: bool) -> String {
    let definitions = settings.definitions();
    match with_ids {
        true => definitions,
        false => definitions.replace("event_id: tx_id\n", ""),
    }
}

/// Who answers and takes events is another process than who counts, and knows an event without an id by where
/// Kafka has put it.
#[test]
fn scored_payments_count_once_with_kafka_and_redis() {
    let kafka = Kafka::start(1).expect("kafka");
    let settings = [("max.message.bytes", "30000")];
    kafka.create_topic_with(TOPIC, 4, &settings).expect("topic");
    let redis = Redis::start().expect("redis");
    let settings = Settings {
        kafka: Some(kafka.bootstrap()),
        redis: Some(redis.url()),
        source: SOURCE.to_owned(),
        history: "0s",
        lanes: 2,
        ..Settings::default()
    };
    let project = Project::with(&settings, &definitions(&settings, false)).expect("project");
    let worker = project.worker().expect("worker");
    let server = project.serve().expect("serve");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    check(&asker, false);
    pushed_at_once(&server.grpc_url(), &asker);
    server.stop().expect("stop");
    worker.stop().expect("stop");
}

/// Pushes that go to Kafka together count each by itself; one that the topic does not take fails alone.
fn pushed_at_once(url: &str, asker: &Asker) {
    const THREADS: i64 = 8;
    const PUSHES: i64 = 25;
    let pay = |id: i64| Payment {
        id,
        time: now(),
        customer: 2 * FIRST,
        terminal: 1,
        amount: 2.0,
        is_fraud: 0,
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let asker = Asker::new(url).expect("connect");
                for push in 0..PUSHES {
                    let payment = pay(2 * FIRST + thread * PUSHES + push);
                    if thread == 0 && push % 5 == 0 {
                        let mut dice = Dice::new(push as u64);
                        let mut large = payment.to_json();
                        large.extend((0..200_000).map(|_| b" \t\r\n"[dice.below(4) as usize]));
                        let refused = asker
                            .push(vec![large])
                            .expect_err("too large for the topic");
                        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
                    }
                    assert_eq!(asker.push(vec![payment.to_json()]).expect("push"), 1);
                }
            });
        }
    });
    let question = Question::at("spend", 2 * FIRST, now());
    let counted = |asker: &Asker| {
        let question = Question {
            as_of: None,
            ..question.clone()
        };
        asker
            .ask(&question)
            .expect("an answer")
            .value("tx_count_1d")
            .clone()
    };
    let all = Value::Int(THREADS * PUSHES);
    wait::until("all payments", WITHIN, || counted(asker) == all).expect("they count");
    asker.wait_caught_up().expect("caught up");
    assert_eq!(counted(asker), all);
}

/// Scores payments one by one. With ids some are sent twice.
fn check(asker: &Asker, with_ids: bool) {
    let mut town = Payments::new(Town {
        customers: 5,
        terminals: 4,
        per_second: BEFORE as f64 / (DAYS * DAY / 1_000_000) as f64,
        start: now().minus(Duration(DAYS * DAY)),
        ..Town::default()
    });
    let past: Vec<Payment> = town.by_ref().take(BEFORE).map(|p| made_up(&p)).collect();
    let mut oracle = Oracle::new(past.iter().copied());
    for chunk in past.chunks(1_000) {
        let payloads = chunk.iter().map(Payment::to_json).collect();
        asker.push(payloads).expect("push");
    }
    asker.wait_caught_up().expect("caught up");

    let mut dice = Dice::new(11);
    let (mut told, mut untold) = (0, 0);
    for (number, mut payment) in town.map(|p| made_up(&p)).take(SCORED).enumerate() {
        let before = match dice.below(6) {
            0 => dice.below(DAY as u64) as i64,
            _ => 0,
        };
        payment.id = FIRST + number as i64;
        payment.time = now().minus(Duration(before));
        if dice.below(4) == 0 {
            // Somebody new.
            payment.customer = FIRST + number as i64;
        }
        let service = ["spend", "habits", "risk"][dice.below(3) as usize];
        let calls: &[EventsInAnswer] = match (dice.below(3), with_ids) {
            (0, true) => &[Excluded, Included, Excluded],
            (0, false) => &[Excluded],
            (1, true) => &[Included, Included],
            _ => &[Included],
        };
        let key = match service {
            "risk" => payment.terminal,
            _ => payment.customer,
        };
        // What was scored before is published by now.
        wait::until("what was scored before", WITHIN, || {
            let question = Question::at(service, key, now());
            oracle.fault_now(asker, &[question]).is_none()
        })
        .expect("it is published");
        let mut without = oracle.clone();
        oracle.add(payment);
        for events in calls {
            let mut question = Question::at(service, key, payment.time);
            question.as_of = None;
            let payload = vec![payment.to_json()];
            let answered = asker.push_and_get(payload, &question, *events);
            let (answer, as_of) = answered.expect("an answer");
            assert!(as_of >= payment.time, "{as_of}, before {payment:?}");
            question.as_of = Some(as_of);
            // A payment of hours ago lies in what dense rows hold merged, and so does one of a moment ago for once.
            if answer.statuses.contains(&Status::Unavailable) {
                untold += 1;
                continue;
            }
            told += 1;
            let oracle = match events {
                Excluded => &mut without,
                _ => &mut oracle,
            };
            if let Some(fault) = oracle.fault(&question, &answer) {
                panic!("{events:?} of {calls:?}, {payment:?}, {before} µs ago: {fault}");
            }
        }
    }
    eprintln!("{told} answers were right, {untold} could not be told");
    assert!(untold * 4 < told, "{untold} of {told}");
    asker.wait_caught_up().expect("caught up");
    let questions = oracle.questions(&["spend", "habits", "risk"], now());
    let answers = asker.ask_all(&questions).expect("answers");
    oracle.assert_all(&questions, &answers);
}

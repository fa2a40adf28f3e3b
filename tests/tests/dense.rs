//! An entity with tens of thousands of events is served as exactly as one with ten: busy, idle,
//! after a kill, at now, and as of earlier instants, which only the owner's state can answer.

use std::time::Instant;
use tiderace_testkit::generate::{Dice, Payments, Town};
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input::{made_up, now};
use tiderace_tests::oracle::Oracle;
use tiderace_tests::project::{PAST, Project, Settings};
use tiderace_types::{Duration, Timestamp};

const DAY: i64 = 86_400_000_000;
const EVENTS: usize = 40_000;
const DAYS: i64 = 40;

#[test]
fn dense_entities_are_exact() {
    let project = Project::new(&Settings {
        source: PAST.to_owned(),
        history: "0s",
        ..Settings::default()
    });
    let project = project.expect("project");
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let span = DAYS * DAY;
    let mut payments = Payments::new(Town {
        customers: 3,
        terminals: 4,
        per_second: EVENTS as f64 / (span / 1_000_000) as f64,
        start: now().minus(Duration(span)),
        ..Town::default()
    });
    let mut oracle = Oracle::default();
    let mut dice = Dice::new(7);
    // Somewhat out of order, as events come.
    let mut past: Vec<_> = payments.by_ref().take(EVENTS).collect();
    for at in 0..past.len() {
        let with = (at + dice.below(200) as usize).min(past.len() - 1);
        past.swap(at, with);
    }
    for chunk in past.chunks(2_000) {
        for payment in chunk {
            oracle.add(made_up(payment));
        }
        let payloads = chunk.iter().map(|p| p.to_json().into_bytes()).collect();
        asker.push(payloads).expect("push");
    }
    asker.wait_caught_up().expect("caught up");
    check(&asker, &oracle, now());
    // Nothing comes, and the windows move on, over several anchors.
    let idle = Instant::now();
    while idle.elapsed().as_secs() < 5 {
        check(&asker, &oracle, now());
    }
    for _ in 0..5 {
        let before = dice.below(span.unsigned_abs()) as i64;
        check(&asker, &oracle, now().minus(Duration(before)));
    }
    server.kill();

    let server = project.run().expect("run again");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.wait_caught_up().expect("caught up again");
    check(&asker, &oracle, now());
    // Late ones and new ones.
    for _ in 0..5 {
        let mut payload = Vec::new();
        for mut payment in payments.by_ref().take(20) {
            let before = match dice.below(2) {
                0 => dice.below(span.unsigned_abs()) as i64,
                _ => 0,
            };
            payment.tx_time = Timestamp(now().minus(Duration(before)).0 / 1000 * 1000);
            oracle.add(made_up(&payment));
            payload.push(payment.to_json().into_bytes());
        }
        asker.push(payload).expect("push");
        asker.wait_caught_up().expect("caught up with more");
        check(&asker, &oracle, now());
    }
    server.stop().expect("stop");
}

/// Nobody cuts a dense row anew once its owner is gone. What a server that has Redis alone answers is right
/// until it says that it is old, and it does say so.
#[test]
fn without_their_owner_dense_entities_turn_stale() {
    let redis = Redis::start().expect("redis");
    let settings = Settings {
        redis: Some(redis.url()),
        source: format!("{PAST}max_lag: 2s\n"),
        history: "0s",
        ..Settings::default()
    };
    let project = Project::new(&settings).expect("project");
    let reader = Project::new(&settings).expect("a project to serve from");
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    // Longer than the longest window twice over.
    let span = 2 * DAYS * DAY;
    let payments: Vec<_> = Payments::new(Town {
        customers: 1,
        terminals: 1,
        per_second: EVENTS as f64 / 10.0 / (span / 1_000_000) as f64,
        start: now().minus(Duration(span)),
        ..Town::default()
    })
    .take_while(|payment| payment.tx_time < now())
    .collect();
    assert!(payments.len() > 3000, "{}", payments.len());
    let payloads = payments.iter().map(|p| p.to_json().into_bytes()).collect();
    asker.push(payloads).expect("push");
    asker.wait_caught_up().expect("caught up");
    let oracle = Oracle::new(payments.iter().map(made_up));
    let serving = reader.serve().expect("serve");
    let alone = Asker::new(&serving.grpc_url()).expect("connect");
    alone.wait_caught_up().expect("caught up");
    let customer = oracle.entities("spend")[0];
    // What the row that is published holds merged it does not answer, and does not say is not there.
    let mut dice = Dice::new(9);
    for _ in 0..200 {
        let before = Duration(dice.below(span.unsigned_abs()) as i64);
        let question = Question::at("spend", customer, now().minus(before));
        let answer = alone.ask(&question).expect("an answer");
        if answer.is_complete() {
            assert_eq!(oracle.fault(&question, &answer), None);
        }
    }
    server.kill();
    let (mut right, mut stale) = (0, 0);
    wait::until("stale answers", WITHIN, || {
        let question = Question::at("spend", customer, now());
        let answer = alone.ask(&question).expect("an answer");
        match answer.is_complete() {
            true => {
                assert_eq!(oracle.fault(&question, &answer), None);
                right += 1;
            }
            false => {
                let bits = answer.completeness.iter().all(|bits| bits & STALE != 0);
                assert!(bits, "{answer:?}");
                stale += 1;
            }
        }
        stale >= 10
    })
    .expect("it is said");
    assert!(right > 0, "nothing was right before");
    serving.stop().expect("stop");
}

const WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// The bit of completeness that says so.
const STALE: u32 = 2;

/// Holds every answer about every entity as of `at` against a recount.
fn check(asker: &Asker, oracle: &Oracle, at: Timestamp) {
    for service in ["spend", "risk", "habits"] {
        let entities = oracle.entities(service).into_iter();
        let questions: Vec<Question> = entities
            .map(|entity| Question::at(service, entity, at))
            .collect();
        let answers = asker.ask_all(&questions).expect("answers");
        oracle.assert_all(&questions, &answers);
    }
}

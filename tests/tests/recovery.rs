//! How long after kill -9 the first right answer comes, with many keys: 20,000, at night a million,
//! or `TIDERACE_KEYS`. It is printed.

use std::io::Write;
use std::time::{Duration, Instant};
use tiderace_testkit::generate::{Dice, Payments, Town};
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input::{Payment, made_up};
use tiderace_tests::oracle::Oracle;
use tiderace_tests::project::{PAST, Project, Settings};

/// Generous: other tests run meanwhile.
const WITHIN: Duration = Duration::from_secs(60);

/// How often it is killed.
const KILLS: usize = 3;

/// Entities that are asked about after each kill.
const ASKED: usize = 50;

#[test]
fn with_redis() {
    let redis = Redis::start().expect("redis");
    recover("redis", Some(redis.url()));
}

#[test]
fn embedded() {
    recover("embedded", None);
}

fn recover(what: &str, redis: Option<String>) {
    let keys = keys();
    let project = Project::new(&Settings {
        redis,
        source: PAST.to_owned(),
        history: "all",
        lanes: 2,
        ..Settings::default()
    });
    let project = project.expect("project");
    // Each payment is of another customer; what is asked about has more.
    let file = project.folder().join("payments.jsonl");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&file).expect("create"));
    let mut asked: Vec<Payment> = Vec::new();
    let town = Town {
        customers: 1000,
        ..Town::default()
    };
    for (number, mut payment) in Payments::new(town).take(keys).enumerate() {
        payment.customer_id = number as i64;
        payment.terminal_id = (number % (keys / 20)) as i64;
        writeln!(out, "{}", payment.to_json()).expect("write");
        if number % (keys / ASKED) == 0 {
            asked.push(made_up(&payment));
        }
    }
    out.flush().expect("write");
    project.replay(&file, "customer_id").expect("replay");
    let mut oracle = Oracle::new(asked.iter().copied());
    let mut server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.wait_caught_up_in(&["spend"]).expect("caught up");
    let mut dice = Dice::new(3);
    for kill in 0..KILLS {
        // A little that is in no commit yet.
        let customer = asked[dice.index(asked.len())];
        let more = Payment {
            id: 10_000_000_000 + kill as i64,
            ..customer
        };
        asker.push(vec![json(&more)]).expect("push");
        oracle.add(more);
        server.kill();
        let since = Instant::now();
        server = project.launch().expect("launch");
        let questions: Vec<Question> = asked
            .iter()
            .map(|payment| Question::at("spend", payment.customer, payment.time))
            .collect();
        let mut fault = None;
        let right = |question: &Question, fault: &mut Option<String>| {
            *fault = match asker.ask(question) {
                Ok(answer) => oracle.fault(question, &answer),
                Err(error) => Some(format!("{error:#}")),
            };
            fault.is_none()
        };
        let first = wait::until("the first right answer", WITHIN, || {
            right(&questions[0], &mut fault)
        });
        first.unwrap_or_else(|late| panic!("{late}: {fault:?}\n{}", server.log()));
        let first = since.elapsed().as_secs_f64();
        let all = wait::until("right answers", WITHIN, || {
            questions.iter().all(|question| right(question, &mut fault))
        });
        all.unwrap_or_else(|late| panic!("{late}: {fault:?}\n{}", server.log()));
        let all = since.elapsed().as_secs_f64();
        eprintln!(
            "{what}, {keys} keys: the first right answer {first:.2} s after the start that follows kill -9, all {ASKED} after {all:.2} s"
        );
    }
    server.stop().expect("stop");
}

fn json(payment: &Payment) -> Vec<u8> {
    format!(
        "{{\"tx_id\":{},\"tx_time\":\"{}\",\"customer_id\":{},\"terminal_id\":{},\"amount\":{},\"is_fraud\":{}}}",
        payment.id, payment.time, payment.customer, payment.terminal, payment.amount, payment.is_fraud
    )
    .into_bytes()
}

fn keys() -> usize {
    let given = std::env::var("TIDERACE_KEYS").ok();
    let at_night = std::env::var_os("TIDERACE_NIGHTLY").is_some_and(|value| !value.is_empty());
    let usual = if at_night { 1_000_000 } else { 20_000 };
    given.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

//! Half a year of card payments through the whole product, every answer of a week checked.
//!
//! With the published data set: against the features that others have published for it,
//! payment by payment, and terminals against a recount. Without it: made-up payments,
//! all against a recount. Once with real Kafka and Redis, once embedded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use tempfile::TempDir;
use tiderace_testkit::generate::{Payments, Town};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;
use tiderace_tests::answer::Answer;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input::{self, Payment, Published};
use tiderace_tests::oracle::{Oracle, recount};
use tiderace_tests::project::{PAST, Project, Settings, TOPIC};
use tiderace_types::{Duration, Value};

const WEEK_OF_MADE_UP: i64 = 7;

#[test]
fn every_payment_of_a_week_with_kafka_and_redis() {
    let kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic(TOPIC, 4).expect("topic");
    let redis = Redis::start().expect("redis");
    check(&Settings {
        kafka: Some(kafka.bootstrap()),
        redis: Some(redis.url()),
        source: PAST.to_owned(),
        history: "all",
        lanes: 2,
        ..Settings::default()
    });
}

#[test]
fn every_payment_of_a_week_embedded() {
    check(&Settings {
        source: PAST.to_owned(),
        history: "all",
        ..Settings::default()
    });
}

/// The payments, where they are in a file, and of which of them to ask.
struct Input {
    file: PathBuf,
    payments: Vec<Payment>,
    asked: Vec<Payment>,
    published: Option<BTreeMap<i64, Published>>,
    _folder: Option<TempDir>,
}

fn check(settings: &Settings) {
    let input = input();
    let project = Project::new(settings).expect("project");
    let said = project.replay(&input.file, "customer_id").expect("replay");
    eprintln!("{said}");
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.wait_caught_up().expect("caught up");

    let oracle = Oracle::new(input.payments.iter().copied());
    check_customers(&input, &oracle, &asker);
    check_terminals(&input, &oracle, &asker);
    check_habits(&input, &oracle, &asker);
    server.stop().expect("stop");
}

fn check_customers(input: &Input, oracle: &Oracle, asker: &Asker) {
    let about = |payment: &Payment| Question::at("spend", payment.customer, payment.time);
    let questions: Vec<Question> = input.asked.iter().map(about).collect();
    let answers = asker.ask_all(&questions).expect("answers");
    let mut unlike_published = BTreeSet::new();
    for ((payment, question), answer) in input.asked.iter().zip(&questions).zip(&answers) {
        assert!(answer.is_complete(), "{question:?}: {answer:?}");
        let recounted = [1, 7, 30].map(|size| {
            let size = Duration::from_secs(size * 86_400);
            recount(
                oracle.of(question),
                payment.time,
                size,
                Duration::ZERO,
                |p| p.amount,
            )
        });
        let counts = recounted.map(|(count, _)| count);
        let averages = recounted.map(|(_, average)| average.expect("it counts itself"));
        assert!(
            agrees(answer, counts, averages),
            "{question:?}: {answer:?}, not {recounted:?}"
        );
        if let Some(published) = &input.published {
            let row = published[&payment.id];
            if !agrees(answer, row.counts, row.averages) {
                unlike_published.insert(payment.id);
            }
        }
    }
    if input.published.is_some() {
        let in_all = first_of_two_in_a_second(&input.payments, oracle);
        assert_eq!(
            in_all.len(),
            29,
            "such payments are known to be in the data set"
        );
        let predicted = first_of_two_in_a_second(&input.asked, oracle);
        assert_eq!(
            unlike_published, predicted,
            "payments unlike the published features"
        );
        eprintln!(
            "{} answers like the published ones, {} as predicted not",
            answers.len() - predicted.len(),
            predicted.len()
        );
    }
}

/// The payments whose published row cannot count a later payment of the same customer in
/// the same second, because it was made row by row.
fn first_of_two_in_a_second(asked: &[Payment], oracle: &Oracle) -> BTreeSet<i64> {
    let has_later_twin = |payment: &&Payment| {
        let question = Question::at("spend", payment.customer, payment.time);
        let twins = oracle.of(&question).iter();
        twins
            .filter(|other| other.time == payment.time)
            .any(|other| other.id > payment.id)
    };
    asked
        .iter()
        .filter(has_later_twin)
        .map(|payment| payment.id)
        .collect()
}

fn agrees(answer: &Answer, counts: [i64; 3], averages: [f64; 3]) -> bool {
    let sizes = ["1d", "7d", "30d"];
    sizes
        .iter()
        .zip(counts)
        .zip(averages)
        .all(|((size, count), average)| {
            let counted = answer.value(&format!("tx_count_{size}")) == &Value::Int(count);
            let averaged = match answer.value(&format!("amount_avg_{size}")) {
                Value::Float(found) => (found - average).abs() <= 1e-9 * average.abs(),
                _ => false,
            };
            counted && averaged
        })
}

fn check_terminals(input: &Input, oracle: &Oracle, asker: &Asker) {
    let about = |payment: &Payment| Question::at("risk", payment.terminal, payment.time);
    let questions: Vec<Question> = input.asked.iter().map(about).collect();
    let answers = asker.ask_all(&questions).expect("answers");
    let week = Duration::from_secs(7 * 86_400);
    for (question, answer) in questions.iter().zip(&answers) {
        assert!(answer.is_complete(), "{question:?}: {answer:?}");
        let as_of = question.as_of.expect("asked with an instant");
        for days in [1, 7, 30] {
            let size = Duration::from_secs(days * 86_400);
            let (count, risk) = recount(oracle.of(question), as_of, size, week, |p| {
                p.is_fraud as f64
            });
            let found = answer.value(&format!("tx_count_{days}d_delay_7d"));
            assert_eq!(found, &Value::Int(count), "{question:?} {days}d");
            let found = answer.value(&format!("risk_{days}d_delay_7d"));
            let expected = risk.map_or(Value::Null, Value::Float);
            let agree = tiderace_testkit::naive::agree(found, &expected);
            assert!(agree, "{question:?} {days}d: {found}, not {expected}");
        }
    }
}

/// Everything else that the definitions have, for some of the payments and a microsecond before each.
fn check_habits(input: &Input, oracle: &Oracle, asker: &Asker) {
    let step = (input.asked.len() / 300).max(1);
    let questions: Vec<Question> = input
        .asked
        .iter()
        .step_by(step)
        .flat_map(|payment| {
            let before = payment.time.minus(Duration(1));
            [payment.time, before].map(|at| Question::at("habits", payment.customer, at))
        })
        .collect();
    let answers = asker.ask_all(&questions).expect("answers");
    oracle.assert_all(&questions, &answers);
}

fn input() -> Input {
    match input::published() {
        Some(folder) => published(&folder),
        None => made_up(),
    }
}

fn published(folder: &std::path::Path) -> Input {
    let file = folder.join("card_payments.parquet");
    let payments = input::read_payments(&file).expect("payments");
    let rows = folder.join("card_payments_expected_week.parquet");
    let published: BTreeMap<i64, Published> = input::read_published(&rows)
        .expect("published features")
        .into_iter()
        .map(|row| (row.id, row))
        .collect();
    let asked: Vec<Payment> = payments
        .iter()
        .filter(|payment| published.contains_key(&payment.id))
        .copied()
        .collect();
    assert_eq!(
        asked.len(),
        published.len(),
        "payments with published features"
    );
    Input {
        file,
        payments,
        asked,
        published: Some(published),
        _folder: None,
    }
}

fn made_up() -> Input {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("card_payments.jsonl");
    let town = Town {
        seed: 9,
        customers: 500,
        terminals: 300,
        per_second: 0.02,
        ..Town::default()
    };
    let payments: Vec<_> = Payments::new(town).take(100_000).collect();
    let lines: Vec<Vec<u8>> = payments.iter().map(|p| p.to_json().into_bytes()).collect();
    input::write_lines(&file, lines.iter().map(Vec::as_slice)).expect("write");
    let payments: Vec<Payment> = payments.iter().map(input::made_up).collect();
    let last = payments[payments.len() - 1].time;
    let week = Duration::from_secs(WEEK_OF_MADE_UP * 86_400);
    let asked = payments
        .iter()
        .filter(|p| p.time > last.minus(week))
        .copied()
        .collect();
    Input {
        file,
        payments,
        asked,
        published: None,
        _folder: Some(folder),
    }
}

//! An owner that is paused, replaced and woken: nothing old wins, and it stops by itself.

use std::time::Duration;
use tiderace_testkit::generate::{Record, Town, Trouble, records};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::process::Signal;
use tiderace_testkit::redis::Redis;
use tiderace_tests::ask::Asker;
use tiderace_tests::input::{Payment, made_up};
use tiderace_tests::oracle::{Oracle, SERVICES};
use tiderace_tests::project::{PAST, Project, Settings, TOPIC};
use tiderace_tests::topic::Sender;

#[test]
fn a_woken_owner_changes_nothing_and_stops() {
    let kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic(TOPIC, 3).expect("topic");
    let redis = Redis::start().expect("redis");
    let settings = Settings {
        kafka: Some(kafka.bootstrap()),
        redis: Some(redis.url()),
        source: PAST.to_owned(),
        history: "all",
        ..Settings::default()
    };
    let town = Town {
        customers: 80,
        terminals: 60,
        ..Town::default()
    };
    let records = records(&town, Trouble::NONE, 6_000);
    let (before, after) = records.split_at(records.len() / 2);
    let sender = Sender::new(&kafka.bootstrap(), TOPIC).expect("sender");

    let old_home = Project::new(&settings).expect("project");
    let mut old = old_home.run().expect("the old owner");
    send(&sender, before);
    let asker = Asker::new(&old.grpc_url()).expect("connect");
    asker.wait_caught_up().expect("caught up");
    old.process().signal(Signal::Pause);

    let new_home = Project::new(&settings).expect("project");
    let new = new_home.run().expect("the new owner");
    send(&sender, after);
    let asker = Asker::new(&new.grpc_url()).expect("connect");
    asker.wait_caught_up().expect("caught up");
    check(&asker, &records);

    // Woken, it has half the payments behind it and all its publications before it.
    old.process().signal(Signal::Resume);
    let ended = old
        .process()
        .wait(Duration::from_secs(60))
        .expect("the old owner stops");
    assert!(
        !ended.success(),
        "a fenced owner ends in an error\n{}",
        old.log()
    );
    assert!(
        old.log().contains("another process has published"),
        "{}",
        old.log()
    );
    check(&asker, &records);
    new.stop().expect("stop");
}

fn send(sender: &Sender, records: &[Record]) {
    for record in records {
        sender
            .send(&record.key(), &record.payload(), None)
            .expect("send");
    }
    sender.flush().expect("flush");
}

/// Asks about every entity at the last payment's instant.
fn check(asker: &Asker, records: &[Record]) {
    let payments: Vec<Payment> = records
        .iter()
        .filter_map(|record| match record {
            Record::Payment(payment) => Some(made_up(payment)),
            Record::Copy(_) | Record::Broken(..) => None,
        })
        .collect();
    let last = payments
        .iter()
        .map(|payment| payment.time)
        .max()
        .expect("payments");
    let oracle = Oracle::new(payments);
    let questions = oracle.questions(&SERVICES, last);
    let answers = asker.ask_all(&questions).expect("answers");
    oracle.assert_all(&questions, &answers);
}

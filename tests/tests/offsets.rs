//! A topic that does not have what should be read next: expired, emptied, made anew. It is never passed
//! over in silence: a source stops, or goes on because its definition says so, and says what is missing.

use std::time::Duration;
use tiderace_serve::proto::Completeness;
use tiderace_testkit::bin::Server;
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::wait;
use tiderace_tests::answer::Answer;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input::now;
use tiderace_tests::ledger;
use tiderace_tests::project::{Project, Settings, TOPIC};
use tiderace_tests::topic::{self, Sender};
use tiderace_types::Value;

const WITHIN: Duration = Duration::from_secs(60);

const DEFINITIONS: &str = "\
kind: source
name: card_payments
stream: { kafka: { topic: card_payments }, format: json }
columns: { at: timestamp, customer_id: int64, amount: int64 }
event_time: at
complete_since: beginning
on_lost_offsets: stop
---
kind: entity
name: customer
keys: { customer_id: int64 }
---
kind: feature_view
name: spend
entity: customer
source: card_payments
features:
  - { name: n, aggregate: count, windows: [1d] }
---
kind: feature_service
name: spend
features: [\"spend:*\"]
";

/// A topic of one partition, and a project over it: its events have no id but their offset.
struct Stage {
    kafka: Kafka,
    project: Project,
    sent: u32,
}

impl Stage {
    fn new() -> Stage {
        let kafka = Kafka::start(1).expect("kafka");
        kafka.create_topic(TOPIC, 1).expect("topic");
        let settings = Settings {
            kafka: Some(kafka.bootstrap()),
            ..Settings::default()
        };
        Stage {
            project: Project::with(&settings, DEFINITIONS).expect("project"),
            kafka,
            sent: 0,
        }
    }

    fn send(&mut self, count: u32) {
        let sender = Sender::new(&self.kafka.bootstrap(), TOPIC).expect("sender");
        for _ in 0..count {
            self.sent += 1;
            let (at, amount) = (now(), self.sent);
            let payload = format!(r#"{{"at":"{at}","customer_id":1,"amount":{amount}}}"#);
            sender.send(b"1", payload.as_bytes(), None).expect("send");
        }
        sender.flush().expect("flush");
    }

    fn expire(&self, offset: i64) {
        topic::expire(&self.kafka.bootstrap(), TOPIC, 0, offset).expect("expire");
    }

    fn make_anew(&self) {
        topic::delete(&self.kafka.bootstrap(), TOPIC).expect("delete");
        self.kafka.create_topic(TOPIC, 1).expect("topic");
    }

    /// Runs until so many records have been read in all; gives the answer, whole or not.
    fn run(&self, read: u64) -> (Server, Answer) {
        let server = self.project.run().expect("run");
        wait::until("everything is read", WITHIN, || {
            ledger::of(&server, "card_payments")
                .is_ok_and(|counts| counts.get("read") == Some(&read))
        })
        .expect("read");
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        let question = Question::at("spend", 1, now());
        let mut answer = None;
        wait::until("it is published", WITHIN, || {
            answer = asker.ask(&question).ok();
            answer.as_ref().is_some_and(|answer| {
                let stale = answer.completeness[0] & Completeness::Stale as u32 != 0;
                !stale && answer.value("n_1d") == &Value::Int(read.cast_signed())
            })
        })
        .expect("published");
        (server, answer.expect("an answer"))
    }

    /// Starts where it must refuse, and then goes on as its definition says.
    fn refuses_then_continues(&self, why: &str) {
        let error = self.project.run().expect_err("it must not start");
        let error = format!("{error:#}");
        assert!(error.contains(why), "{why} in\n{error}");
        let path = self.project.folder().join("definitions.yaml");
        let text = DEFINITIONS.replace("on_lost_offsets: stop", "on_lost_offsets: continue");
        std::fs::write(path, text).expect("write");
    }
}

fn is_warming(answer: &Answer) -> bool {
    answer.completeness[0] & Completeness::Warming as u32 != 0
}

fn metric(server: &Server, name: &str) -> u64 {
    let (_, page) = server.get("/metrics").expect("metrics");
    let line = format!("{name}{{source=\"card_payments\"}} ");
    let found = page.lines().find_map(|found| found.strip_prefix(&line));
    found.expect("a line").parse().expect("a number")
}

#[test]
fn records_that_have_expired() {
    let mut stage = Stage::new();
    stage.send(100);
    let (server, answer) = stage.run(100);
    assert!(answer.is_complete(), "{answer:?}");
    server.stop().expect("stop");
    stage.send(50);
    stage.expire(130);
    stage.refuses_then_continues("the first one held is 130, so 30 records are missing");
    let (server, answer) = stage.run(120);
    assert!(is_warming(&answer), "{answer:?}");
    assert_eq!(metric(&server, "tiderace_losses_total"), 1);
    assert_eq!(metric(&server, "tiderace_lost_records_total"), 30);
    server.stop().expect("stop");
    // What is lost stays lost, and nothing more is.
    stage.send(10);
    let (server, answer) = stage.run(130);
    assert!(is_warming(&answer), "{answer:?}");
    assert_eq!(metric(&server, "tiderace_losses_total"), 0);
    server.stop().expect("stop");
}

#[test]
fn a_topic_that_is_another_one() {
    let mut stage = Stage::new();
    stage.send(100);
    let (server, _) = stage.run(100);
    server.stop().expect("stop");
    stage.make_anew();
    stage.send(150);
    stage.refuses_then_continues("the topic is another one");
    // Its offsets are not those of the first topic: all of its records are new.
    let (server, answer) = stage.run(250);
    assert!(is_warming(&answer), "{answer:?}");
    assert_eq!(metric(&server, "tiderace_losses_total"), 1);
    server.kill();
    let (server, _) = stage.run(250);
    server.stop().expect("stop");
}

#[test]
fn a_topic_that_was_emptied() {
    let mut stage = Stage::new();
    stage.send(100);
    let (server, _) = stage.run(100);
    server.stop().expect("stop");
    stage.make_anew();
    stage.send(20);
    stage.refuses_then_continues("is past the end 20: the topic was emptied or is another one");
    let (server, _) = stage.run(120);
    server.stop().expect("stop");
    stage.send(5);
    let (server, _) = stage.run(125);
    server.stop().expect("stop");
}

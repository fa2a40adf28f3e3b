//! Records that are refused: counted exactly over kills, listed, looked at, and sent again to a
//! source that takes them.

use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::time::Duration;
use tiderace_testkit::bin::{self, Server};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input::now;
use tiderace_tests::ledger;
use tiderace_tests::project::{Project, Settings};
use tiderace_tests::topic::Sender;
use tiderace_types::{Timestamp, Value};

const WITHIN: Duration = Duration::from_secs(60);
const DAY: i64 = 86_400_000_000;
/// Payments that are in time, too late, and broken.
const EACH: i64 = 40;

const DEFINITIONS: &str = "\
kind: source
name: card_payments
stream: $PROMPT
columns: { tx_id: int64, at: timestamp, customer_id: int64, amount: float64 }
event_time: at
event_id: tx_id
allowed_lateness: 1d
complete_since: beginning
expect:
  - { check: \"amount < 1000\", otherwise: drop }
---
kind: source
name: late_payments
stream: $LATE
columns: { tx_id: int64, at: timestamp, customer_id: int64, amount: float64 }
event_time: at
event_id: tx_id
allowed_lateness: 365d
complete_since: beginning
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
  - { name: n, aggregate: count, windows: [60d] }
---
kind: feature_view
name: all_spend
entity: customer
source: late_payments
features:
  - { name: late_n, aggregate: count, windows: [60d] }
---
kind: feature_service
name: spend
features: [\"spend:*\"]
---
kind: feature_service
name: late
features: [\"all_spend:*\"]
";

fn payment(id: i64, at: i64, amount: i64) -> Vec<u8> {
    let at = Timestamp(at);
    format!(r#"{{"tx_id":{id},"at":"{at}","customer_id":1,"amount":{amount}}}"#).into_bytes()
}

/// In time with copies, then too late, broken, and dropped by the check.
fn records(now: i64) -> Vec<Vec<u8>> {
    let mut records = vec![payment(0, now - DAY / 2, 5)];
    for id in 1..EACH {
        records.push(payment(id, now - DAY / 2 - id, 5));
        records.push(payment(id, now - DAY / 2 - id, 5));
        records.push(payment(1000 + id, now - 30 * DAY, 5));
        records.push(b"{\"tx_id\": \"who knows\"".to_vec());
        records.push(payment(2000 + id, now - DAY / 2, 1000));
    }
    records
}

fn expected() -> BTreeMap<String, u64> {
    let each = u64::try_from(EACH).expect("positive") - 1;
    let counts = [
        ("read", 5 * each + 1),
        ("applied", each + 1),
        ("duplicate", each),
        ("too_late", each),
        ("malformed", each),
        ("dropped_check", each),
    ];
    counts.map(|(name, count)| (name.to_owned(), count)).into()
}

fn said(project: &Project, args: &[&str]) -> String {
    let all = ["dead-letters", args[0], "--project", project.argument()];
    bin::output(&[&all[..], &args[1..]].concat()).expect("dead-letters")
}

#[test]
fn of_an_embedded_log() {
    let definitions = DEFINITIONS
        .replace("$PROMPT", "embedded")
        .replace("$LATE", "embedded");
    let project = Project::with(&Settings::default(), &definitions).expect("project");
    let send = |server: &Server, records: &[Vec<u8>]| {
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        asker.push(records.to_vec()).expect("push");
    };
    check(&project, send);
}

#[test]
fn of_a_topic() {
    let kafka = Kafka::start(1).expect("kafka");
    for topic in ["prompt", "late"] {
        kafka.create_topic(topic, 1).expect("topic");
    }
    let definitions = DEFINITIONS
        .replace("$PROMPT", "{ kafka: { topic: prompt }, format: json }")
        .replace("$LATE", "{ kafka: { topic: late }, format: json }");
    let settings = Settings {
        kafka: Some(kafka.bootstrap()),
        ..Settings::default()
    };
    let project = Project::with(&settings, &definitions).expect("project");
    let sender = Sender::new(&kafka.bootstrap(), "prompt").expect("sender");
    let send = |_: &Server, records: &[Vec<u8>]| {
        for record in records {
            sender.send(b"1", record, None).expect("send");
        }
        sender.flush().expect("flush");
    };
    check(&project, send);
}

fn check(project: &Project, send: impl Fn(&Server, &[Vec<u8>])) {
    let now = now().0;
    let records = records(now);
    let (first, second) = records.split_at(records.len() / 2);
    let server = project.run().expect("run");
    send(&server, first);
    wait_read(&server, "card_payments", first.len());
    server.kill();
    let server = project.run().expect("run again");
    send(&server, second);
    wait_read(&server, "card_payments", records.len());
    let counts = ledger::of(&server, "card_payments").expect("ledger");
    assert_eq!(counts, expected(), "over a kill");

    let listed = said(project, &["list", "card_payments"]);
    let each = EACH - 1;
    for line in [format!("malformed {each} 0"), format!("too_late {each} 0")] {
        assert!(squeezed(&listed).contains(&line), "{line} in\n{listed}");
    }
    let json = said(
        project,
        &[
            "list",
            "card_payments",
            "--reason",
            "too_late",
            "--limit",
            "3",
            "--format",
            "json",
        ],
    );
    let letters: Vec<Json> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("json"))
        .collect();
    assert_eq!(letters.len(), 3);
    let place = format!("{}/{}", letters[2]["partition"], letters[2]["offset"]);
    let shown = said(project, &["show", "card_payments", &place]);
    let payload = letters[2]["payload"].as_str().expect("a payload");
    for part in [&place, "too_late", "allowed_lateness is 1d", payload] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    let output = bin::run(&[
        "dead-letters",
        "show",
        "--project",
        project.argument(),
        "card_payments",
        "0/999999",
    ]);
    let output = output.expect("show");
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("no dead letter of 0/999999"), "{error}");

    let late = [
        "replay",
        "card_payments",
        "--reason",
        "too_late",
        "--into",
        "late_payments",
    ];
    let dry = said(project, &[&late[..], &["--dry-run"]].concat());
    assert!(dry.contains(&format!("{each} would be sent")), "{dry}");
    let sent = said(project, &late);
    assert!(
        sent.contains(&format!("{each} sent to late_payments")),
        "{sent}"
    );
    wait_read(&server, "late_payments", 39);
    let counts = ledger::of(&server, "late_payments").expect("ledger");
    assert_eq!(counts["applied"], 39, "{counts:?}");
    let again = said(project, &late);
    assert!(again.contains("nothing to send"), "{again}");
    let listed = said(project, &["list", "card_payments"]);
    let line = format!("too_late {each} {each}");
    assert!(squeezed(&listed).contains(&line), "{line} in\n{listed}");

    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker
        .wait_caught_up_in(&["spend", "late"])
        .expect("caught up");
    for (service, name, count) in [("spend", "n_60d", EACH), ("late", "late_n_60d", EACH - 1)] {
        let question = Question::at(service, 1, Timestamp(now));
        let answer = asker.ask(&question).expect("answer");
        assert_eq!(answer.value(name), &Value::Int(count), "{answer:?}");
    }
    server.stop().expect("stop");
}

fn wait_read(server: &Server, source: &str, count: usize) {
    wait::until("every record is read", WITHIN, || {
        ledger::of(server, source)
            .is_ok_and(|counts| counts.get("read").copied() == Some(count as u64))
    })
    .expect("read");
}

/// Each run of spaces as one.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

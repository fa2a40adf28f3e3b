//! `tiderace test`: definitions are tested without a server, and what is wrong is told in its place.

use serde_json::Value as Json;
use std::path::Path;
use std::process::Output;
use tiderace_testkit::bin;
use tiderace_testkit::generate::{Dice, Payments, Town};
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input::{self, Payment};
use tiderace_tests::project::{PAST, Project as TownProject, Settings};
use tiderace_tests::table;

/// A project with one source, a view and a service, and whatever tests are given.
struct Project(tempfile::TempDir);

const DEFINITIONS: &str = r#"
project: shop
---
kind: source
name: payments
stream: embedded
columns: { id: int64, at: timestamp, customer: int64, shop: string, amount: float64 }
event_time: at
event_id: id
allowed_lateness: 1h
expect:
  - { check: "amount >= 0", otherwise: reject }
---
kind: entity
name: customer
keys: { customer: int64 }
---
kind: feature_view
name: spend
entity: customer
source: payments
features:
  - { name: n, aggregate: count, windows: [1h, 1d] }
  - { name: big, aggregate: count, where: "amount > 100", windows: [1d] }
  - { name: mean, aggregate: avg, of: amount, windows: [1d] }
  - { name: shops, aggregate: top_n, of: shop, n: 2, windows: [1d] }
---
kind: feature_service
name: model
features: ["spend:*"]
on_demand:
  - { name: ratio, expr: "amount / nullif(mean_1d, 0)", request: { amount: float64 } }
"#;

/// Three payments of one customer, as JSON lines.
const EVENTS: &str = r#"{"id": 1, "at": "2026-01-05T10:00:00Z", "customer": 7, "shop": "a", "amount": 20.0}
{"id": 2, "at": "2026-01-05T10:30:00Z", "customer": 7, "shop": "b", "amount": 130.0}
{"id": 3, "at": "2026-01-05T10:31:00Z", "customer": 7, "shop": "b", "amount": 30.0}
"#;

impl Project {
    fn new(tests: &str) -> Project {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        write("tiderace.yaml", DEFINITIONS);
        write("tests.yaml", tests);
        write("events.jsonl", EVENTS);
        Project(folder)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().expect("text")
    }

    fn test(&self, more: &[&str]) -> Output {
        let words = [&["test", self.path()], more].concat();
        bin::run(&words).expect("test")
    }
}

/// What it prints, with the folder and times left out.
fn said(project: &Project, output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).expect("text");
    let text = text.replace(&format!("{}/", project.path()), "");
    let lines = text.lines().map(|line| match line.rsplit_once(" ms)") {
        Some((before, after)) => {
            let before = before
                .rsplit_once([' ', '('])
                .map_or("", |(before, _)| before.trim_end());
            format!("{before} T ms){after}")
        }
        None => line.trim_end().to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_project_passes_its_tests() {
    let features = Path::new(env!("CARGO_MANIFEST_DIR")).join("../features");
    let words = ["test", features.to_str().expect("text"), "--format", "json"];
    let told = bin::output(&words).expect("all pass");
    let told: Json = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["failed"], 0, "{told:#}");
    assert!(told["passed"].as_u64() >= Some(4), "{told:#}");
}

#[test]
fn a_new_project_passes_its_test() {
    let place = tempfile::tempdir().expect("a folder");
    let project = place.path().join("mine");
    let folder = project.to_str().expect("text");
    bin::output(&["init", folder, "--name", "my_shop"]).expect("init");
    let told = bin::output(&["test", folder]).expect("passes");
    assert!(told.contains("1 test: all passed"), "{told}");
}

/// Each of these says what is true of the events.
#[test]
fn what_is_true_passes() {
    let project = Project::new(
        r#"
kind: test
name: a file, a late event, request data
service: model
files: [events.jsonl]
events:
  - { id: 4, at: "2026-01-05T10:10:00Z", customer: 7, shop: a, amount: 0.0, _arrives: "2026-01-05T10:40:00Z" }
  - { id: 5, at: "2026-01-05T09:29:00Z", customer: 7, shop: a, amount: 1.0 }
  - { id: 6, at: "2026-01-05T10:41:00Z", customer: 7, shop: a, amount: -1.0 }
  - '{"id": 7, "at"'
dead_letters:
  - { event: { id: 6 }, reason: rejected }
  - { event: { id: 5 }, reason: too_late }
  - { event: '{"id": 7, "at"', reason: malformed }
asks:
  - at: "2026-01-05T10:31:00Z"
    entity: { customer: 7 }
    request: { amount: 120.0 }
    expect: { n_1h: 3, big_1d: 1, mean_1d: 60.0, ratio: 2.0, shops_1d: { b: 2, a: 1 } }
  - at: "2026-01-05T10:50:00Z"
    entity: { customer: 7 }
    request: { amount: 0 }
    expect: { n_1h: 4, mean_1d: { value: 45.1, tolerance: 0.2, status: PRESENT, completeness: COMPLETE }, ratio: 0 }
  - at: "2026-01-05T11:00:00Z"
    entity: { customer: 7 }
    request: { amount: null }
    expect: { n_1h: 3, ratio: null }
  - at: "2026-01-05T11:00:00Z"
    entity: { customer: 8 }
    request: { amount: 1.5 }
    expect: { n_1h: { value: 0, status: NOT_FOUND }, mean_1d: null, ratio: null }
---
kind: test
name: the past is warming, or gone
view: spend
complete_since: "2026-01-05T00:00:00Z"
files: [{ path: events.jsonl, source: payments }]
asks:
  - at: "2026-01-05T10:31:00Z"
    entity: { customer: 7 }
    expect: { n_1h: { value: 3, completeness: COMPLETE }, n_1d: { value: 3, completeness: WARMING } }
  - { at: "2026-01-09T00:00:00Z", as_of: "2026-01-01T00:00:00Z", entity: { customer: 7 }, expect: { n_1d: { status: OUTSIDE_HISTORY } } }
"#,
    );
    let output = project.test(&[]);
    let told = said(&project, &output);
    assert!(output.status.success(), "{told}");
    assert_eq!(
        told,
        "\
ok   a file, a late event, request data (model, T ms)
ok   the past is warming, or gone (spend, T ms)
shop: 2 tests: all passed T ms)
5 of 5 features have an expectation"
    );
}

/// A wrong expectation is what a fault of the engine would look like: it is caught, and shown in its place.
#[test]
fn what_is_not_true_fails_in_its_place() {
    let project = Project::new(
        r#"
kind: test
name: everything is off
view: spend
files: [events.jsonl]
events:
  - { id: 4, at: "2026-01-05T10:10:00Z", customer: 7, shop: a, amount: 0.0, _arrives: "2026-01-05T10:40:00Z" }
  - { id: 5, at: "2026-01-05T09:29:00Z", customer: 7, shop: a, amount: 1.0 }
asks:
  - at: "2026-01-05T10:31:00Z"
    entity: { customer: 7 }
    expect:
      n_1h: 4
      big_1d: 1
      mean_1d: { value: 60.5, tolerance: 0.25, completeness: WARMING }
  - at: "2026-01-09T00:00:00Z"
    as_of: "2026-01-01T00:00:00Z"
    entity: { customer: 7 }
    expect: { mean_1d: null }
dead_letters:
  - { event: { id: 1 }, reason: too_late }
---
kind: test
name: another
view: spend
asks:
  - { at: "2026-01-05T10:31:00Z", entity: { customer: 7 }, expect: { n_1h: 0 } }
"#,
    );
    let output = project.test(&[]);
    let told = said(&project, &output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(told, include_str!("definition_tests/off.txt").trim_end());

    let output = project.test(&["--filter", "anoth"]);
    assert!(output.status.success(), "{}", said(&project, &output));

    let output = project.test(&["--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&told["passed"], &told["failed"]), (&1.into(), &1.into()));
    let failure = &told["tests"][0]["failures"][1];
    assert_eq!(failure["feature"], "n_1h", "{told:#}");
    assert_eq!(
        (&failure["expected"], &failure["got"]),
        (&4.into(), &3.into())
    );
    assert_eq!(
        (&failure["line"], &failure["column"]),
        (&13.into(), &7.into())
    );

    let output = project.test(&["--format", "junit"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).expect("text");
    assert!(told.contains(r#"tests="2" failures="1""#), "{told}");
    assert!(told.contains("`n_1h` is 3, expected 4"), "{told}");
}

const OTHER_FORMATS: &str = r#"
project: shop
kafka: { brokers: "nowhere:9092", schema_registry: { url: "http://nowhere:8081" } }
---
kind: source
name: accounts
stream: { kafka: { topic: accounts }, format: debezium_json }
columns: { id: int64, at: { type: timestamp, unit: us }, customer: int64, amount: float64 }
event_time: at
---
kind: source
name: clicks
stream: { kafka: { topic: clicks }, format: avro }
columns: { id: int64, at: { type: timestamp, unit: ms }, customer: int64, page: string, x: { type: int64, path: a.b } }
event_time: at
event_id: id
---
kind: entity
name: customer
keys: { customer: int64 }
---
kind: feature_view
name: totals
entity: customer
source: accounts
features:
  - { name: n, aggregate: count, windows: [1d] }
  - { name: total, aggregate: sum, of: amount, windows: [1d] }
---
kind: feature_view
name: pages
entity: customer
source: clicks
features:
  - { name: seen, aggregate: count_distinct, of: page, windows: [1h] }
  - { name: xs, aggregate: sum, of: x, windows: [1h] }
---
kind: feature_service
name: both
features: ["totals:*", "pages:*"]
"#;

/// Changes of a table by their envelopes, and Avro by its columns; a service over both.
#[test]
fn sources_of_other_formats_are_tested() {
    let project = Project::new(
        r#"
kind: test
name: a row is updated
view: totals
events:
  - { op: c, before: null, after: { id: 1, at: 1767607200000000, customer: 7, amount: 20.0 }, source: { connector: postgresql, lsn: 1, txId: 1 } }
  - { op: u, before: { id: 1, at: 1767607200000000, customer: 7, amount: 20.0 }, after: { id: 1, at: 1767607200000000, customer: 7, amount: 50.0 }, source: { connector: postgresql, lsn: 2, txId: 2 } }
  - { op: u, before: null, after: { id: 1, at: 1767607200000000, customer: 7, amount: 50.0 }, source: { connector: postgresql, lsn: 3, txId: 3 } }
dead_letters:
  - { event: { op: u, before: null }, reason: no_before_image }
asks:
  - { at: "2026-01-05T10:00:00Z", entity: { customer: 7 }, expect: { n_1d: 1, total_1d: 50.0 } }
---
kind: test
name: two sources
service: both
events:
  - { _source: clicks, id: 1, at: 1767607200000, customer: 7, page: a, a: { b: 3 } }
  - { _source: clicks, id: 2, at: 1767607200000, customer: 7, page: b, a: { b: 4 } }
  - { _source: accounts, op: c, before: null, after: { id: 1, at: 1767607200000000, customer: 7, amount: 20.0 }, source: { connector: postgresql, lsn: 1, txId: 1 } }
asks:
  - { at: "2026-01-05T10:00:00Z", entity: { customer: 7 }, expect: { n_1d: 1, seen_1h: 2, xs_1h: 7 } }
"#,
    );
    std::fs::write(project.0.path().join("tiderace.yaml"), OTHER_FORMATS).expect("written");
    let output = project.test(&[]);
    let told = said(&project, &output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("2 tests: all passed"), "{told}");
}

/// The same events and questions, of a test and of a server that runs: one meaning.
#[test]
fn what_a_test_says_is_what_a_server_says() {
    let settings = Settings {
        source: PAST.to_owned(),
        history: "all",
        ..Settings::default()
    };
    let project = TownProject::new(&settings).expect("project");
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let town = Town {
        seed: 31,
        customers: 8,
        terminals: 5,
        per_second: 300.0 / (40.0 * 86_400.0),
        ..Town::default()
    };
    let mut payments: Vec<Payment> = Payments::new(town)
        .take(300)
        .map(|payment| input::made_up(&payment))
        .collect();
    // Out of order, and some twice.
    let copies: Vec<Payment> = payments.iter().step_by(7).copied().collect();
    payments.extend(copies);
    let mut dice = Dice::new(31);
    for place in (1..payments.len()).rev() {
        payments.swap(place, place.saturating_sub(dice.index(40)));
    }
    asker
        .push(payments.iter().map(Payment::to_json).collect())
        .expect("push");
    asker.wait_caught_up().expect("caught up");

    // All have arrived when the first question is asked, of whatever instant.
    let last = payments.iter().map(|payment| payment.time).max();
    let at = last.expect("payments").plus(tiderace_types::Duration(1));
    let mut test =
        String::from("kind: test\nname: the same\nservice: habits\nfiles: [town.parquet]\nasks:\n");
    let mut expected = 0;
    for customer in 0..8 {
        for payment in payments.iter().step_by(90) {
            let question = Question::at("habits", customer, payment.time);
            let answer = asker.ask(&question).expect("an answer");
            let mut line = format!(
                "  - {{ at: \"{at}\", as_of: \"{}\", entity: {{ customer_id: {customer} }}, request: {{ amount: 1.0 }}, expect: {{ ",
                payment.time
            );
            for (name, value) in answer.names.iter().zip(&answer.values) {
                let json = tiderace_serve::value_json(value.clone());
                // Maps are written otherwise in definitions than in answers.
                if !json.is_array() {
                    line += &format!("{name}: {json}, ");
                    expected += 1;
                }
            }
            test += &format!("{line}}} }}\n");
        }
    }
    server.stop().expect("stop");
    assert!(expected > 100, "{expected} values");
    let folder = project.folder();
    table::write(&folder.join("town.parquet"), &payments, 64).expect("written");
    std::fs::write(folder.join("same.yaml"), test).expect("written");
    let told = bin::output(&["test", project.argument()]);
    told.unwrap_or_else(|said| panic!("{said}"));
}

#[test]
fn tests_that_are_broken_are_not_run() {
    let good = r#"
kind: test
name: good
view: spend
files: [nowhere.jsonl]
asks: [ { at: "2026-01-05T10:31:00Z", entity: { customer: 7 }, expect: { n_1h: 0 } } ]
"#;
    for (from, to, expected) in [
        ("n_1h: 0", "n_1hh: 0", "did you mean `n_1h`?"),
        ("view: spend", "view: spent", "did you mean `spend`?"),
        ("", "", "nowhere.jsonl"),
    ] {
        let project = Project::new(&good.replace(from, to));
        let checked = bin::run(&["check", project.path()]).expect("check");
        let output = project.test(&[]);
        for (output, code) in [(checked, 1), (output, 2)] {
            let told = said(&project, &output);
            assert_eq!(output.status.code(), Some(code), "{told}");
            assert!(
                told.contains(expected) && told.contains("tests.yaml:"),
                "{told}"
            );
        }
    }
    let project = Project::new(
        "kind: test\nname: t\nview: spend\nasks: [{ at: \"2026-01-05T10:31:00Z\", entity: { customer: 7 }, expect: { n_1h: 0 } }]\n",
    );
    let output = project.test(&["--filter", "nobody"]);
    assert_eq!(output.status.code(), Some(2));
    let output = bin::run(&["test", "/nowhere/at/all"]).expect("test");
    assert_eq!(output.status.code(), Some(2));
}

//! Declared columns against schemas: in files when definitions are checked, in the registry when that is
//! asked for.

use crate::support::{kafka, project};
use std::process::Output;
use tiderace_testkit::bin;
use tiderace_testkit::registry::{Mode, Registry};
use tiderace_tests::project::Project;

pub const BEFORE: &str = r#"{"type": "record", "name": "Payment", "fields": [
    {"name": "id", "type": "long"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "customer_id", "type": "int"},
    {"name": "amount", "type": "double"},
    {"name": "note", "type": "string"}]}"#;

pub fn check(project: &Project, more: &[&str]) -> (Output, String) {
    let arguments = [&["check", project.argument()], more].concat();
    let output = bin::run(&arguments).expect("run");
    let told = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    let told = told.concat();
    (output, told)
}

fn assert_told(told: &str, expected: &[&str]) {
    for words in expected {
        assert!(told.contains(words), "{words:?} is not in:\n{told}");
    }
}

#[test]
fn a_file_that_does_not_have_the_columns() {
    let source = "stream: { kafka: { topic: contract_file }, format: avro, schema: payment.avsc }
columns:
  id: int64
  at: timestamp
  customer_id: int64
  amount: float64
  note: bool
  amonut: float64
event_id: id";
    let project = project("contract_file", source, None);
    let file = project.folder().join("payment.avsc");
    let (output, told) = check(&project, &[]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_told(
        &told,
        &["error[schema]", "payment.avsc", "definitions.yaml:7"],
    );
    std::fs::write(&file, "{\"type\": \"record\"").expect("written");
    let (output, told) = check(&project, &[]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_told(&told, &["schema file `payment.avsc`"]);
    std::fs::write(&file, BEFORE).expect("written");
    let (output, told) = check(&project, &[]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_told(
        &told,
        &[
            "column `note`: expected bool, found",
            "definitions.yaml:13:3",
            "column `amonut` is not in `payment.avsc`",
            "definitions.yaml:14:3",
            "2 errors",
        ],
    );
    let fails = project.launch().expect("launch").wait_ready();
    let error = format!("{:#}", fails.expect_err("it does not start"));
    assert!(error.contains("amonut"), "{error}");
}

#[test]
fn a_registry_whose_subject_has_changed() {
    let topic = "contract_online";
    let registry = Registry::start().expect("a registry");
    let source = format!(
        "stream: {{ kafka: {{ topic: {topic} }}, format: avro }}
columns:
  id: int64
  at: timestamp
  customer_id: {{ type: int64, nullable: false }}
  amount: float64
  note: string
event_id: id"
    );
    let project = project(topic, &source, Some(registry.url()));
    let subject = format!("{topic}-value");
    // Without the question nothing outside is asked.
    let (output, told) = check(&project, &[]);
    assert!(output.status.success(), "{told}");
    assert!(registry.asked().is_empty());
    let (output, told) = check(&project, &["--online"]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_told(
        &told,
        &["no subject `contract_online-value`", "3 partitions"],
    );
    registry.register(&subject, "AVRO", BEFORE);
    let (output, told) = check(&project, &["--online"]);
    assert!(output.status.success(), "{told}");
    assert_told(&told, &["has 1 versions", "all good"]);
    // Removed, of another type, and null all of a sudden.
    let after = BEFORE
        .replace("{\"name\": \"amount\", \"type\": \"double\"},", "")
        .replace(
            "\"long\", \"logicalType\": \"timestamp-millis\"",
            "\"boolean\"",
        )
        .replace(
            "{\"name\": \"customer_id\", \"type\": \"int\"}",
            "{\"name\": \"customer_id\", \"type\": [\"null\", \"int\"], \"default\": null}",
        );
    registry.register(&subject, "AVRO", &after);
    let (output, told) = check(&project, &["--online"]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_told(
        &told,
        &[
            "column `amount` was removed: version 1 has it, version 2 of `contract_online-value`",
            "column `at` cannot be read any more: its type has changed since version 1",
            "column `customer_id` may be null now: it never was in version 1",
        ],
    );
    let (_, json) = check(&project, &["--online", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(found.as_array().map(Vec::len), Some(3), "{json}");
    for (mode, words) in [
        (Mode::Away, "ask http://127.0.0.1"),
        (Mode::Status(401), "check username and password"),
    ] {
        registry.behave(mode);
        let (output, told) = check(&project, &["--online"]);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert_told(&told, &["error[online]", words]);
    }
}

#[test]
fn a_topic_that_is_not_there() {
    let source = "stream: { kafka: { topic: nowhere }, format: json }
columns: { id: int64, at: timestamp, customer_id: int64, amount: float64 }
event_id: id";
    let project = project("contract_topic", source, None);
    let (output, told) = check(&project, &["--online"]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_told(&told, &["error[online]", "there is no topic `nowhere`"]);
    kafka().create_topic("nowhere", 2).expect("topic");
    let (output, told) = check(&project, &["--online"]);
    assert!(output.status.success(), "{told}");
    assert_told(&told, &["topic nowhere has 2 partitions"]);
}

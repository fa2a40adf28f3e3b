//! The command line and the HTTP door, as a person uses them.

use serde_json::{Value as Json, json};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use tiderace_testkit::bin::{self, Ports, Server};
use tiderace_testkit::wait;
use tiderace_tests::ask::Asker;
use tiderace_tests::project::{PAST, Project, Settings};

const WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

const EVENT: &str = r#"{"tx_id": 1, "tx_time": "2018-04-01T00:00:31Z", "customer_id": 596, "terminal_id": 3156, "amount": 57.16, "is_fraud": 0}"#;

fn project() -> Project {
    let project = Project::new(&Settings {
        source: PAST.to_owned(),
        ..Settings::default()
    });
    project.expect("project")
}

#[test]
fn check_finds_every_mistake_in_its_place() {
    let project = project();
    let path = project.folder().join("definitions.yaml");
    let good = std::fs::read_to_string(&path).expect("definitions");
    let output = bin::run(&["check", project.argument()]).expect("check");
    assert!(output.status.success(), "{output:?}");

    let bad = good
        .replacen("aggregate: avg", "aggregate: avrage", 1)
        .replacen("of: is_fraud", "of: is_fruad", 1)
        .replacen(
            "features: [\"customer_spend:*\"]",
            "features: [\"customer_spent:*\"]",
            1,
        );
    std::fs::write(&path, &bad).expect("write");
    let output = bin::run(&["check", project.argument()]).expect("check");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    for (wrong, right) in [
        ("avrage", "avg"),
        ("is_fruad", "is_fraud"),
        ("customer_spent", "customer_spend"),
    ] {
        let line = bad
            .lines()
            .position(|line| line.contains(wrong))
            .expect("a line")
            + 1;
        for part in [
            wrong,
            &format!("`{right}`"),
            &format!("definitions.yaml:{line}:"),
        ] {
            assert!(said.contains(part), "{part} is not in:\n{said}");
        }
    }

    let output = bin::run(&["check", project.argument(), "--format", "json"]).expect("check");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let findings: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(findings.as_array().map(Vec::len), Some(3), "{findings:#}");
}

#[test]
fn the_examples_are_right_and_have_a_schema() {
    let features = Path::new(env!("CARGO_MANIFEST_DIR")).join("../features");
    let said = bin::output(&["check", features.to_str().expect("text")]).expect("check");
    assert!(said.contains("all good"), "{said}");
    let schema: Json =
        serde_json::from_str(&bin::output(&["schema"]).expect("schema")).expect("JSON");
    assert!(schema.is_object());
    let page = bin::output(&["schema", "--format", "markdown"]).expect("a page");
    let committed = std::fs::read_to_string(format!(
        "{}/../docs/reference.md",
        env!("CARGO_MANIFEST_DIR")
    ));
    assert_eq!(page, committed.expect("docs/reference.md"));
}

#[test]
fn a_new_project_runs() {
    let place = tempfile::tempdir().expect("a folder");
    let project = place.path().join("mine");
    let folder = project.to_str().expect("text");
    let wrong = bin::run(&["init", folder, "--name", "My Shop"]).expect("init");
    let told = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(1), "{told}");
    assert!(told.contains("small letters"), "{told}");
    assert!(!project.exists(), "nothing is written then");

    let said = bin::output(&["init", folder, "--name", "my_shop"]).expect("init");
    let told = bin::output(&["check", folder]).expect("check");
    assert!(
        told.contains("my_shop") && told.contains("all good"),
        "{told}"
    );
    let again = bin::run(&["init", folder]).expect("init");
    let told = String::from_utf8_lossy(&again.stderr);
    assert!(
        !again.status.success() && told.contains("already"),
        "{told}"
    );

    let path = project.join("tiderace.yaml");
    let settings = std::fs::read_to_string(&path).expect("settings");
    let ports = Ports::free().expect("ports");
    let moved = settings.lines().map(|line| match line.split_once(':') {
        Some(("serving", _)) => ports.yaml() + "\n",
        _ => format!("{line}\n"),
    });
    std::fs::write(&path, moved.collect::<String>()).expect("write");
    let server = Server::start(&project, ports).expect("run");
    // What it says to push, and then to ask.
    let event = said.split('\'').nth(1).expect("an event in quotes");
    bin::output(&["push", "--project", folder, "payments", event]).expect("push");
    let words = ["get", "--project", folder, "model_v1", "customer_id=7"];
    let words = [words.as_slice(), &["amount=30", "--format", "json"]].concat();
    let counted = wait::until("the payment to be counted", WITHIN, || {
        let answer = bin::output(&words).expect("get");
        let answer: Json = serde_json::from_str(&answer).expect("JSON");
        answer["rows"][0]["values"][0] == 1
    });
    counted.unwrap_or_else(|late| panic!("{late}\n{}", server.log()));
    server.stop().expect("stop");
}

#[test]
fn shells_complete_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = bin::output(&["completions", shell]).expect("completions");
        for word in ["dead-letters", "reconcile"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn a_missing_variable_is_named() {
    let project = project();
    let path = project.folder().join("tiderace.yaml");
    let settings = std::fs::read_to_string(&path).expect("settings");
    let with = |brokers: &str| {
        let text = format!("{settings}kafka: {{ brokers: \"{brokers}\" }}\n");
        std::fs::write(&path, text).expect("write");
        bin::run(&["check", project.argument()]).expect("check")
    };
    let output = with("${TIDERACE_TEST_NOBODY_SETS_THIS}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("TIDERACE_TEST_NOBODY_SETS_THIS"), "{said}");
    let output = with("${TIDERACE_TEST_NOBODY_SETS_THIS:-127.0.0.1:9092}");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn push_and_get_by_hand() {
    let project = project();
    let server = project.run().expect("run");
    let folder = project.argument();
    let second = EVENT
        .replace("\"tx_id\": 1", "\"tx_id\": 2")
        .replace("57.16", "42.84");
    bin::output(&["push", "--project", folder, "card_payments", EVENT]).expect("push");
    push_on_standard_input(folder, &second);
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.wait_caught_up().expect("caught up");

    let get = |format: &str| {
        let at = ["--as-of", "2018-04-01T00:00:31Z", "--format", format];
        let words = ["get", "--project", folder, "spend", "customer_id=596"];
        bin::output(&[words.as_slice(), &at].concat()).expect("get")
    };
    let table = get("text");
    for part in ["tx_count_1d", "amount_avg_30d", "2", "50"] {
        assert!(table.contains(part), "{part} is not in:\n{table}");
    }
    let words = ["get", "--project", folder, "spend", "customer_id=596"];
    let until = ["--as-of", "2018-04-01T00:00:31Z", "--valid-until"];
    let table = bin::output(&[words.as_slice(), &until].concat()).expect("get");
    let end = "tx_count_1d: stands until 2018-04-02T00:00:31Z";
    assert!(table.contains(end), "{table}");
    let answer: Json = serde_json::from_str(&get("json")).expect("JSON");
    let values = &answer["rows"][0]["values"];
    assert_eq!(values, &json!([2, 2, 2, 50.0, 50.0, 50.0]), "{answer:#}");

    let body = json!({
        "service": "spend",
        "entities": { "customer_id": [596, 7] },
        "as_of": "2018-04-01T00:00:31Z",
    });
    let (status, said) = server
        .post("/v1/features", &body.to_string())
        .expect("post");
    assert_eq!(status, 200, "{said}");
    let answer: Json = serde_json::from_str(&said).expect("JSON");
    assert_eq!(answer["rows"][0]["values"][0], 2, "{answer:#}");
    assert_eq!(
        answer["rows"][1]["values"],
        json!([0, 0, 0, null, null, null]),
        "{answer:#}"
    );

    let wrong = bin::run(&["get", "--project", folder, "spent", "customer_id=596"]).expect("get");
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success() && said.contains("spend"), "{said}");
    server.stop().expect("stop");
}

fn push_on_standard_input(folder: &str, event: &str) {
    let mut command =
        bin::command(&["push", "--project", folder, "card_payments"]).expect("command");
    let mut child = command.stdin(Stdio::piped()).spawn().expect("push");
    let mut input = child.stdin.take().expect("a pipe");
    writeln!(input, "{event}").expect("write");
    drop(input);
    assert!(child.wait().expect("push").success());
}

#[test]
fn what_a_source_does_not_declare_is_warming() {
    let project = Project::new(&Settings {
        history: "0s",
        ..Settings::default()
    });
    let project = project.expect("project");
    let server = project.run().expect("run");
    let now = tiderace_types::Timestamp(
        i64::try_from(
            std::time::UNIX_EPOCH
                .elapsed()
                .expect("after 1970")
                .as_micros(),
        )
        .expect("before 294247"),
    );
    let event = EVENT.replace("2018-04-01T00:00:31Z", &now.to_string());
    bin::output(&[
        "push",
        "--project",
        project.argument(),
        "card_payments",
        &event,
    ])
    .expect("push");
    let get = || -> Json {
        let words = [
            "get",
            "--project",
            project.argument(),
            "spend",
            "customer_id=596",
            "--format",
            "json",
        ];
        serde_json::from_str(&bin::output(&words).expect("get")).expect("JSON")
    };
    let mut last = Json::Null;
    let counted = wait::until("the event to be counted", WITHIN, || {
        last = get();
        last["rows"][0]["values"][0] == 1
    });
    counted.unwrap_or_else(|late| panic!("{late}: {last:#}"));
    let said = last["rows"][0]["completeness"].to_string();
    assert!(said.contains("WARMING"), "{last:#}");
    server.stop().expect("stop");
}

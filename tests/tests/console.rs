//! The console in a browser: a real Chromium at the running binary, on the example project with events coming in;
//! and what processes say that answer no lookups, or have no console.
//!
//! What the browser does is in `tests/tests/console/check.py`. It is driven by Playwright, from PyPI by
//! `scripts/browser.sh`, in `$TIDERACE_CACHE/browser`. With TIDERACE_SCREENSHOTS set to a folder, pictures
//! of every page are left there.

use serde_json::Value as Json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tiderace_testkit::bin::{self, Ports, Server};
use tiderace_testkit::kafka::cache;
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::project::{Project, Settings};

const WITHIN: Duration = Duration::from_secs(30);

/// A view of entities that have a text as their key: what is planted there must stay text.
const PAGES: &str = "\
# Visits of pages: <b>never</b> a tag.
kind: source
name: visits
description: \"Visits, <b>not bold</b>.\"
stream: embedded
columns: { at: timestamp, page: string, referrer: string }
event_time: at
complete_since: beginning
---
kind: entity
name: page
keys: { page: string }
---
kind: feature_view
name: page_visits
owner: \"<i>web</i>\"
entity: page
source: visits
features:
  - { name: visits, aggregate: count, windows: [1d] }
  - { name: referrers, aggregate: top_n, of: referrer, n: 3, windows: [1d] }
---
kind: feature_service
name: pages
features: [\"page_visits:*\"]
";

#[test]
fn a_browser_sees_what_there_is() {
    let folder = tempfile::tempdir().expect("folder");
    let ports = Ports::free().expect("ports");
    example(folder.path(), ports);
    let server = Server::start(folder.path(), ports).expect("run");
    let home = cache().join("browser");
    let list = |folder: &Path| std::fs::read(folder.join("requirements.txt")).ok();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console");
    assert!(
        list(&home).is_some() && list(&home) == list(&own),
        "{} is not what {} wants: run scripts/browser.sh once",
        home.display(),
        own.display()
    );
    let checked = Command::new(home.join("venv/bin/python"))
        .args(["-B", "-W", "error"])
        .arg(own.join("check.py"))
        .arg(format!("http://127.0.0.1:{}", ports.http))
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&checked.stdout);
    let complaint = String::from_utf8_lossy(&checked.stderr);
    assert!(
        checked.status.success() && said.ends_with("all is well\n"),
        "{said}{complaint}\n{}",
        server.log()
    );
    server.stop().expect("stop");
}

#[test]
fn a_server_apart_shows_what_it_knows() {
    let redis = Redis::start().expect("redis");
    let settings = Settings {
        redis: Some(redis.url()),
        ..Settings::default()
    };
    let project = Project::new(&settings).expect("project");
    let server = project.serve().expect("serve");
    let told = json(&server, "/v1/console/project");
    assert_eq!(told["role"], "serve");
    assert_eq!(told["answers"], true);
    let view = &told["views"][1];
    assert_eq!(view["name"], "customer_spend");
    assert_eq!(view["file"], "definitions.yaml:23");
    let now = json(&server, "/v1/console/now");
    assert_eq!(now["live"], Json::Null);
    // Nothing was ever published.
    assert_eq!(
        now["views"]["by_name"]["customer_spend"],
        Json::Null,
        "{now}"
    );
    let letters = json(&server, "/v1/console/dead-letters/card_payments");
    assert_eq!(letters["elsewhere"], true);

    let body = r#"{"service": "spend", "entities": {"customer_id": [1]}}"#;
    let (status, answer) = server.post("/v1/features", body).expect("lookup");
    assert_eq!(status, 200, "{answer}");
    let (_, metrics) = server.get("/metrics").expect("metrics");
    let counted = |line: &str| metrics.lines().any(|held| held == line);
    for line in [
        r#"tiderace_lookups_total{service="spend",code="OK"} 1"#,
        r#"tiderace_lookup_seconds_count{service="spend"} 1"#,
        r#"tiderace_lookup_rows_total{service="spend"} 1"#,
        r#"tiderace_feature_values_total{view="customer_spend",feature="tx_count_1d",status="UNAVAILABLE"} 1"#,
    ] {
        assert!(counted(line), "{line}\n{metrics}");
    }
    let (status, _) = server.get("/console/").expect("the page");
    assert_eq!(status, 200);
    // A page from elsewhere whose name leads to this machine reads nothing.
    assert!(asked_as(&server, "localhost:6568").starts_with("HTTP/1.1 200"));
    assert!(asked_as(&server, "evil.example").starts_with("HTTP/1.1 400"));
    server.stop().expect("stop");
}

#[test]
fn a_worker_shows_what_it_counts() {
    let redis = Redis::start().expect("redis");
    let settings = Settings {
        redis: Some(redis.url()),
        ..Settings::default()
    };
    let project = Project::new(&settings).expect("project");
    let port = tiderace_testkit::ports::free_ports(1).expect("ports")[0];
    change(project.folder(), |line| match line.split_once('}') {
        Some((serving, _)) if line.starts_with("serving:") => {
            format!("{serving}, worker: \"127.0.0.1:{port}\" }}")
        }
        _ => line.to_owned(),
    });
    let worker = project.worker().expect("worker");
    let ready = wait::until("the worker to be asked", WITHIN, || {
        matches!(bin::get(port, "/ready"), Ok((200, _)))
    });
    ready.unwrap_or_else(|late| panic!("{late}\n{}", worker.log()));
    let (_, told) = bin::get(port, "/v1/console/project").expect("project");
    let told: Json = serde_json::from_str(&told).expect("JSON");
    assert_eq!(
        (&told["role"], &told["answers"]),
        (&"worker".into(), &false.into())
    );
    let (_, now) = bin::get(port, "/v1/console/now").expect("now");
    let now: Json = serde_json::from_str(&now).expect("JSON");
    assert!(
        now["live"]["sources"].is_object() && now["serving"].is_null(),
        "{now}"
    );
    let values = "/v1/console/values/view/customer_spend";
    assert_eq!(bin::get(port, values).expect("values").0, 501);
    worker.stop().expect("stop");
}

#[test]
fn where_it_is_not_wanted_it_is_not() {
    let project = Project::new(&Settings::default()).expect("project");
    change(project.folder(), |line| match line.split_once('}') {
        Some((serving, _)) if line.starts_with("serving:") => {
            format!("{serving}, console: false }}")
        }
        _ => line.to_owned(),
    });
    let server = project.run().expect("run");
    for path in [
        "/",
        "/console/",
        "/console/app.js",
        "/v1/console/now",
        "/v1/console/project",
    ] {
        let (status, said) = server.get(path).expect("an answer");
        assert_eq!(status, 404, "{path}: {said}");
    }
    server.stop().expect("stop");
}

/// Writes the example project and the pages, at these ports.
fn example(folder: &Path, ports: Ports) {
    let features = Path::new(env!("CARGO_MANIFEST_DIR")).join("../features");
    for entry in std::fs::read_dir(features).expect("the example").flatten() {
        let path = entry.path();
        if path
            .extension()
            .is_some_and(|kind| kind == "yaml" || kind == "lock")
        {
            let copied = std::fs::copy(&path, folder.join(entry.file_name()));
            copied.expect("copy");
        }
    }
    std::fs::write(folder.join("pages.yaml"), PAGES).expect("write");
    change(folder, |line| match line.starts_with("serving:") {
        true => ports.yaml(),
        false => line.to_owned(),
    });
}

/// Changes the lines of a project's settings.
fn change(folder: &Path, line: impl Fn(&str) -> String) {
    let path = folder.join("tiderace.yaml");
    let text = std::fs::read_to_string(&path).expect("settings");
    let text: String = text.lines().map(|held| line(held) + "\n").collect();
    std::fs::write(path, text).expect("write");
}

/// A page of JSON.
fn json(server: &Server, path: &str) -> Json {
    let (status, text) = server.get(path).expect("an answer");
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// What is answered to whoever asks by another name.
fn asked_as(server: &Server, host: &str) -> String {
    let address = ("127.0.0.1", server.ports().http);
    let mut stream = TcpStream::connect(address).expect("connect");
    let request =
        format!("GET /v1/console/project HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

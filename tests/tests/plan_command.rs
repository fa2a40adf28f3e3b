//! `tiderace plan`: a change of meaning is seen, refused, and made on purpose; and what it does is told
//! before it is done.

use serde_json::Value as Json;
use std::path::Path;
use std::process::Output;
use tiderace_testkit::bin;
use tiderace_testkit::wait;
use tiderace_tests::project::{PAST, Project, Settings};

const WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

struct Planned {
    project: Project,
}

impl Planned {
    fn new() -> Planned {
        let project = Project::new(&Settings {
            source: PAST.to_owned(),
            ..Settings::default()
        });
        Planned {
            project: project.expect("project"),
        }
    }

    fn plan(&self, more: &[&str]) -> (Option<i32>, String) {
        let words = [&["plan", self.project.argument()], more].concat();
        let Output {
            status,
            stdout,
            stderr,
        } = bin::run(&words).expect("plan");
        let said = [stdout, stderr].concat();
        (status.code(), String::from_utf8(said).expect("text"))
    }

    fn json(&self) -> Json {
        let words = ["plan", self.project.argument(), "--format", "json"];
        let output = bin::run(&words).expect("plan");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn rows(&self, view: &str) -> Json {
        let said = self.json();
        let views = said["effects"]["views"].as_array().expect("views").clone();
        let mut views = views.into_iter();
        views.find(|held| held["view"] == view).expect("the view")
    }

    fn change(&self, from: &str, to: &str) {
        let path = self.project.folder().join("definitions.yaml");
        let text = std::fs::read_to_string(&path).expect("definitions");
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("write");
    }

    fn lock(&self) -> String {
        let path = self.project.folder().join("tiderace.lock");
        std::fs::read_to_string(path).expect("a lock file")
    }
}

#[test]
fn a_change_of_meaning_is_made_on_purpose() {
    let planned = Planned::new();
    let (code, said) = planned.plan(&["--locked"]);
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = planned.plan(&["--write"]);
    assert_eq!(code, Some(0), "{said}");
    let first = planned.lock();
    assert!(
        first.contains("\n  tx_count_1d: int64, count over 1d ["),
        "{first}"
    );
    let (code, said) = planned.plan(&["--locked"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("everything means what"), "{said}");

    planned.change(
        "aggregate: avg, of: amount",
        "aggregate: avg, of: \"amount * 2\"",
    );
    for more in [&[][..], &["--write"], &["--accept-change", "terminal_risk"]] {
        let (code, said) = planned.plan(more);
        assert_eq!(code, Some(1), "{more:?}: {said}");
        assert_eq!(planned.lock(), first, "{more:?}: nothing is written");
    }
    let (_, said) = planned.plan(&[]);
    for part in [
        "! amount_avg_1d means something else",
        "- float64, avg of amount over 1d",
        "+ float64, avg of amount * ",
        "--accept-change customer_spend",
        "customer_spend   rebuilt, from empty rows: WARMING until 30d have passed",
        "spend: 3 of 6 columns mean something else: customer_spend:amount_avg_1d, ",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    let (code, said) = planned.plan(&["--accept-change", "customer_spend"]);
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(planned.lock(), first);
    let (code, said) = planned.plan(&["--locked"]);
    assert_eq!(code, Some(0), "{said}");

    // A lock of another form is not written over.
    let path = planned.project.folder().join("tiderace.lock");
    std::fs::write(&path, "lock 2\n").expect("write");
    let (code, said) = planned.plan(&["--write"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("newer version"), "{said}");
}

#[test]
fn the_lock_of_the_example_project_is_current() {
    let features = Path::new(env!("CARGO_MANIFEST_DIR")).join("../features");
    let words = ["plan", features.to_str().expect("text"), "--locked"];
    let said = bin::output(&words).expect("current");
    assert!(said.contains("everything means what"), "{said}");
}

#[test]
fn what_runs_is_compared_with() {
    let planned = Planned::new();
    assert_eq!(planned.rows("customer_spend")["rows"], "new");
    assert_eq!(planned.rows("customer_spend")["past"], "log");
    let server = planned.project.run().expect("run");
    let said = wait::until("views to be told of", WITHIN, || {
        planned.rows("customer_spend")["rows"] == "kept"
    });
    said.unwrap_or_else(|late| panic!("{late}: {:#}", planned.json()));
    server.stop().expect("stop");
    assert_eq!(planned.json()["effects"]["compared_with"], "state");

    planned.change(
        "aggregate: avg, of: amount",
        "aggregate: avg, of: \"amount * 2\"",
    );
    assert_eq!(planned.rows("customer_spend")["rows"], "rebuilt");
    assert_eq!(planned.rows("customer_spend")["past"], "nothing");
    assert_eq!(planned.rows("terminal_risk")["rows"], "kept");
    // And that is what comes of it.
    let server = planned.project.run().expect("run");
    let said = wait::until("the changed view to be what runs", WITHIN, || {
        planned.rows("customer_spend")["rows"] == "kept"
    });
    said.unwrap_or_else(|late| panic!("{late}: {:#}", planned.json()));
    server.stop().expect("stop");
}

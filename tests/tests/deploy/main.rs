//! What is deployed, held to what there is: the files of `deploy/` and the pages of `docs/` name metrics,
//! labels, doors, commands, tests and runbooks, and each of these has to exist.

mod files;
mod live;
mod page;
mod promql;

use files::{alerts, anchors, files, text};
use std::collections::BTreeSet;
use tiderace_testkit::bin;

#[test]
fn every_alert_has_a_runbook() {
    let runbooks = anchors("docs/operations.md");
    let alerts = alerts();
    assert!(alerts.len() > 10, "{}", alerts.len());
    for alert in &alerts {
        let anchor = alert.name.to_lowercase();
        let named = format!("runbook: docs/operations.md#{anchor}\n");
        assert!(alert.text.contains(&named), "{}: {named}", alert.name);
        assert!(runbooks.contains(&anchor), "docs/operations.md: {anchor}");
        for part in ["severity: ", "summary: ", "description: "] {
            assert!(alert.text.contains(part), "{}: no {part}", alert.name);
        }
    }
    // And no runbook for what is no alert any more.
    let names: BTreeSet<_> = alerts.iter().map(|a| a.name.to_lowercase()).collect();
    let stale: Vec<_> = runbooks
        .iter()
        .filter(|anchor| anchor.starts_with("tiderace") && !names.contains(*anchor))
        .collect();
    assert!(stale.is_empty(), "{stale:?}");
    // What they fire on is written down too.
    let cases = text("deploy/prometheus/alerts.test.yaml");
    for alert in &alerts {
        let fires = format!("{{alertname=\"{}\"}}", alert.name);
        assert!(cases.contains(&fires), "no case of {}", alert.name);
    }
}

/// A row of docs/guarantees.md names tests as `` `path` `function` ``, or with several functions behind the path.
#[test]
fn every_promise_has_a_test() {
    let page = text("docs/guarantees.md");
    let mut named = 0;
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let mut file = None;
        for code in line.split('`').skip(1).step_by(2) {
            if code.ends_with(".rs") {
                file = Some((code, text(code)));
            } else if let Some((path, text)) = &file {
                let is_there = text.contains(&format!("fn {code}("));
                assert!(is_there, "docs/guarantees.md: no test `{code}` in {path}");
                named += 1;
            }
        }
    }
    assert!(named > 20, "{named}");
}

#[test]
fn commands_and_their_options_exist() {
    let mut seen = 0;
    let mut pages = [files("deploy"), files("docs")].concat();
    pages.push("README.md".to_owned());
    for path in pages {
        for words in commands_in(&text(&path)) {
            let depth = if words[0] == "dead-letters" { 2 } else { 1 };
            let mut arguments: Vec<&str> = words
                .iter()
                .take(depth)
                .map(String::as_str)
                .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
                .collect();
            arguments.push("--help");
            let help = bin::output(&arguments);
            let help = help.unwrap_or_else(|error| panic!("{path}: {words:?}: {error}"));
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let option = option.split('=').next().unwrap_or_default();
                let is_there = help.split([' ', ',', '\n']).any(|word| word == option);
                assert!(is_there, "{path}: {words:?}: no {option}");
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

/// Where a command of the binary is written down as one: at the beginning of a line of code or of what is
/// between backticks, or as what an image or a unit is to run.
fn commands_in(text: &str) -> Vec<Vec<String>> {
    let mut found = vec![];
    for line in text.lines() {
        let inline = line.split('`').skip(1).step_by(2);
        for code in inline.chain([line]) {
            let code = code.trim();
            let code = code
                .strip_prefix("ExecStart=/usr/local/bin/")
                .or(code.strip_prefix("$ "))
                .unwrap_or(code);
            let image = code.strip_prefix("\"$IMAGE\" ");
            let Some(command) = code.strip_prefix("tiderace ").or(image) else {
                continue;
            };
            // What follows is another program's, or a remark.
            let command = command.split(['#', '|', '>', '<', ';']).next();
            let words = command.unwrap_or_default().split_whitespace();
            let words: Vec<String> = words
                .map(|word| word.trim_matches(['"', '\\']).to_owned())
                .collect();
            let is_command = |word: &String| {
                word.len() > 2 && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            };
            if words.first().is_some_and(is_command) {
                found.push(words);
            }
        }
    }
    found
}

//! What the files of `deploy/` and `docs/` say, as the tests need it.

use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The top of the repository.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of a file, named from the top.
pub fn text(path: &str) -> String {
    std::fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder and the folders in it, named from the top.
pub fn files(folder: &str) -> Vec<String> {
    let mut found = vec![];
    for entry in std::fs::read_dir(top().join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry
            .file_name()
            .into_string()
            .expect("a name that is text");
        let path = format!("{folder}/{name}");
        match entry.path().is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// One rule of `deploy/prometheus/alerts.yaml`.
#[derive(Debug, Default)]
pub struct Alert {
    pub name: String,
    pub expression: String,
    /// All of the rule, as it is written.
    pub text: String,
}

/// The alerts, by their lines: the file is ours, and its form is always the same.
pub fn alerts() -> Vec<Alert> {
    let mut alerts: Vec<Alert> = vec![];
    let mut is_expression = false;
    for line in text("deploy/prometheus/alerts.yaml").lines() {
        if let Some(name) = line.trim_start().strip_prefix("- alert: ") {
            let name = name.to_owned();
            alerts.push(Alert {
                name,
                ..Alert::default()
            });
        }
        let Some(alert) = alerts.last_mut() else {
            continue;
        };
        let key = line.trim_start().split_once(':');
        // Deeper than the keys of a rule: more of a block.
        if line.starts_with("          ") && is_expression {
            alert.expression += line.trim();
            alert.expression += " ";
        } else if let Some(("expr", rest)) = key {
            is_expression = true;
            alert.expression = rest.trim().trim_start_matches('|').to_owned();
        } else {
            is_expression = false;
        }
        alert.text += line;
        alert.text += "\n";
    }
    alerts
}

/// The names in `{{ … }}` behind what introduces them, such as `$labels.`.
pub fn shown(text: &str, before: &str) -> Vec<String> {
    let parts = text.split("{{").skip(1);
    let inside = parts.filter_map(|part| Some(part.split_once("}}")?.0.trim()));
    let named = inside.filter_map(|inside| inside.strip_prefix(before));
    let name = |text: &str| text.split([' ', '|']).next().unwrap_or_default().to_owned();
    named.map(name).collect()
}

/// One query of the dashboard.
#[derive(Debug)]
pub struct Query {
    pub panel: String,
    pub expression: String,
    pub shown: Vec<String>,
}

/// Every query of the dashboard: of its panels, and of its variables.
pub fn queries() -> Vec<Query> {
    let dashboard: Json =
        serde_json::from_str(&text("deploy/grafana/tiderace.json")).expect("JSON");
    let mut queries = vec![];
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().unwrap_or(&vec![]) {
            let word = |key: &str| target[key].as_str().expect("a text").to_owned();
            queries.push(Query {
                panel: panel["title"].as_str().expect("a title").to_owned(),
                expression: word("expr"),
                shown: shown(&word("legendFormat"), ""),
            });
        }
    }
    let variables = dashboard["templating"]["list"].as_array();
    for variable in variables.expect("variables") {
        let query = variable["query"].as_str().expect("a query");
        if let Some(asked) = query.strip_prefix("label_values(") {
            let (metric, label) = asked.trim_end_matches(')').split_once(", ").expect("two");
            queries.push(Query {
                panel: format!("${}", variable["name"]),
                expression: metric.to_owned(),
                shown: vec![label.to_owned()],
            });
        }
    }
    queries
}

/// The anchors of a page's headings, as they are made from them: small letters, dashes for spaces.
pub fn anchors(path: &str) -> BTreeSet<String> {
    let text = text(path);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

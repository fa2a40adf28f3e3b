//! A project whose values go to topics, payments that happen now, and what must stand in the topics.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tiderace_testkit::bin::Server;
use tiderace_testkit::wait;
use tiderace_tests::ask::Asker;
use tiderace_tests::project::{Project, Settings};
pub use tiderace_tests::shared::kafka;
use tiderace_tests::values::{self, ValueRecord};
use tiderace_types::Timestamp;

pub const WITHIN: Duration = Duration::from_secs(60);

/// Now.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.expect("after 1970").as_micros();
    Timestamp(i64::try_from(micros).expect("within range"))
}

/// A view of the definitions.
pub struct View<'a> {
    pub name: &'a str,
    /// What follows `output:`, or nothing.
    pub output: &'a str,
    pub windows: &'a str,
}

/// Definitions of views over one source of payments.
pub fn definitions(stream: &str, views: &[View<'_>]) -> String {
    let mut text = format!(
        "kind: source
name: card_payments
stream: {stream}
columns: {{ id: int64, at: timestamp, customer_id: {{ type: int64, nullable: false }}, shop: string, amount: float64 }}
event_time: at
event_id: id
allowed_lateness: 1d
complete_since: beginning
---
kind: entity
name: customer
keys: {{ customer_id: int64, shop: string }}
"
    );
    for View {
        name,
        output,
        windows,
    } in views
    {
        let output = match *output {
            "" => String::new(),
            output => format!("output: {output}\n"),
        };
        text += &format!(
            "---
kind: feature_view
name: {name}
entity: customer
source: card_payments
history: 1d
{output}features:
  - {{ name: n, aggregate: count, windows: [{windows}] }}
  - {{ name: total, aggregate: sum, of: amount, windows: [{windows}] }}
  - {{ name: most, aggregate: top_n, of: amount, n: 2, windows: [{windows}] }}
---
kind: feature_service
name: {name}
features: [\"{name}:*\"]
"
        );
    }
    text
}

/// Settings with that Kafka.
pub fn settings(bootstrap: String) -> Settings {
    Settings {
        kafka: Some(bootstrap),
        lanes: 2,
        ..Settings::default()
    }
}

/// A project with such views; its state is committed often, or by an interval that `state` says.
pub fn project(settings: &Settings, definitions: &str, state: &str) -> Project {
    let project = Project::with(settings, definitions).expect("project");
    let path = project.folder().join("tiderace.yaml");
    let text = std::fs::read_to_string(&path).expect("settings");
    let edited = text.replace("lanes: 2", &format!("lanes: 2, {state}"));
    assert_ne!(edited, text);
    std::fs::write(&path, edited).expect("write settings");
    project
}

/// A server of one view over pushed payments, whose values go where `output` says.
pub struct Scene {
    pub project: Project,
    pub server: Server,
    pub asker: Asker,
}

impl Scene {
    pub fn new(output: &str, windows: &str) -> Scene {
        let view = View {
            name: "spend",
            output,
            windows,
        };
        let settings = settings(kafka().bootstrap());
        let definitions = definitions("embedded", &[view]);
        let project = project(&settings, &definitions, "commit_interval: 320ms");
        let server = project.run().expect("run");
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        Scene {
            project,
            server,
            asker,
        }
    }
}

/// A payment, as a record.
pub fn payment(id: i64, at: Timestamp, customer: i64, amount: f64) -> Vec<u8> {
    let shop = shop(customer);
    let payment = json!({ "id": id, "at": at.to_string(), "customer_id": customer, "shop": shop, "amount": amount });
    payment.to_string().into_bytes()
}

pub fn shop(customer: i64) -> String {
    format!("shop \"{}\"", customer % 3)
}

/// The key of a customer's records, as the manual says.
pub fn key(customer: i64) -> String {
    let shop = json!(shop(customer));
    format!("{{\"customer_id\":{customer},\"shop\":{shop}}}")
}

/// What a lookup as of the instant of a record says: its values, statuses and completeness.
pub fn asked(server: &Server, view: &str, customer: i64, as_of: &Json) -> Json {
    let body = json!({
        "service": view,
        "entities": { "customer_id": [customer], "shop": [shop(customer)] },
        "as_of": as_of,
        "include_metadata": true,
        "include_valid_until": true,
    });
    let (status, answer) = server.post("/v1/features", &body.to_string()).expect("ask");
    assert_eq!(status, 200, "{answer}");
    let answer: Json = serde_json::from_str(&answer).expect("JSON");
    let row = &answer["rows"][0];
    let names = answer["features"].as_array().expect("names");
    let by_name = |of: &str| -> BTreeMap<&str, &Json> {
        let all = row[of].as_array().expect("one per feature");
        let names = names.iter().map(|name| name.as_str().expect("a name"));
        names.zip(all).collect()
    };
    let ends = row["valid_until"].as_array();
    let ends = ends
        .into_iter()
        .flatten()
        .map(|end| end["valid_until"].as_str());
    json!({
        "values": by_name("values"),
        "statuses": by_name("statuses"),
        "completeness": by_name("completeness"),
        "valid_until": ends.flatten().min(),
        "newest_event_time": row["views"][0]["newest_event_time"],
        "fingerprint": row["views"][0]["fingerprint"],
    })
}

/// A counter or gauge of a view's output.
pub fn metric(server: &Server, name: &str, view: &str) -> u64 {
    let (_, page) = server.get("/metrics").expect("metrics");
    let start = format!("tiderace_output_{name}{{view=\"{view}\"}} ");
    let mut lines = page.lines().filter_map(|line| line.strip_prefix(&start));
    lines
        .next()
        .map_or(0, |count| count.parse().expect("a number"))
}

/// Waits until the newest records of a topic are as they should be; gives all records.
pub fn wait_newest(
    bootstrap: &str,
    topic: &str,
    server: &Server,
    mut fault: impl FnMut(&BTreeMap<String, ValueRecord>) -> Option<String>,
) -> Vec<ValueRecord> {
    let mut found = None;
    let mut records = Vec::new();
    let right = wait::until("the newest records to be right", WITHIN, || {
        match values::read(bootstrap, topic) {
            Ok(read) => {
                found = fault(&values::newest(&read));
                records = read;
            }
            Err(error) => found = Some(format!("{error:#}")),
        }
        found.is_none()
    });
    right.unwrap_or_else(|late| panic!("{topic}: {late}: {found:?}\n{}", server.log()));
    values::assert_in_order(&records);
    records
}

/// What is wrong with the newest records where each customer's values are to be `(count, sum)`.
pub fn unlike(
    newest: &BTreeMap<String, ValueRecord>,
    window: &str,
    expected: &BTreeMap<i64, (i64, f64)>,
) -> Option<String> {
    expected.iter().find_map(|(customer, (count, sum))| {
        let Some(record) = newest.get(&key(*customer)) else {
            return Some(format!("no record of {customer}"));
        };
        let found = record.at(&format!("/values/n_{window}"));
        let total = record.at(&format!("/values/total_{window}")).as_f64();
        let near = total.is_some_and(|total| (total - sum).abs() <= 1e-9 * sum.abs().max(1.0));
        (found != json!(count) || !near).then(|| {
            format!("{customer}: {found} and {total:?}, not {count} and {sum}: {record:?}")
        })
    })
}

/// An instant in JSON as a text that sorts by time: always with six digits of a second.
pub fn sortable(instant: &Json) -> String {
    let text = instant.as_str().expect("an instant");
    let text = text.strip_suffix('Z').expect("UTC");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}.{fraction:0<6}")
}

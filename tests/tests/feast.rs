//! What Feast's clients are answered is what our own are: two versions of its Python SDK, its stubs of
//! gRPC, and its service from Rust, against the running binary.

use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;
use tempfile::TempDir;
use tiderace_serve::feast::serving::get_online_features_request::Kind as Asked;
use tiderace_serve::feast::serving::serving_service_client::ServingServiceClient;
use tiderace_serve::feast::serving::{FeatureList, GetOnlineFeaturesRequest};
use tiderace_serve::feast::types::{self, RepeatedValue, value::Val};
use tiderace_serve::proto::get_online_features_request::Selection;
use tiderace_serve::proto::{self, Status, column::Values, value::Kind};
use tiderace_testkit::bin::Server;
use tiderace_testkit::generate::{Payments, Town};
use tiderace_testkit::redis::Redis;
use tiderace_tests::ask::{Asker, column, instant};
use tiderace_tests::feast;
use tiderace_tests::input::{self, Payment};
use tiderace_tests::project::{PAST, Project, Settings};
use tiderace_types::{Duration, Timestamp};
use tonic::transport::Channel;

/// A view of two keys, and a service of everything with request data.
const MORE: &str = "\
---
kind: entity
name: pair
keys: { customer_id: int64, terminal_id: int64 }
---
kind: feature_view
name: pair_habits
entity: pair
source: card_payments
history: all
max_age: 20d
features:
  - { name: visits, aggregate: count, windows: [7d] }
  - { name: visit_max, aggregate: max, of: amount, windows: [30d] }
  - { name: visit_amounts, aggregate: last_n, of: amount, n: 3, windows: [30d] }
---
kind: feature_service
name: fraud
features: [\"customer_spend:*\", \"terminal_risk:risk\", \"pair_habits:*\"]
on_demand:
  - { name: ratio, expr: \"amount / amount_avg_30d\", request: { amount: float64 } }
";

const DAY: i64 = 86_400_000_000;

/// A running server with payments of the last weeks.
struct Scene {
    _project: Project,
    servers: Vec<Server>,
    asker: Asker,
    payments: Vec<Payment>,
    _folder: TempDir,
    _redis: Option<Redis>,
}

/// One question, in no protocol's form.
#[derive(Clone)]
struct Case {
    service: Option<&'static str>,
    features: Vec<String>,
    keys: Vec<(&'static str, Vec<i64>)>,
    amounts: Option<Vec<f64>>,
    full: bool,
}

#[test]
fn feast_clients_are_answered_as_ours_are() {
    let scene = Scene::new(None);
    let cases = scene.cases();
    let mut seen = BTreeSet::new();
    for case in &cases {
        seen.extend(scene.check_grpc(case));
    }
    let all = ["NOT_FOUND", "NULL_VALUE", "OUTSIDE_MAX_AGE", "PRESENT"];
    assert!(seen.iter().eq(all), "{seen:?}");
    for version in feast::VERSIONS {
        scene.check_sdk(version, &cases);
    }
    scene.stop();
}

#[test]
fn a_server_apart_answers_them_too() {
    let redis = Redis::start().expect("redis");
    let scene = Scene::new(Some(redis));
    for case in scene.cases() {
        scene.check_grpc(&case);
    }
    scene.stop();
}

impl Scene {
    fn new(redis: Option<Redis>) -> Scene {
        let town = Town {
            seed: 5,
            customers: 30,
            terminals: 20,
            per_second: 3_000.0 / (50.0 * 86_400.0),
            ..Town::default()
        };
        let made: Vec<Payment> = Payments::new(town)
            .take(3_000)
            .map(|payment| input::made_up(&payment))
            .collect();
        let payments = of_late(made, input::now());
        let settings = Settings {
            source: PAST.to_owned(),
            history: "all",
            redis: redis.as_ref().map(Redis::url),
            feast: true,
            ..Settings::default()
        };
        let definitions = settings.definitions() + MORE;
        let project = Project::with(&settings, &definitions).expect("project");
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("payments.jsonl");
        let lines: Vec<Vec<u8>> = payments.iter().map(Payment::to_json).collect();
        input::write_lines(&file, lines.iter().map(Vec::as_slice)).expect("write");
        project.replay(&file, "customer_id").expect("replay");
        let servers = match redis {
            None => vec![project.run().expect("run")],
            Some(_) => vec![
                project.worker().expect("worker"),
                project.serve().expect("serve"),
            ],
        };
        let url = servers[servers.len() - 1].grpc_url();
        let asker = Asker::new(&url).expect("connect");
        asker.wait_caught_up().expect("caught up");
        Scene {
            _project: project,
            servers,
            asker,
            payments,
            _folder: folder,
            _redis: redis,
        }
    }

    fn stop(self) {
        // The one that serves first.
        for server in self.servers.into_iter().rev() {
            server.stop().expect("stop");
        }
    }

    fn server(&self) -> &Server {
        &self.servers[self.servers.len() - 1]
    }

    /// One and many entities, of one key and of two, known, unknown and known of old.
    fn cases(&self) -> Vec<Case> {
        const NOBODY: i64 = 1 << 50;
        let all = |of: fn(&Payment) -> i64| {
            let known: BTreeSet<i64> = self.payments.iter().map(of).collect();
            known.into_iter().chain([NOBODY]).collect::<Vec<i64>>()
        };
        let customers = all(|payment| payment.customer);
        let pairs: BTreeSet<(i64, i64)> = self
            .payments
            .iter()
            .map(|payment| (payment.customer, payment.terminal))
            .chain([(NOBODY, 1), (customers[0], NOBODY)])
            .collect();
        let (of_pairs, at_pairs): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
        let amounts = (0..of_pairs.len()).map(|row| 10.0 * row as f64);
        let keys_of_pairs = vec![("customer_id", of_pairs), ("terminal_id", at_pairs)];
        let plain = Case {
            service: None,
            features: Vec::new(),
            keys: vec![("customer_id", customers)],
            amounts: None,
            full: false,
        };
        let features = |view: &str, names: &[&str]| {
            let full = names.iter().map(|name| format!("{view}:{name}"));
            full.collect::<Vec<String>>()
        };
        let one = ("customer_id", vec![self.payments[0].customer]);
        vec![
            Case {
                features: features("customer_spend", &["amount_avg_30d", "tx_count_1d"]),
                keys: vec![one],
                ..plain.clone()
            },
            Case {
                features: features("customer_spend", &["tx_count_30d", "amount_avg_1d"]),
                ..plain.clone()
            },
            Case {
                features: features("customer_habits", &HABITS),
                full: true,
                ..plain.clone()
            },
            Case {
                features: features(
                    "terminal_risk",
                    &["tx_count_7d_delay_7d", "risk_30d_delay_7d"],
                ),
                keys: vec![("terminal_id", all(|payment| payment.terminal))],
                ..plain.clone()
            },
            Case {
                service: Some("spend"),
                ..plain.clone()
            },
            Case {
                features: features("pair_habits", &["visit_amounts_30d", "visits_7d"]),
                keys: keys_of_pairs.clone(),
                ..plain.clone()
            },
            Case {
                service: Some("fraud"),
                keys: keys_of_pairs,
                amounts: Some(amounts.collect()),
                ..plain
            },
        ]
    }

    /// What our own API answers, as Feast should have it: columns by name.
    fn expected(
        &self,
        case: &Case,
        as_of: Option<Timestamp>,
    ) -> Vec<(String, Vec<(Json, String)>)> {
        let selection = match case.service {
            Some(name) => Selection::FeatureService(name.to_owned()),
            None => Selection::Features(proto::FeatureList {
                names: case.features.clone(),
            }),
        };
        let amounts = case
            .amounts
            .clone()
            .map(|values| column("amount", Values::Doubles(proto::DoubleColumn { values })));
        let keys = case.keys.iter().map(|(name, values)| {
            let values = values.clone();
            column(name, Values::Int64s(proto::Int64Column { values }))
        });
        let request = proto::GetOnlineFeaturesRequest {
            selection: Some(selection),
            entities: keys.collect(),
            request_data: amounts.into_iter().collect(),
            as_of: as_of.map(instant),
            full_names: case.full,
            include_metadata: true,
            ..Default::default()
        };
        let response = patiently(|| self.asker.send(request.clone())).expect("our own answer");
        let metadata = response.metadata.expect("metadata");
        let echo = case.keys.iter().map(|(name, values)| {
            let present = |value: &i64| (json!(value), "PRESENT".to_owned());
            ((*name).to_owned(), values.iter().map(present).collect())
        });
        let mut columns: Vec<(String, Vec<(Json, String)>)> = echo.collect();
        for (place, name) in metadata.feature_names.iter().enumerate() {
            let halves: &[(&str, Part)] = match metadata.features[place].r#type.starts_with("map<")
            {
                true => &[("_keys", Part::Keys), ("_values", Part::Values)],
                false => &[("", Part::Whole)],
            };
            for (suffix, part) in halves {
                let cell = |row: &proto::Row| {
                    let status = Status::try_from(row.statuses[place]).expect("a status");
                    told(&row.values[place], status, *part)
                };
                let cells = response.rows.iter().map(cell).collect();
                columns.push((format!("{name}{suffix}"), cells));
            }
        }
        columns
    }

    /// Asks over gRPC, and our own API as of the instant that the answer says it is for: value by value,
    /// status by status the same; and the newest event of each window by a recount. Gives the statuses.
    fn check_grpc(&self, case: &Case) -> BTreeSet<String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let ask = async || {
            let channel = Channel::from_shared(self.server().grpc_url()).expect("an address");
            let mut client = ServingServiceClient::new(channel.connect_lazy());
            client.get_online_features(case.message()).await
        };
        let response = patiently(|| runtime.block_on(ask()));
        let response = response.unwrap_or_else(|status| panic!("{case:?}: {status}"));
        let header = |name: &str| {
            let text = response.metadata().get(name).expect("a header").to_str();
            text.expect("text").to_owned()
        };
        assert_eq!(header("tiderace-completeness"), "COMPLETE");
        let at: prost_types::Timestamp = header("tiderace-as-of").parse().expect("an instant");
        let as_of = Timestamp(at.seconds * 1_000_000 + i64::from(at.nanos) / 1000);
        let answer = response.into_inner();
        let names = answer.metadata.expect("metadata").feature_names.clone();
        let found = names.expect("names").val.into_iter().zip(&answer.results);
        let found: Vec<(String, Vec<(Json, String)>)> = found
            .map(|(name, column)| {
                let cells = column.values.iter().zip(column.statuses());
                let cell = |(value, status): (&types::Value, _)| {
                    let status: tiderace_serve::feast::serving::FieldStatus = status;
                    (plain(value), status.as_str_name().to_owned())
                };
                (name, cells.map(cell).collect())
            })
            .collect();
        assert_eq!(found, self.expected(case, Some(as_of)), "{case:?}");
        for ((name, _), column) in found.iter().zip(&answer.results) {
            self.check_times(case, name, &column.event_timestamps, as_of);
        }
        let cells = found.into_iter().flat_map(|(_, cells)| cells);
        cells.map(|(_, status)| status).collect()
    }

    fn check_times(
        &self,
        case: &Case,
        name: &str,
        times: &[prost_types::Timestamp],
        as_of: Timestamp,
    ) {
        let Some((_, days, delay)) = WINDOWS.iter().find(|(known, _, _)| *known == name) else {
            return;
        };
        let upto = as_of.minus(Duration(delay * DAY));
        let after = upto.minus(Duration(days * DAY));
        let wanted = if *delay > 0 {
            "terminal_id"
        } else {
            "customer_id"
        };
        let mut keys = case.keys.iter();
        let (key, entities) = keys.find(|(key, _)| *key == wanted).expect("its key");
        for (entity, time) in entities.iter().zip(times) {
            let of = |payment: &&Payment| match *key {
                "terminal_id" => payment.terminal == *entity,
                _ => payment.customer == *entity,
            };
            let inside = |payment: &&Payment| payment.time > after && payment.time <= upto;
            let newest = self.payments.iter().filter(of).filter(inside);
            let newest = newest.map(|payment| payment.time).max();
            let expect = instant(newest.unwrap_or(Timestamp(0)));
            assert_eq!(*time, expect, "{name} of {key} {entity}");
        }
    }

    /// Asks everything through a version of the SDK.
    fn check_sdk(&self, version: &str, cases: &[Case]) {
        let old = version == feast::VERSIONS[0];
        // The old one asks each view by itself, by its first key alone, and knows of no service here.
        let cases: Vec<&Case> = cases
            .iter()
            .filter(|case| !old || case.service.is_none() && case.keys.len() == 1)
            .collect();
        let mistakes = if old { old_mistakes() } else { mistakes() };
        let ports = self.server().ports();
        let sdk = cases.iter().map(|case| case.json(old));
        let plan = json!({
            "http": format!("http://127.0.0.1:{}", ports.feast),
            "grpc": format!("127.0.0.1:{}", ports.grpc),
            "views": if old { self.views() } else { json!([]) },
            "sdk": sdk.chain(mistakes.iter().map(|(case, ..)| case.clone())).collect::<Json>(),
            "grpc_cases": cases.iter().map(|case| case.json(false)).collect::<Json>(),
        });
        let answers = feast::ask(version, &plan).expect("Feast answers");
        let answers_of = |what: &str| answers[what].as_array().expect("a list").clone();
        let (sdk, grpc) = (answers_of("sdk"), answers_of("grpc"));
        for (case, (sdk, grpc)) in cases.iter().zip(sdk.iter().zip(&grpc)) {
            let expected = self.expected(case, None);
            check_answer(&format!("{version} grpc {case:?}"), grpc, &expected, !old);
            // The old client tells no statuses, and its own order.
            check_answer(&format!("{version} {case:?}"), sdk, &expected, !old);
        }
        for ((case, raised, message), found) in mistakes.iter().zip(&sdk[cases.len()..]) {
            assert_eq!(found["raised"], *raised, "{case}: {found}");
            let said = found["message"].as_str().expect("a message");
            assert!(said.contains(message), "{case}: {said}");
            assert_eq!(found["requests"], 1, "{case}: asked again: {found}");
        }
    }

    /// The views as the old client's registry has to have them.
    fn views(&self) -> Json {
        let (status, body) = self.server().get("/v1/catalogue").expect("catalogue");
        assert_eq!(status, 200);
        let catalogue: Json = serde_json::from_str(&body).expect("JSON");
        let keys_of = |entity: &Json| {
            let mut entities = catalogue["entities"].as_array().expect("a list").iter();
            let found = entities.find(|known| known["name"] == *entity);
            let keys = found.expect("the entity")["keys"].as_array().expect("keys");
            keys.iter().map(|key| key["name"].clone()).collect::<Json>()
        };
        let views = catalogue["views"].as_array().expect("a list").iter();
        let view = |view: &Json| {
            let mut fields = Map::new();
            for feature in view["features"].as_array().expect("a list") {
                let name = feature["name"].as_str().expect("a name");
                let kind = feature["type"].as_str().expect("a type");
                match kind
                    .strip_prefix("map<")
                    .and_then(|rest| rest.strip_suffix('>'))
                {
                    None => {
                        fields.insert(name.to_owned(), json!(kind));
                    }
                    Some(both) => {
                        let (key, value) = both.split_once(", ").expect("two types");
                        fields.insert(format!("{name}_keys"), json!(format!("list<{key}>")));
                        fields.insert(format!("{name}_values"), json!(format!("list<{value}>")));
                    }
                }
            }
            json!({"name": view["name"], "keys": keys_of(&view["entity"]), "fields": fields})
        };
        views.map(view).collect()
    }
}

const HABITS: [&str; 7] = [
    "amount_sum_lifetime",
    "amount_sum_1h",
    "terminals_30d",
    "top_terminals_30d",
    "first_terminal_lifetime",
    "last_terminal_30d",
    "large_count_30d",
];

/// Windows whose newest event is recounted: names, days and days of delay.
const WINDOWS: [(&str, i64, i64); 5] = [
    ("tx_count_1d", 1, 0),
    ("amount_avg_1d", 1, 0),
    ("tx_count_30d", 30, 0),
    ("tx_count_7d_delay_7d", 7, 7),
    ("risk_30d_delay_7d", 30, 7),
];

/// What callers do wrong, what the client raises, and what that says.
fn mistakes() -> Vec<(Json, &'static str, &'static str)> {
    let one = json!({"customer_id": [1]});
    let spend = json!(["customer_spend:tx_count_1d"]);
    vec![
        (
            json!({"features": ["nope:a"], "entities": one}),
            "FeatureViewNotFoundException",
            "unknown feature view \"nope\"",
        ),
        (
            json!({"features": ["customer_spend@v2:tx_count_1d"], "entities": one}),
            "FeatureViewVersionNotFound",
            "has no version \"v2\"",
        ),
        (
            json!({"service": "spent", "entities": one}),
            "FeatureServiceNotFoundException",
            "did you mean \"spend\"?",
        ),
        (
            json!({"service": "fraud", "entities": {"customer_id": [1], "terminal_id": [1]}}),
            "RequestDataNotFoundInEntityRowsException",
            "needs request data \"amount\"",
        ),
        (
            json!({"features": ["customer_spend:nope"], "entities": one}),
            "RuntimeError",
            "422 {\"detail\":\"feature \\\"customer_spend:nope\\\": feature view",
        ),
        (
            json!({"features": ["customer_spend"], "entities": one}),
            "RuntimeError",
            "expected \\\"view:feature\\\"",
        ),
        (
            json!({"features": ["pair_habits:visits_7d"], "entities": one}),
            "RuntimeError",
            "needs entity key \\\"terminal_id\\\"",
        ),
        (
            json!({"features": ["pair_habits:visits_7d"], "columns": true,
                "entities": {"customer_id": [1, 2], "terminal_id": [1]}}),
            "RuntimeError",
            "every column needs one per row",
        ),
        (
            json!({"features": spend, "columns": true, "entities": {"customer_id": []}}),
            "RuntimeError",
            "column \\\"customer_id\\\" has no values",
        ),
        (
            json!({"features": spend, "entities": {"customer_id": ["one"]}}),
            "RuntimeError",
            "expected int64, found string",
        ),
    ]
}

/// As [`mistakes`], for the client that finds most of them in its own registry.
fn old_mistakes() -> Vec<(Json, &'static str, &'static str)> {
    // It sends the first key alone: that must be an error, not an unknown entity.
    vec![(
        json!({"features": ["pair_habits:visits_7d"],
            "entities": {"customer_id": [1], "terminal_id": [1]}}),
        "RuntimeError",
        "needs entity key",
    )]
}

impl Case {
    fn message(&self) -> GetOnlineFeaturesRequest {
        let repeated = |vals: Vec<Val>| RepeatedValue {
            val: vals
                .into_iter()
                .map(|val| types::Value { val: Some(val) })
                .collect(),
        };
        let keys = self.keys.iter().map(|(name, values)| {
            let vals = values.iter().map(|value| Val::Int64Val(*value)).collect();
            ((*name).to_owned(), repeated(vals))
        });
        let amounts = self.amounts.iter().map(|amounts| {
            let vals = amounts.iter().map(|amount| Val::DoubleVal(*amount));
            ("amount".to_owned(), repeated(vals.collect()))
        });
        GetOnlineFeaturesRequest {
            kind: Some(match self.service {
                Some(name) => Asked::FeatureService(name.to_owned()),
                None => Asked::Features(FeatureList {
                    val: self.features.clone(),
                }),
            }),
            entities: keys.chain(amounts).collect(),
            full_feature_names: self.full,
            ..Default::default()
        }
    }

    /// The same for the script. An old client has maps as two features in its registry.
    fn json(&self, old: bool) -> Json {
        let mut entities = Map::new();
        for (name, values) in &self.keys {
            entities.insert((*name).to_owned(), json!(values));
        }
        if let Some(amounts) = &self.amounts {
            entities.insert("amount".to_owned(), json!(amounts));
        }
        let mut out = json!({"entities": entities, "full": self.full});
        match self.service {
            Some(name) => out["service"] = json!(name),
            None if old => {
                let halves = |name: &String| match name.contains("top_") {
                    true => vec![format!("{name}_keys"), format!("{name}_values")],
                    false => vec![name.clone()],
                };
                out["features"] = self.features.iter().flat_map(halves).collect();
            }
            None => out["features"] = json!(self.features),
        }
        out
    }
}

/// How often a question is asked again that a loaded machine could not answer in time.
const ATTEMPTS: usize = 10;

fn patiently<T>(mut ask: impl FnMut() -> Result<T, tonic::Status>) -> Result<T, tonic::Status> {
    let passing = [tonic::Code::Unavailable, tonic::Code::DeadlineExceeded];
    for _ in 1..ATTEMPTS {
        match ask() {
            Err(status) if passing.contains(&status.code()) => {}
            answered => return answered,
        }
    }
    ask()
}

/// What is asked, and of how many.
impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows = self.keys[0].1.len();
        match self.service {
            Some(service) => write!(f, "{service} of {rows}"),
            None => write!(f, "{:?} of {rows}", self.features),
        }
    }
}

#[derive(Clone, Copy)]
enum Part {
    Whole,
    Keys,
    Values,
}

/// What Feast should say of a value of ours.
fn told(value: &proto::Value, status: Status, part: Part) -> (Json, String) {
    let name = match status {
        Status::Present => "PRESENT",
        Status::Null => "NULL_VALUE",
        Status::NotFound => "NOT_FOUND",
        Status::OutsideMaxAge => "OUTSIDE_MAX_AGE",
        other => panic!("{other:?} where everything is known"),
    };
    let value = match status {
        Status::Present => own(value, part),
        _ => Json::Null,
    };
    (value, name.to_owned())
}

fn own(value: &proto::Value, part: Part) -> Json {
    match value.kind.as_ref().expect("a kind") {
        Kind::NullValue(_) => Json::Null,
        Kind::Int64Value(n) => json!(n),
        Kind::DoubleValue(x) => double(x),
        Kind::ListValue(list) => list.values.iter().map(|item| own(item, part)).collect(),
        Kind::MapValue(map) => {
            let half = |entry: &proto::ValueMapEntry| {
                let half = match part {
                    Part::Keys => &entry.key,
                    Part::Whole | Part::Values => &entry.value,
                };
                own(half.as_ref().expect("both halves"), part)
            };
            map.entries.iter().map(half).collect()
        }
        other => panic!("{other:?} in a test that has none"),
    }
}

/// The bits of a double, which not every reader of JSON keeps.
fn double(x: &f64) -> Json {
    json!(format!("double {:016x}", x.to_bits()))
}

fn plain(value: &types::Value) -> Json {
    match &value.val {
        None => Json::Null,
        Some(Val::Int64Val(n)) => json!(n),
        Some(Val::DoubleVal(x)) => double(x),
        Some(Val::Int64ListVal(list)) => json!(list.val),
        Some(Val::DoubleListVal(list)) => list.val.iter().map(double).collect(),
        Some(other) => panic!("{other:?} in a test that has none"),
    }
}

/// Compares what the script found with what it should be.
fn check_answer(
    what: &str,
    found: &Json,
    expected: &[(String, Vec<(Json, String)>)],
    statuses: bool,
) {
    assert!(found["raised"].is_null(), "{what}: {found}");
    if statuses {
        let names: Vec<&String> = expected.iter().map(|(name, _)| name).collect();
        assert_eq!(found["names"], json!(names), "{what}");
    }
    for (name, cells) in expected {
        let values: Json = cells.iter().map(|(value, _)| value.clone()).collect();
        assert_eq!(found["values"][name], values, "{what}: {name}");
        if statuses {
            let statuses: Json = cells.iter().map(|(_, status)| json!(status)).collect();
            assert_eq!(found["statuses"][name], statuses, "{what}: {name}");
        }
    }
}

/// The payments, moved so that the last was two hours before `now`, without those that the edge of a
/// window passes while the test runs.
fn of_late(mut payments: Vec<Payment>, now: Timestamp) -> Vec<Payment> {
    let last = payments.iter().map(|payment| payment.time).max();
    let by = now.since(last.expect("there are payments"));
    let by = Duration(by.0 - DAY / 12);
    for payment in &mut payments {
        payment.time = payment.time.plus(by);
    }
    let soon = 30 * 60 * 1_000_000;
    let edges = [1, 7, 8, 14, 20, 30, 37].map(|days| days * DAY);
    payments.retain(|payment| {
        let age = now.since(payment.time).0;
        edges.iter().all(|edge| (age - edge).abs() > soon)
    });
    payments
}

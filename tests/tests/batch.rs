//! Batch views against their tables: partitions that come, change and are late, snapshots that entities
//! leave, kills and failures on the way. Every answer is that of a recount of the table.

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tiderace_testkit::bin::{self, Server};
use tiderace_testkit::generate::Dice;
use tiderace_testkit::wait;
use tiderace_tests::project::{Project, Settings};

const WITHIN: Duration = Duration::from_secs(60);

const DAY: i64 = 86_400_000_000;

/// The first of April 2018.
const FIRST: i64 = 1_522_540_800_000_000;

const CUSTOMERS: i64 = 400;

const DEFINITIONS: &str = r#"
kind: entity
name: customer
keys: { customer: int64 }
---
kind: source
name: payments
columns: { id: int64, at: timestamp, customer: int64, amount: float64 }
event_time: at
event_id: id
complete_since: beginning
max_ahead: none
---
kind: feature_view
name: spend
entity: customer
source: payments
features:
  - { name: paid, aggregate: sum, of: amount, windows: [lifetime] }
---
kind: feature_view
name: profile
entity: customer
keys: { customer: CustomerId }
batch: { parquet: profiles, event_time: updated_at, deleted_when: "gone", columns: { gone: bool }, MORE }
features:
  - { name: score, type: float64 }
  - { name: segment, column: Segment, type: string }
---
kind: feature_service
name: who
features: ["profile:*"]
---
kind: feature_service
name: mixed
features: ["spend:*", "profile:*"]
"#;

#[derive(Clone, Debug, PartialEq)]
struct Row {
    customer: i64,
    at: i64,
    score: Option<f64>,
    segment: Option<String>,
    gone: bool,
}

struct Scene {
    project: Project,
    /// By file, when it was written in the order of all, and its rows.
    files: BTreeMap<String, (usize, Vec<Row>)>,
    written: usize,
}

fn seed() -> u64 {
    let seed = std::env::var("TIDERACE_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok()).unwrap_or(11);
    eprintln!("TIDERACE_SEED={seed}");
    seed
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_micros() as i64
}

fn text(output: &Output) -> String {
    let said = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&said).into_owned()
}

impl Scene {
    fn new(more: &str) -> Scene {
        let settings = Settings {
            lanes: 2,
            ..Settings::default()
        };
        let definitions = DEFINITIONS.replace("MORE", more);
        Scene {
            project: Project::with(&settings, &definitions).expect("project"),
            files: BTreeMap::new(),
            written: 0,
        }
    }

    /// Puts a file in the table, or in the place of one, at once.
    fn write(&mut self, name: &str, rows: Vec<Row>) {
        let path = self.project.folder().join("profiles").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let new = path.with_extension("new");
        let each = |of: fn(&Row) -> i64| rows.iter().map(of);
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "CustomerId",
                Arc::new(Int64Array::from_iter_values(each(|row| row.customer))),
            ),
            (
                "updated_at",
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values(each(|row| row.at))
                        .with_timezone("UTC"),
                ),
            ),
            (
                "score",
                Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.score))),
            ),
            (
                "Segment",
                Arc::new(StringArray::from_iter(
                    rows.iter().map(|row| row.segment.clone()),
                )),
            ),
            (
                "gone",
                Arc::new(BooleanArray::from_iter(
                    rows.iter().map(|row| Some(row.gone)),
                )),
            ),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("columns");
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(100));
        let file = File::create(&new).expect("created");
        let mut writer =
            ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).expect("writer");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
        fs::rename(&new, &path).expect("renamed");
        self.written += 1;
        self.files.insert(name.to_owned(), (self.written, rows));
    }

    fn remove(&mut self, name: &str) {
        fs::remove_file(self.project.folder().join("profiles").join(name)).expect("removed");
        self.files.remove(name);
    }

    /// The newest row of each customer up to an instant.
    fn recount(&self, upto: i64) -> BTreeMap<i64, Row> {
        let mut files: Vec<&(usize, Vec<Row>)> = self.files.values().collect();
        files.sort_by_key(|(written, _)| *written);
        let mut newest: BTreeMap<i64, Row> = BTreeMap::new();
        for row in files.iter().flat_map(|(_, rows)| rows) {
            let held = newest.get(&row.customer);
            if row.at <= upto && held.is_none_or(|held| held.at <= row.at) {
                newest.insert(row.customer, row.clone());
            }
        }
        newest
    }

    fn sync(&self, more: &[&str]) -> Output {
        let mut args = vec!["sync", "profile", "--project", self.project.argument()];
        args.extend(more);
        bin::run(&args).expect("sync")
    }

    fn synced(&self, server: &Server) -> String {
        let output = self.sync(&[]);
        assert!(
            output.status.success(),
            "{}\n{}",
            text(&output),
            server.log()
        );
        text(&output)
    }

    /// Every answer is complete and the table's.
    fn check(&self, server: &Server) {
        let wrong = |completeness| self.wrong(server, completeness);
        let right = wait::until("answers to be the table's", WITHIN, || {
            wrong("COMPLETE").is_none()
        });
        right.unwrap_or_else(|late| {
            panic!("{late:#}: {:?}\n{}", wrong("COMPLETE"), server.log());
        });
    }

    /// The first answer that is not the table's, or not of that completeness.
    fn wrong(&self, server: &Server, completeness: &str) -> Option<String> {
        let newest = self.recount(now());
        let (said, rows) = ask(server, "who", CUSTOMERS + 10);
        if rows.len() as i64 != CUSTOMERS + 10 {
            return Some(said);
        }
        for (customer, row) in (0..).zip(rows) {
            let (values, statuses) = match newest.get(&customer).filter(|row| !row.gone) {
                None => ([Json::Null, Json::Null], ["NOT_FOUND", "NOT_FOUND"]),
                Some(row) => {
                    let status = |there: bool| if there { "PRESENT" } else { "NULL" };
                    (
                        [json!(row.score), json!(row.segment)],
                        [status(row.score.is_some()), status(row.segment.is_some())],
                    )
                }
            };
            let expected = json!({
                "values": values, "statuses": statuses, "completeness": [completeness, completeness],
            });
            if expected != row {
                return Some(format!(
                    "customer {customer}: expected {expected}, got {row}"
                ));
            }
        }
        None
    }
}

/// What a service says of customers from 0 on.
fn ask(server: &Server, service: &str, count: i64) -> (String, Vec<Json>) {
    let ids: Vec<i64> = (0..count).collect();
    let body = json!({ "service": service, "entities": { "customer": ids } });
    let said = server.post("/v1/features", &body.to_string());
    let Ok((200, said)) = said else {
        return (format!("{said:?}"), Vec::new());
    };
    let answer: Json = serde_json::from_str(&said).expect("JSON");
    let mut rows = answer["rows"].as_array().cloned().unwrap_or_default();
    for row in rows.iter_mut().filter_map(Json::as_object_mut) {
        // Of a view that is not complete it says more: how it lags, as of when it would be whole.
        let views = row.remove("views").unwrap_or_default();
        let lag = &views[0]["lag_seconds"];
        assert!(lag.as_f64().is_none_or(|lag| lag < 3600.0), "{said}");
    }
    (said, rows)
}

fn metric(server: &Server, name: &str) -> u64 {
    let (_, page) = server.get("/metrics").expect("metrics");
    let line = page
        .lines()
        .find(|line| line.starts_with(&format!("{name}{{view=\"profile\"}}")));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_default()
}

/// Rows of some customers at about an instant.
fn rows(dice: &mut Dice, at: i64, share: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    for customer in 0..CUSTOMERS {
        if dice.below(100) < share {
            // Some twice, and some at the same instant.
            for _ in 0..1 + dice.below(2) {
                rows.push(Row {
                    customer,
                    at: at + dice.below(4) as i64 * 1_000_000,
                    score: (dice.below(10) > 0).then(|| dice.below(1000) as f64 / 8.0),
                    segment: (dice.below(10) > 0).then(|| format!("s{}", dice.below(5))),
                    gone: dice.below(10) == 0,
                });
            }
        }
    }
    rows
}

fn day(number: i64) -> String {
    format!("date=2018-04-{:02}/part.parquet", number + 1)
}

#[test]
fn partitions_come_change_and_are_late() {
    let dice = &mut Dice::new(seed());
    let mut scene = Scene::new("mode: partitions");
    let server = scene.project.run().expect("run");
    wait::until("it to be warming", WITHIN, || {
        let (_, rows) = ask(&server, "who", 1);
        rows.first() == Some(&json!({
            "values": [null, null], "statuses": ["NOT_FOUND", "NOT_FOUND"], "completeness": ["WARMING", "WARMING"],
        }))
    })
    .unwrap_or_else(|late| panic!("{late:#}: {}", ask(&server, "who", 1).0));
    let output = scene.sync(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("no such file or folder"),
        "{}",
        text(&output)
    );

    for number in 0..4 {
        scene.write(&day(number), rows(dice, FIRST + number * DAY, 60));
        let said = scene.synced(&server);
        assert!(said.contains("1 files"), "{said}");
        scene.check(&server);
    }
    let said = scene.synced(&server);
    assert!(said.contains("nothing has changed"), "{said}");
    // Older than what is there.
    scene.write("date=2018-04-02/late.parquet", rows(dice, FIRST - DAY, 100));
    scene.synced(&server);
    scene.check(&server);
    // Other values at the same instants.
    for number in [3, 1] {
        let mut changed = scene.files[&day(number)].1.clone();
        for row in &mut changed {
            row.score = Some(dice.below(1000) as f64);
            row.gone = dice.below(8) == 0;
        }
        scene.write(&day(number), changed);
    }
    let said = scene.synced(&server);
    assert!(said.contains("2 files"), "{said}");
    scene.check(&server);
    // Not long ago, and not yet.
    scene.write("recent.parquet", rows(dice, now() - 600_000_000, 30));
    scene.write("ahead.parquet", rows(dice, now() + DAY, 30));
    scene.synced(&server);
    scene.check(&server);

    // A view over a stream beside it.
    let event = json!({ "id": 1, "at": "2018-04-01T00:00:31Z", "customer": 7, "amount": 2.5 });
    let (status, said) = server
        .post("/v1/push/payments", &event.to_string())
        .expect("push");
    assert_eq!(status, 200, "{said}");
    let newest = scene.recount(now());
    wait::until("the payment to show", WITHIN, || {
        let (_, rows) = ask(&server, "mixed", 8);
        let known = newest.get(&7).filter(|row| !row.gone);
        let expected = json!([
            2.5,
            known.map(|row| row.score),
            known.map(|row| row.segment.clone())
        ]);
        rows.get(7).is_some_and(|row| row["values"] == expected)
    })
    .unwrap_or_else(|late| panic!("{late:#}: {}", ask(&server, "mixed", 8).0));

    // Its rows are in state.
    server.stop().expect("stop");
    let mut server = scene.project.run().expect("run");
    scene.check(&server);
    let said = scene.synced(&server);
    assert!(said.contains("nothing has changed"), "{said}");
    server.process().kill();
    drop(server);
    let output = scene.sync(&[]);
    // It ran a moment ago, or not any more.
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let server = scene.project.run().expect("run");
    scene.check(&server);

    // A training set says what the table said then.
    let spine = scene.project.folder().join("spine.csv");
    let instants = [
        "2018-03-31T00:00:05Z",
        "2018-04-02T00:00:01Z",
        "2018-04-30T00:00:00Z",
    ];
    let times = [
        FIRST - DAY + 5_000_000,
        FIRST + DAY + 1_000_000,
        FIRST + 29 * DAY,
    ];
    let mut lines = vec!["customer,timestamp".to_owned()];
    for at in instants {
        lines.extend((0..CUSTOMERS).map(|customer| format!("{customer},{at}")));
    }
    fs::write(&spine, lines.join("\n")).expect("written");
    let out = scene.project.folder().join("set.csv");
    let said = bin::run(&[
        "history",
        "--project",
        scene.project.argument(),
        "--service",
        "who",
        "--timestamp",
        "timestamp",
        "--spine",
        spine.to_str().expect("text"),
        "--out",
        out.to_str().expect("text"),
    ])
    .expect("history");
    assert!(said.status.success(), "{}", text(&said));
    let set = fs::read_to_string(&out).expect("read");
    let mut lines = set.lines();
    let head: Vec<&str> = lines.next().expect("a head").split(',').collect();
    let place = |name: &str| head.iter().position(|held| *held == name).expect(name);
    let (score, segment) = (place("score"), place("segment"));
    let mut known = 0;
    for at in times {
        let newest = scene.recount(at);
        for customer in 0..CUSTOMERS {
            let line: Vec<&str> = lines.next().expect("a line").split(',').collect();
            let row = newest.get(&customer).filter(|row| !row.gone);
            let expected = row.and_then(|row| row.score);
            assert_eq!(
                line[score].parse().ok(),
                expected,
                "{customer} at {at}: {line:?}"
            );
            let expected = row.and_then(|row| row.segment.clone());
            assert_eq!(line[segment], expected.unwrap_or_default(), "{line:?}");
            known += i64::from(row.is_some());
        }
    }
    assert!(known > CUSTOMERS, "{known}");
    server.stop().expect("stop");
}

#[test]
fn what_is_wrong_is_named_and_values_stay() {
    let dice = &mut Dice::new(seed());
    let mut scene = Scene::new("mode: partitions");
    let server = scene.project.run().expect("run");
    scene.write(&day(0), rows(dice, FIRST, 80));
    scene.synced(&server);
    scene.check(&server);
    let folder = scene.project.folder().join("profiles");
    let fails = |scene: &Scene, parts: &[&str]| {
        let output = scene.sync(&[]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        for part in parts {
            assert!(text(&output).contains(part), "{part}: {}", text(&output));
        }
        scene.check(&server);
    };
    let bad = folder.join("date=2018-04-09");
    fs::create_dir_all(&bad).expect("made");
    fs::write(bad.join("x.parquet"), "no Parquet").expect("written");
    fails(&scene, &["date=2018-04-09/x.parquet"]);
    // Whole at its ends, and not between.
    let good = fs::read(folder.join(day(0))).expect("read");
    let mut broken = good.clone();
    let middle = 300..broken.len() / 3;
    broken[middle].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(bad.join("x.parquet"), broken).expect("written");
    fails(&scene, &["date=2018-04-09/x.parquet, row group"]);
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("CustomerId", ids)]).expect("columns");
    let file = File::create(bad.join("x.parquet")).expect("created");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    fails(&scene, &["x.parquet", "there is no column `updated_at`"]);
    fs::remove_dir_all(&bad).expect("removed");
    // Its folder holds more than the table.
    let log = folder.join("_delta_log");
    fs::create_dir_all(&log).expect("made");
    fs::write(log.join("00000000000000000000.json"), "{}").expect("written");
    fails(&scene, &["is a table of Delta Lake"]);
    fs::remove_dir_all(&log).expect("removed");
    assert_eq!(metric(&server, "tiderace_sync_failures_total"), 4);
    scene.write(&day(1), rows(dice, FIRST + DAY, 50));
    scene.synced(&server);
    scene.check(&server);
    assert_eq!(metric(&server, "tiderace_syncs_total"), 2);
    server.stop().expect("stop");
}

#[test]
fn a_snapshot_is_all_there_is() {
    let dice = &mut Dice::new(seed());
    let mut scene = Scene::new("mode: snapshot");
    let server = scene.project.run().expect("run");
    let mut at = FIRST;
    let mut deleted = 0;
    for round in 0..5 {
        at += DAY;
        // Whoever is not in this one is gone; one file of two is as it was, now and then.
        scene.write("a.parquet", of(rows(dice, at, 50), 0));
        if round % 2 == 0 {
            scene.write("b.parquet", of(rows(dice, at, 20), 1));
        }
        let said = scene.synced(&server);
        deleted += u64::from(said.contains("left the table"));
        scene.check(&server);
    }
    assert!(deleted >= 3, "{deleted}");
    // The very same rows go and come back, at the same instants.
    let before = scene.files["b.parquet"].1.clone();
    scene.remove("b.parquet");
    scene.synced(&server);
    scene.check(&server);
    scene.write("b.parquet", before);
    scene.synced(&server);
    scene.check(&server);
    // A table that is gone is not an empty one.
    let folder = scene.project.folder().join("profiles");
    let aside = scene.project.folder().join("aside");
    fs::rename(&folder, &aside).expect("moved");
    let output = scene.sync(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    scene.check(&server);
    fs::rename(&aside, &folder).expect("moved");
    server.stop().expect("stop");
    let server = scene.project.run().expect("run");
    scene.check(&server);
    scene.write("a.parquet", of(rows(dice, at + DAY, 30), 0));
    scene.synced(&server);
    scene.check(&server);
    server.stop().expect("stop");
}

/// Those of every other customer.
fn of(mut rows: Vec<Row>, first: i64) -> Vec<Row> {
    rows.retain(|row| row.customer % 2 == first);
    rows
}

/// How often it is killed.
fn kills() -> usize {
    let said = std::env::var("TIDERACE_KILLS").ok();
    said.and_then(|text| text.parse().ok()).unwrap_or(4)
}

#[test]
fn kills_change_nothing() {
    for mode in ["partitions", "snapshot"] {
        let dice = &mut Dice::new(seed());
        let mut scene = Scene::new(&format!("mode: {mode}, refresh: 1h"));
        let mut at = FIRST;
        for _ in 0..kills() {
            at += DAY;
            // In either mode no row leaves without a newer one.
            let everyone = rows(dice, at, 100);
            scene.write("all.parquet", everyone);
            if mode == "snapshot" {
                scene.write("some.parquet", rows(dice, at, 30));
                let some: BTreeSet<i64> = (0..20).map(|_| dice.below(400) as i64).collect();
                let mut fewer = scene.files["all.parquet"].1.clone();
                fewer.retain(|row| !some.contains(&row.customer));
                scene.write("all.parquet", fewer);
            }
            let mut server = scene.project.launch().expect("launch");
            server.wait_ready().expect("ready");
            let args = [
                "sync",
                "profile",
                "--wait",
                "--project",
                scene.project.argument(),
            ];
            let mut sync = bin::command(&args)
                .expect("the binary")
                .spawn()
                .expect("sync");
            std::thread::sleep(Duration::from_millis(dice.below(500)));
            server.process().kill();
            drop(server);
            sync.kill().expect("killed");
            sync.wait().expect("ended");
        }
        let server = scene.project.run().expect("run");
        scene.synced(&server);
        scene.check(&server);
        server.stop().expect("stop");
    }
}

#[test]
fn a_schedule_is_kept_and_its_lag_is_said() {
    let dice = &mut Dice::new(seed());
    let mut scene = Scene::new("refresh: 1s, max_lag: 4s");
    let server = scene.project.run().expect("run");
    for number in 0..2 {
        scene.write(&day(number), rows(dice, FIRST + number * DAY, 70));
        scene.check(&server);
    }
    let bad = scene.project.folder().join("profiles/bad.parquet");
    fs::write(&bad, "no Parquet").expect("written");
    let since = Instant::now();
    wait::until("answers to be stale", WITHIN, || {
        scene.wrong(&server, "STALE").is_none()
    })
    .unwrap_or_else(|late| {
        panic!(
            "{late:#}: {:?}\n{}",
            scene.wrong(&server, "STALE"),
            server.log()
        )
    });
    assert!(since.elapsed() > Duration::from_secs(2), "not at once");
    assert!(metric(&server, "tiderace_sync_failures_total") > 0);
    assert!(server.log().contains("bad.parquet"), "{}", server.log());
    fs::remove_file(&bad).expect("removed");
    scene.check(&server);
    server.stop().expect("stop");
}

/// Every step that makes a sync durable fails and crashes: a clean start afterwards gives the answers.
#[test]
fn every_place_fails() {
    let mut command = bin::command(&["schema"]).expect("the binary");
    command.env("TIDERACE_FAILPOINTS", "=error");
    let said = String::from_utf8(command.output().expect("run").stderr).expect("text");
    let (_, names) = said.split_once("there are: ").expect("the places");
    let places = names.trim().split(", ");
    let places: Vec<&str> = places.filter(|name| name.starts_with("batch.")).collect();
    assert_eq!(places.len(), 4, "{places:?}");
    for place in places {
        for action in ["error", "crash"] {
            let dice = &mut Dice::new(seed());
            let mut scene = Scene::new("mode: snapshot");
            scene.write("a.parquet", rows(dice, FIRST, 60));
            let server = scene.project.run().expect("run");
            scene.synced(&server);
            server.stop().expect("stop");
            scene.write("a.parquet", rows(dice, FIRST + DAY, 60));
            let armed = format!("{place}={action}");
            let environment = [("TIDERACE_FAILPOINTS", armed.clone())];
            let mut server = scene.project.launch_with(&environment).expect("launch");
            server.wait_ready().expect("ready");
            let output = scene.sync(&[]);
            assert_eq!(output.status.code(), Some(1), "{armed}: {}", text(&output));
            let passed = format!("failpoint {place}: {action}");
            assert!(server.log().contains(&passed), "{armed}: {}", server.log());
            server.process().kill();
            drop(server);
            let server = scene.project.run().expect("run");
            scene.synced(&server);
            scene.check(&server);
            server.stop().expect("stop");
        }
    }
}

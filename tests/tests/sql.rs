//! SQL views against a recount of what their queries read: payments that are archived, people who move,
//! countries that are renamed, failures and kills on the way.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;
use tiderace_testkit::bin::{self, Server};
use tiderace_testkit::generate::Dice;
use tiderace_testkit::wait;
use tiderace_tests::project::{Project, Settings};
use tiderace_tests::shared::kafka;
use tiderace_tests::values;

const WITHIN: Duration = Duration::from_secs(60);

const CUSTOMERS: i64 = 200;

const DEFINITIONS: &str = r#"
kind: entity
name: customer
keys: { customer: int64 }
---
kind: source
name: payments
archive: { parquet: archive, flush_interval: 100ms }
columns: { id: int64, at: timestamp, customer: int64, amount: float64 }
event_time: at
event_id: id
complete_since: beginning
allowed_lateness: 365d
---
kind: feature_view
name: wide
entity: customer
sql:
  tables:
    payments: { archive: payments }
    people: { parquet: people }
    countries: { csv: countries.csv }
  query: |
    SELECT p.customer, c.name AS country, sum(p.amount) AS paid,
           rank() OVER (PARTITION BY c.name ORDER BY sum(p.amount) DESC) AS place
    FROM payments p
    JOIN people q ON q.customer = p.customer
    JOIN countries c ON c.code = q.country
    GROUP BY p.customer, c.name
  MORE
features:
  - { name: country, type: string }
  - { name: paid, type: float64, default: 0.0 }
  - { name: place, type: int64 }
---
kind: feature_view
name: big
entity: customer
sql:
  every: 10s
  tables: { payments: { archive: payments } }
  query: SELECT customer FROM payments GROUP BY 1 HAVING sum(amount) >= 50
audience: is_big
---
kind: feature_service
name: who
features: ["wide:*", "big:*"]
"#;

const COUNTRIES: [&str; 3] = ["cl", "pe", "ht"];

struct Scene {
    project: Project,
    payments: Vec<(i64, f64)>,
    people: BTreeMap<i64, usize>,
    names: [String; 3],
}

fn seed() -> u64 {
    let seed = std::env::var("TIDERACE_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok()).unwrap_or(11);
    eprintln!("TIDERACE_SEED={seed}");
    seed
}

fn text(output: &Output) -> String {
    let said = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&said).into_owned()
}

impl Scene {
    fn new(more: &str) -> Scene {
        Scene::with(None, &DEFINITIONS.replace("  MORE\n", more))
    }

    fn with(kafka: Option<String>, definitions: &str) -> Scene {
        let settings = Settings {
            kafka,
            lanes: 2,
            ..Settings::default()
        };
        let mut scene = Scene {
            project: Project::with(&settings, definitions).expect("project"),
            payments: Vec::new(),
            people: (0..CUSTOMERS).map(|who| (who, who as usize % 3)).collect(),
            names: ["Chile", "Peru", "Haiti"].map(str::to_owned),
        };
        scene.write_people();
        scene.name(0, "Chile");
        scene
    }

    fn write_people(&self) {
        let folder = self.project.folder().join("people");
        fs::create_dir_all(&folder).expect("made");
        let customers = Int64Array::from_iter_values(self.people.keys().copied());
        let countries = self.people.values().map(|country| COUNTRIES[*country]);
        let columns: [(&str, ArrayRef); 2] = [
            ("customer", Arc::new(customers)),
            (
                "country",
                Arc::new(StringArray::from_iter_values(countries)),
            ),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("columns");
        let new = folder.join("all.new");
        let file = File::create(&new).expect("created");
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("writer");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
        fs::rename(&new, folder.join("all.parquet")).expect("renamed");
    }

    /// Names a country.
    fn name(&mut self, country: usize, name: &str) {
        self.names[country] = name.to_owned();
        let rows = COUNTRIES.iter().zip(&self.names);
        let rows: Vec<String> = rows
            .map(|(code, name)| format!("{code},{name}\n"))
            .collect();
        self.csv(&format!("code,name\n{}", rows.concat()));
    }

    fn csv(&self, text: &str) {
        let path = self.project.folder().join("countries.csv");
        let new = path.with_extension("new");
        fs::write(&new, text).expect("written");
        fs::rename(&new, path).expect("renamed");
    }

    /// Has some customers pay, or be paid back.
    fn pay(&mut self, server: &Server, dice: &mut Dice, count: usize) {
        let mut lines = Vec::new();
        for _ in 0..count {
            let id = self.payments.len() as i64;
            let customer = dice.below(CUSTOMERS as u64) as i64;
            let amount = dice.below(400) as f64 / 4.0 - 45.0;
            self.payments.push((customer, amount));
            let at = format!("2018-04-{:02}T00:00:00Z", 1 + id / 100);
            let event = json!({ "id": id, "at": at, "customer": customer, "amount": amount });
            lines.push(event.to_string());
        }
        let said = server.post("/v1/push/payments?durability=disk", &lines.join("\n"));
        assert!(matches!(said, Ok((200, _))), "{said:?}");
    }

    fn sync(&self, view: &str) -> Output {
        bin::run(&["sync", view, "--project", self.project.argument()]).expect("sync")
    }

    fn synced(&self, server: &Server, view: &str) -> String {
        let output = self.sync(view);
        assert!(
            output.status.success(),
            "{}\n{}",
            text(&output),
            server.log()
        );
        text(&output)
    }

    /// What each customer's answer is: country, paid, place, and whether it is big.
    fn recount(&self) -> BTreeMap<i64, (&str, f64, i64, bool)> {
        let mut paid: BTreeMap<i64, f64> = BTreeMap::new();
        for (customer, amount) in &self.payments {
            *paid.entry(*customer).or_default() += amount;
        }
        let country = |customer: &i64| self.names[self.people[customer]].as_str();
        let all = paid.iter().map(|(customer, sum)| {
            let own = country(customer);
            let before = paid
                .iter()
                .filter(|(other, held)| country(other) == own && *held > sum);
            let place = 1 + before.count() as i64;
            (*customer, (own, *sum, place, *sum >= 50.0))
        });
        all.collect()
    }

    /// The first answer that is not the recount's, or where `wide` is not of that completeness.
    fn wrong(&self, server: &Server, completeness: &str) -> Option<String> {
        let expected = self.recount();
        let ids: Vec<i64> = (0..CUSTOMERS + 5).collect();
        let body = json!({ "service": "who", "entities": { "customer": ids } });
        let said = server.post("/v1/features", &body.to_string());
        let Ok((200, said)) = said else {
            return Some(format!("{said:?}"));
        };
        let answer: Json = serde_json::from_str(&said).expect("JSON");
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        if rows.len() as i64 != CUSTOMERS + 5 {
            return Some(said);
        }
        for (customer, row) in (0..).zip(rows) {
            let (values, status) = match expected.get(&customer) {
                Some((country, paid, place, big)) => {
                    (json!([country, paid, place, big]), "PRESENT")
                }
                None => (json!([null, 0.0, null, false]), "NOT_FOUND"),
            };
            let of_big = match values[3] == json!(true) {
                true => "PRESENT",
                false => "NOT_FOUND",
            };
            let statuses = json!([status, status, status, of_big]);
            let is_right = row["values"] == values
                && row["statuses"] == statuses
                && (0..3).all(|place| row["completeness"][place] == completeness);
            if !is_right {
                return Some(format!(
                    "customer {customer}: expected {values} {statuses}, got {row}"
                ));
            }
        }
        None
    }

    /// Runs both queries until the answers are those of a recount: what is pushed is archived a moment later.
    fn check(&self, server: &Server) {
        let right = wait::until("answers to be the recount's", WITHIN, || {
            self.synced(server, "wide");
            self.synced(server, "big");
            self.wrong(server, "COMPLETE").is_none()
        });
        right.unwrap_or_else(|late| {
            panic!(
                "{late:#}: {:?}\n{}",
                self.wrong(server, "COMPLETE"),
                server.log()
            );
        });
    }
}

fn metric(server: &Server, name: &str, view: &str) -> u64 {
    let (_, page) = server.get("/metrics").expect("metrics");
    let start = format!("{name}{{view=\"{view}\"}}");
    let line = page.lines().find(|line| line.starts_with(&start));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_default()
}

#[test]
fn answers_are_those_of_a_recount() {
    let dice = &mut Dice::new(seed());
    let mut scene = Scene::new("");
    let server = scene.project.run().expect("run");
    // By its schedule, with nothing in the archive.
    wait::until("the audience to be known", WITHIN, || {
        metric(&server, "tiderace_syncs_total", "big") > 0
    })
    .unwrap_or_else(|late| panic!("{late:#}: {}", server.log()));
    let mut big: Vec<i64> = Vec::new();
    let mut left = 0;
    for round in 0..4 {
        scene.pay(&server, dice, 250);
        match round {
            1 => scene.name(1, "Perú"),
            2 => {
                for (who, country) in &mut scene.people {
                    *country = (*who as usize + dice.below(2) as usize) % 3;
                }
                scene.write_people();
            }
            _ => {}
        }
        scene.check(&server);
        let recount = scene.recount();
        left += big.iter().filter(|who| !recount[who].3).count();
        big = recount
            .iter()
            .filter(|(_, row)| row.3)
            .map(|(who, _)| *who)
            .collect();
        assert!(!big.is_empty());
    }
    assert!(left > 0, "nobody has left the audience");
    assert!(metric(&server, "tiderace_synced_deletes_total", "big") > 0);
    let said = scene.synced(&server, "wide");
    assert!(said.contains("nothing has changed in its answer"), "{said}");
    // One country of three is renamed: only its rows are taken in.
    scene.name(2, "Haïti");
    let said = scene.synced(&server, "wide");
    let all = scene.recount().len();
    let renamed = scene
        .recount()
        .values()
        .filter(|row| row.0 == "Haïti")
        .count();
    assert!(
        said.contains(&format!(
            "{all} rows of {all} entities read, {renamed} taken in"
        )),
        "{said}"
    );
    assert_eq!(scene.wrong(&server, "COMPLETE"), None);

    server.stop().expect("stop");
    let server = scene.project.run().expect("run");
    let said = scene.synced(&server, "wide");
    assert!(said.contains("nothing has changed in its answer"), "{said}");
    scene.check(&server);
    // What is served is what was answered.
    let said = bin::run(&[
        "reconcile",
        "--project",
        scene.project.argument(),
        "--view",
        "wide",
    ]);
    let said = said.expect("reconcile");
    assert!(said.status.success(), "{}", text(&said));
    let spine = scene.project.folder().join("spine.csv");
    fs::write(&spine, "customer,at\n1,2018-04-02T00:00:00Z\n").expect("written");
    let said = bin::run(&[
        "history",
        "--project",
        scene.project.argument(),
        "--service",
        "who",
        "--spine",
        spine.to_str().expect("text"),
        "--timestamp",
        "at",
        "--out",
        "o.csv",
    ]);
    let said = said.expect("history");
    assert!(!said.status.success(), "{}", text(&said));
    let why = "is a SQL view, of which only the last answer is kept";
    assert!(text(&said).contains(why), "{}", text(&said));
    server.stop().expect("stop");
}

#[test]
fn what_fails_keeps_the_values() {
    let dice = &mut Dice::new(seed());
    let mut scene = Scene::new("  max_lag: 2s\n");
    let server = scene.project.run().expect("run");
    scene.pay(&server, dice, 300);
    scene.check(&server);
    let fails = |scene: &Scene, part: &str| {
        let output = scene.sync("wide");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
        let stays = |completeness| scene.wrong(&server, completeness).is_none();
        let stayed = stays("COMPLETE") || stays("STALE");
        assert!(stayed, "{:?}", scene.wrong(&server, "STALE"));
    };
    scene.csv("code,called\ncl,Chile\n");
    for _ in 0..2 {
        fails(&scene, "unknown column `c.name`");
    }
    scene.csv("code,name\ncl,Chile\ncl,Chili\n");
    fails(
        &scene,
        "the query answers more than one row for customer = ",
    );
    wait::until("answers to be stale", WITHIN, || {
        scene.wrong(&server, "STALE").is_none()
    })
    .unwrap_or_else(|late| panic!("{late:#}: {:?}", scene.wrong(&server, "STALE")));
    assert_eq!(metric(&server, "tiderace_sync_failures_total", "wide"), 3);
    let log = server.log();
    assert_eq!(log.matches("unknown column `c.name`").count(), 1, "{log}");
    scene.name(0, "Chile");
    scene.synced(&server, "wide");
    wait::until("answers to be whole again", WITHIN, || {
        scene.synced(&server, "wide");
        scene.wrong(&server, "COMPLETE").is_none()
    })
    .unwrap_or_else(|late| panic!("{late:#}: {:?}", scene.wrong(&server, "COMPLETE")));
    server.stop().expect("stop");
}

#[test]
fn kills_change_nothing() {
    let dice = &mut Dice::new(seed());
    let mut scene = Scene::new("");
    let server = scene.project.run().expect("run");
    scene.pay(&server, dice, 400);
    scene.check(&server);
    server.stop().expect("stop");
    for round in 0..4 {
        scene.name(round % 3, &format!("name {round}"));
        let mut server = scene.project.launch().expect("launch");
        server.wait_ready().expect("ready");
        let args = [
            "sync",
            "wide",
            "--wait",
            "--project",
            scene.project.argument(),
        ];
        let mut sync = bin::command(&args)
            .expect("the binary")
            .spawn()
            .expect("sync");
        std::thread::sleep(Duration::from_millis(dice.below(250)));
        server.process().kill();
        drop(server);
        sync.kill().expect("killed");
        sync.wait().expect("ended");
    }
    let server = scene.project.run().expect("run");
    scene.check(&server);
    server.stop().expect("stop");
}

#[test]
fn a_check_says_where_a_query_is_wrong() {
    let scene = Scene::new("");
    let check = |from: &str, to: &str| {
        let definitions = DEFINITIONS.replace("  MORE\n", "").replace(from, to);
        let path = scene.project.folder().join("definitions.yaml");
        fs::write(path, &definitions).expect("written");
        let said = bin::run(&["check", scene.project.argument()]).expect("check");
        let place = definitions.find(to).map(|at| {
            let line = definitions[..at].matches('\n').count() + 1;
            let column = at - definitions[..at].rfind('\n').map_or(0, |at| at + 1) + 1;
            format!("definitions.yaml:{line}:{column}\n")
        });
        (text(&said), place.expect("it is there"))
    };
    let (said, _) = check("sum(p.amount)", "sum(p.amount)");
    assert!(said.contains("all good"), "{said}");
    for (from, to, expect) in [
        (
            "q.customer = p.customer",
            "q.customer = p.custmer",
            "unknown column `p.custmer`",
        ),
        ("JOIN people q", "JOIN poeple q", "unknown table `poeple`"),
        ("rank()", "rnak()", "rnak"),
        (
            "name: place, type: int64",
            "name: place, type: string",
            "answers column `place` as",
        ),
        ("GROUP BY p.customer", "GRUOP BY p.customer", "expected"),
    ] {
        let (said, place) = check(from, to);
        assert!(said.contains(expect), "{to}: {said}");
        let line = place.split(':').nth(1).expect("a line");
        assert!(
            said.contains(&format!("definitions.yaml:{line}:")),
            "{place}: {said}"
        );
    }
    let (said, place) = check("c.code = q.country", "c.cood = q.country");
    assert!(said.contains(&place), "{place}: {said}");
    // The same is said before anything is planned or applied.
    for command in ["plan", "apply"] {
        let output = bin::run(&[command, scene.project.argument()]).expect(command);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(&place), "{}", text(&output));
    }
}

/// What the newest record of each customer's key says of being in the audience; `None` for a tombstone.
fn told(bootstrap: &str) -> BTreeMap<i64, Option<bool>> {
    let records = values::read(bootstrap, "sql_audience").expect("records");
    values::assert_in_order(&records);
    let newest = values::newest(&records).into_values();
    newest
        .map(|record| {
            let key: Json = serde_json::from_str(&record.key).expect("a key");
            let customer = key["customer"].as_i64().expect("a customer");
            (customer, record.at("/values/is_big").as_bool())
        })
        .collect()
}

#[test]
fn an_audience_goes_to_kafka_too() {
    let dice = &mut Dice::new(seed());
    let kafka = kafka();
    let bootstrap = kafka.bootstrap();
    let definitions = DEFINITIONS.replace("  MORE\n", "").replace(
        "audience: is_big\n",
        "audience: is_big\noutput: { kafka: { topic: sql_audience, partitions: 2 } }\n",
    );
    let definitions = definitions.replace("name: payments\n", "name: payments\nstream: embedded\n");
    let mut scene = Scene::with(Some(bootstrap.clone()), &definitions);
    let server = scene.project.run().expect("run");
    let mut was_in: BTreeSet<i64> = BTreeSet::new();
    for _ in 0..2 {
        scene.pay(&server, dice, 300);
        scene.check(&server);
        let recount = scene.recount();
        let is_in = recount.iter().filter(|(_, row)| row.3);
        let is_in: BTreeSet<i64> = is_in.map(|(who, _)| *who).collect();
        was_in.extend(&is_in);
        // Whoever has left is told by a tombstone, and whoever never was in it not at all.
        let expected: BTreeMap<i64, Option<bool>> = was_in
            .iter()
            .map(|who| (*who, is_in.contains(who).then_some(true)))
            .collect();
        wait::until("the topic to have the audience", WITHIN, || {
            told(&bootstrap) == expected
        })
        .unwrap_or_else(|late| {
            panic!(
                "{late:#}: {:?}, expected {expected:?}\n{}",
                told(&bootstrap),
                server.log()
            )
        });
    }
    let recount = scene.recount();
    assert!(was_in.iter().any(|who| !recount[who].3), "nobody has left");
    server.stop().expect("stop");
}

//! `tiderace apply`: definitions change under a process that runs, while events come and readers ask, with kills
//! on the way. Every event is counted once, views that stay keep their rows, no answer that claims to be
//! complete is wrong, and what cannot be run leaves what ran.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tiderace_testkit::bin::{self, Server};
use tiderace_testkit::generate::Dice;
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::ledger;
use tiderace_tests::project::{Project, Settings, TOPIC};
use tiderace_tests::topic::Sender;
use tiderace_types::Timestamp;

const WITHIN: Duration = Duration::from_secs(60);

const CUSTOMERS: usize = 40;

/// What an event pays. So a sum is this many times its count, whenever it is looked at.
const PAID: i64 = 7;

/// What comes of the definitions, step by step.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    /// A feature more of the kept view.
    more: bool,
    /// A longer window of `weekly`, whose rows begin anew.
    longer: bool,
    /// Another version of the kept view.
    version: bool,
    /// The view `visits` is there no more.
    without: bool,
}

impl Shape {
    fn definitions(self, stream: &str) -> String {
        let more = match self.more {
            true => "\n  - { name: largest, aggregate: max, of: amount, windows: [1d] }",
            false => "",
        };
        let weekly = if self.longer { "3d" } else { "1d" };
        let mut text = format!(
            "kind: source
name: card_payments
stream: {stream}
columns: {{ id: int64, at: timestamp, customer: int64, amount: int64 }}
event_time: at
event_id: id
complete_since: beginning
max_ahead: none
---
kind: entity
name: customer
keys: {{ customer: int64 }}
---
kind: feature_view
name: spend
entity: customer
source: card_payments
features:
  - {{ name: n, aggregate: count, windows: [lifetime] }}
  - {{ name: paid, aggregate: sum, of: amount, windows: [1d, lifetime] }}{more}
---
kind: feature_view
name: weekly
entity: customer
source: card_payments
features:
  - {{ name: weekly, aggregate: count, windows: [{weekly}] }}
---
kind: feature_service
name: all
features: [\"spend:n\", \"spend:paid_lifetime\"]
"
        );
        if !self.without {
            text += "---
kind: feature_view
name: visits
entity: customer
source: card_payments
features:
  - { name: visited, aggregate: count, windows: [lifetime] }
---
kind: feature_service
name: visits
features: [\"visits:*\"]
";
        }
        if self.version {
            text += "---
kind: feature_view
name: spend@v2
entity: customer
source: card_payments
where: \"id % 2 = 0\"
features:
  - { name: n, aggregate: count, windows: [lifetime] }
---
kind: feature_service
name: both
features: [\"spend:n\", \"spend@v2:n\"]
";
        }
        text
    }
}

struct Scene {
    project: Project,
    stream: &'static str,
}

fn seed() -> u64 {
    let seed = std::env::var("TIDERACE_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok()).unwrap_or(5);
    eprintln!("TIDERACE_SEED={seed}");
    seed
}

fn text(output: &Output) -> String {
    let said = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&said).into_owned()
}

impl Scene {
    fn new(settings: &Settings) -> Scene {
        let stream = match settings.kafka {
            Some(_) => "{ kafka: { topic: card_payments }, format: json }",
            None => "embedded",
        };
        let definitions = Shape::default().definitions(stream);
        let project = Project::with(settings, &definitions).expect("project");
        Scene { project, stream }
    }

    fn embedded() -> Scene {
        Scene::new(&Settings {
            lanes: 2,
            ..Settings::default()
        })
    }

    fn write(&self, definitions: &str) {
        let path = self.project.folder().join("definitions.yaml");
        fs::write(path, definitions).expect("written");
    }

    fn define(&self, shape: Shape) {
        self.write(&shape.definitions(self.stream));
    }

    fn apply(&self, more: &[&str]) -> Output {
        let args = [&["apply", self.project.argument()], more].concat();
        bin::run(&args).expect("apply")
    }

    fn applied(&self, shape: Shape) -> String {
        self.define(shape);
        let output = self.apply(&[]);
        assert!(output.status.success(), "{}\n{}", text(&output), self.log());
        text(&output)
    }

    fn list(&self) -> Json {
        let output = self.apply(&["--list", "--format", "json"]);
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The names of what was applied, the newest first.
    fn names(&self) -> Vec<String> {
        let list = self.list();
        let applied = list["applied"].as_array().expect("a list").iter();
        let name = |applied: &Json| applied["definitions"].as_str().expect("a name").to_owned();
        applied.map(name).collect()
    }

    fn bundle(&self, name: &str) -> PathBuf {
        let deployed = self.project.folder().join("state/deployed");
        deployed.join(format!("{name}.json"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.project.folder().join("run.log")).unwrap_or_default()
    }

    /// The generation of a view's rows, as the process says.
    fn generation(&self, view: &str) -> Option<u64> {
        let path = self.project.folder().join("state/backfill/views.json");
        let said: Json = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        said["views"][view]["generation"].as_u64()
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_micros() as i64
}

fn event(id: i64) -> String {
    let customer = id as usize % CUSTOMERS;
    let at = Timestamp(now());
    json!({"id": id, "at": at.to_string(), "customer": customer, "amount": PAID}).to_string()
}

/// What one customer is said to have in the service `all`: how many events, and whether that is claimed to be
/// complete.
fn counts(http: u16) -> Result<Vec<(i64, bool)>, String> {
    let ids: Vec<usize> = (0..CUSTOMERS).collect();
    let body = json!({"service": "all", "entities": {"customer": ids}});
    let (status, said) = bin::exchange(http, "POST", "/v1/features", &body.to_string())
        .map_err(|error| format!("{error:#}"))?;
    if status != 200 {
        return Err(format!("{status} {said}"));
    }
    let answer: Json = serde_json::from_str(&said).expect("JSON");
    let rows = answer["rows"].as_array().expect("rows").iter();
    let row = |row: &Json| {
        let (n, paid) = (&row["values"][0], &row["values"][1]);
        let (n, paid) = (n.as_i64().unwrap_or(0), paid.as_i64().unwrap_or(0));
        assert_eq!(paid, n * PAID, "a row that was never: {row}");
        let statuses = row["statuses"].as_array().expect("statuses").iter();
        let known = |status: &Json| {
            ["PRESENT", "NULL", "NOT_FOUND"].contains(&status.as_str().unwrap_or_default())
        };
        let complete =
            statuses.clone().all(known) && row["completeness"] == json!(["COMPLETE", "COMPLETE"]);
        (n, complete)
    };
    Ok(rows.map(row).collect())
}

/// Events and questions that never stop, beside what a test does.
#[derive(Default)]
struct Traffic {
    stop: AtomicBool,
    /// The number of the next event.
    next: AtomicI64,
    /// Answers that claimed to be complete.
    answers: AtomicI64,
    /// What readers were told that is no answer.
    failures: Mutex<BTreeMap<String, u64>>,
}

/// Ends the traffic, however a test does.
struct Ending<'a>(&'a Traffic);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Release);
    }
}

impl Traffic {
    fn runs(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    /// Pushes events, each until it is taken.
    fn push(&self, http: u16) {
        while self.runs() {
            let first = self.next.fetch_add(10, Ordering::AcqRel);
            let lines: Vec<String> = (first..first + 10).map(event).collect();
            let body = lines.join("\n");
            let path = "/v1/push/card_payments?durability=disk";
            let pushed = wait::until("a push to be taken", WITHIN, || {
                matches!(bin::exchange(http, "POST", path, &body), Ok((200, _)))
            });
            pushed.expect("taken");
        }
    }

    /// Produces events to the topic.
    fn produce(&self, bootstrap: &str) {
        let sender = Sender::new(bootstrap, TOPIC).expect("sender");
        while self.runs() {
            let first = self.next.fetch_add(20, Ordering::AcqRel);
            for id in first..first + 20 {
                let partition = i32::try_from(id % 3).expect("small");
                let event = event(id);
                sender
                    .send(b"", event.as_bytes(), Some(partition))
                    .expect("sent");
            }
            sender.flush().expect("flushed");
        }
    }

    /// Asks all the time: what is complete never goes back, and never has what was not sent.
    fn ask(&self, http: u16) {
        let mut before = vec![0; CUSTOMERS];
        while self.runs() {
            match counts(http) {
                Err(failure) => {
                    let mut failures = self.failures.lock().expect("no panic");
                    *failures.entry(failure).or_default() += 1;
                }
                Ok(answers) => {
                    let sent = self.next.load(Ordering::Acquire);
                    for (customer, (count, complete)) in answers.into_iter().enumerate() {
                        if !complete {
                            continue;
                        }
                        self.answers.fetch_add(1, Ordering::Relaxed);
                        let most = sent / CUSTOMERS as i64 + 1;
                        assert!(count <= most, "customer {customer}: {count} of {most}");
                        assert!(
                            count >= before[customer],
                            "customer {customer}: {count} after {}",
                            before[customer]
                        );
                        before[customer] = count;
                    }
                }
            }
        }
    }
}

/// Every answer is complete and that of a recount of the events `0..sent`.
fn check(server: &Server, sent: i64) {
    let expected: Vec<(i64, bool)> = (0..CUSTOMERS as i64)
        .map(|customer| {
            (
                (0..sent)
                    .filter(|id| id % CUSTOMERS as i64 == customer)
                    .count() as i64,
                true,
            )
        })
        .collect();
    let http = server.ports().http;
    let right = wait::until("answers to be those of a recount", WITHIN, || {
        counts(http).is_ok_and(|found| found == expected)
    });
    right.unwrap_or_else(|late| {
        panic!(
            "{late:#}: {:?}, not {expected:?}\n{}",
            counts(http),
            server.log()
        )
    });
}

/// The ledger has every event once, and each was applied once, however often it was pushed.
fn check_ledger(server: &Server, sent: i64, exactly: bool) {
    let mut found = BTreeMap::new();
    let exact = wait::until("an exact ledger", WITHIN, || {
        found = ledger::of(server, "card_payments").expect("a ledger that balances");
        let of = |name: &str| found.get(name).copied().unwrap_or_default() as i64;
        let copies = of("duplicate");
        of("applied") == sent && of("read") == sent + copies && (copies == 0 || !exactly)
    });
    exact.unwrap_or_else(|late| panic!("{late}: {found:?} of {sent}"));
}

const STEPS: [Shape; 5] = [
    Shape {
        more: true,
        longer: false,
        version: false,
        without: false,
    },
    Shape {
        more: true,
        longer: true,
        version: false,
        without: true,
    },
    Shape {
        more: true,
        longer: true,
        version: true,
        without: true,
    },
    // Back to the first.
    Shape {
        more: false,
        longer: false,
        version: false,
        without: false,
    },
    Shape {
        more: false,
        longer: false,
        version: true,
        without: false,
    },
];

#[test]
fn definitions_change_under_a_running_process() {
    let scene = Scene::embedded();
    let server = scene.project.run().expect("run");
    let http = server.ports().http;
    let said = scene.applied(Shape::default());
    assert!(said.contains("it runs"), "{said}");
    let first = scene.names()[0].clone();
    let said = text(&scene.apply(&[]));
    assert!(said.contains("nothing to apply"), "{said}");
    assert_eq!(
        scene.names(),
        [first.as_str()],
        "the same once more is nothing new"
    );
    let known = wait::until("views to be told of", WITHIN, || {
        scene.generation("spend").is_some()
    });
    known.expect("told");
    let generation = scene.generation("spend");

    let traffic = Traffic::default();
    std::thread::scope(|scope| {
        let _ending = Ending(&traffic);
        let threads = [
            scope.spawn(|| traffic.push(http)),
            scope.spawn(|| traffic.push(http)),
            scope.spawn(|| traffic.ask(http)),
        ];
        for shape in STEPS {
            let said = scene.applied(shape);
            assert!(said.contains("it runs"), "{said}");
            let answers = traffic.answers.load(Ordering::Relaxed);
            let asked = wait::until("complete answers", WITHIN, || {
                let died = threads.iter().any(|thread| thread.is_finished());
                died || traffic.answers.load(Ordering::Relaxed) > answers + 10
            });
            asked.unwrap_or_else(|late| panic!("{late}: {:?}\n{}", traffic.failures, scene.log()));
            assert_eq!(
                scene.generation("spend"),
                generation,
                "the kept view keeps its rows"
            );
        }
    });
    // Who connects while definitions change waits. Nobody is refused, or told something else.
    let failures = traffic.failures.lock().expect("no panic").clone();
    let is_passing = |failure: &String| failure.starts_with("503 ");
    assert!(failures.keys().all(is_passing), "{failures:#?}");
    let sent = traffic.next.load(Ordering::Acquire);
    check(&server, sent);
    check_ledger(&server, sent, false);

    let names = scene.names();
    assert_eq!(names.len(), 6, "{names:?}");
    assert_eq!(
        names[1], first,
        "rolling back is the same definitions again"
    );
    let list = text(&scene.apply(&["--list"]));
    assert!(list.starts_with("*    6  "), "{list}");
    // Versions side by side: the newer one is of what came since.
    let body = json!({"features": ["spend:n", "spend@v2:n"], "entities": {"customer": [1]}});
    let (status, said) = server
        .post("/v1/features", &body.to_string())
        .expect("asked");
    assert_eq!(status, 200, "{said}");
    let said: Json = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        said["features"],
        json!(["spend__n_lifetime", "spend@v2__n_lifetime"])
    );

    // A new process runs the same, whatever the folder has by now.
    server.stop().expect("stop");
    scene.define(STEPS[1]);
    let server = scene.project.run().expect("run");
    check(&server, sent);
    let began = wait::until("the view that came back to have begun anew", WITHIN, || {
        scene.generation("visits") == Some(2)
    });
    began.unwrap_or_else(|late| panic!("{late}: {:?}", scene.generation("visits")));
    let told = wait::until("the folder to be told apart", WITHIN, || {
        scene.log().contains("in the project's folder are others")
    });
    told.unwrap_or_else(|late| panic!("{late}:\n{}", scene.log()));
    server.stop().expect("stop");
}

#[test]
fn kills_while_definitions_change() {
    let scene = Scene::embedded();
    let mut dice = Dice::new(seed());
    let server = scene.project.run().expect("run");
    let http = server.ports().http;
    scene.applied(Shape::default());
    let traffic = Traffic::default();
    let server = std::thread::scope(|scope| {
        let mut server = server;
        let _ending = Ending(&traffic);
        scope.spawn(|| traffic.push(http));
        scope.spawn(|| traffic.ask(http));
        for shape in STEPS {
            scene.define(shape);
            let applying = scope.spawn(|| scene.apply(&["--timeout", "30"]));
            let moment = Duration::from_millis(dice.below(900));
            // A point in time, not a condition: wherever the kill falls.
            std::thread::park_timeout(moment);
            server.kill();
            server = scene.project.run().expect("run");
            let output = applying.join().expect("applied");
            // It was heard of, or the process began with it, or before it was there.
            let said = text(&output);
            let again = scene.applied(shape);
            assert!(again.contains("it runs"), "{said}\n{again}");
        }
        server
    });
    let sent = traffic.next.load(Ordering::Acquire);
    check(&server, sent);
    check_ledger(&server, sent, false);
    assert!(
        traffic.answers.load(Ordering::Relaxed) > 0,
        "nothing was ever complete"
    );
    server.stop().expect("stop");
}

#[test]
fn with_kafka() {
    let kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic(TOPIC, 3).expect("topic");
    let scene = Scene::new(&Settings {
        kafka: Some(kafka.bootstrap()),
        lanes: 2,
        ..Settings::default()
    });
    let server = scene.project.run().expect("run");
    let http = server.ports().http;
    scene.applied(Shape::default());
    let traffic = Traffic::default();
    let server = std::thread::scope(|scope| {
        let bootstrap = kafka.bootstrap();
        let traffic = &traffic;
        let _ending = Ending(traffic);
        scope.spawn(move || traffic.produce(&bootstrap));
        scope.spawn(move || traffic.ask(http));
        for shape in &STEPS[..3] {
            scene.applied(*shape);
        }
        // A topic that is not there is found out before anything is given up.
        let good = scene.names();
        let wrong = STEPS[2].definitions("{ kafka: { topic: nowhere }, format: json }");
        scene.write(&wrong);
        let output = scene.apply(&[]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let said = text(&output);
        assert!(said.contains("there is no topic \"nowhere\""), "{said}");
        assert_eq!(scene.names(), good, "the pointer is back");
        assert_eq!(
            scene.list()["processes"][0]["definitions"],
            good[0].as_str()
        );
        server.kill();
        let server = scene.project.run().expect("run");
        scene.applied(STEPS[3]);
        server
    });
    let sent = traffic.next.load(Ordering::Acquire);
    check(&server, sent);
    check_ledger(&server, sent, true);
    server.stop().expect("stop");
}

/// A reader that has only Redis, while a view beside those that it reads begins anew: theirs are answered all along.
#[test]
fn views_that_stay_are_answered_all_along() {
    let redis = Redis::start().expect("redis");
    let settings = Settings {
        redis: Some(redis.url()),
        lanes: 2,
        ..Settings::default()
    };
    let scene = Scene::new(&settings);
    let server = scene.project.run().expect("run");
    scene.applied(Shape::default());
    let traffic = Traffic::default();
    let sent = 400;
    let lines: Vec<String> = (0..sent).map(event).collect();
    let path = "/v1/push/card_payments?durability=disk";
    let (status, said) = server.post(path, &lines.join("\n")).expect("pushed");
    assert_eq!(status, 200, "{said}");
    traffic.next.store(sent, Ordering::Release);
    check(&server, sent);

    let apart = Scene::new(&settings);
    let reader = apart.project.serve().expect("serve");
    check(&reader, sent);
    let http = reader.ports().http;
    std::thread::scope(|scope| {
        let _ending = Ending(&traffic);
        let asked = scope.spawn(|| {
            while traffic.runs() {
                let found = counts(http).expect("an answer");
                // Where stopping and starting take long they say STALE, of the same values.
                let all = sent / CUSTOMERS as i64;
                assert!(found.iter().all(|(count, _)| *count == all), "{found:?}");
            }
        });
        for shape in &STEPS[1..3] {
            scene.applied(*shape);
            let published = wait::until("the view that is new to be published", WITHIN, || {
                let body = json!({"features": ["weekly:*"], "entities": {"customer": [1]}});
                let answer = server.post("/v1/features", &body.to_string());
                let died = asked.is_finished();
                died || answer
                    .is_ok_and(|(status, said)| status == 200 && !said.contains("UNAVAILABLE"))
            });
            published.unwrap_or_else(|late| panic!("{late}\n{}", scene.log()));
        }
    });
    reader.stop().expect("stop");
    server.stop().expect("stop");
}

/// Who only works and who only answers, over one state folder: both take it up, each by itself.
#[test]
fn a_worker_and_a_reader_take_it_up() {
    let redis = Redis::start().expect("redis");
    let kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic(TOPIC, 3).expect("topic");
    let scene = Scene::new(&Settings {
        redis: Some(redis.url()),
        kafka: Some(kafka.bootstrap()),
        lanes: 2,
        ..Settings::default()
    });
    let worker = scene.project.worker().expect("worker");
    let reader = scene.project.serve().expect("serve");
    scene.applied(Shape::default());
    let sender = Sender::new(&kafka.bootstrap(), TOPIC).expect("sender");
    let send = |ids: std::ops::Range<i64>| {
        for id in ids {
            let sent = sender.send(b"", event(id).as_bytes(), Some((id % 3) as i32));
            sent.expect("sent");
        }
        sender.flush().expect("flushed");
    };
    send(0..200);
    check(&reader, 200);
    scene.applied(STEPS[4]);
    send(200..400);
    check(&reader, 400);
    let body = json!({"service": "both", "entities": {"customer": [0]}});
    let mut said = String::new();
    // Of the newer version is what came since: of 200 payments every 40th, where that is even.
    let taken = wait::until("the new service to be answered", WITHIN, || {
        let answer = reader.post("/v1/features", &body.to_string());
        answer.is_ok_and(|(status, answer)| {
            said = answer;
            let answer: Json = serde_json::from_str(&said).unwrap_or_default();
            status == 200 && answer["rows"][0]["values"] == json!([10, 5])
        })
    });
    taken.unwrap_or_else(|late| panic!("{late}: {said}\n{}", reader.log()));
    reader.stop().expect("stop");
    worker.stop().expect("stop");
}

/// Every step of an application fails or crashes, before it and after it: what ran goes on, or what was applied
/// runs, and once more makes it so.
#[test]
fn applying_fails_at_every_place() {
    let scene = Scene::embedded();
    let mut server = scene.project.run().expect("run");
    scene.applied(Shape::default());
    let mut kinds = [STEPS[0], STEPS[2]].into_iter().cycle();
    for step in ["deploy.bundle", "deploy.journal"] {
        for (side, action) in [
            ("before", "error"),
            ("after", "error"),
            ("before", "crash"),
            ("after", "crash"),
        ] {
            let shape = kinds.next().expect("for ever");
            scene.define(shape);
            let failpoint = format!("{step}.{side}={action}");
            let mut command = bin::command(&["apply", scene.project.argument()]).expect("apply");
            command.env("TIDERACE_FAILPOINTS", &failpoint);
            let output = command.output().expect("run");
            let said = text(&output);
            let hit = format!("failpoint {step}.{side}");
            assert!(
                !output.status.success() && said.contains(&hit),
                "{failpoint}: {said}"
            );
            let said = scene.applied(shape);
            assert!(said.contains("it runs"), "{failpoint}: {said}");
        }
    }
    for (side, action) in [
        ("before", "error"),
        ("after", "error"),
        ("before", "crash"),
        ("after", "crash"),
    ] {
        server.kill();
        let failpoint = format!("deploy.answer.{side}={action}@2");
        let armed = [("TIDERACE_FAILPOINTS", failpoint.clone())];
        server = scene.project.launch_with(&armed).expect("launch");
        server.wait_ready().expect("ready");
        let shape = kinds.next().expect("for ever");
        scene.define(shape);
        // Who has died is not heard of any more.
        let timeout = if action == "crash" { "2" } else { "60" };
        let output = scene.apply(&["--timeout", timeout]);
        let hit = format!("failpoint deploy.answer.{side}: {action}");
        assert!(
            scene.log().contains(&hit),
            "{failpoint}: {}\n{}",
            text(&output),
            scene.log()
        );
        if action == "crash" {
            let ended = server.process().wait(WITHIN).expect("it ends");
            assert!(!ended.success(), "{failpoint}");
            server = scene.project.run().expect("run");
        } else {
            assert!(
                output.status.success(),
                "{failpoint}: it is said again: {}",
                text(&output)
            );
        }
        let said = scene.applied(shape);
        assert!(
            said.contains("nothing to apply") && said.contains("it runs"),
            "{failpoint}: {said}"
        );
    }
    let lines: Vec<String> = (0..40).map(event).collect();
    let path = "/v1/push/card_payments?durability=disk";
    let (status, said) = server.post(path, &lines.join("\n")).expect("pushed");
    assert_eq!(status, 200, "{said}");
    check(&server, 40);
    server.stop().expect("stop");
}

#[test]
fn what_cannot_be_opened_leaves_what_ran() {
    let scene = Scene::embedded();
    let server = scene.project.run().expect("run");
    let http = server.ports().http;
    scene.applied(Shape::default());
    let events: Vec<String> = (0..100).map(event).collect();
    let pushed = server.post("/v1/push/card_payments?durability=disk", &events.join("\n"));
    assert_eq!(pushed.expect("pushed").0, 200);
    check(&server, 100);
    let generations = || (scene.generation("spend"), scene.generation("visits"));
    let known = wait::until("views to be told of", WITHIN, || {
        scene.generation("visits").is_some()
    });
    known.expect("told");
    let before = generations();

    // Only opening it tells that its archive cannot be: a file is in the way. A view is gone in it.
    fs::write(scene.project.folder().join("blocked"), "a file").expect("written");
    let wrong = STEPS[1].definitions("embedded").replace(
        "event_id: id\n",
        "event_id: id\narchive: { parquet: blocked }\n",
    );
    scene.write(&wrong);
    let output = scene.apply(&["--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let said: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(said["outcome"], "refused", "{said:#}");
    let message = said["message"].as_str().expect("a message");
    assert!(
        message.contains("archive of source `card_payments`"),
        "{message}"
    );
    assert!(message.contains("goes on with what ran"), "{message}");
    assert_eq!(scene.names().len(), 1);
    let list = text(&scene.apply(&["--list"]));
    assert!(list.contains("it refused 2, "), "{list}");
    check(&server, 100);
    assert_eq!(
        generations(),
        before,
        "views keep their rows:\n{}",
        scene.log()
    );
    let body = json!({"service": "visits", "entities": {"customer": [1]}});
    let (_, said) = bin::exchange(http, "POST", "/v1/features", &body.to_string()).expect("asked");
    let said: Json = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["rows"][0]["values"], json!([3]), "{said}");

    // Definitions with errors, and another meaning, are not even tried.
    scene.write("kind: source\nname: broken\n");
    assert_eq!(scene.apply(&[]).status.code(), Some(1));
    let other = Shape::default().definitions("embedded").replace(
        "count, windows: [1d]",
        "count, where: \"id > 3\", windows: [1d]",
    );
    scene.write(&other);
    let output = scene.apply(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("a name beside it, `weekly@v2`"),
        "{}",
        text(&output)
    );
    let output = scene.apply(&["--dry-run", "--accept-change", "weekly"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(scene.names().len(), 1);
    let output = scene.apply(&["--accept-change", "weekly", "--note", "on purpose"]);
    assert!(output.status.success(), "{}", text(&output));
    let list = scene.list();
    assert_eq!(list["applied"][0]["note"], "on purpose", "{list:#}");
    server.stop().expect("stop");
}

#[test]
fn what_was_applied_is_what_starts() {
    let scene = Scene::embedded();
    let said = scene.applied(Shape::default());
    assert!(said.contains("no process runs"), "{said}");
    let name = scene.names()[0].clone();
    // Damage is found, and named.
    let path = scene.bundle(&name);
    let good = fs::read_to_string(&path).expect("a bundle");
    fs::write(&path, good.replace("lifetime", "lifetims")).expect("damaged");
    let mut server = scene.project.launch().expect("launch");
    let error = server.wait_ready().expect_err("damaged");
    let said = format!("{error:#}");
    assert!(
        said.contains(&name) && said.contains("is damaged"),
        "{said}"
    );
    // The same definitions make it whole.
    let said = scene.applied(Shape::default());
    assert!(said.contains("nothing to apply"), "{said}");
    assert_eq!(fs::read_to_string(&path).expect("a bundle"), good);

    // The lock file says what was reviewed: with it, rolling back needs no word more.
    let plan = |more: &[&str]| {
        let args = [&["plan", scene.project.argument()], more].concat();
        bin::run(&args).expect("plan")
    };
    let lock = scene.project.folder().join("tiderace.lock");
    assert!(plan(&["--write"]).status.success());
    let before = fs::read_to_string(&lock).expect("a lock");
    let other = Shape::default().definitions("embedded").replace(
        "count, windows: [1d]",
        "count, where: \"id > 3\", windows: [1d]",
    );
    scene.write(&other);
    let output = scene.apply(&["--locked"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(plan(&["--accept-change", "weekly"]).status.success());
    let output = scene.apply(&["--locked"]);
    assert!(output.status.success(), "{}", text(&output));
    scene.define(Shape::default());
    fs::write(&lock, before).expect("checked out");
    let output = scene.apply(&["--locked"]);
    assert!(output.status.success(), "{}", text(&output));
    let names = scene.names();
    assert_eq!((names.len(), &names[0]), (3, &name));

    // Beside the version that is read, and the old one is not retired while a service reads it.
    scene.define(STEPS[4]);
    let said = text(&plan(&[]));
    assert!(
        said.contains("+ view spend@v2, a version beside spend"),
        "{said}"
    );
    let gone = STEPS[4]
        .definitions("embedded")
        .replacen("name: spend\n", "name: spent\n", 1);
    scene.write(&gone);
    let output = scene.apply(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("of it there is `spend@v2`"),
        "{}",
        text(&output)
    );
    assert_eq!(scene.names(), names);
}

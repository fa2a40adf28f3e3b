//! A view that begins late is given its past while the stream goes on, and everything is killed on the
//! way: every answer is that of a recount in the end, and none claims to be complete before.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tiderace_testkit::bin::{self, Server};
use tiderace_testkit::generate::{Dice, Record, Town, Trouble, records};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::process::Process;
use tiderace_tests::ask::Asker;
use tiderace_tests::input::{Payment, made_up};
use tiderace_tests::oracle::{Oracle, SERVICES};
use tiderace_tests::prepared::{Placed, write_archive, write_table};
use tiderace_tests::project::{PAST, Project, Settings, TOPIC};
use tiderace_tests::topic::Sender;

const WITHIN: Duration = Duration::from_secs(120);
const COUNT: usize = 12_000;
const PARTITIONS: u32 = 2;

/// The views that begin late.
const LATE: [&str; 2] = ["terminal_risk", "customer_habits"];

/// Where records go, and where each of them lies.
enum Stream {
    Embedded,
    Kafka(Sender),
}

struct Scene {
    project: Project,
    stream: Stream,
    records: Vec<Record>,
    /// How many of them are sent.
    sent: usize,
    /// How many the late views have missed.
    missed: usize,
    offsets: Vec<i64>,
    /// What an archive has of those that were sent before kills began.
    archived: Vec<Placed>,
}

/// How long events are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// Always.
    All,
    /// As long as windows need, so that most of the past is folded.
    Needed,
}

fn seed() -> u64 {
    let seed = std::env::var("TIDERACE_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok()).unwrap_or(5);
    eprintln!("TIDERACE_SEED={seed}");
    seed
}

/// How often something is killed.
fn kills() -> usize {
    let said = std::env::var("TIDERACE_KILLS").ok();
    said.and_then(|text| text.parse().ok()).unwrap_or(8)
}

impl Scene {
    /// A stream of which half has gone by when most views begin.
    fn new(kept: Kept, kafka: Option<&Kafka>, seed: u64) -> Scene {
        let (source, history, days, disorder) = match kept {
            Kept::All => (PAST, "all", 25.0, 3 * 86_400),
            Kept::Needed => (
                "complete_since: beginning\nmax_ahead: none\nallowed_lateness: 1d\n",
                "0s",
                160.0,
                6 * 3600,
            ),
        };
        let settings = Settings {
            kafka: kafka.map(Kafka::bootstrap),
            source: format!("{source}archive: {{ parquet: archive, write: false }}\n"),
            history,
            lanes: 2,
            ..Settings::default()
        };
        let town = Town {
            seed,
            customers: 60,
            terminals: 50,
            per_second: COUNT as f64 / (days * 86_400.0),
            ..Town::default()
        };
        let trouble = Trouble {
            disorder: tiderace_types::Duration::from_secs(disorder),
            duplicates: 0.05,
            broken: 0.02,
        };
        let project = Project::with(&settings, &early(&settings)).expect("project");
        edit(&project, "lanes: 2", "lanes: 2, commit_interval: 500ms");
        let stream = match kafka {
            None => Stream::Embedded,
            Some(kafka) => {
                kafka.create_topic(TOPIC, PARTITIONS).expect("topic");
                Stream::Kafka(Sender::new(&kafka.bootstrap(), TOPIC).expect("sender"))
            }
        };
        let mut scene = Scene {
            project,
            stream,
            records: records(&town, trouble, COUNT),
            sent: 0,
            missed: 0,
            offsets: vec![0; PARTITIONS as usize],
            archived: Vec::new(),
        };
        let server = scene.project.run().expect("run");
        scene.send(&server, COUNT / 2, true).expect("send");
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        asker.wait_caught_up_in(&["spend"]).expect("caught up");
        scene.missed = scene.sent;
        server.stop().expect("stop");
        let path = scene.project.folder().join("definitions.yaml");
        fs::write(path, settings.definitions()).expect("write");
        scene
    }

    /// Sends the next records, if the server takes them; `note` where all of them go through.
    fn send(&mut self, server: &Server, count: usize, note: bool) -> Result<(), String> {
        let count = count.min(self.records.len() - self.sent);
        let some = &self.records[self.sent..self.sent + count];
        match &self.stream {
            Stream::Embedded => {
                for chunk in some.chunks(200) {
                    let payloads = chunk.iter().map(Record::payload).collect();
                    let asker = Asker::new(&server.grpc_url()).map_err(|e| e.to_string())?;
                    asker.push(payloads).map_err(|status| status.to_string())?;
                }
            }
            Stream::Kafka(sender) => {
                for record in some {
                    let partition = place(record, true);
                    let sent =
                        sender.send(&record.key(), &record.payload(), Some(partition as i32));
                    sent.map_err(|error| error.to_string())?;
                }
                sender.flush().map_err(|error| error.to_string())?;
            }
        }
        if note {
            let kafka = matches!(self.stream, Stream::Kafka(_));
            for record in some {
                let partition = place(record, kafka);
                let offset = &mut self.offsets[partition as usize];
                if let Record::Payment(payment) = record {
                    self.archived.push((made_up(payment), (partition, *offset)));
                }
                *offset += 1;
            }
        }
        self.sent += count;
        Ok(())
    }

    fn archive(&self) {
        let positions: Vec<(u32, i64)> = (0..).zip(self.offsets.iter().copied()).collect();
        let folder = self.project.folder().join("archive");
        write_archive(&folder, &self.archived, &positions).expect("archive");
    }

    fn payments(&self, upto: usize) -> Vec<Payment> {
        let some = self.records[..upto].iter();
        let payments = some.filter_map(|record| match record {
            Record::Payment(payment) => Some(made_up(payment)),
            Record::Copy(_) | Record::Broken(..) => None,
        });
        payments.collect()
    }

    fn backfill(&self, view: &str, more: &[&str]) -> std::process::Output {
        let mut args = vec!["backfill", view, "--project", self.project.argument()];
        args.extend(more);
        bin::run(&args).expect("backfill")
    }

    /// Starts a backfill that may be killed.
    fn begin(&self, view: &str) -> Process {
        let args = [
            "backfill",
            view,
            "--project",
            self.project.argument(),
            "--wait",
        ];
        let mut command = bin::command(&args).expect("the binary");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.project.folder().join("backfill.log"))
            .expect("a log");
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        Process::start("tiderace backfill", command).expect("backfill")
    }

    /// Every answer is complete and right.
    fn check(&self, server: &Server) {
        let oracle = Oracle::new(self.payments(self.sent));
        let last = oracle.times().into_iter().max().expect("payments");
        let questions = oracle.questions(&SERVICES, last);
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        let right = oracle.wait_right(&asker, &questions, WITHIN);
        right.unwrap_or_else(|late| panic!("{late:#}\n{}", self.logs(server)));
    }

    /// No answer of the views that began late claims to be complete.
    fn is_warming(&self, server: &Server) {
        let oracle = Oracle::new(self.payments(self.missed));
        let last = oracle.times().into_iter().max().expect("payments");
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        let questions = oracle.questions(&["habits", "risk"], last);
        for question in questions.iter().step_by(5) {
            if let Ok(answer) = asker.ask(question) {
                assert!(!answer.is_complete(), "{question:?}: {answer:?}");
            }
        }
    }

    fn logs(&self, server: &Server) -> String {
        let own = fs::read_to_string(self.project.folder().join("backfill.log"));
        format!("{}\n{}", server.log(), own.unwrap_or_default())
    }
}

/// The partition of a record.
fn place(record: &Record, kafka: bool) -> u32 {
    match record {
        _ if !kafka => 0,
        Record::Payment(payment) => payment.customer_id.unsigned_abs() as u32 % PARTITIONS,
        // Copies come by another partition.
        Record::Copy(payment) => (payment.customer_id.unsigned_abs() as u32 + 1) % PARTITIONS,
        Record::Broken(..) => 0,
    }
}

/// The definitions without the views that begin late.
fn early(settings: &Settings) -> String {
    let all = settings.definitions();
    let documents = all.split("---\n").filter(|document| {
        let late = LATE
            .iter()
            .any(|view| document.contains(&format!("name: {view}\n")));
        let services = ["name: risk\n", "name: habits\n"];
        !late && !services.iter().any(|service| document.contains(service))
    });
    documents.collect::<Vec<_>>().join("---\n")
}

fn edit(project: &Project, from: &str, to: &str) {
    let path = project.folder().join("tiderace.yaml");
    let text = fs::read_to_string(&path).expect("read").replace(from, to);
    assert!(text.contains(to), "{from:?} is not in {text}");
    fs::write(&path, text).expect("write");
}

fn text(output: &std::process::Output) -> String {
    let said = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

/// From 50 ms to 1.5 s.
fn random_life(dice: &mut Dice) -> Duration {
    Duration::from_millis(50 + dice.below(1450))
}

/// Everything is killed at any moment while late views are given their past.
fn killed(kept: Kept, kafka: Option<&Kafka>) {
    let seed = seed();
    let mut scene = Scene::new(kept, kafka, seed);
    let server = scene.project.run().expect("run");
    // Some that the archive and the stream both have.
    scene.send(&server, 100, true).expect("send");
    scene.archive();
    scene.is_warming(&server);
    server.kill();
    let mut dice = Dice::new(seed);
    let mut filled = [false; LATE.len()];
    for kill in 0..kills() {
        let mut server = scene.project.launch().expect("launch");
        let view = kill % LATE.len();
        let mut backfill = scene.begin(LATE[view]);
        let killed_at = Instant::now() + random_life(&mut dice);
        let portion = (scene.records.len() - scene.sent) / kills() / 8;
        while Instant::now() < killed_at {
            // What is not taken now is sent again.
            let _ = scene.send(&server, portion.max(1), false);
            if let Some(status) = backfill.ended() {
                assert!(status.success(), "{status}\n{}", scene.logs(&server));
                filled[view] = true;
            }
        }
        match dice.chance(0.3) {
            true => backfill.kill(),
            false => server.process().kill(),
        }
        drop(backfill);
        drop(server);
    }
    eprintln!("filled meanwhile: {filled:?}");
    let server = scene.project.run().expect("run");
    for view in LATE {
        let output = scene.backfill(view, &[]);
        assert!(
            output.status.success(),
            "{}\n{}",
            text(&output),
            scene.logs(&server)
        );
        assert!(
            text(&output).contains("whole from the beginning"),
            "{}",
            text(&output)
        );
    }
    while scene.sent < scene.records.len() {
        scene.send(&server, 500, false).expect("send");
    }
    scene.check(&server);
    // What was retired of the job is not missed.
    server.kill();
    let server = scene.project.run().expect("run");
    scene.check(&server);
    server.stop().expect("stop");
}

#[test]
fn everything_is_killed_and_nothing_is_let_go_of() {
    killed(Kept::All, None);
}

#[test]
fn everything_is_killed_and_most_is_folded() {
    killed(Kept::Needed, None);
}

#[test]
fn everything_is_killed_beside_kafka() {
    let kafka = Kafka::start(1).expect("kafka");
    killed(Kept::Needed, Some(&kafka));
}

/// A table that knows of no stream: what both have counts once, and a gap is told.
#[test]
fn a_table_of_others_meets_the_stream_by_identity() {
    let settings = Settings {
        source: "max_ahead: none\nallowed_lateness: 365d\n".to_owned(),
        history: "all",
        lanes: 2,
        ..Settings::default()
    };
    let town = Town {
        seed: 3,
        customers: 40,
        terminals: 30,
        per_second: 0.004,
        ..Town::default()
    };
    let trouble = Trouble {
        disorder: tiderace_types::Duration::from_secs(3600),
        duplicates: 0.05,
        broken: 0.0,
    };
    let project = Project::new(&settings).expect("project");
    let mut scene = Scene {
        project,
        stream: Stream::Embedded,
        records: records(&town, trouble, 4000),
        sent: 0,
        missed: 0,
        offsets: vec![0],
        archived: Vec::new(),
    };
    // The table has the first part, the stream the last one, and both the middle.
    let table = scene.project.folder().join("others.parquet");
    write_table(&table, &scene.payments(2500)).expect("table");
    scene.sent = 1500;
    let path = table.to_str().expect("text");
    let early = scene.backfill("customer_spend", &["--table", path]);
    assert!(text(&early).contains("has not begun"), "{}", text(&early));
    let server = scene.project.run().expect("run");
    // Nothing has come yet, so whether a gap remains is not known; later it is.
    let whole = [
        "--table",
        path,
        "--until",
        "2100-01-01T00:00:00Z",
        "--complete-since",
        "beginning",
    ];
    let unknown = scene.backfill("terminal_risk", &whole);
    assert_eq!(unknown.status.code(), Some(1), "{}", text(&unknown));
    assert!(
        text(&unknown).contains("run `backfill` again"),
        "{}",
        text(&unknown)
    );
    scene.send(&server, 2000, false).expect("send");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.wait_caught_up().expect("caught up");
    let views = ["customer_spend", "terminal_risk", "customer_habits"];
    let gap = scene.backfill(views[0], &["--table", path]);
    assert_eq!(gap.status.code(), Some(1), "{}", text(&gap));
    assert!(
        text(&gap).contains("a gap remains from 2026-"),
        "{}",
        text(&gap)
    );
    for view in views {
        let dry = scene.backfill(view, &[&whole[..], &["--dry-run"]].concat());
        assert!(dry.status.success(), "{}", text(&dry));
        assert!(
            text(&dry).contains("2500 rows") || text(&dry).contains("rows, "),
            "{}",
            text(&dry)
        );
        let output = scene.backfill(view, &whole);
        assert!(
            output.status.success(),
            "{}\n{}",
            text(&output),
            server.log()
        );
        // And once more: it is known to be done.
        let again = scene.backfill(view, &whole);
        assert!(again.status.success(), "{}", text(&again));
        assert!(
            text(&again).contains("whole from the beginning"),
            "{}",
            text(&again)
        );
    }
    scene.send(&server, 500, false).expect("send");
    scene.check(&server);
    server.stop().expect("stop");
}

/// What is wrong with a table is named.
#[test]
fn mistakes_are_told() {
    let settings = Settings {
        source: PAST.to_owned(),
        history: "all",
        ..Settings::default()
    };
    let project = Project::new(&settings).expect("project");
    let server = project.run().expect("run");
    let backfill = |args: &[&str]| {
        let mut all = vec!["backfill", "--project", project.argument()];
        all.extend(args);
        let output = bin::run(&all).expect("run");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        text(&output)
    };
    let said = backfill(&["no_such_view"]);
    assert!(
        said.contains("unknown view") && said.contains("customer_spend"),
        "{said}"
    );
    let said = backfill(&["customer_spend"]);
    assert!(said.contains("has no past"), "{said}");
    let path: PathBuf = project.folder().join("table.parquet");
    let named = path.to_str().expect("text");
    let said = backfill(&["customer_spend", "--table", named]);
    assert!(said.contains("no such file"), "{said}");
    fs::write(&path, b"nothing of the kind").expect("write");
    let said = backfill(&["customer_spend", "--table", named]);
    assert!(said.contains("table.parquet"), "{said}");
    let said = backfill(&["customer_spend", "--table", named, "--from", "yesterday"]);
    assert!(said.contains("`yesterday` is not an instant"), "{said}");
    server.stop().expect("stop");
}

/// Every step that makes a past durable fails and crashes: a clean start afterwards gives the answers.
#[test]
fn every_place_fails() {
    let mut command = bin::command(&["schema"]).expect("the binary");
    command.env("TIDERACE_FAILPOINTS", "=error");
    let said = String::from_utf8(command.output().expect("run").stderr).expect("text");
    let (_, names) = said.split_once("there are: ").expect("the places");
    let places = names
        .trim()
        .split(", ")
        .filter(|name| name.starts_with("backfill."));
    let places: Vec<&str> = places.collect();
    assert_eq!(places.len(), 8, "{places:?}");
    for place in places {
        for action in ["error", "crash"] {
            place_fails(place, action);
        }
    }
}

fn place_fails(place: &str, action: &str) {
    let mut scene = Scene::new(Kept::Needed, None, 9);
    let armed = format!("{place}={action}");
    // The files are the command's, and what state knows is the live process's.
    let is_live = place.starts_with("backfill.state");
    let environment = match is_live {
        true => vec![("TIDERACE_FAILPOINTS", armed.clone())],
        false => Vec::new(),
    };
    let mut server = scene.project.launch_with(&environment).expect("launch");
    server.wait_ready().expect("ready");
    scene.send(&server, 100, true).expect("send");
    scene.archive();
    let args = ["backfill", LATE[1], "--project", scene.project.argument()];
    let mut command = bin::command(&args).expect("the binary");
    if !is_live {
        command.env("TIDERACE_FAILPOINTS", &armed);
    }
    let output = command.output().expect("run");
    let said = format!("{}{}", text(&output), server.log());
    assert!(
        said.contains(&format!("failpoint {place}: {action}")),
        "{place}={action} is not passed: {said}"
    );
    server.process().kill();
    drop(server);
    let server = scene.project.run().expect("run");
    for view in LATE {
        let output = scene.backfill(view, &[]);
        assert!(
            output.status.success(),
            "after {place}={action}: {}\n{}",
            text(&output),
            server.log()
        );
    }
    scene.send(&server, 500, false).expect("send");
    scene.check(&server);
    server.stop().expect("stop");
}

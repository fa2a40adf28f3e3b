//! Every step that makes something durable fails, crashes and is slow, before it and after it: a
//! clean start afterwards gives the answers, rows and dead letters of a run without faults.
//!
//! Each case runs the real binary on a project of its own. The places are asked of the binary, and
//! every one of them must be passed and fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tiderace_testkit::bin::{self, Server};
use tiderace_testkit::generate::{Record, Town, Trouble, records};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::archive;
use tiderace_tests::ask::Asker;
use tiderace_tests::dead_letter;
use tiderace_tests::oracle::{Oracle, SERVICES};
use tiderace_tests::project::{Project, Settings};
use tiderace_tests::traffic::first_copies;
use tiderace_tests::values;

const WITHIN: Duration = Duration::from_secs(60);

/// How long a flush of the archive is waited for, which may have been told to fail.
const FLUSHED_WITHIN: Duration = Duration::from_secs(2);

/// How many cases run side by side.
const SIDE_BY_SIDE: usize = 3;

/// What a place needs around it to be passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Around {
    /// Everything embedded.
    Embedded,
    /// Everything embedded, and a torn end of the log to be cut.
    TornLog,
    /// Everything embedded, and a source that does not say since when it is whole, so that coverage
    /// begins with its first record.
    Undeclared,
    /// Everything embedded, and events over so long that old ones are swept.
    LongTime,
    /// Rows owed to a Redis that is away, and then another number of lanes.
    Recut,
    /// Everything embedded, and an archive, over so long that dates are over and identities are let go.
    Archive,
    /// Kafka, which takes pushes and dead letters.
    Kafka,
    /// Kafka, which takes the values of a view as well.
    Output,
}

fn around(place: &str) -> Around {
    match place.rsplit_once('.').map_or(place, |(step, _)| step) {
        "log.cut" => Around::TornLog,
        "state.view" => Around::Undeclared,
        "state.clock" | "state.sweep" => Around::LongTime,
        "state.refile" => Around::Recut,
        "state.archived" | "state.forgotten" => Around::Archive,
        step if step.starts_with("archive.") => Around::Archive,
        "letters.kafka" | "kafka.push" => Around::Kafka,
        "output.kafka" => Around::Output,
        _ => Around::Embedded,
    }
}

/// Whether there is Kafka.
fn has_kafka(around: Around) -> bool {
    matches!(around, Around::Kafka | Around::Output)
}

#[test]
fn every_place_times_every_action() {
    let started = Instant::now();
    let places = places();
    assert!(places.len() >= 25, "{places:?}");
    let mut cases = cases(&places);
    if let Ok(only) = std::env::var("TIDERACE_ONLY") {
        cases.retain(|(places, action)| format!("{}={action}", places[0]).contains(&only));
    }
    let total = cases.len();
    let needs_kafka = cases
        .iter()
        .any(|(places, _)| has_kafka(around(&places[0])));
    let kafka = needs_kafka.then(|| Kafka::start(1).expect("kafka"));
    let cases = Mutex::new(cases.into_iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let next = cases.lock().expect("no case panics").next();
                    let Some((places, action)) = next else { return };
                    let started = Instant::now();
                    let case = || Case::new(&places, action, kafka.as_ref()).run();
                    if let Err(why) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(case)) {
                        let why = why
                            .downcast_ref::<String>()
                            .cloned()
                            .unwrap_or_else(|| "it panicked".to_owned());
                        let mut failures = failures.lock().expect("nobody panics here");
                        failures.push(format!("{places:?}={action}: {why}"));
                    }
                    let seconds = started.elapsed().as_secs_f64();
                    eprintln!("{action:5} {seconds:4.1} s {}", places.join(" "));
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panics here");
    assert!(
        failures.is_empty(),
        "{} of {total} cases fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
    let seconds = started.elapsed().as_secs();
    eprintln!(
        "{total} cases at {} places, all hit, in {seconds} s",
        places.len()
    );
}

/// Errors and crashes one by one; delays together, and at night one by one as well.
fn cases(places: &[String]) -> Vec<(Vec<String>, &'static str)> {
    let mut cases: Vec<(Vec<String>, &str)> = Vec::new();
    for action in ["error", "crash"] {
        cases.extend(places.iter().map(|place| (vec![place.clone()], action)));
    }
    if std::env::var_os("TIDERACE_NIGHTLY").is_some_and(|value| !value.is_empty()) {
        cases.extend(places.iter().map(|place| (vec![place.clone()], "delay")));
    } else {
        let mut together: BTreeMap<Around, Vec<String>> = BTreeMap::new();
        for place in places {
            together
                .entry(around(place))
                .or_default()
                .push(place.clone());
        }
        cases.extend(together.into_values().map(|places| (places, "delay")));
    }
    cases
}

/// A place that does not exist is refused, and the log is loud about one that does.
#[test]
fn arming_is_strict_and_loud() {
    let project = Project::new(&Settings::default()).expect("project");
    let armed = [(tiderace_failpoints(), "state.comit.before=error".to_owned())];
    let mut server = project.launch_with(&armed).expect("launch");
    server.wait_ready().expect_err("refused");
    assert!(
        server.log().contains("state.commit.before"),
        "{}",
        server.log()
    );
    let armed = [(
        tiderace_failpoints(),
        "state.commit.before=delay@1000".to_owned(),
    )];
    let mut server = project.launch_with(&armed).expect("launch");
    server.wait_ready().expect("ready");
    assert!(
        server.log().contains("FAILPOINTS ARE ARMED"),
        "{}",
        server.log()
    );
    server.stop().expect("stop");
}

fn tiderace_failpoints() -> &'static str {
    "TIDERACE_FAILPOINTS"
}

/// The places, asked of the binary: it names them when it is told one that there is not.
fn places() -> Vec<String> {
    let mut command = bin::command(&["schema"]).expect("the binary");
    command.env(tiderace_failpoints(), "=error");
    let said = command.output().expect("run").stderr;
    let said = String::from_utf8(said).expect("text");
    let (_, names) = said.split_once("there are: ").expect("the places");
    let names = names.trim().split(", ").map(str::to_owned);
    // Pasts that are prepared, tables that are synced, definitions that are applied and sources that are shared have
    // tests of their own (`backfill`, `batch`, `apply`, `processes`).
    let others = ["backfill.", "batch.", "deploy.", "share."];
    names
        .filter(|name| !others.iter().any(|other| name.starts_with(other)))
        .collect()
}

struct Case<'a> {
    places: &'a [String],
    action: &'a str,
    around: Around,
    kafka: Option<&'a Kafka>,
    redis: Option<Redis>,
    project: Project,
    records: Vec<Record>,
}

impl<'a> Case<'a> {
    fn new(places: &'a [String], action: &'a str, kafka: Option<&'a Kafka>) -> Case<'a> {
        let place = &places[0];
        let around = around(place);
        let redis = (around == Around::Recut || around == Around::Kafka)
            .then(|| Redis::start().expect("redis"));
        let kafka = kafka.filter(|_| has_kafka(around));
        let source = match around {
            // Declared to be whole, so that answers claim completeness; kept for a month and a day.
            Around::LongTime => {
                "complete_since: beginning\nmax_ahead: none\nallowed_lateness: 1d\n"
            }
            Around::Undeclared => "max_ahead: none\nallowed_lateness: 365d\n",
            Around::Archive => {
                "complete_since: beginning\nmax_ahead: none\nallowed_lateness: 1d\n\
                 archive: { parquet: archive, flush_interval: 1ms }\n"
            }
            _ => tiderace_tests::project::PAST,
        };
        let settings = Settings {
            kafka: kafka.map(Kafka::bootstrap),
            redis: redis.as_ref().map(Redis::url),
            source: source.to_owned(),
            history: match around {
                Around::LongTime => "0s",
                _ => "all",
            },
            lanes: 2,
            ..Settings::default()
        };
        let topic = topic(place, action);
        let definitions = settings.definitions();
        let definitions = definitions.replace("topic: card_payments", &format!("topic: {topic}"));
        let spend = "name: customer_spend\n";
        let output = format!("{spend}output: {{ kafka: {{ topic: {topic}-values }} }}\n");
        let definitions = match around {
            Around::Output => definitions.replacen(spend, &output, 1),
            _ => definitions,
        };
        if let Some(kafka) = kafka {
            kafka.create_topic(&topic, 2).expect("topic");
        }
        let project = Project::with(&settings, &definitions).expect("project");
        edit(&project, "lanes: 2", "lanes: 2, commit_interval: 320ms");
        Case {
            places,
            action,
            around,
            kafka,
            redis,
            project,
            records: stream(around),
        }
    }

    fn run(mut self) {
        self.prepare();
        let armed = self.places.iter().map(|place| self.armed(place));
        let environment = [(tiderace_failpoints(), armed.collect::<Vec<_>>().join(";"))];
        let server = self.project.launch_with(&environment).expect("launch");
        let (server, left) = self.push_through(server);
        // Some steps come only with an end in good order.
        let (at_end, before): (Vec<_>, Vec<_>) = self
            .places
            .iter()
            .partition(|place| place.starts_with("state.sync"));
        let found = wait::until("the failpoint", WITHIN, || {
            let all = before.iter().all(|place| self.is_hit(place));
            if !all && self.around != Around::LongTime {
                self.nudge(&server);
            }
            all
        });
        found.unwrap_or_else(|late| {
            let metrics = server.get("/metrics").map(|(_, metrics)| metrics);
            panic!("{late}:\n{}\n{}", server.log(), metrics.unwrap_or_default())
        });
        if at_end.is_empty() {
            server.kill();
        } else {
            // How it ends is the failpoint's to say.
            drop(server.stop());
            let all = at_end.iter().all(|place| self.is_hit(place));
            assert!(all, "{at_end:?} is not passed at an end in good order");
        }
        self.check(left);
    }

    /// The action, and at which time that the place is passed: not at the first one where the step
    /// comes again and again.
    fn armed(&self, place: &str) -> String {
        let often = [
            "log.append",
            "log.sync",
            "log.note",
            "state.commit",
            "state.marker",
            "state.archived",
            "archive.stage",
            "archive.manifest",
            "archive.publish",
        ];
        let online = ["online.rows", "online.marker"];
        let again = often
            .iter()
            .chain(&online)
            .any(|step| place.starts_with(step));
        let at = match (again && self.action != "delay", self.around) {
            (true, _) => 3,
            // Three views are begun, and note where reading begins; what comes then is their coverage.
            (_, Around::Undeclared) => 8,
            _ => 1,
        };
        format!("{place}={}@{at}", self.action)
    }

    fn is_hit(&self, place: &str) -> bool {
        let log = fs::read_to_string(self.project.folder().join("run.log"));
        log.unwrap_or_default()
            .contains(&format!("failpoint {place}: {}", self.action))
    }

    /// Makes what the place needs to be passed.
    fn prepare(&mut self) {
        match self.around {
            Around::Embedded
            | Around::Archive
            | Around::Undeclared
            | Around::LongTime
            | Around::Kafka
            | Around::Output => {}
            Around::TornLog => {
                let server = self.project.run().expect("run");
                push(&server, &self.records[..50]).expect("push");
                server.kill();
                let folder = self.project.folder().join("state/log/card_payments");
                let segment = segment(&folder);
                let mut file = fs::File::options()
                    .append(true)
                    .open(segment)
                    .expect("open");
                file.write_all(&[7; 33]).expect("write");
            }
            Around::Recut => {
                let server = self.project.run().expect("run");
                push(&server, &self.records[..50]).expect("push");
                Asker::new(&server.grpc_url())
                    .and_then(|asker| asker.wait_caught_up())
                    .expect("caught up");
                // From here on rows are owed.
                self.redis.as_mut().expect("redis").pause();
                push(&server, &self.records[50..200]).expect("push");
                let read = wait::until("the records to be read", WITHIN, || read(&server) >= 200);
                read.expect("rows are owed");
                server.stop().expect("stop");
                edit(&self.project, "lanes: 2", "lanes: 3");
                self.redis.as_mut().expect("redis").resume();
            }
        }
    }

    /// Pushes everything, though the server may end at any time; gives what was not acknowledged.
    fn push_through(&self, mut server: Server) -> (Server, Vec<Record>) {
        let mut left = Vec::new();
        for chunk in self.records.chunks(40) {
            let archived = counted(&server, "tiderace_archive_rows_total");
            let pushed = wait::until_some("an answer or the end", WITHIN, || {
                match push(&server, chunk) {
                    Ok(()) => Some(true),
                    Err(_) if server.process().ended().is_some() => Some(false),
                    // Refused for good, as after a failed sync: a start mends it.
                    Err(why) if why.contains("has failed") || why.contains("failpoint") => {
                        Some(false)
                    }
                    Err(_) => None,
                }
            });
            match pushed.unwrap_or_default() {
                false => left.extend(chunk.iter().cloned()),
                true if self.around == Around::Archive => {
                    // A file of its own, however slow the disk is, so that there are some to merge.
                    let _ = wait::until("its file", FLUSHED_WITHIN, || {
                        server.process().ended().is_some()
                            || counted(&server, "tiderace_archive_rows_total") > archived
                    });
                }
                true => {}
            }
        }
        (server, left)
    }

    /// A little more of what passes the place.
    fn nudge(&self, server: &Server) {
        // Whether it is taken does not matter.
        let payments = self.records.iter().rev();
        let last = payments
            .filter(|record| matches!(record, Record::Payment(_)))
            .take(1);
        let _ = push(server, &last.cloned().collect::<Vec<_>>());
    }

    /// Starts without faults, pushes what is left, and compares.
    fn check(&self, left: Vec<Record>) {
        let server = self.project.run().expect("a clean start");
        for chunk in left.chunks(40) {
            push(&server, chunk).expect("push");
        }
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        asker.wait_caught_up().expect("caught up");
        let oracle = Oracle::new(first_copies(&self.records));
        let last = first_copies(&self.records)
            .map(|payment| payment.time)
            .max();
        let last = last.expect("payments");
        let services = match self.around {
            // Lifetimes and delays keep what the others let go of.
            Around::LongTime => &["spend"][..],
            _ => &SERVICES,
        };
        let questions = oracle.questions(services, last);
        let answers = asker.ask_all(&questions).expect("answers");
        let mut asked = questions.iter().zip(&answers);
        let fault = match self.around == Around::Undeclared {
            // Of the past before the first record nothing is known.
            true => None,
            false => asked.find_map(|(question, answer)| oracle.fault(question, answer)),
        };
        let counts = questions
            .iter()
            .zip(&answers)
            .find_map(|(question, answer)| {
                let expected = oracle.expected(question);
                let mut wrong = expected
                    .into_iter()
                    .filter(|(name, _)| name.starts_with("tx_count"));
                wrong
                    .find(|(name, value)| answer.value(name) != value)
                    .map(|(name, value)| format!("{question:?}: {name} is not {value}: {answer:?}"))
            });
        assert_eq!((fault, counts), (None, None), "{}", server.log());
        self.check_letters(&server);
        if self.around == Around::Output {
            self.check_output(&server, oracle.entities("spend").len());
        }
        let log = server.log();
        server.stop().expect("stop");
        if self.around == Around::Archive {
            let archived = archive::payments(&self.project.folder().join("archive"));
            let expected = archive::by_identity(first_copies(&self.records));
            assert_eq!(archived, expected, "{log}");
        }
    }

    /// Every entity has a record of its values, and versions are in order.
    fn check_output(&self, server: &Server, entities: usize) {
        let kafka = self.kafka.expect("kafka");
        let topic = self.topic();
        let topic = format!("{topic}-values");
        let mut records = Vec::new();
        let all = wait::until("every entity's values", WITHIN, || {
            records = values::read(&kafka.bootstrap(), &topic).expect("read");
            values::newest(&records).len() == entities
        });
        all.unwrap_or_else(|late| panic!("{late}: {records:?}\n{}", server.log()));
        values::assert_in_order(&records);
    }

    /// A topic of its own for each case.
    fn topic(&self) -> String {
        topic(&self.places[0], self.action)
    }

    /// Every broken record is a dead letter, of its own bytes and reason; nothing else is.
    fn check_letters(&self, server: &Server) {
        let expected: BTreeSet<Vec<u8>> = self
            .records
            .iter()
            .filter(|record| matches!(record, Record::Broken(..)))
            .map(Record::payload)
            .collect();
        let folder = self.project.folder().join("state/dead-letters");
        let mut found = BTreeSet::new();
        let all = wait::until("the dead letters", WITHIN, || {
            found = match self.kafka {
                None => letters_of(&folder),
                Some(kafka) => {
                    let topic = self.topic();
                    let read =
                        dead_letter::payloads_of_topic(&kafka.bootstrap(), &topic, &expected);
                    read.expect("dead letters")
                }
            };
            found.len() >= expected.len()
        });
        all.unwrap_or_else(|late| panic!("{late}: {}\n{}", found.len(), server.log()));
        assert_eq!(found, expected);
    }
}

/// The topic of a case.
fn topic(place: &str, action: &str) -> String {
    format!("{}-{action}", place.replace('.', "-"))
}

/// The payloads in a folder's dead letters; a line that a crash has cut is none.
fn letters_of(folder: &Path) -> BTreeSet<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return BTreeSet::new();
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        let text = fs::read_to_string(entry.expect("entry").path()).expect("read");
        for line in text.lines() {
            if let Ok(letter) = serde_json::from_str::<BTreeMap<String, serde_json::Value>>(line) {
                let payload = letter["payload"].as_str().expect("a payload");
                found.insert(payload.as_bytes().to_vec());
            }
        }
    }
    found
}

fn edit(project: &Project, from: &str, to: &str) {
    let path = project.folder().join("tiderace.yaml");
    let text = fs::read_to_string(&path).expect("read").replace(from, to);
    assert!(text.contains(to), "{from:?} is not in {text}");
    fs::write(&path, text).expect("write");
}

fn push(server: &Server, records: &[Record]) -> Result<(), String> {
    let asker = Asker::new(&server.grpc_url()).map_err(|error| error.to_string())?;
    let payloads = records.iter().map(Record::payload).collect();
    asker
        .push(payloads)
        .map(drop)
        .map_err(|status| status.to_string())
}

/// How many records the server says that it has read.
fn read(server: &Server) -> u64 {
    counted(
        server,
        "tiderace_records_total{source=\"card_payments\",outcome=\"read\"",
    )
}

/// The sum of the metrics whose lines begin so; 0 of a server that does not answer.
fn counted(server: &Server, begin: &str) -> u64 {
    let Ok((_, metrics)) = server.get("/metrics") else {
        return 0;
    };
    let lines = metrics.lines().filter(|line| line.starts_with(begin));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn segment(folder: &Path) -> std::path::PathBuf {
    let entries = fs::read_dir(folder).expect("the log");
    let mut segments: Vec<_> = entries
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == "log"))
        .collect();
    segments.sort();
    segments.pop().expect("a segment")
}

fn stream(around: Around) -> Vec<Record> {
    let (days, count, customers) = match around {
        Around::LongTime => (100.0, 4000, 2000),
        _ => (20.0, 400, 40),
    };
    let town = Town {
        seed: 11,
        customers,
        terminals: 30,
        per_second: f64::from(count) / (days * 86_400.0),
        ..Town::default()
    };
    let trouble = match around {
        Around::LongTime => Trouble::NONE,
        _ => Trouble {
            disorder: tiderace_types::Duration::from_secs(3600),
            duplicates: 0.1,
            broken: 0.04,
        },
    };
    records(&town, trouble, count as usize)
}

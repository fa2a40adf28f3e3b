//! Power cuts: everything that was not synced is forgotten, again and again, some of it torn. What
//! was acknowledged is still there, and answers are those of a recount.
//!
//! The harness is proved by a planted fault: with syncs that do nothing it must find a loss.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_testkit::generate::{Dice, Record, Town, Trouble, records};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::power::Power;
use tiderace_testkit::redis::Redis;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::dead_letter;
use tiderace_tests::oracle::{Oracle, SERVICES};
use tiderace_tests::project::{PAST, Project, Settings, TOPIC};
use tiderace_tests::topic::Sender;
use tiderace_tests::traffic::{TROUBLE, Traffic, first_copies, town};
use tiderace_types::{Timestamp, Value};

const WITHIN: Duration = Duration::from_secs(60);

/// Small, so that kills fall between many pushes.
const PUSH: usize = 40;

#[test]
fn acknowledged_pushes_survive() {
    let seed = seed();
    let home = Home::new();
    let power = Power::new(&home.root()).expect("the library");
    let lost = home.lose(&power, seed, rounds());
    assert_eq!(lost, None, "TIDERACE_SEED={seed}");
}

/// Whether the harness would see it.
#[test]
fn a_missing_sync_is_found() {
    let seed = seed();
    let home = Home::new();
    let power = Power::new(&home.root()).expect("the library");
    let lost = home.lose(&power.without_syncs(), seed, 3);
    let lost = lost.expect("a harness that misses a loss");
    eprintln!("found, as it must be: {lost}");
}

/// A project with everything embedded.
struct Home {
    project: Project,
}

impl Home {
    fn new() -> Home {
        let project = Project::new(&Settings {
            source: PAST.to_owned(),
            history: "all",
            lanes: 2,
            ..Settings::default()
        });
        Home {
            project: project.expect("project"),
        }
    }

    fn root(&self) -> std::path::PathBuf {
        root(&self.project)
    }

    /// Pushes payments through so many cuts, and tells what is lost in the end.
    fn lose(&self, power: &Power, seed: u64, cuts: usize) -> Option<String> {
        let town = Town {
            customers: 60,
            terminals: 50,
            ..town(seed)
        };
        let trouble = Trouble {
            duplicates: 0.0,
            ..TROUBLE
        };
        let all = records(&town, trouble, 12_000);
        let mut chunks = all.chunks(PUSH).peekable();
        // Some for every life, whichever way they fall.
        let most = all.len() / PUSH / (cuts + 1);
        let mut acknowledged: Vec<Record> = Vec::new();
        let mut dice = Dice::new(seed);
        for cut in 0..cuts {
            let environment = power.environment().expect("environment");
            let mut server = self.project.launch_with(&environment).expect("launch");
            if let Err(error) = server.wait_ready() {
                return Some(format!("cut {cut}: it does not start again: {error:#}"));
            }
            let asker = Asker::new(&server.grpc_url()).expect("connect");
            let until = Instant::now() + Duration::from_millis(50 + dice.below(800));
            let mut pushed = 0;
            while Instant::now() < until {
                if pushed < most
                    && let Some(chunk) = chunks.peek()
                    && asker.push(payloads(chunk)).is_ok()
                {
                    pushed += 1;
                    acknowledged.extend(chunk.iter().cloned());
                    chunks.next();
                }
                for _ in 0..dice.index(20) {
                    // Whether it answers does not matter; only that it costs some time.
                    let _ = server.get("/ready");
                }
            }
            if let Some(chunk) = chunks.next() {
                // Nobody hears the answer to this one, and it is not sent again unless it was
                // lost: its place in the stream stays with it.
                let payloads = payloads(chunk);
                let told = std::thread::scope(|scope| {
                    let pushed = scope.spawn(|| asker.push(payloads).is_ok());
                    for _ in 0..dice.index(30) {
                        // Whether it answers does not matter; only that it costs some time.
                        let _ = server.get("/ready");
                    }
                    server.kill();
                    pushed.join().expect("a push")
                });
                let lost = power.cut(&mut dice).expect("cut");
                eprintln!(
                    "cut {cut}: {} bytes and {} names lost",
                    lost.bytes, lost.names
                );
                if told {
                    acknowledged.extend(chunk.iter().cloned());
                } else {
                    let again = self.push_again(chunk);
                    if let Some(why) = again {
                        return Some(format!("cut {cut}: {why}"));
                    }
                    acknowledged.extend(chunk.iter().cloned());
                }
            }
        }
        self.missing(&acknowledged)
    }

    /// Pushes what may or may not have got there: it counts once all the same.
    fn push_again(&self, chunk: &[Record]) -> Option<String> {
        let mut server = self.project.launch().expect("launch");
        if let Err(error) = server.wait_ready() {
            return Some(format!("it does not start again: {error:#}"));
        }
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        asker.push(payloads(chunk)).expect("push");
        server.kill();
        None
    }

    /// What of the acknowledged records is not there.
    fn missing(&self, acknowledged: &[Record]) -> Option<String> {
        let mut server = self.project.launch().expect("launch");
        if let Err(error) = server.wait_ready() {
            return Some(format!("it does not start again: {error:#}"));
        }
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        asker.wait_caught_up().expect("caught up");
        let oracle = Oracle::new(first_copies(acknowledged));
        let last = first_copies(acknowledged).map(|payment| payment.time).max();
        let questions = oracle.questions(&SERVICES, last.expect("payments"));
        let answers = asker.ask_all(&questions).expect("answers");
        let mut asked = questions.iter().zip(&answers);
        let fault = asked.find_map(|(question, answer)| oracle.fault(question, answer));
        if fault.is_some() {
            return fault;
        }
        // Every broken record that was acknowledged is a dead letter, and nothing else is.
        let mut buried: Vec<Vec<u8>> = dead_letter::of_folder(self.project.folder())
            .expect("dead letters")
            .into_values()
            .map(|letter| letter.payload)
            .collect();
        let mut broken: Vec<Vec<u8>> = acknowledged
            .iter()
            .filter(|record| matches!(record, Record::Broken(..)))
            .map(Record::payload)
            .collect();
        for letters in [&mut buried, &mut broken] {
            letters.sort();
            letters.dedup();
        }
        server.stop().expect("stop");
        (buried != broken).then(|| {
            format!(
                "{} kinds of dead letters, not {}",
                buried.len(),
                broken.len()
            )
        })
    }
}

/// With Kafka and Redis, which keep their power: what was published is not taken back, and after
/// each cut the answers are those of a recount again.
#[test]
fn answers_of_redis_never_go_back() {
    let seed = seed();
    let kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic(TOPIC, 3).expect("topic");
    let redis = Redis::start().expect("redis");
    let settings = Settings {
        kafka: Some(kafka.bootstrap()),
        redis: Some(redis.url()),
        source: PAST.to_owned(),
        history: "all",
        lanes: 2,
        ..Settings::default()
    };
    let project = Project::new(&settings).expect("project");
    let reader = Project::new(&settings).expect("a project to serve from");
    let power = Power::new(&root(&project)).expect("the library");
    let sender = Sender::new(&kafka.bootstrap(), TOPIC).expect("sender");
    let mut traffic = Traffic::new(&town(seed), TROUBLE, 20_000, 3);
    let last = traffic.last;
    let mut dice = Dice::new(seed);

    // The first rows are there before anyone watches.
    let server = project.run().expect("run");
    traffic.send(&sender, 500).expect("send");
    Asker::new(&server.grpc_url())
        .and_then(|asker| asker.wait_caught_up())
        .expect("caught up");
    server.stop().expect("stop");
    let serving = reader.serve().expect("serve");
    let url = serving.grpc_url();

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&url, last, &over));
        for cut in 0..rounds() {
            let environment = power.environment().expect("environment");
            let mut server = project.launch_with(&environment).expect("launch");
            if dice.chance(0.8) {
                server.wait_ready().expect("ready");
            }
            let until = Instant::now() + Duration::from_millis(50 + dice.below(1200));
            // Some for every cut.
            let enough = traffic.left() - traffic.left() / (rounds() - cut);
            while Instant::now() < until {
                if traffic.left() > enough {
                    traffic.send(&sender, 10).expect("send");
                }
                // Whether it answers does not matter; only that it costs some time.
                let _ = server.get("/ready");
            }
            server.kill();
            let lost = power.cut(&mut dice).expect("cut");
            eprintln!(
                "cut {cut}: {} bytes and {} names lost",
                lost.bytes, lost.names
            );
            if cut % 4 == 3 {
                let server = project.run().expect("run again");
                converges(&server.grpc_url(), &traffic.oracle, last);
                server.kill();
            }
        }
        over.store(true, Ordering::Relaxed);
        let seen = watching.join().expect("nothing goes back");
        assert!(seen > 0, "nothing was ever complete");
    });
    let server = project.run().expect("run again");
    converges(&server.grpc_url(), &traffic.oracle, last);
    converges(&url, &traffic.oracle, last);
    let expected = &traffic.letters;
    let found = dead_letter::of_topic(&kafka.bootstrap(), TOPIC, expected.len());
    assert_eq!(&found.expect("dead letters"), expected);
    server.stop().expect("stop");
    serving.stop().expect("stop");
}

/// Asks a server that only reads Redis, until it is over: no count of payments is ever less
/// than one that was answered before. Gives how many answers there were.
fn watch(url: &str, last: Timestamp, over: &AtomicBool) -> usize {
    let asker = Asker::new(url).expect("connect");
    let mut counted = vec![0; 60];
    let mut seen = 0;
    while !over.load(Ordering::Relaxed) {
        for (customer, before) in counted.iter_mut().enumerate() {
            let Ok(answer) = asker.ask(&Question::at("spend", customer as i64, last)) else {
                continue;
            };
            // Rows that are being published anew say that they are not complete.
            if answer.is_complete()
                && let Value::Int(count) = answer.value("tx_count_30d")
            {
                assert!(
                    count >= before,
                    "customer {customer}: {count} after {before}: {answer:?}"
                );
                *before = *count;
                seen += 1;
            }
        }
    }
    seen
}

fn converges(url: &str, oracle: &Oracle, last: Timestamp) {
    let asker = Asker::new(url).expect("connect");
    let questions = oracle.questions(&SERVICES, last);
    let right = oracle.wait_right(&asker, &questions, WITHIN);
    right.unwrap_or_else(|late| panic!("{late:#}"));
}

fn root(project: &Project) -> std::path::PathBuf {
    let folder: &Path = project.folder();
    folder.join("state")
}

fn payloads(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(Record::payload).collect()
}

/// How many cuts each of the two has: `TIDERACE_CUTS`, or 25, so that they are fifty; at night 100.
fn rounds() -> usize {
    let given = std::env::var("TIDERACE_CUTS").ok();
    let at_night = std::env::var_os("TIDERACE_NIGHTLY").is_some_and(|value| !value.is_empty());
    let usual = if at_night { 100 } else { 25 };
    given.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// `TIDERACE_SEED`, or always the same one.
fn seed() -> u64 {
    let given = std::env::var("TIDERACE_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok()).unwrap_or(20_262);
    eprintln!("TIDERACE_SEED={seed}");
    seed
}

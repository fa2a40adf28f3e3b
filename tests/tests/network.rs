//! The network between us and Kafka or Redis fails in every way: no answer that claims to be
//! complete is ever wrong, and when the fault is over everything is counted, once, by itself.
//!
//! Bits are flipped in what Kafka and Redis say. What is said *to* Redis is not covered by any
//! checksum of ours (`docs/reliability.md`), so there bits are flipped in stored rows instead.

use std::time::{Duration, Instant};
use tiderace_testkit::bin::Server;
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::proxy::{Direction, Fault, Proxy};
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::dead_letter;
use tiderace_tests::oracle::{Oracle, SERVICES};
use tiderace_tests::project::{PAST, Project, Settings, TOPIC};
use tiderace_tests::topic::Sender;
use tiderace_tests::traffic::{TROUBLE, Traffic, town};
use tiderace_types::Value;

const WITHIN: Duration = Duration::from_secs(60);

/// How soon after a fault everything must be right again.
const RECOVERY: Duration = Duration::from_secs(30);

const PORTION: usize = 150;
const PARTITIONS: usize = 3;

/// Between us and which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Kafka,
    Redis,
}

/// What is seen of a fault while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Answers are refused, or say that they are not complete.
    Admitted,
    /// The answers become right all the same.
    Borne,
    /// So many bits have been flipped.
    Flips(u64),
}

const FAULTS: [(Fault, Seen); 8] = [
    (Fault::Cut(Direction::Both), Seen::Admitted),
    (Fault::Cut(Direction::ToServer), Seen::Admitted),
    (Fault::Cut(Direction::ToClient), Seen::Admitted),
    (Fault::HalfOpen, Seen::Admitted),
    (Fault::Slow(Duration::from_millis(8)), Seen::Borne),
    (Fault::Trickle, Seen::Admitted),
    (Fault::Reset, Seen::Admitted),
    (Fault::Refuse, Seen::Admitted),
];

/// Bits of records: what Kafka's checksum covers. It leaves out the offset and the length of a
/// batch, and all that is not of a batch.
const OF_KAFKA: (Fault, Seen) = (Fault::FlipIn(b"customer"), Seen::Flips(5));

/// Bits of anything that Redis says.
const OF_REDIS: (Fault, Seen) = (Fault::Flip(Direction::ToClient, 4000), Seen::Flips(20));

struct Scene {
    kafka: Kafka,
    _redis: Redis,
    to_kafka: Proxy,
    to_redis: Proxy,
    server: Server,
    asker: Asker,
    sender: Sender,
    traffic: Traffic,
    _project: Project,
}

impl Scene {
    fn new(seed: u64) -> Scene {
        let to_kafka = Proxy::start(seed).expect("a proxy");
        let kafka = Kafka::start_proxied(&to_kafka).expect("kafka");
        kafka.create_topic(TOPIC, PARTITIONS as u32).expect("topic");
        let redis = Redis::start().expect("redis");
        let to_redis = Proxy::before(redis.port(), seed).expect("a proxy");
        let project = Project::new(&Settings {
            kafka: Some(format!("127.0.0.1:{}", to_kafka.port())),
            redis: Some(format!("redis://127.0.0.1:{}", to_redis.port())),
            source: format!("{PAST}max_lag: 2s\n"),
            history: "all",
            lanes: 2,
            ..Settings::default()
        });
        let project = project.expect("project");
        let server = project.run().expect("run");
        Scene {
            asker: Asker::new(&server.grpc_url()).expect("connect"),
            sender: Sender::new(&kafka.bootstrap(), TOPIC).expect("sender"),
            traffic: Traffic::new(&town(seed), TROUBLE, 6000, PARTITIONS),
            kafka,
            _redis: redis,
            to_kafka,
            to_redis,
            server,
            _project: project,
        }
    }

    fn proxy(&mut self, side: Side) -> &mut Proxy {
        match side {
            Side::Kafka => &mut self.to_kafka,
            Side::Redis => &mut self.to_redis,
        }
    }

    fn pay(&mut self) {
        let sent = self.traffic.send(&self.sender, PORTION);
        sent.expect("send");
    }

    /// About every entity, at the end of time.
    fn questions(&self) -> Vec<Question> {
        self.traffic.oracle.questions(&SERVICES, self.traffic.last)
    }

    fn is_right(&self) -> bool {
        let fault = self
            .traffic
            .oracle
            .fault_now(&self.asker, &self.questions());
        fault.is_none()
    }

    /// Waits until every answer is complete and right; tells how long that took.
    fn converges(&self, after: &str) -> Duration {
        let since = Instant::now();
        let (oracle, questions) = (&self.traffic.oracle, self.questions());
        let right = oracle.wait_right(&self.asker, &questions, WITHIN);
        let log = self.server.log();
        right.unwrap_or_else(|late| panic!("after {after}: {late:#}\n{log}"));
        since.elapsed()
    }

    /// Asks while a fault lasts, until it is seen as it should be: answers that claim to be
    /// complete count no less than `before` and no more than what has been sent.
    fn endures(&self, side: Side, seen: Seen, before: &Oracle, what: &str) {
        let last = self.traffic.last;
        let entities = before.entities("spend").into_iter();
        let questions: Vec<_> = entities
            .map(|entity| Question::at("spend", entity, last))
            .collect();
        let mut turn = 0;
        let flips = match side {
            Side::Kafka => self.to_kafka.flips(),
            Side::Redis => self.to_redis.flips(),
        };
        let mut admitted = 0;
        let over = wait::until(what, WITHIN, || {
            turn += 1;
            let question = &questions[turn % questions.len()];
            let complete = match self.asker.ask(question) {
                Ok(answer) if answer.is_complete() => {
                    self.assert_between(before, question, &answer, what);
                    true
                }
                _ => false,
            };
            admitted = if complete { 0 } else { admitted + 1 };
            match seen {
                Seen::Admitted => admitted >= 3,
                Seen::Borne => self.is_right(),
                Seen::Flips(count) => {
                    let now = match side {
                        Side::Kafka => self.to_kafka.flips(),
                        Side::Redis => self.to_redis.flips(),
                    };
                    now >= flips + count
                }
            }
        });
        let log = self.server.log();
        over.unwrap_or_else(|late| panic!("{what}: {late}\n{log}"));
    }

    fn assert_between(
        &self,
        before: &Oracle,
        question: &Question,
        answer: &tiderace_tests::answer::Answer,
        what: &str,
    ) {
        let least = before.expected(question);
        let most = self.traffic.oracle.expected(question);
        for ((name, least), (_, most)) in least.iter().zip(&most) {
            let (Value::Int(least), Value::Int(most)) = (least, most) else {
                continue;
            };
            match answer.value(name) {
                Value::Int(found) => assert!(
                    least <= found && found <= most,
                    "{what}: {question:?}: {name} is {found}, not from {least} to {most}"
                ),
                other => panic!("{what}: {question:?}: {name} is {other}"),
            }
        }
    }
}

#[test]
fn every_fault_between_us_and_kafka() {
    survive(Side::Kafka);
}

#[test]
fn every_fault_between_us_and_redis() {
    survive(Side::Redis);
}

fn survive(side: Side) {
    let seed = seed();
    let mut scene = Scene::new(seed);
    scene.pay();
    scene.converges("the first payments");
    for round in 0..rounds() {
        let flips = match side {
            Side::Kafka => OF_KAFKA,
            Side::Redis => OF_REDIS,
        };
        for (fault, seen) in FAULTS.into_iter().chain([flips]) {
            let what = format!("{side:?} {fault:?}, round {round}");
            let before = scene.traffic.oracle.clone();
            scene.proxy(side).set(fault).expect("a fault");
            scene.pay();
            scene.endures(side, seen, &before, &what);
            scene.proxy(side).set(Fault::None).expect("no fault");
            scene.pay();
            let took = scene.converges(&what);
            eprintln!("{what}: right again after {:.1} s", took.as_secs_f64());
            assert!(took <= RECOVERY, "{what}: right again only after {took:?}");
        }
    }
    let expected = &scene.traffic.letters;
    let found = dead_letter::of_topic(&scene.kafka.bootstrap(), TOPIC, expected.len());
    assert_eq!(&found.expect("dead letters"), expected);
    scene.server.stop().expect("stop");
}

/// How often each fault comes: more at night.
fn rounds() -> usize {
    match std::env::var_os("TIDERACE_NIGHTLY").is_some_and(|value| !value.is_empty()) {
        true => 5,
        false => 1,
    }
}

/// `TIDERACE_SEED`, or always the same one.
fn seed() -> u64 {
    let given = std::env::var("TIDERACE_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok()).unwrap_or(20_261);
    eprintln!("TIDERACE_SEED={seed}");
    seed
}

//! Redis down, back, flushed, come back empty, standing still: consuming goes on, no answer
//! is ever silently wrong, and the answers converge by themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tiderace_testkit::bin::Server;
use tiderace_testkit::generate::{Payments, Town};
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input::{Payment, made_up};
use tiderace_tests::oracle::Oracle;
use tiderace_tests::project::{PAST, Project, Settings};
use tiderace_types::Timestamp;

const WITHIN: Duration = Duration::from_secs(60);
const CUSTOMERS: usize = 40;

/// A server with Redis, and payments that come in portions.
struct Scene {
    redis: Redis,
    server: Server,
    asker: Asker,
    payments: Payments,
    oracle: Oracle,
    last: Timestamp,
    _project: Project,
}

impl Scene {
    fn new() -> Scene {
        let redis = Redis::start().expect("redis");
        let project = Project::new(&Settings {
            redis: Some(redis.url()),
            source: format!("{PAST}max_lag: 2s\n"),
            history: "all",
            ..Settings::default()
        });
        let project = project.expect("project");
        let server = project.run().expect("run");
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        let payments = Payments::new(Town {
            customers: CUSTOMERS,
            terminals: 30,
            ..Town::default()
        });
        Scene {
            redis,
            server,
            asker,
            payments,
            oracle: Oracle::default(),
            last: Timestamp::MIN,
            _project: project,
        }
    }

    /// Pushes a thousand payments more.
    fn pay(&mut self) {
        let paid: Vec<_> = self.payments.by_ref().take(1000).collect();
        let payloads = paid.iter().map(|p| p.to_json().into_bytes()).collect();
        assert_eq!(self.asker.push(payloads).expect("push"), 1000);
        for payment in paid.iter().map(made_up) {
            self.last = self.last.max(payment.time);
            self.oracle.add(payment);
        }
    }

    fn questions(&self) -> Vec<Question> {
        let about = |service| {
            let entities = self.oracle.entities(service).into_iter();
            entities.map(move |entity| Question::at(service, entity, self.last))
        };
        about("spend").chain(about("habits")).collect()
    }

    /// Waits until every answer is complete and right.
    fn converges(&self, after: &str) {
        let questions = self.questions();
        let mut fault = String::new();
        let right = wait::until("right answers", WITHIN, || {
            let found = match self.asker.ask_all(&questions) {
                Ok(answers) => {
                    let mut asked = questions.iter().zip(&answers);
                    asked.find_map(|(question, answer)| self.oracle.fault(question, answer))
                }
                Err(error) => Some(format!("{error:#}")),
            };
            fault = found.clone().unwrap_or_default();
            found.is_none()
        });
        let log = self.server.log();
        right.unwrap_or_else(|late| panic!("after {after}: {late}: {fault}\n{log}"));
    }

    /// Waits until no question is answered as if nothing were the matter.
    fn admits(&self, trouble: &str) {
        let questions = self.questions();
        let admitted = wait::until("errors or admitted incompleteness", WITHIN, || {
            questions.iter().step_by(7).all(|question| {
                !self
                    .asker
                    .ask(question)
                    .is_ok_and(|answer| answer.is_complete())
            })
        });
        admitted.unwrap_or_else(|late| panic!("{trouble}: {late}"));
    }

    /// Keeps asking while `meanwhile` runs: an answer that claims to be complete must be right,
    /// before or after what is paid meanwhile.
    fn never_wrong_while(&self, meanwhile: impl FnOnce(&Scene)) {
        let questions = self.questions();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    for question in &questions {
                        let Ok(answer) = self.asker.ask(question) else {
                            continue;
                        };
                        if answer.is_complete() {
                            let fault = self.oracle.fault(question, &answer);
                            assert_eq!(fault, None, "claims to be complete");
                        }
                    }
                }
            });
            meanwhile(self);
            over.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn answers_converge_whatever_redis_does() {
    let mut scene = Scene::new();
    scene.pay();
    scene.converges("the first payments");

    scene.redis.kill();
    scene.pay();
    scene.admits("redis is down");
    let said = scene.asker.ask(&scene.questions()[0]);
    if let Err(error) = said {
        let status = error.downcast_ref::<tonic::Status>().expect("a status");
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    }
    scene.pay();
    scene.redis.restart().expect("redis again");
    scene.converges("redis came back empty");

    scene.never_wrong_while(|scene| {
        scene.redis.flush().expect("flush");
        scene.converges("a flush");
    });
    scene.pay();
    scene.converges("payments after the flush");

    scene.redis.pause();
    scene.pay();
    scene.admits("redis stands still");
    scene.redis.resume();
    scene.converges("redis went on");

    // Some of the keys lost, the markers with them: as an emptied node of a cluster.
    scene.redis.flush().expect("flush");
    scene.redis.kill();
    scene.redis.restart().expect("redis again");
    scene.pay();
    scene.converges("a flush and a restart");
    scene.server.stop().expect("stop");
}

#[test]
fn state_alone_rebuilds_an_empty_redis_at_start() {
    let mut redis = Redis::start().expect("redis");
    let project = Project::new(&Settings {
        redis: Some(redis.url()),
        source: PAST.to_owned(),
        history: "all",
        ..Settings::default()
    });
    let project = project.expect("project");
    let paid: Vec<_> = Payments::new(Town::default()).take(2000).collect();
    let oracle = Oracle::new(paid.iter().map(made_up));
    let questions: Vec<Question> = paid
        .iter()
        .map(made_up)
        .map(|payment: Payment| Question::at("spend", payment.customer, payment.time))
        .collect();

    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let payloads = paid.iter().map(|p| p.to_json().into_bytes()).collect();
    asker.push(payloads).expect("push");
    asker.wait_caught_up().expect("caught up");
    server.stop().expect("stop");

    redis.restart().expect("an empty redis");
    let server = project.run().expect("run again");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.wait_caught_up().expect("caught up");
    let answers = asker.ask_all(&questions).expect("answers");
    oracle.assert_all(&questions, &answers);
    server.stop().expect("stop");
}

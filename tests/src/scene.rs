//! A server with Redis behind it, payments that come in portions, and someone who never stops
//! asking: whatever Redis does, an answer that claims to be complete is right.

use crate::ask::{Asker, Question};
use crate::input::made_up;
use crate::oracle::Oracle;
use crate::project::{PAST, Project, Settings};
use anyhow::Result;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tiderace_testkit::bin::Server;
use tiderace_testkit::generate::{Payments, Town};
use tiderace_testkit::wait;
use tiderace_types::Timestamp;

const WITHIN: Duration = Duration::from_secs(120);

/// A server with Redis, and payments that come in portions.
#[derive(Debug)]
pub struct Scene {
    /// The server.
    pub server: Server,
    /// A connection to it.
    pub asker: Asker,
    payments: Payments,
    /// What there was before the last portion.
    before: Oracle,
    oracle: Oracle,
    last: Timestamp,
    /// When the last portion was in the source.
    paid_at: Instant,
    _project: Project,
}

impl Scene {
    /// Starts a server with Redis at `url`, with so many customers and lanes.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn new(url: String, customers: usize, lanes: usize) -> Result<Scene> {
        Scene::with(url, "", customers, lanes)
    }

    /// The same, with what else is said of Redis.
    ///
    /// # Errors
    /// As that.
    pub fn with(url: String, more: &str, customers: usize, lanes: usize) -> Result<Scene> {
        let settings = Settings {
            redis: Some(url),
            redis_more: more.to_owned(),
            lanes,
            ..Settings::default()
        };
        Scene::of(settings, customers)
    }

    /// The same, with settings of which source and history are the scene's.
    ///
    /// # Errors
    /// As that.
    pub fn of(settings: Settings, customers: usize) -> Result<Scene> {
        let project = Project::new(&Settings {
            source: format!("{PAST}max_lag: 2s\n"),
            history: "all",
            ..settings
        })?;
        let server = project.run()?;
        let asker = Asker::new(&server.grpc_url())?;
        Ok(Scene {
            server,
            asker,
            payments: Payments::new(Town {
                customers,
                terminals: 30,
                ..Town::default()
            }),
            before: Oracle::default(),
            oracle: Oracle::default(),
            last: Timestamp::MIN,
            paid_at: Instant::now(),
            _project: project,
        })
    }

    /// Pushes a thousand payments more.
    ///
    /// # Panics
    /// When they are not taken.
    pub fn pay(&mut self) {
        self.before = self.oracle.clone();
        let paid: Vec<_> = self.payments.by_ref().take(1000).collect();
        let payloads = paid.iter().map(|p| p.to_json().into_bytes()).collect();
        assert_eq!(self.asker.push(payloads).expect("push"), 1000);
        self.paid_at = Instant::now();
        for payment in paid.iter().map(made_up) {
            self.last = self.last.max(payment.time);
            self.oracle.add(payment);
        }
    }

    /// A question about every customer, twice.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        self.oracle.questions(&["spend", "habits"], self.last)
    }

    /// Waits until every answer is complete and right.
    ///
    /// # Panics
    /// When that does not come in time; with the server's log.
    pub fn converges(&self, after: &str) {
        let questions = self.questions();
        let right = self.oracle.wait_right(&self.asker, &questions, WITHIN);
        let log = self.server.log();
        right.unwrap_or_else(|late| panic!("after {after}: {late:#}\n{log}"));
    }

    /// Waits until no question is answered as if nothing were the matter.
    ///
    /// # Panics
    /// When one still is.
    pub fn admits(&self, trouble: &str) {
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

    /// Keeps asking while `meanwhile` runs: an answer that claims to be complete must be right; or
    /// what was right before the last portion, where it says that it lags so far behind.
    ///
    /// # Panics
    /// When one is not.
    pub fn never_wrong_while(&self, meanwhile: impl FnOnce(&Scene)) {
        let questions = self.questions();
        let over = AtomicBool::new(false);
        let complete = AtomicU64::new(0);
        // Ends the asking also where `meanwhile` panics.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut ended = false;
                while !ended {
                    // Once more when it is over.
                    ended = over.load(Ordering::Relaxed);
                    for question in &questions {
                        let since = self.paid_at.elapsed();
                        let Ok(answer) = self.asker.ask(question) else {
                            continue;
                        };
                        if !answer.is_complete() {
                            continue;
                        }
                        complete.fetch_add(1, Ordering::Relaxed);
                        let fault = self.oracle.fault(question, &answer);
                        let lag = answer.lags.iter().flatten().max();
                        let behind = lag.is_some_and(|lag| lag.0 as u128 >= since.as_micros());
                        let earlier = || self.before.fault(question, &answer);
                        if fault.is_some() && (!behind || earlier().is_some()) {
                            let log = self.server.log();
                            panic!("claims to be complete: {fault:?}, {lag:?} behind\n{log}");
                        }
                    }
                }
            });
            let over = Over(&over);
            meanwhile(self);
            drop(over);
        });
        assert!(complete.into_inner() > 0, "nothing was ever answered");
    }

    /// The value of one of the server's metrics, its lines summed.
    ///
    /// # Panics
    /// When the server does not say.
    #[must_use]
    pub fn metric(&self, name: &str) -> u64 {
        let (_, page) = self.server.get("/metrics").expect("metrics");
        let lines = page.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        values.sum()
    }
}

//! A topic that is fed, and what must come of it: answers, dead letters, counters.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tiderace_testkit::bin::Server;
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::dead_letter::{self, Letter, Place};
use tiderace_tests::project::{Project, Settings};
pub use tiderace_tests::shared::kafka;
use tiderace_tests::topic::Sender;
use tiderace_types::{Timestamp, Value};

pub const CUSTOMERS: i64 = 12;
const PARTITIONS: u32 = 3;

/// A project, and the Kafka that it needs.
pub struct Ground {
    project: Project,
    _kafka: Arc<Kafka>,
}

impl Deref for Ground {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

/// Now, in milliseconds.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("within range")
}

/// A source's definition with a view over it that counts what has come.
pub fn definitions(source: &str, name: &str) -> String {
    format!(
        "kind: source
name: {name}
event_time: at
allowed_lateness: 365d
max_ahead: none
complete_since: beginning
{source}
---
kind: entity
name: customer
keys: {{ customer_id: int64 }}
---
kind: feature_view
name: spend
entity: customer
source: {name}
features:
  - {{ name: n, aggregate: count, windows: [300d] }}
  - {{ name: total, aggregate: sum, of: amount, windows: [300d] }}
  - {{ name: most, aggregate: max, of: amount, windows: [300d] }}
---
kind: feature_service
name: spend
features: [\"spend:*\"]
"
    )
}

/// A project over a fresh topic.
pub fn project(name: &str, source: &str, registry: Option<String>) -> Ground {
    let kafka = kafka();
    kafka.create_topic(name, PARTITIONS).expect("topic");
    let settings = Settings {
        kafka: Some(kafka.bootstrap()),
        registry,
        ..Settings::default()
    };
    Ground {
        project: Project::with(&settings, &definitions(source, name)).expect("project"),
        _kafka: kafka,
    }
}

/// A payment.
#[derive(Clone, Copy, Debug)]
pub struct Payment {
    pub id: i64,
    /// In milliseconds.
    pub at: i64,
    pub customer: i64,
    pub cents: i64,
}

impl Payment {
    /// Payment number `id`: the same whenever it is asked for.
    pub fn number(id: i64) -> Payment {
        static START: OnceLock<i64> = OnceLock::new();
        Payment {
            id,
            at: START.get_or_init(now) - 3_600_000 + id,
            customer: id % CUSTOMERS,
            cents: 100 + (id * 7919) % 100_000,
        }
    }

    pub fn amount(&self) -> f64 {
        self.cents as f64 / 100.0
    }
}

/// Feeds a topic and keeps account of what was sent.
pub struct Feed {
    topic: String,
    sender: Sender,
    offsets: [i64; PARTITIONS as usize],
    /// What is left, in cents, by customer.
    left: BTreeMap<i64, Vec<i64>>,
    letters: BTreeMap<Place, Letter>,
    dropped: BTreeMap<&'static str, u64>,
}

impl Feed {
    pub fn new(topic: &str) -> Feed {
        Feed {
            topic: topic.to_owned(),
            sender: Sender::new(&kafka().bootstrap(), topic).expect("sender"),
            offsets: [0; PARTITIONS as usize],
            left: BTreeMap::new(),
            letters: BTreeMap::new(),
            dropped: BTreeMap::new(),
        }
    }

    /// How many records were sent: in all, and to the partition that has most.
    pub fn sent(&self) -> (i64, i64) {
        let most = self.offsets.iter().copied().max();
        (self.offsets.iter().sum(), most.unwrap_or_default())
    }

    /// Sends what is to be counted.
    pub fn good(&mut self, payment: Payment, payload: &[u8]) {
        self.counted(payment);
        self.send(payment.customer, Some(payload), &[]);
    }

    /// Notes a payment that counts.
    pub fn counted(&mut self, payment: Payment) {
        let left = self.left.entry(payment.customer).or_default();
        left.push(payment.cents);
    }

    /// Notes a payment that counts no longer.
    pub fn taken_back(&mut self, payment: Payment) {
        let left = self.left.entry(payment.customer).or_default();
        let place = left.iter().position(|cents| *cents == payment.cents);
        left.remove(place.expect("it was counted"));
    }

    /// Sends what is to be refused.
    pub fn bad(&mut self, customer: i64, reason: &str, payload: &[u8]) {
        self.bad_with(customer, reason, payload, &[]);
    }

    /// Sends what is to be refused, with headers.
    pub fn bad_with(
        &mut self,
        customer: i64,
        reason: &str,
        payload: &[u8],
        headers: &[(&str, &str)],
    ) {
        let partition = Feed::partition(customer);
        let place = (partition as u32, self.offsets[partition]);
        let letter = Letter {
            reason: reason.to_owned(),
            payload: payload.to_vec(),
        };
        self.letters.insert(place, letter);
        self.send(customer, Some(payload), headers);
    }

    /// Sends what is to be dropped.
    pub fn dropped(
        &mut self,
        customer: i64,
        cause: &'static str,
        payload: Option<&[u8]>,
        headers: &[(&str, &str)],
    ) {
        *self.dropped.entry(cause).or_default() += 1;
        self.send(customer, payload, headers);
    }

    /// Sends a record as it is.
    pub fn send(&mut self, customer: i64, payload: Option<&[u8]>, headers: &[(&str, &str)]) {
        let partition = Feed::partition(customer);
        let to = i32::try_from(partition).expect("few partitions");
        let sent = self.sender.send_with(to, payload, headers);
        sent.expect("send");
        self.offsets[partition] += 1;
    }

    fn partition(customer: i64) -> usize {
        usize::try_from(customer.rem_euclid(i64::from(PARTITIONS))).expect("not negative")
    }

    pub fn flush(&self) {
        self.sender.flush().expect("flush");
    }

    /// Waits until all is read, and compares the answers with what is left.
    pub fn check_answers(&self, server: &Server) {
        self.flush();
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        asker.wait_caught_up_in(&["spend"]).expect("caught up");
        let as_of = Some(Timestamp(now() * 1000));
        for customer in 0..CUSTOMERS {
            let question = Question {
                service: "spend",
                key: "customer_id",
                entity: customer,
                amount: None,
                as_of,
            };
            let answer = asker.ask_all(&[question]).expect("an answer").remove(0);
            let left = self.left.get(&customer).map_or(&[][..], Vec::as_slice);
            let count = Value::Int(left.len() as i64);
            assert_eq!(*answer.value("n_300d"), count, "{customer}: {answer:?}");
            let near = |name: &str, cents: Option<i64>| {
                let found = match answer.value(name) {
                    Value::Float(found) => Some((found * 100.0).round() as i64),
                    Value::Null => None,
                    other => panic!("{other:?}"),
                };
                assert_eq!(found, cents, "{name} of {customer}: {answer:?}");
            };
            near("total_300d", left.iter().copied().reduce(|a, b| a + b));
            near("most_300d", left.iter().copied().max());
        }
    }

    /// Compares the dead letters, and the ledger of a server that has read everything.
    pub fn check_letters(&self, server: &Server) {
        let found = match self.letters.len() {
            0 => BTreeMap::new(),
            count => dead_letter::of_topic(&kafka().bootstrap(), &self.topic, count)
                .expect("dead letters"),
        };
        for place in self.letters.keys().chain(found.keys()) {
            let reason = |letters: &BTreeMap<Place, Letter>| {
                letters.get(place).map(|letter| letter.reason.clone())
            };
            assert_eq!(reason(&found), reason(&self.letters), "{place:?}");
        }
        assert_eq!(found, self.letters);
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        for letter in self.letters.values() {
            *expected.entry(letter.reason.clone()).or_default() += 1;
        }
        for (cause, count) in &self.dropped {
            expected.insert(format!("dropped_{cause}"), *count);
        }
        let read: i64 = self.offsets.iter().sum();
        let mut found = BTreeMap::new();
        let balanced = wait::until("the ledger", Duration::from_secs(30), || {
            let (_, metrics) = server.get("/metrics").expect("metrics");
            found = outcomes(&metrics);
            let all = found.remove("read").unwrap_or_default();
            let sum: u64 = found.values().sum();
            // Of what is counted, copies are told apart from the first; here both will do.
            found.retain(|outcome, _| outcome != "applied" && outcome != "duplicate");
            all == read.unsigned_abs() && sum == all && found == expected
        });
        balanced.unwrap_or_else(|late| panic!("{late}: {found:?}, expected {expected:?}"));
    }

    /// Both of [`Feed::check_answers`] and [`Feed::check_letters`].
    pub fn check(&self, server: &Server) {
        self.check_answers(server);
        self.check_letters(server);
    }
}

/// What became of records, without what became of none.
fn outcomes(metrics: &str) -> BTreeMap<String, u64> {
    let lines = metrics.lines();
    let lines = lines.filter(|line| line.starts_with("tiderace_records_total"));
    let outcome = |line: &str| {
        let (labels, count) = line.rsplit_once(' ')?;
        let name = labels.split("outcome=\"").nth(1)?.split('"').next()?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    let found = lines.map(|line| outcome(line).unwrap_or_else(|| panic!("{line}")));
    found.filter(|(_, count)| *count > 0).collect()
}

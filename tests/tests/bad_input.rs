//! Bad records never stop a partition: each is in the dead letters with its reason, its place and
//! its bytes, and is counted. Bad requests get precise answers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tiderace_serve::proto::column::Values;
use tiderace_serve::proto::get_online_features_request::Selection;
use tiderace_serve::proto::{FeatureList, GetOnlineFeaturesRequest, Int64Column, StringColumn};
use tiderace_testkit::bin::Server;
use tiderace_testkit::generate::{Breakage, Payment, Record, Town, Trouble, records};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question, column};
use tiderace_tests::dead_letter::{self, Letter};
use tiderace_tests::input::made_up;
use tiderace_tests::ledger;
use tiderace_tests::oracle::Oracle;
use tiderace_tests::project::{Project, Settings, TOPIC};
use tiderace_tests::topic::Sender;
use tiderace_types::{Reason, Timestamp};
use tonic::Code;

/// The largest record that is accepted.
const LARGEST: usize = 4096;
const HOUR: i64 = 3_600_000_000;

const CONTRACT: &str = "\
complete_since: beginning
allowed_lateness: 1d
max_ahead: 10m
max_record_bytes: 4KiB
expect:
  - { check: \"amount < 1000000\", otherwise: reject }
";

#[test]
fn bad_records_go_to_the_dead_letter_topic() {
    let kafka = Kafka::start(1).expect("kafka");
    let large = [("max.message.bytes", "8000000")];
    kafka.create_topic_with(TOPIC, 3, &large).expect("topic");
    let project = project(Some(kafka.bootstrap()));
    let server = project.run().expect("run");
    let stream = Stream::new();
    let sender = Sender::new(&kafka.bootstrap(), TOPIC).expect("sender");
    let mut offsets = [0i64; 3];
    let mut expected = BTreeMap::new();
    for sent in &stream.records {
        let partition = (sent.customer % 3) as usize;
        let to = Some(partition as i32);
        sender.send(b"", &sent.payload, to).expect("send");
        if let Some(letter) = sent.letter() {
            expected.insert((partition as u32, offsets[partition]), letter);
        }
        offsets[partition] += 1;
    }
    sender.flush().expect("flush");
    stream.check_answers(&server);
    let found = dead_letter::of_topic(&kafka.bootstrap(), TOPIC, expected.len());
    assert_letters(&found.expect("dead letters"), &expected);
    check_counts(&server, &expected);
    server.stop().expect("stop");
}

#[test]
fn bad_records_go_to_a_file_where_all_is_embedded() {
    let project = project(None);
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let stream = Stream::new();
    let mut expected = BTreeMap::new();
    let mut offset = 0;
    for sent in &stream.records {
        let pushed = asker.push(vec![sent.payload.clone()]);
        if sent.reason == Some("too_large") {
            // Refused at the door, so it never becomes a record.
            let status = pushed.expect_err("refused");
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            continue;
        }
        pushed.expect("push");
        if let Some(letter) = sent.letter() {
            expected.insert((0, offset), letter);
        }
        offset += 1;
    }
    stream.check_answers(&server);
    let mut found = BTreeMap::new();
    let all = wait::until("the dead letters", Duration::from_secs(30), || {
        found = dead_letter::of_folder(project.folder()).unwrap_or_default();
        found.len() >= expected.len()
    });
    all.unwrap_or_else(|late| {
        let [expected, found] = [&expected, &found].map(dead_letter::told);
        panic!("{late}: {found}, not {expected}")
    });
    assert_letters(&found, &expected);
    check_counts(&server, &expected);
    server.stop().expect("stop");
}

fn project(kafka: Option<String>) -> Project {
    let project = Project::new(&Settings {
        kafka,
        source: CONTRACT.to_owned(),
        history: "all",
        ..Settings::default()
    });
    project.expect("project")
}

/// A record, and the reason for which it must be refused.
struct Sent {
    payload: Vec<u8>,
    reason: Option<&'static str>,
    /// Decides the partition: a changed copy must come after the original, a late one after
    /// what makes it late.
    customer: i64,
}

impl Sent {
    fn letter(&self) -> Option<Letter> {
        self.reason.map(|reason| Letter {
            reason: reason.to_owned(),
            payload: self.payload.clone(),
        })
    }
}

/// Records, and what remains of them.
struct Stream {
    records: Vec<Sent>,
    oracle: Oracle,
    last: Timestamp,
}

impl Stream {
    /// Payments up to now, with every kind of trouble between them.
    fn new() -> Stream {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let now = Timestamp(i64::try_from(now.as_micros()).expect("before 294247"));
        let town = Town {
            customers: 20,
            terminals: 20,
            start: Timestamp(now.0 - 2 * HOUR),
            per_second: 0.1,
            ..Town::default()
        };
        let trouble = Trouble {
            broken: 0.2,
            ..Trouble::NONE
        };
        let mut stream = Stream {
            records: Vec::new(),
            oracle: Oracle::default(),
            last: Timestamp::MIN,
        };
        for (number, record) in records(&town, trouble, 600).into_iter().enumerate() {
            match &record {
                Record::Payment(payment) | Record::Copy(payment) => {
                    stream.accepted(payment);
                    if number > 10 && number % 40 == 0 {
                        stream.refused(payment, number);
                    }
                }
                Record::Broken(breakage, payload) => {
                    let why = Some(reason(*breakage));
                    stream.send(payload.clone(), why, number as i64);
                }
            }
        }
        stream
    }

    fn accepted(&mut self, payment: &Payment) {
        self.send(payment.to_json().into_bytes(), None, payment.customer_id);
        self.last = self.last.max(payment.tx_time);
        self.oracle.add(made_up(payment));
    }

    /// Adds well-formed records that must be refused all the same.
    fn refused(&mut self, payment: &Payment, number: usize) {
        let moved = |hours: i64, first_id: i64| Payment {
            tx_id: first_id + number as i64,
            tx_time: Timestamp(payment.tx_time.0 + hours * HOUR),
            ..payment.clone()
        };
        let expensive = Payment {
            tx_id: 3_000_000 + number as i64,
            cents: 100_000_000,
            ..payment.clone()
        };
        let changed = Payment {
            cents: payment.cents + 1,
            ..payment.clone()
        };
        for (refused, reason) in [
            (moved(48, 1_000_000), "too_early"),
            (moved(-48, 2_000_000), "too_late"),
            (expensive, "rejected"),
            (changed, "conflict"),
        ] {
            let payload = refused.to_json().into_bytes();
            self.send(payload, Some(reason), payment.customer_id);
        }
        let note = format!("{{\"note\":\"{}\",", "x".repeat(LARGEST));
        let padded = payment.to_json().replacen('{', &note, 1).into_bytes();
        self.send(padded, Some("too_large"), payment.customer_id);
    }

    fn send(&mut self, payload: Vec<u8>, reason: Option<&'static str>, customer: i64) {
        self.records.push(Sent {
            payload,
            reason,
            customer,
        });
    }

    fn check_answers(&self, server: &Server) {
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        asker.wait_caught_up().expect("caught up");
        let entities = self.oracle.entities("spend").into_iter();
        let questions: Vec<Question> = entities
            .flat_map(|entity| ["spend", "habits"].map(|service| (service, entity)))
            .map(|(service, entity)| Question::at(service, entity, self.last))
            .collect();
        let answers = asker.ask_all(&questions).expect("answers");
        self.oracle.assert_all(&questions, &answers);
    }
}

fn reason(breakage: Breakage) -> &'static str {
    match breakage {
        Breakage::Malformed | Breakage::Empty => "malformed",
        Breakage::MissingColumn => "missing_column",
        Breakage::MistypedColumn => "wrong_type",
        Breakage::UnparsableTime => "bad_time",
    }
}

fn assert_letters(
    found: &BTreeMap<dead_letter::Place, Letter>,
    expected: &BTreeMap<dead_letter::Place, Letter>,
) {
    for (place, letter) in expected.iter().chain(found) {
        let text = String::from_utf8_lossy(&letter.payload);
        let shown = &text[..text.len().min(200)];
        let [expected, found] = [expected, found].map(|letters| letters.get(place));
        let reason = |letter: Option<&Letter>| letter.map(|letter| letter.reason.clone());
        assert_eq!(reason(found), reason(expected), "{place:?}: {shown}");
        assert_eq!(found, expected, "{place:?}");
    }
}

/// Every reason is counted in the metrics, as often as there are dead letters of it.
fn check_counts(server: &Server, expected: &BTreeMap<dead_letter::Place, Letter>) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for letter in expected.values() {
        *counts.entry(&letter.reason).or_default() += 1;
    }
    let ledger = ledger::of(server, "card_payments").expect("ledger");
    let refused = ledger.iter().map(|(name, count)| (name.as_str(), *count));
    let refused: BTreeMap<&str, u64> = refused
        .filter(|(name, _)| Reason::ALL.iter().any(|reason| reason.name() == *name))
        .collect();
    assert_eq!(refused, counts);
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let project = project(None);
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let refuse = |request: GetOnlineFeaturesRequest, code: Code, words: &[&str]| {
        let status = asker.send(request.clone()).expect_err("a mistake");
        assert_eq!(status.code(), code, "{request:?}: {status}");
        for word in words {
            assert!(
                status.message().contains(word),
                "{word:?} is not in {status}"
            );
        }
    };
    let named = |names: &[&str]| {
        Some(Selection::Features(FeatureList {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }))
    };
    let service = |name: &str| Some(Selection::FeatureService(name.to_owned()));
    let customer = || {
        column(
            "customer_id",
            Values::Int64s(Int64Column { values: vec![1] }),
        )
    };
    let request = |selection, entities| GetOnlineFeaturesRequest {
        selection,
        entities,
        ..GetOnlineFeaturesRequest::default()
    };

    let empty = GetOnlineFeaturesRequest::default();
    refuse(empty, Code::InvalidArgument, &[]);
    let unknown = request(service("spent"), vec![customer()]);
    refuse(unknown, Code::NotFound, &["spent", "spend"]);
    let unknown = request(named(&["customer_spend:tx_cuont_1d"]), vec![customer()]);
    refuse(unknown, Code::NotFound, &["tx_cuont_1d", "tx_count_1d"]);
    let no_entity = request(service("spend"), vec![]);
    refuse(no_entity, Code::InvalidArgument, &["customer_id"]);
    let text = StringColumn {
        values: vec!["Kim".to_owned()],
    };
    let mistyped = request(
        service("spend"),
        vec![column("customer_id", Values::Strings(text))],
    );
    refuse(mistyped, Code::InvalidArgument, &["customer_id", "int64"]);
    let no_data = request(service("habits"), vec![customer()]);
    refuse(no_data, Code::InvalidArgument, &["amount"]);
    server.stop().expect("stop");
}

//! One meaning: the same definitions and events give the same answers live in one batch, live in random
//! batches with kills, by a backfill joined to the stream, and by a training set.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tiderace_testkit::bin;
use tiderace_testkit::generate::{Dice, Payments, Town};
use tiderace_testkit::naive;
use tiderace_testkit::wait;
use tiderace_tests::answer::Answer;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input::{self, Payment};
use tiderace_tests::oracle::{Oracle, SERVICES};
use tiderace_tests::project::{PAST, Project, Settings};
use tiderace_tests::table;
use tiderace_types::{Timestamp, Value};

/// As [`PAST`], for a source that does not say since when it is whole.
const UNSAID: &str = "\
max_ahead: none
allowed_lateness: 365d
";

/// Some events, in the order of their arrival, and what is asked of them.
struct Case {
    name: &'static str,
    /// Copies among them.
    payments: Vec<Payment>,
    questions: Vec<Question>,
    oracle: Oracle,
    dice: Dice,
}

/// Every value of every question, by name.
type Answers = Vec<BTreeMap<String, Value>>;

impl Case {
    fn new(name: &'static str, town: Town, count: usize, tick: i64) -> Case {
        let mut dice = Dice::new(town.seed);
        let mut made: Vec<Payment> = Payments::new(town)
            .take(count)
            .map(|payment| input::made_up(&payment))
            .collect();
        for payment in &mut made {
            payment.time = Timestamp(payment.time.0 - payment.time.0.rem_euclid(tick));
        }
        let oracle = Oracle::new(made.iter().copied());
        let mut questions = Vec::new();
        let (first, last) = (made[0].time.0, made[count - 1].time.0);
        for service in SERVICES {
            let mut entities = oracle.entities(service);
            entities.truncate(6);
            entities.push(1 << 41);
            for entity in entities {
                for part in 1..=4 {
                    let at = first + (last - first) * part / 4 + dice.index(3) as i64 - 1;
                    questions.push(Question::at(service, entity, Timestamp(at)));
                }
            }
            // At events' own instants, and just before one leaves a window of a day.
            for _ in 0..10 {
                let payment = made[dice.index(count)];
                let entity = match service {
                    "risk" => payment.terminal,
                    _ => payment.customer,
                };
                for after in [0, 86_400_000_000 - 1, 86_400_000_000] {
                    let at = Timestamp(payment.time.0 + after);
                    questions.push(Question::at(service, entity, at));
                }
            }
        }
        // Out of order, and one in ten twice.
        let copies: Vec<Payment> = made.iter().step_by(10).copied().collect();
        made.extend(copies);
        for place in (1..made.len()).rev() {
            let near = place.saturating_sub(dice.index(400));
            made.swap(place, near);
        }
        Case {
            name,
            payments: made,
            questions,
            oracle,
            dice,
        }
    }

    fn settings(&self, source: &str) -> Settings {
        Settings {
            source: source.to_owned(),
            history: "all",
            ..Settings::default()
        }
    }

    fn ask(&self, asker: &Asker) -> Answers {
        asker.wait_caught_up().expect("caught up");
        let answers = asker.ask_all(&self.questions).expect("answers");
        let complete = answers.iter().zip(&self.questions);
        for (answer, question) in complete {
            assert!(
                answer.is_complete(),
                "{}: {question:?}: {answer:?}",
                self.name
            );
        }
        answers.iter().map(values).collect()
    }

    fn live_in_one_batch(&self) -> Answers {
        let project = Project::new(&self.settings(PAST)).expect("project");
        let server = project.run().expect("run");
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        push(&asker, &self.payments);
        let answers = self.ask(&asker);
        server.stop().expect("stop");
        answers
    }

    fn live_with_kills(&mut self) -> Answers {
        let project = Project::new(&self.settings(PAST)).expect("project");
        let mut server = project.run().expect("run");
        let mut rest = &self.payments[..];
        while !rest.is_empty() {
            let asker = Asker::new(&server.grpc_url()).expect("connect");
            for _ in 0..=self.dice.index(3) {
                let (now, later) = rest.split_at(rest.len().min(1 + self.dice.index(900)));
                push(&asker, now);
                rest = later;
            }
            if !rest.is_empty() {
                server.kill();
                server = project.run().expect("run again");
            }
        }
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        let answers = self.ask(&asker);
        server.stop().expect("stop");
        answers
    }

    /// Some events by the stream, others by a table, some by both.
    fn backfilled(&mut self, folder: &Path) -> Answers {
        let project = Project::new(&self.settings(UNSAID)).expect("project");
        let server = project.run().expect("run");
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        let (mut tabled, mut streamed) = (Vec::new(), Vec::new());
        for payment in &self.payments {
            let way = self.dice.index(5);
            if way < 3 {
                tabled.push(*payment);
            }
            if way > 1 {
                streamed.push(*payment);
            }
        }
        let (before, after) = streamed.split_at(streamed.len() / 2);
        push(&asker, before);
        asker.wait_caught_up().expect("caught up");
        let warming = asker.ask_all(&self.questions[..1]).expect("an answer");
        assert!(
            !warming[0].is_complete(),
            "the past is not there yet: {warming:?}"
        );
        let file = folder.join(format!("{}/past.parquet", self.name));
        table::write(&file, &tabled, 700).expect("write");
        let file = file
            .parent()
            .and_then(Path::to_str)
            .expect("a name that is text");
        let views = ["customer_spend", "terminal_risk", "customer_habits"];
        for (place, view) in views.iter().enumerate() {
            let now = input::now().to_string();
            let said = bin::output(&[
                "backfill",
                view,
                "--project",
                project.argument(),
                "--table",
                file,
                "--complete-since",
                "beginning",
                "--until",
                &now,
            ]);
            eprintln!("{}", said.expect("backfill"));
            if place == 0 {
                push(&asker, after);
            }
        }
        let complete = || {
            let answers = asker.ask_all(&self.questions);
            answers.is_ok_and(|answers| answers.iter().all(Answer::is_complete))
        };
        wait::until("the past to be there", Duration::from_secs(60), complete).expect("complete");
        let answers = self.ask(&asker);
        server.stop().expect("stop");
        answers
    }

    fn by_history(&self, folder: &Path) -> Answers {
        let project = Project::new(&self.settings(PAST)).expect("project");
        let past = folder.join(format!("{}-history", self.name));
        table::write(&past.join("all.parquet"), &self.payments, 900).expect("write");
        let named = format!("card_payments={}", past.display());
        let mut answers: Answers = vec![BTreeMap::new(); self.questions.len()];
        for service in SERVICES {
            let asked = self.questions.iter().enumerate();
            let asked: Vec<(usize, &Question)> = asked
                .filter(|(_, question)| question.service == service)
                .collect();
            let rows = asked.iter().map(|(place, question)| Payment {
                id: *place as i64,
                time: question.as_of.expect("an instant"),
                customer: question.entity,
                terminal: question.entity,
                amount: question.amount.unwrap_or_default(),
                is_fraud: 0,
            });
            let rows: Vec<Payment> = rows.collect();
            let spine = folder.join(format!("{}-{service}-spine.parquet", self.name));
            table::write(&spine, &rows, 64).expect("write");
            let out = folder.join(format!("{}-{service}.parquet", self.name));
            bin::output(&[
                "history",
                "--project",
                project.argument(),
                "--service",
                service,
                "--spine",
                spine.to_str().expect("a name that is text"),
                "--out",
                out.to_str().expect("a name that is text"),
                "--timestamp",
                "tx_time",
                "--table",
                &named,
            ])
            .expect("history");
            let batches = table::read(&out).expect("read");
            let schema = batches[0].schema();
            let features = schema.fields().iter().skip(6);
            for name in features.map(|field| field.name()) {
                let column = table::values(&batches, name);
                for ((place, _), value) in asked.iter().zip(column) {
                    answers[*place].insert(name.clone(), value);
                }
            }
        }
        answers
    }

    fn assert_same(&self, ways: &[(&str, &Answers)]) {
        for (place, question) in self.questions.iter().enumerate() {
            let expected: BTreeMap<String, Value> =
                self.oracle.expected(question).into_iter().collect();
            for (way, answers) in ways {
                let found = &answers[place];
                assert_eq!(
                    found.keys().collect::<Vec<_>>(),
                    expected.keys().collect::<Vec<_>>(),
                    "{}, {way}: {question:?}",
                    self.name
                );
                for (name, value) in &expected {
                    assert!(
                        naive::agree(&found[name], value),
                        "{}, {way}: {question:?}: {name} is {}, not {value}",
                        self.name,
                        found[name]
                    );
                }
            }
        }
    }
}

fn values(answer: &Answer) -> BTreeMap<String, Value> {
    let values = answer
        .names
        .iter()
        .cloned()
        .zip(answer.values.iter().cloned());
    values.collect()
}

fn push(asker: &Asker, payments: &[Payment]) {
    for group in payments.chunks(1_000) {
        let events = group.iter().map(Payment::to_json);
        let pushed = asker.push(events.collect()).expect("push");
        assert_eq!(pushed, group.len() as u64);
    }
}

fn check(mut case: Case) {
    let folder = tempfile::tempdir().expect("a folder");
    let at_once = case.live_in_one_batch();
    let killed = case.live_with_kills();
    let trained = case.by_history(folder.path());
    let backfilled = case.backfilled(folder.path());
    case.assert_same(&[
        ("live in one batch", &at_once),
        ("live with kills", &killed),
        ("by a training set", &trained),
        ("by a backfill and the stream", &backfilled),
    ]);
}

#[test]
fn sparse_entities() {
    let town = Town {
        seed: 21,
        customers: 40,
        terminals: 20,
        per_second: 3_000.0 / (60.0 * 86_400.0),
        ..Town::default()
    };
    check(Case::new("sparse", town, 3_000, 1));
}

#[test]
fn dense_entities() {
    let town = Town {
        seed: 22,
        customers: 4,
        terminals: 3,
        per_second: 6_000.0 / (45.0 * 86_400.0),
        ..Town::default()
    };
    check(Case::new("dense", town, 6_000, 1));
}

#[test]
fn many_events_of_one_instant() {
    let town = Town {
        seed: 23,
        customers: 15,
        terminals: 8,
        per_second: 2_500.0 / (40.0 * 86_400.0),
        ..Town::default()
    };
    check(Case::new("ties", town, 2_500, 3_600_000_000));
}

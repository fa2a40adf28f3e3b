//! What the answers should be: the definitions of [`crate::project`] by obvious loops.

use crate::answer::Answer;
use crate::ask::{Asker, Question};
use crate::input::Payment;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use tiderace_aggregate::{Function, Output, Span, Window};
use tiderace_testkit::naive::{self, Event};
use tiderace_testkit::wait;
use tiderace_types::{DataType, Duration, Timestamp, Value};

const AMOUNT: usize = 0;
const TERMINAL: usize = 1;
const IS_FRAUD: usize = 2;

/// The services of the definitions.
pub const SERVICES: [&str; 3] = ["spend", "risk", "habits"];

/// The accepted payments, by who asks for them.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    by_customer: BTreeMap<i64, Vec<Payment>>,
    by_terminal: BTreeMap<i64, Vec<Payment>>,
}

impl Oracle {
    /// Remembers `payments`, in any order; copies are the caller's to leave in or out.
    #[must_use]
    pub fn new(payments: impl IntoIterator<Item = Payment>) -> Oracle {
        let mut oracle = Oracle::default();
        for payment in payments {
            oracle.add(payment);
        }
        oracle
    }

    /// Remembers one more.
    pub fn add(&mut self, payment: Payment) {
        let customers = &mut self.by_customer;
        customers.entry(payment.customer).or_default().push(payment);
        let terminals = &mut self.by_terminal;
        terminals.entry(payment.terminal).or_default().push(payment);
    }

    /// The times of all payments, customer by customer.
    #[must_use]
    pub fn times(&self) -> Vec<Timestamp> {
        let payments = self.by_customer.values().flatten();
        payments.map(|payment| payment.time).collect()
    }

    /// All payments, customer by customer.
    pub fn payments(&self) -> impl Iterator<Item = Payment> {
        self.by_customer.values().flatten().copied()
    }

    /// The payments of the entity that a question is about.
    #[must_use]
    pub fn of(&self, question: &Question) -> &[Payment] {
        let by = match question.service {
            "risk" => &self.by_terminal,
            _ => &self.by_customer,
        };
        by.get(&question.entity).map_or(&[], Vec::as_slice)
    }

    /// The entities that a service has payments of.
    #[must_use]
    pub fn entities(&self, service: &str) -> Vec<i64> {
        let by = match service {
            "risk" => &self.by_terminal,
            _ => &self.by_customer,
        };
        by.keys().copied().collect()
    }

    /// Every value that an answer should have, by name.
    ///
    /// # Panics
    /// For a question without an instant, or of a service that is not in the definitions.
    #[must_use]
    pub fn expected(&self, question: &Question) -> Vec<(String, Value)> {
        let as_of = question.as_of.expect("an oracle needs an instant");
        let belongs = |payment: &&Payment| question.service != "habits" || payment.amount >= 1.0;
        let events: Vec<Event> = self
            .of(question)
            .iter()
            .filter(belongs)
            .map(event)
            .collect();
        let mut expected: Vec<(String, Value)> = outputs(question.service)
            .iter()
            .map(|output| {
                let answer = naive::answer(output, &events, as_of);
                (output.name.clone(), answer.expect("nothing overflows"))
            })
            .collect();
        if let Some(amount) = question.amount {
            let max = expected.iter().find(|(name, _)| name == "amount_max_7d");
            let share = match max.map(|(_, value)| value) {
                Some(Value::Float(max)) => Value::Float(amount / max),
                _ => Value::Null,
            };
            expected.push(("share".to_owned(), share));
        }
        expected
    }

    /// What is wrong with an answer, if anything.
    #[must_use]
    pub fn fault(&self, question: &Question, answer: &Answer) -> Option<String> {
        if !answer.is_complete() {
            return Some(format!("{question:?} is not complete: {answer:?}"));
        }
        self.expected(question)
            .into_iter()
            .find_map(|(name, expected)| {
                let found = answer.value(&name);
                (!naive::agree(found, &expected))
                    .then(|| format!("{question:?}: {name} is {found}, not {expected}"))
            })
    }

    /// A question about every entity of some services, as of one instant.
    #[must_use]
    pub fn questions(&self, services: &[&'static str], at: Timestamp) -> Vec<Question> {
        let about = |service: &&'static str| {
            let service = *service;
            let entities = self.entities(service).into_iter();
            entities.map(move |entity| Question::at(service, entity, at))
        };
        services.iter().flat_map(about).collect()
    }

    /// What is wrong with what is answered now, if anything; no answer is wrong too.
    #[must_use]
    pub fn fault_now(&self, asker: &Asker, questions: &[Question]) -> Option<String> {
        match asker.ask_all(questions) {
            Ok(answers) => {
                let mut asked = questions.iter().zip(&answers);
                asked.find_map(|(question, answer)| self.fault(question, answer))
            }
            Err(error) => Some(format!("{error:#}")),
        }
    }

    /// Waits until every answer is complete and right.
    ///
    /// # Errors
    /// When that does not come within a time; says what was wrong last.
    pub fn wait_right(
        &self,
        asker: &Asker,
        questions: &[Question],
        within: std::time::Duration,
    ) -> Result<()> {
        let mut fault = None;
        let right = wait::until("right answers", within, || {
            fault = self.fault_now(asker, questions);
            fault.is_none()
        });
        right.with_context(|| format!("{fault:?}"))
    }

    /// Panics with the first few faults among the answers.
    ///
    /// # Panics
    /// When there is one.
    pub fn assert_all(&self, questions: &[Question], answers: &[Answer]) {
        assert_eq!(questions.len(), answers.len(), "answers");
        let asked = questions.iter().zip(answers);
        let faults: Vec<String> = asked
            .filter_map(|(question, answer)| self.fault(question, answer))
            .collect();
        let shown = &faults[..faults.len().min(3)];
        assert!(
            faults.is_empty(),
            "{} of {} answers are wrong:\n{}",
            faults.len(),
            answers.len(),
            shown.join("\n")
        );
    }
}

/// Count and mean of `amount` in `(as_of − delay − size, as_of − delay]`, by one loop.
#[must_use]
pub fn recount(
    payments: &[Payment],
    as_of: Timestamp,
    size: Duration,
    delay: Duration,
    of: impl Fn(&Payment) -> f64,
) -> (i64, Option<f64>) {
    let right = as_of.minus(delay);
    let left = right.minus(size);
    let (mut count, mut sum) = (0, 0.0);
    for payment in payments {
        if left < payment.time && payment.time <= right {
            count += 1;
            sum += of(payment);
        }
    }
    (count, (count > 0).then(|| sum / count as f64))
}

fn event(payment: &Payment) -> Event {
    Event {
        time: payment.time,
        id: Value::Int(payment.id),
        inputs: vec![
            Value::Float(payment.amount),
            Value::Int(payment.terminal),
            Value::Int(payment.is_fraud),
        ],
        bits: u64::from(payment.amount > 100.0),
        retracts: false,
    }
}

/// Days in microseconds.
fn days(count: i64) -> Duration {
    Duration::from_secs(count * 86_400)
}

fn outputs(service: &str) -> Vec<Output> {
    match service {
        "spend" => [1, 7, 30]
            .map(|size| {
                output(
                    &format!("tx_count_{size}d"),
                    Function::Count,
                    None,
                    days(size),
                )
            })
            .into_iter()
            .chain([1, 7, 30].map(|size| {
                let name = format!("amount_avg_{size}d");
                output(&name, Function::Avg, Some(AMOUNT), days(size))
            }))
            .collect(),
        "risk" => [1, 7, 30]
            .map(|size| {
                let name = format!("tx_count_{size}d_delay_7d");
                output(&name, Function::Count, None, days(size))
            })
            .into_iter()
            .chain([1, 7, 30].map(|size| {
                let name = format!("risk_{size}d_delay_7d");
                output(&name, Function::Avg, Some(IS_FRAUD), days(size))
            }))
            .map(|mut output| {
                output.window.delay = days(7);
                output
            })
            .collect(),
        "habits" => habits(),
        other => panic!("no service {other:?}"),
    }
}

fn habits() -> Vec<Output> {
    let lifetime = |name, function, input| {
        let mut lifetime = output(name, function, Some(input), days(1));
        lifetime.window.span = Span::Lifetime;
        lifetime
    };
    let hour = Duration::from_secs(3600);
    let top = Function::TopN { n: 3, cap: 256 };
    let mut large = output("large_count_30d", Function::Count, None, days(30));
    large.filter = Some(0);
    vec![
        output("amount_sum_1h", Function::Sum, Some(AMOUNT), hour),
        lifetime("amount_sum_lifetime", Function::Sum, AMOUNT),
        output("amount_min_7d", Function::Min, Some(AMOUNT), days(7)),
        output("amount_max_7d", Function::Max, Some(AMOUNT), days(7)),
        output(
            "terminals_30d",
            Function::CountDistinct { cap: 256 },
            Some(TERMINAL),
            days(30),
        ),
        output("top_terminals_30d", top, Some(TERMINAL), days(30)),
        lifetime("first_terminal_lifetime", Function::First, TERMINAL),
        output(
            "last_terminal_30d",
            Function::Last,
            Some(TERMINAL),
            days(30),
        ),
        large,
    ]
}

fn output(name: &str, function: Function, input: Option<usize>, size: Duration) -> Output {
    Output {
        name: name.to_owned(),
        function,
        input,
        by: None,
        filter: None,
        window: Window {
            span: Span::Sliding(size),
            delay: Duration::ZERO,
        },
        // The oracle goes by the values; this is not read.
        data_type: DataType::Int64,
        default: None,
    }
}

//! A check that what was fast is right: the payments of some customers, counted plainly.

use super::definitions::Views;
use super::stream::Stream;
use anyhow::{Context, Result, ensure};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use tiderace_aggregate::{Answer, Bound, Row, RowSpec};
use tiderace_types::{Duration, Timestamp, Value};

/// What a payment is counted by.
#[derive(serde::Deserialize)]
struct Paid {
    paid_at: i64,
    customer_id: i64,
    terminal_id: i64,
    amount: i64,
}

/// The payments of some customers in one window.
pub struct Recount {
    as_of: Timestamp,
    customers: BTreeMap<i64, Vec<Paid>>,
}

impl Recount {
    /// Finds the payments of `customers` in the window of `size` at `as_of`.
    ///
    /// # Errors
    /// When a record is not a payment.
    pub fn new(
        stream: &Stream,
        customers: &[i64],
        size: Duration,
        as_of: Timestamp,
    ) -> Result<Recount> {
        let empty = customers.iter().map(|customer| (*customer, Vec::new()));
        let mut customers: BTreeMap<i64, Vec<Paid>> = empty.collect();
        for record in stream.records() {
            let paid: Paid = sonic_rs::from_slice(record).context("read a payment")?;
            let at = Timestamp(paid.paid_at * 1000);
            if at <= as_of.minus(size) || at > as_of {
                continue;
            }
            if let Some(payments) = customers.get_mut(&paid.customer_id) {
                payments.push(paid);
            }
        }
        Ok(Recount { as_of, customers })
    }

    /// Compares what a customer's row answers.
    ///
    /// # Errors
    /// When it differs.
    pub fn check(&self, views: Views, spec: &RowSpec, customer: i64, row: &Row) -> Result<()> {
        let outputs: Vec<usize> = (0..spec.outputs.len()).collect();
        let answers = row.finish(spec, &outputs, self.as_of);
        let answers: Vec<Answer> = answers.into_iter().collect::<Result<_, _>>()?;
        let payments = self.customers.get(&customer);
        let payments = payments.context("the customer is counted")?;
        for (expected, answer) in expected(views, payments).iter().zip(&answers) {
            let weigh = |terminal: &Value| weight(views, payments, terminal);
            ensure!(
                agrees(expected, answer, weigh),
                "customer {customer}: counted {expected:?}, answered {answer:?}"
            );
        }
        Ok(())
    }
}

/// Tells whether an answer is the exact value, or as near to it as its bound says. `weigh` gives
/// the exact weight of what a map may hold.
fn agrees(expected: &Value, answer: &Answer, weigh: impl Fn(&Value) -> i64) -> bool {
    let near = |a: i64, b: i64, most: f64| (a - b).abs() as f64 <= most;
    match (expected, &answer.value, answer.bound) {
        (_, found, None) => found == expected,
        (Value::Int(exact), Value::Int(found), Some(Bound::Relative { error, .. })) => {
            near(*found, *exact, error * *exact as f64)
        }
        (Value::Map(exact), Value::Map(found), Some(Bound::Absolute { error })) => {
            let is_near = |(key, value): &(Value, Value)| match value {
                Value::Int(found) => near(*found, weigh(key), error),
                _ => false,
            };
            let may_miss = |(key, _): &(Value, Value)| {
                let least = found.iter().map(|(key, _)| weigh(key)).min();
                // What is missing for another's sake may be heavier than it by both errors.
                found.iter().any(|(held, _)| held == key)
                    || near(weigh(key), least.unwrap_or_default(), 2.0 * error)
            };
            found.iter().all(is_near) && exact.iter().all(may_miss)
        }
        _ => false,
    }
}

/// What a customer's payments at a terminal come to, as the view weighs them.
fn weight(views: Views, payments: &[Paid], terminal: &Value) -> i64 {
    let at = |paid: &&Paid| Value::Int(paid.terminal_id) == *terminal;
    let payments = payments.iter().filter(at);
    match views {
        Views::TopBySum => payments.map(|paid| paid.amount).sum(),
        _ => payments.count() as i64,
    }
}

/// What the features of customers come to, in their order.
fn expected(views: Views, payments: &[Paid]) -> Vec<Value> {
    let sum = || match payments {
        [] => Value::Null,
        _ => Value::Int(payments.iter().map(|paid| paid.amount).sum()),
    };
    match views {
        Views::One | Views::Three => vec![sum(), Value::Int(payments.len() as i64)],
        Views::Sum => vec![sum()],
        Views::Distinct => {
            let terminals: BTreeSet<i64> = payments.iter().map(|paid| paid.terminal_id).collect();
            vec![Value::Int(terminals.len() as i64)]
        }
        Views::Top => vec![top(payments, |_| 1)],
        Views::TopBySum => vec![top(payments, |paid| paid.amount)],
    }
}

/// The ten heaviest terminals: weight descending, then terminal ascending.
fn top(payments: &[Paid], weight: impl Fn(&Paid) -> i64) -> Value {
    let mut weights: BTreeMap<i64, i64> = BTreeMap::new();
    for paid in payments {
        *weights.entry(paid.terminal_id).or_default() += weight(paid);
    }
    let mut weights: Vec<(i64, i64)> = weights.into_iter().collect();
    weights.sort_by_key(|(terminal, weight)| (Reverse(*weight), *terminal));
    let heaviest = weights.into_iter().take(10);
    match payments {
        [] => Value::Null,
        _ => Value::Map(
            heaviest
                .map(|(t, w)| (Value::Int(t), Value::Int(w)))
                .collect(),
        ),
    }
}

//! A check that the fast answer is the right one: payments of some customers, counted beside.

use crate::answer::{self, Asker, Service};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use tiderace_serve::proto::value::Kind;
use tiderace_testkit::generate::Payment;
use tiderace_types::Timestamp;

/// The counts of 30 days, at one instant, of customers up to [`CUSTOMERS`].
#[derive(Debug, Default)]
pub struct Recount {
    as_of: Timestamp,
    counts: BTreeMap<i64, i64>,
}

const CUSTOMERS: i64 = 500;
const MONTH: i64 = 30 * 86_400_000_000;

impl Recount {
    /// Counts what an answer as of this instant counts.
    pub fn at(as_of: Timestamp) -> Recount {
        Recount {
            as_of,
            ..Recount::default()
        }
    }

    /// Takes in a payment.
    pub fn add(&mut self, payment: &Payment) {
        let within = payment.tx_time.0 > self.as_of.0 - MONTH && payment.tx_time <= self.as_of;
        if within && payment.customer_id < CUSTOMERS {
            *self.counts.entry(payment.customer_id).or_default() += 1;
        }
    }

    /// Compares with the answers. Without any count there is nothing to compare.
    ///
    /// # Errors
    /// When they differ.
    pub fn check(&self, asker: &mut Asker) -> Result<()> {
        let customers: Vec<i64> = self.counts.keys().copied().collect();
        if customers.is_empty() {
            return Ok(());
        }
        let mut request = answer::request(Service::FraudV1, &customers);
        request.as_of = Some(answer::instant(self.as_of));
        let answer = asker.insist(&request)?;
        let place = answer::place(&answer, "tx_count_30d")?;
        for (row, (customer, count)) in answer.rows.iter().zip(&self.counts) {
            let value = row.values.get(place).context("a value per name")?;
            ensure!(
                value.kind == Some(Kind::Int64Value(*count)),
                "customer {customer}: {count} payments, answered {value:?}"
            );
        }
        Ok(())
    }
}

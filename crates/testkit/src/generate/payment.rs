//! One payment after another.

use super::Dice;
use std::collections::{BTreeMap, VecDeque};
use tiderace_types::Timestamp;

/// A card payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its number, from 0.
    pub tx_id: i64,
    /// When, in whole milliseconds.
    pub tx_time: Timestamp,
    /// Who pays.
    pub customer_id: i64,
    /// Where.
    pub terminal_id: i64,
    /// How much, in cents.
    pub cents: i64,
    /// Whether it is fraud, as will be known later.
    pub is_fraud: bool,
}

impl Payment {
    /// How much, as the record says it.
    #[must_use]
    pub fn amount(&self) -> f64 {
        self.cents as f64 / 100.0
    }

    /// Writes the record: one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!(
            r#"{{"tx_id":{},"tx_time":"{}","customer_id":{},"terminal_id":{},"amount":{}.{:02},"is_fraud":{}}}"#,
            self.tx_id,
            self.tx_time,
            self.customer_id,
            self.terminal_id,
            self.cents / 100,
            self.cents % 100,
            u8::from(self.is_fraud)
        )
    }
}

/// How large the town is and how busy.
#[derive(Clone, Debug, PartialEq)]
pub struct Town {
    /// Decides everything else.
    pub seed: u64,
    /// How many customers there are.
    pub customers: usize,
    /// How many terminals there are.
    pub terminals: usize,
    /// When the first payment may come.
    pub start: Timestamp,
    /// How many payments there are in a second of event time.
    pub per_second: f64,
    /// How many terminals are newly compromised in a day of event time.
    pub compromised_per_day: f64,
    /// How many cards are stolen in a day of event time.
    pub stolen_per_day: f64,
}

impl Default for Town {
    /// A thousand customers, and a payment every ten seconds from 2026-01-01.
    fn default() -> Town {
        Town {
            seed: 1,
            customers: 1000,
            terminals: 2000,
            start: Timestamp(1_767_225_600_000_000),
            per_second: 0.1,
            compromised_per_day: 2.0,
            stolen_per_day: 5.0,
        }
    }
}

const DAY: f64 = 86_400.0;
/// How many terminals lie near a customer.
const NEARBY: usize = 12;

/// Endless payments, in order of time.
#[derive(Clone, Debug)]
pub struct Payments {
    town: Town,
    dice: Dice,
    customers: Vec<Customer>,
    /// Seconds since the start.
    now: f64,
    next_id: i64,
    next_compromise: f64,
    next_theft: f64,
    /// Compromised terminals, and until when.
    compromised: BTreeMap<i64, f64>,
    /// What thieves are going to pay.
    thefts: VecDeque<Theft>,
}

#[derive(Clone, Debug)]
struct Customer {
    nearby: Vec<i64>,
    /// The mean of the logarithm of the amount in cents.
    usual: f64,
    spread: f64,
}

#[derive(Clone, Debug)]
struct Theft {
    at: f64,
    customer: usize,
    terminal: i64,
    cents: i64,
}

impl Payments {
    /// Builds the town and begins.
    #[must_use]
    pub fn new(town: Town) -> Payments {
        let mut dice = Dice::new(town.seed);
        let terminals = town.terminals.max(1);
        // Terminals are numbered along the street, so that numbers nearby are places nearby.
        let customers = (0..town.customers.max(1))
            .map(|_| {
                let home = dice.index(terminals);
                let nearby = (0..NEARBY)
                    .map(|_| ((home + dice.index(40)) % terminals) as i64)
                    .collect();
                Customer {
                    nearby,
                    usual: (2500.0f64).ln() + 0.6 * dice.normal(),
                    spread: 0.4 + 0.4 * dice.unit(),
                }
            })
            .collect();
        Payments {
            next_compromise: dice.gap(town.compromised_per_day.max(1e-9) / DAY),
            next_theft: dice.gap(town.stolen_per_day.max(1e-9) / DAY),
            town,
            dice,
            customers,
            now: 0.0,
            next_id: 0,
            compromised: BTreeMap::new(),
            thefts: VecDeque::new(),
        }
    }

    /// Lets happen what happens up to `now`: terminals compromised and repaired, cards stolen.
    fn crime(&mut self) {
        let now = self.now;
        self.compromised.retain(|_, until| *until > now);
        while self.next_compromise <= now {
            let terminal = self.dice.index(self.town.terminals.max(1)) as i64;
            let until = self.next_compromise + (4.0 + 20.0 * self.dice.unit()) * 3600.0;
            self.compromised.insert(terminal, until);
            self.next_compromise += self.dice.gap(self.town.compromised_per_day.max(1e-9) / DAY);
        }
        while self.next_theft <= now {
            let customer = self.dice.index(self.customers.len());
            let mut at = self.next_theft;
            for _ in 0..4 + self.dice.index(6) {
                at += 20.0 + 200.0 * self.dice.unit();
                let terminal = self.dice.index(self.town.terminals.max(1)) as i64;
                let cents = 20_000 + self.dice.below(60_000) as i64;
                let theft = Theft {
                    at,
                    customer,
                    terminal,
                    cents,
                };
                let place = self.thefts.partition_point(|other| other.at <= at);
                self.thefts.insert(place, theft);
            }
            self.next_theft += self.dice.gap(self.town.stolen_per_day.max(1e-9) / DAY);
        }
    }

    fn ordinary(&mut self) -> (usize, i64, i64, bool) {
        let customer = {
            // The product of two chances makes some customers busier than others.
            let place = self.dice.unit() * self.dice.unit();
            (place * self.customers.len() as f64) as usize
        };
        let habits = &self.customers[customer];
        let liked = self.dice.index(NEARBY).min(self.dice.index(NEARBY));
        let terminal = habits.nearby[liked];
        let logarithm = habits.usual + habits.spread * self.dice.normal();
        let cents = (logarithm.exp() as i64).max(50);
        let is_fraud = self.compromised.contains_key(&terminal) && self.dice.chance(0.7);
        (customer, terminal, cents, is_fraud)
    }
}

impl Iterator for Payments {
    type Item = Payment;

    fn next(&mut self) -> Option<Payment> {
        let ordinary_at = self.now + self.dice.gap(self.town.per_second);
        let due = self.thefts.front().is_some_and(|t| t.at <= ordinary_at);
        let theft = if due { self.thefts.pop_front() } else { None };
        self.now = theft.as_ref().map_or(ordinary_at, |t| t.at.max(self.now));
        self.crime();
        let (customer, terminal_id, cents, is_fraud) = match theft {
            Some(theft) => (theft.customer, theft.terminal, theft.cents, true),
            None => self.ordinary(),
        };
        let tx_id = self.next_id;
        self.next_id += 1;
        Some(Payment {
            tx_id,
            tx_time: Timestamp(self.town.start.0 + (self.now * 1000.0) as i64 * 1000),
            customer_id: customer as i64,
            terminal_id,
            cents,
            is_fraud,
        })
    }
}

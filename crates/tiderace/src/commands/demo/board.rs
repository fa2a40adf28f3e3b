//! What the demo's tasks have measured, where the screen looks.

use super::fraud::{Burst, Scheme};
use super::payment;
use super::window::Window;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tiderace_serve::proto::Value;
use tiderace_types::Timestamp;

/// Shared by every task of the demo.
#[derive(Default)]
pub struct Board(Mutex<Seen>);

/// Everything seen so far.
#[derive(Clone, Default)]
pub struct Seen {
    pub stage: Stage,
    pub watch: Option<Watch>,
    /// What the watched customer paid last, or usually pays.
    pub amount: String,
    /// The watched vector now, and as it was before the burst.
    pub vector: Vec<Cell>,
    pub before: HashMap<String, Value>,
    /// The top of the table, its columns in the table's order.
    pub top: Vec<(i64, Vec<Value>)>,
    /// Microseconds from a push to the first answer that shows it.
    pub freshness: Window,
    /// Microseconds of lookups.
    pub lookups: Window,
    pub answered: u64,
    /// What the last failing lookup said.
    pub failure: Option<String>,
}

/// How far the demo has come.
#[derive(Clone, Copy, Default)]
pub enum Stage {
    #[default]
    Starting,
    /// So many past payments are being pushed and taken in.
    Past { expected: u64, since: Instant },
    /// The past is in.
    Live {
        past: u64,
        took: std::time::Duration,
    },
}

/// One feature of the watched vector.
#[derive(Clone)]
pub struct Cell {
    pub name: String,
    pub value: Value,
    pub status: i32,
    pub completeness: u32,
}

/// Who is watched, and what happens to them.
#[derive(Clone, PartialEq)]
pub struct Watch {
    pub customer: i64,
    pub terminal: i64,
    /// An amount that is usual for the customer.
    pub usual: String,
    pub scheme: Scheme,
    pub begins: Timestamp,
    pub ends: Timestamp,
    pub made: i64,
}

/// A payment on its way, to be looked for in answers.
#[derive(Clone, Debug)]
pub struct Probe {
    pub customer: i64,
    pub terminal: i64,
    pub time: Timestamp,
    pub pushed: Instant,
}

impl Watch {
    /// Watches the first card and terminal of a burst.
    pub fn of(burst: &Burst) -> Watch {
        Watch {
            customer: burst.customers[0],
            terminal: burst.terminals[0],
            usual: payment::amount(burst.usual),
            scheme: burst.scheme,
            begins: burst.begins,
            ends: burst.ends,
            made: burst.made,
        }
    }

    fn same(&self, other: &Watch) -> bool {
        (self.customer, self.begins) == (other.customer, other.begins)
    }
}

impl Board {
    /// All of it.
    pub fn seen(&self) -> Seen {
        self.locked().clone()
    }

    pub fn past(&self, expected: u64) {
        let since = Instant::now();
        self.locked().stage = Stage::Past { expected, since };
    }

    pub fn go_live(&self, past: u64) {
        let mut seen = self.locked();
        let took = match seen.stage {
            Stage::Past { since, .. } => since.elapsed(),
            _ => std::time::Duration::ZERO,
        };
        seen.stage = Stage::Live { past, took };
    }

    /// Says who is watched, and an amount they have paid since.
    pub fn watch(&self, watch: Watch, paid: Option<String>) {
        let mut seen = self.locked();
        if !seen.watch.as_ref().is_some_and(|old| old.same(&watch)) {
            seen.vector.clear();
            seen.before.clear();
            seen.amount.clone_from(&watch.usual);
        }
        seen.watch = Some(watch);
        if let Some(paid) = paid {
            seen.amount = paid;
        }
    }

    /// Who to ask about: the watched customer and terminal, and an amount.
    pub fn asked(&self) -> Option<(Watch, f64)> {
        let seen = self.locked();
        Some((seen.watch.clone()?, seen.amount.parse().ok()?))
    }

    /// Takes the answer about the watched; until fraud begins it is also what was before.
    pub fn vector(&self, of: &Watch, vector: Vec<Cell>, at: Timestamp) {
        let mut seen = self.locked();
        if !seen.watch.as_ref().is_some_and(|watch| watch.same(of)) {
            return;
        }
        if at < of.begins || seen.before.is_empty() {
            let pairs = vector.iter().map(|c| (c.name.clone(), c.value.clone()));
            seen.before = pairs.collect();
        }
        seen.vector = vector;
    }

    pub fn top(&self, top: Vec<(i64, Vec<Value>)>) {
        self.locked().top = top;
    }

    pub fn fresh_after(&self, micros: u64) {
        self.locked().freshness.add(micros);
    }

    pub fn answered_in(&self, micros: u64) {
        let mut seen = self.locked();
        seen.lookups.add(micros);
        seen.answered += 1;
        seen.failure = None;
    }

    pub fn failed(&self, message: String) {
        self.locked().failure = Some(message);
    }

    fn locked(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

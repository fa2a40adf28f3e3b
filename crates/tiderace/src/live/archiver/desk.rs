//! Where accepted events wait to be archived, at most so many of them.

use crate::live::ledger::Ledger;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tiderace_engine::Accepted;
use tiderace_offline::archive::{Batch, Load};

/// Events that are flushed together, at most: what they take while they are sorted and written is a few
/// times that.
const ROWS: usize = 1_000_000;

/// Their memory, at most.
const BYTES: usize = 32 << 20;

/// How often those who wait look whether the loop stops.
const LOOK: Duration = Duration::from_millis(100);

/// Between an intake and its archive.
pub struct Desk {
    name: String,
    interval: Duration,
    ledger: Arc<Ledger>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

struct Waiting {
    load: Load,
    /// Since when the oldest of it waits.
    since: Option<Instant>,
    standing: Standing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// More may come.
    Open,
    /// No more comes.
    Closed,
    /// No more can be archived.
    Failed,
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.load.rows() >= ROWS || self.load.bytes() >= BYTES
    }
}

impl Desk {
    /// A desk with the first load, which is empty; what is handed in is taken after `interval`.
    pub fn new(name: String, load: Load, interval: Duration, ledger: Arc<Ledger>) -> Desk {
        Desk {
            name,
            interval,
            ledger,
            waiting: Mutex::new(Waiting {
                load,
                since: None,
                standing: Standing::Open,
            }),
            changed: Condvar::new(),
        }
    }

    /// Hands in accepted events, waiting while there are too many; tells whether they are taken. Where they
    /// are not, nothing that comes after them may be handed in.
    pub fn offer(&self, accepted: Accepted, stop: &AtomicBool) -> bool {
        let mut waiting = self.locked();
        while waiting.standing == Standing::Open && waiting.is_full() {
            if stop.load(Ordering::Acquire) {
                return false;
            }
            let woken = self.changed.wait_timeout(waiting, LOOK);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        if waiting.standing != Standing::Open {
            return false;
        }
        waiting.load.push(Batch {
            events: accepted.events,
            partitions: accepted.partitions,
            offsets: accepted.offsets,
            ingested: accepted.broker_times,
            reached: accepted.reached,
        });
        if !waiting.load.is_empty() && waiting.since.is_none() {
            let now = Instant::now();
            waiting.since = Some(now);
            self.ledger.archive_waits(&self.name, now);
        }
        if waiting.is_full() || waiting.since.is_some() {
            self.changed.notify_all();
        }
        true
    }

    /// Waits for a load that is due: full, old enough, or the last. `None` when no more comes.
    pub fn take(&self) -> Option<Load> {
        let mut waiting = self.locked();
        loop {
            let age = waiting.since.map(|since| since.elapsed());
            let aged = age.is_some_and(|age| age >= self.interval);
            let over = waiting.standing != Standing::Open;
            if over && waiting.load.is_empty() {
                return None;
            }
            if over || aged || waiting.is_full() {
                let next = Load::after(waiting.load.reached().clone());
                waiting.since = None;
                self.changed.notify_all();
                return Some(std::mem::replace(&mut waiting.load, next));
            }
            let left = age.map_or(self.interval, |age| self.interval - age);
            let woken = self
                .changed
                .wait_timeout(waiting, left.max(Duration::from_millis(1)));
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Notes that the load that was taken is out of the way.
    pub fn flushed(&self) {
        let since = self.locked().since;
        self.ledger.archive_waited(&self.name, since);
    }

    /// Nothing more is handed in.
    pub fn close(&self) {
        let mut waiting = self.locked();
        if waiting.standing == Standing::Open {
            waiting.standing = Standing::Closed;
        }
        drop(waiting);
        self.changed.notify_all();
    }

    /// Nothing more can be archived.
    pub fn fail(&self) {
        self.locked().standing = Standing::Failed;
        self.changed.notify_all();
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The names of the rows that one view's topic is owed, and when each may be sent.

use super::falls::Falls;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tiderace_types::{Duration, KeyBytes, SourceId, Timestamp};

/// Rows that one topic is owed.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) source: SourceId,
    pub(crate) max_lag: Duration,
    pub(crate) min_interval: Duration,
    pub(crate) decays: bool,
    owed: BTreeMap<KeyBytes, Owed>,
    /// Those of them that are to be sent, by when they may be.
    queue: BTreeSet<(Timestamp, KeyBytes)>,
    /// Those that were sent and have an event ahead of that, by its time.
    ahead: BTreeSet<(Timestamp, KeyBytes)>,
    /// Those that were sent while their source lagged, and are sent again when it does not.
    parked: BTreeSet<KeyBytes>,
    recent: Recent,
    pub(crate) falls: Falls,
}

#[derive(Clone, Copy, Debug)]
struct Owed {
    waits: Waits,
    tick: u64,
}

/// Which list an owed row is in.
#[derive(Clone, Copy, Debug)]
enum Waits {
    Queued,
    Ahead(Timestamp),
    Parked,
}

/// Why a row that was sent is sent once more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Again {
    /// From this instant on it has an event more.
    Ahead(Timestamp),
    /// Its source lagged.
    Stale,
}

/// What an owed name takes in memory, roughly: its key twice, in leaves that are two thirds full.
pub(super) const OWED: usize = 160;

/// What a listed change takes.
pub(super) const LISTED: usize = 128;

impl Names {
    pub(crate) fn new(
        source: SourceId,
        max_lag: Duration,
        feed: &tiderace_plan::model::Feed,
    ) -> Names {
        Names {
            source,
            max_lag,
            min_interval: feed.min_interval,
            decays: feed.decays,
            owed: BTreeMap::new(),
            queue: BTreeSet::new(),
            ahead: BTreeSet::new(),
            parked: BTreeSet::new(),
            recent: Recent::default(),
            falls: Falls::new(usize::MAX),
        }
    }

    /// Owes a row from `now` on; `tick` stamps it where it was not owed.
    pub(crate) fn owe(&mut self, key: &[u8], now: Timestamp, tick: impl FnOnce() -> u64) {
        match self.owed.get_mut(key) {
            None => {
                let (waits, tick) = (Waits::Queued, tick());
                self.owed.insert(key.into(), Owed { waits, tick });
            }
            // A change is told at once, whatever else it waits for.
            Some(owed) => match std::mem::replace(&mut owed.waits, Waits::Queued) {
                Waits::Queued => return,
                Waits::Ahead(at) => _ = self.ahead.remove(&(at, key.into())),
                Waits::Parked => _ = self.parked.remove(key),
            },
        }
        let due = self.recent.next(key).max(now);
        self.queue.insert((due, key.into()));
    }

    /// Owes a row that was sent once more, under the stamp it has; gives the stamp that is not needed
    /// where it was owed already.
    pub(crate) fn again(&mut self, key: KeyBytes, why: Again, tick: u64) -> Option<u64> {
        if let Some(owed) = self.owed.get_mut(&key) {
            let newer = owed.tick.max(tick);
            owed.tick = owed.tick.min(tick);
            return Some(newer);
        }
        let waits = match why {
            Again::Ahead(at) => {
                self.ahead.insert((at, key.clone()));
                Waits::Ahead(at)
            }
            Again::Stale => {
                self.parked.insert(key.clone());
                Waits::Parked
            }
        };
        self.owed.insert(key, Owed { waits, tick });
        None
    }

    /// Queues the rows whose events ahead have come by `now`.
    pub(crate) fn come_to(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.ahead.first()
            && *at <= now
            && let Some((_, key)) = self.ahead.pop_first()
        {
            self.enqueue(key, now);
        }
    }

    /// Queues the parked rows.
    pub(crate) fn unpark(&mut self, now: Timestamp) {
        for key in std::mem::take(&mut self.parked) {
            self.enqueue(key, now);
        }
    }

    fn enqueue(&mut self, key: KeyBytes, now: Timestamp) {
        if let Some(owed) = self.owed.get_mut(&key) {
            owed.waits = Waits::Queued;
            let due = self.recent.next(&key).max(now);
            self.queue.insert((due, key));
        }
    }

    /// Takes a row that may be sent at `now`, or that may not yet if `hurry`; with its stamp.
    pub(crate) fn pop(&mut self, now: Timestamp, hurry: bool) -> Option<(KeyBytes, u64)> {
        let (due, _) = self.queue.first()?;
        if *due > now && !hurry {
            return None;
        }
        let (_, key) = self.queue.pop_first()?;
        let owed = self.owed.remove(&key)?;
        if self.min_interval > Duration::ZERO {
            self.recent.note(key.clone(), now.plus(self.min_interval));
        }
        Some((key, owed.tick))
    }

    /// Forgets which rows are owed; gives their stamps.
    pub(crate) fn forget(&mut self) -> impl Iterator<Item = u64> {
        self.queue.clear();
        self.ahead.clear();
        self.parked.clear();
        std::mem::take(&mut self.owed)
            .into_values()
            .map(|owed| owed.tick)
    }

    /// The rows whose stamp is at most `tick`.
    pub(crate) fn stamped(&self, tick: u64) -> impl Iterator<Item = &KeyBytes> {
        let owed = self.owed.iter();
        owed.filter(move |(_, owed)| owed.tick <= tick)
            .map(|(key, _)| key)
    }

    /// Stamps a row anew, if it is owed; gives its old stamp.
    pub(crate) fn restamp(&mut self, key: &[u8], tick: impl FnOnce() -> u64) -> Option<u64> {
        let owed = self.owed.get_mut(key)?;
        Some(std::mem::replace(&mut owed.tick, tick()))
    }

    /// Lets go of what is kept of rows sent lately: past `most` of them the oldest may be sent sooner.
    pub(crate) fn tidy(&mut self, now: Timestamp, most: usize) {
        self.recent.forget(now, most);
    }

    /// When the next row may be sent, or changes by itself.
    pub(crate) fn due_at(&self) -> Option<Timestamp> {
        let first = |list: &BTreeSet<(Timestamp, KeyBytes)>| list.first().map(|(at, _)| *at);
        let all = [first(&self.queue), first(&self.ahead), self.falls.next()];
        all.into_iter().flatten().min()
    }

    /// When the row that has waited longest was to be sent.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// How many rows are to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How many rows have events ahead.
    pub(crate) fn ahead(&self) -> usize {
        self.ahead.len()
    }

    /// How many rows wait for their source to catch up.
    pub(crate) fn parked(&self) -> usize {
        self.parked.len()
    }

    /// Roughly how many bytes it takes.
    pub(crate) fn memory(&self) -> usize {
        self.owed.len() * OWED + self.recent.order.len() * OWED + self.falls.len() * LISTED
    }
}

/// When rows that were sent lately may be sent again.
#[derive(Debug, Default)]
struct Recent {
    next: BTreeMap<KeyBytes, Timestamp>,
    order: VecDeque<(Timestamp, KeyBytes)>,
}

impl Recent {
    fn next(&self, key: &[u8]) -> Timestamp {
        self.next.get(key).copied().unwrap_or(Timestamp::MIN)
    }

    fn note(&mut self, key: KeyBytes, next: Timestamp) {
        self.order.push_back((next, key.clone()));
        self.next.insert(key, next);
    }

    fn forget(&mut self, now: Timestamp, most: usize) {
        while let Some((next, _)) = self.order.front()
            && (*next <= now || self.order.len() > most)
        {
            let Some((next, key)) = self.order.pop_front() else {
                return;
            };
            if self.next.get(&key) == Some(&next) {
                self.next.remove(&key);
            }
        }
    }
}

//! Rows kept near for a moment, in front of a store that is a network away.
//!
//! A kept row is used in place of reading it again, as if the reader had stood still since it was read: with
//! it is kept what its owner said of the view *before* that, and by this it is judged. So the lag of an answer
//! from it grows with its age, and nothing is ever called complete by what was said later. That there was no
//! row is kept likewise.
//!
//! # Laws
//! - A row that is used was asked for at most `max_age` ago.
//! - It is not used where it would be STALE, nor past the instants that a dense row was cut for: then it is
//!   read again, so that keeping rows near marks no answer that reading them would not.
//! - It is not used once its view is known to be of another generation, definition or coverage, or its store
//!   of another incarnation: one that was emptied, or went back.
//!
//! It lacks on purpose: being told of changes. The age is the bound.

use crate::completeness::At;
use crate::page::Page;
use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tiderace_types::{RowKey, Timestamp, ViewMarker};

/// How much is kept near, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearCache {
    /// Bytes of rows, with what they take beside themselves.
    pub max_bytes: u64,
    /// How old a row may be when it is used.
    pub max_age: Duration,
}

/// What a kept row takes beside the bytes of its key and value: what was said of it, and its place.
const BESIDE: u64 = 256;

/// Bytes of a usual row, from which the number of rows is estimated.
const USUAL: u64 = 1 << 10;

/// The rows that are kept.
pub(crate) struct Near {
    rows: Cache<RowKey, Arc<Kept>, Weight, DefaultHashBuilder, Evicted>,
    max_age: Duration,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: Arc<AtomicU64>,
}

/// A row as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Its bytes; `None` where there was no row.
    pub(crate) bytes: Option<Bytes>,
    /// What was known before it was read.
    pub(crate) said: Said,
    /// When it was asked for.
    pub(crate) asked_at: Instant,
    /// The last instant that it can be asked as of.
    pub(crate) until: Timestamp,
}

/// What the marker of a row's shard says.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// The incarnation of the store.
    pub(crate) incarnation: u64,
    /// Of the row's view.
    pub(crate) view: ViewMarker,
}

/// What a row is to be used for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use<'a> {
    pub(crate) at: At,
    /// Past this lag, values are STALE.
    pub(crate) max_lag: tiderace_types::Duration,
    /// What is said of the view now.
    pub(crate) view: &'a ViewMarker,
    pub(crate) incarnation: u64,
}

#[derive(Clone, Copy, Debug)]
struct Weight;

impl Weighter<RowKey, Arc<Kept>> for Weight {
    fn weight(&self, key: &RowKey, kept: &Arc<Kept>) -> u64 {
        let bytes = key.entity.len() + kept.bytes.as_ref().map_or(0, Bytes::len);
        BESIDE + bytes as u64
    }
}

#[derive(Clone, Debug)]
struct Evicted(Arc<AtomicU64>);

impl Lifecycle<RowKey, Arc<Kept>> for Evicted {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: RowKey, _: Arc<Kept>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near")
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

impl Near {
    pub(crate) fn new(bounds: NearCache) -> Near {
        let evictions = Arc::new(AtomicU64::new(0));
        let estimate = usize::try_from(bounds.max_bytes / USUAL).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .weight_capacity(bounds.max_bytes)
            .estimated_items_capacity(estimate)
            .build()
            .expect("both capacities are given");
        let evicted = Evicted(Arc::clone(&evictions));
        Near {
            rows: Cache::with_options(options, Weight, DefaultHashBuilder::default(), evicted),
            max_age: bounds.max_age,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions,
        }
    }

    /// The row of `key`, if it is kept and may be used so.
    pub(crate) fn get(&self, key: &RowKey, usage: Use<'_>, now: Instant) -> Option<Arc<Kept>> {
        let kept = self.rows.get(key);
        let kept = kept.filter(|kept| self.is_young(kept, now) && kept.serves(usage));
        let counter = match kept {
            Some(_) => &self.hits,
            None => &self.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        kept
    }

    /// Keeps a row that was read, unless one is kept that was asked for later.
    pub(crate) fn keep(&self, key: RowKey, kept: Kept) {
        let known = self.rows.peek(&key);
        if known.is_none_or(|known| known.asked_at <= kept.asked_at) {
            self.rows.insert(key, Arc::new(kept));
        }
    }

    /// Lets go of a row that cannot be read.
    pub(crate) fn forget(&self, key: &RowKey) {
        self.rows.remove(key);
    }

    fn is_young(&self, kept: &Kept, now: Instant) -> bool {
        now.saturating_duration_since(kept.asked_at) <= self.max_age
    }

    /// Writes its counters.
    pub(crate) fn metrics(&self, page: &mut Page) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let all = [
            (
                "tiderace_near_cache_hits_total",
                "counter",
                "Rows that were answered from the near-cache.",
                read(&self.hits),
            ),
            (
                "tiderace_near_cache_misses_total",
                "counter",
                "Rows that were read from the store, though there is a near-cache.",
                read(&self.misses),
            ),
            (
                "tiderace_near_cache_evictions_total",
                "counter",
                "Rows that the near-cache has let go of for others.",
                read(&self.evictions),
            ),
            (
                "tiderace_near_cache_bytes",
                "gauge",
                "What rows take in the near-cache.",
                self.rows.weight(),
            ),
        ];
        for (name, kind, help, value) in all {
            page.family(name, kind, help);
            page.line(name, &[], value);
        }
    }
}

impl Kept {
    /// Whether it may be used, its age aside.
    fn serves(&self, usage: Use<'_>) -> bool {
        let (said, now) = (&self.said.view, usage.view);
        self.said.incarnation == usage.incarnation
            && said.generation == now.generation
            && said.fingerprint == now.fingerprint
            && said.covered_from == now.covered_from
            && usage.at.as_of <= self.until
            && usage.at.now.since(said.caught_up_at) <= usage.max_lag
    }
}

#[cfg(test)]
#[path = "near_tests.rs"]
mod tests;

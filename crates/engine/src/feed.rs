//! What a lane owes the topics that the values of its views go to.
//!
//! A row that changes is owed by its name. The shell takes some names with their rows
//! ([`Lane::take_feed`]), finishes and sends them, and says what became of each ([`Lane::fed`]); at
//! most one such batch is on its way. What is owed when the process ends is owed after the next start:
//!
//! - Changes by events: a row is in the outbox of the commit that stores it, and the entry stays until
//!   a record was acknowledged that holds them ([`Ticks`]); what no commit holds is read again.
//! - Changes by time alone (`emit: decay`): the due-list is made from the stored rows, by asking each
//!   when it changed after the instant up to which all such changes were sent
//!   ([`Lane::feed_settled`], which the shell keeps).
//!
//! # Laws
//! - Nothing is paid before a record that holds it is acknowledged.
//! - A row's records have rising versions, but for repeats, which are equal.
//! - After a start nothing is sent of a source before the lane has come to where the source ended
//!   then: values do not go back.
//! - Names are bounded. Past the bound the shell takes no packets ([`Lane::feed_is_full`]); while
//!   nothing may be sent, they are given up for a look at every stored row.

mod falls;
mod looking;
mod names;
mod taking;
mod ticks;

use crate::LaneView;
use crate::lane::Lane;
use crate::progress::Sample;
use falls::Falls;
use names::{LISTED, Names, OWED};
use std::collections::BTreeMap;
use ticks::Ticks;
use tiderace_types::{
    CoveredFrom, Duration, Generation, KeyBytes, Partition, RowKey, SourceId, Timestamp, Version,
    ViewId, ViewMarker,
};

/// A row to be told to its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    /// The row.
    pub key: RowKey,
    /// Its bytes, as of the online store; `None` where there is no row.
    pub value: Option<Vec<u8>>,
    /// The version that its record carries.
    pub version: Version,
}

/// Rows to be told.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FeedBatch {
    /// Those that are held.
    pub rows: Vec<FeedRow>,
    /// Those that are not, or not ready: read their blocks and hand them to [`Lane::feed_stored`].
    pub stored: Vec<RowKey>,
}

/// What came of a row that was to be told from its stored blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedStored {
    /// It is of no view that has a topic.
    Nothing,
    /// The row.
    Row(FeedRow),
    /// It is dense and has to be anchored first: [`Lane::take_key`], [`Lane::anchor`], and again.
    Dense,
}

/// What was told of a row, once it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// As of when.
    pub at: Timestamp,
    /// When its values change next with no further event.
    pub until: Option<Timestamp>,
    /// The time of its first event that is ahead of `at`: it counts from then on, and is told then.
    pub ahead: Option<Timestamp>,
    /// Whether its source lagged: it is told again once that does not.
    pub stale: bool,
}

/// What is looked for among the stored rows of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Every row is told.
    All,
    /// Those are told whose values have changed by themselves since this instant; of the others it is
    /// noted when they do.
    Since(Timestamp),
}

/// How long a lane's lists may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedBounds {
    /// Rows that wait to be told.
    pub owed: usize,
    /// Of each view, rows of which it is known when they change by themselves.
    pub listed: usize,
}

impl FeedBounds {
    /// Bounds for lists of so many bytes together, of `views` views; not so few that nothing gets on.
    #[must_use]
    pub fn within(bytes: usize, views: usize) -> FeedBounds {
        FeedBounds {
            owed: (bytes / 2 / OWED).max(1000),
            listed: (bytes / 2 / LISTED / views.max(1)).max(1000),
        }
    }
}

/// How a view's topic stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FeedStanding {
    /// Rows that are owed.
    pub owed: usize,
    /// How long the row has waited that was to be sent first.
    pub lag: Duration,
}

/// How many commits long an outbox entry may be unpaid because of rows that must wait: then they are
/// named by a new one.
const CARRIED: u64 = 256;

/// The feeding side of a lane.
#[derive(Debug)]
pub(crate) struct Feeds {
    /// By the places of the views.
    names: Vec<Option<Names>>,
    ticks: Ticks,
    /// What is on its way, with stamps; at most one batch.
    flight: BTreeMap<(usize, KeyBytes), u64>,
    /// How many rows may wait.
    most: usize,
    /// Whose turn it is to be taken first.
    turn: usize,
    /// The sources whose end at the start has not been come to; `None` where it is not known.
    held: BTreeMap<SourceId, Option<Vec<(Partition, i64)>>>,
    /// What is to be looked for, by view.
    wanted: BTreeMap<usize, Look>,
    /// What is being looked for.
    looking: BTreeMap<usize, Look>,
    /// Rows that the commit under way names anew.
    carried: Vec<(usize, KeyBytes)>,
}

impl Feeds {
    pub(crate) fn new(views: &[LaneView]) -> Feeds {
        let names = views.iter().map(|lane_view| {
            let source = &lane_view.view.source;
            let feed = lane_view.view.feed.as_ref()?;
            Some(Names::new(source.id, source.max_lag, feed))
        });
        let names: Vec<Option<Names>> = names.collect();
        let held = names.iter().flatten().map(|names| (names.source, None));
        Feeds {
            held: held.collect(),
            names,
            ticks: Ticks::new(),
            flight: BTreeMap::new(),
            most: usize::MAX,
            turn: 0,
            wanted: BTreeMap::new(),
            looking: BTreeMap::new(),
            carried: Vec::new(),
        }
    }

    fn any(&self) -> bool {
        self.names.iter().any(Option::is_some)
    }

    /// Owes a row that has changed.
    #[inline]
    pub(crate) fn touch(&mut self, view: usize, entity: &[u8], now: Timestamp) {
        if let Some(names) = &mut self.names[view] {
            names.owe(entity, now, || self.ticks.stamp());
        }
    }

    /// The outbox entries that are paid, of those that the online store's side has paid.
    pub(crate) fn paid(&self, published: Option<u64>) -> Option<u64> {
        match self.any() {
            true => published.min(self.ticks.paid().commit),
            false => published,
        }
    }

    /// Rows that the next commit is to name, because the entries that do are getting old.
    pub(crate) fn carry(&mut self) -> Vec<(usize, KeyBytes)> {
        self.carried.clear();
        if let Some(old) = self.ticks.old(CARRIED) {
            for (view, names) in self.names.iter().enumerate() {
                let stamped = names.iter().flat_map(|names| names.stamped(old));
                self.carried.extend(stamped.map(|key| (view, key.clone())));
            }
        }
        self.carried.clone()
    }

    pub(crate) fn committed(&mut self, seq: u64) {
        if !self.any() {
            return;
        }
        // Before the commit is noted: it names them, and must not be taken for paid.
        let carried = std::mem::take(&mut self.carried);
        if !carried.is_empty() {
            self.ticks.carried(seq);
            for (view, key) in carried {
                let names = self.names[view].as_mut();
                let old = names.and_then(|names| names.restamp(&key, || self.ticks.stamp()));
                old.into_iter().for_each(|old| self.ticks.release(old));
            }
        }
        self.ticks.committed(seq);
    }

    pub(crate) fn sample(&mut self, source: SourceId, sample: &Sample) {
        if let Some(ends @ None) = self.held.get_mut(&source) {
            *ends = Some(sample.ends.clone());
        }
    }

    /// Roughly how many bytes its lists take.
    pub(crate) fn memory(&self) -> usize {
        let names = self.names.iter().flatten();
        names.map(Names::memory).sum::<usize>() + self.flight.len() * OWED
    }

    fn waiting(&self) -> usize {
        let names = self.names.iter().flatten();
        names.map(Names::waiting).sum::<usize>() + self.flight.len()
    }

    /// How many rows wait for time to come to their events.
    fn ahead(&self) -> usize {
        let names = self.names.iter().flatten();
        names.map(Names::ahead).sum()
    }

    /// Gives up the names of a view's owed rows for a look at every one.
    fn forget(&mut self, view: usize) {
        self.ticks.freeze();
        if let Some(names) = &mut self.names[view] {
            names.forget().for_each(|tick| self.ticks.release(tick));
        }
        self.wanted.insert(view, Look::All);
    }
}

impl Lane {
    /// Tells whether any view's values go to a topic.
    #[must_use]
    pub fn feeds(&self) -> bool {
        self.feeds.any()
    }

    /// The generation that is built of a view.
    #[must_use]
    pub fn generation(&self, view: ViewId) -> Generation {
        let held = self.views.iter().find(|held| held.view.id == view);
        held.map(|held| held.generation).unwrap_or_default()
    }

    /// Bounds the lists of rows that are owed to topics or change by themselves.
    pub fn bound_feeds(&mut self, bounds: FeedBounds) {
        self.feeds.most = bounds.owed;
        for names in self.feeds.names.iter_mut().flatten() {
            names.falls = Falls::new(bounds.listed);
        }
    }

    /// Owes rows that were owed when the process ended.
    pub fn owe_feeds<'a>(&mut self, keys: impl IntoIterator<Item = &'a RowKey>, now: Timestamp) {
        for key in keys {
            if let Some(view) = self.view_of(key) {
                self.feeds.touch(view, &key.entity, now);
            }
        }
    }

    /// Up to when every change by time alone has been told.
    #[must_use]
    pub fn feed_settled(&self) -> Timestamp {
        self.feeds.ticks.paid().upto
    }

    /// Tells whether more rows wait than may, so that no packets are to be taken.
    #[must_use]
    pub fn feed_is_full(&self) -> bool {
        self.feeds.waiting().max(self.feeds.ahead()) >= self.feeds.most
    }

    /// Tells whether there is room for rows that a look finds.
    #[must_use]
    pub fn feed_has_room(&self) -> bool {
        self.feeds.waiting() < self.feeds.most / 2
    }

    /// How the topics stand, by the places of their views.
    #[must_use]
    pub fn feed_standings(&self, now: Timestamp) -> Vec<(usize, FeedStanding)> {
        let feeds = self.feeds.names.iter().enumerate();
        let standing = feeds.filter_map(|(view, names)| {
            let names = names.as_ref()?;
            let flight = self.feeds.flight.keys().filter(|(of, _)| *of == view);
            let lag = names.oldest().map(|due| now.since(due).max(Duration::ZERO));
            let owed = names.waiting() + names.parked() + flight.count();
            let lag = lag.unwrap_or_default();
            Some((view, FeedStanding { owed, lag }))
        });
        standing.collect()
    }

    /// What may be said of a view's rows as the lane holds them.
    #[must_use]
    pub fn feed_marker(&self, view: usize, covered_from: CoveredFrom) -> ViewMarker {
        let lane_view = &self.views[view];
        let source = lane_view.view.source.id;
        ViewMarker {
            view: lane_view.view.id,
            generation: lane_view.generation,
            fingerprint: lane_view.view.spec.fingerprint,
            covered_from,
            clock: self.clock(source),
            caught_up_at: self.reached_at(source),
            // State lets go of nothing before its time.
            least_lag: Duration::MAX,
        }
    }
}

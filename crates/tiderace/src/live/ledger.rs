//! The counters of a running loop: what was read, what became of it, how fast it shows.

use crate::spool::SyncCounts;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tiderace_engine::{Applied, FeedStanding, IntakeCounts};
use tiderace_offline::archive::Flushed;
use tiderace_plan::model::Source;
use tiderace_source::Lag;
use tiderace_types::{READ, Reason, SourceId, Timestamp};

/// Everything that is counted: records since the beginning, the rest since the process began.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The names of the sources.
    names: BTreeMap<SourceId, String>,
    counts: Mutex<Counts>,
    /// What became of records, by the lane of their home.
    lanes: Mutex<BTreeMap<String, tiderace_types::Ledger>>,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By source name, over all lanes: as durable as the rows, each record counted once.
    pub sources: BTreeMap<String, SourceLedger>,
    /// By view name.
    pub views: BTreeMap<String, ViewLedger>,
    /// Rows put into the online store.
    pub published: u64,
    /// Commits to state.
    pub commits: u64,
    /// Rows owed to the online store, by lane.
    pub owing: BTreeMap<String, usize>,
    /// Rows held in memory, by lane.
    pub held: BTreeMap<String, usize>,
    /// Full republications that a store made necessary.
    pub republications: u64,
    /// Blocks of rows taken off the disk because nothing can see them any more.
    pub blocks_swept: u64,
    /// Their bytes, before compression.
    pub bytes_swept: u64,
    /// What became of views' values on their way to topics, by view name.
    pub feeds: BTreeMap<String, FeedLedger>,
    /// How archives stand, by source name.
    pub archives: BTreeMap<String, ArchiveLedger>,
    /// How the tables of batch views stand, by view name.
    pub tables: BTreeMap<String, TableLedger>,
    /// The newest delays from a change to its acknowledged publication, in microseconds.
    pub publish_delays: Vec<i64>,
}

impl Counts {
    /// The delay, in microseconds, that a share of the newest publications did not pass; `None` where there were
    /// none.
    #[must_use]
    pub fn publish_delay(&self, share: f64) -> Option<i64> {
        let mut sorted = self.publish_delays.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        let place = (last as f64 * share).round() as usize;
        sorted.get(place).copied()
    }
}

/// One source's ledger: `read` is the sum of the others. See [`tiderace_types::Ledger`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceLedger {
    /// Records by what became of them.
    pub outcomes: BTreeMap<String, u64>,
    /// Events that failed a check and were kept, since the process began.
    pub kept_failing: u64,
    /// The largest event time accepted, by partition.
    pub clocks: BTreeMap<u32, Timestamp>,
    /// How often the topic did not have what should have come next, since the process began.
    pub losses: u64,
    /// How many records are known to be missing because of that.
    pub lost: u64,
    /// Whether reading has ended for good: somebody has to look.
    pub stopped: bool,
    /// How many records the logs hold that were not read yet, by topic; that of the embedded log has no name.
    pub lags: BTreeMap<String, Seen>,
}

/// A lag, and when it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The lag.
    pub lag: Lag,
    /// When.
    pub at: Instant,
}

/// How long a lag is told that could not be seen anew.
const LAG_IS_KNOWN: Duration = Duration::from_secs(30);

impl SourceLedger {
    /// How many records are counted under `name`.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.outcomes.get(name).copied().unwrap_or_default()
    }

    /// The lags that are known now, by topic.
    pub fn known_lags(&self) -> impl Iterator<Item = (&String, Lag)> {
        let known = self.lags.iter();
        let known = known.filter(|(_, seen)| seen.at.elapsed() < LAG_IS_KNOWN);
        known.map(|(topic, seen)| (topic, seen.lag))
    }

    /// How many records there were.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.count(READ)
    }

    /// How many records are in the dead letters.
    #[must_use]
    pub fn refused(&self) -> u64 {
        let reasons = Reason::ALL.iter();
        reasons.map(|reason| self.count(reason.name())).sum()
    }
}

/// One view's ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewLedger {
    /// Events that became members of a row.
    pub applied: u64,
    /// Copies.
    pub duplicate: u64,
    /// Copies with other content.
    pub conflict: u64,
    /// Events before what their row keeps.
    pub too_late_idle: u64,
    /// Retractions of what was not there when they came.
    pub unmatched_retraction: u64,
    /// Events that came after a retraction of them: so many of the unmatched are not any more.
    pub settled: u64,
    /// Events that the view's condition filtered out.
    pub filtered: u64,
    /// Events with a null in the entity key.
    pub null_key: u64,
    /// Events on which an expression failed.
    pub failed: u64,
}

/// What became of one view's values, since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedLedger {
    /// Records that the topic keeps.
    pub sent: u64,
    /// Records that could not be written and were tried again.
    pub failed: u64,
    /// Records that are larger than the topic takes, and were left out.
    pub too_large: u64,
    /// How the topic stands, by lane.
    pub standing: BTreeMap<String, FeedStanding>,
}

/// How one source's archive stands: what it did since the process began, and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveLedger {
    /// Events that were archived.
    pub rows: u64,
    /// Copies of events that were archived before.
    pub duplicates: u64,
    /// Flushes that failed and were tried again.
    pub failures: u64,
    /// Files that were merged into others.
    pub merged: u64,
    /// The files that it holds.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the last flush was done.
    pub flushed_at: Option<Timestamp>,
    /// Since when the oldest event that is not archived waits.
    pub waits_since: Option<Instant>,
}

/// How the table of a batch view stands: what was synced since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableLedger {
    /// Syncs that are whole.
    pub syncs: u64,
    /// Syncs that failed.
    pub failures: u64,
    /// Rows of those that are whole.
    pub rows: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// Entities that were deleted, by a row or because they left the table.
    pub deleted: u64,
    /// When the last whole sync began, be it before the process did.
    pub synced_at: Option<Timestamp>,
}

/// How many delays are remembered.
const DELAYS: usize = 1024;

impl Ledger {
    /// An empty one for these sources.
    #[must_use]
    pub fn new(sources: &[Arc<Source>]) -> Ledger {
        let names = sources.iter();
        Ledger {
            names: names
                .map(|source| (source.id, source.name.clone()))
                .collect(),
            ..Ledger::default()
        }
    }

    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = self.locked().clone();
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for (source, outcomes) in lanes.values().flat_map(|ledger| &ledger.0) {
            // A source that is not defined any more has no name left.
            let Some(name) = self.names.get(source) else {
                continue;
            };
            let ledger = counts.sources.entry(name.clone()).or_default();
            for (outcome, count) in outcomes {
                *ledger.outcomes.entry(outcome.to_string()).or_default() += count;
            }
        }
        counts
    }

    /// What became of the events of a past that is being taken in, by name.
    pub(super) fn outcomes(&self, past: SourceId) -> BTreeMap<String, u64> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
        for counts in lanes.values().filter_map(|ledger| ledger.0.get(&past)) {
            for (name, count) in counts {
                *outcomes.entry(name.to_string()).or_default() += count;
            }
        }
        outcomes
    }

    pub(super) fn took(&self, source: &str, views: &[(usize, String)], taken: &IntakeCounts) {
        let mut counts = self.locked();
        let ledger = counts.sources.entry(source.to_owned()).or_default();
        ledger.kept_failing += taken.kept_failing;
        for (place, name) in views {
            let of = |by: &BTreeMap<usize, u64>| by.get(place).copied().unwrap_or_default();
            let ledger = counts.views.entry(name.clone()).or_default();
            ledger.filtered += of(&taken.filtered);
            ledger.null_key += of(&taken.null_key);
            ledger.failed += of(&taken.failed);
        }
    }

    /// Notes how far the clocks of a source's partitions have come.
    pub(super) fn clocks(&self, source: &str, clocks: impl Iterator<Item = (u32, Timestamp)>) {
        let mut counts = self.locked();
        let ledger = counts.sources.entry(source.to_owned()).or_default();
        for (partition, clock) in clocks.filter(|(_, clock)| *clock > Timestamp::MIN) {
            let held = ledger.clocks.entry(partition).or_insert(clock);
            *held = clock.max(*held);
        }
    }

    /// Counts records of a view's values that its topic keeps.
    pub(super) fn told(&self, view: &str, records: u64) {
        self.feed(view, |feed| feed.sent += records);
    }

    /// Counts records of a view's values that could not be written and are tried again.
    pub(super) fn not_told(&self, view: &str, records: u64) {
        self.feed(view, |feed| feed.failed += records);
    }

    /// Counts a record that is larger than its topic takes.
    pub(super) fn too_large(&self, view: &str) {
        self.feed(view, |feed| feed.too_large += 1);
    }

    /// Notes how a view's topic stands with a lane.
    pub(super) fn feed_stands(&self, lane: &str, view: &str, standing: FeedStanding) {
        self.feed(view, |feed| {
            feed.standing.insert(lane.to_owned(), standing);
        });
    }

    fn feed(&self, view: &str, note: impl FnOnce(&mut FeedLedger)) {
        let mut counts = self.locked();
        note(counts.feeds.entry(view.to_owned()).or_default());
    }

    pub(super) fn applied(&self, names: &[String], applied: &Applied) {
        let mut counts = self.locked();
        for (place, count) in &applied.views {
            let ledger = counts.views.entry(names[*place].clone()).or_default();
            ledger.applied += count.applied;
            ledger.duplicate += count.duplicate;
            ledger.conflict += count.conflict;
            ledger.too_late_idle += count.too_late_idle;
            ledger.unmatched_retraction += count.unmatched_retraction;
            ledger.settled += count.settled;
        }
    }

    /// Notes how a lane stands: rows owed and held, commits since last time, its ledger.
    pub(super) fn lane(
        &self,
        lane: &str,
        owing: usize,
        held: usize,
        commits: u64,
        ledger: tiderace_types::Ledger,
    ) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.insert(lane.to_owned(), ledger);
        let mut counts = self.locked();
        counts.owing.insert(lane.to_owned(), owing);
        counts.held.insert(lane.to_owned(), held);
        counts.commits += commits;
    }

    pub(super) fn published(&self, rows: usize, delay: Option<i64>) {
        let mut counts = self.locked();
        counts.published += rows as u64;
        if let Some(delay) = delay {
            if counts.publish_delays.len() >= DELAYS {
                counts.publish_delays.drain(..DELAYS / 2);
            }
            counts.publish_delays.push(delay);
        }
    }

    /// Notes that a source's topic did not have what should have come next.
    pub(super) fn lost(&self, source: &str, missing: u64) {
        let mut counts = self.locked();
        let ledger = counts.sources.entry(source.to_owned()).or_default();
        ledger.losses += 1;
        ledger.lost += missing;
    }

    /// Notes how far the reading of a log is behind its end.
    pub(super) fn lags(&self, source: &str, topic: &str, lag: Lag) {
        let mut counts = self.locked();
        let ledger = counts.sources.entry(source.to_owned()).or_default();
        let at = Instant::now();
        ledger.lags.insert(topic.to_owned(), Seen { lag, at });
    }

    /// Notes that a source is read no further.
    pub(super) fn stopped(&self, source: &str) {
        let mut counts = self.locked();
        let ledger = counts.sources.entry(source.to_owned()).or_default();
        ledger.stopped = true;
    }

    /// Counts what became of events that went to an archive.
    pub(super) fn archived(&self, source: &str, flushed: Flushed, at: Timestamp) {
        self.archive(source, |archive| {
            archive.rows += flushed.rows;
            archive.duplicates += flushed.duplicates;
            archive.flushed_at = Some(at);
        });
    }

    /// Counts a flush that failed and is tried again.
    pub(super) fn not_archived(&self, source: &str) {
        self.archive(source, |archive| archive.failures += 1);
    }

    /// Counts files that were merged.
    pub(super) fn merged(&self, source: &str, files: usize) {
        self.archive(source, |archive| archive.merged += files as u64);
    }

    /// Notes what an archive holds.
    pub(super) fn archive_holds(&self, source: &str, files: usize, bytes: u64) {
        self.archive(source, |archive| {
            archive.files = files as u64;
            archive.bytes = bytes;
        });
    }

    /// Notes that an event waits to be archived since `since`, if none waits for longer.
    pub(super) fn archive_waits(&self, source: &str, since: Instant) {
        self.archive(source, |archive| {
            archive.waits_since.get_or_insert(since);
        });
    }

    /// Notes since when the oldest event waits.
    pub(super) fn archive_waited(&self, source: &str, since: Option<Instant>) {
        self.archive(source, |archive| archive.waits_since = since);
    }

    fn archive(&self, source: &str, note: impl FnOnce(&mut ArchiveLedger)) {
        let mut counts = self.locked();
        note(counts.archives.entry(source.to_owned()).or_default());
    }

    /// Counts a sync that is whole.
    pub(super) fn synced(&self, view: &str, counts: &SyncCounts, at: Timestamp) {
        self.table(view, |table| {
            table.syncs += 1;
            table.rows += counts.rows;
            table.refused += counts.refused;
            table.deleted += counts.deleting + counts.left;
            table.synced_at = Some(at);
        });
    }

    /// Counts a sync that failed.
    pub(super) fn not_synced(&self, view: &str) {
        self.table(view, |table| table.failures += 1);
    }

    /// Notes when a view was synced last.
    pub(super) fn was_synced(&self, view: &str, at: Option<Timestamp>) {
        self.table(view, |table| table.synced_at = at);
    }

    fn table(&self, view: &str, note: impl FnOnce(&mut TableLedger)) {
        let mut counts = self.locked();
        note(counts.tables.entry(view.to_owned()).or_default());
    }

    pub(super) fn swept(&self, blocks: u64, bytes: u64) {
        let mut counts = self.locked();
        counts.blocks_swept += blocks;
        counts.bytes_swept += bytes;
    }

    pub(super) fn republication(&self) {
        self.locked().republications += 1;
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

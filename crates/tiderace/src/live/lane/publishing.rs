//! The publishing side of a lane's thread: drains, markers, and healing.
//!
//! At most one order is with the publisher; the next is made when it has answered, from what is
//! owed by then. Under load that alone makes the batches; at rest the deadline spaces them.

use super::{Worker, meta, numbered};
use crate::live::clock::now;
use crate::live::coverage::Coverage;
use crate::live::publisher::{Mark, Order, Reply};
use anyhow::{Context, Result, anyhow};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiderace_engine::{Blocks, Publication, Stored};
use tiderace_online::{Loss, Lost, Marked, Part, RowWrite};
use tiderace_state::{Block, Store};
use tiderace_trace::Kind as Of;
use tiderace_types::{RowKey, ShardRange, Timestamp, Version, ViewId};

/// Rows in one order to the publisher.
const CHUNK: usize = 1024;

/// How many bytes of rows make an order full.
const CHUNK_BYTES: usize = 4 << 20;

/// How often a marker is written when nothing else happens.
const MARKING: Duration = Duration::from_millis(100);

/// Rows that parts of the store lack, on their way there. Until they are, an opening marker stands in parts
/// that have lost rows, which speaks for no view: nothing is answered from them, and a
/// restart midway begins again. Views of which it is not known what the store has, such as those that mean
/// something else since a marker was written, are left out of every marker until all their rows are there.
pub(super) struct Healing {
    /// The views that no marker speaks for yet, of which every stored row is published again.
    views: BTreeSet<ViewId>,
    /// The parts that get no marker yet.
    parts: Vec<Part>,
    /// The parts of which every stored row is published again.
    whole: Vec<Part>,
    /// Whether other parts stand meanwhile.
    standing: bool,
    /// The scan of the stored rows, until it is over.
    scan: Option<Scan>,
    /// The drain that takes the last of what else is owed.
    drain: u64,
    rows: usize,
    since: Instant,
    /// Takes turns with live publications.
    turn: bool,
}

/// The place in a scan of the stored rows.
#[derive(Default)]
struct Scan {
    /// The views that are scanned, or what is left of them; `None` for all that there are.
    views: Option<Vec<ViewId>>,
    after: Option<RowKey>,
    /// What has been read ahead of the publisher, and whether it is the last.
    ready: Option<(Vec<RowWrite>, bool)>,
    /// Whether the publisher's present order is of the scan, and whether it is the last one.
    out: Option<bool>,
}

impl Healing {
    /// Of a lane that begins beside markers which do not speak for `views`.
    pub(super) fn of_views(views: BTreeSet<ViewId>, drain: u64) -> Healing {
        let scan = Scan {
            views: Some(views.iter().copied().collect()),
            ..Scan::default()
        };
        Healing {
            views,
            scan: Some(scan),
            ..Healing::none(drain)
        }
    }

    fn none(drain: u64) -> Healing {
        Healing {
            views: BTreeSet::new(),
            parts: Vec::new(),
            whole: Vec::new(),
            standing: true,
            scan: None,
            drain,
            rows: 0,
            since: Instant::now(),
            turn: true,
        }
    }
}

impl Scan {
    /// Reads up to `limit` rows more: of the view that it is at, or of all.
    fn next(
        &self,
        state: &Store,
        shards: ShardRange,
        coverage: &Coverage,
        limit: usize,
    ) -> Result<Vec<(RowKey, Vec<Block>)>, tiderace_state::Error> {
        let after = self.after.as_ref();
        match self.views.as_ref().map(|views| views.last()) {
            None => state.scan(shards, after, limit),
            Some(Some(view)) => {
                state.scan_view(shards, (*view, coverage.generation(*view)), after, limit)
            }
            Some(None) => Ok(Vec::new()),
        }
    }

    /// Goes on to the next view, where there is no more of this one. Tells whether there is none.
    fn is_past_last(&mut self) -> bool {
        let Some(views) = &mut self.views else {
            return true;
        };
        views.pop();
        self.after = None;
        views.is_empty()
    }
}

impl Worker {
    /// When what is owed is to be published: a deadline after the last drain began, so that a
    /// change after a pause shows at once, and no change waits longer than the deadline.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        let since = self.lane.owing_since()?;
        let deadline = self.plan.project.publish_deadline;
        Some(since.min(self.drained_at).plus(deadline))
    }

    /// Gives the publisher its next order, if there is one.
    pub(super) fn publish(&mut self) -> Result<()> {
        if self.hold.is_some() {
            return Ok(());
        }
        let due = self.due_at().is_some_and(|at| now() >= at);
        let elapsed = self.marked_at.elapsed() >= MARKING;
        // What the store lacks is to be known before anything is published.
        if !self.opened {
            return if elapsed { self.mark() } else { Ok(()) };
        }
        self.heal();
        let standing = self.healing.as_ref().is_none_or(|healing| healing.standing);
        let marking = standing && !self.lane.draining();
        // Rows of what comes behind a loss are not published under a marker that knows of none.
        let uncovered = self.covered != self.coverage.changes();
        if marking && (elapsed || uncovered || due && self.lane.must_mark()) {
            return self.mark();
        }
        if let Some(healing) = &mut self.healing
            && healing.scan.is_some()
            && (std::mem::replace(&mut healing.turn, false) || !due)
        {
            return self.scan_on();
        }
        if due {
            if let Some(healing) = &mut self.healing {
                healing.turn = true;
            }
            return self.publish_chunk();
        }
        Ok(())
    }

    /// Ends the healing when every row is there.
    fn heal(&mut self) {
        let healed = self
            .healing
            .take_if(|healing| healing.scan.is_none() && self.lane.has_drained(healing.drain));
        if let Some(healed) = healed {
            let seconds = healed.since.elapsed().as_secs_f64();
            let (parts, views, rows) = (healed.parts.len(), healed.views.len(), healed.rows);
            tracing::info!(
                shards = %self.lane.shards,
                parts,
                views,
                rows,
                seconds,
                "what the online store lacked is published"
            );
            // The next marker may speak for them.
            self.marked_at = Instant::now() - MARKING;
        }
    }

    /// Publishes the next of what is owed.
    pub(super) fn publish_chunk(&mut self) -> Result<()> {
        let since = self.lane.owing_since().unwrap_or(Timestamp::MIN);
        let chunk = self.lane.chunk(now(), CHUNK);
        let mut rows: Vec<_> = chunk.rows.into_iter().map(row_write).collect();
        let blocks = self.load(&chunk.stored)?;
        for (key, blocks) in chunk.stored.iter().zip(blocks) {
            rows.extend(self.publish_stored(key, &blocks)?);
        }
        if self.drain_since.is_none() {
            self.drain_since = Some(since);
            self.drained_at = now();
        }
        self.last = chunk.last;
        self.sent = rows.len();
        let traced = self.unpublished.take();
        self.publishing = self.wires.tracer.go_on("publish", Of::Client, traced);
        self.publishing.note("tiderace.rows", rows.len());
        self.order(Order::Rows(rows))
    }

    /// Makes the publication of a row that is not held; a dense one is anchored first.
    fn publish_stored(&mut self, key: &RowKey, blocks: &Blocks) -> Result<Option<RowWrite>> {
        for _ in 0..2 {
            match self.lane.publish_stored(key, blocks, now())? {
                Stored::Nothing => return Ok(None),
                Stored::Row(publication) => return Ok(Some(row_write(publication))),
                Stored::Dense => {
                    let at = now();
                    self.lane.take_key(key, at);
                    self.anchor(at)?;
                }
            }
        }
        Err(anyhow!("a row stays unready when it is anchored"))
    }

    /// Says how far the published rows go.
    pub(super) fn mark(&mut self) -> Result<()> {
        self.covered = self.coverage.changes();
        self.marked_at = Instant::now();
        let coverage = Arc::clone(&self.coverage);
        let incarnation = rand::random();
        let mut marker = self
            .lane
            .marker(now(), incarnation, |view| coverage.of(view));
        let opening = self.lane.opening(now(), incarnation);
        let healing = self.healing.as_ref();
        if let Some(healing) = healing {
            let unsaid = &healing.views;
            marker.views.retain(|said| !unsaid.contains(&said.view));
        }
        let healing = healing.map(|healing| healing.parts.clone());
        self.order(Order::Mark(Box::new(Mark {
            marker,
            opening,
            healing: healing.unwrap_or_default(),
        })))
    }

    pub(super) fn order(&mut self, order: Order) -> Result<()> {
        self.busy = true;
        let sent = self.wires.to_publisher.try_send(order);
        sent.map_err(|_| anyhow!("the publisher is gone"))
    }

    /// Publishes the next stretch of the stored rows.
    fn scan_on(&mut self) -> Result<()> {
        self.read_ahead()?;
        let Some(scan) = self.healing.as_mut().and_then(|h| h.scan.as_mut()) else {
            return Ok(());
        };
        let Some((rows, end)) = scan.ready.take() else {
            return Ok(());
        };
        scan.out = Some(end);
        self.order(Order::Rows(rows))
    }

    /// Reads the next stretch of the stored rows, while the publisher is at the last.
    pub(super) fn read_ahead(&mut self) -> Result<()> {
        let Some(mut healing) = self.healing.take() else {
            return Ok(());
        };
        let (views, whole) = (&healing.views, &healing.whole);
        let lacks = |key: &RowKey| {
            views.contains(&key.view) || whole.iter().any(|part| part.holds(&key.entity))
        };
        if let Some(scan) = &mut healing.scan
            && scan.ready.is_none()
            && scan.out != Some(true)
        {
            let mut rows = Vec::with_capacity(CHUNK);
            let (mut bytes, mut end) = (0, false);
            'full: while rows.len() < CHUNK && !end {
                let limit = (CHUNK - rows.len()).max(CHUNK / 4);
                let found = scan.next(&self.state, self.lane.shards, &self.coverage, limit);
                let found = found.context("scan state")?;
                let count = found.len();
                for (key, blocks) in found {
                    if lacks(&key) {
                        let row = self.publish_stored(&key, &numbered(blocks))?;
                        bytes += row.as_ref().map_or(0, |row| row.value.len());
                        rows.extend(row);
                    }
                    scan.after = Some(key);
                    if bytes >= CHUNK_BYTES {
                        break 'full;
                    }
                }
                end = count < limit && scan.is_past_last();
            }
            healing.rows += rows.len();
            scan.ready = Some((rows, end));
        }
        self.healing = Some(healing);
        Ok(())
    }

    pub(super) fn hear(&mut self, reply: Reply) -> Result<()> {
        self.busy = false;
        let mut published = std::mem::take(&mut self.publishing);
        if matches!(reply, Reply::GaveUp) {
            published.fail("UNAVAILABLE");
        }
        drop(published);
        match reply {
            Reply::RowsThere => {
                let healing = self.healing.as_mut();
                let scan = healing.and_then(|healing| healing.scan.as_mut());
                if let Some(end) = scan.and_then(|scan| scan.out.take()) {
                    if end && let Some(healing) = &mut self.healing {
                        healing.scan = None;
                    }
                } else {
                    let mut delay = None;
                    if std::mem::take(&mut self.last) {
                        self.lane.drained();
                        let since = self
                            .drain_since
                            .take()
                            .filter(|since| *since != Timestamp::MIN);
                        delay = since.map(|since| now().since(since).0);
                    }
                    self.ledger.published(std::mem::take(&mut self.sent), delay);
                }
            }
            Reply::Marked(
                Marked::Written {
                    lost,
                    standing,
                    everywhere,
                },
                mark,
            ) => {
                self.opened |= everywhere;
                if everywhere && standing {
                    self.lane.marked();
                    self.published = mark.marker.positions.clone();
                    self.stand();
                }
                if everywhere {
                    let said = if standing {
                        &mark.marker
                    } else {
                        &mark.opening
                    };
                    let version = said.version;
                    self.note(version);
                }
                if !lost.is_empty() {
                    self.lost(lost, standing);
                }
            }
            Reply::Marked(Marked::Fenced { found }, mark) => {
                return Err(anyhow!(
                    "another process has published version {found} for shards {} over {}: this one stops",
                    self.lane.shards,
                    mark.marker.version
                ));
            }
            Reply::MarkerFailed => {}
            Reply::GaveUp => {
                tracing::warn!(shards = %self.lane.shards, "the online store is away; what it is owed waits in state");
            }
        }
        Ok(())
    }

    /// Notes the marker's version. A note that cannot be stored now comes with the next marker;
    /// until then a start would take the older one for the last, which is as well.
    fn note(&mut self, version: Version) {
        let noted = self.state.note_meta(&meta(&self.lane), &version.to_bytes());
        if let Err(error) = &noted
            && !self.note_failed
        {
            tracing::warn!(shards = %self.lane.shards, %error, "the marker's version cannot be noted");
        }
        self.note_failed = noted.is_err();
    }

    /// Begins to heal parts that have lost rows; those that are being healed stay.
    fn lost(&mut self, lost: Vec<Loss>, standing: bool) {
        let parts: Vec<Part> = lost.iter().map(|loss| loss.part).collect();
        let (mut whole, mut owed) = (Vec::new(), Vec::new());
        for loss in lost {
            match loss.rows {
                Lost::All => whole.push(loss.part),
                Lost::These(rows) => owed.extend(rows),
            }
        }
        tracing::info!(
            shards = %self.lane.shards,
            parts = parts.len(),
            whole = whole.len(),
            rows = owed.len(),
            "publishing again what the online store has lost"
        );
        self.ledger.republication();
        // Of rows that stay, what was promised of their expiry still holds.
        if !standing && whole.len() == parts.len() {
            self.lane.forget_claims();
            self.lane.forget_promises();
        }
        let holds = |entity: &[u8]| whole.iter().any(|part| part.holds(entity));
        self.lane.owe_held(now(), holds);
        let count = owed.len();
        self.lane.owe(owed);
        self.begin_healing(parts, whole, standing, count);
    }

    /// Publishes every row again, for a lane that has lost count of what it owes. The marker that
    /// stands holds, and grows old meanwhile.
    pub(super) fn republish(&mut self, why: &str) {
        tracing::info!(shards = %self.lane.shards, why, "publishing every row");
        self.ledger.republication();
        self.lane.forget_claims();
        self.lane.owe_held(now(), |_| true);
        self.begin_healing(vec![Part::WHOLE], vec![Part::WHOLE], false, 0);
    }

    fn begin_healing(&mut self, parts: Vec<Part>, whole: Vec<Part>, standing: bool, rows: usize) {
        let earlier = self.healing.take();
        let drain = self.lane.next_drain();
        let mut healing = earlier.unwrap_or_else(|| Healing::none(drain));
        healing.parts.extend(parts);
        healing.standing &= standing;
        healing.drain = drain;
        healing.rows += rows;
        if !whole.is_empty() {
            healing.whole.extend(whole);
            // Rows that were read ahead go before the beginning: each is read again after it.
            let ready = healing.scan.take().and_then(|scan| scan.ready);
            healing.scan = Some(Scan {
                ready: ready.map(|(rows, _)| (rows, false)),
                ..Scan::default()
            });
        }
        self.healing = Some(healing);
    }
}

fn row_write(publication: Publication) -> RowWrite {
    RowWrite {
        key: publication.key,
        value: publication.value.into(),
        ttl: publication.ttl,
    }
}

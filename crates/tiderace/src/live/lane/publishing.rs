//! The publishing side of a lane's thread: drains, markers, full republications.
//!
//! At most one order is with the publisher; the next is made when it has answered, from what is
//! owed by then. Under load that alone makes the batches; at rest the deadline spaces them.

use super::{Worker, meta, numbered};
use crate::live::clock::now;
use crate::live::publisher::{Order, Reply};
use anyhow::{Context, Result, anyhow};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiderace_engine::{Blocks, Publication, Stored};
use tiderace_online::{MarkerWrite, RowWrite};
use tiderace_types::{RowKey, Timestamp, Version};

/// Rows in one order to the publisher.
const CHUNK: usize = 1024;

/// How often a marker is written when nothing else happens.
const MARKING: Duration = Duration::from_millis(100);

/// A full republication under way: the last row scanned.
pub(super) struct Scan {
    after: Option<RowKey>,
    rows: usize,
    since: Instant,
    /// Whether the publisher's present order is of the scan, and whether it is the last one.
    out: Option<bool>,
    /// Takes turns with live publications.
    turn: bool,
    /// Whether the opening marker is in the store.
    opened: bool,
}

impl Worker {
    /// Whether rows may be published: not before a full republication is announced.
    pub(super) fn opened(&self) -> bool {
        self.scan.as_ref().is_none_or(|scan| scan.opened)
    }

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
        if !self.opened() {
            if self.marked_at.elapsed() >= MARKING {
                self.marked_at = Instant::now();
                let marker = self.lane.opening(now(), self.incarnation);
                return self.order(Order::Marker(Box::new(marker), self.marked));
            }
            return Ok(());
        }
        let marking = self.scan.is_none() && !self.lane.draining();
        let elapsed = self.marked_at.elapsed() >= MARKING;
        if marking && (elapsed || due && self.lane.must_mark()) {
            return self.mark();
        }
        if self
            .scan
            .as_mut()
            .is_some_and(|scan| std::mem::replace(&mut scan.turn, false) || !due)
        {
            return self.scan_on();
        }
        if due {
            if let Some(scan) = &mut self.scan {
                scan.turn = true;
            }
            return self.publish_chunk();
        }
        Ok(())
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
        self.marked_at = Instant::now();
        let coverage = Arc::clone(&self.coverage);
        let marker = self
            .lane
            .marker(now(), self.incarnation, |view| coverage.of(view));
        self.order(Order::Marker(Box::new(marker), self.marked))
    }

    pub(super) fn order(&mut self, order: Order) -> Result<()> {
        self.busy = true;
        let sent = self.wires.to_publisher.try_send(order);
        sent.map_err(|_| anyhow!("the publisher is gone"))
    }

    /// The next stretch of a full republication.
    pub(super) fn scan_on(&mut self) -> Result<()> {
        let Some(mut scan) = self.scan.take() else {
            return Ok(());
        };
        let found = self
            .state
            .scan(self.lane.shards, scan.after.as_ref(), CHUNK);
        let found = found.context("scan state")?;
        let end = found.len() < CHUNK;
        let mut rows = Vec::with_capacity(found.len());
        for (key, blocks) in found {
            let blocks = numbered(blocks);
            rows.extend(self.publish_stored(&key, &blocks)?);
            scan.after = Some(key);
        }
        scan.rows += rows.len();
        scan.out = Some(end);
        self.scan = Some(scan);
        self.order(Order::Rows(rows))
    }

    pub(super) fn hear(&mut self, reply: Reply) -> Result<()> {
        self.busy = false;
        match reply {
            Reply::RowsThere => {
                if let Some(end) = self.scan.as_mut().and_then(|scan| scan.out.take()) {
                    if end && let Some(scan) = self.scan.take() {
                        let seconds = scan.since.elapsed().as_secs_f64();
                        tracing::info!(
                            shards = %self.lane.shards,
                            rows = scan.rows,
                            seconds,
                            "every row is published again"
                        );
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
            Reply::Marker(MarkerWrite::Written, version) => {
                self.marked = Some(version);
                match &mut self.scan {
                    Some(scan) => scan.opened = true,
                    None => self.lane.marked(),
                }
                self.note(version);
            }
            // An attempt that timed out may have been written after all.
            Reply::Marker(MarkerWrite::Lost { found }, _)
                if found.is_some() && found == self.in_doubt =>
            {
                self.marked = found;
            }
            Reply::Marker(MarkerWrite::Lost { found }, _) => {
                tracing::warn!(shards = %self.lane.shards, ?found, "the online store has lost rows");
                self.republish("the store is not as this lane left it");
            }
            Reply::Marker(MarkerWrite::Fenced { found }, version) => {
                return Err(anyhow!(
                    "another process has published version {found} for shards {} over {version}: this one stops",
                    self.lane.shards
                ));
            }
            Reply::MarkerFailed(version) => self.in_doubt = Some(version),
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

    /// Begins to publish every row again. An opening marker, which speaks for no view, comes
    /// first: while it stands nothing is answered, a restart midway begins again, and a
    /// store that is lost once more is noticed.
    pub(super) fn republish(&mut self, why: &str) {
        tracing::info!(shards = %self.lane.shards, why, "publishing every row");
        self.ledger.republication();
        self.incarnation = rand::random();
        self.marked = None;
        self.lane.owe_held(now());
        self.scan = Some(Scan {
            after: None,
            rows: 0,
            since: Instant::now(),
            out: None,
            turn: true,
            opened: false,
        });
    }
}

fn row_write(publication: Publication) -> RowWrite {
    RowWrite {
        key: publication.key,
        value: publication.value.into(),
        ttl: publication.ttl,
    }
}

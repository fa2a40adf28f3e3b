//! One lane's thread: drives the pure lane, commits by interval, publishes by deadline.

use super::clock::now;
use super::coverage::Coverage;
use super::ledger::Ledger;
use super::publisher::{Order, Reply};
use anyhow::{Context, Result, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, select};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_engine::{Lane, Packet, Publication, Sample};
use tiderace_online::{MarkerWrite, RowWrite};
use tiderace_plan::Plan;
use tiderace_source::DeadLetters;
use tiderace_state::Store;
use tiderace_types::{DeadLetter, Marker, Positions, RowKey, SourceId, Timestamp, Version};
use tokio::sync::mpsc::Sender;

/// What an intake tells a lane.
pub enum Message {
    /// The next events of a source.
    Packet(Arc<Packet>),
    /// A source's high watermarks.
    Sample(SourceId, Sample),
}

/// A lane's channels.
pub struct Wires {
    pub packets: Receiver<Message>,
    pub to_publisher: Sender<Order>,
    pub from_publisher: Receiver<Reply>,
    pub stop: Arc<AtomicBool>,
}

/// Rows in one order to the publisher.
const CHUNK: usize = 1024;

/// How often a marker is written when nothing else happens.
const MARKING: Duration = Duration::from_millis(100);

/// A row's stored blocks with their numbers.
type Blocks = Vec<(u64, Vec<u8>)>;

/// Rows owed beyond which it is cheaper to publish all that are stored.
const OWED: usize = 2_000_000;

pub struct Worker {
    lane: Lane,
    plan: Arc<Plan>,
    state: Store,
    coverage: Arc<Coverage>,
    ledger: Arc<Ledger>,
    wires: Wires,
    dead_letters: BTreeMap<SourceId, DeadLetters>,
    names: Vec<String>,
    /// Positions that the store already serves: nothing is published before they are passed.
    hold: Option<Positions>,
    incarnation: u64,
    /// The marker that this lane wrote last.
    marked: Option<Version>,
    /// The marker whose writing failed without saying whether it is there.
    in_doubt: Option<Version>,
    marked_at: Instant,
    /// Whether the publisher has an order.
    busy: bool,
    /// Whether the chunk with the publisher ends its drain.
    last: bool,
    /// How many rows that chunk has.
    sent: usize,
    /// Since when the oldest row of the present drain was owed.
    drain_since: Option<Timestamp>,
    /// When the last drain began.
    drained_at: Timestamp,
    /// The place in the scan of a full republication.
    scan: Option<Scan>,
    committed_at: Instant,
    committed: Positions,
    commits: u64,
}

/// A full republication under way: the last row scanned.
struct Scan {
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
    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where a lane's parts meet"
    )]
    pub fn new(
        mut lane: Lane,
        plan: Arc<Plan>,
        state: Store,
        markers: Vec<Marker>,
        coverage: Arc<Coverage>,
        ledger: Arc<Ledger>,
        wires: Wires,
        dead_letters: BTreeMap<SourceId, DeadLetters>,
    ) -> Result<Worker> {
        let known = state.get_meta(&meta(&lane))?.and_then(|bytes| {
            let bytes: [u8; 16] = bytes.try_into().ok()?;
            Some(Version::from_bytes(bytes))
        });
        let trusted = trusted(&lane, &plan, &coverage, &markers, known);
        let owed = state.outbox(lane.shards).context("read the outbox")?;
        lane.owe(owed.into_iter().flat_map(|(_, keys)| keys));
        let mut hold = None;
        for marker in trusted.iter().flatten() {
            for view in &marker.views {
                lane.inherit_lag(view.view, view.least_lag);
            }
            hold = Some(marker.positions.clone());
        }
        // After an end in good order it is passed already, and no packet may ever come to tell.
        hold = hold.filter(|hold| !lane.positions().covers(hold));
        let incarnation = match trusted.iter().flatten().next() {
            Some(marker) => marker.incarnation,
            None => rand::random(),
        };
        let committed = lane.positions().clone();
        let names = plan.views.iter().map(|view| view.name.clone()).collect();
        let mut worker = Worker {
            lane,
            plan,
            state,
            coverage,
            ledger,
            wires,
            dead_letters,
            names,
            hold,
            incarnation,
            marked: trusted.iter().flatten().next().map(|m| m.version),
            in_doubt: None,
            marked_at: Instant::now(),
            busy: false,
            last: false,
            sent: 0,
            drain_since: None,
            drained_at: Timestamp::MIN,
            scan: None,
            committed_at: Instant::now(),
            committed,
            commits: 0,
        };
        if trusted.is_none() {
            worker.republish("the store has no marker of this state");
        }
        Ok(worker)
    }

    /// Runs until every intake has hung up, then commits and publishes what is left.
    pub fn run(mut self) -> Result<()> {
        let result = self.work();
        if let Err(error) = &result {
            tracing::error!(shards = %self.lane.shards, error = format!("{error:#}"), "the lane stops");
        }
        result
    }

    fn work(&mut self) -> Result<()> {
        loop {
            let wait = self.patience();
            let (packets, replies) = (
                self.wires.packets.clone(),
                self.wires.from_publisher.clone(),
            );
            select! {
                recv(packets) -> message => match message {
                    Ok(Message::Packet(packet)) => self.take(&packet)?,
                    Ok(Message::Sample(source, sample)) => self.lane.sample(source, sample),
                    Err(_) => break,
                },
                recv(replies) -> reply => self.hear(reply.map_err(|_| anyhow!("the publisher is gone"))?)?,
                default(wait) => {}
            }
            self.maintain()?;
        }
        self.part()
    }

    /// Whether rows may be published: not before a full republication is announced.
    fn opened(&self) -> bool {
        self.scan.as_ref().is_none_or(|scan| scan.opened)
    }

    /// When what is owed is to be published: a deadline after the last drain began, so that a
    /// change after a pause shows at once, and no change waits longer than the deadline.
    fn due_at(&self) -> Option<Timestamp> {
        let since = self.lane.owing_since()?;
        let deadline = self.plan.project.publish_deadline;
        Some(since.min(self.drained_at).plus(deadline))
    }

    /// How long there is nothing to do but wait.
    fn patience(&self) -> Duration {
        match self.due_at() {
            Some(at) if !self.busy && self.hold.is_none() && self.opened() => {
                let left = at.since(now()).0.clamp(0, 20_000);
                Duration::from_micros(left.unsigned_abs())
            }
            _ => Duration::from_millis(20),
        }
    }

    fn take(&mut self, packet: &Packet) -> Result<()> {
        let missing = self.lane.prepare(packet)?;
        let blocks = self.load(&missing)?;
        self.lane.fill(blocks)?;
        let applied = self.lane.apply(packet, now());
        self.bury(packet.source, &applied.dead)?;
        self.ledger.applied(&self.names, &applied);
        if let Some(hold) = &self.hold
            && self.lane.positions().covers(hold)
        {
            self.hold = None;
        }
        Ok(())
    }

    fn load(&self, keys: &[RowKey]) -> Result<Vec<Blocks>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.state.load(keys).context("read rows from state")?;
        let plain = |blocks: Vec<tiderace_state::Block>| {
            blocks
                .into_iter()
                .map(|block| (block.seq, block.bytes))
                .collect()
        };
        Ok(rows.into_iter().map(plain).collect())
    }

    fn bury(&mut self, source: SourceId, letters: &[DeadLetter]) -> Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        let name = self
            .plan
            .sources
            .iter()
            .find(|s| s.id == source)
            .map_or("", |s| &s.name);
        let writer = self
            .dead_letters
            .get_mut(&source)
            .context("every source has dead letters")?;
        while let Err(error) = writer.write(name, letters) {
            if self.wires.stop.load(Ordering::Acquire) {
                return Err(error).context("write dead letters");
            }
            tracing::warn!(source = name, %error, "dead letters wait; so does the lane");
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Commits when it is time, and gives the publisher work when it has none.
    fn maintain(&mut self) -> Result<()> {
        let interval = self.plan.project.commit_interval.0.unsigned_abs();
        if self.committed_at.elapsed().as_micros() as u64 >= interval {
            self.commit()?;
            if self.lane.owing() > OWED {
                self.lane.forget_owed();
                self.republish("more rows are owed than are worth listing");
            }
        }
        if !self.busy {
            self.publish()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.committed_at = Instant::now();
        if self.lane.uncommitted() || *self.lane.positions() != self.committed {
            let commit = self.lane.commit();
            self.committed = commit.positions.clone();
            let seq = self.state.commit(commit).context("commit to state")?;
            self.lane.committed(seq);
            self.commits += 1;
            let lanes = self.plan.project.lanes.max(1);
            let memory = usize::try_from(self.plan.project.row_memory).unwrap_or(usize::MAX);
            self.lane.evict(memory / lanes);
        }
        let name = self.lane.shards.to_string();
        let commits = std::mem::take(&mut self.commits);
        self.ledger
            .lane(&name, self.lane.owing(), self.lane.rows(), commits);
        Ok(())
    }

    /// Gives the publisher its next order, if there is one.
    fn publish(&mut self) -> Result<()> {
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
        if marking && self.marked_at.elapsed() >= MARKING {
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
    fn publish_chunk(&mut self) -> Result<()> {
        let since = self.lane.owing_since().unwrap_or(Timestamp::MIN);
        let chunk = self.lane.chunk(now(), CHUNK);
        let mut rows: Vec<_> = chunk.rows.into_iter().map(row_write).collect();
        let blocks = self.load(&chunk.stored)?;
        for (key, blocks) in chunk.stored.iter().zip(blocks) {
            rows.extend(
                self.lane
                    .publish_stored(key, &blocks, now())?
                    .map(row_write),
            );
        }
        if self.drain_since.is_none() {
            self.drain_since = Some(since);
            self.drained_at = now();
        }
        self.last = chunk.last;
        self.sent = rows.len();
        self.order(Order::Rows(rows))
    }

    /// Says how far the published rows go.
    fn mark(&mut self) -> Result<()> {
        self.marked_at = Instant::now();
        let coverage = Arc::clone(&self.coverage);
        let marker = self
            .lane
            .marker(now(), self.incarnation, |view| coverage.of(view));
        self.order(Order::Marker(Box::new(marker), self.marked))
    }

    fn order(&mut self, order: Order) -> Result<()> {
        self.busy = true;
        let sent = self.wires.to_publisher.try_send(order);
        sent.map_err(|_| anyhow!("the publisher is gone"))
    }

    /// The next stretch of a full republication.
    fn scan_on(&mut self) -> Result<()> {
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
            let blocks: Vec<_> = blocks
                .into_iter()
                .map(|block| (block.seq, block.bytes))
                .collect();
            rows.extend(
                self.lane
                    .publish_stored(&key, &blocks, now())?
                    .map(row_write),
            );
            scan.after = Some(key);
        }
        scan.rows += rows.len();
        scan.out = Some(end);
        self.scan = Some(scan);
        self.order(Order::Rows(rows))
    }

    fn hear(&mut self, reply: Reply) -> Result<()> {
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
                self.state
                    .note_meta(&meta(&self.lane), &version.to_bytes())?;
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

    /// Begins to publish every row again. An opening marker, which speaks for no view, comes
    /// first: while it stands nothing is answered, a restart midway begins again, and a
    /// store that is lost once more is noticed.
    fn republish(&mut self, why: &str) {
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

    /// The last commit and publications.
    fn part(&mut self) -> Result<()> {
        self.commit()?;
        loop {
            if self.busy {
                match self
                    .wires
                    .from_publisher
                    .recv_timeout(Duration::from_secs(10))
                {
                    Ok(Reply::GaveUp) => return Ok(()),
                    Ok(reply) => self.hear(reply)?,
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                        return Ok(());
                    }
                }
            }
            if self.scan.is_some() || self.hold.is_some() {
                return Ok(());
            }
            if self.lane.owing_since().is_none() {
                break;
            }
            self.publish_chunk()?;
        }
        self.mark()?;
        if let Ok(reply) = self
            .wires
            .from_publisher
            .recv_timeout(Duration::from_secs(5))
        {
            self.hear(reply)?;
        }
        self.commit()
    }
}

/// Where state keeps the version of the marker that was written last.
fn meta(lane: &Lane) -> String {
    format!("marker/{}", lane.shards)
}

/// The markers that speak for all of the lane's shards, if what they say still holds:
/// every view at its generation and definition, and none older than the last one written.
fn trusted(
    lane: &Lane,
    plan: &Plan,
    coverage: &Coverage,
    markers: &[Marker],
    known: Option<Version>,
) -> Option<Vec<Marker>> {
    let known = known?;
    let marker = markers.iter().find(|marker| marker.shards == lane.shards)?;
    // Lanes that were cut otherwise since then have published more, and for less long.
    let superseded = markers
        .iter()
        .any(|other| other.shards.overlaps(lane.shards) && other.version > marker.version);
    let same = plan.views.iter().all(|view| {
        marker.views.iter().any(|said| {
            said.view == view.id
                && said.fingerprint == view.spec.fingerprint
                && said.generation == coverage.generation(view.id)
        })
    });
    (same && !superseded && marker.version >= known).then(|| vec![marker.clone()])
}

fn row_write(publication: Publication) -> RowWrite {
    RowWrite {
        key: publication.key,
        value: publication.value.into(),
        ttl: publication.ttl,
    }
}

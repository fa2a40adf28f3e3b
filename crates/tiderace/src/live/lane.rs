//! One lane's thread: drives the pure lane, commits by interval, publishes by deadline.

mod feeding;
mod publishing;
pub use feeding::{Feeding, resume};
use publishing::Healing;

use super::clock::now;
use super::coverage::Coverage;
use super::feeder;
use super::ledger::Ledger;
use super::loader::{LaneStands, Standings, Told};
use super::publisher::{Order, Reply};
use super::sweeper::Board;
use anyhow::{Context, Result, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, select};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_engine::{Blocks, FeedBounds, Found, Lane, Packet, Sample, TOGETHER, Wants};
use tiderace_online::Part;
use tiderace_plan::Plan;
use tiderace_plan::model::View;
use tiderace_serve::Asking;
use tiderace_source::DeadLetters;
use tiderace_state::Store;
use tiderace_trace::{Context as Trace, Kind as Of, Span, Tracer};
use tiderace_types::{
    Commit, DeadLetter, Marker, Positions, RowKey, ShardRange, SourceId, Timestamp, Version, ViewId,
};
use tokio::sync::mpsc::Sender;

/// What an intake tells a lane.
#[derive(Clone)]
pub enum Message {
    /// The next events of a source, and the span that they are taken in by.
    Packet(Arc<Packet>, Option<Trace>),
    /// A source's high watermarks.
    Sample(SourceId, Sample),
}

/// A question to the owner of a row: the row as of an instant.
pub struct Ask {
    pub key: RowKey,
    pub as_of: Timestamp,
    pub asking: Asking,
    pub reply: tokio::sync::oneshot::Sender<Option<Vec<u8>>>,
}

/// A lane's channels.
pub struct Wires {
    pub asks: Receiver<Ask>,
    pub packets: Receiver<Message>,
    /// Pasts that are taken in beside them.
    pub pasts: Receiver<Told>,
    pub to_publisher: Sender<Order>,
    pub from_publisher: Receiver<Reply>,
    /// The way to the topics of values, where there are any.
    pub feeding: Option<Feeding>,
    pub stop: Arc<AtomicBool>,
    pub board: Arc<Board>,
    pub standings: Arc<Standings>,
    /// What makes spans of what a lane does.
    pub tracer: Tracer,
}

/// How many events are applied at one go, about. More cost less each, but what else a lane does
/// waits for them.
const EVENTS: usize = 32_768;

/// Rows owed beyond which no past is taken in.
const OWED_OF_PAST: usize = OWED / 8;

/// Rows owed beyond which it is cheaper to publish all that are stored.
const OWED: usize = 2_000_000;

/// How long a lane waits before it tries again to store a commit.
const RETRY: Duration = Duration::from_millis(200);

/// How long a stopping lane still tries.
const PARTING: Duration = Duration::from_secs(3);

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
    /// Whether it is known what the store lacks.
    opened: bool,
    /// Whether the store holds markers that this lane goes on from.
    trusts: bool,
    /// How far the rows go that the last marker speaks for which is in every part of the store.
    published: Positions,
    /// Which changes of coverage the last marker knows of.
    covered: u64,
    /// Whether the version of the last marker could not be noted in state.
    note_failed: bool,
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
    /// What the store has lost and is getting again.
    healing: Option<Healing>,
    committed_at: Instant,
    commits: u64,
    /// The last recorded span of events that are not committed, and of those not published.
    uncommitted: Option<Trace>,
    unpublished: Option<Trace>,
    /// The publication that is on its way.
    publishing: Span,
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
        trusted: &[(Part, Trusted<'_>)],
        coverage: Arc<Coverage>,
        ledger: Arc<Ledger>,
        wires: Wires,
        dead_letters: BTreeMap<SourceId, DeadLetters>,
    ) -> Result<Worker> {
        let owed = state.outbox(lane.shards).context("read the outbox")?;
        let owed: Vec<RowKey> = owed.into_iter().flat_map(|(_, keys)| keys).collect();
        if lane.feeds() {
            let memory = usize::try_from(plan.project.row_memory).unwrap_or(usize::MAX);
            let fed = plan.views.iter().filter(|view| view.feed.is_some());
            let memory = memory / plan.project.lanes.max(1) / 8;
            lane.bound_feeds(FeedBounds::within(memory, fed.count()));
            resume(&mut lane, &plan, &state, &owed)?;
        }
        lane.owe(owed);
        let dense = state.dense_rows(lane.shards);
        lane.owe_anchors(dense.context("read the directories")?);
        // The oldest last: rows live as long as any of them says.
        let mut markers: Vec<&Marker> = trusted.iter().map(|(_, trusted)| trusted.marker).collect();
        markers.sort_by_key(|marker| std::cmp::Reverse(marker.version));
        let unsaid: BTreeSet<ViewId> = trusted
            .iter()
            .flat_map(|(_, trusted)| trusted.unsaid.iter().copied())
            .collect();
        for view in markers.iter().flat_map(|marker| &marker.views) {
            if !unsaid.contains(&view.view) {
                lane.inherit_lag(view.view, view.least_lag);
            }
        }
        let healing = (!unsaid.is_empty()).then(|| Healing::of_views(unsaid, lane.next_drain()));
        // After an end in good order it is passed already, and no packet may ever come to tell.
        let hold = markers
            .first()
            // A past that is not wholly taken in is not waited for.
            .map(|marker| marker.positions.of_logs())
            .filter(|hold| !lane.positions().covers(hold));
        let names = plan.views.iter().map(|view| view.name.clone()).collect();
        Ok(Worker {
            lane,
            plan,
            state,
            coverage,
            ledger,
            wires,
            dead_letters,
            names,
            hold,
            opened: false,
            trusts: !trusted.is_empty(),
            published: Positions::default(),
            covered: 0,
            note_failed: false,
            marked_at: Instant::now(),
            busy: false,
            last: false,
            sent: 0,
            drain_since: None,
            drained_at: Timestamp::MIN,
            healing,
            committed_at: Instant::now(),
            commits: 0,
            uncommitted: None,
            unpublished: None,
            publishing: Span::none(),
        })
    }

    /// The lane's shards.
    pub fn shards(&self) -> ShardRange {
        self.lane.shards
    }

    /// Whether what the online store holds is what this lane left there.
    pub fn trusts(&self) -> bool {
        self.trusts
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
        self.account();
        self.stand();
        loop {
            let wait = self.patience();
            let (packets, pasts, replies, asks, fed) = (
                self.packets(),
                self.pasts(),
                self.wires.from_publisher.clone(),
                self.wires.asks.clone(),
                self.feeder_replies(),
            );
            select! {
                recv(packets) -> message => match message {
                    Ok(message) => self.hear_out(message)?,
                    Err(_) => break,
                },
                recv(pasts) -> told => match told {
                    Ok(told) => self.take_past(told)?,
                    Err(_) => self.wires.pasts = crossbeam_channel::never(),
                },
                recv(replies) -> reply => self.hear(reply.map_err(|_| anyhow!("the publisher is gone"))?)?,
                recv(fed) -> reply => {
                    let reply = reply.map_err(|_| anyhow!("the feeder is gone"))?;
                    self.hear_feeder(reply);
                }
                recv(asks) -> ask => match ask {
                    Ok(ask) => self.reply(ask)?,
                    Err(_) => self.wires.asks = crossbeam_channel::never(),
                },
                default(wait) => {}
            }
            self.maintain()?;
        }
        self.part()
    }

    /// Where packets come from: while the topics of values are owed too much, from nowhere.
    fn packets(&self) -> Receiver<Message> {
        match self.lane.feed_is_full() && !self.wires.stop.load(Ordering::Acquire) {
            true => crossbeam_channel::never(),
            false => self.wires.packets.clone(),
        }
    }

    /// Where pasts come from: from nowhere while there is much to publish or to store.
    fn pasts(&self) -> Receiver<Told> {
        let full = self.lane.feed_is_full()
            || self.lane.owing() > OWED_OF_PAST
            || self.lane.unstored() > self.row_memory() / 4;
        match full {
            true => crossbeam_channel::never(),
            false => self.wires.pasts.clone(),
        }
    }

    /// Takes in some of a past.
    fn take_past(&mut self, told: Told) -> Result<()> {
        match told {
            Told::Packet(packet) => self.take(&[&packet])?,
            Told::Store => self.commit_all()?,
            Told::Release(view) => self.lane.release(view),
            Told::Sample(source, sample) => self.lane.sample(source, sample),
            Told::Owe(keys) => {
                let shards = self.lane.shards;
                let own = keys.iter().filter(|key| shards.contains(key.shard()));
                self.lane.owe(own.cloned());
            }
        }
        self.stand();
        Ok(())
    }

    /// Says how far the lane has come with pasts.
    pub fn stand(&self) {
        let stands = LaneStands::of(&self.lane, self.plan.views.len(), &self.published);
        self.wires.standings.note(self.lane.shards, stands);
    }

    fn feeder_replies(&self) -> Receiver<feeder::Reply> {
        let feeding = self.wires.feeding.as_ref();
        feeding.map_or_else(crossbeam_channel::never, |feeding| feeding.replies.clone())
    }

    /// How long there is nothing to do but wait.
    fn patience(&mut self) -> Duration {
        let publishes = !self.busy && self.hold.is_none() && self.opened;
        let published = self.due_at().filter(|_| publishes);
        let next = [published, self.feed_due_at()].into_iter().flatten().min();
        match next {
            Some(at) => {
                let left = at.since(now()).0.clamp(0, 20_000);
                Duration::from_micros(left.unsigned_abs())
            }
            None => Duration::from_millis(20),
        }
    }

    /// Takes a message, and with a packet those that wait behind it.
    fn hear_out(&mut self, message: Message) -> Result<()> {
        let mut packets: Vec<Arc<Packet>> = Vec::new();
        let mut events = 0;
        let mut next = Some(message);
        let mut traced = None;
        while let Some(Message::Packet(packet, trace)) = next {
            traced = traced.or(trace);
            events += packet.times.len();
            packets.push(packet);
            let more = packets.len() < TOGETHER && events < EVENTS;
            next = more.then(|| self.wires.packets.try_recv().ok()).flatten();
        }
        if !packets.is_empty() {
            let mut span = self.wires.tracer.go_on("apply", Of::Internal, traced);
            if span.is_recorded() {
                span.note("tiderace.packets", packets.len());
                span.note("tiderace.events", events);
                (self.uncommitted, self.unpublished) = (traced, traced);
            }
            self.take(&packets.iter().map(|packet| &**packet).collect::<Vec<_>>())?;
        }
        if let Some(Message::Sample(source, sample)) = next {
            self.lane.sample(source, sample);
        }
        Ok(())
    }

    fn take(&mut self, packets: &[&Packet]) -> Result<()> {
        self.lane.prepare(packets)?;
        while let Some(wants) = self.lane.wants(packets) {
            self.fetch(wants)?;
        }
        let applied = self.lane.apply(packets, now());
        let source = |letter: &DeadLetter| letter.meta.partition.source;
        for letters in applied.dead.chunk_by(|a, b| source(a) == source(b)) {
            self.bury(source(&letters[0]), letters)?;
        }
        self.ledger.applied(&self.names, &applied);
        self.account();
        if let Some(hold) = &self.hold
            && self.lane.positions().covers(hold)
        {
            self.hold = None;
        }
        Ok(())
    }

    /// Reads what the lane wants.
    fn fetch(&mut self, wants: Wants) -> Result<()> {
        let segments = match wants.segments.is_empty() {
            true => Vec::new(),
            false => self.state.load_segments(&wants.segments)?,
        };
        let directories = wants
            .directories
            .iter()
            .map(|row| self.state.directory(row));
        let found = Found {
            rows: self.load(&wants.rows)?,
            directories: directories.collect::<Result<_, _>>()?,
            segments: segments.into_iter().map(numbered).collect(),
        };
        Ok(self.lane.fill(found)?)
    }

    /// Answers from state what the published row cannot.
    fn reply(&mut self, ask: Ask) -> Result<()> {
        self.lane.take_reading(&ask.key, ask.as_of);
        while let Some(wants) = self.lane.wants_anchors() {
            self.fetch(wants)?;
        }
        // Who asked may have gone away by now.
        let _ = ask.reply.send(self.lane.read_taken());
        if ask.asking == Asking::Damage {
            tracing::warn!(shards = %self.lane.shards, view = ask.key.view.0, "a published row is damaged; it is published again");
            self.lane.owe([ask.key]);
        }
        Ok(())
    }

    /// Anchors the dense rows that have been taken.
    fn anchor(&mut self, now: Timestamp) -> Result<()> {
        while let Some(wants) = self.lane.wants_anchors() {
            self.fetch(wants)?;
        }
        self.lane.anchor(now);
        Ok(())
    }

    fn load(&self, keys: &[RowKey]) -> Result<Vec<Blocks>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.state.load(keys).context("read rows from state")?;
        Ok(rows.into_iter().map(numbered).collect())
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
        if self.lane.memory() > self.row_memory() {
            self.lane.evict(self.row_memory());
        }
        let interval = self.plan.project.commit_interval.0.unsigned_abs();
        let interval = interval / self.lane.slices().count() as u64;
        // Rows that are not stored cannot go: where they are too much, they are stored sooner.
        let interval = match self.lane.memory() > self.row_memory() {
            true => interval / 16,
            false => interval,
        };
        let due = self.committed_at.elapsed().as_micros() as u64 >= interval;
        // What is in no commit yet takes at most half of what rows may.
        if due || self.lane.unstored() > self.row_memory() / 2 {
            self.commit(self.lane.next_slice())?;
            // A list that takes half of what rows may take would leave them no place.
            if self.lane.owing() > OWED || self.lane.owed_memory() > self.row_memory() / 2 {
                self.lane.forget_owed();
                self.republish("more rows are owed than are worth listing");
            }
        }
        let at = now();
        if self.lane.take_due(at) {
            self.anchor(at)?;
        }
        self.feed()?;
        match self.busy {
            true => self.read_ahead(),
            false => self.publish(),
        }
    }

    fn commit_all(&mut self) -> Result<()> {
        (0..self.lane.slices().count()).try_for_each(|slice| self.commit(slice))
    }

    fn commit(&mut self, slice: usize) -> Result<()> {
        self.committed_at = Instant::now();
        if self.lane.is_stored(slice) {
            self.lane.had_turn(slice);
        } else {
            let commit = self.lane.commit(slice);
            let traced = self.uncommitted.take();
            let mut span = self.wires.tracer.go_on("commit", Of::Client, traced);
            span.note("tiderace.rows", commit.writes.len());
            let seq = self.store(commit)?;
            drop(span);
            self.lane.committed(seq);
            self.commits += 1;
            self.lane.evict(self.row_memory());
        }
        if let Some(clocks) = self.lane.committed_clocks().filter(|_| !self.lane.looks()) {
            self.wires.board.committed(self.lane.shards, clocks);
        }
        self.account();
        self.stand();
        Ok(())
    }

    /// Tells the ledger how the lane stands.
    fn account(&mut self) {
        let commits = std::mem::take(&mut self.commits);
        self.ledger.lane(
            &self.lane.shards.to_string(),
            self.lane.owing(),
            self.lane.rows(),
            commits,
            self.lane.ledger(),
        );
    }

    /// Stores a commit. While the disk has no room the lane waits, and what it reads with it;
    /// readers go on with what is published, and are told how old it is.
    fn store(&mut self, commit: Commit) -> Result<u64> {
        let mut since: Option<Instant> = None;
        let mut parting: Option<Instant> = None;
        let stored = self.state.commit_patiently(commit, |error| {
            if since.is_none() {
                tracing::error!(shards = %self.lane.shards, %error, "a commit cannot be stored; the lane waits and tries again");
            }
            since.get_or_insert_with(Instant::now);
            if self.wires.stop.load(Ordering::Acquire)
                && parting.get_or_insert_with(Instant::now).elapsed() > PARTING
            {
                return false;
            }
            // Who asks meanwhile is told nothing rather than late.
            let until = Instant::now() + RETRY;
            loop {
                match self.wires.asks.recv_deadline(until) {
                    Ok(_) => {}
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => {
                        self.wires.asks = crossbeam_channel::never();
                    }
                }
            }
            true
        });
        if let (Ok(_), Some(since)) = (&stored, since) {
            let seconds = since.elapsed().as_secs_f64();
            tracing::info!(shards = %self.lane.shards, seconds, "commits are stored again");
        }
        stored.context("commit to state")
    }

    /// How many bytes this lane's rows may take.
    fn row_memory(&self) -> usize {
        let memory = usize::try_from(self.plan.project.row_memory).unwrap_or(usize::MAX);
        memory / self.plan.project.lanes.max(1)
    }

    /// The last commit and publications.
    fn part(&mut self) -> Result<()> {
        self.commit_all()?;
        self.part_feeds()?;
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
            if self.healing.is_some() || self.hold.is_some() || !self.opened {
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
        self.commit_all()
    }
}

/// A row's blocks in the words of the engine.
fn numbered(blocks: Vec<tiderace_state::Block>) -> Blocks {
    let numbered = blocks.into_iter().map(|block| (block.seq, block.bytes));
    numbered.collect()
}

/// Where state keeps the version of the marker that was written last.
fn meta(lane: &Lane) -> String {
    format!("marker/{}", lane.shards)
}

/// A marker that a lane goes on from.
#[derive(Debug)]
pub struct Trusted<'a> {
    pub marker: &'a Marker,
    /// The views that it does not speak for as they are now: new ones, and those that mean something else.
    unsaid: Vec<ViewId>,
}

/// The marker that speaks for the lane's shards, if what it says still holds of some view, and it is not older
/// than the last one written.
pub fn trusted<'a>(
    lane: &Lane,
    plan: &Plan,
    coverage: &Coverage,
    markers: &'a [Marker],
    state: &Store,
) -> Result<Option<Trusted<'a>>> {
    let known = state.get_meta(&meta(lane))?;
    let known = known.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let known = known.map(Version::from_bytes);
    Ok(known.and_then(|known| newest(lane, plan, coverage, markers, known)))
}

fn newest<'a>(
    lane: &Lane,
    plan: &Plan,
    coverage: &Coverage,
    markers: &'a [Marker],
    known: Version,
) -> Option<Trusted<'a>> {
    let marker = markers.iter().find(|marker| marker.shards == lane.shards)?;
    // Lanes that were cut otherwise since then have published more, and for less long.
    let superseded = markers
        .iter()
        .any(|other| other.shards.overlaps(lane.shards) && other.version > marker.version);
    let is_said = |view: &View| {
        marker.views.iter().any(|said| {
            said.view == view.id
                && said.fingerprint == view.spec.fingerprint
                && said.generation == coverage.generation(view.id)
        })
    };
    let (said, unsaid): (Vec<_>, Vec<_>) = plan.views.iter().partition(|view| is_said(view));
    let holds = !said.is_empty() && !superseded && marker.version >= known;
    holds.then(|| Trusted {
        marker,
        unsaid: unsaid.into_iter().map(|view| view.id).collect(),
    })
}

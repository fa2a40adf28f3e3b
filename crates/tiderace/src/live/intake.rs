//! One source's thread: reads, decodes, judges, and hands accepted events to the lanes.

use super::archiver::Desk;
use super::clock::now;
use super::coverage::Coverage;
use super::lag::Come;
use super::lane::Message;
use super::ledger::Ledger;
use super::reading::Reading;
use super::routes::Routes;
use anyhow::Context;
use crossbeam_channel::Sender;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_engine::{Intake, Sample};
use tiderace_plan::model::Source;
use tiderace_source::{DeadLetters, Kind, Limit, Reader, Trail};
use tiderace_state::Store;
use tiderace_trace::{Context as Trace, Kind as Of, Span, Tracer};
use tiderace_types::{DeadLetter, Partition, RecordBatch, SourceId, ViewId};

/// One batch: enough to amortise, little enough to be fresh.
pub const LIMIT: Limit = Limit {
    records: 4096,
    bytes: 2 << 20,
};

/// How long a poll waits for the first record.
const POLL: Duration = Duration::from_millis(20);

/// How often the high watermarks are sampled.
const SAMPLING: Duration = Duration::from_millis(100);

pub struct Worker {
    pub source: Arc<Source>,
    pub intake: Intake,
    pub reader: Reader,
    pub reading: Reading,
    pub dead_letters: DeadLetters,
    pub lanes: Vec<Sender<Message>>,
    /// Where accepted events are handed in to be archived.
    pub desk: Option<Arc<Desk>>,
    pub coverage: Arc<Coverage>,
    pub ledger: Arc<Ledger>,
    pub state: Store,
    pub stop: Arc<AtomicBool>,
    /// Whether records were read that went nowhere: none after them may be taken.
    pub ended: bool,
    /// How far it has come, for who tells how far that is behind.
    pub come: Arc<Come>,
    /// What makes spans of batches.
    pub tracer: Tracer,
    /// Of a source that is shared, whose records its senders count too: which views these know.
    pub routes: Option<Routes>,
}

/// How often the last records are remembered, by which a topic is known again.
pub const MARKING: Duration = Duration::from_secs(5);

/// Where state keeps what is remembered of a source's topic.
pub fn trail_meta(source: SourceId) -> String {
    format!("trail/{}", source.0)
}

/// What state remembers under `name` of a source's topic.
pub fn trail(state: &Store, name: &str, source: &Source) -> anyhow::Result<Trail> {
    let Some(bytes) = state.get_meta(name)? else {
        return Ok(Trail::default());
    };
    Trail::decode(&bytes)
        .with_context(|| format!("read what state has of the topic of `{}`", source.name))
}

/// Says which records a reader found missing, and stores that what is before now is not whole; tells
/// whether there were any.
pub fn note_losses(
    source: &Source,
    reader: &mut Reader,
    views: &[ViewId],
    coverage: &Coverage,
    state: &Store,
    ledger: &Ledger,
) -> anyhow::Result<bool> {
    let losses = reader.take_losses();
    for loss in &losses {
        let (partition, missing, what) = (loss.partition, loss.missing, &loss.what);
        tracing::error!(
            source = source.name,
            partition,
            missing,
            what,
            "records are lost; reading goes on as on_lost_offsets says, and features are warming from now on"
        );
        ledger.lost(&source.name, missing);
    }
    if !losses.is_empty() {
        let ahead = source.max_ahead.unwrap_or(tiderace_types::Duration::ZERO);
        coverage.lost(views, now().plus(ahead))?;
        // After that: a start before it finds the loss again.
        put_trail(source, reader, state)?;
    }
    Ok(!losses.is_empty())
}

/// Notes where reading begins in partitions that views know nothing of yet, before anything is read.
pub fn note_starts(
    source: SourceId,
    reader: &mut Reader,
    views: &[ViewId],
    coverage: &Coverage,
) -> anyhow::Result<()> {
    // A partition whose end is not known may hold anything.
    let ends: BTreeMap<u32, i64> = reader.ends().unwrap_or_default().into_iter().collect();
    let start = |(number, next): (u32, i64)| {
        let is_at_end = ends.get(&number).is_some_and(|end| *end <= next);
        (Partition { source, number }, next, is_at_end)
    };
    let starts: Vec<_> = reader.positions().into_iter().map(start).collect();
    coverage.reads_from(views, &starts)
}

/// Stores what is to be known of the source's topic, durably.
fn put_trail(source: &Source, reader: &Reader, state: &Store) -> Result<(), tiderace_state::Error> {
    match reader.trail() {
        Some(trail) => state.put_meta(&trail_meta(source.id), &trail.encode()),
        None => Ok(()),
    }
}

impl Worker {
    /// Reads until the loop stops or the source ends in an error that waiting cannot mend.
    pub fn run(mut self) {
        let name = self.source.name.clone();
        let mut sampled: Option<Instant> = None;
        let mut covered = false;
        let mut marked: Option<Instant> = None;
        let mut pause = Duration::from_millis(50);
        // A topic that lets go of where reading began before the first commit has lost it.
        if let Err(error) = put_trail(&self.source, &self.reader, &self.state) {
            tracing::error!(source = name, %error, "where reading begins cannot be stored");
            return self.ledger.stopped(&name);
        }
        self.begin();
        while !self.stopping() && !self.ended {
            // What is still in hand is not behind us.
            self.come.to(self.reader.come_to());
            if sampled.is_none_or(|at| at.elapsed() >= SAMPLING) {
                sampled = Some(Instant::now());
                self.sample();
            }
            let mut records = RecordBatch::default();
            let polled_at = self.tracer.is_on().then(Instant::now);
            match self.reader.poll(&mut records, LIMIT, POLL) {
                Ok(()) => pause = Duration::from_millis(50),
                Err(error) if error.kind() == Kind::Retry => {
                    tracing::warn!(source = name, %error, "the source is away; trying again");
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                Err(error) => {
                    tracing::error!(source = name, %error, "the source stops here; its views go stale");
                    if records.is_empty() && records.passed.is_empty() {
                        return self.ledger.stopped(&name);
                    }
                }
            }
            // On disk before anything that comes behind it.
            if !self.note_losses() {
                return self.ledger.stopped(&name);
            }
            if !self.note_begun() || !self.note_told() {
                return self.ledger.stopped(&name);
            }
            if records.is_empty() {
                if !records.passed.is_empty() {
                    self.take(records, &mut Span::none());
                }
                continue;
            }
            if !covered {
                match self.cover(&records) {
                    Some(all) => covered = all,
                    None => return self.ledger.stopped(&name),
                }
            }
            if marked.is_none_or(|at| at.elapsed() >= MARKING) {
                marked = Some(Instant::now());
                self.mark(&records);
            }
            let mut span = match polled_at {
                Some(polled_at) => self.trace(polled_at, &records),
                None => Span::none(),
            };
            self.take(records, &mut span);
        }
    }

    /// Begins the span of a batch: of the trace that one of its records is of and that is recorded, or of its own.
    fn trace(&mut self, polled_at: Instant, records: &RecordBatch) -> Span {
        let traces = self.reader.take_traces();
        let traces: Vec<Trace> = traces
            .iter()
            .filter_map(|text| Trace::parse(text))
            .collect();
        let parent = traces.iter().find(|trace| trace.sampled).copied();
        let mut span = self.tracer.begin("ingest", Of::Consumer, parent);
        span.since(polled_at);
        span.note("tiderace.source", self.source.name.as_str());
        span.note("tiderace.records", records.len());
        for other in traces {
            if Some(other) != parent {
                span.link(other);
            }
        }
        let mut poll = span.child("poll", Of::Client);
        poll.since(polled_at);
        poll.note("tiderace.records", records.len());
        poll.note("tiderace.bytes", records.bytes.len());
        span
    }

    /// Remembers the last records, by which the topic is known again.
    fn mark(&mut self, records: &RecordBatch) {
        self.reader.mark(records);
        let name = trail_meta(self.source.id);
        if let Some(trail) = self.reader.trail()
            && let Err(error) = self.state.note_meta(&name, &trail.encode())
        {
            tracing::warn!(source = self.source.name, %error, "the last records are not remembered");
        }
    }

    /// Notes what was found missing; tells whether that is stored.
    fn note_losses(&mut self) -> bool {
        let views: Vec<_> = self.intake.views().map(|view| view.id).collect();
        let noted = note_losses(
            &self.source,
            &mut self.reader,
            &views,
            &self.coverage,
            &self.state,
            &self.ledger,
        );
        if let Err(error) = &noted {
            let error = format!("{error:#}");
            tracing::error!(
                source = self.source.name,
                error,
                "what was lost cannot be stored"
            );
        }
        noted.is_ok()
    }

    /// Notes where partitions began of which nothing was known before; tells whether that is stored.
    fn note_begun(&mut self) -> bool {
        let source = self.source.id;
        let begun = self.reader.take_begun().into_iter();
        let begun: Vec<_> = begun
            .map(|(number, next, is_at_end)| (Partition { source, number }, next, is_at_end))
            .collect();
        if begun.is_empty() {
            return true;
        }
        let views: Vec<_> = self.intake.views().map(|view| view.id).collect();
        let noted = self.coverage.reads_from(&views, &begun);
        if let Err(error) = &noted {
            let error = format!("{error:#}");
            let source = &self.source.name;
            tracing::error!(source, error, "where reading begins cannot be stored");
        }
        noted.is_ok()
    }

    /// Notes which views the senders of a shared source know; tells whether that is stored.
    fn note_told(&mut self) -> bool {
        let Some(routes) = &mut self.routes else {
            return true;
        };
        let noted = routes.hear(self.reader.take_told(), &self.coverage);
        if let Err(error) = &noted {
            let error = format!("{error:#}");
            let source = &self.source.name;
            tracing::error!(source, error, "what senders know cannot be stored");
        }
        noted.is_ok()
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Tells the lanes where partitions begin that have let go of their first records.
    fn begin(&mut self) {
        let source = self.source.id;
        let starts = self.reader.positions().into_iter();
        let starts: Vec<_> = starts
            .map(|(number, next)| (Partition { source, number }, next))
            .collect();
        if let Some(packet) = self.intake.begin(&starts) {
            self.send_all(&Message::Packet(Arc::new(packet), None));
        }
    }

    /// Notes where coverage begins, before anything is taken; tells whether it is known of all views,
    /// or nothing where that cannot be stored.
    fn cover(&self, records: &RecordBatch) -> Option<bool> {
        let views: Vec<_> = self.intake.views().map(|view| view.id).collect();
        loop {
            let noted = self.coverage.first_records(&self.source, &views, records);
            let error = match noted {
                Ok(all) => return Some(all),
                Err(error) => format!("{error:#}"),
            };
            if self.stopping() {
                return None;
            }
            tracing::warn!(
                source = self.source.name,
                error,
                "coverage cannot be stored; the source waits"
            );
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn take(&mut self, mut records: RecordBatch, span: &mut Span) {
        let decode = span.child("decode", Of::Internal);
        let Some(decoded) = self.reading.read(&mut records, &self.stop) else {
            return;
        };
        drop(decode);
        let taken = self.intake.take(records, decoded);
        span.note("tiderace.refused", taken.dead.len());
        span.note("tiderace.events", taken.packet.times.len());
        if !self.bury(&taken.dead) {
            return;
        }
        if let (Some(desk), Some(accepted)) = (&self.desk, taken.accepted)
            && !desk.offer(accepted, &self.stop)
        {
            self.ended = true;
            return;
        }
        let name = &self.source.name;
        if self.routes.is_none() {
            let names: Vec<_> = self.intake.places().collect();
            self.ledger.took(name, &names, &taken.counts);
        }
        let reached = taken.packet.reached.iter();
        let clocks = reached.map(|(partition, _, at)| (partition.number, at.clock));
        self.ledger.clocks(name, clocks);
        self.send_all(&Message::Packet(Arc::new(taken.packet), span.context()));
    }

    /// Writes dead letters before anything moves past them; tells whether they are there.
    fn bury(&mut self, letters: &[DeadLetter]) -> bool {
        let mut pause = Duration::from_millis(50);
        let mut said = false;
        while !letters.is_empty() {
            match self.dead_letters.write(&self.source.name, letters) {
                Ok(()) => return true,
                Err(error) if !said => {
                    said = true;
                    tracing::warn!(source = self.source.name, %error, "dead letters wait; so does the source");
                }
                Err(_) => {}
            }
            if self.stopping() {
                return false;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(1));
        }
        true
    }

    fn sample(&mut self) {
        let at = now();
        match self.reader.ends() {
            Ok(ends) => {
                let source = self.source.id;
                let partition = |(number, end)| (Partition { source, number }, end);
                let sample = Sample {
                    at,
                    ends: ends.into_iter().map(partition).collect(),
                };
                self.send_all(&Message::Sample(source, sample));
            }
            Err(error) => {
                tracing::debug!(source = self.source.name, %error, "high watermarks are unknown for now");
            }
        }
    }

    /// Hands a message to every lane, waiting while a queue is full. A lane that has died is
    /// passed over: its error comes when the loop is stopped.
    fn send_all(&self, message: &Message) {
        for lane in &self.lanes {
            drop(lane.send(message.clone()));
        }
    }
}

//! One source's other thread, where several processes share it: reads this process's part of the partitions,
//! and sends every record to the processes that need it, this one too.
//!
//! Here each record is judged in the order of its partition, so that clocks are known; what is refused
//! is written by the process that has its home, which judges alike.
//!
//! # Laws
//! - It has come only as far as everything before is kept by the brokers. After a start it goes on there;
//!   who has had what it repeats leaves that out.
//! - What cannot be sent ends the sender: nothing behind it goes out before it.

use super::intake::{self, LIMIT, MARKING};
use super::lag::Come;
use super::ledger::Ledger;
use super::reading::Reading;
use super::routes::route;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_engine::{Intake, Owners};
use tiderace_plan::model::{Source, View};
use tiderace_source::{Error, KafkaConfig, Kind, OnLoss, Reader, SharedSender};
use tiderace_state::Store;
use tiderace_types::wire::{self, WireError};
use tiderace_types::{
    Partition, PartitionPosition, Positions, RecordBatch, Share, SourceId, Timestamp,
};

/// How long a poll waits for the first record.
const POLL: Duration = Duration::from_millis(10);

/// How often the others are told how far reading has come, where they were sent nothing.
const PASSING: Duration = Duration::from_millis(20);

/// How long one look at what is on its way takes.
const LOOK: Duration = Duration::from_millis(20);

/// How long a source that is away is left alone at most.
const MOST: Duration = Duration::from_millis(500);

/// How long nothing is tried after an error.
const TROUBLE: Duration = Duration::from_secs(1);

/// Sends one source's records.
pub struct Forwarder {
    pub source: Arc<Source>,
    /// The source's views, with their places.
    pub views: Vec<(usize, Arc<View>)>,
    pub reading: Reading,
    pub kafka: KafkaConfig,
    /// The source's topic.
    pub topic: String,
    /// What the headers of the source's own records say.
    pub headers: Vec<(String, String)>,
    /// The topic over which it is shared.
    pub shared: String,
    pub share: Share,
    pub state: Store,
    pub ledger: Arc<Ledger>,
    /// How far it has come, for who tells how far that is behind.
    pub come: Arc<Come>,
    pub stop: Arc<AtomicBool>,
}

/// Why sending has ended.
enum End {
    /// The loop stops.
    Stopped,
    /// It begins anew where everything is kept.
    Anew(anyhow::Error),
    /// Waiting cannot mend it.
    ForGood(anyhow::Error),
}

impl From<Error> for End {
    fn from(error: Error) -> End {
        match error.kind() {
            Kind::Retry | Kind::Closed => End::Anew(error.into()),
            Kind::Invalid | Kind::Corrupt | Kind::Bug => End::ForGood(error.into()),
        }
    }
}

/// What is under way between two beginnings.
struct Run {
    reader: Reader,
    sender: SharedSender,
    intake: Intake,
    owners: Owners,
    /// How far each partition was read and sent.
    come: Positions,
    /// The partitions of which some process may not know how far that is.
    untold: BTreeSet<Partition>,
    told_at: Instant,
    marked_at: Option<Instant>,
    /// How long the source is left alone when it is away.
    pause: Duration,
}

impl Forwarder {
    /// Sends until the loop stops, or the source ends in an error that waiting cannot mend.
    pub fn run(mut self) {
        let name = self.source.name.clone();
        loop {
            let end = match self.begin() {
                Ok(run) => self.forward(run),
                Err(end) => end,
            };
            match end {
                End::Stopped => return,
                End::Anew(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(
                        source = name,
                        error,
                        "sending to the other processes begins anew"
                    );
                }
                End::ForGood(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(
                        source = name,
                        error,
                        "the source stops here; its views go stale"
                    );
                    return self.ledger.stopped(&name);
                }
            }
            let until = Instant::now() + TROUBLE;
            while Instant::now() < until {
                if self.stopping() {
                    return;
                }
                std::thread::sleep(LOOK);
            }
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Opens what it reads and what it sends to, and tells where it begins.
    fn begin(&self) -> Result<Run, End> {
        let come = self.come().map_err(End::ForGood)?;
        let trail = intake::trail(&self.state, &trail_meta(self.source.id), &self.source);
        let trail = trail.map_err(End::ForGood)?;
        let start = come.0.iter();
        let start: Vec<_> = start.map(|(p, at)| (p.number, at.next)).collect();
        let (source, stop) = (self.source.id, OnLoss::Stop);
        let reader = Reader::resume(
            &self.kafka,
            &self.topic,
            source,
            &start,
            trail,
            stop,
            self.share,
        )?;
        let mut run = Run {
            reader: reader.only(self.headers.clone()),
            sender: self.sender()?,
            intake: Intake::new(Arc::clone(&self.source), self.views.clone(), &come),
            owners: Owners::new(self.share),
            come,
            untold: BTreeSet::new(),
            told_at: Instant::now(),
            marked_at: None,
            pause: LOOK,
        };
        run.begin_partitions(source)?;
        Ok(run)
    }

    fn sender(&self) -> Result<SharedSender, Error> {
        let routes: Vec<u64> = self.views.iter().map(|(_, view)| route(view)).collect();
        SharedSender::open(&self.kafka, &self.shared, self.share, &routes)
    }

    fn forward(&mut self, mut run: Run) -> End {
        loop {
            match self.step(&mut run) {
                Ok(true) => {}
                Ok(false) => return End::Stopped,
                Err(end) => return end,
            }
        }
    }

    /// Sends the next records; `false` when the loop stops.
    fn step(&mut self, run: &mut Run) -> Result<bool, End> {
        if self.stopping() {
            return Ok(false);
        }
        self.come.to(run.reader.come_to());
        let mut records = RecordBatch::default();
        let polled = run.reader.poll(&mut records, LIMIT, POLL);
        // New ones are found while reading.
        run.begin_partitions(self.source.id)?;
        let came = !records.is_empty();
        if came {
            if run.marked_at.is_none_or(|at| at.elapsed() >= MARKING) {
                run.marked_at = Some(Instant::now());
                run.reader.mark(&records);
                self.note_trail(&run.reader).map_err(End::Anew)?;
            }
            let Some(decoded) = self.reading.read(&mut records, &self.stop) else {
                return Ok(false);
            };
            let routed = run.intake.route(records, decoded, &run.owners);
            run.sender
                .send(&routed.records, &routed.clocks, &routed.targets)?;
            for (partition, position) in routed.reached {
                run.come.advance(partition, position);
                run.untold.insert(partition);
            }
            let names: Vec<_> = run.intake.places().collect();
            self.ledger.took(&self.source.name, &names, &routed.counts);
        }
        if !run.untold.is_empty() && run.told_at.elapsed() >= PASSING {
            run.told_at = Instant::now();
            for partition in std::mem::take(&mut run.untold) {
                run.sender.pass(partition.number, run.come.get(partition))?;
            }
        }
        if came {
            while !run.sender.is_settled(LOOK)? {
                if self.stopping() {
                    return Ok(false);
                }
            }
            let noted = self
                .state
                .note_shared(&come_meta(self.source.id), &encode(&run.come));
            noted
                .context("note how far the source was sent")
                .map_err(End::Anew)?;
        }
        match polled {
            Err(error) if error.kind() == Kind::Retry => {
                tracing::warn!(source = self.source.name, %error, "the source is away; trying again");
                std::thread::sleep(run.pause);
                run.pause = (run.pause * 2).min(MOST);
                Ok(true)
            }
            Err(error) if !came => Err(error.into()),
            _ => {
                run.pause = LOOK;
                Ok(true)
            }
        }
    }

    /// How far everything is kept that was sent.
    fn come(&self) -> Result<Positions> {
        let stored = self.state.get_meta(&come_meta(self.source.id))?;
        let Some(bytes) = stored else {
            return Ok(Positions::default());
        };
        let name = &self.source.name;
        decode(self.source.id, &bytes)
            .with_context(|| format!("read how far source `{name}` was sent"))
    }

    fn note_trail(&self, reader: &Reader) -> Result<()> {
        if let Some(trail) = reader.trail() {
            let name = trail_meta(self.source.id);
            self.state.note_meta(&name, &trail.encode())?;
        }
        Ok(())
    }
}

impl Run {
    /// Tells of partitions that are read and were not told of yet.
    fn begin_partitions(&mut self, source: SourceId) -> Result<(), Error> {
        let positions = self.reader.positions().into_iter();
        let new: Vec<_> = positions
            .filter(|(number, _)| !self.sender.has_begun(*number))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        // A partition whose end is not known may hold anything.
        let ends: BTreeMap<u32, i64> = self.reader.ends().unwrap_or_default().into_iter().collect();
        for (number, next) in new {
            let partition = Partition { source, number };
            let clock = self.come.get(partition).clock;
            let at = PartitionPosition { next, clock };
            let is_at_end = ends.get(&number).is_some_and(|end| *end <= next);
            // Of one that was sent before, everything before is kept. Those that are added to a topic begin at 0.
            let is_anew = !self.come.0.contains_key(&partition);
            self.sender.begin(number, at, is_at_end, is_anew)?;
            self.come.advance(partition, at);
        }
        Ok(())
    }
}

/// Where state keeps how far a source was sent.
fn come_meta(source: SourceId) -> String {
    format!("sent/{}", source.0)
}

/// Where state keeps what is remembered of its topic.
fn trail_meta(source: SourceId) -> String {
    format!("sent-trail/{}", source.0)
}

fn encode(positions: &Positions) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_u64(positions.0.len() as u64, &mut out);
    for (partition, at) in &positions.0 {
        wire::put_u64(partition.number.into(), &mut out);
        wire::put_i64(at.next, &mut out);
        wire::put_i64(at.clock.0, &mut out);
    }
    out
}

fn decode(source: SourceId, bytes: &[u8]) -> Result<Positions, WireError> {
    let mut reader = wire::Reader::new(bytes);
    let mut positions = Positions::default();
    for _ in 0..reader.count(3)? {
        let number = u32::try_from(reader.u64()?).map_err(|_| reader.error())?;
        let next = reader.i64()?;
        let clock = Timestamp(reader.i64()?);
        let partition = Partition { source, number };
        let position = PartitionPosition { next, clock };
        positions.0.insert(partition, position);
    }
    match reader.rest().is_empty() {
        true => Ok(positions),
        false => Err(reader.error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_source_was_sent_is_read_back() {
        let source = SourceId(3);
        let at = |number, next, clock| {
            let partition = Partition { source, number };
            let clock = Timestamp(clock);
            (partition, PartitionPosition { next, clock })
        };
        let come = [at(0, 0, i64::MIN), at(7, 1 << 40, 1_600_000_000_000_000)];
        let come = Positions(come.into_iter().collect());
        let bytes = encode(&come);
        assert_eq!(decode(source, &bytes), Ok(come));
        for cut in 0..bytes.len() {
            assert!(decode(source, &bytes[..cut]).is_err(), "{cut} bytes");
        }
    }
}

//! What the live loop does with one source and one lane, on one thread and without its queues:
//! every call is the product's own.

use super::clock::{self, Every};
use super::stages::{Stage, Stages};
use crate::driven::{anchor_due, fetch, publish_stored};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tiderace_decode::Decoder;
use tiderace_engine::{Intake, Lane, LaneView, Packet, Publication, Sample};
use tiderace_plan::{Plan, Source};
use tiderace_state::{Options, RocksStore, Store};
use tiderace_types::{
    CoveredFrom, Generation, Partition, Positions, RecordBatch, RowKey, ShardRange, SourceId,
    Timestamp,
};

/// Rows in one order to a publisher.
const CHUNK: usize = 1024;

/// After how many commits the rows are anchored that have become due.
const ANCHORING: u64 = 4;

/// How often a marker is made.
const MARKING: Duration = Duration::from_millis(100);

/// How a machine runs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often it has committed every slice of its shards.
    pub commit_interval: Duration,
    /// Whether it encodes publications, and drops them.
    pub publish: bool,
    /// How many packets it applies together.
    pub together: usize,
    /// Bytes of rows that it may hold; more fail it.
    pub row_memory: u64,
    /// Whether rows stay whole, however many events they have.
    pub whole_rows: bool,
}

/// Everything from records to rows on disk.
pub struct Machine {
    /// The rows.
    pub lane: Lane,
    /// Where they are kept.
    pub state: Store,
    /// What took how long.
    pub stages: Stages,
    /// New members of rows, over all views.
    pub applied: u64,
    /// How many commits there were.
    pub commits: u64,
    /// How many bytes were published.
    pub published: u64,
    /// Packets that are not applied yet.
    waiting: Vec<Packet>,
    settings: Settings,
    source: Arc<Source>,
    decoder: Decoder,
    intake: Intake,
    committing: Every,
    draining: Every,
    marking: Every,
}

impl Machine {
    /// A machine with empty state in `folder`.
    ///
    /// # Errors
    /// When state cannot be opened.
    pub fn new(plan: &Plan, folder: &Path, settings: Settings) -> Result<Machine> {
        let source = Arc::clone(plan.sources.first().context("there is a source")?);
        let options = Options {
            memory_bytes: usize::try_from(plan.project.state_memory)?,
            sync_every_commit: false,
        };
        let state = RocksStore::open(folder, options).context("open state")?;
        let views: Vec<LaneView> = plan
            .views
            .iter()
            .map(|view| {
                let mut view = LaneView::new(Arc::clone(view), Generation(1));
                if settings.whole_rows {
                    view.density.sparse = usize::MAX;
                }
                view
            })
            .collect();
        let own = plan.views.iter().map(Arc::clone).enumerate().collect();
        let mut lane = Lane::new(ShardRange::ALL, views, &[], state.epoch());
        // The end of the log is never in sight, so that the clock is the stream's.
        let number = 0;
        let partition = Partition {
            source: source.id,
            number,
        };
        let sample = Sample {
            at: Timestamp::MIN,
            ends: vec![(partition, i64::MAX)],
        };
        lane.sample(source.id, sample);
        let deadline = plan.project.publish_deadline;
        let interval = settings.commit_interval / u32::try_from(lane.slices().count())?;
        Ok(Machine {
            lane,
            state,
            stages: Stages::default(),
            applied: 0,
            commits: 0,
            published: 0,
            waiting: Vec::new(),
            settings,
            decoder: decoder(&source)?,
            intake: Intake::new(Arc::clone(&source), own, &Positions::default()),
            source,
            committing: Every::new(interval)?,
            draining: Every::new(Duration::from_micros(deadline.0.unsigned_abs()))?,
            marking: Every::new(MARKING)?,
        })
    }

    /// The source that it reads.
    pub fn source(&self) -> SourceId {
        self.source.id
    }

    /// Does all that is due between batches.
    ///
    /// # Errors
    /// When state fails.
    pub fn tend(&mut self) -> Result<()> {
        let now = clock::now()?;
        // As in the live loop, what is not stored takes at most half of what rows may; and rows
        // that would have to go are stored sooner, which makes them shorter.
        let (unstored, held) = (self.lane.unstored() as u64, self.lane.memory() as u64);
        let may = self.settings.row_memory;
        let heavy = unstored > may / 2 || held > may / 10 * 9;
        if self.committing.is_due(now) || heavy {
            if self.commits.is_multiple_of(ANCHORING) {
                self.anchor_due()?;
            }
            self.commit_slice(self.lane.next_slice())?;
        }
        if self.settings.publish {
            self.anchor_due()?;
            self.publish(now)?;
        }
        Ok(())
    }

    /// Anchors what has become due since the last commit: the stream runs through its event time
    /// hundreds of times as fast as it came, but rows are anchored by the clock of their readers.
    fn anchor_due(&mut self) -> Result<()> {
        let at = self.now();
        self.stages.time(Stage::Anchor, || {
            anchor_due(&mut self.lane, &self.state, at)
        })
    }

    /// Takes in the next batch.
    ///
    /// # Errors
    /// When a record is refused, or state fails.
    pub fn take(&mut self, records: RecordBatch) -> Result<()> {
        let decoded = self
            .stages
            .time(Stage::Decode, || self.decoder.decode(&records));
        let taken = self
            .stages
            .time(Stage::Intake, || self.intake.take(records, decoded));
        if let Some(letter) = taken.dead.first() {
            anyhow::bail!("a record was refused: {}", letter.detail);
        }
        self.waiting.push(taken.packet);
        match self.waiting.len() < self.settings.together {
            true => Ok(()),
            false => self.apply(),
        }
    }

    /// Applies the packets that wait.
    ///
    /// # Errors
    /// When a row refuses an event, or state fails.
    pub fn apply(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let packets: &[&Packet] = &waiting.iter().collect::<Vec<_>>();
        self.stages
            .time(Stage::Prepare, || self.lane.prepare(packets))?;
        self.stages.time(Stage::Load, || -> Result<()> {
            while let Some(wants) = self.lane.wants(packets) {
                self.lane.fill(fetch(&self.state, &wants)?)?;
            }
            Ok(())
        })?;
        let now = self.now();
        let applied = self
            .stages
            .time(Stage::Apply, || self.lane.apply(packets, now));
        ensure!(applied.dead.is_empty(), "a row refused an event");
        let views = applied.views.values();
        self.applied += views.map(|view| view.applied).sum::<u64>();
        Ok(())
    }

    /// The instant at which the latest event came.
    pub fn now(&self) -> Timestamp {
        self.lane.clock(self.source.id)
    }

    /// Commits all that has changed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn commit(&mut self) -> Result<()> {
        self.apply()?;
        (0..self.lane.slices().count()).try_for_each(|slice| self.commit_slice(slice))
    }

    fn commit_slice(&mut self, slice: usize) -> Result<()> {
        if !self.lane.is_stored(slice) {
            let commit = self.stages.time(Stage::Commit, || self.lane.commit(slice));
            let seq = self.stages.time(Stage::Write, || self.state.commit(commit));
            let seq = seq.context("commit")?;
            self.stages.time(Stage::Commit, || self.lane.committed(seq));
            // Rows that are let go would be read again, and windows would miss them.
            let memory = self.lane.memory() as u64;
            ensure!(
                memory <= self.settings.row_memory,
                "{memory} bytes of rows are too many to hold"
            );
            self.commits += 1;
        }
        Ok(())
    }

    /// Publishes the next chunk when it is due, into nothing, and marks.
    fn publish(&mut self, now: Duration) -> Result<()> {
        let owed = self.lane.owing_since().is_some();
        if self.lane.draining() || owed && self.draining.is_due(now) {
            let rows = self.chunk()?;
            self.published += rows.iter().map(|row| row.value.len() as u64).sum::<u64>();
        } else if self.marking.is_due(now) {
            let now = self.now();
            let marker = self.lane.marker(now, 1, |_| CoveredFrom::Beginning);
            std::hint::black_box(marker);
            self.lane.marked();
        }
        Ok(())
    }

    /// The next chunk of what is owed, as if it were in the store at once.
    fn chunk(&mut self) -> Result<Vec<Publication>> {
        let now = self.now();
        self.stages.time(Stage::Publish, || {
            let chunk = self.lane.chunk(now, CHUNK);
            let mut rows = chunk.rows;
            let stored = self.state.load(&chunk.stored).context("read rows")?;
            for (key, blocks) in chunk.stored.iter().zip(stored) {
                let blocks = numbered(blocks);
                rows.extend(publish_stored(
                    &mut self.lane,
                    &self.state,
                    key,
                    &blocks,
                    now,
                )?);
            }
            if chunk.last {
                self.lane.drained();
            }
            Ok(rows)
        })
    }

    /// The online rows of some entities of the first view, as they would be published now.
    ///
    /// # Errors
    /// When state cannot be read.
    pub fn rows(&mut self, keys: &[RowKey]) -> Result<Vec<Publication>> {
        self.anchor_due()?;
        let now = self.now();
        self.lane.owe_held(now, |_| true);
        let mut found = Vec::new();
        while self.lane.owing_since().is_some() {
            let rows = self.chunk()?.into_iter();
            found.extend(rows.filter(|row| keys.contains(&row.key)));
        }
        Ok(found)
    }
}

/// The decoder of what the plan uses of a source.
fn decoder(source: &Source) -> Result<Decoder> {
    let used = source.used.iter();
    let columns = used.map(|column| source.columns[*column].clone());
    let place = |column: usize| source.used.binary_search(&column).ok();
    Ok(Decoder::json(
        columns.collect(),
        place(source.event_time).context("event time is used")?,
        source.event_id.and_then(place),
        source.max_record_bytes,
    ))
}

/// A row's blocks in the words of the engine.
fn numbered(blocks: Vec<tiderace_state::Block>) -> Vec<(u64, Vec<u8>)> {
    let numbered = blocks.into_iter().map(|block| (block.seq, block.bytes));
    numbered.collect()
}

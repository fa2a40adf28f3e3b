//! Takes off the disk what nobody can miss any more, at a gentle pace.
//!
//! A sweep begins when the clocks have gone on by an eighth of what some view keeps, so that no
//! more than that is on disk beyond what is kept, and each block is read but a few times in its
//! life. One stretch every [`PAUSE`] keeps it under a tenth of a core. Where a sweep has taken
//! much, tables are compacted at once, many shards together: a table holds several, and shard by
//! shard it would be written anew for each. Elsewhere tombstones sink by themselves.

use super::ledger::Ledger;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tiderace_aggregate::{Kept, RowSpec};
use tiderace_engine::{Clocks, Cuts, Lane, LaneView, least_clocks};
use tiderace_state::{Store, Sweep};
use tiderace_types::{ShardRange, SourceId, Timestamp};

/// Where lanes say how far their clocks had come at their last commits.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<ShardRange, Clocks>>);

impl Board {
    /// Notes a lane's clocks at a commit that is stored.
    pub fn committed(&self, lane: ShardRange, clocks: Clocks) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        board.insert(lane, clocks);
    }

    /// Per source, the least clock of all the lanes; `None` until each has said.
    fn least(&self, lanes: &[ShardRange]) -> Option<Clocks> {
        let board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        least_clocks(lanes.iter().map(|lane| board.get(lane)))
    }
}

/// How many blocks are looked at before the next pause.
const STRETCH: usize = 5000;

/// How long nothing is done after a stretch.
const PAUSE: Duration = Duration::from_millis(50);

/// How many bytes are taken before tables are compacted: a few tables' worth.
const TOGETHER: u64 = 256 << 20;

/// How long nothing is done after an error.
const TROUBLE: Duration = Duration::from_secs(10);

/// The part of what is kept by which the clocks go on before the next sweep.
const EIGHTH: i64 = 8;

/// Where state keeps the clock that the last sweep of a source's views went by.
fn clock_name(source: SourceId) -> String {
    format!("clock/{}", source.0)
}

/// Gives lanes the clocks that sweeps have gone by, below which none may start.
///
/// # Errors
/// When state cannot be read.
pub fn resume(state: &Store, views: &[LaneView], lanes: &mut [Lane]) -> Result<()> {
    for (source, clock) in noted(state, views)? {
        for lane in &mut *lanes {
            lane.resume_clock(source, clock);
        }
    }
    Ok(())
}

fn noted(state: &Store, views: &[LaneView]) -> Result<Clocks> {
    let mut clocks = Clocks::new();
    for source in views.iter().map(|view| view.view.source.id) {
        let bytes = state.get_meta(&clock_name(source)).context("read state")?;
        if let Some(bytes) = bytes {
            let bytes = bytes.try_into().ok().context("a clock is of eight bytes")?;
            clocks.insert(source, Timestamp(i64::from_be_bytes(bytes)));
        }
    }
    Ok(clocks)
}

/// The sweeping thread.
pub struct Sweeper {
    state: Store,
    views: Vec<LaneView>,
    lanes: Vec<ShardRange>,
    board: Arc<Board>,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    /// The clocks that the last sweep went by.
    swept: Clocks,
    round: Option<Round>,
}

/// A sweep over all shards, one after the other.
struct Round {
    cuts: Cuts,
    /// Those that are left, the next one last.
    shards: Vec<ShardRange>,
    sweep: Option<Sweep>,
    /// Neighbours of which much was taken, and how many bytes: to be compacted together.
    emptied: Option<(ShardRange, u64)>,
}

impl Sweeper {
    /// A sweeper of the rows of `views`, for as long as `stop` is not set.
    ///
    /// # Errors
    /// When state cannot be read.
    pub fn new(
        state: Store,
        views: Vec<LaneView>,
        lanes: Vec<ShardRange>,
        board: Arc<Board>,
        ledger: Arc<Ledger>,
        stop: Arc<AtomicBool>,
    ) -> Result<Sweeper> {
        Ok(Sweeper {
            swept: noted(&state, &views)?,
            state,
            views,
            lanes,
            board,
            ledger,
            stop,
            round: None,
        })
    }

    /// Sweeps until it is stopped (and woken).
    pub fn run(mut self) {
        let mut pause = PAUSE;
        while !self.stop.load(Ordering::Acquire) {
            std::thread::park_timeout(pause);
            pause = match self.step() {
                Ok(()) => PAUSE,
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "sweeping waits: what is not needed stays on disk");
                    TROUBLE
                }
            };
        }
    }

    /// Begins a sweep if one is due, or goes on with the one under way.
    fn step(&mut self) -> Result<()> {
        match self.round.take() {
            Some(mut round) => {
                let swept = self.stretch(&mut round);
                let over = round.sweep.is_none() && round.shards.is_empty();
                self.round = (!over).then_some(round);
                swept
            }
            None => self.begin(),
        }
    }

    fn begin(&mut self) -> Result<()> {
        let Some(clocks) = self.board.least(&self.lanes) else {
            return Ok(());
        };
        let due = |view: &LaneView| {
            let source = view.view.source.id;
            let new = clocks.get(&source).copied().unwrap_or(Timestamp::MIN);
            let old = self.swept.get(&source).copied().unwrap_or(Timestamp::MIN);
            new > old && span(&view.view.spec).is_some_and(|kept| new.since(old).0 > kept / EIGHTH)
        };
        if !self.views.iter().any(due) {
            return Ok(());
        }
        // Before any block goes because of them.
        for (source, clock) in &clocks {
            let noted = self
                .state
                .put_meta(&clock_name(*source), &clock.0.to_be_bytes());
            noted.context("note the clocks to sweep by")?;
        }
        self.round = Some(Round {
            cuts: Cuts::new(&self.views, &clocks),
            shards: ShardRange::split(256),
            sweep: None,
            emptied: None,
        });
        self.swept = clocks;
        Ok(())
    }

    fn stretch(&self, round: &mut Round) -> Result<()> {
        let Some(shard) = round.shards.last().copied() else {
            return Ok(());
        };
        let sweep = round.sweep.get_or_insert_with(|| Sweep::over(shard));
        let cuts = &round.cuts;
        let spent = |view, generation, block: &[u8]| cuts.spent(view, generation, block);
        let before = sweep.dropped;
        let swept = self.state.sweep(sweep, STRETCH, &spent);
        swept.context("sweep state")?;
        self.ledger.swept(
            sweep.dropped.blocks - before.blocks,
            sweep.dropped.bytes - before.bytes,
        );
        if sweep.done() {
            let dropped = sweep.dropped.bytes;
            let much = dropped > sweep.seen.bytes / 4;
            round.shards.pop();
            round.sweep = None;
            if much {
                let (last, before) = round.emptied.map_or((shard.last, 0), |(e, b)| (e.last, b));
                let first = shard.first;
                round.emptied = Some((ShardRange { first, last }, before + dropped));
            }
            let full = |(_, bytes): (_, u64)| bytes >= TOGETHER;
            if !much || round.shards.is_empty() || round.emptied.is_some_and(full) {
                self.compact(round);
            }
        }
        Ok(())
    }

    fn compact(&self, round: &mut Round) {
        if let Some((shards, _)) = round.emptied.take() {
            self.state.compact_shards(shards);
        }
    }
}

/// How much a view's rows keep, in microseconds; `None` when they let nothing go.
fn span(spec: &RowSpec) -> Option<i64> {
    match spec.kept {
        Kept::Span {
            reach,
            history,
            lateness,
        } if !spec.unbounded() => Some(reach.plus(history).plus(lateness).0),
        _ => None,
    }
}

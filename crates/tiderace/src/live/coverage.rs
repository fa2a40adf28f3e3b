//! Since when each view's rows are whole, and where each began: kept in state, shared by lanes.

use super::FIRST;
use super::clock::now;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tiderace_plan::Plan;
use tiderace_plan::model::{Source, View};
use tiderace_state::{Store, ViewState};
use tiderace_types::wire::{self, Reader, WireError};
use tiderace_types::{
    CoveredFrom, Duration, Generation, Partition, PartitionPosition, Positions, RecordBatch,
    ShardRange, SourceId, Timestamp, ViewId,
};

/// The meaning of a view that the plan has no more: that of no definition.
const GIVEN_UP: u64 = 0;

/// How long rows keep, beyond what they need, what a past may yet meet.
const WAITING: Duration = Duration::from_secs(7 * 24 * 3600);

/// Every view's generation and coverage.
pub struct Coverage {
    state: Store,
    views: Mutex<BTreeMap<ViewId, Known>>,
    changes: AtomicU64,
}

/// What is known of a view.
#[derive(Clone)]
struct Known {
    state: ViewState,
    /// Unknown of generations that began before it was noted.
    begun: Option<Begun>,
    /// The partitions whose records it does not get now.
    missed: BTreeSet<Partition>,
}

/// Where a view's generation began. What lies before is its past; the rest comes by the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// Its first record of each partition of its source, and how far its clock had come there.
    pub positions: Positions,
    /// Up to when its rows let go of events while they wait for their past: what they fold cannot be
    /// told from what never came. `None` when they go by the clock alone.
    pub held: Option<Timestamp>,
    /// Before this instant it is not whole, whatever its past is: records were lost.
    pub lost: Option<Timestamp>,
}

impl Begun {
    const FORM: u8 = 1;

    fn encode(&self, generation: Generation) -> Vec<u8> {
        let mut out = vec![Begun::FORM];
        wire::put_u64(generation.0.into(), &mut out);
        wire::put_i64(self.at.0, &mut out);
        for instant in [self.held, self.lost] {
            out.push(instant.is_some().into());
            wire::put_i64(instant.map_or(0, |at| at.0), &mut out);
        }
        wire::put_u64(self.positions.0.len() as u64, &mut out);
        for (partition, position) in &self.positions.0 {
            wire::put_u64(partition.source.0.into(), &mut out);
            wire::put_u64(partition.number.into(), &mut out);
            wire::put_i64(position.next, &mut out);
            wire::put_i64(position.clock.0, &mut out);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<(Generation, Begun), WireError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != Begun::FORM {
            return Err(reader.error());
        }
        let small =
            |reader: &mut Reader<'_>| u32::try_from(reader.u64()?).map_err(|_| reader.error());
        let generation = Generation(small(&mut reader)?);
        let at = Timestamp(reader.i64()?);
        let mut instant = || -> Result<Option<Timestamp>, WireError> {
            let known = reader.u8()? != 0;
            let at = Timestamp(reader.i64()?);
            Ok(known.then_some(at))
        };
        let (held, lost) = (instant()?, instant()?);
        let mut positions = Positions::default();
        for _ in 0..reader.count(4)? {
            let partition = Partition {
                source: SourceId(small(&mut reader)?),
                number: small(&mut reader)?,
            };
            let position = PartitionPosition {
                next: reader.i64()?,
                clock: Timestamp(reader.i64()?),
            };
            positions.0.insert(partition, position);
        }
        if !reader.rest().is_empty() {
            return Err(reader.error());
        }
        let begun = Begun {
            at,
            positions,
            held,
            lost,
        };
        Ok((generation, begun))
    }
}

/// What state remembers of views, to be put back if what was begun with others cannot go on.
pub struct Remembered {
    views: Vec<(ViewId, ViewState, Option<Vec<u8>>)>,
    positions: Vec<(ShardRange, Positions)>,
}

impl Remembered {
    /// Reads what is remembered now.
    pub fn read(state: &Store) -> Result<Remembered> {
        let mut views = Vec::new();
        for (view, held) in state.views().context("read the views' states")? {
            let begun = state.get_meta(&begun_meta(view));
            views.push((view, held, begun.context("read where the view began")?));
        }
        let positions = state.positions().context("read positions")?;
        Ok(Remembered { views, positions })
    }

    /// Puts it back, where nothing has been read since: then no view that was given up has missed anything.
    /// Tells whether it is so.
    pub fn put_back(self, state: &Store) -> Result<bool> {
        if state.positions().context("read positions")? != self.positions {
            return Ok(false);
        }
        for (view, held, begun) in self.views {
            let written = match begun {
                Some(bytes) => state.set_view_and_meta(view, held, &begun_meta(view), &bytes),
                None => state.set_view(view, held),
            };
            written.context("write the view's state")?;
        }
        Ok(true)
    }
}

/// Where state keeps where a view began.
fn begun_meta(view: ViewId) -> String {
    format!("begun/{}", view.0)
}

impl Coverage {
    /// Reads what state remembers, and begins a generation for every view that is new or means
    /// something else now. A view that the plan has no more is given up: its rows will be swept,
    /// and should it come back, it begins anew, because it has missed events meanwhile.
    pub fn open(
        state: &Store,
        plan: &Plan,
        recovered: &[(ShardRange, Positions)],
    ) -> Result<Coverage> {
        let mut views = BTreeMap::new();
        for view in &plan.views {
            let held = state.view(view.id).context("read the view's state")?;
            let current = held.filter(|held| held.fingerprint == view.spec.fingerprint);
            let known = match current {
                Some(current) => Known {
                    begun: begun(state, view.id, current.generation)?,
                    state: current,
                    missed: BTreeSet::new(),
                },
                None => {
                    let begun = begin(view, held, recovered);
                    put(state, view.id, &begun)?;
                    begun
                }
            };
            views.insert(view.id, known);
        }
        for (view, held) in state.views().context("read the views' states")? {
            if !views.contains_key(&view) && held.fingerprint != GIVEN_UP {
                let given_up = ViewState {
                    fingerprint: GIVEN_UP,
                    covered_from: CoveredFrom::Nothing,
                    ..held
                };
                let written = state.set_view(view, given_up);
                written.context("write the view's state")?;
            }
        }
        Ok(Coverage {
            state: state.clone(),
            views: Mutex::new(views),
            changes: AtomicU64::new(0),
        })
    }

    /// The generation being built.
    pub fn generation(&self, view: ViewId) -> Generation {
        self.locked()
            .get(&view)
            .map_or(FIRST, |held| held.state.generation)
    }

    /// Since when the view's rows are whole.
    pub fn of(&self, view: ViewId) -> CoveredFrom {
        let views = self.locked();
        let known = views.get(&view).filter(|known| known.missed.is_empty());
        known.map_or(CoveredFrom::Nothing, |known| known.state.covered_from)
    }

    /// Views that do not get the records of a partition from now on: until they do, nothing is covered.
    pub fn misses(&self, partition: Partition, views: &[ViewId]) {
        let mut known = self.locked();
        let mut changed = false;
        for view in views {
            changed |= known
                .get_mut(view)
                .is_some_and(|known| known.missed.insert(partition));
        }
        if changed {
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// Views that get the records of a partition from now on: of those that did not, what is before `from` is not
    /// covered.
    pub fn gets(&self, partition: Partition, views: &[ViewId], from: Timestamp) -> Result<()> {
        for view in views {
            let is_missed = |known: &Known| known.missed.contains(&partition);
            if !self.locked().get(view).is_some_and(is_missed) {
                continue;
            }
            self.lost(std::slice::from_ref(view), from)?;
            if let Some(known) = self.locked().get_mut(view) {
                known.missed.remove(&partition);
            }
            self.changes.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    /// Where the view began, if that was noted.
    pub fn begun(&self, view: ViewId) -> Option<Begun> {
        self.locked().get(&view).and_then(|held| held.begun.clone())
    }

    /// Up to when rows of the view let go of events while they wait for their past, if they do. They do
    /// not wait for ever.
    pub fn held(&self, view: ViewId) -> Option<Timestamp> {
        let begun = self.begun(view)?;
        begun.held.filter(|_| now() < begun.at.plus(WAITING))
    }

    /// Notes that the rows of a view wait no longer.
    pub fn release(&self, view: ViewId) -> Result<()> {
        self.change(view, |known| {
            let begun = known.begun.as_mut();
            begun.is_some_and(|begun| begun.held.take().is_some())
        })
    }

    /// Notes where reading begins in partitions that the views know nothing of yet, and whether that is
    /// their end: of one that is not, rows that wait for their past keep whatever it may hold.
    pub fn reads_from(&self, views: &[ViewId], starts: &[(Partition, i64, bool)]) -> Result<()> {
        for view in views {
            self.change(*view, |known| {
                let Some(begun) = &mut known.begun else {
                    return false;
                };
                let before = begun.positions.0.len();
                for (partition, next, is_at_end) in starts {
                    if begun.positions.0.contains_key(partition) {
                        continue;
                    }
                    let (next, clock) = (*next, Timestamp::MIN);
                    let position = PartitionPosition { next, clock };
                    begun.positions.0.insert(*partition, position);
                    // What it holds may be of any time, and so may copies of that be.
                    if let Some(held) = begun.held.as_mut().filter(|_| !is_at_end) {
                        *held = Timestamp::MIN;
                    }
                }
                begun.positions.0.len() > before
            })?;
        }
        Ok(())
    }

    /// Notes the first records that a source gave: views that knew nothing are covered from their
    /// own first one on. Tells whether all views have theirs.
    pub fn first_records(
        &self,
        source: &Source,
        views: &[ViewId],
        records: &RecordBatch,
    ) -> Result<bool> {
        let mut all = true;
        for view in views {
            self.change(*view, |known| {
                if known.state.covered_from != CoveredFrom::Nothing {
                    return false;
                }
                // What others are behind with is not for a view that came later.
                let own = records.metas.iter().filter(|meta| {
                    let begun = known.begun.as_ref();
                    let begins = begun.map_or(0, |at| at.positions.get(meta.partition).next);
                    meta.offset >= begins
                });
                let Some(earliest) = own.map(|meta| meta.broker_time).min() else {
                    all = false;
                    return false;
                };
                let from = earliest.plus(source.max_ahead.unwrap_or(Duration::ZERO));
                known.state.covered_from = CoveredFrom::Instant(from);
                true
            })?;
        }
        Ok(all)
    }

    /// Notes that records of a source are missing: what is before `from` is not covered any more.
    pub fn lost(&self, views: &[ViewId], from: Timestamp) -> Result<()> {
        for view in views {
            self.change(*view, |known| {
                let covered_from = &mut known.state.covered_from;
                *covered_from = match *covered_from {
                    CoveredFrom::Instant(before) if before > from => *covered_from,
                    _ => CoveredFrom::Instant(from),
                };
                if let Some(begun) = &mut known.begun {
                    begun.lost = begun.lost.max(Some(from));
                }
                true
            })?;
        }
        self.changes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Notes that a view has its past, which is whole from `from` on, as far as nothing was lost
    /// since the view began. Gives since when its rows are whole.
    pub fn has_past(&self, view: ViewId, from: CoveredFrom) -> Result<CoveredFrom> {
        let mut covered = CoveredFrom::Nothing;
        self.change(view, |known| {
            let lost = known.begun.as_ref().and_then(|begun| begun.lost);
            let from = match (lost, from) {
                (None, from) | (Some(_), from @ CoveredFrom::Nothing) => from,
                (Some(lost), CoveredFrom::Beginning) => CoveredFrom::Instant(lost),
                (Some(lost), CoveredFrom::Instant(from)) => CoveredFrom::Instant(from.max(lost)),
            };
            let held = &mut known.state.covered_from;
            *held = match (*held, from) {
                (CoveredFrom::Beginning, _) | (_, CoveredFrom::Beginning) => CoveredFrom::Beginning,
                (CoveredFrom::Instant(a), CoveredFrom::Instant(b)) => {
                    CoveredFrom::Instant(a.min(b))
                }
                (CoveredFrom::Nothing, some) | (some, CoveredFrom::Nothing) => some,
            };
            covered = *held;
            if let (CoveredFrom::Beginning, Some(begun)) = (covered, &mut known.begun) {
                begun.held = None;
            }
            true
        })?;
        self.changes.fetch_add(1, Ordering::Release);
        Ok(covered)
    }

    /// How often it was changed in a way that markers must be written anew for.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Changes what is known of a view, durably, where `change` says that it did.
    fn change(&self, view: ViewId, change: impl FnOnce(&mut Known) -> bool) -> Result<()> {
        let mut views = self.locked();
        let Some(held) = views.get_mut(&view) else {
            return Ok(());
        };
        let mut changed = held.clone();
        if change(&mut changed) {
            put(&self.state, view, &changed)?;
            *held = changed;
        }
        Ok(())
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<ViewId, Known>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(state: &Store, view: ViewId, known: &Known) -> Result<()> {
    let written = match &known.begun {
        Some(begun) => {
            let bytes = begun.encode(known.state.generation);
            state.set_view_and_meta(view, known.state, &begun_meta(view), &bytes)
        }
        None => state.set_view(view, known.state),
    };
    written.context("write the view's state")
}

fn begun(state: &Store, view: ViewId, generation: Generation) -> Result<Option<Begun>> {
    let read = state.get_meta(&begun_meta(view));
    let Some(bytes) = read.context("read where the view began")? else {
        return Ok(None);
    };
    let (of, begun) = Begun::decode(&bytes).context("read where the view began")?;
    Ok((of == generation).then_some(begun))
}

/// A view that begins now. What its source declares holds only for a view that reads the source
/// from its start.
fn begin(view: &View, held: Option<ViewState>, recovered: &[(ShardRange, Positions)]) -> Known {
    let source = &view.source;
    // Shards may have come differently far: the view begins where all of them have been.
    let mut positions = Positions::default();
    for (_, known) in recovered {
        let own = known
            .0
            .iter()
            .filter(|(p, _)| p.source == source.id && p.is_log());
        own.for_each(|(partition, at)| positions.advance(*partition, *at));
    }
    let from_start = positions.0.values().all(|at| at.next == 0);
    let declared = source.complete_since.filter(|_| from_start);
    let covered_from = declared.unwrap_or(CoveredFrom::Nothing);
    let clock = positions.0.values().map(|at| at.clock).min();
    let waits = view.spec.unbounded() && covered_from != CoveredFrom::Beginning;
    // A table is its view's present and past.
    let waits = waits && source.table().is_none();
    Known {
        state: ViewState {
            generation: held.map_or(FIRST, |held| Generation(held.generation.0 + 1)),
            fingerprint: view.spec.fingerprint,
            covered_from,
        },
        begun: Some(Begun {
            at: now(),
            held: waits.then(|| view.spec.kept_from(clock.unwrap_or(Timestamp::MIN))),
            positions,
            lost: None,
        }),
        missed: BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_view_began_is_read_back() {
        let partition = Partition {
            source: SourceId(1),
            number: 2,
        };
        let position = PartitionPosition {
            next: 300,
            clock: Timestamp(-1),
        };
        let begun = Begun {
            at: Timestamp(3),
            positions: Positions([(partition, position)].into()),
            held: Some(Timestamp(-2)),
            lost: None,
        };
        let bytes = begun.encode(Generation(7));
        // Golden: these bytes are on disks.
        assert_eq!(bytes, [1, 7, 6, 1, 3, 0, 0, 1, 1, 2, 0xd8, 4, 1]);
        assert_eq!(Begun::decode(&bytes), Ok((Generation(7), begun)));
        Begun::decode(&bytes[..5]).expect_err("cut");
        Begun::decode(&[2]).expect_err("another form");
    }
}

//! Since when each view's rows are whole: kept in state, shared by lanes.

use super::FIRST;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tiderace_plan::Plan;
use tiderace_plan::model::{Source, View};
use tiderace_state::{Store, ViewState};
use tiderace_types::{CoveredFrom, Duration, Generation, Positions, ShardRange, Timestamp, ViewId};

/// The meaning of a view that the plan has no more: that of no definition.
const GIVEN_UP: u64 = 0;

/// Every view's generation and coverage.
pub struct Coverage {
    state: Store,
    views: Mutex<BTreeMap<ViewId, ViewState>>,
    losses: AtomicU64,
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
            let view_state = match current {
                Some(current) => current,
                None => {
                    let begun = begin(view, held, recovered);
                    state
                        .set_view(view.id, begun)
                        .context("write the view's state")?;
                    begun
                }
            };
            views.insert(view.id, view_state);
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
            losses: AtomicU64::new(0),
        })
    }

    /// The generation being built.
    pub fn generation(&self, view: ViewId) -> Generation {
        self.locked()
            .get(&view)
            .map_or(FIRST, |held| held.generation)
    }

    /// Since when the view's rows are whole.
    pub fn of(&self, view: ViewId) -> CoveredFrom {
        self.locked()
            .get(&view)
            .map_or(CoveredFrom::Nothing, |held| held.covered_from)
    }

    /// Notes the first record that a source gave in this process: views that knew nothing
    /// are covered from here.
    pub fn first_record(
        &self,
        source: &Source,
        views: &[ViewId],
        broker_time: Timestamp,
    ) -> Result<()> {
        let from = broker_time.plus(source.max_ahead.unwrap_or(Duration::ZERO));
        let mut held = self.locked();
        for view in views {
            if let Some(held) = held.get_mut(view)
                && held.covered_from == CoveredFrom::Nothing
            {
                let covered = ViewState {
                    covered_from: CoveredFrom::Instant(from),
                    ..*held
                };
                self.state
                    .set_view(*view, covered)
                    .context("write the view's state")?;
                *held = covered;
            }
        }
        Ok(())
    }

    /// Notes that records of a source are missing: what is before `from` is not covered any more.
    pub fn lost(&self, views: &[ViewId], from: Timestamp) -> Result<()> {
        let mut held = self.locked();
        for view in views {
            if let Some(held) = held.get_mut(view) {
                held.covered_from = match held.covered_from {
                    CoveredFrom::Instant(before) if before > from => held.covered_from,
                    _ => CoveredFrom::Instant(from),
                };
                self.state
                    .set_view(*view, *held)
                    .context("write the view's state")?;
            }
        }
        self.losses.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// How often something was found lost: markers must be written anew when it rises.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<ViewId, ViewState>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of a view that begins now. What its source declares holds only for a view that
/// reads the source from its start.
fn begin(view: &View, held: Option<ViewState>, recovered: &[(ShardRange, Positions)]) -> ViewState {
    let source = &view.source;
    let from_start = recovered.iter().all(|(_, positions)| {
        let mut own = positions.0.iter().filter(|(p, _)| p.source == source.id);
        own.all(|(_, at)| at.next == 0)
    });
    let declared = source.complete_since.filter(|_| from_start);
    ViewState {
        generation: held.map_or(FIRST, |held| Generation(held.generation.0 + 1)),
        fingerprint: view.spec.fingerprint,
        covered_from: declared.unwrap_or(CoveredFrom::Nothing),
    }
}

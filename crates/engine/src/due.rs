//! Which dense rows are to be anchored when: by the wall clock that readers ask at, not by events.

use crate::anchor::Cuts;
use crate::dense::Dense;
use crate::lane::{Lane, held};
use crate::table::Slot;
use std::collections::BTreeSet;
use tiderace_types::{KeyBytes, RowKey, Timestamp};

/// At most so many rows are anchored at one go.
const MOST: usize = 64;

/// Instants with the rows that are due then.
pub(crate) type DueList = BTreeSet<(Timestamp, usize, KeyBytes)>;

/// What an entry takes: itself and its key, in leaves that are two thirds full.
pub(crate) const LISTED: usize = size_of::<(Timestamp, usize, KeyBytes)>() * 3 / 2 + 16;

/// A row that is being anchored.
#[derive(Debug)]
pub(crate) struct Anchoring {
    pub(crate) view: usize,
    pub(crate) slot: Slot,
    /// When it was due in the list.
    listed: Timestamp,
    /// The instant that it is anchored at.
    pub(crate) at: Timestamp,
    pub(crate) cuts: Option<Cuts>,
    /// Whether it is only read.
    pub(crate) reading: bool,
}

impl Lane {
    /// Takes up dense rows whose state says so, as at a start.
    pub fn owe_anchors(&mut self, keys: impl IntoIterator<Item = RowKey>) {
        for key in keys {
            if let Some(view) = self.view_of(&key) {
                self.due.insert((Timestamp::MIN, view, key.entity));
            }
        }
    }

    /// When the next dense row is due.
    #[must_use]
    pub fn anchors_at(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// Takes the rows that are due at `now`, a bounded number; tells whether there are any.
    /// [`Lane::wants_anchors`] and [`Lane::anchor`] follow.
    pub fn take_due(&mut self, now: Timestamp) -> bool {
        while self.anchoring.len() < MOST {
            match self.due.first() {
                Some((at, ..)) if *at <= now => {}
                _ => break,
            }
            let Some((listed, view, entity)) = self.due.pop_first() else {
                break;
            };
            self.take_up(view, &entity, listed, now);
        }
        !self.anchoring.is_empty()
    }

    /// Takes one row, whether it is due or not.
    pub fn take_key(&mut self, key: &RowKey, now: Timestamp) {
        if let Some(view) = self.view_of(key) {
            self.take_up(view, &key.entity, Timestamp::MIN, now);
        }
    }

    fn take_up(&mut self, view: usize, entity: &[u8], listed: Timestamp, now: Timestamp) {
        let hash = tiderace_types::hash_key(entity);
        let before = self.tables[view].len();
        let spec = &self.views[view].view.spec;
        let slot = self.tables[view].find_or_add(entity, hash, spec);
        if self.tables[view].len() > before {
            self.scratch.missing.push((view, slot));
        }
        self.anchoring.push(Anchoring {
            view,
            slot,
            listed,
            at: now,
            cuts: None,
            reading: false,
        });
    }

    /// Anchors the rows that were taken, and owes them to the online store.
    pub fn anchor(&mut self, now: Timestamp) {
        for Anchoring {
            view,
            slot,
            listed,
            cuts,
            ..
        } in std::mem::take(&mut self.anchoring)
        {
            let Some(held) = held(&mut self.tables, view, slot) else {
                continue;
            };
            let Some(dense) = &held.dense else {
                continue;
            };
            // A row is listed once for each time it was anchored; only the last one counts.
            let forced = listed == Timestamp::MIN || dense.due == Timestamp::MIN;
            if !forced && listed != dense.due {
                continue;
            }
            self.trim_dense(view, slot);
            self.anchor_held(view, slot, cuts, now);
        }
    }

    /// Anchors a dense row whose wanted segments are in memory.
    pub(crate) fn anchor_held(
        &mut self,
        view: usize,
        slot: Slot,
        cuts: Option<Cuts>,
        now: Timestamp,
    ) {
        let lane_view = &self.views[view];
        let (spec, measures) = (&lane_view.view.spec, &lane_view.measures);
        let Some(held) = held(&mut self.tables, view, slot) else {
            return;
        };
        let Some(dense) = &mut held.dense else {
            return;
        };
        let (head, density) = (&held.part.row, lane_view.density);
        let cuts = cuts.unwrap_or_else(|| dense.cuts(spec, density, now));
        dense.anchor(head, spec, measures, density, &cuts);
        if dense.due != Timestamp::MAX {
            self.due.insert((dense.due, view, (*held.entity).into()));
        }
        if !std::mem::replace(&mut held.unpublished, true) {
            self.outlet.touch(view, slot, now);
        }
        let (before, bytes) = held.count();
        self.memory = (self.memory + bytes).saturating_sub(before);
    }

    /// Makes a row dense that has grown so.
    pub(crate) fn thicken(&mut self, view: usize, slot: Slot, now: Timestamp) {
        let lane_view = &self.views[view];
        let spec = &lane_view.view.spec;
        let upto = self.upto(view);
        let Some(held) = held(&mut self.tables, view, slot) else {
            return;
        };
        held.part.trim(spec, upto);
        if !crate::loading::is_dense(&held.part.row, lane_view) {
            return;
        }
        let dense = Dense::of(&mut held.part, spec, lane_view.density);
        held.dense = Some(Box::new(dense));
        self.anchor_held(view, slot, None, now);
    }

    /// Lets go of segments that nothing needs any more; the row is anchored next.
    fn trim_dense(&mut self, view: usize, slot: Slot) {
        let lane_view = &self.views[view];
        let spec = &lane_view.view.spec;
        let upto = self.upto(view);
        let Some(held) = held(&mut self.tables, view, slot) else {
            return;
        };
        let Some(dense) = &mut held.dense else {
            return;
        };
        let (part, measures) = (&mut held.part, &lane_view.measures);
        if dense.trim(part, spec, measures, upto) && !std::mem::replace(&mut held.uncommitted, true)
        {
            self.owe_commit(view, slot);
        }
    }

    /// Takes a row to be read as of an instant that its published form may not answer.
    /// [`Lane::wants_anchors`] and [`Lane::read_taken`] follow.
    pub fn take_reading(&mut self, key: &RowKey, as_of: Timestamp) {
        let Some(view) = self.view_of(key) else {
            return;
        };
        self.take_up(view, &key.entity, Timestamp::MIN, as_of);
        let spec = &self.views[view].view.spec;
        if let Some(taken) = self.anchoring.last_mut() {
            taken.cuts = Some(Cuts::new(spec, as_of, as_of));
            taken.reading = true;
        }
    }

    /// The row that was taken to be read, cut so that every window is exact as of that instant
    /// where the row keeps it; `None` where there is none.
    pub fn read_taken(&mut self) -> Option<Vec<u8>> {
        let taken = self.anchoring.pop()?;
        let lane_view = &self.views[taken.view];
        let (spec, measures) = (&lane_view.view.spec, &lane_view.measures);
        let held = held(&mut self.tables, taken.view, taken.slot)?;
        let version = tiderace_types::Version::default();
        match (&mut held.dense, taken.cuts) {
            (Some(dense), Some(cuts)) => {
                dense.summarise(spec, measures);
                let row = dense.row(&held.part.row, spec, measures, &cuts);
                Some(row.encode(spec, version))
            }
            _ if held.part.row.events.is_empty() && held.part.row.base.is_none() => None,
            _ => Some(held.part.row.encode(spec, version)),
        }
    }

    /// The place of a row's view.
    pub(crate) fn view_of(&self, key: &RowKey) -> Option<usize> {
        let same =
            |view: &crate::LaneView| view.view.id == key.view && view.generation == key.generation;
        self.views.iter().position(same)
    }
}

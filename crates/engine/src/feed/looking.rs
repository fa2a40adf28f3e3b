//! Looks at the stored rows: which have changed by themselves, and when the others will.

use super::Look;
use super::names::Names;
use crate::lane::Lane;
use tiderace_types::{Partition, RowKey, SourceId, Timestamp, ViewId};

impl Lane {
    /// Has something looked for among the stored rows of a view, as at a start.
    pub fn want_look(&mut self, view: ViewId, look: Look) {
        let place = self.views.iter().position(|held| held.view.id == view);
        if let Some(place) = place.filter(|place| self.feeds.names[*place].is_some()) {
            self.feeds.ticks.freeze();
            self.feeds.wanted.insert(place, look);
        }
    }

    /// Begins to look, if anything is wanted and nothing holds it up; the shell goes through every
    /// stored row then, asks [`Lane::look_at`] and says [`Lane::looked_at`], and at last
    /// [`Lane::end_look`].
    pub fn begin_look(&mut self, now: Timestamp) -> bool {
        self.let_go();
        if !self.feeds.held.is_empty() || !self.feeds.looking.is_empty() {
            return false;
        }
        for (view, names) in self.feeds.names.iter().enumerate() {
            let short = names.as_ref().filter(|names| names.decays);
            if let Some(upto) = short.and_then(|names| names.falls.runs_short()) {
                self.feeds.wanted.entry(view).or_insert(Look::Since(upto));
            }
        }
        // What is told while a source lags would have to be told again.
        let wanted = self.feeds.wanted.keys();
        let mut wanted = wanted.filter_map(|view| self.feeds.names[*view].as_ref());
        let caught_up = wanted.all(|names| self.has_caught_up(names, now));
        if self.feeds.wanted.is_empty() || !caught_up {
            return false;
        }
        let feeds = &mut self.feeds;
        feeds.ticks.freeze();
        feeds.looking = std::mem::take(&mut feeds.wanted);
        for view in feeds.looking.keys() {
            if let Some(names) = &mut feeds.names[*view] {
                names.falls.begin();
            }
        }
        true
    }

    /// What is looked for in a row.
    #[must_use]
    pub fn look_at(&self, key: &RowKey) -> Option<Look> {
        self.feeds.looking.get(&self.view_of(key)?).copied()
    }

    /// Notes when a row's values change next after the instant that was asked for; a row that has
    /// changed by `now` is owed.
    pub fn looked_at(&mut self, key: &RowKey, next: Option<Timestamp>, now: Timestamp) {
        let Some(view) = self.view_of(key) else {
            return;
        };
        if next.is_some_and(|next| next <= now) {
            self.feeds.touch(view, &key.entity, now);
        } else if let Some(names) = &mut self.feeds.names[view] {
            names.falls.note(key.entity.clone(), next);
        }
    }

    /// Notes that every stored row has been looked at.
    pub fn end_look(&mut self) {
        self.feeds.looking.clear();
        if self.feeds.wanted.is_empty() {
            self.feeds.ticks.thaw();
        }
    }

    /// Tells whether a look is wanted or under way: until it is over, rows that are not held may have
    /// changed by themselves, and must not be swept.
    #[must_use]
    pub fn looks(&self) -> bool {
        !self.feeds.looking.is_empty() || !self.feeds.wanted.is_empty()
    }

    /// The latest instant whose sampled ends of a source the lane has come to.
    pub(super) fn reached_at(&self, source: SourceId) -> Timestamp {
        let progress = self.progress.get(&source);
        progress.map_or(Timestamp::MIN, |held| held.reached_at(&self.positions))
    }

    pub(super) fn has_caught_up(&self, names: &Names, now: Timestamp) -> bool {
        now.since(self.reached_at(names.source)) <= names.max_lag
    }

    /// Lets go of sources that have come to where they ended at the start, and of names that are too many
    /// while their source is held.
    pub(super) fn let_go(&mut self) {
        if self.feeds.held.is_empty() {
            return;
        }
        let positions = &self.positions;
        self.feeds.held.retain(|_, ends| {
            let reached = |ends: &Vec<(Partition, i64)>| {
                ends.iter().all(|(p, end)| positions.get(*p).next >= *end)
            };
            !ends.as_ref().is_some_and(reached)
        });
        if self.feed_is_full() {
            for view in 0..self.views.len() {
                let names = self.feeds.names[view].as_ref();
                if names.is_some_and(|names| self.feeds.held.contains_key(&names.source)) {
                    self.feeds.forget(view);
                }
            }
        }
    }
}

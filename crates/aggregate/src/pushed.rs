//! Events that were pushed a moment ago, in a row as readers have it: counted, or left out.
//!
//! Who pushes an event and asks at once cannot know whether the row that is read has it already:
//! it comes by the stream at any moment. A row is a set by identity, so putting the event in is
//! right in either case, as long as the row still holds the events of that time one by one.
//!
//! # Laws
//! - [`Row::include`] gives the row of the union, [`Row::exclude`] that of what is left: whether or
//!   not the events had come, and however often they are put in or left out.
//! - Where a merged span or what is folded may hold a copy, the row stays as it is and that is told.

use crate::column::Cell;
use crate::events::{Event, Events};
use crate::row::Row;
use crate::spec::RowSpec;
use tiderace_types::{KeyBytes, Reason, Timestamp, ViewId};

/// What pushed records are.
#[derive(Clone, Debug, Default)]
pub struct PushedEvents {
    /// What each is to its source, in order.
    pub records: Vec<PushedRecord>,
    /// What views make of them.
    pub members: Vec<PushedMember>,
    /// Where a view cannot make anything of an event.
    pub failures: Vec<PushFailure>,
}

/// What a pushed record is to its source, but for what hangs on the stream clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushedRecord {
    /// An event of this time.
    Event(Timestamp),
    /// In order, but sent away: by a check, or as a record of another table.
    Dropped,
    /// Refused, and why.
    Refused(Reason, String),
}

/// What a view makes of an event.
#[derive(Clone, Debug)]
pub struct PushedMember {
    /// The view.
    pub view: ViewId,
    /// The entity, in key encoding.
    pub entity: KeyBytes,
    /// Which record it is.
    pub record: usize,
    /// The event alone, as the entity's row takes it in.
    pub event: Events,
}

/// An event on which an expression of a view fails: it is none of the view's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushFailure {
    /// The view.
    pub view: ViewId,
    /// Which record it is.
    pub record: usize,
    /// What it is refused for.
    pub reason: Reason,
    /// The particulars.
    pub detail: String,
}

impl Row {
    /// Counts events whether it has them or not; tells whether it could say so.
    #[must_use = "where it is not told, the row may have them or not"]
    pub fn include(&mut self, spec: &RowSpec, pushed: &Events) -> bool {
        if !self.tells(spec, pushed) {
            return false;
        }
        each(pushed, |event| {
            // What lies before what is kept is in no window that is answered.
            if event.time > self.kept_from {
                self.put_all(spec, &[*event]);
            }
        });
        true
    }

    /// Leaves events out whether it has them or not; tells whether it could say so.
    #[must_use = "where it is not told, the row may have them or not"]
    pub fn exclude(&mut self, spec: &RowSpec, pushed: &Events) -> bool {
        // What lies beside the spans for last-N windows is no more than these need.
        let anchored = self
            .merged
            .as_ref()
            .and_then(|merged| merged.anchored.as_ref());
        let anchor = anchored.filter(|_| spec.remembers()).map(|at| at.anchor.0);
        let beside = pushed.times().iter().any(|time| Some(*time) <= anchor);
        if beside || !self.tells(spec, pushed) {
            return false;
        }
        each(pushed, |event| {
            self.events.remove(event);
        });
        true
    }

    /// Whether of every event's time the row holds what there is one by one, or needs nothing.
    fn tells(&self, spec: &RowSpec, pushed: &Events) -> bool {
        let merged = self.merged.as_deref();
        pushed.times().iter().all(|time| {
            let time = Timestamp(*time);
            let folded = spec.unbounded() && time <= self.kept_from;
            let merged = merged.is_some_and(|merged| merged.place_at(time).is_some());
            !folded && !merged
        })
    }
}

/// Every event by itself.
fn each(events: &Events, mut what: impl FnMut(&Event<'_>)) {
    for (index, time) in events.times().iter().enumerate() {
        let inputs: Vec<Cell<'_>> = events.cells(index).collect();
        what(&Event {
            time: Timestamp(*time),
            id: events.id(index),
            bits: events.bits().get(index).copied().unwrap_or_default(),
            inputs: &inputs,
        });
    }
}

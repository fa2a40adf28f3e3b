//! The row: what one entity of one view remembers.
//!
//! # Laws
//! - A row is a function of the set of events put in and of `kept_from`; never of their order.
//! - Trimming changes no answer that [`Row::holds`].

use crate::events::{Event, Events, Insert};
use crate::partial::Partial;
use crate::spec::{Kept, RowSpec, Span, Window};
use tiderace_types::{Timestamp, Version};

/// What one entity of one view remembers.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The publication it belongs to; zero in state.
    pub version: Version,
    /// Events at or before this instant may have been let go (folded into `base` where it is needed).
    pub kept_from: Timestamp,
    /// What was folded, for views with unbounded windows.
    pub base: Option<Base>,
    /// Every event after `kept_from`.
    pub events: Events,
}

/// Partials of the events that a row has let go.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    /// The newest event folded.
    pub newest: Timestamp,
    /// One partial per lifetime output of the spec: (index of the output, partial), by index.
    pub partials: Vec<(usize, Partial)>,
}

/// What became of an event that was offered to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The set of events decided.
    Known(Insert),
    /// It lies before what the row keeps, so a copy of it could not be told.
    BeforeKept,
}

impl Row {
    /// The row that has seen nothing.
    #[must_use]
    pub fn new(spec: &RowSpec) -> Row {
        Row {
            version: Version::default(),
            kept_from: Timestamp::MIN,
            base: None,
            events: Events::new(spec),
        }
    }

    /// Offers an event.
    pub fn offer(&mut self, spec: &RowSpec, event: &Event<'_>) -> Offer {
        debug_assert_eq!(event.inputs.len(), spec.inputs.len());
        if event.time <= self.kept_from {
            return Offer::BeforeKept;
        }
        Offer::Known(self.events.insert(event))
    }

    /// Takes in another part of the same row: the union of the events after the later `kept_from`.
    ///
    /// At most one part has a base: a fold replaces all parts in one write.
    pub fn merge(&mut self, spec: &RowSpec, part: Row) {
        if self.events.is_empty() {
            self.events = part.events;
        } else {
            self.events.merge(&part.events);
        }
        self.base = self.base.take().or(part.base);
        // An earlier part may still have what had been let go when the later one was written.
        let upto = self.kept_from.max(part.kept_from);
        self.kept_from = self.kept_from.min(part.kept_from);
        self.trim(spec, upto);
    }

    /// Lets go of events at or before `upto`, folding what unbounded windows need.
    ///
    /// Tells how many went. `upto` never goes back.
    pub fn trim(&mut self, spec: &RowSpec, upto: Timestamp) -> usize {
        if upto <= self.kept_from {
            return 0;
        }
        self.kept_from = upto;
        let gone = self.events.between(Timestamp::MIN, upto);
        if gone.is_empty() {
            return 0;
        }
        let lifetimes = || {
            let outputs = spec.outputs.iter().enumerate();
            outputs.filter(|(_, output)| output.window.span == Span::Lifetime)
        };
        if lifetimes().next().is_some() {
            let base = self.base.get_or_insert_with(|| Base {
                newest: Timestamp::MIN,
                partials: lifetimes()
                    .map(|(index, output)| (index, Partial::empty(output, &spec.inputs)))
                    .collect(),
            });
            base.newest = Timestamp(self.events.times()[gone.end - 1]);
            for (index, partial) in &mut base.partials {
                partial.add(
                    &spec.outputs[*index],
                    &spec.inputs,
                    &self.events,
                    gone.clone(),
                );
            }
        }
        self.events.drop_front(gone.end);
        gone.end
    }

    /// The folded partial of output `index`.
    pub(crate) fn base_of(&self, index: usize) -> Option<&Partial> {
        let base = self.base.as_ref()?;
        let place = base
            .partials
            .binary_search_by_key(&index, |(i, _)| *i)
            .ok()?;
        Some(&base.partials[place].1)
    }

    /// Tells whether `window` at `as_of` lies inside what the row keeps, so that its answer is exact.
    #[must_use]
    pub fn holds(&self, window: Window, as_of: Timestamp) -> bool {
        let upto = as_of.minus(window.delay);
        match window.span {
            Span::Sliding(size) => upto.minus(size) >= self.kept_from,
            Span::Lifetime => upto >= self.kept_from,
        }
    }

    /// The newest event at or before `as_of`.
    #[must_use]
    pub fn newest(&self, as_of: Timestamp) -> Option<Timestamp> {
        let range = self.events.between(Timestamp::MIN, as_of);
        match range.end.checked_sub(1) {
            Some(index) => Some(Timestamp(self.events.times()[index])),
            None => self
                .base
                .as_ref()
                .map(|base| base.newest)
                .filter(|newest| *newest <= as_of),
        }
    }

    /// Roughly how many bytes of memory the row takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let base = self
            .base
            .as_ref()
            .map_or(0, |base| base.partials.len() * 64);
        size_of::<Row>() + self.events.memory() + base
    }
}

impl RowSpec {
    /// The instant up to which rows may be trimmed when the shard clock shows `clock`.
    #[must_use]
    pub fn kept_from(&self, clock: Timestamp) -> Timestamp {
        match self.kept {
            Kept::All => Timestamp::MIN,
            Kept::Span {
                reach,
                history,
                lateness,
            } => clock.minus(reach.plus(history).plus(lateness)),
        }
    }

    /// Whether any output has an unbounded window, so that rows never expire.
    #[must_use]
    pub fn unbounded(&self) -> bool {
        self.outputs
            .iter()
            .any(|output| output.window.span == Span::Lifetime)
    }
}

//! The row: what one entity of one view remembers.
//!
//! # Laws
//! - A row is a function of the set of events put in and of `kept_from`; never of their order.
//! - Trimming changes no answer that [`Row::holds`].
//! - It makes no difference whether an event came in time and was let go of, or comes later
//!   ([`Row::fold_past`]).

use crate::events::{Events, Insert};
use crate::incoming::Incoming;
use crate::partial::Partial;
use crate::spec::{Kept, Output, RowSpec};
use crate::summary::{Anchored, Lies, Merged, Piece};
use crate::window::{Bounds, Passing, Span, Window};
use std::collections::BTreeMap;
use std::ops::Range;
use tiderace_types::{Duration, Timestamp, Version, allocated};

/// What one entity of one view remembers.
///
/// What every event needs of it comes first, in one line of memory and the beginning of the next.
#[derive(Clone, Debug, PartialEq)]
#[repr(C)]
pub struct Row {
    /// Every event after `kept_from` that is in no merged span, and of those before what last-N
    /// windows may yet need.
    pub events: Events,
    /// Events at or before this instant may have been let go (folded into `base` where it is needed).
    pub kept_from: Timestamp,
    /// What was folded, for views with unbounded windows.
    pub base: Option<Box<Base>>,
    /// Of a dense row as readers see it, the spans that are held merged.
    pub merged: Option<Box<Merged>>,
    /// Whether this is only the head of a dense row, whose events are kept in segments of their own.
    pub head: bool,
    /// The publication it belongs to; zero in state.
    pub version: Version,
}

/// Partials of the events that a row has let go.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    /// The newest event folded.
    pub newest: Timestamp,
    /// One partial per lifetime output of the spec: (index of the output, partial), by index.
    pub partials: Vec<(usize, Partial)>,
}

impl Base {
    /// The base that nothing is folded into.
    #[must_use]
    pub fn empty(spec: &RowSpec) -> Base {
        let outputs = spec.outputs.iter().enumerate();
        let lifetimes = outputs.filter(|(_, output)| output.window.span == Span::Lifetime);
        Base {
            newest: Timestamp::MIN,
            partials: lifetimes
                .map(|(index, output)| (index, Partial::empty(output, &spec.inputs)))
                .collect(),
        }
    }
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
            merged: None,
            head: false,
            events: Events::new(spec),
        }
    }

    /// Offers an event.
    pub fn offer<E: Incoming>(&mut self, spec: &RowSpec, event: &E) -> Offer {
        debug_assert!(event.is_of(spec));
        if event.time() <= self.kept_from {
            return Offer::BeforeKept;
        }
        Offer::Known(self.events.insert(event))
    }

    /// Offers many events, as one after another, and tells of each what became of it.
    pub fn offer_all<E: Incoming>(
        &mut self,
        spec: &RowSpec,
        events: &[E],
        mut each: impl FnMut(usize, Offer),
    ) {
        if events.iter().any(|event| event.time() <= self.kept_from) {
            for (index, event) in events.iter().enumerate() {
                each(index, self.offer(spec, event));
            }
            return;
        }
        let each = |index, insert| each(index, Offer::Known(insert));
        self.events.insert_all(events, each);
    }

    /// Takes events that are known to be new, each into the merged span of its time or among the
    /// row's own events. Tells whether it could: a span of events that may be taken back has to
    /// be merged anew.
    pub fn put_all<E: Incoming>(&mut self, spec: &RowSpec, events: &[E]) -> bool {
        let Some(merged) = self.merged.as_deref_mut() else {
            self.events.insert_all(events, |_, _| {});
            return true;
        };
        if let Some(at) = merged.anchored.as_mut().filter(|_| spec.remembers()) {
            let before = events.iter().filter(|event| event.time() <= at.anchor);
            let before: Vec<E> = before.copied().collect();
            at.last.insert_all(&before, |_, _| {});
        }
        let ends = merged.pieces.last().map(|piece| piece.upto);
        if events.iter().all(|event| Some(event.time()) > ends) {
            self.events.insert_all(events, |_, _| {});
            return true;
        }
        let mut own = Vec::with_capacity(events.len());
        let mut inside: Vec<(usize, E)> = Vec::new();
        for event in events {
            match merged.place_at(event.time()) {
                Some(place) => inside.push((place, *event)),
                None => own.push(*event),
            }
        }
        self.events.insert_all(&own, |_, _| {});
        if spec.sign.is_some() && !inside.is_empty() {
            return false;
        }
        inside.sort_by_key(|(place, _)| *place);
        for run in inside.chunk_by(|(a, _), (b, _)| a == b) {
            let events: Vec<E> = run.iter().map(|(_, event)| *event).collect();
            let mut alone = Events::new(spec);
            alone.insert_all(&events, |_, _| {});
            let summary = &mut merged.pieces[run[0].0].summary;
            summary.add(spec, &merged.measures, &alone, 0..alone.len());
        }
        true
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
        // What a base's own part remembers of before its `kept_from` is in the base already.
        let folded = match (&self.base, &part.base) {
            (Some(_), _) => self.kept_from,
            (None, Some(_)) => part.kept_from,
            (None, None) => Timestamp::MIN,
        };
        self.base = self.base.take().or(part.base);
        self.head |= part.head;
        // An earlier part may still have what had been let go when the later one was written.
        let upto = self.kept_from.max(part.kept_from);
        self.kept_from = self.kept_from.min(part.kept_from).max(folded);
        self.trim(spec, upto);
    }

    /// Lets go of events at or before `upto`, but for what last-N windows may yet need, folding
    /// what unbounded windows need.
    ///
    /// Tells how many ceased to be kept for their time. `upto` never goes back.
    pub fn trim(&mut self, spec: &RowSpec, upto: Timestamp) -> usize {
        if upto <= self.kept_from {
            return 0;
        }
        let oldest = self.events.times().first();
        if oldest.is_none_or(|oldest| *oldest > upto.0) {
            self.kept_from = upto;
            return 0;
        }
        let leaving = self.events.between(self.kept_from, upto);
        self.kept_from = upto;
        if leaving.is_empty() {
            return 0;
        }
        let net = self.settle(spec, leaving.clone());
        fold(&mut self.base, spec, &self.events, net.clone());
        let remembered = spec.newest(&self.events, net.end);
        if remembered.len() < net.end {
            self.drop_front(net.end, &remembered);
        }
        leaving.len()
    }

    /// Takes away what is retracted of events that are let go, and what retracts: nothing of
    /// their times comes any more. Tells where what is left of them lies.
    fn settle(&mut self, spec: &RowSpec, leaving: Range<usize>) -> Range<usize> {
        let net = spec
            .sign
            .and_then(|sign| self.events.slice(leaving.clone()).net(sign));
        let Some(net) = net else {
            return leaving;
        };
        let mut events = self.events.slice(0..leaving.start);
        events.merge(&net);
        let left = leaving.start..events.len();
        events.merge(&self.events.slice(leaving.end..self.events.len()));
        self.events = events;
        left
    }

    /// Takes in events at or before what it keeps, as if they had come in time and been let go of
    /// since; tells of each what became of it.
    ///
    /// Whether the row has had one of them before cannot be told any more: who calls knows that it
    /// has not. Of events of one time all are given together, since some may take others back.
    pub fn fold_past<E: Incoming>(
        &mut self,
        spec: &RowSpec,
        events: &[E],
        mut each: impl FnMut(usize, Offer),
    ) {
        debug_assert!(events.iter().all(|event| event.time() <= self.kept_from));
        if !spec.unbounded() {
            (0..events.len()).for_each(|index| each(index, Offer::BeforeKept));
            return;
        }
        let mut past = Events::new(spec);
        past.insert_all(events, |index, insert| each(index, Offer::Known(insert)));
        let past = match spec.sign.and_then(|sign| past.net(sign)) {
            Some(net) => net,
            None => past,
        };
        fold(&mut self.base, spec, &past, 0..past.len());
        if spec.remembers() && !past.is_empty() {
            let before = self.events.between(Timestamp::MIN, self.kept_from).end;
            let mut remembered = self.events.slice(0..before);
            remembered.merge(&past);
            let mut all = remembered.pick(&spec.newest(&remembered, remembered.len()));
            all.merge(&self.events.slice(before..self.events.len()));
            self.events = all;
        }
    }

    /// Forgets the first `count` events but for those at `remembered`.
    fn drop_front(&mut self, count: usize, remembered: &[usize]) {
        let mut events = self.events.pick(remembered);
        self.events.drop_front(count);
        if !remembered.is_empty() {
            events.merge(&self.events);
            self.events = events;
        }
    }

    /// The events in the window of `output` at `as_of` that are not folded.
    #[must_use]
    pub fn select(&self, output: &Output, as_of: Timestamp) -> Range<usize> {
        self.selected(output.window, output.filter, as_of)
    }

    /// The events in a window of those that pass a filter.
    pub(crate) fn selected(
        &self,
        window: Window,
        filter: Option<usize>,
        as_of: Timestamp,
    ) -> Range<usize> {
        let coarse = self.merged.as_ref().filter(|merged| merged.is_coarse());
        let selected = match coarse.and_then(|_| self.edges(window, as_of)) {
            Some(Bounds { after, upto }) => self.events.between(after, upto.max(after)),
            None => {
                let bits = self.events.bits();
                window.select(as_of, self.events.times(), Passing { bits, filter })
            }
        };
        match window.span {
            // What is remembered for another window is in the base already.
            Span::Lifetime if self.base.is_some() => {
                let folded = self.events.between(Timestamp::MIN, self.kept_from).end;
                folded.min(selected.end)..selected.end
            }
            _ => selected,
        }
    }

    /// The instant after which the row must know every event for the answer of `output` to be
    /// right, going by the events that it has.
    #[must_use]
    pub fn needs_after(&self, output: &Output, as_of: Timestamp) -> Timestamp {
        let last = self.last(output);
        let events = last.as_ref().unwrap_or(&self.events);
        let passing = passing(events, output);
        output.window.needs_after(as_of, events.times(), passing)
    }

    /// The events that a last-N window of a dense row is over; `None` where they are the row's own.
    pub(crate) fn last(&self, output: &Output) -> Option<Events> {
        let Span::LastN(_) = output.window.span else {
            return None;
        };
        let at = self.anchored()?;
        let mut events = at.last.clone();
        let later = self.events.between(at.anchor, Timestamp::MAX);
        events.merge(&self.events.slice(later));
        Some(events)
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

    /// Tells whether output `index` at `as_of` can be answered: its window lies inside what the
    /// row keeps, and no edge of it runs through a merged span; exactly, if it is not
    /// [`off`](Row::off).
    #[must_use]
    pub fn answers(&self, spec: &RowSpec, index: usize, as_of: Timestamp) -> bool {
        let window = spec.outputs[index].window;
        self.holds(window, as_of)
            && self.merged.as_ref().is_none_or(|merged| {
                let Some(bounds) = window.bounds(as_of) else {
                    // The last events of an instant before the anchor may have been let go since.
                    let at = merged.anchored.as_ref();
                    return at.map_or(merged.pieces.is_empty(), |at| at.anchor <= as_of);
                };
                let Bounds { after, upto } = merged.edges(window, bounds);
                let measure = merged.measures.of_output(index);
                merged
                    .pieces
                    .iter()
                    .all(|piece| match piece.summary.lies(after, upto) {
                        Lies::Outside => true,
                        Lies::Inside => piece.summary.partials[measure].is_some(),
                        Lies::Across => false,
                    })
            })
    }

    /// The edges by which the row answers `window`, where time alone decides them.
    #[must_use]
    pub fn edges(&self, window: Window, as_of: Timestamp) -> Option<Bounds> {
        let bounds = window.bounds(as_of)?;
        let merged = self.merged.as_ref();
        Some(merged.map_or(bounds, |merged| merged.edges(window, bounds)))
    }

    /// How many events it holds by themselves.
    #[must_use]
    pub fn own_events(&self) -> usize {
        self.events.len() + self.anchored().map_or(0, |at| at.last.len())
    }

    /// What holds from the instant that it was cut at, where something does.
    #[must_use]
    pub fn anchored(&self) -> Option<&Anchored> {
        self.merged.as_ref()?.anchored.as_deref()
    }

    /// How far the edges by which a row answers `window` lie from where they should at `as_of`.
    #[must_use]
    pub fn off(&self, window: Window, as_of: Timestamp) -> Duration {
        let Some((held, bounds)) = self.edges(window, as_of).zip(window.bounds(as_of)) else {
            return Duration::ZERO;
        };
        let off =
            |edge: Timestamp, held: Timestamp| Duration(edge.0.abs_diff(held.0).cast_signed());
        off(bounds.after, held.after).max(off(bounds.upto, held.upto))
    }

    /// Tells whether `window` at `as_of` lies inside what the row keeps, so that its answer is exact.
    #[must_use]
    pub fn holds(&self, window: Window, as_of: Timestamp) -> bool {
        window.holds(as_of, self.kept_from)
    }

    /// The newest event at or before `as_of`.
    #[must_use]
    pub fn newest(&self, as_of: Timestamp) -> Option<Timestamp> {
        let range = self.events.between(Timestamp::MIN, as_of);
        let own = range.end.checked_sub(1).map(|i| self.events.times()[i]);
        let pieces = self.merged.iter().flat_map(|merged| &merged.pieces);
        let merged = pieces.rev().find(|piece| piece.summary.first <= as_of);
        // Inside a span it is not known which events came before; the first did.
        let merged = merged.map(|piece| match piece.summary.last <= as_of {
            true => piece.summary.last,
            false => piece.summary.first,
        });
        let base = self.base.as_ref().map(|base| base.newest);
        let own = own.map(Timestamp).max(merged);
        own.or(base.filter(|newest| *newest <= as_of))
    }

    /// The first event of the merged span that `as_of` parts, if it parts one: which of its events
    /// is the newest then is not known.
    #[must_use]
    pub fn within(&self, as_of: Timestamp) -> Option<Timestamp> {
        let mut pieces = self.merged.iter().flat_map(|merged| &merged.pieces);
        let parts = |piece: &&Piece| {
            let summary = &piece.summary;
            summary.count > 0 && summary.first <= as_of && as_of < summary.last
        };
        pieces.find(parts).map(|piece| piece.summary.first)
    }

    /// Roughly how many bytes of memory the row takes beside itself.
    #[must_use]
    pub fn memory(&self) -> usize {
        let base = self.base.as_ref().map_or(0, |base| {
            let partials = base.partials.iter().map(|(_, partial)| partial.memory());
            let list = base.partials.capacity() * size_of::<(usize, Partial)>();
            allocated(size_of::<Base>()) + allocated(list) + partials.sum::<usize>()
        });
        let merged = self.merged.as_ref().map_or(0, |merged| {
            let pieces = merged.pieces.iter();
            let spans: usize = pieces.map(|piece| piece.summary.memory()).sum();
            let last = merged.anchored.as_ref().map_or(0, |at| at.last.memory());
            size_of::<Merged>() + spans + last
        });
        self.events.memory() + base + merged
    }
}

/// Adds events to the partials of the outputs that are over all of them.
fn fold(base: &mut Option<Box<Base>>, spec: &RowSpec, events: &Events, leaving: Range<usize>) {
    let mut outputs = spec.outputs.iter();
    let any = outputs.any(|output| output.window.span == Span::Lifetime);
    if !any || leaving.is_empty() {
        return;
    }
    let base = base.get_or_insert_with(|| Box::new(Base::empty(spec)));
    base.newest = base.newest.max(Timestamp(events.times()[leaving.end - 1]));
    for (index, partial) in &mut base.partials {
        partial.add(&spec.outputs[*index], &spec.inputs, events, leaving.clone());
    }
}

/// Which of `events` exist for `output`.
pub(crate) fn passing<'a>(events: &'a Events, output: &Output) -> Passing<'a> {
    Passing {
        bits: events.bits(),
        filter: output.filter,
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
            } => match reach.plus(history).plus(lateness) {
                // Longer than can be told is for ever.
                Duration::MAX => Timestamp::MIN,
                kept => clock.minus(kept),
            },
        }
    }

    /// How many of the newest events that pass a filter last-N windows need, by filter.
    #[must_use]
    pub fn remembered(&self) -> BTreeMap<Option<usize>, usize> {
        let mut most: BTreeMap<Option<usize>, usize> = BTreeMap::new();
        for output in &self.outputs {
            if let Span::LastN(count) = output.window.span {
                let held = most.entry(output.filter).or_default();
                *held = (*held).max(count as usize);
            }
        }
        most
    }

    /// Whether any window is over the last so many events.
    #[must_use]
    pub fn remembers(&self) -> bool {
        let last = |output: &Output| matches!(output.window.span, Span::LastN(_));
        self.outputs.iter().any(last)
    }

    /// Which of the first `end` events last-N windows may need when no later event comes before
    /// these: the newest so many that pass each one's filter, and the newest of all, so
    /// that the entity stays known. At every instant from the last of them on such a window is
    /// made of these and later ones.
    #[must_use]
    pub fn newest(&self, events: &Events, end: usize) -> Vec<usize> {
        let mut newest = Vec::new();
        for (filter, count) in self.remembered() {
            let bits = events.bits();
            let passing = Passing { bits, filter };
            let indices = (0..end).rev().filter(|index| passing.passes(*index));
            newest.extend(indices.take(count));
            newest.extend(end.checked_sub(1));
        }
        newest.sort_unstable();
        newest.dedup();
        newest
    }

    /// Whether any output has an unbounded window, so that rows never expire.
    #[must_use]
    pub fn unbounded(&self) -> bool {
        self.outputs
            .iter()
            .any(|output| output.window.horizon().is_none())
    }
}

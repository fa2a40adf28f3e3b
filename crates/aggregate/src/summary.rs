//! Spans of time merged ahead: one partial for each measure of a view.
//!
//! A dense row does not hold the events between the edges of its windows one by one but what
//! they come to. What two windows of one feature need of a span is the same, so a span has one
//! partial per *measure* (function, input, weight and filter), whatever windows read it.
//!
//! # Laws
//! - A summary is a function of the set of its events: of any split and any order of merging.
//! - A window that a span lies wholly inside of, or outside of, is answered exactly from it; a
//!   window with an edge between the span's events cannot be answered from it.

use crate::events::Events;
use crate::partial::Partial;
use crate::spec::{Output, RowSpec};
use crate::window::{Bounds, Window};
use std::ops::Range;
use std::sync::Arc;
use tiderace_types::Timestamp;

/// The measures of a view: what its outputs need merged, windows apart.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Measures {
    /// The measure of each output.
    of_output: Vec<usize>,
    /// One output of each measure.
    outputs: Vec<usize>,
    /// Tells measures of another definition apart.
    fingerprint: u64,
}

impl Measures {
    /// The measures of a view.
    #[must_use]
    pub fn of(spec: &RowSpec) -> Measures {
        let mut outputs: Vec<usize> = Vec::new();
        let mut of_output = Vec::with_capacity(spec.outputs.len());
        for (index, output) in spec.outputs.iter().enumerate() {
            let same = |held: &usize| {
                let held = &spec.outputs[*held];
                (&held.function, held.input, held.by, held.filter)
                    == (&output.function, output.input, output.by, output.filter)
            };
            let found = outputs.iter().position(same);
            of_output.push(found.unwrap_or(outputs.len()));
            if found.is_none() {
                outputs.push(index);
            }
        }
        let text: Vec<String> = outputs
            .iter()
            .map(|index| {
                let output = &spec.outputs[*index];
                let (input, by) = (output.input, output.by);
                format!("{:?} {input:?} {by:?} {:?}", output.function, output.filter)
            })
            .collect();
        Measures {
            of_output,
            fingerprint: tiderace_types::hash_key(text.join("\n").as_bytes()),
            outputs,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// The measure that output `index` reads.
    #[must_use]
    pub fn of_output(&self, index: usize) -> usize {
        self.of_output[index]
    }

    /// An output of measure `index`.
    pub(crate) fn output(&self, index: usize) -> usize {
        self.outputs[index]
    }

    /// The number of these measures: other functions, inputs or filters have another.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// What a set of events comes to, for every measure that is asked of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// How many events.
    pub count: u64,
    /// The earliest; [`Timestamp::MAX`] without events.
    pub first: Timestamp,
    /// The latest; [`Timestamp::MIN`] without events.
    pub last: Timestamp,
    /// A partial per measure; none where it is not kept.
    pub partials: Vec<Option<Partial>>,
}

impl Summary {
    /// The summary of no events, keeping the measures that `wanted` names.
    #[must_use]
    pub fn empty(spec: &RowSpec, measures: &Measures, wanted: impl Fn(usize) -> bool) -> Summary {
        let partial = |measure: usize| {
            let output = &spec.outputs[measures.output(measure)];
            wanted(measure).then(|| Partial::empty(output, &spec.inputs))
        };
        Summary {
            count: 0,
            first: Timestamp::MAX,
            last: Timestamp::MIN,
            partials: (0..measures.len()).map(partial).collect(),
        }
    }

    /// The summary of `events`.
    #[must_use]
    pub fn of(spec: &RowSpec, measures: &Measures, events: &Events) -> Summary {
        let mut summary = Summary::empty(spec, measures, |_| true);
        summary.add(spec, measures, events, 0..events.len());
        summary
    }

    /// Adds the events of `range`, which is all there is of its instants.
    ///
    /// What is taken back does not count, and neither does what takes it back.
    pub fn add(
        &mut self,
        spec: &RowSpec,
        measures: &Measures,
        events: &Events,
        range: Range<usize>,
    ) {
        let signed = spec.sign.map(|sign| (events.slice(range.clone()), sign));
        if let Some(net) = signed.and_then(|(events, sign)| events.net(sign)) {
            return self.add(spec, measures, &net, 0..net.len());
        }
        if range.is_empty() {
            return;
        }
        self.count = self.count.saturating_add(range.len() as u64);
        self.first = self.first.min(Timestamp(events.times()[range.start]));
        self.last = self.last.max(Timestamp(events.times()[range.end - 1]));
        for (measure, partial) in self.partials.iter_mut().enumerate() {
            if let Some(partial) = partial {
                let output = &spec.outputs[measures.output(measure)];
                partial.add(output, &spec.inputs, events, range.clone());
            }
        }
    }

    /// Adds what other events come to. A measure that `other` does not keep is not kept any more.
    pub fn merge(&mut self, spec: &RowSpec, measures: &Measures, other: &Summary) {
        if other.count == 0 {
            return;
        }
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        for (measure, (held, more)) in self.partials.iter_mut().zip(&other.partials).enumerate() {
            let Some(partial) = held else {
                continue;
            };
            match more {
                Some(more) => {
                    let output = &spec.outputs[measures.output(measure)];
                    partial.merge_ref(output, more);
                }
                None => *held = None,
            }
        }
    }

    /// Roughly how many bytes of memory it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let partials = self.partials.iter().flatten();
        let partials: usize = partials.map(Partial::memory).sum();
        size_of::<Summary>() + size_of::<Option<Partial>>() * self.partials.len() + partials
    }

    /// Where its events lie, seen from the window `after < t <= upto`.
    #[must_use]
    pub fn lies(&self, after: Timestamp, upto: Timestamp) -> Lies {
        if self.count == 0 || self.last <= after || self.first > upto {
            Lies::Outside
        } else if self.first > after && self.last <= upto {
            Lies::Inside
        } else {
            Lies::Across
        }
    }
}

/// How a span lies to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lies {
    /// None of its events is in the window.
    Outside,
    /// All of its events are.
    Inside,
    /// An edge of the window runs between its events.
    Across,
}

/// A span of a row that is held merged: `after < t <= upto`.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// The instant after which it begins.
    pub after: Timestamp,
    /// Its last instant.
    pub upto: Timestamp,
    /// What its events come to.
    pub summary: Summary,
}

/// What makes a row dense: the spans that it holds merged.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The view's measures.
    pub measures: Arc<Measures>,
    /// The last instant that the spans were cut for; [`Timestamp::MAX`] where none is later.
    pub horizon: Timestamp,
    /// The spans, in order; no two share an instant. Every other instant's events are the row's own.
    pub pieces: Vec<Piece>,
    /// What holds from the instant that the row was cut at, where something does.
    pub anchored: Option<Box<Anchored>>,
}

/// What a row that is cut at an instant, the *anchor*, has beside its spans.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchored {
    /// The instant.
    pub anchor: Timestamp,
    /// Whether there were too many events to be held one by one where edges move: a window whose
    /// edge runs through a span is answered with the edge where it was at the anchor.
    pub coarse: bool,
    /// Of the events up to the anchor those that last-N windows may need, and more.
    pub last: Events,
}

impl Merged {
    /// Whether moving edges are answered as they were at the anchor.
    pub(crate) fn is_coarse(&self) -> bool {
        self.anchored.as_ref().is_some_and(|at| at.coarse)
    }

    /// The edges by which the row answers a window whose edges at some instant from the anchor
    /// on are `bounds`.
    pub(crate) fn edges(&self, window: Window, bounds: Bounds) -> Bounds {
        let coarse = self.anchored.as_ref().filter(|at| at.coarse);
        let Some(before) = coarse.and_then(|at| window.bounds(at.anchor)) else {
            return bounds;
        };
        let parts = |edge: Timestamp| {
            let place = self.pieces.partition_point(|piece| piece.upto <= edge);
            let piece = self.pieces.get(place).map(|piece| &piece.summary);
            piece.is_some_and(|held| held.count > 0 && held.first <= edge && edge < held.last)
        };
        let held = |edge, before| if parts(edge) { before } else { edge };
        Bounds {
            after: held(bounds.after, before.after),
            upto: held(bounds.upto, before.upto),
        }
    }

    /// Adds to `partial` what the spans inside of a window come to for output `index`.
    pub(crate) fn add(
        &self,
        index: usize,
        output: &Output,
        Bounds { after, upto }: Bounds,
        partial: &mut Partial,
    ) {
        let measure = self.measures.of_output(index);
        for Piece { summary, .. } in &self.pieces {
            let inside = summary.lies(after, upto) == Lies::Inside;
            if let (true, Some(more)) = (inside, &summary.partials[measure]) {
                partial.merge_ref(output, more);
            }
        }
    }

    /// The place of the span that holds the events of `time`.
    #[must_use]
    pub fn place_at(&self, time: Timestamp) -> Option<usize> {
        let place = self.pieces.partition_point(|piece| piece.upto < time);
        let piece = self.pieces.get(place);
        piece
            .is_some_and(|piece| piece.after < time)
            .then_some(place)
    }
}

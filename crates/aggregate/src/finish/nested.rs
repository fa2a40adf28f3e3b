//! Windows that lie within one another, gone through from the narrowest on.
//!
//! Where windows begin and end, and which events and merged spans one has beyond the one before
//! it, is worked out once a request, whatever is gathered of them.

use super::{FinishError, or_default};
use crate::answer::{Answer, Reading};
use crate::partial::Partial;
use crate::row::Row;
use crate::spec::{Output, RowSpec};
use crate::summary::{Lies, Merged, Piece};
use crate::window::{Bounds, Span, Window};
use std::cmp::Reverse;
use std::ops::Range;
use tiderace_types::Timestamp;

/// One window at an instant.
#[derive(Clone, Debug)]
pub(crate) struct Within {
    /// Where its edges are.
    pub(crate) reading: Reading,
    /// The edges that it is answered by.
    pub(crate) edges: Bounds,
    /// The row's own events in it that are not folded.
    pub(crate) range: Range<usize>,
    /// The merged spans in it; some among them may have no events.
    pieces: Range<usize>,
}

/// Where an output's answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Which of the answers.
    pub(crate) slot: usize,
    /// Which of the spec's outputs.
    pub(crate) output: usize,
}

/// Places by window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Vec<Vec<Place>>);

impl Places {
    pub(crate) fn add(&mut self, window: usize, place: Place) {
        if self.0.len() <= window {
            self.0.resize(window + 1, Vec::new());
        }
        self.0[window].push(place);
    }

    fn of(&self, window: usize) -> &[Place] {
        self.0.get(window).map_or(&[], Vec::as_slice)
    }

    /// The windows in which something is asked for.
    pub(crate) fn windows(&self) -> impl Iterator<Item = usize> {
        let asked = self.0.iter().enumerate();
        asked
            .filter(|(_, places)| !places.is_empty())
            .map(|at| at.0)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, Place)> {
        let windows = self.0.iter().enumerate();
        windows.flat_map(|(window, places)| places.iter().map(move |place| (window, *place)))
    }
}

/// What is gathered of one window after another.
pub(crate) trait Gather<'a> {
    /// Forgets everything.
    fn clear(&mut self);
    /// Adds what other events come to.
    fn merge(&mut self, partial: &'a Partial);
    /// Adds events of the row, which all come before those that were added.
    fn add(&mut self, events: Range<usize>);
    /// The answer by now, before its default.
    fn answer(&mut self, output: &Output, reading: &Reading) -> Result<Answer, FinishError>;
}

/// The windows of a request over one row.
pub(crate) struct Nest<'a> {
    merged: Option<&'a Merged>,
    /// The windows, in the order in which they were prepared.
    pub(crate) withins: Vec<Within>,
    /// The order in which each lies within the next, where it does.
    order: Vec<usize>,
}

impl<'a> Nest<'a> {
    /// Finds the windows at `as_of`, those that events decide among the events that pass their filters.
    pub(crate) fn of(
        row: &'a Row,
        windows: &[(Window, Option<usize>)],
        as_of: Timestamp,
    ) -> Nest<'a> {
        let merged = row.merged.as_deref();
        let merged = merged.filter(|merged| !merged.pieces.is_empty());
        let mut withins: Vec<Within> = Vec::with_capacity(windows.len());
        let mut end = None;
        for (window, filter) in windows {
            let within = match window.bounds(as_of) {
                Some(bounds) => Within::by_time(row, merged, *window, (as_of, bounds), &mut end),
                None => Within::by_events(row, merged, (*window, *filter), as_of),
            };
            withins.push(within);
        }
        let mut order: Vec<usize> = (0..withins.len()).collect();
        order.sort_by_key(|place| {
            let Within { edges, range, .. } = &withins[*place];
            (edges.upto, range.end, Reverse((edges.after, range.start)))
        });
        Nest {
            merged,
            withins,
            order,
        }
    }

    /// Whether some of the row is held merged.
    pub(crate) const fn is_merged(&self) -> bool {
        self.merged.is_some()
    }

    /// Answers outputs that have the same partial.
    pub(crate) fn finish(
        &self,
        spec: &RowSpec,
        places: &Places,
        gathered: &mut impl Gather<'a>,
        answers: &mut [Result<Answer, FinishError>],
    ) {
        let measures = self.measures(places);
        let mut before: Option<&Within> = None;
        for window in &self.order {
            let places = places.of(*window);
            if places.is_empty() {
                continue;
            }
            let within = &self.withins[*window];
            let inner = before.replace(within);
            let inner = inner.filter(|inner| inner.lies_in(within));
            if inner.is_none() {
                gathered.clear();
            }
            for partial in self.partials(&measures, within, inner) {
                gathered.merge(partial);
            }
            let end = inner.map_or(within.range.end, |inner| inner.range.start);
            if within.range.start < end {
                gathered.add(within.range.start..end);
            }
            for place in places {
                let output = &spec.outputs[place.output];
                let answer = gathered.answer(output, &within.reading);
                answers[place.slot] = match output.default {
                    None => answer,
                    Some(_) => answer.map(|answer| or_default(output, answer)),
                };
            }
        }
    }

    /// The measures of outputs that have the same partial. A span keeps one for whom it is of use.
    fn measures(&self, places: &Places) -> Vec<usize> {
        let Some(merged) = self.merged else {
            return Vec::new();
        };
        let outputs = places.all().map(|(_, place)| place.output);
        let measures = outputs.map(|output| merged.measures.of_output(output));
        let mut measures: Vec<usize> = measures.collect();
        measures.sort_unstable();
        measures.dedup();
        measures
    }

    /// The partials that a window has beyond one that lies in it, of whichever measure is kept.
    fn partials<'m>(
        &self,
        measures: &'m [usize],
        within: &Within,
        inner: Option<&Within>,
    ) -> impl Iterator<Item = &'a Partial> + use<'a, 'm> {
        let inner = inner.filter(|inner| !inner.pieces.is_empty());
        let end = inner.map_or(within.pieces.end, |inner| inner.pieces.start);
        let pieces: &[Piece] = match self.merged {
            Some(merged) => &merged.pieces[within.pieces.start..end],
            None => &[],
        };
        let held = pieces.iter().filter(|piece| piece.summary.count > 0);
        held.filter_map(|piece| kept(piece, measures))
    }

    /// The partials that any of the windows has.
    pub(crate) fn partials_of(&self, places: &Places) -> Vec<&'a Partial> {
        let Some(merged) = self.merged else {
            return Vec::new();
        };
        let measures = self.measures(places);
        let ranges = places.windows().map(|window| &self.withins[window].pieces);
        let pieces = union(ranges).unwrap_or_default();
        let held = merged.pieces[pieces].iter();
        held.filter_map(|piece| kept(piece, &measures)).collect()
    }

    /// What is asked for in one window alone, with that window's own events and what its merged
    /// spans come to.
    pub(crate) fn only<'p>(
        &self,
        places: &'p Places,
    ) -> Option<(&'p [Place], Range<usize>, Vec<&'a Partial>)> {
        let mut windows = places.windows();
        let window = windows.next().filter(|_| windows.next().is_none())?;
        let range = self.withins[window].range.clone();
        Some((places.of(window), range, self.partials_of(places)))
    }

    /// The row's own events from the first to the last that are in any of some windows.
    pub(crate) fn events_of<'p>(
        &self,
        places: impl Iterator<Item = &'p Places>,
    ) -> Option<Range<usize>> {
        let windows = places.flat_map(Places::windows);
        union(windows.map(|window| &self.withins[window].range))
    }
}

/// What a span keeps for the first of some measures that it keeps anything for.
fn kept<'a>(piece: &'a Piece, measures: &[usize]) -> Option<&'a Partial> {
    let partials = &piece.summary.partials;
    measures
        .iter()
        .find_map(|measure| partials[*measure].as_ref())
}

/// From where the first range begins to where the last ends.
fn union<'r>(ranges: impl Iterator<Item = &'r Range<usize>>) -> Option<Range<usize>> {
    ranges
        .filter(|range| !range.is_empty())
        .cloned()
        .reduce(|all, range| all.start.min(range.start)..all.end.max(range.end))
}

impl Within {
    /// A window that time alone decides. The last instant of one and where the events up to it
    /// end are kept in `known`: the next one may well end there too.
    fn by_time(
        row: &Row,
        merged: Option<&Merged>,
        window: Window,
        (as_of, bounds): (Timestamp, Bounds),
        known: &mut Option<(Timestamp, usize)>,
    ) -> Within {
        let edges = merged.map_or(bounds, |merged| merged.edges(window, bounds));
        let Bounds { after, upto } = edges;
        let end = known.filter(|(last, _)| *last == upto).map(|(_, end)| end);
        let range = match end {
            Some(end) if window.span != Span::Lifetime && after <= upto => {
                let times = &row.events.times()[..end];
                times.partition_point(|time| *time <= after.0)..end
            }
            _ => row.selected(window, None, as_of),
        };
        if after <= upto {
            *known = Some((upto, range.end));
        }
        Within {
            range,
            pieces: inside(merged, edges),
            reading: reading(as_of, bounds),
            edges,
        }
    }

    /// A window that the events that pass a filter decide.
    fn by_events(
        row: &Row,
        merged: Option<&Merged>,
        (window, filter): (Window, Option<usize>),
        as_of: Timestamp,
    ) -> Within {
        let edges = Bounds {
            after: Timestamp::MIN,
            upto: as_of.minus(window.delay),
        };
        Within {
            range: row.selected(window, filter, as_of),
            pieces: inside(merged, edges),
            reading: reading(as_of, edges),
            edges,
        }
    }

    /// Tells whether all that is in it is also in another, which ends as it does.
    fn lies_in(&self, wider: &Within) -> bool {
        self.range.end == wider.range.end
            && wider.range.start <= self.range.start
            && self.edges.upto == wider.edges.upto
            && wider.edges.after <= self.edges.after
    }
}

const fn reading(as_of: Timestamp, Bounds { after, upto }: Bounds) -> Reading {
    Reading { as_of, after, upto }
}

/// The merged spans inside of a window. Spans are in order, so but for those without events they
/// are all from the first to the last.
fn inside(merged: Option<&Merged>, Bounds { after, upto }: Bounds) -> Range<usize> {
    let pieces = merged.map_or([].as_slice(), |merged| merged.pieces.as_slice());
    let is_inside = |piece: &Piece| piece.summary.lies(after, upto) == Lies::Inside;
    let Some(first) = pieces.iter().position(is_inside) else {
        return 0..0;
    };
    let last = pieces.iter().rposition(is_inside);
    first..last.map_or(first, |last| last + 1)
}

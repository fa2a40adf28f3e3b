//! One partial over windows that lie within one another, from the narrowest on.

use super::{FinishError, finish_partial};
use crate::answer::{Answer, Reading};
use crate::partial::Partial;
use crate::row::Row;
use crate::spec::RowSpec;
use crate::summary::{Lies, Piece};
use crate::window::Bounds;
use std::ops::Range;

/// One window at an instant.
#[derive(Clone, Debug)]
pub(crate) struct Within {
    /// Where its edges are.
    pub(crate) reading: Reading,
    /// The edges that it is answered by.
    pub(crate) edges: Bounds,
    /// The row's own events in it that are not folded.
    pub(crate) range: Range<usize>,
}

/// Where an output's answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Which of the windows.
    pub(crate) window: usize,
    /// Which of the answers.
    pub(crate) slot: usize,
    /// Which of the spec's outputs.
    pub(crate) output: usize,
}

/// The order in which windows lie within the next, where they do.
pub(crate) fn order(withins: &[Within]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..withins.len()).collect();
    order.sort_by_key(|place| {
        let Within { edges, range, .. } = &withins[*place];
        (
            edges.upto,
            range.end,
            std::cmp::Reverse((edges.after, range.start)),
        )
    });
    order
}

/// What a window has that the one before it, which lies within it, has not.
pub(crate) struct Steps<'a, 'w> {
    pieces: &'a [Piece],
    before: Option<&'w Within>,
}

/// More of a window.
pub(crate) struct Step<'a> {
    /// Whether it begins anew: the window before does not lie within it.
    pub(crate) anew: bool,
    /// The row's own events.
    pub(crate) events: Range<usize>,
    /// The merged spans.
    pub(crate) pieces: Vec<&'a Piece>,
}

impl<'a, 'w> Steps<'a, 'w> {
    /// No window yet.
    pub(crate) fn new(row: &'a Row) -> Steps<'a, 'w> {
        let merged = row.merged.as_ref();
        Steps {
            pieces: merged.map_or(&[], |merged| &merged.pieces),
            before: None,
        }
    }

    /// Goes on to the next window.
    pub(crate) fn to(&mut self, within: &'w Within) -> Step<'a> {
        let before = self.before.replace(within).filter(|before| {
            let (a, b) = (before.edges, within.edges);
            before.range.end == within.range.end
                && within.range.start <= before.range.start
                && a.upto == b.upto
                && b.after <= a.after
        });
        let inside = |piece: &Piece, within: &Within| {
            let Bounds { after, upto } = within.edges;
            piece.summary.lies(after, upto) == Lies::Inside
        };
        let is_new = |piece: &&Piece| {
            inside(piece, within) && !before.is_some_and(|before| inside(piece, before))
        };
        Step {
            anew: before.is_none(),
            events: within.range.start..before.map_or(within.range.end, |b| b.range.start),
            pieces: self.pieces.iter().filter(is_new).collect(),
        }
    }
}

/// Finishes outputs that have the same partial.
pub(crate) fn finish(
    spec: &RowSpec,
    row: &Row,
    output: usize,
    places: &[Place],
    (order, withins): (&[usize], &[Within]),
    answers: &mut [Result<Answer, FinishError>],
) {
    let measure = row.merged.as_ref().map(|m| m.measures.of_output(output));
    let output = &spec.outputs[output];
    let mut steps = Steps::new(row);
    let mut partial = Partial::empty(output, &spec.inputs);
    for window in order {
        let mut asked = places
            .iter()
            .filter(|place| place.window == *window)
            .peekable();
        if asked.peek().is_none() {
            continue;
        }
        let within = &withins[*window];
        let step = steps.to(within);
        if step.anew {
            partial = Partial::empty(output, &spec.inputs);
        }
        for piece in step.pieces {
            let more = measure.and_then(|measure| piece.summary.partials[measure].as_ref());
            if let Some(more) = more {
                partial.merge_ref(output, more);
            }
        }
        if !step.events.is_empty() {
            partial.add(output, &spec.inputs, &row.events, step.events);
        }
        for place in asked {
            let output = &spec.outputs[place.output];
            answers[place.slot] = finish_partial(output, &spec.inputs, &partial, &within.reading);
        }
    }
}

//! Segments merged ahead, a run of them at a time, so that to anchor a row of thousands of
//! segments few have to be merged.
//!
//! Bundles are derived, and only in memory: a change of a segment drops the bundle that it is in,
//! and the next anchor makes it again. Segments keep their numbers when earlier ones go, and
//! with them their bundles.

use crate::dense::{Segment, Shared};
use std::collections::BTreeMap;
use tiderace_aggregate::{RowSpec, Summary};

/// What runs of a row's segments come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bundles {
    /// How many segments make one.
    size: usize,
    /// How many segments have gone at the front.
    gone: usize,
    /// By number.
    held: BTreeMap<usize, Summary>,
}

impl Bundles {
    fn number(&self, place: usize) -> usize {
        (self.gone + place) / self.size.max(1)
    }

    /// Notes that the segment at `place` has changed.
    #[inline]
    pub(crate) fn changed(&mut self, place: usize) {
        if !self.held.is_empty() {
            self.held.remove(&self.number(place));
        }
    }

    /// Notes that segments from `place` on are not where they were.
    pub(crate) fn moved(&mut self, place: usize) {
        let number = self.number(place);
        self.held.split_off(&number);
    }

    /// Notes that the first segment has gone.
    pub(crate) fn first_gone(&mut self) {
        self.changed(0);
        self.gone += 1;
    }

    /// What the segments from `place` on come to, where a bundle begins there, and how many they are.
    pub(crate) fn at(&self, place: usize) -> Option<(&Summary, usize)> {
        if self.held.is_empty() || !(self.gone + place).is_multiple_of(self.size) {
            return None;
        }
        let found = self.held.get(&self.number(place));
        found.map(|summary| (summary, self.size))
    }

    /// Makes the bundles of `size` that are not there, but for the last, which changes most.
    pub(crate) fn fill(
        &mut self,
        segments: &[Segment],
        size: usize,
        spec: &RowSpec,
        measures: &Shared,
    ) {
        if self.size != size {
            self.held.clear();
            self.size = size;
        }
        for number in self.number(0)..self.number(segments.len().saturating_sub(1)) {
            let Some(place) = (number * size).checked_sub(self.gone) else {
                continue;
            };
            if self.held.contains_key(&number) {
                continue;
            }
            let mut bundle = Summary::empty(spec, measures, |_| true);
            let all = segments[place..place + size].iter().all(|segment| {
                let summary = segment.summary.as_ref();
                summary
                    .map(|summary| bundle.merge(spec, measures, summary))
                    .is_some()
            });
            if all {
                self.held.insert(number, bundle);
            }
        }
    }

    /// Roughly how many bytes of memory they take beside themselves.
    pub(crate) fn memory(&self) -> usize {
        self.held.values().map(Summary::memory).sum()
    }
}

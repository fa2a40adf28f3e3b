//! A dense row as its lane holds it: segments by time, and what readers see of them.
//!
//! Every event is in the segment of its time, so a copy is told by one segment, and an event
//! costs what its segment does, however long the row. Segments are stored like sparse rows are,
//! each under its own key; of those that are not in memory the directory has what their events
//! come to. Readers get neither: they get a row whose events between the edges of its windows
//! are merged (see [`crate::anchor`]).
//!
//! # Laws
//! - The segments make up the set of the row's events; where they are cut changes no answer.
//! - A segment's events are exactly those after its start, up to the start of the next.
//! - What is let go is whole segments, folded into the head's base where that is needed.

use crate::bundle::Bundles;
use crate::density::Density;
use crate::part::{Part, Written};
use std::sync::Arc;
use tiderace_aggregate::{
    Base, CodecError, Events, Incoming, Insert, Measures, Offer, Row, RowSpec, Summary,
};
use tiderace_types::{RowKey, SegmentChange, SegmentKey, SegmentWrite, Timestamp, allocated};

/// A dense row in memory. Its head, which has what was folded, is the row's own part.
#[derive(Clone, Debug)]
pub(crate) struct Dense {
    /// By start; never none.
    pub(crate) segments: Vec<Segment>,
    /// The row as readers see it. Of no use while `due` is [`Timestamp::MIN`].
    pub(crate) online: Row,
    /// Whether all segments are in memory.
    pub(crate) whole: bool,
    /// When `online` must be made anew.
    pub(crate) due: Timestamp,
    /// Whether `online` has taken every event since it was made.
    pub(crate) tracked: bool,
    /// With more events by themselves than this `online` is to be made anew.
    pub(crate) full: usize,
    /// How many events a segment has at most of those that have grown since they were cut last.
    longest: usize,
    /// What runs of segments come to.
    pub(crate) bundles: Bundles,
    /// Segments that are gone but still stored.
    dropped: Vec<Timestamp>,
    /// What the commit under way writes, by place.
    committing: Vec<(usize, Written)>,
}

/// The events of a span of time.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// The instant after which they lie.
    pub(crate) start: Timestamp,
    /// What they come to; none while that is not worked out.
    pub(crate) summary: Option<Summary>,
    /// The events, where they are in memory.
    pub(crate) part: Option<Part>,
    dirty: bool,
}

impl Segment {
    fn new(start: Timestamp, events: Events, spec: &RowSpec) -> Segment {
        let row = Row {
            events,
            ..Row::new(spec)
        };
        Segment {
            start,
            summary: None,
            part: Some(Part::unstored(row)),
            dirty: true,
        }
    }

    /// Works out what the events come to; nothing where they are not in memory.
    pub(crate) fn summarise(&mut self, spec: &RowSpec, measures: &Measures) {
        if let (None, Some(part)) = (&self.summary, &self.part) {
            self.summary = Some(Summary::of(spec, measures, &part.row.events));
        }
    }
}

impl Dense {
    /// Cuts the events of a sparse row, which becomes the head.
    pub(crate) fn of(part: &mut Part, spec: &RowSpec, density: Density) -> Dense {
        let mut events = std::mem::replace(&mut part.row.events, Events::new(spec));
        // What it remembers of before `kept_from` the head keeps.
        let remembered = events.between(Timestamp::MIN, part.row.kept_from);
        part.row.events = events.slice(remembered.clone());
        events.drop_front(remembered.end);
        part.row.head = true;
        part.rewrite = true;
        part.stored = 0;
        let start = part.row.kept_from;
        Dense::with(cut(start, &events, spec, density), spec)
    }

    /// The row that its directory describes.
    pub(crate) fn read(
        entries: Vec<(Timestamp, Vec<u8>)>,
        head: &Row,
        spec: &RowSpec,
        measures: &Measures,
    ) -> Result<Dense, CodecError> {
        let mut segments = Vec::with_capacity(entries.len());
        for (start, entry) in entries {
            let summary = match Summary::decode_entry(&entry, spec, measures) {
                Ok(summary) => Some(summary),
                Err(CodecError::Measures) => None,
                Err(error) => return Err(error),
            };
            segments.push(Segment {
                start,
                summary,
                part: None,
                dirty: false,
            });
        }
        if segments.is_empty() {
            let empty = Events::new(spec);
            segments.push(Segment::new(head.kept_from, empty, spec));
        }
        Ok(Dense::with(segments, spec))
    }

    fn with(segments: Vec<Segment>, spec: &RowSpec) -> Dense {
        Dense {
            whole: segments.iter().all(|segment| segment.part.is_some()),
            segments,
            online: Row::new(spec),
            due: Timestamp::MIN,
            tracked: false,
            full: usize::MAX,
            longest: 0,
            bundles: Bundles::default(),
            dropped: Vec::new(),
            committing: Vec::new(),
        }
    }

    /// The place of the segment that an event of `time` belongs to.
    pub(crate) fn place(&self, time: Timestamp) -> usize {
        let after = self.segments.partition_point(|s| s.start < time);
        after.saturating_sub(1)
    }

    /// Offers an event whose segment is in memory.
    pub(crate) fn offer<E: Incoming>(&mut self, spec: &RowSpec, head: &Row, event: &E) -> Offer {
        let mut found = Offer::BeforeKept;
        let events = std::slice::from_ref(event);
        self.offer_all(spec, head, events, |_, offer| found = offer);
        found
    }

    /// Offers events whose segments are in memory; tells of each what became of it.
    pub(crate) fn offer_all<E: Incoming>(
        &mut self,
        spec: &RowSpec,
        head: &Row,
        events: &[E],
        mut each: impl FnMut(usize, Offer),
    ) {
        let mut order: Vec<(i64, usize)> = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            match event.time() <= head.kept_from {
                true => each(index, Offer::BeforeKept),
                false => order.push((event.time().0, index)),
            }
        }
        order.sort_unstable();
        // From the latest on, each is in the segment of the one after it or in an earlier one.
        let mut places: Vec<(usize, usize)> = Vec::with_capacity(order.len());
        let mut place = self.segments.len() - 1;
        for (time, index) in order.into_iter().rev() {
            if place > 0 && self.segments[place].start.0 >= time {
                place = self.place(Timestamp(time));
            }
            places.push((place, index));
        }
        places.reverse();
        let mut applied: Vec<E> = Vec::with_capacity(places.len());
        let mut offered: Vec<E> = Vec::with_capacity(places.len());
        for run in places.chunk_by(|(a, _), (b, _)| a == b) {
            let segment = &mut self.segments[run[0].0];
            let Some(part) = &mut segment.part else {
                debug_assert!(false, "the lane reads segments before it offers events");
                run.iter()
                    .for_each(|(_, index)| each(*index, Offer::BeforeKept));
                continue;
            };
            offered.clear();
            offered.extend(run.iter().map(|(_, index)| events[*index]));
            let before = applied.len();
            part.offer_all(spec, &offered, |place, offer| {
                if let Offer::Known(Insert::Applied { .. }) = offer {
                    applied.push(offered[place]);
                }
                each(run[place].1, offer);
            });
            if applied.len() > before {
                self.longest = self.longest.max(part.row.events.len());
                segment.summary = None;
                segment.dirty = true;
                self.bundles.changed(run[0].0);
            }
        }
        if applied.is_empty() {
            return;
        }
        if self.due == Timestamp::MIN {
            self.tracked = false;
        } else if !self.online.put_all(spec, &applied) {
            self.due = Timestamp::MIN;
        }
    }

    /// Whether so many events have come since the last anchor that it is time for the next.
    pub(crate) fn is_full(&self, now: Timestamp) -> bool {
        self.due > now && self.online.own_events() > self.full
    }

    /// Cuts the segments that have grown too long.
    pub(crate) fn cut(&mut self, spec: &RowSpec, density: Density) {
        if std::mem::take(&mut self.longest) < 2 * density.segment {
            return;
        }
        let too_long = |segment: &Segment| {
            let part = segment.part.as_ref();
            part.is_some_and(|part| segment.dirty && part.row.events.len() >= 2 * density.segment)
        };
        let mut place = 0;
        while place < self.segments.len() {
            if !too_long(&self.segments[place]) {
                place += 1;
                continue;
            }
            let segment = &mut self.segments[place];
            let Some(part) = &mut segment.part else {
                continue;
            };
            let mut pieces = cut(segment.start, &part.row.events, spec, density).into_iter();
            // The first piece takes the place of the whole, and with it the blocks there are.
            if let Some(Part { row, .. }) = pieces.next().and_then(|first| first.part) {
                part.stored = 0;
                part.rewrite = true;
                part.row = row;
            }
            segment.summary = None;
            self.bundles.moved(place);
            let after = place + 1;
            let before = self.segments.len();
            self.segments.splice(after..after, pieces);
            place = after + self.segments.len() - before;
        }
    }

    /// Lets go of the segments that end at or before `upto`; tells whether any went.
    pub(crate) fn trim(
        &mut self,
        head: &mut Part,
        spec: &RowSpec,
        measures: &Measures,
        upto: Timestamp,
    ) -> bool {
        let mut gone = false;
        while let Some(end) = self.ends_by(spec, upto) {
            let last = self.segments.len() == 1;
            let first = &mut self.segments[0];
            if spec.remembers() && first.part.is_none() {
                break;
            }
            first.summarise(spec, measures);
            // What is not known cannot be folded: it stays until it has been read.
            let Some(summary) = first.summary.take() else {
                break;
            };
            if summary.count == 0 && last {
                first.summary = Some(summary);
                break;
            }
            fold(&mut head.row, &summary, spec, measures);
            let first = self.segments.remove(0);
            self.bundles.first_gone();
            if let (true, Some(part)) = (spec.remembers(), &first.part) {
                let events = &mut head.row.events;
                events.merge(&part.row.events);
                *events = events.pick(&spec.newest(events, events.len()));
            }
            self.dropped.push(first.start);
            if last {
                self.segments
                    .push(Segment::new(end, Events::new(spec), spec));
                self.bundles.moved(0);
            }
            head.row.kept_from = head.row.kept_from.max(self.segments[0].start);
            head.rewrite = true;
            gone = true;
        }
        if gone {
            self.due = Timestamp::MIN;
        }
        gone
    }

    /// The last instant of the first segment, if nothing of it is later than `upto`.
    fn ends_by(&self, spec: &RowSpec, upto: Timestamp) -> Option<Timestamp> {
        let end = match (self.segments.get(1), &self.segments[0]) {
            (Some(next), _) => Some(next.start),
            (None, only) => match (&only.part, &only.summary) {
                (Some(part), _) => part.row.events.times().last().map(|t| Timestamp(*t)),
                // What is taken back, and what takes something back, is in no summary.
                (None, Some(summary)) if spec.sign.is_none() && summary.count > 0 => {
                    Some(summary.last)
                }
                _ => None,
            },
        };
        end.filter(|end| *end <= upto)
    }

    /// What must be written so that the stored segments make up the row again.
    pub(crate) fn write(
        &mut self,
        spec: &RowSpec,
        measures: &Measures,
        key: &RowKey,
    ) -> Vec<SegmentWrite> {
        let of = |start| SegmentKey {
            row: key.clone(),
            start,
        };
        let mut writes: Vec<SegmentWrite> = Vec::new();
        self.committing.clear();
        for (place, segment) in self.segments.iter_mut().enumerate() {
            if !segment.dirty {
                continue;
            }
            segment.summarise(spec, measures);
            let (Some(part), Some(summary)) = (&segment.part, &segment.summary) else {
                debug_assert!(false, "what has changed is in memory");
                continue;
            };
            let block = part.write(spec);
            self.committing.push((place, Written::how(block.as_ref())));
            if let Some(block) = block {
                writes.push(SegmentWrite {
                    key: of(segment.start),
                    change: SegmentChange::Put {
                        block: block.bytes,
                        old: block.old.unwrap_or_default(),
                        entry: summary.encode_entry(measures),
                    },
                });
            }
        }
        for start in self.dropped.drain(..) {
            // An empty segment may have come in the place of the one that went.
            if !writes.iter().any(|write| write.key.start == start) {
                writes.push(SegmentWrite {
                    key: of(start),
                    change: SegmentChange::Drop,
                });
            }
        }
        writes
    }

    /// Notes that what [`Dense::write`] gave is stored under block number `seq`.
    pub(crate) fn written(&mut self, seq: u64) {
        for (place, written) in std::mem::take(&mut self.committing) {
            let segment = &mut self.segments[place];
            segment.dirty = false;
            if let Some(part) = &mut segment.part {
                part.written(written, seq);
            }
        }
    }

    /// Forgets the events of segments that are stored; tells whether there were any.
    pub(crate) fn unload(&mut self) -> bool {
        let mut any = false;
        for segment in &mut self.segments {
            if !segment.dirty && segment.summary.is_some() {
                any |= segment.part.take().is_some();
            }
        }
        self.whole &= !any;
        any
    }

    /// Roughly how many bytes of memory it takes, with itself.
    pub(crate) fn memory(&self) -> usize {
        let of_segment = |segment: &Segment| {
            let part = segment.part.as_ref().map_or(0, Part::memory);
            let summary = segment.summary.as_ref().map_or(0, Summary::memory);
            part + summary
        };
        let segments: usize = self.segments.iter().map(of_segment).sum();
        let list = allocated(self.segments.capacity() * size_of::<Segment>());
        let bundles = self.bundles.memory();
        allocated(size_of::<Dense>()) + self.online.memory() + list + segments + bundles
    }
}

/// Cuts events into segments, the first of which starts at `start`.
fn cut(start: Timestamp, events: &Events, spec: &RowSpec, density: Density) -> Vec<Segment> {
    let mut segments = Vec::new();
    let (mut start, mut from) = (start, 0);
    while from < events.len() || segments.is_empty() {
        let mut to = (from + density.segment).min(events.len());
        while to > from && to < events.len() && events.times()[to] == events.times()[to - 1] {
            to += 1;
        }
        segments.push(Segment::new(start, events.slice(from..to), spec));
        if to > from {
            start = Timestamp(events.times()[to - 1]);
        }
        from = to;
    }
    segments
}

/// Folds a segment into what unbounded windows need of what is gone.
fn fold(head: &mut Row, summary: &Summary, spec: &RowSpec, measures: &Measures) {
    if summary.count == 0 || !spec.unbounded() {
        return;
    }
    let base = head.base.get_or_insert_with(|| Box::new(Base::empty(spec)));
    base.newest = base.newest.max(summary.last);
    for (index, partial) in &mut base.partials {
        if let Some(more) = &summary.partials[measures.of_output(*index)] {
            partial.merge_ref(&spec.outputs[*index], more);
        }
    }
}

/// The measures of a view, shared by its rows.
pub(crate) type Shared = Arc<Measures>;

//! Anchoring: cutting a dense row for readers, so that every window is exact from now on for a while.
//!
//! As the instant T of a reading goes from the anchor A to a horizon, every edge of every window
//! runs over some span of time, or jumps between a few places. The events of these spans, and all
//! that are later than A, the online row holds one by one; what lies between them and the places
//! no edge can part, so it is held merged.
//! The horizon is as far as the row can be exact and small; halfway there the row is anchored
//! again, by its due instant alone, whether events come or not. Where too much happens for even
//! the nearest horizon the row is *coarse*: moving edges stay where they were at the anchor,
//! which answers say.
//!
//! # Laws
//! - At every T from anchor to horizon every output is exact, or says by how much its window is off.
//! - An online row never has more than `row_max` bytes, as long as texts keep to their bound.
//! - What the online row holds is a function of the set of events, A and the horizon.

use crate::dense::{Dense, Segment, Shared};
use crate::density::Density;
use tiderace_aggregate::{
    Anchored, Edge, Events, LEAST_REACH, Lies, Merged, Passing, Piece, Row, RowSpec, Summary,
};
use tiderace_types::{Duration, Timestamp, Version};

/// Spans that an anchor may be good for, longest first.
const REACHES: [Duration; 10] = [
    Duration::from_secs(3600),
    Duration::from_secs(1200),
    Duration::from_secs(300),
    Duration::from_secs(120),
    Duration::from_secs(60),
    Duration::from_secs(30),
    Duration::from_secs(10),
    Duration::from_secs(5),
    Duration::from_secs(2),
    LEAST_REACH,
];

/// With a shorter reach than this an online row is anchored often, so that it is worth more events.
const SHORT: Duration = Duration::from_secs(30);

/// How often a row is looked at that no window sees an event of.
const IDLE: Duration = Duration::from_secs(6 * 3600);

/// A stretch of time of the online row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stretch {
    after: Timestamp,
    upto: Timestamp,
    /// Whether an edge may run through it.
    edge: bool,
}

/// How a row is cut.
#[derive(Clone, Debug)]
pub(crate) struct Cuts {
    anchor: Timestamp,
    horizon: Timestamp,
    /// Whether windows are answered with moving edges where they were at the anchor.
    coarse: bool,
    /// How many events by themselves an online row cut so may have, as [`Dense::cuts`] found.
    most: usize,
    stretches: Vec<Stretch>,
}

/// The edges of every window in the time of an anchor.
struct Edges {
    /// Per output: its left edge at the anchor, its right edge there and at the horizon.
    of_output: Vec<[Timestamp; 3]>,
    /// Where edges move.
    moves: Vec<(Timestamp, Timestamp)>,
    /// Where an edge stands for a while.
    stands: Vec<Timestamp>,
}

impl Edges {
    fn new(spec: &RowSpec, anchor: Timestamp, horizon: Timestamp) -> Edges {
        let mut edges = Edges {
            of_output: Vec::with_capacity(spec.outputs.len()),
            moves: Vec::new(),
            stands: Vec::new(),
        };
        for output in &spec.outputs {
            let window = output.window;
            let Some((from, to)) = window.bounds(anchor).zip(window.bounds(horizon)) else {
                // The last events are held apart: no span is of use to such a window.
                edges.of_output.push([Timestamp::MAX; 3]);
                continue;
            };
            edges.of_output.push([from.after, from.upto, to.upto]);
            for edge in window.edges(anchor, horizon).into_iter().flatten() {
                match edge {
                    Edge::Moves(from, to) if from < to => edges.moves.push((from, to)),
                    Edge::Moves(place, _) => edges.stands.push(place),
                    Edge::Stands(places) => edges.stands.extend(places),
                }
            }
        }
        edges
    }

    /// The spans that edges run over, in order and apart.
    fn spans(&self) -> Vec<(Timestamp, Timestamp)> {
        let mut spans = self.moves.clone();
        spans.sort_unstable();
        let mut apart: Vec<(Timestamp, Timestamp)> = Vec::new();
        for (from, to) in spans {
            match apart.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => apart.push((from, to)),
            }
        }
        apart
    }

    /// Every instant at which a window begins or ends without moving.
    fn marks(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let ends = self.moves.iter().flat_map(|(from, to)| [*from, *to]);
        ends.chain(self.stands.iter().copied())
    }

    /// Whether output `index` may see all of a stretch between edges.
    fn sees(&self, index: usize, stretch: &Stretch) -> bool {
        let [left, _, right] = self.of_output[index];
        left <= stretch.after && stretch.upto <= right
    }
}

impl Cuts {
    /// The cuts by which every window is exact from `anchor` to `horizon`.
    pub(crate) fn new(spec: &RowSpec, anchor: Timestamp, horizon: Timestamp) -> Cuts {
        Cuts::of(Edges::new(spec, anchor, horizon), anchor, horizon, false)
    }

    /// The cuts by which every window whose edges do not move is exact from `anchor` on, and the
    /// others are as at the anchor.
    pub(crate) fn coarse(spec: &RowSpec, anchor: Timestamp) -> Cuts {
        let horizon = anchor.plus(LEAST_REACH);
        let mut edges = Edges::new(spec, anchor, horizon);
        let moves = std::mem::take(&mut edges.moves).into_iter();
        edges.stands.extend(moves.map(|(from, _)| from));
        Cuts::of(edges, anchor, horizon, true)
    }

    fn of(edges: Edges, anchor: Timestamp, horizon: Timestamp, coarse: bool) -> Cuts {
        let mut spans = edges.spans();
        // Whatever is later than the anchor is held one by one.
        spans.retain(|(after, _)| *after < anchor);
        if let Some(last) = spans.last_mut() {
            last.1 = last.1.min(anchor);
        }
        let ends = spans.iter().flat_map(|(after, upto)| [*after, *upto]);
        let mut marks: Vec<Timestamp> = edges
            .marks()
            .filter(|mark| *mark < anchor)
            .chain(ends)
            .chain([Timestamp::MIN, anchor])
            .collect();
        marks.sort_unstable();
        marks.dedup();
        let stretches = marks.windows(2).map(|pair| Stretch {
            after: pair[0],
            upto: pair[1],
            edge: spans.iter().any(|(a, b)| *a <= pair[0] && pair[1] <= *b),
        });
        let later = Stretch {
            after: anchor,
            upto: Timestamp::MAX,
            edge: true,
        };
        Cuts {
            anchor,
            horizon,
            coarse,
            most: 0,
            stretches: stretches.chain([later]).collect(),
        }
    }
}

impl Dense {
    /// How the row is to be cut at `now`.
    pub(crate) fn cuts(&self, spec: &RowSpec, density: Density, now: Timestamp) -> Cuts {
        let most = self.most_events(spec, density);
        let fits = |reach: &Duration| {
            let spans = Edges::new(spec, now, now.plus(*reach)).spans();
            // What comes until then is guessed to be as much as came lately.
            let coming = self.about(now.minus(*reach), now);
            let held = spans.iter().map(|(after, upto)| self.about(*after, *upto));
            let most = match *reach < SHORT {
                true => most,
                false => most.min(density.edges),
            };
            held.sum::<u64>().saturating_add(coming) <= most as u64
        };
        let cuts = match REACHES.into_iter().find(fits) {
            Some(reach) => Cuts::new(spec, now, now.plus(reach)),
            None => Cuts::coarse(spec, now),
        };
        Cuts { most, ..cuts }
    }

    /// How many events an anchored row may have by themselves, going by what they take.
    fn most_events(&self, spec: &RowSpec, density: Density) -> usize {
        /// From so many events on, bytes an event are told by them.
        const TELLING: usize = 64;
        let parts = self.segments.iter().rev().take(2);
        let parts = parts.filter_map(|segment| segment.part.as_ref());
        let part = parts.max_by_key(|part| part.row.events.len());
        let width = match part.filter(|part| part.row.events.len() >= TELLING) {
            Some(part) => {
                let bytes = part.row.encode(spec, Version::default()).len();
                // The next ones may be somewhat longer.
                (bytes / part.row.events.len() + 1) * 5 / 4
            }
            None => spec.event_bound(),
        };
        // As many again may come until the row is anchored anew.
        density.events / 2 / width
    }

    /// About how many events lie in `after < t <= upto`, by the directory alone.
    fn about(&self, after: Timestamp, upto: Timestamp) -> u64 {
        let of_segment = |segment: &Segment| {
            let Some(summary) = &segment.summary else {
                let part = segment.part.as_ref();
                return part.map_or(0, |p| p.row.events.between(after, upto).len() as u64);
            };
            match summary.lies(after, upto) {
                Lies::Outside => 0,
                Lies::Inside => summary.count,
                Lies::Across => {
                    let from = summary.first.max(after);
                    let to = summary.last.min(upto);
                    let whole = summary.last.since(summary.first).0.max(1) as f64;
                    let share = to.since(from).0.max(0) as f64 / whole;
                    (summary.count as f64 * share).ceil() as u64
                }
            }
        };
        let first = self.place(after);
        let near = self.segments[first..].iter();
        let near = near.take_while(|segment| segment.start < upto);
        near.map(of_segment).sum()
    }

    /// The segments whose events must be in memory to cut the row so, and to let go of what ends
    /// by `upto`.
    pub(crate) fn wanted(
        &self,
        spec: &RowSpec,
        head: &Row,
        cuts: &Cuts,
        upto: Timestamp,
    ) -> Vec<Timestamp> {
        let needed = |(place, segment): (usize, &Segment)| {
            let Some(summary) = &segment.summary else {
                return true;
            };
            let next = self.segments.get(place + 1).map(|next| next.start);
            let end = next.unwrap_or(Timestamp::MAX);
            // A row with last-N windows remembers some of what it lets go; and when the last
            // segment of a row with retractions ends only its events tell.
            let ends = end == Timestamp::MAX && summary.count > 0 && summary.last <= upto;
            let leaves = spec.remembers() && end <= upto || spec.sign.is_some() && ends;
            // What is taken back is in no summary, but among the events by themselves it is.
            let signed = |stretch: &Stretch| {
                spec.sign.is_some() && segment.start < stretch.upto && stretch.after < end
            };
            let mut stretches = cuts.stretches.iter();
            leaves
                || stretches.any(|stretch| match summary.lies(stretch.after, stretch.upto) {
                    Lies::Outside => stretch.edge && signed(stretch),
                    Lies::Inside => stretch.edge,
                    Lies::Across => true,
                })
        };
        let places = self.segments.iter().enumerate();
        let absent = places.filter(|(_, segment)| segment.part.is_none());
        let absent = absent.filter(|at| needed(*at)).map(|(_, s)| s.start);
        let mut wanted: Vec<Timestamp> = absent.collect();
        if spec.remembers() && self.known(cuts).is_none() {
            wanted.extend(self.walk(spec, head, cuts.anchor).err().unwrap_or_default());
            wanted.sort_unstable();
            wanted.dedup();
        }
        wanted
    }

    /// What the online row holds, where it knows the last events up to the anchor of `cuts`.
    fn known(&self, cuts: &Cuts) -> Option<&Anchored> {
        let at = self.online.anchored();
        at.filter(|at| self.tracked && at.anchor <= cuts.anchor)
    }

    /// The last events up to `anchor` that last-N windows need, going back segment by segment;
    /// or which segments must be read to find them.
    fn walk(
        &self,
        spec: &RowSpec,
        head: &Row,
        anchor: Timestamp,
    ) -> Result<Events, Vec<Timestamp>> {
        let mut open = spec.remembered();
        let mut events = Events::new(spec);
        let mut read = 0;
        for (place, segment) in self.segments.iter().enumerate().rev() {
            if open.is_empty() {
                return Ok(events);
            }
            if segment.start >= anchor || segment.summary.as_ref().is_some_and(|s| s.count == 0) {
                continue;
            }
            let Some(part) = &segment.part else {
                // The further back the search goes, the more is read at a time.
                let before = self.segments[..=place].iter().rev();
                let absent = before.filter(|s| s.part.is_none()).map(|s| s.start);
                return Err(absent.take(1 + read).collect());
            };
            read += 1;
            let found = &part.row.events;
            let end = found.between(Timestamp::MIN, anchor).end;
            events.merge(&found.slice(0..end));
            open.retain(|filter, count| {
                let (bits, filter) = (found.bits(), *filter);
                let passing = Passing { bits, filter };
                *count -= (0..end).filter(|i| passing.passes(*i)).count().min(*count);
                *count > 0
            });
        }
        // What the row has let go of it remembers itself.
        events.merge(&head.events);
        Ok(events)
    }

    /// The last events up to the anchor of `cuts`, of a view with last-N windows.
    fn last(&self, head: &Row, spec: &RowSpec, cuts: &Cuts) -> Events {
        let events = match self.known(cuts) {
            Some(at) => {
                let mut events = at.last.clone();
                events.merge(&self.online.events);
                events
            }
            None => self.walk(spec, head, cuts.anchor).unwrap_or_else(|_| {
                debug_assert!(false, "a wanted segment is not in memory");
                head.events.clone()
            }),
        };
        let end = events.between(Timestamp::MIN, cuts.anchor).end;
        events.pick(&spec.newest(&events, end))
    }

    /// Makes the online row anew. Every wanted segment is in memory.
    pub(crate) fn anchor(
        &mut self,
        head: &Row,
        spec: &RowSpec,
        measures: &Shared,
        density: Density,
        cuts: &Cuts,
    ) {
        self.summarise(spec, measures);
        let size = density.bundle;
        self.bundles.fill(&self.segments, size, spec, measures);
        let most = cuts.most;
        let mut online = self.row(head, spec, measures, cuts);
        let is_long = |row: &Row| row.encode(spec, Version::default()).len() > density.row_max;
        let coarse = (!cuts.coarse && is_long(&online)).then(|| Cuts::coarse(spec, cuts.anchor));
        if let Some(coarse) = &coarse {
            online = self.row(head, spec, measures, coarse);
        }
        let cuts = coarse.as_ref().unwrap_or(cuts);
        let edges = Edges::new(spec, cuts.anchor, cuts.horizon);
        let newest = self.segments.iter().filter_map(|s| s.summary.as_ref());
        let newest = newest.map(|summary| summary.last).max();
        let newest = newest.unwrap_or(Timestamp::MIN);
        let unseen = |[left, right, _]: &[Timestamp; 3]| {
            newest <= *right && (*left == Timestamp::MIN || newest <= *left)
        };
        let half = cuts.horizon.since(cuts.anchor).0 / 2;
        self.due = cuts.anchor.plus(Duration(half));
        // Of a row with retractions a summary does not tell all that may come to count.
        if spec.sign.is_none() && edges.of_output.iter().all(unseen) {
            // No edge has an event before it any more: it is looked at again only to let go
            // of what is stored.
            self.due = cuts.anchor.plus(IDLE);
            if let Some(merged) = &mut online.merged {
                merged.horizon = Timestamp::MAX;
            }
        }
        self.full = match cuts.coarse {
            true => 2 * most,
            false => (2 * online.own_events()).max(density.edges).min(2 * most),
        };
        self.online = online;
        self.tracked = true;
    }

    /// Works out what every segment in memory comes to.
    pub(crate) fn summarise(&mut self, spec: &RowSpec, measures: &Shared) {
        for segment in &mut self.segments {
            segment.summarise(spec, measures);
        }
    }

    /// The row for readers from the anchor to the horizon. Every wanted segment is in memory,
    /// and summarised.
    pub(crate) fn row(&self, head: &Row, spec: &RowSpec, measures: &Shared, cuts: &Cuts) -> Row {
        let edges = Edges::new(spec, cuts.anchor, cuts.horizon);
        let mut row = Row {
            kept_from: head.kept_from,
            base: head.base.clone(),
            ..Row::new(spec)
        };
        let mut pieces = Vec::new();
        for stretch in &cuts.stretches {
            if stretch.edge {
                self.gather(stretch, spec.sign.is_some(), &mut row);
                continue;
            }
            let sees = |measure: usize| {
                let mut outputs = 0..spec.outputs.len();
                outputs
                    .any(|index| measures.of_output(index) == measure && edges.sees(index, stretch))
            };
            let mut summary = Summary::empty(spec, measures, sees);
            self.merge(stretch, spec, measures, &mut summary);
            // What is wholly taken back, or is to take back what comes yet, must be known of too.
            if summary.count > 0 || spec.sign.is_some() {
                pieces.push(Piece {
                    after: stretch.after,
                    upto: stretch.upto,
                    summary,
                });
            }
        }
        let remembers = spec.remembers();
        let anchored = || Anchored {
            anchor: cuts.anchor,
            coarse: cuts.coarse,
            last: match remembers {
                true => self.last(head, spec, cuts),
                false => Events::new(spec),
            },
        };
        row.merged = Some(Box::new(Merged {
            measures: Shared::clone(measures),
            horizon: cuts.horizon,
            pieces,
            anchored: (remembers || cuts.coarse).then(|| Box::new(anchored())),
        }));
        row
    }

    /// Puts the events of a stretch into the online row.
    fn gather(&self, stretch: &Stretch, signed: bool, online: &mut Row) {
        for segment in self.near(stretch) {
            let outside = segment
                .summary
                .as_ref()
                .is_some_and(|summary| summary.lies(stretch.after, stretch.upto) == Lies::Outside);
            if let (false, Some(part)) = (outside && !signed, &segment.part) {
                let events = &part.row.events;
                let range = events.between(stretch.after, stretch.upto);
                online.events.merge(&events.slice(range));
            }
        }
    }

    /// Adds what the events of a stretch come to.
    fn merge(&self, stretch: &Stretch, spec: &RowSpec, measures: &Shared, into: &mut Summary) {
        let mut place = self.place(stretch.after);
        while let Some(segment) = self.segments.get(place) {
            if segment.start >= stretch.upto {
                break;
            }
            if let Some((bundle, segments)) = self.bundles.at(place)
                && bundle.lies(stretch.after, stretch.upto) == Lies::Inside
            {
                into.merge(spec, measures, bundle);
                place += segments;
                continue;
            }
            place += 1;
            let Some(summary) = &segment.summary else {
                continue;
            };
            match (summary.lies(stretch.after, stretch.upto), &segment.part) {
                (Lies::Outside, _) => {}
                (Lies::Inside, _) => into.merge(spec, measures, summary),
                (Lies::Across, Some(part)) => {
                    let events = &part.row.events;
                    let range = events.between(stretch.after, stretch.upto);
                    into.add(spec, measures, events, range);
                }
                (Lies::Across, None) => debug_assert!(false, "a wanted segment is not in memory"),
            }
        }
    }

    /// The segments that may have events in a stretch.
    fn near(&self, stretch: &Stretch) -> impl Iterator<Item = &Segment> {
        let first = self.place(stretch.after);
        let upto = stretch.upto;
        let from = self.segments[first..].iter();
        from.take_while(move |segment| segment.start < upto)
    }
}

//! How large a row's online form can get, told from its definition alone.
//!
//! An anchored row has partials between the edges of windows, one for each measure that sees the
//! span, and events one by one for as long as they fit. So its size has a bound that does not
//! depend on how many events there are: that of its partials, and room for some events.

use crate::partial::TEXT_BOUND;
use crate::spec::{Output, RowSpec};
use crate::summary::Measures;
use crate::window::{Span, Window};
use std::collections::BTreeMap;
use tiderace_types::{DataType, Duration};

/// How long an anchored row is good for at least: with more events in it than fit one by one it
/// becomes coarse, never shorter-lived.
pub const LEAST_REACH: Duration = Duration::from_secs(1);

/// An anchored row has room for so many events one by one at least.
pub const LEAST_EVENTS: usize = 64;

/// What an event takes beside its inputs, at most: time, identity, filter bits.
const EVENT: usize = 24;

/// What a row takes beside spans and events: version, flags, fingerprint, instants, counts, check.
const HEADER: usize = 128;

/// What a span takes beside its partials: edges, count, first and last instant.
const SPAN: usize = 50;

/// Why the rows of a view are kept whole, however many events they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// Where its session begins only the events tell.
    Session,
    /// A last-N window with a delay.
    DelayedLast,
    /// A last-N window over events that may be taken back.
    RetractedLast,
}

impl RowSpec {
    /// The output because of which rows are kept whole, and why; `None` where a row of many events
    /// can be held in spans.
    #[must_use]
    pub fn whole(&self) -> Option<(usize, Whole)> {
        let why = |output: &Output| match output.window.span {
            Span::Session { .. } => Some(Whole::Session),
            Span::LastN(_) if output.window.delay > Duration::ZERO => Some(Whole::DelayedLast),
            Span::LastN(_) if self.sign.is_some() => Some(Whole::RetractedLast),
            _ => None,
        };
        let mut outputs = self.outputs.iter().enumerate();
        outputs.find_map(|(index, output)| Some((index, why(output)?)))
    }

    /// How many bytes an event takes in a row at most, where texts keep to [`TEXT_BOUND`].
    #[must_use]
    pub fn event_bound(&self) -> usize {
        let input = |data_type: &DataType| match data_type {
            DataType::String | DataType::Bytes => TEXT_BOUND + 2,
            DataType::Decimal { .. } => 19,
            _ => 10,
        };
        EVENT + self.inputs.iter().map(input).sum::<usize>()
    }

    /// How many bytes an anchored row takes beside its events, at most, and of it each measure's
    /// partials, by an output of the measure; texts keep to [`TEXT_BOUND`].
    #[must_use]
    pub fn spans_bound(&self) -> SpansBound {
        let measures = Measures::of(self);
        let edges = Edges::of(self);
        let mut longest: BTreeMap<usize, Option<Duration>> = BTreeMap::new();
        for (index, output) in self.outputs.iter().enumerate() {
            if matches!(output.window.span, Span::LastN(_)) {
                continue;
            }
            let reach = output.window.horizon();
            let held = longest.entry(measures.of_output(index)).or_insert(reach);
            *held = held.zip(reach).map(|(held, reach)| held.max(reach));
        }
        let mut of_measures: Vec<(usize, usize)> = longest
            .into_iter()
            .map(|(measure, longest)| {
                let output = measures.output(measure);
                let partial = self.outputs[output].partial_bound(&self.inputs);
                (output, partial * edges.spans(longest))
            })
            .collect();
        of_measures.sort_by_key(|(output, bytes)| (std::cmp::Reverse(*bytes), *output));
        let lifetimes = self.outputs.iter();
        let lifetimes = lifetimes.filter(|output| output.window.span == Span::Lifetime);
        let base: usize = lifetimes.map(|o| 10 + o.partial_bound(&self.inputs)).sum();
        let last: usize = self.remembered().values().map(|count| count + 1).sum();
        let spans = edges.spans(None) * (SPAN + measures.len());
        let partials: usize = of_measures.iter().map(|(_, bytes)| bytes).sum();
        SpansBound {
            bytes: HEADER + base + last * self.event_bound() + spans + partials,
            of_measures,
        }
    }
}

impl RowSpec {
    /// How many bytes an online row may need at least: its partials, and room for some events.
    #[must_use]
    pub fn least_row_max(&self) -> usize {
        self.spans_bound().bytes + LEAST_EVENTS * self.event_bound()
    }
}

/// What [`RowSpec::spans_bound`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpansBound {
    /// All of it.
    pub bytes: usize,
    /// An output of each measure with what the measure's partials take of it, the most first.
    pub of_measures: Vec<(usize, usize)>,
}

/// How far behind an anchor edges of windows lie, and at how many places each may stand while the
/// anchor is good for [`LEAST_REACH`].
struct Edges(Vec<(Duration, usize)>);

impl Edges {
    fn of(spec: &RowSpec) -> Edges {
        let mut windows: Vec<Window> = spec.outputs.iter().map(|o| o.window).collect();
        windows.sort_unstable_by_key(|window| format!("{window:?}"));
        windows.dedup();
        let mut edges = Vec::new();
        let mut delays = Vec::new();
        for window in windows {
            let stands = |step: Duration| 2 + (LEAST_REACH.0 / step.0.max(1)) as usize;
            match window.span {
                Span::LastN(_) | Span::Session { .. } => continue,
                Span::Lifetime => {}
                Span::Sliding(_) => edges.push((window.reach(), 1)),
                Span::Hopping { hop, .. } => {
                    // An edge with more places than are told apart moves.
                    let places = Some(stands(hop)).filter(|places| *places <= 64);
                    edges.push((window.reach(), places.unwrap_or(1)));
                }
                Span::Tumbling { .. } => edges.extend([(window.reach(), 2), (window.reach(), 2)]),
            }
            if window.delay > Duration::ZERO && !delays.contains(&window.delay) {
                delays.push(window.delay);
            }
        }
        edges.extend(delays.into_iter().map(|delay| (delay, 1)));
        Edges(edges)
    }

    /// How many spans a measure sees whose windows reach so far at most; without a bound, all.
    fn spans(&self, longest: Option<Duration>) -> usize {
        let near = |(behind, _): &&(Duration, usize)| longest.is_none_or(|most| *behind <= most);
        let places = self.0.iter().filter(near).map(|(_, places)| places);
        1 + places.sum::<usize>()
    }
}

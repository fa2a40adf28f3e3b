//! One row after another at the same many instants, each in one pass.
//!
//! Sliding windows that follow one another closely share most of their events. What a run of
//! them has in common is worked out once; to it is merged, window by window, what the earlier
//! ones begin with and the later ones end with. Nothing is ever subtracted, so that sums of
//! doubles stay as good as they are. Where no edge has passed an event since the last instant,
//! the last answer stands.
//!
//! # Laws
//! - At every instant the answers are those of [`Row::finish`] of each output alone: bit for bit, but for floats that
//!   are sums, which agree to 1e-9 of the sum of magnitudes.

use crate::answer::{Answer, Reading};
use crate::asked::Asked;
use crate::events::Events;
use crate::finish::{FinishError, finish_partial};
use crate::function::Function;
use crate::partial::Partial;
use crate::row::Row;
use crate::spec::{Output, RowSpec};
use crate::window::{Bounds, Span, Window};
use std::ops::Range;
use tiderace_types::{Timestamp, Value};

/// Outputs of a view, asked for at rising instants.
#[derive(Debug)]
pub struct Series<'a> {
    spec: &'a RowSpec,
    instants: Vec<Timestamp>,
    windows: Vec<Ranges>,
    asked: Vec<Feature>,
    answers: Vec<Result<Answer, FinishError>>,
}

/// The events of one window at every instant, as ranges of indices.
#[derive(Debug)]
struct Ranges {
    window: Window,
    ranges: Vec<Range<usize>>,
}

/// One output.
#[derive(Debug)]
struct Feature {
    output: usize,
    /// As it is asked at one instant.
    alone: Asked,
    /// The place of its window; none where the events do not say all.
    ranges: Option<usize>,
    run: Run,
}

/// Windows, by the places of their instants, that have many events in common.
#[derive(Debug)]
struct Run {
    /// The first place after it.
    end: usize,
    start: usize,
    /// What all have in common; none where that is too little to be worth it.
    core: Option<Partial>,
    /// For each place, what comes before that.
    before: Vec<Partial>,
    /// What comes behind it, up to event `upto`.
    behind: Partial,
    upto: usize,
}

/// Fewer events in common are added up again for every window.
const CORE: usize = 8;

impl Series<'_> {
    /// Asks for `outputs` (indices into the spec's) at `instants`, which rise.
    #[must_use]
    pub fn new<'a>(spec: &'a RowSpec, outputs: &[usize], instants: &[Timestamp]) -> Series<'a> {
        debug_assert!(instants.is_sorted(), "instants rise");
        let mut windows: Vec<Ranges> = Vec::new();
        let asked = outputs.iter().map(|index| {
            let output = &spec.outputs[*index];
            let window = output.window;
            let by_time = window.bounds(Timestamp(0)).is_some() && window.span != Span::Lifetime;
            let decided = by_time && by_events_alone(&output.function);
            let place = decided.then(|| {
                let found = windows.iter().position(|held| held.window == window);
                found.unwrap_or_else(|| {
                    windows.push(Ranges {
                        window,
                        ranges: Vec::new(),
                    });
                    windows.len() - 1
                })
            });
            Feature {
                output: *index,
                alone: Asked::of(spec, &[*index]),
                ranges: place,
                run: Run::none(output, spec),
            }
        });
        Series {
            asked: asked.collect(),
            spec,
            instants: instants.to_vec(),
            windows,
            answers: vec![Ok(Value::Null.into()); outputs.len()],
        }
    }

    /// Gives `each` the answers of `row` at every instant.
    pub fn finish(
        &mut self,
        row: &Row,
        mut each: impl FnMut(Timestamp, &[Result<Answer, FinishError>]),
    ) {
        let row = &*row.net(self.spec);
        for of in &mut self.windows {
            of.find(&row.events, &self.instants);
        }
        for asked in &mut self.asked {
            asked.run.end = 0;
        }
        for (place, instant) in self.instants.iter().enumerate() {
            for (asked, answer) in self.asked.iter_mut().zip(&mut self.answers) {
                // What is merged beside the row's own events is not looked for here.
                let Some(of) = asked.ranges.filter(|_| row.merged.is_none()) else {
                    *answer = asked.at(self.spec, row, *instant);
                    continue;
                };
                let ranges = &self.windows[of].ranges;
                if place == 0 || ranges[place] != ranges[place - 1] {
                    let output = &self.spec.outputs[asked.output];
                    *answer = match is_small(&output.function) {
                        true => {
                            let (run, events) = (&mut asked.run, &row.events);
                            run.answer(output, self.spec, events, ranges, (place, *instant))
                        }
                        false => asked.at(self.spec, row, *instant),
                    };
                }
            }
            each(*instant, &self.answers);
        }
    }
}

impl Feature {
    fn at(&self, spec: &RowSpec, row: &Row, as_of: Timestamp) -> Result<Answer, FinishError> {
        let mut answers = self.alone.finish(spec, row, as_of);
        answers.pop().expect("one output has one answer")
    }
}

impl Ranges {
    fn find(&mut self, events: &Events, instants: &[Timestamp]) {
        let window = self.window;
        self.ranges.clear();
        self.ranges.extend(instants.iter().map(|as_of| {
            let bounds = window.bounds(*as_of);
            bounds.map_or(0..0, |Bounds { after, upto }| events.between(after, upto))
        }));
    }
}

impl Run {
    fn none(output: &Output, spec: &RowSpec) -> Run {
        Run {
            end: 0,
            start: 0,
            core: None,
            before: Vec::new(),
            behind: Partial::empty(output, &spec.inputs),
            upto: 0,
        }
    }

    /// The answer at `place`, which comes after every place asked for before.
    fn answer(
        &mut self,
        output: &Output,
        spec: &RowSpec,
        events: &Events,
        ranges: &[Range<usize>],
        (place, as_of): (usize, Timestamp),
    ) -> Result<Answer, FinishError> {
        // Nothing that is small looks at the edges.
        let reading = Reading {
            as_of,
            after: Timestamp::MIN,
            upto: as_of,
        };
        if place >= self.end {
            self.begin(output, spec, events, ranges, place);
        }
        let inputs = &spec.inputs;
        let Some(core) = &self.core else {
            let mut whole = Partial::empty(output, inputs);
            whole.add(output, inputs, events, ranges[place].clone());
            return finish_partial(output, inputs, &whole, &reading);
        };
        let upto = ranges[place].end;
        self.behind.add(output, inputs, events, self.upto..upto);
        self.upto = upto;
        let mut whole = self.before[place - self.start].clone();
        whole.merge_ref(output, core);
        whole.merge_ref(output, &self.behind);
        finish_partial(output, inputs, &whole, &reading)
    }

    /// Finds the windows from `start` on that overlap the first, and what they have in common.
    fn begin(
        &mut self,
        output: &Output,
        spec: &RowSpec,
        events: &Events,
        ranges: &[Range<usize>],
        start: usize,
    ) {
        let upto = ranges[start].end;
        let more = ranges[start + 1..].iter();
        let overlap = more.take_while(|range| range.start <= upto).count();
        let last = start + overlap;
        let common = ranges[last].start..upto;
        self.start = start;
        self.end = last + 1;
        self.core = None;
        if overlap == 0 || common.len() < CORE {
            return;
        }
        let empty = || Partial::empty(output, &spec.inputs);
        let mut before = empty();
        self.before.clear();
        for place in (start..=last).rev() {
            let own = ranges[place].start..ranges[last.min(place + 1)].start;
            before.add(output, &spec.inputs, events, own);
            self.before.push(before.clone());
        }
        self.before.reverse();
        let mut core = empty();
        core.add(output, &spec.inputs, events, common);
        self.core = Some(core);
        self.behind = empty();
        self.upto = upto;
    }
}

/// Whether the events of the window decide the answer, whatever the instant.
const fn by_events_alone(function: &Function) -> bool {
    matches!(
        function,
        Function::Count
            | Function::Sum
            | Function::Avg
            | Function::Min
            | Function::Max
            | Function::CountDistinct { .. }
            | Function::TopN { .. }
            | Function::First
            | Function::Last
    )
}

/// Whether a partial takes a few words, however many events are in it, in any order.
const fn is_small(function: &Function) -> bool {
    matches!(
        function,
        Function::Count | Function::Sum | Function::Avg | Function::Min | Function::Max
    )
}

//! Outputs of a view, prepared once to be finished together, row after row.
//!
//! Windows that end together lie within one another, so every event and every merged span is
//! looked at once, from the latest on, by all windows of a feature; what is asked of the same
//! values in several ways (how many different ones, which are heaviest) tells equal values from
//! different ones once.
//!
//! # Laws
//! - The answers are those of each output alone: bit for bit, but for floats that are sums, which
//!   agree to 1e-9 of the sum of magnitudes, and for answers past a cap, which agree within
//!   their bounds.

use crate::answer::Answer;
use crate::codec::CodecError;
use crate::finish::FinishError;
use crate::finish::nested::{Nest, Place, Places};
use crate::finish::plain;
use crate::finish::values::{self, Values};
use crate::function::Function;
use crate::partial::Partial;
use crate::row::Row;
use crate::spec::{Output, RowSpec};
use crate::summary::Measures;
use crate::window::{Span, Window};
use std::sync::{Arc, OnceLock};
use tiderace_types::{Timestamp, Value};

/// Outputs of a view, to be finished together.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Indices into the spec's outputs, as they were asked for.
    outputs: Vec<usize>,
    /// The different windows: of those that events decide, one for each filter.
    windows: Vec<(Window, Option<usize>)>,
    /// Outputs with the same partial.
    runs: Vec<Run>,
    /// Inputs whose equal values are told from different ones.
    values: Vec<Values>,
    /// The measures of the spec, by which merged spans are read: worked out for the first.
    measures: OnceLock<Arc<Measures>>,
    /// Outputs over all events, some of which may be folded, and over the last so many, which a
    /// row with merged spans holds apart: by themselves.
    apart: Places,
}

/// Outputs that differ in their windows and in how they are finished.
#[derive(Clone, Debug)]
struct Run {
    /// One of them.
    output: usize,
    /// Whether they ask for no more of moments than the second.
    spread: bool,
    /// Whether each is finished by itself, where the row has nothing merged.
    alone: bool,
    places: Places,
}

impl Asked {
    /// Prepares `outputs` (indices into the spec's).
    #[must_use]
    pub fn of(spec: &RowSpec, outputs: &[usize]) -> Asked {
        let mut asked = Asked {
            outputs: outputs.to_vec(),
            ..Asked::default()
        };
        for (slot, index) in outputs.iter().enumerate() {
            let output = &spec.outputs[*index];
            let window = asked.window(output);
            let place = Place {
                slot,
                output: *index,
            };
            if matches!(output.window.span, Span::Lifetime | Span::LastN(_)) {
                asked.apart.add(window, place);
                continue;
            }
            match values::kind(output) {
                Some((input, kind)) => {
                    let found = asked.values.iter().position(|held| held.input == input);
                    let at = found.unwrap_or_else(|| {
                        asked.values.push(Values::of(input));
                        asked.values.len() - 1
                    });
                    asked.values[at].ask(kind, output, window, place);
                }
                None => asked.ask(spec, output, window, place),
            }
        }
        asked
    }

    /// Reads a row to be finished, as [`Row::decode`] does, the measures being known, and lists
    /// of values left as they are written.
    ///
    /// # Errors
    /// As [`Row::decode`].
    pub fn decode(&self, spec: &RowSpec, bytes: &[u8]) -> Result<Row, CodecError> {
        let measures = || self.measures.get_or_init(|| Arc::new(Measures::of(spec)));
        let measures = || Arc::clone(measures());
        Row::decode_with(bytes, spec, (measures, Partial::read_listed))
    }

    /// The place of an output's window.
    fn window(&mut self, output: &Output) -> usize {
        let by_events = matches!(output.window.span, Span::Session { .. } | Span::LastN(_));
        let key = (output.window, output.filter.filter(|_| by_events));
        let found = self.windows.iter().position(|held| *held == key);
        found.unwrap_or_else(|| {
            self.windows.push(key);
            self.windows.len() - 1
        })
    }

    fn ask(&mut self, spec: &RowSpec, output: &Output, window: usize, place: Place) {
        let same = |run: &Run| shares(&spec.outputs[run.output], output);
        let run = match self.runs.iter().position(same) {
            Some(run) => run,
            None => {
                self.runs.push(Run {
                    output: place.output,
                    spread: true,
                    alone: is_read_off(&output.function),
                    places: Places::default(),
                });
                self.runs.len() - 1
            }
        };
        let run = &mut self.runs[run];
        run.spread &= plain::is_spread(&output.function);
        run.places.add(window, place);
    }

    /// Answers the outputs for `row` at `as_of`, in the order in which they were asked for.
    ///
    /// Exact for every window that lies inside what the row keeps; see [`Row::holds`].
    #[must_use]
    pub fn finish(
        &self,
        spec: &RowSpec,
        row: &Row,
        as_of: Timestamp,
    ) -> Vec<Result<Answer, FinishError>> {
        let row = &*row.net(spec);
        let nest = Nest::of(row, &self.windows, as_of);
        let nothing = || Ok(Value::Null.into());
        let mut answers: Vec<_> = self.outputs.iter().map(|_| nothing()).collect();
        let alone = |places: &Places, answers: &mut [Result<Answer, FinishError>]| {
            for (window, place) in places.all() {
                let within = &nest.withins[window];
                answers[place.slot] = row.finish_within(spec, place.output, within);
            }
        };
        alone(&self.apart, &mut answers);
        for run in &self.runs {
            if run.alone && !nest.is_merged() {
                alone(&run.places, &mut answers);
                continue;
            }
            let of = (run.output, run.spread);
            plain::finish(spec, row, &nest, of, &run.places, &mut answers);
        }
        for values in &self.values {
            values.finish(spec, row, &nest, &mut answers);
        }
        answers
    }
}

impl Row {
    /// Answers `outputs` (indices into the spec's) at `as_of`.
    ///
    /// Exact for every window that lies inside what the row keeps; see [`Row::holds`]. Whoever
    /// asks for the same again and again prepares it once: [`Asked`].
    #[must_use]
    pub fn finish(
        &self,
        spec: &RowSpec,
        outputs: &[usize],
        as_of: Timestamp,
    ) -> Vec<Result<Answer, FinishError>> {
        Asked::of(spec, outputs).finish(spec, self, as_of)
    }
}

/// Tells whether two outputs have the same partial of the same events.
fn shares(a: &Output, b: &Output) -> bool {
    let kernel = |function: &Function| match function {
        Function::Avg => Function::Sum,
        Function::VarSamp
        | Function::StddevSamp
        | Function::StddevPop
        | Function::Skewness
        | Function::Kurtosis => Function::VarPop,
        other => other.clone(),
    };
    (a.input, a.by, a.filter) == (b.input, b.by, b.filter)
        && kernel(&a.function) == kernel(&b.function)
}

/// Whether the answer stands in an event or two, so that nothing needs to be gone through.
fn is_read_off(function: &Function) -> bool {
    matches!(function, Function::FirstN { .. } | Function::LastN { .. })
}

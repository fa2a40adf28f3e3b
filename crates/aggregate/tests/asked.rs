//! Outputs that are asked for together answer as each does by its partial: what is read off
//! columns of numbers or off packed lists says the same as what goes the general way.

use proptest::prelude::*;
use std::sync::Arc;
use tiderace_aggregate::{
    Answer, Asked, Cell, Event, Events, FinishError, Function, Id, IdKind, Kept, Lies, Measures,
    Merged, Output, Partial, Piece, Reading, Row, RowSpec, Span, Summary, Window, finish_partial,
};
use tiderace_types::{DataType, Duration, Timestamp, Value, Version};

/// An event as it is drawn: time, an integer, a double, and which of them are null.
type Drawn = (u8, u8, u8, u8);

const FLOAT: usize = 0;
const INT: usize = 1;

/// Integers near one another, or far apart.
fn int(pick: u8, far: bool) -> i64 {
    match (pick, far) {
        (0, true) => i64::MIN,
        (1, true) => i64::MAX,
        (pick, true) => i64::from(pick).wrapping_mul(0x1234_5678_9abc_def1),
        (pick, false) => i64::from(pick) - 20,
    }
}

/// Doubles whose sums lose nothing, but for one that is past them all.
fn float(pick: u8) -> f64 {
    match pick {
        0 => -0.0,
        255 => f64::INFINITY,
        pick => f64::from(pick) * 0.25 - 11.0,
    }
}

fn spec(filtered: bool) -> RowSpec {
    let map = |key: &DataType, weight| DataType::Map(Box::new(key.clone()), Box::new(weight));
    let inputs = vec![
        DataType::Float64,
        DataType::Int64,
        DataType::String,
        DataType::Timestamp,
    ];
    let mut asked: Vec<(Function, Option<usize>, Option<usize>, DataType)> = vec![
        (Function::Count, None, None, DataType::Int64),
        (Function::Count, Some(FLOAT), None, DataType::Int64),
    ];
    let per = Duration(3);
    asked.push((Function::Rate { per }, None, None, DataType::Float64));
    for (input, of) in inputs.iter().enumerate() {
        for function in [
            Function::Min,
            Function::Max,
            Function::First,
            Function::Last,
        ] {
            asked.push((function, Some(input), None, of.clone()));
        }
        for cap in [5, 256] {
            let distinct = Function::CountDistinct { cap };
            asked.push((distinct, Some(input), None, DataType::Int64));
        }
        for (n, cap) in [(1, 256), (3, 256), (40, 256), (3, 5)] {
            let top = Function::TopN { n, cap };
            asked.push((top.clone(), Some(input), None, map(of, DataType::Int64)));
            let by = (Some(FLOAT), map(of, DataType::Float64));
            asked.push((top.clone(), Some(input), by.0, by.1));
            asked.push((top, Some(input), Some(INT), map(of, DataType::Int64)));
        }
    }
    for input in [FLOAT, INT] {
        for function in [Function::Sum, Function::Avg] {
            let of = match function {
                Function::Sum => inputs[input].clone(),
                _ => DataType::Float64,
            };
            asked.push((function, Some(input), None, of));
        }
        for function in [Function::VarSamp, Function::StddevPop, Function::VarPop] {
            asked.push((function, Some(input), None, DataType::Float64));
        }
    }
    asked.push((Function::Skewness, Some(INT), None, DataType::Float64));
    let windows = [(4, 0), (16, 0), (64, 0), (64, 7), (300, 0), (300, 7)];
    let outputs = asked.into_iter().flat_map(|(function, input, by, of)| {
        windows.map(|(size, delay)| Output {
            name: String::new(),
            function: function.clone(),
            input,
            by,
            filter: filtered.then_some(0),
            window: Window {
                span: Span::Sliding(Duration(size)),
                delay: Duration(delay),
            },
            data_type: of.clone(),
            default: None,
        })
    });
    RowSpec {
        fingerprint: 1,
        id: IdKind::Int64,
        outputs: outputs.collect(),
        inputs,
        filters: 1,
        sign: None,
        kept: Kept::All,
    }
}

fn row(spec: &RowSpec, drawn: &[Drawn], nulls: bool, far: bool) -> Row {
    let mut row = Row::new(spec);
    for (id, (time, a, b, flags)) in drawn.iter().enumerate() {
        let text = a.to_be_bytes();
        let cells = [
            Cell::Float(float(*b)),
            Cell::Int(int(*a, far)),
            Cell::Bytes(&text[..]),
            Cell::Int(int(*a, far)),
        ];
        let is_null = |input: usize| nulls && flags >> input & 1 == 1;
        let cells: Vec<Cell<'_>> = cells
            .into_iter()
            .enumerate()
            .map(|(input, cell)| if is_null(input) { Cell::Null } else { cell })
            .collect();
        let event = Event {
            time: Timestamp((*time).into()),
            id: Id::Int(id as i64),
            bits: (flags >> 4 & 1).into(),
            inputs: &cells,
        };
        row.offer(spec, &event);
    }
    row
}

/// The row with what lies between cuts held merged, every other time.
fn merged(spec: &RowSpec, whole: &Row, cuts: &[u8]) -> Row {
    let measures = Arc::new(Measures::of(spec));
    let mut cuts: Vec<i64> = cuts.iter().map(|cut| i64::from(*cut)).collect();
    cuts.extend([-1, 255]);
    cuts.sort_unstable();
    cuts.dedup();
    let (mut events, mut pieces) = (Events::new(spec), Vec::new());
    for (place, pair) in cuts.windows(2).enumerate() {
        let (after, upto) = (Timestamp(pair[0]), Timestamp(pair[1]));
        let part = whole.events.slice(whole.events.between(after, upto));
        match place % 2 {
            0 => pieces.push(Piece {
                after,
                upto,
                summary: Summary::of(spec, &measures, &part),
            }),
            _ => events.merge(&part),
        }
    }
    Row {
        events,
        merged: Some(Box::new(Merged {
            measures,
            horizon: Timestamp::MAX,
            pieces,
            anchored: None,
        })),
        ..Row::new(spec)
    }
}

/// The answer of one output by its partial.
fn alone(spec: &RowSpec, row: &Row, index: usize, as_of: Timestamp) -> Result<Answer, FinishError> {
    let output = &spec.outputs[index];
    let bounds = output.window.bounds(as_of).expect("time alone decides");
    let mut partial = Partial::empty(output, &spec.inputs);
    if let Some(merged) = &row.merged {
        let measure = merged.measures.of_output(index);
        for piece in &merged.pieces {
            if piece.summary.lies(bounds.after, bounds.upto) == Lies::Inside {
                let more = piece.summary.partials[measure].as_ref();
                partial.merge_ref(output, more.expect("every measure is kept"));
            }
        }
    }
    partial.add(output, &spec.inputs, &row.events, row.select(output, as_of));
    let reading = Reading {
        as_of,
        after: bounds.after,
        upto: bounds.upto,
    };
    finish_partial(output, &spec.inputs, &partial, &reading)
}

/// Tells whether answers agree; third powers cancel out, so that skewness is off by a share of one.
fn is_same(output: &Output, found: &Answer, expected: &Answer) -> bool {
    let values = match (&found.value, &expected.value) {
        (Value::Float(a), Value::Float(b)) => {
            let scale = match output.function {
                Function::Skewness => 1.0,
                _ => b.abs(),
            };
            a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-9 * scale
        }
        (a, b) => a == b,
    };
    values && found.bound == expected.bound
}

fn check(spec: &RowSpec, row: &Row, read: &Row, asked: &Asked, outputs: &[usize]) {
    for as_of in [0, 3, 90, 200, 255, 400].map(Timestamp) {
        let answers = asked.finish(spec, read, as_of);
        for (index, answer) in outputs.iter().copied().zip(answers) {
            let output = &spec.outputs[index];
            // Past its cap what is heavy depends on how events are split.
            let is_split = matches!(output.function, Function::TopN { cap: 5, .. });
            if is_split || !row.answers(spec, index, as_of) {
                continue;
            }
            let expected = alone(spec, row, index, as_of);
            let is_top = matches!(output.function, Function::TopN { .. });
            let same = match (&answer, &expected) {
                (found, Ok(Answer { bound: Some(_), .. })) if is_top => {
                    found.as_ref().is_ok_and(|found| found.bound.is_some())
                }
                (Ok(found), Ok(expected)) => is_same(output, found, expected),
                (found, expected) => found == expected,
            };
            assert!(
                same,
                "{output:?} at {as_of:?}: {answer:?}, not {expected:?}"
            );
        }
    }
}

/// Spans that only the longer windows see are kept for the features of these alone, whatever
/// else is asked with them.
#[test]
fn what_is_kept_for_one_feature_is_found_for_it() {
    let mut spec = spec(false);
    let long = |function: &Function| {
        matches!(
            function,
            Function::Avg | Function::StddevPop | Function::TopN { n: 3, cap: 256 }
        )
    };
    let seen = |output: &Output| match output.window.span {
        Span::Sliding(Duration(16)) => !long(&output.function),
        Span::Sliding(Duration(300)) => long(&output.function),
        _ => false,
    };
    spec.outputs.retain(seen);
    let drawn: Vec<Drawn> = (0..=250).map(|n| (n, n % 40, n / 3 + 1, 0)).collect();
    let whole = row(&spec, &drawn, false, false);
    let mut row = merged(&spec, &whole, &[100]);
    let merged = row.merged.as_mut().expect("it is merged");
    for (index, output) in spec.outputs.iter().enumerate() {
        if !long(&output.function) {
            let measure = merged.measures.of_output(index);
            merged.pieces[0].summary.partials[measure] = None;
        }
    }
    let all: Vec<usize> = (0..spec.outputs.len()).collect();
    check(&spec, &row, &row, &Asked::of(&spec, &all), &all);
}

proptest! {
    #[test]
    fn together_as_each_by_its_partial(
        drawn in prop::collection::vec((any::<u8>(), 0..60u8, any::<u8>(), any::<u8>()), 0..120),
        cuts in prop::collection::vec(any::<u8>(), 0..8),
        nulls in any::<bool>(),
        far in any::<bool>(),
        filtered in any::<bool>(),
    ) {
        let spec = spec(filtered);
        let all: Vec<usize> = (0..spec.outputs.len()).collect();
        let asked = Asked::of(&spec, &all);
        let whole = row(&spec, &drawn, nulls, far);
        let merged = merged(&spec, &whole, &cuts);
        for row in [&whole, &merged] {
            check(&spec, row, row, &asked, &all);
            let bytes = row.encode(&spec, Version::default());
            let read = asked.decode(&spec, &bytes).expect("what was written reads");
            check(&spec, row, &read, &asked, &all);
            // Told by what is printed, since a NaN is not equal to itself.
            for as_of in [90, 255, 400].map(Timestamp) {
                let (found, expected) = (
                    asked.finish(&spec, &read, as_of),
                    asked.finish(&spec, row, as_of),
                );
                prop_assert_eq!(format!("{found:?}"), format!("{expected:?}"));
            }
        }
    }
}

/// What is drawn of a row most of whose events are merged.
#[derive(Clone, Copy, Debug)]
struct Skewed {
    seed: u64,
    merged: u16,
    beside: u8,
    keys: u16,
    /// How much more often the first keys come than the last.
    skew: u8,
    /// How far apart keys are.
    step: i64,
    /// Some weights are below zero.
    negative: bool,
    filtered: bool,
}

fn skewed() -> impl Strategy<Value = Skewed> {
    let step = prop_oneof![
        Just(1i64),
        Just(7),
        Just(300),
        Just(0x1234_5678_9abc_def1),
        Just(i64::MIN),
    ];
    let numbers = (any::<u64>(), 0..1500u16, 0..200u8, 1..700u16, 1..9u8);
    let all = (numbers, step, any::<bool>(), any::<bool>());
    all.prop_map(|(numbers, step, negative, filtered)| {
        let (seed, merged, beside, keys, skew) = numbers;
        Skewed {
            seed,
            merged,
            beside,
            keys,
            skew,
            step,
            negative,
            filtered,
        }
    })
}

impl Skewed {
    /// Whether sums lose nothing.
    fn is_exact(&self) -> bool {
        !self.seed.is_multiple_of(3)
    }

    fn event(&self, id: i64) -> Drawn3 {
        let mut state = self.seed.wrapping_add(id.cast_unsigned());
        let mut next = || support_next(&mut state) >> 11;
        let share = next() as f64 / (1u64 << 53) as f64;
        let key = (share.powi(self.skew.into()) * f64::from(self.keys)) as i64;
        let unit = if self.is_exact() { 0.25 } else { 0.37 };
        let weight = (next() % 1000) as f64 * unit - if self.negative { 90.0 } else { 0.0 };
        (key.wrapping_mul(self.step), weight, next() % 8)
    }
}

/// Its key, its weight, and what chooses whether it passes and what is null.
type Drawn3 = (i64, f64, u64);

fn support_next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A row that is read says bit for bit what the row says that was written, though it looks
    /// but at the heaviest of a list, and believes how many registers have each rank.
    #[test]
    fn few_events_beside_a_span_that_is_read(skewed in skewed()) {
        let mut spec = spec(skewed.filtered);
        let keyed = |output: &Output| {
            matches!(output.function, Function::CountDistinct { .. } | Function::TopN { .. })
                && output.input.is_some_and(|input| spec.inputs[input] != DataType::String)
                && output.window.span == Span::Sliding(Duration(300))
                && output.window.delay == Duration::ZERO
        };
        let outputs: Vec<Output> = spec.outputs.iter().filter(|o| keyed(o)).cloned().collect();
        spec.outputs = outputs;
        let mut whole = Row::new(&spec);
        for id in 0..i64::from(skewed.merged) + i64::from(skewed.beside) {
            let (key, weight, flags) = skewed.event(id);
            let key = |is_null: bool| if is_null { Cell::Null } else { Cell::Int(key) };
            let at = if id < i64::from(skewed.merged) { 10 } else { 20 };
            let nulls = skewed.seed.is_multiple_of(2);
            let event = Event {
                time: Timestamp(at),
                id: Id::Int(id),
                bits: u64::from(flags > 1),
                inputs: &[
                    Cell::Float(weight),
                    key(nulls && flags == 5),
                    Cell::Null,
                    key(false),
                ],
            };
            whole.offer(&spec, &event);
        }
        let row = merged(&spec, &whole, &[15]);
        let bytes = row.encode(&spec, Version::default());
        for index in 0..spec.outputs.len() {
            let asked = Asked::of(&spec, &[index]);
            let read = asked.decode(&spec, &bytes).expect("what was written reads");
            if skewed.is_exact() {
                check(&spec, &row, &read, &asked, &[index]);
            }
            let (found, expected) = (
                asked.finish(&spec, &read, Timestamp(255)),
                asked.finish(&spec, &row, Timestamp(255)),
            );
            prop_assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        }
    }
}

//! The bytes of rows, pinned: a change here is a new codec, not an edit.
//!
//! `golden/row_v1.hex` has a name and the bytes of one row per line. Where the lines differ the
//! test prints what it would write; a line that is there is never changed, only added to. Lines
//! whose form is not written any more are in [`RETIRED`]: they still read, to the same answers.

mod support;

use std::sync::Arc;
use support::{Fact, OwnId};
use tiderace_aggregate::{
    Anchored, Function, IdKind, Level, Measures, Merged, Output, Piece, Repeats, Row, RowSpec,
    Simple, Span, Summary, Window,
};
use tiderace_types::{DataType, Duration, Timestamp, Value, Version, encode_key};

const GOLDEN: &str = include_str!("golden/row_v1.hex");

/// Lines that are not written any more, with the line in their place.
///
/// - `base`…: `first` and `last` were written without their place in the order.
/// - `base_placed`, `base_only_placed`, `forms`…: different integers were written one by one.
/// - …`_listed`, `merged_lists`…: they were written as steps from one to the next, and the heaviest not named.
const RETIRED: [(&str, &str); 13] = [
    ("base", "base_laid"),
    ("base_only", "base_only_laid"),
    ("base_of_nulls", "base_of_nulls_placed"),
    ("base_placed", "base_laid"),
    ("base_only_placed", "base_only_laid"),
    ("forms", "forms_laid"),
    ("forms_past_caps", "forms_past_caps_laid"),
    ("base_listed", "base_laid"),
    ("base_only_listed", "base_only_laid"),
    ("forms_listed", "forms_laid"),
    ("forms_past_caps_listed", "forms_past_caps_laid"),
    ("merged_lists", "merged_lists_laid"),
    ("merged_lists_past_caps", "merged_lists_past_caps_laid"),
];

const VERSION: Version = Version { epoch: 2, seq: 258 };

/// Named rows: every id kind, bases, filters, nulls, scaled and raw floats, every time unit.
fn rows() -> Vec<(&'static str, RowSpec, Row)> {
    let second = 1_522_540_831_000_000;
    let plain = support::spec(IdKind::Int64, Vec::new());
    let bytes = support::spec(IdKind::Bytes, Vec::new());
    let position = support::spec(IdKind::Position, Vec::new());
    let lifetimes = support::spec(IdKind::Int64, lifetimes());
    let forms_within = support::spec(IdKind::Int64, forms(256));
    let past_caps = support::spec(IdKind::Int64, forms(3));
    let many = many(second);
    let mut signed = plain.clone();
    signed.filters = 3;
    signed.sign = Some(support::RETRACTS.trailing_zeros() as usize);
    let mut unfiltered = plain.clone();
    unfiltered.filters = 0;
    unfiltered.inputs = vec![DataType::Float64];
    let text = |id: &str| {
        let key = encode_key(&[Value::string(id)]).expect("a string is a key");
        OwnId::Bytes(key.into_vec())
    };
    let ints = [
        full(second, OwnId::Int(7), 3),
        full(second + 60_000_000, OwnId::Int(-9), 1),
        nulls(second + 120_000_000, OwnId::Int(i64::MAX)),
    ];
    let taken_back = [
        full(second, OwnId::Int(7), 3),
        full(second, OwnId::Int(7), 3 | support::RETRACTS),
        full(second, OwnId::Int(8), 3),
        nulls(second, OwnId::Int(9)),
    ];
    let texts = [
        full(1_000, text("tx-1"), 2),
        full(3_000, text(""), 2),
        nulls(3_000, text("tx\0z")),
    ];
    let places = [
        full(-1, OwnId::Position(3, 41), 0),
        full(5, OwnId::Position(0, 1_000_000), 0),
    ];
    let floats = |numbers: &[f64]| -> Vec<Fact> {
        let fact = |(at, number): (usize, &f64)| Fact {
            time: Timestamp(second + at as i64),
            id: OwnId::Int(at as i64),
            bits: 0,
            inputs: vec![Value::Float(*number)],
        };
        numbers.iter().enumerate().map(fact).collect()
    };
    let row = |spec: &RowSpec, facts: &[Fact]| support::row(spec, facts);
    let trimmed = |spec: &RowSpec, facts: &[Fact], upto: i64| {
        let mut row = support::row(spec, facts);
        row.trim(spec, Timestamp(upto));
        row
    };
    let by_time = support::spec(IdKind::Int64, sliding());
    let lists_within = support::spec(IdKind::Int64, lists(256));
    let lists_past = support::spec(IdKind::Int64, lists(2));
    let sketches = support::spec(IdKind::Int64, counts());
    let head = Row {
        head: true,
        ..trimmed(&plain, &ints, second)
    };
    let cents = row(&unfiltered, &floats(&[57.16, -0.01, 1200.0]));
    let raw = row(&unfiltered, &floats(&[0.1 + 0.2, -0.0, 1e300]));
    vec![
        ("empty", plain.clone(), Row::new(&plain)),
        ("int_ids", plain.clone(), row(&plain, &ints)),
        ("trimmed", plain.clone(), trimmed(&plain, &ints, second)),
        ("byte_ids", bytes.clone(), row(&bytes, &texts)),
        ("positions", position.clone(), row(&position, &places)),
        ("scaled_floats", unfiltered.clone(), cents),
        ("raw_floats", unfiltered, raw),
        (
            "short_and_long_ints",
            plain.clone(),
            row(&plain, &short_and_long(second)),
        ),
        ("signed", signed.clone(), row(&signed, &taken_back)),
        ("merged", by_time.clone(), merged(&by_time, &many, None)),
        ("head", plain.clone(), head),
        (
            "merged_lists_laid",
            lists_within.clone(),
            merged(&lists_within, &many, None),
        ),
        (
            "merged_lists_past_caps_laid",
            lists_past.clone(),
            merged(&lists_past, &many, None),
        ),
        (
            "merged_lists_far",
            lists_within.clone(),
            merged(&lists_within, &far(second), None),
        ),
        (
            "merged_sketches",
            sketches.clone(),
            merged(&sketches, &spread(second), None),
        ),
        (
            "anchored_coarse",
            by_time.clone(),
            merged(&by_time, &many, Some(true)),
        ),
        (
            "anchored_last",
            by_time.clone(),
            merged(&by_time, &many, Some(false)),
        ),
        (
            "base_laid",
            lifetimes.clone(),
            trimmed(&lifetimes, &ints, second + 60_000_000),
        ),
        (
            "base_only_laid",
            lifetimes.clone(),
            trimmed(&lifetimes, &ints, second + 120_000_000),
        ),
        (
            "base_of_nulls_placed",
            lifetimes.clone(),
            trimmed(&lifetimes, &ints[2..], i64::MAX),
        ),
        (
            "forms_laid",
            forms_within.clone(),
            trimmed(&forms_within, &many, second + 9_000_000),
        ),
        (
            "forms_past_caps_laid",
            past_caps.clone(),
            trimmed(&past_caps, &many, second + 9_000_000),
        ),
        (
            "forms_of_nothing",
            forms_within.clone(),
            trimmed(&forms_within, &ints[2..], i64::MAX),
        ),
    ]
}

/// A dense row as readers see it: the first half of the events merged, and what holds from an anchor,
/// coarse or not.
fn merged(spec: &RowSpec, facts: &[Fact], coarse: Option<bool>) -> Row {
    let mut row = support::row(spec, facts);
    let middle = row.events.len() / 2;
    let early = row.events.slice(0..middle);
    row.events.drop_front(middle);
    let measures = Arc::new(Measures::of(spec));
    let upto = Timestamp(early.times()[middle - 1]);
    let spans = [
        (Timestamp(0), upto.minus(Duration(1)), 0..middle - 1),
        (upto.minus(Duration(1)), upto, middle - 1..middle),
    ];
    let pieces = spans.map(|(after, upto, range)| Piece {
        after,
        upto,
        summary: Summary::of(spec, &measures, &early.slice(range)),
    });
    let anchored = |coarse| Anchored {
        anchor: upto,
        coarse,
        last: match coarse {
            true => early.slice(0..0),
            false => early.slice(middle - 2..middle),
        },
    };
    row.merged = Some(Box::new(Merged {
        measures,
        horizon: upto.plus(Duration::from_secs(60)),
        pieces: pieces.into(),
        anchored: coarse.map(|coarse| Box::new(anchored(coarse))),
    }));
    row
}

/// A count and a sum over two windows each.
fn sliding() -> Vec<Output> {
    let window = |seconds| Window {
        span: Span::Sliding(Duration::from_secs(seconds)),
        delay: Duration::ZERO,
    };
    let of = |seconds| {
        let outputs = support::every_output(window(seconds)).into_iter();
        outputs.filter(|o| {
            matches!(
                (&o.function, o.input),
                (Function::Count, None) | (Function::Sum, Some(0))
            )
        })
    };
    of(60).chain(of(3600)).collect()
}

/// Different integers, by themselves and with every kind of weight, over two windows each.
fn lists(cap: u32) -> Vec<Output> {
    let map = |weight| DataType::Map(Box::new(DataType::Int64), Box::new(weight));
    let distinct = Function::CountDistinct { cap };
    let top = Function::TopN { n: 2, cap };
    let asked = [
        (distinct, None, DataType::Int64),
        (top.clone(), None, map(DataType::Int64)),
        (top.clone(), Some(0), map(DataType::Int64)),
        (top.clone(), Some(1), map(DataType::Float64)),
        (top, Some(2), map(support::TYPES[2].clone())),
    ];
    let of = |seconds| {
        asked.clone().map(|(function, by, data_type)| Output {
            name: format!("{function:?} by {by:?} of {seconds}"),
            function,
            input: Some(0),
            by,
            filter: None,
            window: Window {
                span: Span::Sliding(Duration::from_secs(seconds)),
                delay: Duration::ZERO,
            },
            data_type,
            default: None,
        })
    };
    of(60).into_iter().chain(of(3600)).collect()
}

/// Events with many values, so that small caps are passed.
fn many(second: i64) -> Vec<Fact> {
    let fact = |n: i64| {
        let mut fact = full(second + n * 1_000_000, OwnId::Int(n), 3);
        fact.inputs[0] = Value::Int(n * n % 7);
        fact.inputs[1] = Value::Float(n as f64 * 1.25 - 3.0);
        fact.inputs[2] = Value::Decimal(i128::from(n * 100 - 250), 2);
        fact.inputs[4] = Value::string(["web", "pos", "app", "moto"][n as usize % 4]);
        fact
    };
    (0..12).map(fact).collect()
}

/// So many events that their integers are written to be read quickly: some short, some long, and
/// some of one length.
fn short_and_long(second: i64) -> Vec<Fact> {
    let fact = |n: i64| {
        let mut fact = nulls(second + n * 1_000_000, OwnId::Int(n));
        fact.inputs[0] = Value::Int(3 + (1 << (n % 5 * 6)));
        fact.inputs[8] = Value::Duration(n * 5 - 7);
        fact
    };
    (0..41).map(fact).collect()
}

/// As many, whose integers are far apart.
fn far(second: i64) -> Vec<Fact> {
    let mut facts = many(second);
    for (fact, n) in facts.iter_mut().zip(1i64..) {
        fact.inputs[0] = Value::Int((n % 5).wrapping_mul(0x1234_5678_9abc_def1));
    }
    facts
}

/// Different integers past their cap.
fn counts() -> Vec<Output> {
    let mut outputs = lists(256);
    outputs.retain(|output| matches!(output.function, Function::CountDistinct { .. }));
    outputs
}

/// Events of so many values that half of them are past the cap.
fn spread(second: i64) -> Vec<Fact> {
    let fact = |n: i64| {
        let inputs = vec![Value::Int(n), Value::Null, Value::Null, Value::Null];
        let rest = std::iter::repeat_n(Value::Null, support::TYPES.len() - inputs.len());
        fact(
            second + n * 1000,
            OwnId::Int(n),
            0,
            inputs.into_iter().chain(rest).collect(),
        )
    };
    (0..600).map(fact).collect()
}

/// Outputs with every form of partial that the first golden rows had not.
fn forms(cap: u32) -> Vec<Output> {
    let window = Window {
        span: Span::Lifetime,
        delay: Duration::ZERO,
    };
    let counts = |key| DataType::Map(Box::new(key), Box::new(DataType::Int64));
    let list = |item| DataType::List(Box::new(item));
    let half_life = Duration::from_secs(5);
    let output = |function, input, by, data_type| Output {
        name: format!("{function:?}"),
        function,
        input,
        by,
        filter: None,
        window,
        data_type,
        default: None,
    };
    let (text, int, float) = (DataType::String, DataType::Int64, DataType::Float64);
    let dropped = Repeats::Dropped;
    let breakdown = |each| Function::Breakdown { each, cap };
    let [min, sum, count] = [Simple::Min, Simple::Sum, Simple::Count].map(breakdown);
    vec![
        output(Function::CountDistinct { cap }, Some(0), None, int.clone()),
        output(Function::CountDistinct { cap }, Some(4), None, int.clone()),
        output(
            Function::TopN { n: 2, cap },
            Some(0),
            Some(2),
            counts(int.clone()),
        ),
        output(
            Function::Histogram { cap },
            Some(4),
            None,
            counts(text.clone()),
        ),
        output(Function::Entropy { cap }, Some(0), None, float.clone()),
        output(
            Function::DistinctList { n: 2 },
            Some(4),
            None,
            list(text.clone()),
        ),
        output(
            Function::BottomK { k: 2 },
            Some(1),
            None,
            list(float.clone()),
        ),
        output(
            Function::TopK { k: 2 },
            Some(2),
            None,
            list(support::TYPES[2].clone()),
        ),
        output(
            Function::FirstN {
                n: 2,
                repeats: Repeats::Kept,
            },
            Some(0),
            None,
            list(int.clone()),
        ),
        output(
            Function::LastN {
                n: 3,
                repeats: dropped,
            },
            Some(4),
            None,
            list(text.clone()),
        ),
        output(
            Function::Quantile {
                level: Level(500_000),
                cap,
            },
            Some(1),
            None,
            float.clone(),
        ),
        output(Function::StddevSamp, Some(0), None, float.clone()),
        output(
            Function::DecaySum { half_life },
            Some(1),
            None,
            float.clone(),
        ),
        output(Function::TimeSinceFirst, None, None, DataType::Duration),
        output(
            min,
            Some(1),
            Some(4),
            DataType::Map(Box::new(text.clone()), Box::new(float)),
        ),
        output(sum, Some(0), Some(4), counts(text.clone())),
        output(count, None, Some(4), counts(text)),
    ]
}

/// One output of each partial's form.
fn lifetimes() -> Vec<Output> {
    let window = Window {
        span: Span::Lifetime,
        delay: Duration::ZERO,
    };
    let mut outputs = support::every_output(window);
    outputs.retain(|output| {
        let kind = (&output.function, output.input, output.by);
        matches!(
            kind,
            (Function::Count, None, _)
                | (Function::Sum, Some(0 | 1 | 3), _)
                | (Function::Min, Some(4), _)
                | (Function::Last, Some(1), _)
                | (Function::CountDistinct { cap: 256 }, Some(2), _)
                | (Function::TopN { n: 2, cap: 256 }, Some(7), None)
                | (Function::TopN { n: 3, cap: 256 }, Some(0), Some(1))
        )
    });
    outputs[1].filter = Some(1);
    outputs
}

fn full(time: i64, id: OwnId, bits: u64) -> Fact {
    let inputs = vec![
        Value::Int(596),
        Value::Float(57.16),
        Value::Decimal(-5716, 2),
        Value::Decimal(10i128.pow(38) - 1, 36),
        Value::string("Zürich"),
        Value::Bool(true),
        Value::Timestamp(Timestamp(time)),
        Value::Bytes([0, 255].into()),
        Value::Duration(-1),
    ];
    fact(time, id, bits, inputs)
}

fn nulls(time: i64, id: OwnId) -> Fact {
    fact(time, id, 0, vec![Value::Null; support::TYPES.len()])
}

fn fact(time: i64, id: OwnId, bits: u64, inputs: Vec<Value>) -> Fact {
    Fact {
        time: Timestamp(time),
        id,
        bits,
        inputs,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn rows_are_written_as_ever() {
    let lines: Vec<String> = rows()
        .iter()
        .map(|(name, spec, row)| format!("{name} {}", hex(&row.encode(spec, VERSION))))
        .collect();
    let is_written = |line: &&String| GOLDEN.lines().any(|written| written == line.as_str());
    let missing: Vec<&str> = lines
        .iter()
        .filter(|line| !is_written(line))
        .map(String::as_str)
        .collect();
    assert!(
        missing.is_empty(),
        "it would write:\n{}",
        missing.join("\n")
    );
}

#[test]
fn what_was_ever_written_reads() {
    let rows = rows();
    for line in GOLDEN.lines() {
        let (name, hex) = line.split_once(' ').expect("a name and bytes");
        let retired = RETIRED.iter().find(|(old, _)| *old == name);
        let now = retired.map_or(name, |(_, now)| now);
        let (_, spec, row) = rows
            .iter()
            .find(|(known, _, _)| *known == now)
            .expect("every line has its row");
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits"))
            .collect();
        let read = Row::decode(&bytes, spec).expect(name);
        if retired.is_none() {
            let version = VERSION;
            let row = row.clone();
            assert_eq!(read, Row { version, ..row }, "{name}");
        }
        let all: Vec<usize> = (0..spec.outputs.len()).collect();
        for as_of in [row.kept_from, Timestamp::MAX] {
            let answers = read.finish(spec, &all, as_of);
            assert_eq!(answers, row.finish(spec, &all, as_of), "{name}");
        }
    }
}

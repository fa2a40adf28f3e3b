//! Random histories over every type, function and window, in a form that shrinks well.
//!
//! An event is a handful of small numbers that pick from palettes of awkward values.

#![allow(dead_code)] // every test file takes what it needs

use proptest::prelude::*;
use std::sync::OnceLock;
use tiderace_aggregate::{
    Calendar, Cell, Event, Function, Id, IdKind, Insert, Kept, Level, Offer, Output, Part, Period,
    Repeats, Row, RowSpec, Simple, Span, Unit, Window, Zone,
};
use tiderace_testkit::naive;
use tiderace_types::{DataType, Duration, Timestamp, Value, encode_key, encode_key_value};

/// An event as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    pub time: u16,
    pub id: u8,
    pub bits: u8,
    pub picks: [u8; 9],
}

/// A history, what is asked of it, and in which order it arrives.
#[derive(Clone, Debug)]
pub struct Case {
    pub kind: IdKind,
    pub frame: usize,
    pub windows: Vec<(usize, usize)>,
    pub drawn: Vec<Drawn>,
    pub asks: Vec<(u8, u8, u8, i8)>,
    /// Which of the drawn events are taken back, by which id, and how: rightly, or not quite.
    pub retractions: Vec<(u8, u8, u8)>,
    pub shuffle: u64,
}

pub fn cases() -> impl Strategy<Value = Case> {
    let kind = prop_oneof![
        Just(IdKind::Int64),
        Just(IdKind::Bytes),
        Just(IdKind::Position)
    ];
    let drawn =
        (any::<u16>(), 0u8..24, 0u8..4, any::<[u8; 9]>()).prop_map(|(time, id, bits, picks)| {
            Drawn {
                time,
                id,
                bits,
                picks,
            }
        });
    let windows = prop::collection::vec((0..spans().len(), 0..DELAYS.len()), 1..4);
    let ask = (any::<u8>(), any::<u8>(), 0u8..6, -1i8..=1);
    (
        kind,
        0..FRAMES.len(),
        windows,
        prop::collection::vec(drawn, 0..40),
        prop::collection::vec(ask, 1..6),
        prop_oneof![
            2 => Just(Vec::new()),
            1 => prop::collection::vec((any::<u8>(), 0u8..24, 0u8..6), 0..20),
        ],
        any::<u64>(),
    )
        .prop_map(
            |(kind, frame, windows, drawn, asks, retractions, shuffle)| Case {
                kind,
                frame,
                windows,
                drawn,
                asks,
                retractions,
                shuffle,
            },
        )
}

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
const SIZES: [i64; 8] = [1, 2, 7, 1000, 60_000_000, HOUR, 30 * DAY, i64::MAX];
const HOPS: [(i64, i64); 7] = [
    (1, 1),
    (2, 5),
    (7, 3),
    (1000, 7),
    (HOUR, 60_000_000),
    (30 * DAY, DAY),
    (i64::MAX, 1 << 60),
];
const SESSIONS: [(i64, i64); 9] = [
    (1, 3),
    (2, i64::MAX),
    (5, 20),
    (0, 0),
    (1500, 5000),
    (HOUR, 4 * HOUR),
    (HOUR, i64::MAX),
    (DAY, 7 * DAY),
    (i64::MAX, i64::MAX),
];
const CALENDARS: [(u32, Period, &str); 12] = [
    (1, Period::Hour, "America/New_York"),
    (6, Period::Hour, "Australia/Lord_Howe"),
    (1, Period::Day, "UTC"),
    (1, Period::Day, "Asia/Seoul"),
    (1, Period::Day, "America/New_York"),
    (3, Period::Day, "Africa/Cairo"),
    (1, Period::Week, "Europe/Berlin"),
    (2, Period::Week, "America/St_Johns"),
    (1, Period::Month, "Asia/Kathmandu"),
    (2, Period::Quarter, "America/Sao_Paulo"),
    (1, Period::Year, "Australia/Lord_Howe"),
    (10, Period::Year, "Pacific/Apia"),
];

/// Every kind of window, tiny and huge.
pub fn spans() -> &'static [Span] {
    static SPANS: OnceLock<Vec<Span>> = OnceLock::new();
    SPANS.get_or_init(|| {
        let sliding = SIZES.map(|size| Span::Sliding(Duration(size)));
        let hopping = HOPS.map(|(size, hop)| Span::Hopping {
            size: Duration(size),
            hop: Duration(hop),
        });
        let sessions = SESSIONS.map(|(gap, most)| Span::Session {
            gap: Duration(gap),
            max_length: Duration(most),
        });
        let fixed = SIZES.map(|size| Unit::Fixed(Duration(size)));
        let calendars = CALENDARS.map(|(every, period, zone)| {
            let zone = Zone::named(zone).expect("a zone");
            Unit::Calendar(Calendar::new(every, period, zone).expect("a calendar"))
        });
        let units = fixed.into_iter().chain(calendars);
        let tumbling = units
            .flat_map(|unit| [Part::Current, Part::Last].map(|part| Span::Tumbling { unit, part }));
        let last = [1, 2, 5, 100].map(Span::LastN);
        let mut spans = vec![Span::Lifetime, Span::Lifetime];
        spans.extend(sliding.into_iter().chain(hopping).chain(sessions));
        spans.extend(tumbling.chain(last).chain(last));
        spans
    })
}

const DELAYS: [i64; 6] = [0, 0, 1, 5, 60_000_000, 1 << 60];

/// (first instant, instants, step): how times lie.
const FRAMES: [(i64, i64, i64); 10] = [
    (0, 4, 1),
    (-9, 20, 1),
    (1_600_000_000_000_000, 50, 1000),
    (1_600_000_000_000_000, 1000, 1_000_000),
    (1_600_000_000_000_001, 60_000, 977_777_777),
    // About when New York sets its clocks back, and at the turn of a year.
    (1_604_196_000_000_000, 400, 60_000_000),
    (1_609_340_400_000_000, 65_000, 2_999_999),
    (i64::MAX - 20, 21, 1),
    (i64::MIN + 1, 20, 1),
    (i64::MIN + 1, 65_000, 1 << 48),
];

/// The types of the inputs, in their order.
pub const TYPES: [DataType; 9] = [
    DataType::Int64,
    DataType::Float64,
    DataType::Decimal {
        precision: 12,
        scale: 2,
    },
    DataType::Decimal {
        precision: 38,
        scale: 36,
    },
    DataType::String,
    DataType::Bool,
    DataType::Timestamp,
    DataType::Bytes,
    DataType::Duration,
];

const NUMBERS: std::ops::Range<usize> = 0..4;

fn value(column: usize, pick: u8) -> Value {
    let pick = usize::from(pick);
    if pick.is_multiple_of(5) {
        return Value::Null;
    }
    let ints = [0, 1, -1, 7, 1000, i64::MAX, i64::MIN, i64::MAX - 1, -77];
    let int = ints[pick % ints.len()];
    match column {
        0 => Value::Int(int),
        1 => {
            let floats = [
                0.0, -0.0, 1.0, 0.1, 0.2, 57.16, -12.5, 1e300, -1e300, 1e-300, 5e-324, 1e15, 3.25,
            ];
            Value::Float(floats[pick % floats.len()])
        }
        2 => {
            let cents = [0, 5716, -5716, 1, 999_999_999_999, -999_999_999_999];
            Value::Decimal(cents[pick % cents.len()], 2)
        }
        3 => {
            let most = 10i128.pow(38) - 1;
            let numbers = [most, -most, most / 2, 1, 0, -most / 3];
            Value::Decimal(numbers[pick % numbers.len()], 36)
        }
        4 => {
            let texts = ["", "a", "b", "a\0", "a\0b", "Zürich", "zz"];
            Value::string(texts[pick % texts.len()])
        }
        5 => Value::Bool(pick % 2 == 1),
        6 => Value::Timestamp(Timestamp(int)),
        7 => Value::Bytes(
            [vec![], vec![0], vec![0, 1], vec![255]][pick % 4]
                .as_slice()
                .into(),
        ),
        _ => Value::Duration(int),
    }
}

/// An event of a case, in its own right.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub time: Timestamp,
    pub id: OwnId,
    pub bits: u64,
    pub inputs: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnId {
    Int(i64),
    Bytes(Vec<u8>),
    Position(u32, i64),
}

impl Fact {
    fn new(case: &Case, drawn: &Drawn) -> Fact {
        let (first, instants, step) = FRAMES[case.frame];
        let id = i64::from(drawn.id);
        let ids = [0, 1, -1, 5, i64::MAX, i64::MIN, 12];
        Fact {
            time: Timestamp(
                first.wrapping_add((i64::from(drawn.time) % instants).wrapping_mul(step)),
            ),
            id: match case.kind {
                IdKind::Int64 => OwnId::Int(ids[drawn.id as usize % ids.len()]),
                IdKind::Bytes => {
                    let text = Value::string(["x", "y", "", "x\0"][drawn.id as usize % 4]);
                    OwnId::Bytes(encode_key(&[text]).expect("a string is a key").into_vec())
                }
                IdKind::Position => OwnId::Position(u32::from(drawn.id % 3), id / 3),
            },
            bits: u64::from(drawn.bits),
            inputs: (0..TYPES.len())
                .map(|column| value(column, drawn.picks[column]))
                .collect(),
        }
    }

    /// Gives it to `row` and tells what became of it.
    pub fn offer(&self, spec: &RowSpec, row: &mut Row) -> Offer {
        let cells: Vec<Cell<'_>> = self.inputs.iter().map(cell).collect();
        let id = match &self.id {
            OwnId::Int(id) => Id::Int(*id),
            OwnId::Bytes(id) => Id::Bytes(id),
            OwnId::Position(partition, offset) => Id::Position {
                partition: *partition,
                offset: *offset,
            },
        };
        let event = Event {
            time: self.time,
            id,
            bits: self.bits,
            inputs: &cells,
        };
        row.offer(spec, &event)
    }

    /// As the oracle takes it. Where events have no id, ties break by inputs, so these are its id there.
    pub fn naive(&self) -> naive::Event {
        let id = match &self.id {
            OwnId::Int(id) => Value::Int(*id),
            OwnId::Bytes(id) => Value::Bytes(id.as_slice().into()),
            OwnId::Position(partition, offset) => {
                let mut bytes = Vec::new();
                let place = [Value::Int(i64::from(*partition)), Value::Int(*offset)];
                for value in self.inputs.iter().chain(&place) {
                    encode_key_value(value, &mut bytes).expect("scalars are keys");
                }
                Value::Bytes(bytes.into_boxed_slice())
            }
        };
        naive::Event {
            time: self.time,
            id,
            inputs: self.inputs.clone(),
            bits: self.bits & !RETRACTS,
            retracts: self.bits & RETRACTS != 0,
        }
    }
}

fn cell(value: &Value) -> Cell<'_> {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(b) => Cell::Int(i64::from(*b)),
        Value::Int(n) | Value::Duration(n) => Cell::Int(*n),
        Value::Timestamp(at) => Cell::Int(at.0),
        Value::Float(x) => Cell::Float(*x),
        Value::Decimal(n, _) => Cell::Decimal(*n),
        Value::String(text) => Cell::Bytes(text.as_bytes()),
        Value::Bytes(bytes) => Cell::Bytes(bytes),
        Value::List(_) | Value::Map(_) => panic!("no input is a list or a map"),
    }
}

impl Case {
    /// The events, each identity once, as drawn.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts: Vec<Fact> = Vec::new();
        let events = self.drawn.iter().map(|drawn| Fact::new(self, drawn));
        for fact in events.chain(self.retracting()) {
            let sign = |fact: &Fact| fact.bits & RETRACTS;
            let known = |held: &Fact| {
                held.time == fact.time && held.id == fact.id && sign(held) == sign(&fact)
            };
            if !facts.iter().any(known) {
                facts.push(fact);
            }
        }
        facts
    }

    /// The retractions: of events there are, twice too, and of such as never were.
    fn retracting(&self) -> impl Iterator<Item = Fact> {
        let count = self.drawn.len();
        let retractions = self.retractions.iter().filter(move |_| count > 0);
        retractions.map(move |(event, id, how)| {
            let drawn = &self.drawn[usize::from(*event) % count];
            let mut fact = Fact::new(self, drawn);
            if *how > 1 {
                fact.id = Fact::new(
                    self,
                    &Drawn {
                        id: *id,
                        ..drawn.clone()
                    },
                )
                .id;
            }
            match how {
                4 => fact.bits ^= 1,
                5 => fact.inputs[5] = Value::Null,
                _ => {}
            }
            fact.bits |= RETRACTS;
            fact
        })
    }

    /// The same events in another order.
    pub fn shuffled(&self) -> Vec<Fact> {
        let mut facts = self.facts();
        let mut state = self.shuffle;
        for index in (1..facts.len()).rev() {
            facts.swap(index, next(&mut state) as usize % (index + 1));
        }
        facts
    }

    /// A view that asks about a third of everything there is.
    pub fn spec(&self) -> RowSpec {
        let mut outputs: Vec<Output> = Vec::new();
        for (span, delay) in &self.windows {
            let span = spans()[*span];
            let delay = Duration(DELAYS[*delay]);
            outputs.extend(every_output(Window { span, delay }));
        }
        let mut state = self.shuffle ^ 0x5eed;
        outputs.retain(|_| next(&mut state).is_multiple_of(3));
        for (index, output) in outputs.iter_mut().enumerate() {
            output.filter = [None, Some(0), Some(1)][index % 3];
            if index % 7 == 0 && output.data_type == DataType::Int64 {
                output.default = Some(Value::Int(-1));
            }
        }
        let mut spec = spec(self.kind, outputs);
        if !self.retractions.is_empty() {
            spec.filters = 3;
            spec.sign = Some(RETRACTS.trailing_zeros() as usize);
        }
        spec
    }

    /// Instants at and beside events and the edges of windows.
    pub fn instants(&self, spec: &RowSpec, facts: &[Fact]) -> Vec<Timestamp> {
        let ask = |(event, output, edge, delta): &(u8, u8, u8, i8)| {
            let time = match facts.len() {
                0 => Timestamp(0),
                n => facts[*event as usize % n].time,
            };
            let window = match spec.outputs.len() {
                0 => return time,
                n => spec.outputs[*output as usize % n].window,
            };
            let at = match edge {
                0 => time,
                1 | 2 => time.plus(window.delay),
                3 | 4 => leaves(window, time, *event),
                _ => return [Timestamp::MIN, Timestamp::MAX][*output as usize % 2],
            };
            Timestamp(at.0.saturating_add(i64::from(*delta)))
        };
        self.asks.iter().map(ask).collect()
    }
}

/// About when a window, taken later and later, changes because of an event at `time`.
fn leaves(window: Window, time: Timestamp, pick: u8) -> Timestamp {
    let behind = match window.span {
        Span::Sliding(size) => time.plus(size),
        Span::Hopping { size, hop } => {
            let edge = time
                .0
                .saturating_add((-time.0.saturating_abs()).rem_euclid(hop.0));
            Timestamp(edge).plus(size)
        }
        Span::Tumbling { unit, .. } => match pick % 4 {
            0 => unit.start(time),
            1 | 2 => unit.start(time.plus(unit.longest())),
            _ => unit.start(time.plus(unit.longest()).plus(unit.longest())),
        },
        Span::Session { gap, max_length } => match pick % 2 {
            0 => time.plus(gap),
            _ => time.plus(max_length),
        },
        Span::Lifetime | Span::LastN(_) => time.plus(Duration(i64::from(pick))),
    };
    behind.plus(window.delay)
}

/// The bit that retractions have.
pub const RETRACTS: u64 = 4;

pub fn spec(id: IdKind, outputs: Vec<Output>) -> RowSpec {
    RowSpec {
        fingerprint: 0x0123_4567_89ab_cdef,
        id,
        inputs: TYPES.to_vec(),
        filters: 2,
        sign: None,
        outputs,
        kept: Kept::All,
    }
}

/// Every function over every type that it is for.
pub fn every_output(window: Window) -> Vec<Output> {
    let output = |function, input: Option<usize>, by, data_type| Output {
        name: format!("{function:?}_{input:?}_{by:?}"),
        function,
        input,
        by,
        filter: None,
        window,
        data_type,
        default: None,
    };
    let wide = |data_type: &DataType, more: i8| match data_type {
        DataType::Decimal { scale, .. } => DataType::Decimal {
            precision: 38,
            scale: (scale + more).min(38),
        },
        other => other.clone(),
    };
    let mut out = vec![output(Function::Count, None, None, DataType::Int64)];
    for (input, data_type) in TYPES.iter().enumerate() {
        let of = Some(input);
        out.push(output(Function::Count, of, None, DataType::Int64));
        out.push(output(
            Function::CountDistinct { cap: 256 },
            of,
            None,
            DataType::Int64,
        ));
        for function in [
            Function::Min,
            Function::Max,
            Function::First,
            Function::Last,
        ] {
            out.push(output(function, of, None, data_type.clone()));
        }
        let top = |weight: DataType| DataType::Map(Box::new(data_type.clone()), Box::new(weight));
        let counted = top(DataType::Int64);
        out.push(output(Function::TopN { n: 2, cap: 256 }, of, None, counted));
        for by in NUMBERS {
            let weighed = top(wide(&TYPES[by], 0));
            out.push(output(
                Function::TopN { n: 3, cap: 256 },
                of,
                Some(by),
                weighed,
            ));
        }
    }
    for input in NUMBERS {
        let average = match &TYPES[input] {
            DataType::Decimal { .. } => wide(&TYPES[input], 4),
            _ => DataType::Float64,
        };
        out.push(output(
            Function::Sum,
            Some(input),
            None,
            wide(&TYPES[input], 0),
        ));
        out.push(output(Function::Avg, Some(input), None, average));
    }
    let map = |key: &DataType, value| DataType::Map(Box::new(key.clone()), Box::new(value));
    let list = |item: &DataType| DataType::List(Box::new(item.clone()));
    let float = || DataType::Float64;
    out.push(output(
        Function::TimeSinceFirst,
        None,
        None,
        DataType::Duration,
    ));
    out.push(output(
        Function::TimeSinceLast,
        None,
        None,
        DataType::Duration,
    ));
    let per = Duration(HOUR);
    out.push(output(Function::Rate { per }, None, None, float()));
    for (input, data_type) in TYPES.iter().enumerate() {
        let of = Some(input);
        let mut lists = vec![
            Function::DistinctList { n: 2 },
            Function::DistinctList { n: 50 },
            Function::BottomK { k: 3 },
            Function::TopK { k: 3 },
            Function::TopK { k: 100 },
        ];
        for repeats in [Repeats::Kept, Repeats::Dropped] {
            lists.extend([
                Function::FirstN { n: 3, repeats },
                Function::LastN { n: 3, repeats },
                Function::LastN { n: 100, repeats },
            ]);
        }
        for function in lists {
            out.push(output(function, of, None, list(data_type)));
        }
        let counts = map(data_type, DataType::Int64);
        let counted = Function::Breakdown {
            each: Simple::Count,
            cap: 3,
        };
        for cap in [3, 256] {
            out.push(output(Function::Entropy { cap }, of, None, float()));
            out.push(output(
                Function::Histogram { cap },
                of,
                None,
                counts.clone(),
            ));
        }
        out.push(output(counted, None, of, counts.clone()));
        let few = Function::CountDistinct { cap: 3 };
        out.push(output(few, of, None, DataType::Int64));
        out.push(output(Function::TopN { n: 2, cap: 4 }, of, None, counts));
        for by in NUMBERS {
            let weighed = map(data_type, wide(&TYPES[by], 0));
            let few = Function::TopN { n: 3, cap: 4 };
            out.push(output(few, of, Some(by), weighed.clone()));
            for (each, cap) in [(Simple::Sum, 256), (Simple::Sum, 3)] {
                let sums = Function::Breakdown { each, cap };
                out.push(output(sums, Some(by), of, weighed.clone()));
            }
            let averages = Function::Breakdown {
                each: Simple::Avg,
                cap: 3,
            };
            let average = match &TYPES[by] {
                DataType::Decimal { .. } => wide(&TYPES[by], 4),
                _ => DataType::Float64,
            };
            out.push(output(averages, Some(by), of, map(data_type, average)));
        }
        for each in [Simple::Min, Simple::Max] {
            let ends = Function::Breakdown { each, cap: 2 };
            out.push(output(ends, of, Some(4), map(&TYPES[4], data_type.clone())));
        }
        out.push(output(
            Function::TimeSinceLast,
            of,
            None,
            DataType::Duration,
        ));
        out.push(output(Function::Rate { per }, of, None, float()));
    }
    for input in NUMBERS {
        let of = Some(input);
        let half_life = Duration([1, 7, HOUR, 1 << 60][input]);
        for function in [
            Function::VarSamp,
            Function::VarPop,
            Function::StddevSamp,
            Function::StddevPop,
            Function::Skewness,
            Function::Kurtosis,
            Function::DecaySum { half_life },
            Function::DecayAvg { half_life },
        ] {
            out.push(output(function, of, None, float()));
        }
        for cap in [4, 512] {
            let levels = [0, 1, 250_000, 500_000, 990_000, 1_000_000].map(Level);
            let level = levels[input + 1];
            out.push(output(Function::Quantile { level, cap }, of, None, float()));
            let levels = Box::new(levels);
            let all = Function::Quantiles { levels, cap };
            out.push(output(all, of, None, list(&float())));
        }
    }
    out
}

/// A row of `facts`, all of which are new to it.
pub fn row(spec: &RowSpec, facts: &[Fact]) -> Row {
    let mut row = Row::new(spec);
    for fact in facts {
        let offer = fact.offer(spec, &mut row);
        assert!(
            matches!(offer, Offer::Known(Insert::Applied { .. })),
            "{fact:?}: {offer:?}"
        );
    }
    row
}

/// Holds every answer of `row` that `asked` lets through against the oracle's.
pub fn check(
    spec: &RowSpec,
    row: &Row,
    facts: &[Fact],
    as_of: Timestamp,
    asked: impl Fn(&Output) -> bool,
) {
    let events: Vec<naive::Event> = facts.iter().map(Fact::naive).collect();
    let all: Vec<usize> = (0..spec.outputs.len()).collect();
    for (output, found) in spec.outputs.iter().zip(row.finish(spec, &all, as_of)) {
        if !asked(output) || !naive::can_tell(output.window, as_of) {
            continue;
        }
        if let Err(wrong) = naive::judge(output, &events, as_of, &found) {
            panic!("{wrong}");
        }
    }
}

/// The next number of a fixed sequence (splitmix64).
pub fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

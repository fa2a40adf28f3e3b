//! Views that between them have every form of partial, id, input and window.

use tiderace_aggregate::{
    Function, IdKind, Kept, Level, Output, Repeats, RowSpec, Simple, Span, Window,
};
use tiderace_types::{DataType, Duration};

/// As the rows of `crates/aggregate/tests/golden` are written.
pub(crate) const FINGERPRINT: u64 = 0x0123_4567_89ab_cdef;

/// The inputs of the same.
pub(crate) const TYPES: [DataType; 9] = [
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

/// An hour.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The views, in an order that seeds count on.
pub(crate) fn all() -> Vec<RowSpec> {
    let sliding = || [Span::Sliding(HOUR), Span::Sliding(Duration(1000))];
    let others = [
        Span::Hopping {
            size: HOUR,
            hop: Duration::from_secs(60),
        },
        Span::Session {
            gap: HOUR,
            max_length: Duration::from_secs(36_000),
        },
        Span::LastN(3),
    ];
    vec![
        spec(IdKind::Int64, &sliding(), 256),
        spec(IdKind::Bytes, &others, 3),
        spec(IdKind::Position, &[Span::Lifetime], 3),
        spec(IdKind::Int64, &[Span::Lifetime], 256),
        spec(IdKind::Position, &sliding(), 3),
    ]
}

fn spec(id: IdKind, spans: &[Span], cap: u32) -> RowSpec {
    let outputs = spans.iter().flat_map(|span| {
        let delay = Duration::ZERO;
        outputs(Window { span: *span, delay }, cap)
    });
    RowSpec {
        fingerprint: FINGERPRINT,
        id,
        inputs: TYPES.to_vec(),
        filters: 2,
        sign: None,
        outputs: outputs.collect(),
        kept: Kept::All,
    }
}

/// Every function, over inputs of one type or another.
fn outputs(window: Window, cap: u32) -> Vec<Output> {
    let [int, float, cents, fine, text, ..] = TYPES;
    let map = |key: &DataType, weight: DataType| {
        let (key, weight) = (Box::new(key.clone()), Box::new(weight));
        DataType::Map(key, weight)
    };
    let list = |item: &DataType| DataType::List(Box::new(item.clone()));
    let average = DataType::Decimal {
        precision: 38,
        scale: 6,
    };
    let by = |each| Function::Breakdown { each, cap };
    let (half_life, per) = (Duration(7), HOUR);
    let level = Level(500_000);
    let levels = || Box::new([Level(0), Level(990_000), Level(1_000_000)]);
    let lists = [Repeats::Kept, Repeats::Dropped];
    let mut asked = vec![
        (Function::Count, None, None, int.clone()),
        (Function::Count, Some(4), None, int.clone()),
        (Function::Sum, Some(0), None, int.clone()),
        (Function::Sum, Some(1), None, float.clone()),
        (Function::Avg, Some(2), None, average.clone()),
        (Function::Avg, Some(3), None, fine.clone()),
        (Function::Min, Some(4), None, text.clone()),
        (Function::Max, Some(1), None, float.clone()),
        (Function::First, Some(7), None, TYPES[7].clone()),
        (Function::Last, Some(6), None, TYPES[6].clone()),
        (Function::VarSamp, Some(0), None, float.clone()),
        (Function::StddevPop, Some(1), None, float.clone()),
        (Function::Skewness, Some(2), None, float.clone()),
        (Function::Kurtosis, Some(3), None, float.clone()),
        (Function::CountDistinct { cap }, Some(0), None, int.clone()),
        (Function::CountDistinct { cap }, Some(4), None, int.clone()),
        (
            Function::TopN { n: 2, cap },
            Some(4),
            None,
            map(&text, int.clone()),
        ),
        (
            Function::TopN { n: 3, cap },
            Some(0),
            Some(1),
            map(&int, float.clone()),
        ),
        (
            Function::Histogram { cap },
            Some(5),
            None,
            map(&TYPES[5], int.clone()),
        ),
        (Function::Entropy { cap }, Some(4), None, float.clone()),
        (Function::DistinctList { n: 2 }, Some(4), None, list(&text)),
        (Function::BottomK { k: 3 }, Some(1), None, list(&float)),
        (Function::TopK { k: 3 }, Some(8), None, list(&TYPES[8])),
        (
            Function::Quantile { level, cap },
            Some(1),
            None,
            float.clone(),
        ),
        (
            Function::Quantiles {
                levels: levels(),
                cap,
            },
            Some(2),
            None,
            list(&float),
        ),
        (by(Simple::Count), None, Some(4), map(&text, int.clone())),
        (by(Simple::Sum), Some(0), Some(4), map(&text, int.clone())),
        (by(Simple::Avg), Some(2), Some(0), map(&int, average)),
        (by(Simple::Max), Some(4), Some(0), map(&int, text.clone())),
        (
            Function::DecaySum { half_life },
            Some(1),
            None,
            float.clone(),
        ),
        (
            Function::DecayAvg { half_life },
            Some(0),
            None,
            float.clone(),
        ),
        (Function::TimeSinceFirst, None, None, DataType::Duration),
        (Function::TimeSinceLast, Some(1), None, DataType::Duration),
        (Function::Rate { per }, None, None, float.clone()),
    ];
    for repeats in lists {
        asked.push((
            Function::FirstN { n: 2, repeats },
            Some(0),
            None,
            list(&int),
        ));
        asked.push((
            Function::LastN { n: 3, repeats },
            Some(4),
            None,
            list(&text),
        ));
    }
    asked.push((Function::Sum, Some(2), None, cents));
    let output = |(place, (function, input, by, data_type))| Output {
        name: format!("{place}"),
        function,
        input,
        by,
        filter: [None, Some(1)][place % 2],
        window,
        data_type,
        default: None,
    };
    asked.into_iter().enumerate().map(output).collect()
}

//! The parameters of aggregates: which each has, and what may be written there.

use crate::at::At;
use crate::raw::{self, Aggregate};
use crate::report::Report;
use crate::text::Place;
use crate::{Code, scalar};
use serde_json::Value as Json;
use tiderace_aggregate::{DEFAULT_CAP, DEFAULT_QUANTILE_CAP, Function, Level, Repeats, Simple};
use tiderace_types::Duration;

/// The most values that a list or a map of an answer has.
const MOST_VALUES: u32 = 1000;

/// The most values that are told apart exactly.
const MOST_CAP: u32 = 10_000;

/// The keys of a feature that only some aggregates have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    By,
    N,
    K,
    Cap,
    Q,
    HalfLife,
    Per,
    Distinct,
}

impl Key {
    const ALL: [Key; 8] = [
        Key::By,
        Key::N,
        Key::K,
        Key::Cap,
        Key::Q,
        Key::HalfLife,
        Key::Per,
        Key::Distinct,
    ];

    const fn name(self) -> &'static str {
        match self {
            Key::By => "by",
            Key::N => "n",
            Key::K => "k",
            Key::Cap => "cap",
            Key::Q => "q",
            Key::HalfLife => "half_life",
            Key::Per => "per",
            Key::Distinct => "distinct",
        }
    }

    fn place(self, raw: &raw::Feature) -> Option<Place> {
        match self {
            Key::By => raw.by.as_ref().map(|at| at.place),
            Key::N => raw.n.as_ref().map(|at| at.place),
            Key::K => raw.k.as_ref().map(|at| at.place),
            Key::Cap => raw.cap.as_ref().map(|at| at.place),
            Key::Q => raw.q.as_ref().map(|at| at.place),
            Key::HalfLife => raw.half_life.as_ref().map(|at| at.place),
            Key::Per => raw.per.as_ref().map(|at| at.place),
            Key::Distinct => raw.distinct.as_ref().map(|at| at.place),
        }
    }

    /// Tells whether an aggregate has it; `cap` of simple ones only beside `by`.
    const fn belongs(self, kind: Aggregate, breaks_down: bool) -> bool {
        use Aggregate as A;
        match self {
            Key::By => matches!(kind, A::TopN | A::Count | A::Sum | A::Avg | A::Min | A::Max),
            Key::N => matches!(kind, A::TopN | A::DistinctList | A::FirstN | A::LastN),
            Key::K => matches!(kind, A::TopK | A::BottomK),
            Key::Cap => {
                breaks_down
                    || matches!(
                        kind,
                        A::TopN | A::CountDistinct | A::Histogram | A::Entropy | A::Quantile
                    )
            }
            Key::Q => matches!(kind, A::Quantile),
            Key::HalfLife => matches!(kind, A::DecaySum | A::DecayAvg),
            Key::Per => matches!(kind, A::Rate),
            Key::Distinct => matches!(kind, A::FirstN | A::LastN),
        }
    }
}

/// Tells whether a feature is a breakdown: a simple aggregate `by` something.
pub(crate) fn breaks_down(raw: &raw::Feature, kind: Aggregate) -> bool {
    raw.by.is_some() && simple(kind).is_some()
}

/// The aggregate of a breakdown.
fn simple(kind: Aggregate) -> Option<Simple> {
    Some(match kind {
        Aggregate::Count => Simple::Count,
        Aggregate::Sum => Simple::Sum,
        Aggregate::Avg => Simple::Avg,
        Aggregate::Min => Simple::Min,
        Aggregate::Max => Simple::Max,
        _ => return None,
    })
}

/// Refuses parameters that the aggregate does not have.
pub(crate) fn only_its_own(report: &Report, raw: &raw::Feature, kind: Aggregate) {
    let breaks_down = breaks_down(raw, kind);
    let strange = |key: &&Key| !key.belongs(kind, breaks_down);
    for key in Key::ALL.iter().filter(strange) {
        let Some(place) = key.place(raw) else {
            continue;
        };
        let own = Key::ALL.iter().filter(|key| key.belongs(kind, breaks_down));
        let own: Vec<String> = own.map(|key| format!("`{}`", key.name())).collect();
        let help = match own.is_empty() {
            true => format!("`{}` has no parameters", kind.name()),
            false => format!("`{}` has {}", kind.name(), own.join(", ")),
        };
        let message = format!("`{}` does not belong to `{}`", key.name(), kind.name());
        report.error_help(place, Code::Value, message, help);
    }
}

/// The function that a feature asks for; `None` where a parameter is missing or wrong.
pub(crate) fn function(report: &Report, raw: &raw::Feature, kind: Aggregate) -> Option<Function> {
    let needed = |key: &'static str, at: Option<&At<u32>>| count(report, raw, kind, key, at);
    let cap = |default| at_most(report, "cap", raw.cap.as_ref(), MOST_CAP, default);
    if breaks_down(raw, kind)
        && let Some(each) = simple(kind)
    {
        let cap = cap(DEFAULT_CAP)?;
        return Some(Function::Breakdown { each, cap });
    }
    Some(match kind {
        Aggregate::Count => Function::Count,
        Aggregate::Sum => Function::Sum,
        Aggregate::Avg => Function::Avg,
        Aggregate::Min => Function::Min,
        Aggregate::Max => Function::Max,
        Aggregate::VarSamp => Function::VarSamp,
        Aggregate::VarPop => Function::VarPop,
        Aggregate::StddevSamp => Function::StddevSamp,
        Aggregate::StddevPop => Function::StddevPop,
        Aggregate::Skewness => Function::Skewness,
        Aggregate::Kurtosis => Function::Kurtosis,
        Aggregate::CountDistinct => Function::CountDistinct {
            cap: cap(DEFAULT_CAP)?,
        },
        Aggregate::DistinctList => Function::DistinctList {
            n: needed("n", raw.n.as_ref())?,
        },
        Aggregate::TopN => {
            let n = needed("n", raw.n.as_ref())?;
            let cap = cap(n.max(DEFAULT_CAP))?;
            if cap < n {
                let place = raw.cap.as_ref().map_or(raw.aggregate.place, |at| at.place);
                let message = format!("expected `cap` of at least `n`, {n}, found {cap}");
                report.error(place, Code::Value, message);
                return None;
            }
            Function::TopN { n, cap }
        }
        Aggregate::BottomK => Function::BottomK {
            k: needed("k", raw.k.as_ref())?,
        },
        Aggregate::TopK => Function::TopK {
            k: needed("k", raw.k.as_ref())?,
        },
        Aggregate::First => Function::First,
        Aggregate::Last => Function::Last,
        Aggregate::FirstN => Function::FirstN {
            n: needed("n", raw.n.as_ref())?,
            repeats: repeats(raw)?,
        },
        Aggregate::LastN => Function::LastN {
            n: needed("n", raw.n.as_ref())?,
            repeats: repeats(raw)?,
        },
        Aggregate::Quantile => quantile(report, raw, cap(DEFAULT_QUANTILE_CAP)?)?,
        Aggregate::Histogram => Function::Histogram {
            cap: cap(DEFAULT_CAP)?,
        },
        Aggregate::Entropy => Function::Entropy {
            cap: cap(DEFAULT_CAP)?,
        },
        Aggregate::DecaySum => Function::DecaySum {
            half_life: span(report, raw, kind, "half_life", raw.half_life.as_ref())?,
        },
        Aggregate::DecayAvg => Function::DecayAvg {
            half_life: span(report, raw, kind, "half_life", raw.half_life.as_ref())?,
        },
        Aggregate::TimeSinceFirst => Function::TimeSinceFirst,
        Aggregate::TimeSinceLast => Function::TimeSinceLast,
        Aggregate::Rate => Function::Rate {
            per: span(report, raw, kind, "per", raw.per.as_ref())?,
        },
    })
}

/// A needed number of values.
fn count(
    report: &Report,
    raw: &raw::Feature,
    kind: Aggregate,
    key: &'static str,
    at: Option<&At<u32>>,
) -> Option<u32> {
    if at.is_none() {
        missing(
            report,
            raw,
            kind,
            key,
            &format!("`{key}: 3` gives at most three values"),
        );
        return None;
    }
    at_most(report, key, at, MOST_VALUES, 0)
}

fn missing(report: &Report, raw: &raw::Feature, kind: Aggregate, key: &str, help: &str) {
    let message = format!("`{}` needs `{key}`", kind.name());
    report.error_help(raw.aggregate.place, Code::Shape, message, help);
}

/// A number of 1 to `most`.
fn at_most(
    report: &Report,
    key: &str,
    at: Option<&At<u32>>,
    most: u32,
    default: u32,
) -> Option<u32> {
    let Some(at) = at else {
        return Some(default);
    };
    let number = at.value?;
    if (1..=most).contains(&number) {
        return Some(number);
    }
    let message = format!("expected `{key}` of 1 to {most}, found {number}");
    report.error(at.place, Code::Value, message);
    None
}

fn repeats(raw: &raw::Feature) -> Option<Repeats> {
    match &raw.distinct {
        None => Some(Repeats::Kept),
        Some(at) => at.value.map(|distinct| match distinct {
            true => Repeats::Dropped,
            false => Repeats::Kept,
        }),
    }
}

fn span(
    report: &Report,
    raw: &raw::Feature,
    kind: Aggregate,
    key: &str,
    at: Option<&At<String>>,
) -> Option<Duration> {
    match at {
        Some(at) => scalar::positive_duration(report, key, at),
        None => {
            missing(report, raw, kind, key, &format!("`{key}: 1h`, for example"));
            None
        }
    }
}

/// One quantile, or a list of them.
fn quantile(report: &Report, raw: &raw::Feature, cap: u32) -> Option<Function> {
    let Some(at) = &raw.q else {
        let help = "`q: 0.95`, or `q: [0.5, 0.9, 0.99]`";
        missing(report, raw, Aggregate::Quantile, "q", help);
        return None;
    };
    let level = |json: &Json| {
        let level = json.as_f64().and_then(level);
        if level.is_none() {
            report.error_help(
                at.place,
                Code::Value,
                format!("`{json}` is not a quantile"),
                "expected a number of 0 to 1 with at most six digits after the point",
            );
        }
        level
    };
    match at.value.as_ref()? {
        Json::Array(all) if !all.is_empty() && all.len() <= MOST_VALUES as usize => {
            let levels: Vec<Option<Level>> = all.iter().map(level).collect();
            let levels = levels.into_iter().collect::<Option<Vec<Level>>>()?;
            Some(Function::Quantiles {
                levels: levels.into(),
                cap,
            })
        }
        one => Some(Function::Quantile {
            level: level(one)?,
            cap,
        }),
    }
}

/// A level in millionths, where it is a whole number of them.
fn level(share: f64) -> Option<Level> {
    let millionths = share * 1e6;
    let rounded = millionths.round();
    let whole = (0.0..=1e6).contains(&rounded) && (millionths - rounded).abs() < 1e-6;
    whole.then_some(Level(rounded as u32))
}

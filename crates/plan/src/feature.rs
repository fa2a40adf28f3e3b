//! One feature: its aggregate, what it is of, which events count, its windows and its answers.

use crate::at::At;
use crate::raw::{self, Aggregate};
use crate::report::Report;
use crate::source::Draft;
use crate::text::Place;
use crate::{Code, aggregate, names, parameters, scalar, window};
use tiderace_aggregate::Function;
use tiderace_expr::Compiled;
use tiderace_types::{DataType, TimeUnit, Timestamp, Value};

/// A checked feature, before its inputs are shared with the others of its view.
#[derive(Clone, Debug)]
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) function: Function,
    pub(crate) of: Option<Compiled>,
    pub(crate) by: Option<Compiled>,
    pub(crate) filter: Option<Compiled>,
    /// Each window with the name of its output.
    pub(crate) windows: Vec<(String, window::Named)>,
    pub(crate) data_type: DataType,
    pub(crate) default: Option<Value>,
    pub(crate) place: Place,
}

/// Checks a feature; `None` when something in it is wrong.
///
/// With a broken source (`None`) only what needs no columns is checked.
pub(crate) fn check(
    report: &Report,
    raw: &raw::Feature,
    source: Option<&Draft>,
) -> Option<Feature> {
    let before = report.count();
    let name = names::identifier(report, "a feature", &raw.name);
    let windows = windows(report, raw, name);
    let kind = raw.aggregate.value;
    if let Some(kind) = kind {
        parameters::only_its_own(report, raw, kind);
    }
    let filter = raw.r#where.as_ref();
    let filter = filter.and_then(|sql| source?.condition(report, sql));
    let kind = kind?;
    let function = parameters::function(report, raw, kind);
    let of = of(report, raw, kind, source);
    let by = by(report, raw, kind, source);
    let of_type = of.as_ref().map_or(&DataType::Int64, Compiled::data_type);
    let windows = windows.filter(|windows| have_length(report, kind, windows));
    let function = function?;
    let data_type = aggregate::result(&function, of_type, by.as_ref().map(Compiled::data_type));
    let default = match (&of, kind) {
        // The type of the answer is not known where its input is broken.
        (None, kind) if aggregate::takes(kind) != aggregate::Takes::AnythingOrNothing => None,
        _ => default(report, raw, &data_type),
    };
    (report.count() == before && source.is_some()).then_some(Feature {
        name: name?.to_owned(),
        function,
        of,
        by,
        filter,
        windows: windows?,
        data_type,
        default,
        place: raw.name.place,
    })
}

/// A rate is over the length of its window.
fn have_length(report: &Report, kind: Aggregate, windows: &[(String, window::Named)]) -> bool {
    let endless = |named: &&(String, window::Named)| {
        let bounds = named.1.window.bounds(Timestamp(0));
        bounds.is_none_or(|bounds| bounds.after == Timestamp::MIN)
    };
    let wrong = windows.iter().find(endless);
    let Some((_, named)) = wrong.filter(|_| kind == Aggregate::Rate) else {
        return true;
    };
    report.error_help(
        named.place,
        Code::Value,
        "a rate needs a window with a length",
        "a sliding or tumbling one, such as `1h`",
    );
    false
}

/// What is aggregated; `None` where nothing is, or something is wrong.
fn of(
    report: &Report,
    raw: &raw::Feature,
    kind: Aggregate,
    source: Option<&Draft>,
) -> Option<Compiled> {
    let takes = aggregate::takes(kind);
    let Some(sql) = &raw.of else {
        if takes != aggregate::Takes::AnythingOrNothing {
            report.error_help(
                raw.aggregate.place,
                Code::Shape,
                format!("`{}` needs `of`", kind.name()),
                "`of` is a column, or an SQL expression over the columns",
            );
        }
        return None;
    };
    let compiled = source?.compile(report, sql)?;
    if takes.accepts(compiled.data_type()) {
        return Some(compiled);
    }
    report.error_help(
        sql.place,
        Code::Type,
        format!(
            "`{}` is {}, which `{}` does not take",
            sql.value.as_deref().unwrap_or_default(),
            compiled.data_type(),
            kind.name()
        ),
        format!("expected {}", takes.expected()),
    );
    None
}

/// What weighs the values of `top_n` (`None` counts them), or what a breakdown is by.
fn by(
    report: &Report,
    raw: &raw::Feature,
    kind: Aggregate,
    source: Option<&Draft>,
) -> Option<Compiled> {
    let at = raw.by.as_ref()?;
    if parameters::breaks_down(raw, kind) {
        return category(report, at, source);
    }
    if kind != Aggregate::TopN {
        return None;
    }
    let (text, place) = at.text()?;
    if text.trim() == "count" {
        return None;
    }
    let inside = text
        .trim()
        .strip_prefix("sum(")
        .and_then(|rest| rest.strip_suffix(')'));
    let Some(inside) = inside else {
        report.error_help(
            place,
            Code::Value,
            format!("`{text}` cannot weigh values"),
            "expected `count`, or `sum(<expression>)` such as `sum(amount)`",
        );
        return None;
    };
    let sql = At {
        value: Some(inside.to_owned()),
        place,
    };
    let compiled = source?.compile(report, &sql)?;
    if aggregate::is_number(compiled.data_type()) {
        return Some(compiled);
    }
    report.error_help(
        place,
        Code::Type,
        format!(
            "`{inside}` is {}, which cannot be summed",
            compiled.data_type()
        ),
        format!("expected {}", aggregate::Takes::Numbers.expected()),
    );
    None
}

/// What a simple aggregate is broken down by.
fn category(report: &Report, at: &At<String>, source: Option<&Draft>) -> Option<Compiled> {
    let compiled = source?.compile(report, at)?;
    if aggregate::Takes::Scalars.accepts(compiled.data_type()) {
        return Some(compiled);
    }
    report.error_help(
        at.place,
        Code::Type,
        format!("values cannot be broken down by {}", compiled.data_type()),
        format!("expected {}", aggregate::Takes::Scalars.expected()),
    );
    None
}

/// The windows, each with its output's name.
fn windows(
    report: &Report,
    raw: &raw::Feature,
    name: Option<&str>,
) -> Option<Vec<(String, window::Named)>> {
    let delay = window::delay(report, raw.delay.as_ref())?;
    let written = raw.windows.value.as_ref()?;
    if written.is_empty() {
        report.error_help(
            raw.windows.place,
            Code::Shape,
            "a feature needs at least one window",
            "`windows: [7d]`, or `windows: [lifetime]`",
        );
    }
    if let Some(at) = &raw.r#as
        && written.len() > 1
    {
        report.error_help(
            at.place,
            Code::Value,
            format!("one name cannot be given to {} windows", written.len()),
            "name each window: `{ size: 7d, as: … }`",
        );
        return None;
    }
    let mut windows = vec![];
    for at in written {
        let Some(named) = window::window(report, at, delay.as_ref()) else {
            continue;
        };
        let given = named.whole_name.as_ref().or(raw.r#as.as_ref());
        let output = match given {
            Some(given) => names::identifier(report, "an output", given).map(str::to_owned),
            None => name.map(|name| format!("{name}_{}", named.suffix)),
        };
        if let Some(output) = output {
            windows.push((output, named));
        }
    }
    (windows.len() == written.len()).then_some(windows)
}

fn default(report: &Report, raw: &raw::Feature, data_type: &DataType) -> Option<Value> {
    let at = raw.default.as_ref()?;
    let json = at.value.as_ref()?;
    let found = scalar::value(json, data_type, TimeUnit::Rfc3339);
    if found.is_none() {
        report.error(
            at.place,
            Code::Type,
            format!("the default `{json}` is not {data_type}, which the feature gives"),
        );
    }
    found
}

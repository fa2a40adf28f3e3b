//! Meanings in words.

use crate::model::{Otherwise, Query, Source, Stream, TableMode, View};
use tiderace_aggregate::{Function, Kept, Level, Output, Repeats};
use tiderace_types::{Column, Duration, TimeUnit, Value};

/// Which events a source has, and which of them are accepted.
pub(super) fn source(source: &Source) -> String {
    let name = |column: usize| source.names[column].clone();
    let mut words = vec![format!("events by {}", name(source.event_time))];
    match source.event_id {
        Some(id) => words.push(format!("identified by {}", name(id))),
        None => words.push("identified by their place".to_owned()),
    }
    match &source.stream {
        Stream::Table(table) => words.push(match (&table.query, table.mode) {
            (Some(query), _) => query_words(query),
            (None, TableMode::Partitions) => "a table that grows".to_owned(),
            (None, TableMode::Snapshot) => "a table as a whole".to_owned(),
        }),
        Stream::Embedded | Stream::Kafka { .. } => {
            let ahead = match source.max_ahead {
                Some(ahead) => format!("{ahead} ahead"),
                None => "any time ahead".to_owned(),
            };
            words.push(format!(
                "up to {} late and {ahead}",
                source.allowed_lateness
            ));
        }
    }
    if source.dedup_horizon > source.allowed_lateness {
        words.push(format!("copies known for {}", source.dedup_horizon));
    }
    if let Stream::Kafka { headers, .. } = &source.stream {
        let headers = headers.iter();
        words.extend(headers.map(|(name, value)| format!("with header {name} = {value}")));
    }
    if let Some(select) = &source.select {
        words.push(format!(
            "those where {}",
            one_line(select.condition.canonical())
        ));
    }
    for expect in &source.expects {
        let verb = match expect.otherwise {
            Otherwise::Reject => "rejected",
            Otherwise::Drop => "dropped",
            Otherwise::Keep => continue,
        };
        let check = one_line(expect.check.canonical());
        words.push(format!("{verb} unless {check}"));
    }
    if let Some(retracts) = &source.retracts {
        words.push(format!(
            "taking others back where {}",
            one_line(retracts.canonical())
        ));
    }
    if let Some(deletes) = &source.deletes {
        words.push(format!("deleting where {}", one_line(deletes.canonical())));
    }
    if source.not_finite_as_null {
        words.push("NaN and infinities are null".to_owned());
    }
    words.join(", ")
}

/// What a query asks, of which tables.
fn query_words(query: &Query) -> String {
    let tables = query.tables.iter();
    let tables = tables.map(|(name, of)| format!("{name}: {}", of.words()));
    let tables: Vec<String> = tables.collect();
    format!(
        "the answer of {} over {}",
        one_line(&query.text),
        tables.join("; ")
    )
}

/// How a column is read.
pub(super) fn column(name: &str, column: &Column) -> String {
    let mut words = vec![column.data_type.to_string()];
    let unit = match column.time_unit {
        TimeUnit::Rfc3339 => None,
        TimeUnit::Seconds => Some("in seconds"),
        TimeUnit::Millis => Some("in milliseconds"),
        TimeUnit::Micros => Some("in microseconds"),
        TimeUnit::Nanos => Some("in nanoseconds"),
        TimeUnit::Days => Some("in days"),
    };
    words.extend(unit.map(str::to_owned));
    if column.name != name {
        words.push(format!("from {}", one_line(&column.name)));
    }
    if column.default != Value::Null {
        words.push(format!("else {}", one_line(&column.default.to_string())));
    }
    words.join(", ")
}

/// Whose features a view has, of which events, and what its rows keep.
pub(super) fn view(view: &View) -> String {
    let names = |place: &usize| view.source.names[view.source.used[*place]].as_str();
    let keys = view.entity.keys.iter().zip(&view.keys);
    let keys = keys.map(|((key, _), place)| match names(place) {
        column if column == key => key.clone(),
        column => format!("{key} = {column}"),
    });
    let keys: Vec<String> = keys.collect();
    let mut words = vec![
        format!("per {} ({})", view.entity.name, keys.join(", ")),
        format!("from {}", view.source.name),
    ];
    if let Some(condition) = &view.condition {
        words.push(format!("where {}", one_line(condition.canonical())));
    }
    if let Some(max_age) = view.max_age {
        words.push(format!("outdated after {max_age}"));
    }
    words.push(match view.spec.kept {
        Kept::All => "rows keep all".to_owned(),
        Kept::Span {
            reach,
            history,
            lateness,
        } => {
            let history = match history {
                Duration::ZERO => String::new(),
                history => format!(" + {history} of history"),
            };
            format!("rows keep {reach}{history} + {lateness} for what is late")
        }
    });
    words.join(", ")
}

/// What an output is.
pub(super) fn output(view: &View, output: &Output) -> String {
    let of = output
        .input
        .map(|input| one_line(view.inputs[input].canonical()));
    let by = output.by.map(|by| one_line(view.inputs[by].canonical()));
    let mut words = format!("{}, {}", output.data_type, function(&output.function));
    if let Some(of) = of {
        words += &format!(" of {of}");
    }
    if let Some(by) = by {
        words += &match output.function {
            Function::TopN { .. } => format!(" by sum({by})"),
            _ => format!(" by {by}"),
        };
    }
    words += &format!(" over {}", output.window);
    if let Some(filter) = output.filter {
        words += &format!(", where {}", one_line(view.filters[filter].canonical()));
    }
    if let Some(default) = &output.default {
        words += &format!(", else {}", one_line(&default.to_string()));
    }
    words
}

fn function(function: &Function) -> String {
    let level = |level: &Level| format!("{}", f64::from(level.0) / 1e6);
    match function {
        Function::Count => "count".to_owned(),
        Function::Sum => "sum".to_owned(),
        Function::Avg => "avg".to_owned(),
        Function::Min => "min".to_owned(),
        Function::Max => "max".to_owned(),
        Function::VarSamp => "var_samp".to_owned(),
        Function::VarPop => "var_pop".to_owned(),
        Function::StddevSamp => "stddev_samp".to_owned(),
        Function::StddevPop => "stddev_pop".to_owned(),
        Function::Skewness => "skewness".to_owned(),
        Function::Kurtosis => "kurtosis".to_owned(),
        Function::CountDistinct { cap } => format!("count_distinct (exact to {cap})"),
        Function::DistinctList { n } => format!("distinct_list {n}"),
        Function::TopN { n, cap } => format!("top_n {n} (exact to {cap})"),
        Function::BottomK { k } => format!("bottom_k {k}"),
        Function::TopK { k } => format!("top_k {k}"),
        Function::First => "first".to_owned(),
        Function::Last => "last".to_owned(),
        Function::FirstN { n, repeats } => format!("first_n {n}{}", distinct(*repeats)),
        Function::LastN { n, repeats } => format!("last_n {n}{}", distinct(*repeats)),
        Function::Quantile { level: of, cap } => {
            format!("quantile {} (exact to {cap})", level(of))
        }
        Function::Quantiles { levels, cap } => {
            let levels: Vec<String> = levels.iter().map(level).collect();
            format!("quantiles {} (exact to {cap})", levels.join(", "))
        }
        Function::Histogram { cap } => format!("histogram (exact to {cap})"),
        Function::Breakdown { each, cap } => {
            let each = self::function(&each.function());
            format!("{each} of each (up to {cap})")
        }
        Function::Entropy { cap } => format!("entropy (exact to {cap})"),
        Function::DecaySum { half_life } => format!("decay_sum (half-life {half_life})"),
        Function::DecayAvg { half_life } => format!("decay_avg (half-life {half_life})"),
        Function::TimeSinceFirst => "time_since_first".to_owned(),
        Function::TimeSinceLast => "time_since_last".to_owned(),
        Function::Rate { per } => format!("rate per {per}"),
    }
}

fn distinct(repeats: Repeats) -> &'static str {
    match repeats {
        Repeats::Kept => "",
        Repeats::Dropped => " (distinct)",
    }
}

/// A text without line breaks, so that a line stays one.
pub(super) fn one_line(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

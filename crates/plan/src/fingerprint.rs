//! What gives rows their meaning, as one number.
//!
//! In it: where events come from and which belong, how they are identified, what is
//! kept of each and how long, and the partials of features without an end and how many events
//! last-N windows remember. Not in
//! it: names, windows that read what is kept anyway, defaults, descriptions. So a
//! view may gain such a feature, or be tidied, and keep its rows.

use crate::model::{Otherwise, Stream};
use crate::seal::Shared;
use crate::source;
use crate::view::Draft;
use std::fmt::Write;
use tiderace_aggregate::{RowSpec, Span};
use tiderace_expr::Compiled;
use tiderace_types::Value;
use xxhash_rust::xxh3::xxh3_64;

/// The fingerprint of a view's rows.
pub(crate) fn of(
    draft: &Draft,
    from: &source::Draft,
    spec: &RowSpec,
    inputs: &Shared,
    filters: &Shared,
) -> u64 {
    let text = canonical(draft, from, spec, inputs, filters);
    xxh3_64(text.as_bytes())
}

/// The number of a source or view: the low 32 bits of its name's hash.
pub(crate) fn id_of(name: &str) -> u32 {
    xxh3_64(name.as_bytes()) as u32
}

/// One fact per line; part of the format, so lines are only ever added for new facts.
fn canonical(
    draft: &Draft,
    from: &source::Draft,
    spec: &RowSpec,
    inputs: &Shared,
    filters: &Shared,
) -> String {
    let source = &from.source;
    let mut lines = vec!["rows 1".to_owned(), format!("source {:?}", source.name)];
    let time = &source.columns[source.event_time];
    lines.push(format!("time {:?} {:?}", time.name, time.time_unit));
    let id = source.event_id.map(|id| source.columns[id].name.as_str());
    lines.push(format!("id {:?} {:?}", spec.id, id));
    for &key in &draft.keys {
        let column = &source.columns[key];
        lines.push(format!("key {:?} {}", column.name, column.data_type));
    }
    let mut columns: Vec<usize> = draft
        .expressions()
        .flat_map(Compiled::columns)
        .copied()
        .collect();
    for expect in &source.expects {
        if expect.otherwise != Otherwise::Keep {
            lines.push(format!("expect {}", expect.check.canonical()));
            columns.extend(expect.check.columns());
        }
    }
    if source.not_finite_as_null {
        lines.push("not finite as null".to_owned());
    }
    columns.extend(source.retracts.iter().flat_map(Compiled::columns));
    columns.extend(source.deletes.iter().flat_map(Compiled::columns));
    columns.sort_unstable();
    columns.dedup();
    for column in columns {
        // What the decoder adds is said by the source's kind.
        let Some((name, data_type)) = &from.scope.get(column) else {
            continue;
        };
        let path = &source.columns[column].name;
        lines.push(format!("column {name:?} {data_type} {path:?}"));
        let default = &source.columns[column].default;
        if *default != Value::Null {
            lines.push(format!("default {default:?}"));
        }
    }
    if let Some(condition) = &draft.condition {
        lines.push(format!("where {}", condition.canonical()));
    }
    if let Some(select) = &source.select {
        let paths = select.columns.iter().map(|c| &source.columns[*c].name);
        let paths: Vec<&String> = paths.collect();
        lines.push(format!("select {} {paths:?}", select.condition.canonical()));
    }
    if let Stream::Kafka { headers, .. } = &source.stream {
        let lines_of = headers
            .iter()
            .map(|(name, value)| format!("header {name:?} {value:?}"));
        lines.extend(lines_of);
    }
    if let Some(condition) = &source.retracts {
        lines.push(format!("retracts {}", condition.canonical()));
    }
    if let (Stream::Table(table), Some(archive)) = (&source.stream, &source.archive) {
        match &table.query {
            None => lines.push(format!("table {:?} {:?}", table.mode, archive.parquet)),
            Some(query) => {
                lines.push(format!("query {:?} {:?}", query.text, query.audience));
                let tables = query.tables.iter();
                lines.extend(tables.map(|(name, of)| format!("of {name:?} {}", of.words())));
            }
        }
        let renamed = archive.renamed.iter();
        lines.extend(renamed.map(|(name, held)| format!("held {name:?} {held:?}")));
    }
    if let Some(condition) = &source.deletes {
        lines.push(format!("deletes {}", condition.canonical()));
    }
    for input in inputs.all() {
        lines.push(format!("input {} {}", input.data_type(), input.canonical()));
    }
    for filter in filters.all() {
        lines.push(format!("filter {}", filter.canonical()));
    }
    lines.push(format!("kept {:?}", spec.kept));
    for output in &spec.outputs {
        if output.window.span == Span::Lifetime {
            lines.push(format!(
                "base {:?} {:?} {:?} {:?} {}",
                output.function, output.input, output.by, output.filter, output.window.delay
            ));
        }
    }
    for (filter, count) in spec.remembered() {
        lines.push(format!("last {count} {filter:?}"));
    }
    lines.iter().fold(String::new(), |mut text, line| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
        text
    })
}

//! SQL views: features that a query answers.
//!
//! The answer is written as a table, a snapshot in the state folder, and the view is a batch view over
//! that. So this module turns one into the other. Of the query it knows which tables are read; its columns
//! and types are checked where the tables are ([`crate::Places::query_finding`]).

use crate::at::At;
use crate::model::{DeclaredTable, Entity, Query, QueryTable, Source, Stream};
use crate::names::Defined;
use crate::report::Report;
use crate::source::Kafka;
use crate::text::Place;
use crate::{Code, batch, names, raw, scalar, source, view};
use std::collections::BTreeMap;
use std::sync::Arc;
use tiderace_types::{DataType, Duration};

/// What a query may not be run more often than.
const OFTEN: Duration = Duration::from_secs(10);

/// The least that is stale where `max_lag` is not said: a run takes its time.
const LAG: Duration = Duration::from_secs(60);

const MEMORY: u64 = 256 << 20;

/// Less than that no query runs in.
const LEAST_MEMORY: u64 = 16 << 20;

const TIMEOUT: Duration = Duration::from_secs(600);

/// What the tables of queries may stand for.
pub(crate) struct Known<'a> {
    pub(crate) entities: &'a Defined<Arc<Entity>>,
    pub(crate) sources: &'a Defined<source::Draft>,
    /// The tables of batch views.
    pub(crate) tables: &'a Defined<source::Draft>,
    /// The state folder, as it is written.
    pub(crate) state: &'a str,
}

/// Checks a SQL view; gives its answer as a source, and the view over it. `None` when something in it is
/// wrong.
pub(crate) fn check(
    report: &Report,
    raw: &raw::SqlView,
    known: &Known,
    kafka: Kafka,
) -> Option<(source::Draft, view::Draft)> {
    let before = report.count();
    let sql = raw.sql.value.as_ref()?;
    let tables = tables(report, sql, known);
    let memory = memory(report, sql);
    let timeout = match &sql.timeout {
        None => Some(TIMEOUT),
        Some(at) => scalar::positive_duration(report, "timeout", at),
    };
    if let Some(every) = &sql.every
        && let Some(found) = scalar::positive_duration(report, "every", every)
        && found < OFTEN
    {
        report.error_help(
            every.place,
            Code::Value,
            format!("a query is run every {OFTEN} at most, not every {found}"),
            "what must be fresher than that is a feature over a stream",
        );
    }
    max_age(report, raw, sql);
    let batch = as_batch(report, raw, sql, known.state);
    let drafts = batch.and_then(|batch| batch::check(report, &batch, known.entities, kafka));
    if report.count() > before {
        return None;
    }
    let (mut source, view) = drafts?;
    source.place = sql.query.place;
    let query = Query {
        text: sql.query.value.clone()?,
        tables: tables?,
        has_event_time: sql.event_time.is_some(),
        audience: raw.audience.as_ref().and_then(|at| at.value.clone()),
        memory: memory?,
        timeout: timeout?,
    };
    has_own_lag(&mut source.source, sql);
    if let Stream::Table(table) = &mut source.source.stream {
        table.query = Some(Arc::new(query));
    }
    Some((source, view))
}

/// Who says nothing of lag is stale a minute after the last good run at the earliest.
fn has_own_lag(source: &mut Source, sql: &raw::Sql) {
    if sql.max_lag.is_none() {
        source.max_lag = source.max_lag.max(LAG);
    }
}

fn memory(report: &Report, sql: &raw::Sql) -> Option<u64> {
    let found = scalar::size_or(report, sql.memory.as_ref(), MEMORY)?;
    if let Some(at) = sql.memory.as_ref().filter(|_| found < LEAST_MEMORY) {
        report.error(
            at.place,
            Code::Value,
            "no query runs in less than `16MiB` of memory",
        );
        return None;
    }
    Some(found)
}

/// The age of a row is told by its event time.
fn max_age(report: &Report, raw: &raw::SqlView, sql: &raw::Sql) {
    if let (Some(max_age), None) = (&raw.max_age, &sql.event_time) {
        report.error_help(
            max_age.place,
            Code::Value,
            "`max_age` needs an `event_time`",
            "name the answer's column that says since when a row holds: `event_time: last_paid_at`; for how long \
             answers count after the last good run there is `max_lag`",
        );
    }
}

/// What the tables of the query stand for.
fn tables(report: &Report, sql: &raw::Sql, known: &Known) -> Option<BTreeMap<String, QueryTable>> {
    let declared = sql.tables.value.as_ref()?;
    let query = sql.query.value.as_deref()?;
    let mut found: BTreeMap<String, Option<QueryTable>> = BTreeMap::new();
    for (name, table) in &declared.0 {
        let Some(text) = names::identifier(report, "a table", name) else {
            continue;
        };
        let table = table.value.as_ref();
        let table = table.and_then(|raw| table_of(report, name.place, raw, known));
        if found.insert(text.to_owned(), table).is_some() {
            report.error(
                name.place,
                Code::Duplicate,
                format!("table `{text}` is given twice"),
            );
        }
    }
    let named = tiderace_expr::tables_of_query(query);
    let named = named
        .map_err(|error| report.expression(&sql.query, error))
        .ok()?;
    let mut read = BTreeMap::new();
    let mut is_whole = true;
    for table in named {
        let Some((name, of)) = found.get_key_value(&table.name) else {
            is_whole = false;
            report.within(
                &sql.query,
                table.span,
                Code::Unknown,
                names::unknown("table", &table.name, found.keys().map(String::as_str)),
                format!(
                    "`tables` has {}",
                    names::listed(found.keys().map(String::as_str))
                ),
            );
            continue;
        };
        match of {
            Some(of) => _ = read.insert(name.clone(), of.clone()),
            None => is_whole = false,
        }
    }
    for (name, _) in &declared.0 {
        if let Some((text, place)) = name.text()
            && found.get(text).is_some_and(Option::is_some)
            && !read.contains_key(text)
            && is_whole
        {
            report.error_help(
                place,
                Code::Unknown,
                format!("the query does not read table `{text}`"),
                "take it away, or read it",
            );
        }
    }
    is_whole.then_some(read)
}

fn table_of(
    report: &Report,
    place: Place,
    raw: &raw::SqlTable,
    known: &Known,
) -> Option<QueryTable> {
    let all = [&raw.archive, &raw.batch, &raw.parquet, &raw.csv];
    let mut given = all.into_iter().flatten();
    let (Some(_), None) = (given.next(), given.next()) else {
        report.error_help(
            place,
            Code::Shape,
            "expected one of `archive`, `batch`, `parquet` and `csv`",
            "such as `{ archive: card_payments }`, `{ batch: profile }` or `{ parquet: data/countries }`",
        );
        return None;
    };
    if let (Some(columns), None) = (&raw.columns, &raw.csv) {
        report.error_help(
            columns.place,
            Code::Shape,
            "`columns` are of a CSV file",
            "the columns of other tables have types",
        );
        return None;
    }
    let path = |at: &At<String>| {
        let (text, place) = at.text()?;
        if text.is_empty() {
            report.error(place, Code::Value, "the table has no path");
            return None;
        }
        Some(text.to_owned())
    };
    if let Some(at) = &raw.archive {
        let (name, place) = at.text()?;
        return archive(report, known.sources.find(report, name, place)?, place);
    }
    if let Some(at) = &raw.batch {
        let (name, place) = at.text()?;
        let table = known.tables.find(report, name, place)?;
        return Some(QueryTable::Declared(declared(table, false)?));
    }
    if let Some(at) = &raw.parquet {
        return Some(QueryTable::Parquet(path(at)?));
    }
    let csv = raw.csv.as_ref()?;
    if let Some((text, place)) = csv.text()
        && text.contains("://")
    {
        report.error_help(
            place,
            Code::Value,
            "a CSV file is of this machine",
            "expected a path; in a bucket a table is Parquet",
        );
        return None;
    }
    Some(QueryTable::Csv {
        path: path(csv)?,
        columns: types(report, raw)?,
    })
}

fn archive(report: &Report, draft: &source::Draft, place: Place) -> Option<QueryTable> {
    let Some(declared) = declared(draft, true) else {
        report.error_help(
            place,
            Code::Value,
            format!("source `{}` has no `archive`", draft.source.name),
            "give it one: `archive: { parquet: data/archive }`",
        );
        return None;
    };
    Some(QueryTable::Declared(declared))
}

fn declared(draft: &source::Draft, is_archive: bool) -> Option<DeclaredTable> {
    let (source, archive) = (&draft.source, draft.source.archive.as_ref()?);
    let columns = source.declared().iter().cloned();
    Some(DeclaredTable {
        of: source.name.clone(),
        is_archive,
        is_dated: is_archive && archive.write,
        parquet: archive.parquet.clone(),
        columns: columns.zip(source.names.iter().cloned()).collect(),
        renamed: archive.renamed.clone(),
    })
}

/// The declared types of a CSV file's columns.
fn types(report: &Report, raw: &raw::SqlTable) -> Option<Vec<(String, DataType)>> {
    let columns = raw.columns.as_ref().and_then(|at| at.value.as_ref());
    let mut types = Vec::new();
    for (name, of) in columns.map_or(&[][..], |columns| &columns.0) {
        let (text, place) = of.text()?;
        types.push((name.value.clone()?, scalar::data_type(report, text, place)?));
    }
    Some(types)
}

/// The view in the words of a batch view over the answer.
fn as_batch(
    report: &Report,
    raw: &raw::SqlView,
    sql: &raw::Sql,
    state: &str,
) -> Option<raw::BatchView> {
    let features = match (&raw.features, &raw.audience) {
        (Some(features), None) => features.clone(),
        (None, Some(audience)) => in_audience(audience),
        (Some(_), Some(audience)) => {
            report.error_help(
                audience.place,
                Code::Shape,
                "`audience` is given beside `features`",
                "who is in an audience is all that its view says: give the features a view of their own",
            );
            return None;
        }
        (None, None) => {
            report.error_help(
                raw.name.place,
                Code::Shape,
                "expected `features` or an `audience`",
                "`features` name columns of the answer; `audience: is_vip` is true of whoever is in it",
            );
            return None;
        }
    };
    let event_time = match &sql.event_time {
        Some(at) => at.clone(),
        None => {
            is_free(report, &features);
            text(Query::ANSWERED_AT, raw.sql.place)
        }
    };
    let name = raw.name.value.as_deref().unwrap_or_default();
    let batch = raw::Batch {
        parquet: text(&answer(state, name), sql.query.place),
        event_time,
        mode: Some(At {
            value: Some(raw::BatchMode::Snapshot),
            place: raw.sql.place,
        }),
        refresh: sql.every.clone(),
        max_lag: sql.max_lag.clone(),
        deleted_when: None,
        columns: None,
    };
    Some(raw::BatchView {
        name: raw.name.clone(),
        entity: raw.entity.clone(),
        batch: At {
            value: Some(batch),
            place: raw.sql.place,
        },
        keys: raw.keys.clone(),
        history: raw.history.clone(),
        max_age: raw.max_age.clone(),
        row_max: raw.row_max.clone(),
        features,
        output: raw.output.clone(),
        description: raw.description.clone(),
        owner: raw.owner.clone(),
    })
}

/// Where the answer of a view's query is kept.
fn answer(state: &str, view: &str) -> String {
    format!("{}/sql/{view}/answer", state.trim_end_matches('/'))
}

/// The one feature of an audience.
fn in_audience(audience: &At<String>) -> At<Vec<At<raw::BatchFeature>>> {
    let place = audience.place;
    let feature = raw::BatchFeature {
        name: audience.clone(),
        column: None,
        r#type: text("bool", place),
        default: Some(At {
            value: Some(serde_json::Value::Bool(false)),
            place,
        }),
        description: None,
    };
    At {
        value: Some(vec![At {
            value: Some(feature),
            place,
        }]),
        place,
    }
}

/// Refuses a feature that is called as the column that is added to the answer.
fn is_free(report: &Report, features: &At<Vec<At<raw::BatchFeature>>>) {
    let features = features.value.iter().flatten();
    for feature in features.filter_map(|at| at.value.as_ref()) {
        let column = feature.column.as_ref().and_then(At::text);
        let held = [feature.name.text(), column].into_iter().flatten();
        for (name, place) in held {
            if name == Query::ANSWERED_AT {
                report.error_help(
                    place,
                    Code::Name,
                    format!("`{name}` is a column that is added to the answer"),
                    "give it another name in the query; where it says since when a row holds, it is the `event_time`",
                );
            }
        }
    }
}

fn text(text: &str, place: Place) -> At<String> {
    At {
        value: Some(text.to_owned()),
        place,
    }
}

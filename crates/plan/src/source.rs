//! Sources: columns with types, identity, time, and the contract.

use crate::at::{At, TextOr};
use crate::model::{Expect, Otherwise, Source, Stream};
use crate::report::Report;
use crate::scalar::{self, duration_or};
use crate::text::Place;
use crate::{Code, names, raw};
use tiderace_expr::{Compiled, Now, compile};
use tiderace_types::{Column, CoveredFrom, DataType, Duration, SourceId, TimeUnit};

/// A source before it is known which of its columns are used.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Its expressions are over all columns; `used` is empty.
    pub(crate) source: Source,
    /// The columns as expressions see them: declared name and type.
    pub(crate) scope: Vec<(String, DataType)>,
}

impl Draft {
    /// The index and type of a column; with a finding when there is none.
    pub(crate) fn column(&self, report: &Report, name: &str, place: Place) -> Option<usize> {
        let found = self.scope.iter().position(|(held, _)| held == name);
        if found.is_none() {
            let all = || self.scope.iter().map(|(name, _)| name.as_str());
            report.error_help(
                place,
                Code::Unknown,
                names::unknown("column", name, all()),
                format!("source `{}` has {}", self.source.name, names::listed(all())),
            );
        }
        found
    }

    /// Compiles an expression over the columns.
    pub(crate) fn compile(&self, report: &Report, sql: &At<String>) -> Option<Compiled> {
        expression(report, sql, &self.scope, Now::Refused)
    }

    /// Compiles a condition over the columns.
    pub(crate) fn condition(&self, report: &Report, sql: &At<String>) -> Option<Compiled> {
        let compiled = self.compile(report, sql)?;
        if *compiled.data_type() == DataType::Bool {
            return Some(compiled);
        }
        report.error_help(
            sql.place,
            Code::Type,
            format!("expected a condition, found {}", compiled.data_type()),
            "a condition is true or false for an event, such as `amount > 0`",
        );
        None
    }
}

/// Compiles an expression, reporting what is wrong in its place.
pub(crate) fn expression(
    report: &Report,
    sql: &At<String>,
    scope: &[(String, DataType)],
    now: Now,
) -> Option<Compiled> {
    compile(sql.value.as_deref()?, scope, now)
        .map_err(|error| report.expression(sql, error))
        .ok()
}

/// Whether the project can reach Kafka; unknown where its settings are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kafka {
    There,
    Missing,
    Unknown,
}

/// Checks a source; `None` when something in it is wrong.
pub(crate) fn check(report: &Report, raw: &raw::Source, kafka: Kafka) -> Option<Draft> {
    let before = report.count();
    let name = names::identifier(report, "a source", &raw.name);
    let stream = stream(report, raw, kafka);
    let (columns, scope) = columns(report, raw)?;
    let columns_whole = report.count() == before;
    let mut draft = Draft {
        source: Source {
            id: SourceId(crate::fingerprint::id_of(name.unwrap_or_default())),
            name: name.unwrap_or_default().to_owned(),
            stream: stream.unwrap_or(Stream::Embedded),
            columns,
            event_time: 0,
            event_id: None,
            allowed_lateness: Duration::ZERO,
            max_ahead: None,
            max_lag: Duration::ZERO,
            dedup_horizon: Duration::ZERO,
            complete_since: None,
            expects: vec![],
            max_record_bytes: 0,
            used: vec![],
        },
        scope,
    };
    timing(report, raw, &mut draft.source);
    if columns_whole {
        // With a column broken, its name would be reported again wherever it is used.
        event_time(report, raw, &mut draft);
        event_id(report, raw, &mut draft);
        draft.source.expects = raw
            .expect
            .iter()
            .filter_map(|at| expect(report, at.value.as_ref()?, &draft))
            .collect();
    }
    (report.count() == before && name.is_some()).then_some(draft)
}

fn stream(report: &Report, raw: &raw::Source, kafka: Kafka) -> Option<Stream> {
    let Some(at) = &raw.stream else {
        return Some(Stream::Embedded);
    };
    let topic = match at.value.as_ref()? {
        TextOr::Text(text) if text == "embedded" => return Some(Stream::Embedded),
        TextOr::Text(text) => {
            report.error_help(
                at.place,
                Code::Value,
                format!("`{text}` is not a stream"),
                "expected `embedded`, or `{ kafka: { topic: … }, format: json }`",
            );
            return None;
        }
        TextOr::Mapping(stream) => match &stream.kafka {
            None => return Some(Stream::Embedded),
            Some(topic) => topic,
        },
    };
    if kafka == Kafka::Missing {
        report.error_help(
            topic.place,
            Code::Unknown,
            "the project has no Kafka to read this topic from",
            "add `kafka: { brokers: \"host:9092\" }` to the project, or read from `stream: embedded`",
        );
    }
    let topic = topic.value.as_ref()?;
    let name = topic_name(report, &topic.topic)?;
    let dead_letters = match &topic.dead_letters {
        Some(at) => topic_name(report, at)?,
        None => format!("{name}.dead-letters"),
    };
    Some(Stream::Kafka {
        topic: name,
        dead_letters,
    })
}

fn topic_name(report: &Report, name: &At<String>) -> Option<String> {
    let (text, place) = name.text()?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !text.is_empty() && text.len() <= 249 && text.chars().all(legal) {
        return Some(text.to_owned());
    }
    report.error_help(
        place,
        Code::Name,
        format!("`{text}` cannot be the name of a topic"),
        "topics are letters, digits, `.`, `_` and `-`, at most 249 of them",
    );
    None
}

type Columns = (Vec<Column>, Vec<(String, DataType)>);

fn columns(report: &Report, raw: &raw::Source) -> Option<Columns> {
    let entries = &raw.columns.value.as_ref()?.0;
    if entries.is_empty() {
        report.error(raw.columns.place, Code::Shape, "a source has columns");
    }
    let mut columns = vec![];
    let mut scope = vec![];
    let (mut names_seen, mut paths_seen) = (vec![], vec![]);
    for (name, declared) in entries {
        let identifier = names::identifier(report, "a column", name);
        let column = column(report, name.value.as_deref().unwrap_or_default(), declared);
        let (Some(identifier), Some(column)) = (identifier, column) else {
            continue;
        };
        let unique = names::unique(report, &mut names_seen, "column", identifier, name.place)
            && names::unique(
                report,
                &mut paths_seen,
                "path",
                &column.name,
                declared.place,
            );
        if unique {
            scope.push((identifier.to_owned(), column.data_type.clone()));
            columns.push(column);
        }
    }
    Some((columns, scope))
}

fn column(report: &Report, name: &str, declared: &At<TextOr<raw::Column>>) -> Option<Column> {
    let place = declared.place;
    let long = match declared.value.as_ref()? {
        TextOr::Text(text) => {
            return Some(Column {
                name: name.to_owned(),
                data_type: scalar::data_type(report, text, place)?,
                time_unit: TimeUnit::Rfc3339,
                nullable: true,
            });
        }
        TextOr::Mapping(long) => long,
    };
    let (text, place) = long.r#type.text()?;
    let data_type = scalar::data_type(report, text, place)?;
    if let Some(unit) = &long.unit
        && data_type != DataType::Timestamp
    {
        report.error_help(
            unit.place,
            Code::Type,
            format!("{data_type} has no unit"),
            "`unit` says what an integer timestamp counts",
        );
        return None;
    }
    let path = match &long.path {
        Some(path) => dotted_path(report, path)?,
        None => name.to_owned(),
    };
    Some(Column {
        name: path,
        data_type,
        time_unit: time_unit(long.unit.as_ref()),
        nullable: long.nullable.as_ref().and_then(|at| at.value) != Some(false),
    })
}

fn dotted_path(report: &Report, path: &At<String>) -> Option<String> {
    let (text, place) = path.text()?;
    if text.split('.').all(|part| !part.trim().is_empty()) {
        return Some(text.to_owned());
    }
    report.error_help(
        place,
        Code::Value,
        format!("`{text}` is not a path"),
        "a path is field names with dots between them, such as `payment.amount`",
    );
    None
}

fn time_unit(unit: Option<&At<raw::Unit>>) -> TimeUnit {
    match unit.and_then(|at| at.value) {
        None => TimeUnit::Rfc3339,
        Some(raw::Unit::S) => TimeUnit::Seconds,
        Some(raw::Unit::Ms) => TimeUnit::Millis,
        Some(raw::Unit::Us) => TimeUnit::Micros,
        Some(raw::Unit::Ns) => TimeUnit::Nanos,
    }
}

fn event_time(report: &Report, raw: &raw::Source, draft: &mut Draft) -> Option<()> {
    let (name, place) = raw.event_time.text()?;
    let index = draft.column(report, name, place)?;
    let column = &mut draft.source.columns[index];
    if column.data_type != DataType::Timestamp {
        report.error_help(
            place,
            Code::Type,
            format!("event time `{name}` is {}", column.data_type),
            "expected a timestamp column; an integer of milliseconds is `{ type: timestamp, unit: ms }`",
        );
        return None;
    }
    column.nullable = false;
    draft.source.event_time = index;
    Some(())
}

fn event_id(report: &Report, raw: &raw::Source, draft: &mut Draft) -> Option<()> {
    let (name, place) = raw.event_id.as_ref()?.text()?;
    let index = draft.column(report, name, place)?;
    let column = &mut draft.source.columns[index];
    if !matches!(column.data_type, DataType::Int64 | DataType::String) {
        report.error_help(
            place,
            Code::Type,
            format!("event id `{name}` is {}", column.data_type),
            "expected a column of type int64 or string",
        );
        return None;
    }
    column.nullable = false;
    draft.source.event_id = Some(index);
    Some(())
}

fn expect(report: &Report, raw: &raw::Expect, draft: &Draft) -> Option<Expect> {
    let check = draft.condition(report, &raw.check)?;
    let otherwise = match raw.otherwise.as_ref().map(|at| at.value) {
        None | Some(Some(raw::Otherwise::Reject)) => Otherwise::Reject,
        Some(Some(raw::Otherwise::Drop)) => Otherwise::Drop,
        Some(Some(raw::Otherwise::Keep)) => Otherwise::Keep,
        Some(None) => return None,
    };
    Some(Expect {
        text: raw.check.value.clone()?,
        check,
        otherwise,
    })
}

/// Lateness, horizons and bounds. What is wrong is reported; the draft is then not used.
fn timing(report: &Report, raw: &raw::Source, source: &mut Source) -> Option<()> {
    const DAY: i64 = 24 * 60 * 60;
    let lateness = raw.allowed_lateness.as_ref();
    let lateness = duration_or(report, lateness, Duration::from_secs(7 * DAY));
    let max_lag = duration_or(report, raw.max_lag.as_ref(), Duration::from_secs(5));
    let max_ahead = max_ahead(report, raw.max_ahead.as_ref());
    let horizon = raw.dedup_horizon.as_ref();
    let horizon = duration_or(report, horizon, lateness.unwrap_or_default());
    let complete_since = complete_since(report, raw.complete_since.as_ref());
    let max_record = scalar::size_or(report, raw.max_record_bytes.as_ref(), 1 << 20);
    source.allowed_lateness = lateness?;
    source.max_lag = max_lag?;
    source.max_ahead = max_ahead?;
    source.complete_since = complete_since?;
    source.max_record_bytes = usize::try_from(max_record?).ok()?;
    source.dedup_horizon = horizon?;
    if let Some(at) = &raw.dedup_horizon
        && source.dedup_horizon < source.allowed_lateness
    {
        report.error_help(
            at.place,
            Code::Value,
            format!(
                "a dedup_horizon of `{}` is less than the allowed_lateness of `{}`",
                source.dedup_horizon, source.allowed_lateness
            ),
            "a copy may come as late as any event",
        );
    }
    Some(())
}

/// The bound, where `none` is no bound.
fn max_ahead(report: &Report, text: Option<&At<String>>) -> Option<Option<Duration>> {
    let Some(at) = text else {
        return Some(Some(Duration::from_secs(600)));
    };
    match at.text()? {
        ("none", _) => Some(None),
        (text, place) => scalar::parse_duration(report, text, place, " or `none`").map(Some),
    }
}

fn complete_since(report: &Report, text: Option<&At<String>>) -> Option<Option<CoveredFrom>> {
    let Some(at) = text else {
        return Some(None);
    };
    let (text, place) = at.text()?;
    if text == "beginning" {
        return Some(Some(CoveredFrom::Beginning));
    }
    let found = scalar::instant(text);
    if found.is_none() {
        report.error_help(
            place,
            Code::Value,
            format!("`{text}` is neither `beginning` nor an instant"),
            "an instant is RFC 3339 with a zone, such as `2018-04-01T00:00:31Z`",
        );
    }
    found.map(|from| Some(CoveredFrom::Instant(from)))
}

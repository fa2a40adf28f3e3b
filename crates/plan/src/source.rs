//! Sources: columns with types, identity, time, and the contract.

use crate::at::{At, TextOr};
use crate::model::{Archive, Expect, Format, Otherwise, Select, Source, Stream};
use crate::report::Report;
use crate::text::Place;
use crate::{Code, changes, columns, format, kafka, names, raw, scalar, timing};
use std::collections::BTreeMap;
use tiderace_expr::{Compiled, Now, compile};
use tiderace_types::{DataType, Duration, SourceId, Value};

/// A source before it is known which of its columns are used.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Its expressions are over all columns; `used` is empty.
    pub(crate) source: Source,
    /// The columns as expressions see them: declared name and type.
    pub(crate) scope: Vec<(String, DataType)>,
    /// Where the columns are declared.
    pub(crate) places: Vec<Place>,
    /// Where the format is, or the source.
    pub(crate) place: Place,
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
    There { registry: bool },
    Missing,
    Unknown,
}

/// Checks a source; `None` when something in it is wrong.
pub(crate) fn check(report: &Report, raw: &raw::Source, kafka: Kafka) -> Option<Draft> {
    let before = report.count();
    let name = names::identifier(report, "a source", &raw.name);
    named(report, name, raw, kafka).filter(|_| report.count() == before)
}

/// Checks a source whose name is checked.
pub(crate) fn named(
    report: &Report,
    name: Option<&str>,
    raw: &raw::Source,
    kafka: Kafka,
) -> Option<Draft> {
    let before = report.count();
    let stream = stream(report, raw, kafka);
    let format = format::check(report, raw, kafka);
    let encoding = format.as_ref().map(|format| format.encoding);
    let (columns, scope, places) = columns::check(report, raw, encoding)?;
    let columns_whole = report.count() == before;
    let mut draft = Draft {
        source: Source {
            id: SourceId(crate::fingerprint::id_of(name.unwrap_or_default())),
            name: name.unwrap_or_default().to_owned(),
            stream: stream.unwrap_or(Stream::Embedded),
            format: format.unwrap_or(Format::JSON),
            select: None,
            names: scope.iter().map(|(name, _)| name.clone()).collect(),
            columns,
            event_time: 0,
            event_id: None,
            allowed_lateness: Duration::ZERO,
            max_ahead: None,
            max_lag: Duration::ZERO,
            continues_past_losses: matches!(
                raw.on_lost_offsets.as_ref().and_then(|at| at.value),
                Some(raw::OnLostOffsets::Continue)
            ),
            dedup_horizon: Duration::ZERO,
            complete_since: None,
            archive: None,
            retracts: None,
            deletes: None,
            expects: vec![],
            max_record_bytes: 0,
            max_text_bytes: 0,
            not_finite_as_null: false,
            used: vec![],
        },
        scope,
        places,
        place: format::place(raw),
    };
    timing::check(report, raw, &mut draft.source);
    draft.source.archive = raw
        .archive
        .as_ref()
        .and_then(|at| archive(report, at, &draft));
    if columns_whole {
        // With a column broken, its name would be reported again wherever it is used.
        event_time(report, raw, &mut draft);
        draft.source.select = raw
            .select
            .as_ref()
            .and_then(|sql| select(report, sql, &draft));
        if draft.source.format.encoding.is_debezium() {
            changes::check(report, raw, &mut draft);
        } else {
            event_id(report, raw, &mut draft);
            let retracts = raw.retract_when.as_ref();
            draft.source.retracts = retracts.and_then(|sql| draft.condition(report, sql));
        }
        draft.source.expects = raw
            .expect
            .iter()
            .filter_map(|at| expect(report, at.value.as_ref()?, &draft))
            .collect();
    }
    (report.count() == before && name.is_some()).then_some(draft)
}

/// Which records are the source's own.
fn select(report: &Report, sql: &At<String>, draft: &Draft) -> Option<Select> {
    let condition = draft.condition(report, sql)?;
    let columns = condition.columns().to_vec();
    if draft.source.format.encoding.is_debezium() {
        let of_row = |column: &&usize| !draft.source.columns[**column].name.starts_with("$.");
        if let Some(column) = columns.iter().find(of_row) {
            report.error_help(
                sql.place,
                Code::Value,
                format!(
                    "`{}` is a column of the row, which an update may change",
                    draft.scope[*column].0
                ),
                "select by the envelope, such as a column with `path: $.source.table`; rows are chosen by a view's `where`",
            );
            return None;
        }
    }
    let places: Vec<usize> = (0..draft.scope.len())
        .map(|column| columns.partition_point(|&held| held < column))
        .collect();
    Some(Select {
        text: sql.value.clone()?,
        condition: condition.remap(&places),
        columns,
    })
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
    let headers = kafka::headers(report, topic)?;
    let dead_letters = match &topic.dead_letters {
        Some(at) => topic_name(report, at)?,
        None => format!("{name}.dead-letters"),
    };
    Some(Stream::Kafka {
        topic: name,
        dead_letters,
        headers,
    })
}

pub(crate) fn topic_name(report: &Report, name: &At<String>) -> Option<String> {
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

fn archive(report: &Report, raw: &At<raw::Archive>, draft: &Draft) -> Option<Archive> {
    let raw = raw.value.as_ref()?;
    let (parquet, place) = raw.parquet.text()?;
    if parquet.is_empty() {
        report.error_help(
            place,
            Code::Value,
            "the archive has no path",
            "expected a folder, such as `data/archive/payments`, or `s3://bucket/prefix`",
        );
        return None;
    }
    let write = raw.write.as_ref().and_then(|at| at.value).unwrap_or(true);
    let retention = raw.retention.as_ref();
    if let Some(at) = retention.filter(|_| !write) {
        report.error_help(
            at.place,
            Code::Value,
            "`retention` of a table that others write",
            "take it away: nothing is deleted from a table with `write: false`",
        );
        return None;
    }
    let mut renamed = BTreeMap::new();
    if let Some(at) = &raw.columns {
        if write {
            report.error_help(
                at.place,
                Code::Value,
                "an archive that is written here has the columns' own names",
                "say `write: false` where others write the table",
            );
            return None;
        }
        for (name, held) in &at.value.as_ref()?.0 {
            let (name, place) = name.text()?;
            draft.column(report, name, place)?;
            renamed.insert(name.to_owned(), held.value.clone()?);
        }
    }
    let interval = raw.flush_interval.as_ref();
    if let Some(at) = interval.filter(|_| !write) {
        report.error_help(
            at.place,
            Code::Value,
            "`flush_interval` of a table that others write",
            "take it away: nothing is written to a table with `write: false`",
        );
        return None;
    }
    if write {
        own_name(report, draft)?;
    }
    let flush_interval = match interval {
        Some(at) => scalar::positive_duration(report, "the flush interval", at)?,
        None => Duration::from_secs(60),
    };
    Some(Archive {
        flush_interval,
        renamed,
        parquet: parquet.to_owned(),
        write,
        retention: match retention {
            Some(at) => Some(scalar::duration_or(report, Some(at), Duration::ZERO)?),
            None => None,
        },
    })
}

/// Refuses a column that is called as what files of an archive are partitioned by.
fn own_name(report: &Report, draft: &Draft) -> Option<()> {
    let mut columns = draft.source.names.iter().zip(&draft.places);
    let Some((name, place)) = columns.find(|(name, _)| *name == Archive::PARTITIONED_BY) else {
        return Some(());
    };
    report.error_help(
        *place,
        Code::Name,
        format!("files of an archive are partitioned by `{name}`: no column can be called so"),
        format!(
            "give it another name, and say where it is in records: `on_{name}: {{ type: …, path: {name} }}`"
        ),
    );
    None
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
    no_default(report, draft, index, "event time")
}

/// What tells events apart cannot be made up for those that lack it.
fn no_default(report: &Report, draft: &Draft, index: usize, what: &str) -> Option<()> {
    if draft.source.columns[index].default == Value::Null {
        return Some(());
    }
    report.error_help(
        draft.places[index],
        Code::Value,
        format!("{what} `{}` has a default", draft.scope[index].0),
        "a record without it is refused; every such record would look alike",
    );
    None
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
    no_default(report, draft, index, "event id")
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

//! Batch views: features that others compute and keep in a table.
//!
//! Such a view and its table are checked as a view over a source are: a row of the table is an event, and
//! each feature is a column of the newest one. So everything behind the plan knows only sources and views.

use crate::at::{At, Entries, TextOr};
use crate::model::{Archive, Entity, Stream, Table, TableMode};
use crate::names::Defined;
use crate::report::Report;
use crate::source::Kafka;
use crate::{Code, names, raw, scalar, source, view};
use std::collections::BTreeMap;
use std::sync::Arc;
use tiderace_types::Duration;

/// How far before the last sync an answer's instant may lie: clocks of those who ask are not ours.
const SLACK: Duration = Duration::from_secs(3600);

/// Checks a batch view; gives its table as a source, and the view over it. `None` when something in it
/// is wrong.
pub(crate) fn check(
    report: &Report,
    raw: &raw::BatchView,
    entities: &Defined<Arc<Entity>>,
    kafka: Kafka,
) -> Option<(source::Draft, view::Draft)> {
    let before = report.count();
    let name = names::versioned(report, "a feature view", &raw.name)?;
    let batch = raw.batch.value.as_ref()?;
    let (entity, place) = raw.entity.text()?;
    let entity = entities.find(report, entity, place)?;
    let table = table(report, batch);
    let columns = columns(report, raw, batch, entity)?;
    let mut source = source::named(report, Some(name), &source_of(raw, batch, &columns), kafka)?;
    have_types(report, raw, &source);
    let refresh = table.as_ref().and_then(|table| table.refresh);
    let max_lag = match &batch.max_lag {
        Some(at) => scalar::positive_duration(report, "max_lag", at),
        // Who syncs by hand knows when.
        None => Some(refresh.map_or(Duration::MAX, |refresh| refresh.plus(refresh))),
    };
    let deletes = match &batch.deleted_when {
        Some(sql) => Some(source.condition(report, sql)?),
        // Of an entity that left the table: no row of it says so.
        None if table.as_ref().map(|table| table.mode) == Some(TableMode::Snapshot) => {
            let never = text("false", raw.batch.place);
            Some(source.condition(report, &never)?)
        }
        None => None,
    };
    let parquet = path(report, &batch.parquet);
    if report.count() > before {
        return None;
    }
    source.place = batch.parquet.place;
    source.source.stream = Stream::Table(table?);
    source.source.archive = Some(Archive {
        parquet: parquet?,
        write: false,
        retention: None,
        flush_interval: Duration::from_secs(60),
        renamed: columns.renamed,
    });
    source.source.deletes = deletes;
    source.source.max_lag = max_lag?;
    source.source.allowed_lateness = SLACK;
    source.source.dedup_horizon = Duration::ZERO;
    source.source.max_ahead = None;
    let mut tables = Defined::new("source");
    tables.define(name, source);
    let view = view::check(report, &view_of(raw, batch), entities, &tables, kafka)?;
    Some((tables.into_values().pop()?, view))
}

fn table(report: &Report, batch: &raw::Batch) -> Option<Table> {
    let mode = match batch.mode.as_ref().map(|at| at.value) {
        None | Some(Some(raw::BatchMode::Partitions)) => TableMode::Partitions,
        Some(Some(raw::BatchMode::Snapshot)) => TableMode::Snapshot,
        Some(None) => return None,
    };
    let refresh = match &batch.refresh {
        None => None,
        Some(at) => Some(scalar::positive_duration(report, "refresh", at)?),
    };
    Some(Table {
        mode,
        refresh,
        query: None,
    })
}

fn path(report: &Report, parquet: &At<String>) -> Option<String> {
    let (text, place) = parquet.text()?;
    if text.is_empty() {
        report.error_help(
            place,
            Code::Value,
            "the table has no path",
            "expected a folder, such as `data/customer_profile`, or `s3://bucket/prefix`",
        );
        return None;
    }
    Some(text.to_owned())
}

/// The columns that a view has of its table, and what the table calls them.
struct Columns {
    declared: Vec<(At<String>, At<TextOr<raw::Column>>)>,
    renamed: BTreeMap<String, String>,
}

impl Columns {
    fn has(&self, name: &str) -> bool {
        let mut names = self.declared.iter().map(|(name, _)| name.value.as_deref());
        names.any(|held| held == Some(name))
    }

    /// Adds a column, where there is none of its name.
    fn add(&mut self, name: &At<String>, data_type: At<String>) {
        if name.value.as_deref().is_some_and(|name| !self.has(name)) {
            let declared = At {
                value: data_type.value.map(TextOr::Text),
                place: data_type.place,
            };
            self.declared.push((name.clone(), declared));
        }
    }

    /// Notes that the table calls a column otherwise.
    fn rename(&mut self, name: &str, held: &str) {
        if name != held {
            self.renamed.insert(name.to_owned(), held.to_owned());
        }
    }
}

fn columns(
    report: &Report,
    raw: &raw::BatchView,
    batch: &raw::Batch,
    entity: &Entity,
) -> Option<Columns> {
    let declared = batch.columns.as_ref().and_then(|at| at.value.clone());
    let mut columns = Columns {
        declared: declared.unwrap_or_default().0,
        renamed: BTreeMap::new(),
    };
    for (name, column) in columns.declared.clone() {
        if let Some(TextOr::Mapping(column)) = &column.value
            && let Some(((name, _), (path, _))) =
                name.text().zip(column.path.as_ref().and_then(At::text))
        {
            columns.rename(name, path);
        }
    }
    columns.add(&batch.event_time, text("timestamp", batch.event_time.place));
    for (key, data_type) in &entity.keys {
        let name = text(key, raw.entity.place);
        columns.add(&name, text(&data_type.to_string(), raw.entity.place));
        let mapping = raw.keys.as_ref().and_then(|at| at.value.as_ref());
        let mapped = mapping.and_then(|mapping| {
            let mut entries = mapping.0.iter();
            entries.find(|(name, _)| name.value.as_deref() == Some(key))
        });
        if let Some((held, _)) = mapped.and_then(|(_, held)| held.text()) {
            columns.rename(key, held);
        }
    }
    for (key, _) in raw.keys.iter().flat_map(|at| &at.value).flat_map(|m| &m.0) {
        if let Some((name, place)) = key.text()
            && !entity.keys.iter().any(|(held, _)| held == name)
        {
            let all = || entity.keys.iter().map(|(name, _)| name.as_str());
            report.error_help(
                place,
                Code::Unknown,
                names::unknown("key", name, all()),
                format!("entity `{}` has {}", entity.name, names::listed(all())),
            );
        }
    }
    for feature in raw.features.value.as_ref()? {
        let feature = feature.value.as_ref()?;
        let (name, place) = feature.name.text()?;
        let held = feature.column.as_ref().and_then(At::text);
        let is_other = held.is_some_and(|(held, _)| held != name);
        if is_other && columns.has(name) {
            report.error_help(
                place,
                Code::Duplicate,
                format!("the view has another column `{name}` already"),
                "give the feature another name, or take its `column` away if it is that one",
            );
            return None;
        }
        columns.add(&feature.name, feature.r#type.clone());
        if let Some((held, _)) = held {
            columns.rename(name, held);
        }
    }
    Some(columns)
}

/// A feature that is a column declared otherwise has that column's type.
fn have_types(report: &Report, raw: &raw::BatchView, source: &source::Draft) {
    let features = raw.features.value.iter().flatten();
    for feature in features.filter_map(|at| at.value.as_ref()) {
        let (Some((name, _)), Some((written, place))) =
            (feature.name.text(), feature.r#type.text())
        else {
            continue;
        };
        let declared = source.scope.iter().find(|(held, _)| held == name);
        let of_feature = declared.and_then(|_| scalar::data_type(report, written, place));
        if let Some(((_, declared), of_feature)) = declared.zip(of_feature)
            && *declared != of_feature
        {
            report.error_help(
                place,
                Code::Type,
                format!("column `{name}` is {declared}, and the feature is {of_feature}"),
                "give both the same type",
            );
        }
    }
}

/// The table in the words of a source.
fn source_of(raw: &raw::BatchView, batch: &raw::Batch, columns: &Columns) -> raw::Source {
    raw::Source {
        name: raw.name.clone(),
        stream: None,
        archive: None,
        columns: At {
            value: Some(Entries(columns.declared.clone())),
            place: raw.batch.place,
        },
        event_time: batch.event_time.clone(),
        event_id: None,
        allowed_lateness: None,
        max_ahead: None,
        max_lag: None,
        dedup_horizon: None,
        complete_since: None,
        select: None,
        on_lost_offsets: None,
        retract_when: None,
        expect: vec![],
        max_record_bytes: None,
        max_text_bytes: None,
        not_finite: None,
        description: None,
        owner: None,
    }
}

/// The view in the words of one over a source: each feature is of the last event.
fn view_of(raw: &raw::BatchView, batch: &raw::Batch) -> raw::FeatureView {
    let deleted = batch.deleted_when.as_ref();
    let deleted = deleted.and_then(|at| at.value.as_deref());
    let features = raw.features.value.as_ref().map(|features| {
        let features = features.iter().map(|at| At {
            value: at.value.as_ref().map(|feature| last(feature, deleted)),
            place: at.place,
        });
        features.collect()
    });
    raw::FeatureView {
        name: raw.name.clone(),
        entity: raw.entity.clone(),
        source: raw.name.clone(),
        keys: None,
        r#where: None,
        history: raw.history.clone(),
        max_age: raw.max_age.clone(),
        row_max: raw.row_max.clone(),
        features: At {
            value: features,
            place: raw.features.place,
        },
        output: raw.output.clone(),
        description: raw.description.clone(),
        owner: raw.owner.clone(),
    }
}

fn last(feature: &raw::BatchFeature, deleted: Option<&str>) -> raw::Feature {
    let place = feature.name.place;
    let column = feature.name.value.as_deref().unwrap_or_default();
    let of = match deleted {
        Some(deleted) => format!("CASE WHEN ({deleted}) THEN NULL ELSE \"{column}\" END"),
        None => format!("\"{column}\""),
    };
    raw::Feature {
        name: feature.name.clone(),
        aggregate: At {
            value: Some(raw::Aggregate::Last),
            place,
        },
        of: Some(text(&of, place)),
        by: None,
        n: None,
        k: None,
        cap: None,
        q: None,
        half_life: None,
        per: None,
        distinct: None,
        r#where: None,
        windows: At {
            value: Some(vec![At {
                value: Some(TextOr::Text("last 1".to_owned())),
                place,
            }]),
            place,
        },
        delay: None,
        r#as: Some(feature.name.clone()),
        default: feature.default.clone(),
        description: None,
    }
}

fn text(text: &str, place: crate::text::Place) -> At<String> {
    At {
        value: Some(text.to_owned()),
        place,
    }
}

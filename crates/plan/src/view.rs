//! Feature views: the entity's keys in the source, which events belong, and the features.

use crate::at::At;
use crate::feature::{self, Feature};
use crate::model::{Entity, Feed};
use crate::names::Defined;
use crate::report::Report;
use crate::row_max::{self, RowMax};
use crate::source::Kafka;
use crate::text::Place;
use crate::{Code, feed, names, raw, scalar, source, window};
use std::sync::Arc;
use tiderace_expr::Compiled;
use tiderace_types::{DataType, Duration};

/// A view whose expressions are over all of its source's columns.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) entity: Arc<Entity>,
    /// The source's name.
    pub(crate) source: String,
    /// The entity's keys, as indices of the source's columns.
    pub(crate) keys: Vec<usize>,
    pub(crate) condition: Option<Compiled>,
    pub(crate) features: Vec<Feature>,
    pub(crate) history: Option<Duration>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) row_max: RowMax,
    /// The topic of its values, and where that is named.
    pub(crate) feed: Option<(Feed, Place)>,
    pub(crate) description: Option<String>,
    pub(crate) owner: Option<String>,
}

impl Draft {
    /// Every expression of the view.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Compiled> {
        let of_features = self
            .features
            .iter()
            .flat_map(|feature| [&feature.of, &feature.by, &feature.filter]);
        std::iter::once(&self.condition)
            .chain(of_features)
            .flatten()
    }
}

/// Checks a view; `None` when something in it, or what it refers to, is wrong.
pub(crate) fn check(
    report: &Report,
    raw: &raw::FeatureView,
    entities: &Defined<Arc<Entity>>,
    sources: &Defined<source::Draft>,
    kafka: Kafka,
) -> Option<Draft> {
    let before = report.count();
    let name = names::versioned(report, "a feature view", &raw.name);
    let entity = raw.entity.text();
    let entity = entity.and_then(|(name, place)| entities.find(report, name, place));
    let source = raw.source.text();
    let source = source.and_then(|(name, place)| sources.find(report, name, place));
    let keys = match (entity, source) {
        (Some(entity), Some(source)) => keys(report, raw, entity, source),
        _ => None,
    };
    let condition = raw.r#where.as_ref();
    let condition = condition.and_then(|sql| source?.condition(report, sql));
    let history = history(report, raw.history.as_ref());
    let max_age = max_age(report, raw);
    let row_max = row_max::read(report, raw);
    let features = features(report, raw, source);
    let feed = feed::check(report, raw, kafka, features.as_deref().unwrap_or_default());
    let windows = features.iter().flatten().flat_map(|f| &f.windows);
    for (_, named) in windows {
        window::bounded(report, named, history == Some(None));
    }
    if report.count() > before {
        return None;
    }
    Some(Draft {
        name: name?.to_owned(),
        entity: Arc::clone(entity?),
        source: source?.source.name.clone(),
        keys: keys?,
        condition,
        features: features?,
        history: history?,
        max_age,
        row_max: row_max?,
        feed,
        description: raw.description.as_ref().and_then(|at| at.value.clone()),
        owner: raw.owner.as_ref().and_then(|at| at.value.clone()),
    })
}

/// Where the source has the entity's keys.
fn keys(
    report: &Report,
    raw: &raw::FeatureView,
    entity: &Entity,
    source: &source::Draft,
) -> Option<Vec<usize>> {
    let mapping = raw.keys.as_ref().and_then(|at| at.value.as_ref());
    let entries = mapping.map_or(&[][..], |entries| entries.0.as_slice());
    for (key, _) in entries {
        if let Some((text, place)) = key.text()
            && !entity.keys.iter().any(|(name, _)| name == text)
        {
            let all = || entity.keys.iter().map(|(name, _)| name.as_str());
            report.error_help(
                place,
                Code::Unknown,
                names::unknown("key", text, all()),
                format!("entity `{}` has {}", entity.name, names::listed(all())),
            );
        }
    }
    let found: Vec<Option<usize>> = entity
        .keys
        .iter()
        .map(|(key, data_type)| {
            let mapped = entries
                .iter()
                .find(|(name, _)| name.value.as_deref() == Some(key))
                .map(|(_, column)| column);
            key_column(report, raw, mapped, key, data_type, source)
        })
        .collect();
    found.into_iter().collect()
}

fn key_column(
    report: &Report,
    raw: &raw::FeatureView,
    mapped: Option<&At<String>>,
    key: &str,
    data_type: &DataType,
    source: &source::Draft,
) -> Option<usize> {
    let (column, place) = match mapped {
        Some(at) => at.text()?,
        None => (key, raw.entity.place),
    };
    let found = source.scope.iter().position(|(name, _)| name == column);
    let Some(index) = found else {
        let all = || source.scope.iter().map(|(name, _)| name.as_str());
        let message = match mapped {
            Some(_) => names::unknown("column", column, all()),
            None => format!(
                "source `{}` has no column for the key `{key}`",
                source.source.name
            ),
        };
        report.error_help(
            place,
            Code::Unknown,
            message,
            format!(
                "say which column it is, `keys: {{ {key}: … }}`: the source has {}",
                names::listed(all())
            ),
        );
        return None;
    };
    let found = &source.scope[index].1;
    if found == data_type {
        return Some(index);
    }
    report.error_help(
        place,
        Code::Type,
        format!(
            "the key `{key}` is {data_type}, but column `{column}` of source `{}` is {found}",
            source.source.name
        ),
        "give both the same type",
    );
    None
}

/// How far back `as_of` stays exact; the inner `None` is `all`.
fn history(report: &Report, text: Option<&At<String>>) -> Option<Option<Duration>> {
    let Some(at) = text else {
        return Some(Some(Duration::ZERO));
    };
    match at.text()? {
        ("all", _) => Some(None),
        (text, place) => scalar::duration_or_word(report, text, place, "all").map(Some),
    }
}

fn max_age(report: &Report, raw: &raw::FeatureView) -> Option<Duration> {
    let at = raw.max_age.as_ref()?;
    scalar::positive_duration(report, "max_age", at)
}

/// The features; every wrong one is reported, and names given twice.
fn features(
    report: &Report,
    raw: &raw::FeatureView,
    source: Option<&source::Draft>,
) -> Option<Vec<Feature>> {
    let written = raw.features.value.as_ref()?;
    if written.is_empty() {
        report.error(
            raw.features.place,
            Code::Shape,
            "a feature view has at least one feature",
        );
    }
    let (mut feature_names, mut output_names) = (vec![], vec![]);
    let mut features = vec![];
    for at in written {
        let Some(raw) = at.value.as_ref() else {
            continue;
        };
        let name = raw.name.text();
        let fresh = name.is_none_or(|(name, place)| {
            names::unique(report, &mut feature_names, "feature", name, place)
        });
        let Some(feature) = feature::check(report, raw, source) else {
            continue;
        };
        if fresh {
            for (output, window) in &feature.windows {
                names::unique(report, &mut output_names, "output", output, window.place);
            }
        }
        features.push(feature);
    }
    let retracts = source.is_some_and(|source| source.source.retracts.is_some());
    too_many_filters(report, &features, 64 - usize::from(retracts));
    Some(features)
}

/// A row keeps one bit per filter and event, and 64 bits; retractions take one of them.
fn too_many_filters(report: &Report, features: &[Feature], most: usize) {
    let mut seen: Vec<&str> = vec![];
    for feature in features {
        let Some(filter) = &feature.filter else {
            continue;
        };
        if !seen.contains(&filter.canonical()) {
            seen.push(filter.canonical());
            if seen.len() == most + 1 {
                report.error_help(
                    feature.place,
                    Code::Value,
                    format!("more than {most} different `where` in one view"),
                    "split the view in two",
                );
            }
        }
    }
}

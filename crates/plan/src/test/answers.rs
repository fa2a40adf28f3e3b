//! The questions of a test, and what is expected of the answers.

use super::{Subject, named, wrong_value};
use crate::at::At;
use crate::model::{Ask, Expectation, FeatureRef, Service};
use crate::report::Report;
use crate::seal::Sealed;
use crate::text::Place;
use crate::{Code, names, raw, scalar};
use serde_json::{Map, Value as Json};
use tiderace_types::{DataType, TimeUnit, Value};

/// The statuses of values, as answers in JSON name them.
const STATUSES: [&str; 7] = [
    "PRESENT",
    "NULL",
    "NOT_FOUND",
    "OUTSIDE_MAX_AGE",
    "OUTSIDE_HISTORY",
    "UNAVAILABLE",
    "ERROR",
];

/// What is said of values that are there, as answers in JSON name it.
const COMPLETENESS: [&str; 4] = ["COMPLETE", "WARMING", "STALE", "APPROXIMATE"];

/// What may be said of a value.
const FACETS: [&str; 4] = ["value", "tolerance", "status", "completeness"];

/// The columns of an answer.
pub(super) struct Columns(Vec<Column>);

struct Column {
    name: String,
    data_type: DataType,
    feature: Option<FeatureRef>,
}

impl Columns {
    /// Those of a view, in the order of its outputs.
    pub(super) fn of_view(view: usize, sealed: &Sealed) -> Columns {
        let outputs = sealed.view.spec.outputs.iter().enumerate();
        let columns = outputs.map(|(output, held)| Column {
            name: held.name.clone(),
            data_type: held.data_type.clone(),
            feature: Some(FeatureRef { view, output }),
        });
        Columns(columns.collect())
    }

    /// Those of a service, as answers name them: short where no two are the same.
    pub(super) fn of_service(service: &Service, sealed: &[Sealed]) -> Columns {
        let output = |of: &FeatureRef| &sealed[of.view].view.spec.outputs[of.output];
        let features = service.features.iter().map(|of| (output(of), Some(*of)));
        let mut columns: Vec<Column> = features
            .map(|(output, feature)| Column {
                name: output.name.clone(),
                data_type: output.data_type.clone(),
                feature,
            })
            .collect();
        columns.extend(service.on_demand.iter().map(|on_demand| Column {
            name: on_demand.name.clone(),
            data_type: on_demand.data_type.clone(),
            feature: None,
        }));
        let short: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        for column in &mut columns {
            if let Some(of) = column.feature
                && short.iter().filter(|name| **name == column.name).count() > 1
            {
                column.name = format!("{}__{}", sealed[of.view].view.name, column.name);
            }
        }
        Columns(columns)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|column| column.name.as_str())
    }
}

/// One question.
pub(super) fn ask(report: &Report, at: &At<raw::Ask>, subject: &Subject) -> Option<Ask> {
    let raw = at.value.as_ref()?;
    let before = report.count();
    let instant = scalar::instant_at(report, &raw.at);
    let as_of = raw.as_of.as_ref();
    let as_of = as_of.map(|at| scalar::instant_at(report, at));
    let entity = named(report, "key", &subject.what, &raw.entity, &subject.keys);
    let request = match &raw.request {
        Some(at) if subject.request.is_empty() => {
            let message = format!("{} takes no request data", subject.what);
            let help = "on-demand features are asked of a `service:` that has them";
            report.error_help(at.place, Code::Shape, message, help);
            None
        }
        Some(at) => named(report, "request data", &subject.what, at, &subject.request),
        None if !subject.request.is_empty() => {
            let names = subject.request.iter().map(|(name, _)| name.as_str());
            let message = "the question has no `request`".to_owned();
            let help = format!("{} is given {}", subject.what, names::listed(names));
            report.error_help(raw.at.place, Code::Shape, message, help);
            None
        }
        None => Some(vec![]),
    };
    let entries = raw.expect.value.iter().flat_map(|entries| &entries.0);
    let expect = entries.filter_map(|(key, value)| expectation(report, key, value, subject));
    let expect: Vec<Expectation> = expect.collect();
    if report.count() == before && expect.is_empty() {
        report.error(
            raw.expect.place,
            Code::Shape,
            "the question expects nothing",
        );
    }
    (report.count() == before).then_some(())?;
    Some(Ask {
        place: at.place,
        at: instant?,
        as_of: as_of.flatten(),
        entity: entity?,
        request: request?,
        expect,
    })
}

fn expectation(
    report: &Report,
    key: &At<String>,
    value: &At<Json>,
    subject: &Subject,
) -> Option<Expectation> {
    let (name, place) = key.text()?;
    let json = value.value.as_ref()?;
    let mut columns = subject.columns.0.iter().enumerate();
    let Some((index, column)) = columns.find(|(_, column)| column.name == name) else {
        let all = || subject.columns.names();
        report.error_help(
            place,
            Code::Unknown,
            names::unknown("feature", name, all()),
            format!("{} has {}", subject.what, names::listed(all())),
        );
        return None;
    };
    let mut expectation = Expectation {
        place,
        name: name.to_owned(),
        column: index,
        feature: column.feature,
        value: None,
        tolerance: None,
        status: None,
        completeness: None,
    };
    match json {
        Json::Object(facets) if is_long(facets, &column.data_type) => {
            long(report, &mut expectation, facets, value.place, column)?;
        }
        _ => expectation.value = Some(read(report, value, name, json, &column.data_type)?),
    }
    Some(expectation)
}

/// Tells whether a mapping says things of a value, or is one.
fn is_long(facets: &Map<String, Json>, data_type: &DataType) -> bool {
    let is_map = matches!(data_type, DataType::Map(..));
    !is_map || !facets.is_empty() && facets.keys().all(|key| FACETS.contains(&key.as_str()))
}

fn long(
    report: &Report,
    expectation: &mut Expectation,
    facets: &Map<String, Json>,
    place: Place,
    column: &Column,
) -> Option<()> {
    let before = report.count();
    for (facet, json) in facets {
        let at = At {
            value: Some(json.clone()),
            place,
        };
        match facet.as_str() {
            "value" => {
                let name = &expectation.name;
                expectation.value = read(report, &at, name, json, &column.data_type);
            }
            "tolerance" => {
                let number = matches!(
                    column.data_type,
                    DataType::Int64 | DataType::Float64 | DataType::Decimal { .. }
                );
                match json.as_f64().filter(|far| number && *far >= 0.0) {
                    Some(far) => expectation.tolerance = Some(far),
                    None if !number => report.error(
                        place,
                        Code::Value,
                        format!(
                            "`{}` is {}: only numbers have a tolerance",
                            column.name, column.data_type
                        ),
                    ),
                    None => wrong_value(report, &at, "tolerance", "a number from 0 up"),
                }
            }
            "status" => {
                expectation.status = word(report, &at, "status", &STATUSES);
            }
            "completeness" => {
                let words = json.as_str().unwrap_or_default().split('|');
                let words = words.map(|text| {
                    let at = At {
                        value: Some(Json::String(text.trim().to_owned())),
                        place,
                    };
                    word(report, &at, "completeness", &COMPLETENESS)
                });
                let words: Option<Vec<_>> = words.collect();
                expectation.completeness = words.map(|mut words| {
                    words.sort_by_key(|word| COMPLETENESS.iter().position(|held| held == word));
                    words
                });
            }
            other => report.error_help(
                place,
                Code::UnknownKey,
                names::unknown("key", other, FACETS),
                format!("of a value may be said {}", names::listed(FACETS)),
            ),
        }
    }
    if report.count() == before && facets.is_empty() {
        report.error(place, Code::Shape, "nothing is expected of the value");
    }
    (report.count() == before).then_some(())
}

fn word(
    report: &Report,
    at: &At<Json>,
    what: &str,
    words: &[&'static str],
) -> Option<&'static str> {
    let Some(Json::String(text)) = &at.value else {
        wrong_value(report, at, what, "a word");
        return None;
    };
    let found = words.iter().find(|word| *word == text).copied();
    if found.is_none() {
        report.error_help(
            at.place,
            Code::Value,
            names::unknown(what, text, words.iter().copied()),
            format!("expected one of {}", names::listed(words.iter().copied())),
        );
    }
    found
}

fn read(
    report: &Report,
    at: &At<Json>,
    name: &str,
    json: &Json,
    data_type: &DataType,
) -> Option<Value> {
    let found = scalar::value(json, data_type, TimeUnit::Rfc3339);
    if found.is_none() {
        wrong_value(report, at, name, &data_type.to_string());
    }
    found
}

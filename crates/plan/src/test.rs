//! `kind: test` documents: names and columns that exist, values of their types.

mod answers;
mod events;

use crate::at::{At, Entries};
use crate::model::{Asked, Given, Letter, Service, Test};
use crate::names::Defined;
use crate::report::Report;
use crate::seal::Sealed;
use crate::service::Views;
use crate::text::Place;
use crate::{Code, names, raw, scalar, source};
use answers::Columns;
use serde_json::Value as Json;
use std::sync::Arc;
use tiderace_types::{CoveredFrom, DataType, Reason};

/// What the other documents define.
pub(crate) struct Known<'a> {
    pub(crate) views: &'a Views<'a>,
    pub(crate) services: &'a Defined<Arc<Service>>,
    pub(crate) sources: &'a Defined<source::Draft>,
}

/// What a test asks, and all that this leads to.
struct Subject<'a> {
    asked: Asked,
    /// "view `x`" or "service `x`", for messages.
    what: String,
    columns: Columns,
    /// The keys of the entities.
    keys: Vec<(String, DataType)>,
    /// What callers send.
    request: Vec<(String, DataType)>,
    /// The sources that its events may be of.
    sources: Vec<&'a source::Draft>,
}

/// Checks a test; `None` when something in it, or what it refers to, is wrong.
pub(crate) fn check(report: &Report, raw: &raw::Test, known: &Known) -> Option<Test> {
    let before = report.count();
    let covered_from = covered_from(report, raw.complete_since.as_ref());
    let subject = subject(report, raw, known)?;
    let files = raw.files.iter().filter_map(|at| at.value.as_ref());
    let files = files.flatten();
    let files = files.filter_map(|file| events::file(report, file, &subject));
    let files = files.collect();
    let events = raw.events.iter().filter_map(|at| at.value.as_ref());
    let events = events.flatten();
    let events = events.filter_map(|event| events::event(report, event, &subject));
    let events = events.collect();
    let asks = raw.asks.iter().filter_map(|at| at.value.as_ref()).flatten();
    let asks = asks.filter_map(|ask| answers::ask(report, ask, &subject));
    let asks: Vec<_> = asks.collect();
    let letters = raw.dead_letters.iter().filter_map(|at| at.value.as_ref());
    let letters = letters.flatten().filter_map(|at| letter(report, at));
    let letters: Vec<Letter> = letters.collect();
    if report.count() == before && asks.is_empty() && letters.is_empty() {
        let message = "the test expects nothing";
        let help = "give `asks:` with what is expected, or `dead_letters:` with what is refused";
        report.error_help(raw.name.place, Code::Shape, message, help);
    }
    (report.count() == before).then_some(())?;
    Some(Test {
        name: raw.name.value.clone()?,
        place: raw.name.place,
        asked: subject.asked,
        covered_from: covered_from?,
        files,
        events,
        asks,
        letters,
    })
}

fn subject<'a>(report: &Report, raw: &raw::Test, known: &Known<'a>) -> Option<Subject<'a>> {
    match (&raw.view, &raw.service) {
        (Some(view), None) => {
            let (name, place) = view.text()?;
            let view = *known.views.by_name.find(report, name, place)?;
            of_views(report, known, &[view], place).map(|sources| {
                let sealed = &known.views.sealed[view];
                Subject {
                    asked: Asked::View(name.to_owned()),
                    what: format!("view `{name}`"),
                    columns: Columns::of_view(view, sealed),
                    keys: sealed.view.entity.keys.clone(),
                    request: vec![],
                    sources,
                }
            })
        }
        (None, Some(service)) => {
            let (name, place) = service.text()?;
            let service = known.services.find(report, name, place)?;
            let mut views: Vec<usize> = service.features.iter().map(|f| f.view).collect();
            views.sort_unstable();
            views.dedup();
            let mut keys: Vec<(String, DataType)> = vec![];
            for view in &views {
                let entity = &known.views.sealed[*view].view.entity;
                for key in &entity.keys {
                    if !keys.contains(key) {
                        keys.push(key.clone());
                    }
                }
            }
            let request = service.request.iter();
            let request = request.map(|(name, of)| (name.clone(), of.clone()));
            let request = request.collect();
            of_views(report, known, &views, place).map(|sources| Subject {
                asked: Asked::Service(name.to_owned()),
                what: format!("service `{name}`"),
                columns: Columns::of_service(service, known.views.sealed),
                keys,
                request,
                sources,
            })
        }
        (given, _) => {
            let message = match given {
                Some(_) => "a test asks a `view` or a `service`, not both",
                None => "the test does not say what it asks",
            };
            let help = "give `view:` for the features of one view, or `service:` with its on-demand features";
            report.error_help(raw.name.place, Code::Shape, message, help);
            None
        }
    }
}

/// The sources whose records reach some of the views.
fn of_views<'a>(
    report: &Report,
    known: &Known<'a>,
    views: &[usize],
    place: Place,
) -> Option<Vec<&'a source::Draft>> {
    let mut sources: Vec<&source::Draft> = vec![];
    for view in views {
        let sealed: &Sealed = &known.views.sealed[*view];
        let source = &sealed.view.source;
        if source.table().is_some() {
            continue;
        }
        let draft = known.sources.find(report, &source.name, place)?;
        if !sources.iter().any(|held| held.source.id == source.id) {
            sources.push(draft);
        }
    }
    if sources.is_empty() {
        report.error_help(
            place,
            Code::Value,
            "a batch view has no events to test it by",
            "its values are the columns of its table: test the views that are computed",
        );
        return None;
    }
    Some(sources)
}

fn covered_from(report: &Report, text: Option<&At<String>>) -> Option<CoveredFrom> {
    match text {
        None => Some(CoveredFrom::Beginning),
        Some(at) if at.value.as_deref() == Some("beginning") => Some(CoveredFrom::Beginning),
        Some(at) => scalar::instant_at(report, at).map(CoveredFrom::Instant),
    }
}

fn letter(report: &Report, at: &At<raw::Letter>) -> Option<Letter> {
    let raw = at.value.as_ref()?;
    let (text, place) = raw.reason.text()?;
    let event = events::record(raw.event.value.as_ref()?);
    let Some(reason) = Reason::ALL.into_iter().find(|held| held.name() == text) else {
        let all = || Reason::ALL.iter().map(|reason| reason.name());
        report.error_help(
            place,
            Code::Unknown,
            names::unknown("reason", text, all()),
            format!("the reasons are {}", names::listed(all())),
        );
        return None;
    };
    Some(Letter {
        place,
        reason,
        event,
    })
}

/// The values of a mapping by the names that are known; what is not is reported, and what is missing.
fn named(
    report: &Report,
    what: &str,
    of: &str,
    at: &At<Entries<Json>>,
    known: &[(String, DataType)],
) -> Option<Vec<Given>> {
    let entries = &at.value.as_ref()?.0;
    let before = report.count();
    for (key, _) in entries {
        if let Some((name, place)) = key.text()
            && !known.iter().any(|(held, _)| held == name)
        {
            let all = || known.iter().map(|(name, _)| name.as_str());
            report.error_help(
                place,
                Code::Unknown,
                names::unknown(what, name, all()),
                format!("{of} has {}", names::listed(all())),
            );
        }
    }
    if report.count() > before {
        // A misspelt key would be reported again as a missing one.
        return None;
    }
    let mut values = vec![];
    for (name, data_type) in known {
        let mut given = entries.iter();
        let given = given.find(|(key, _)| key.value.as_ref() == Some(name));
        let Some((_, value)) = given else {
            let message = format!("the {what} `{name}` is missing");
            report.error(at.place, Code::Shape, message);
            continue;
        };
        let json = value.value.as_ref()?;
        match scalar::value(json, data_type, tiderace_types::TimeUnit::Rfc3339) {
            Some(found) if !(found.is_null() && what == "key") => {
                values.push(Given {
                    name: name.clone(),
                    json: json.clone(),
                    value: found,
                });
            }
            _ => wrong_value(report, value, name, &data_type.to_string()),
        }
    }
    (report.count() == before).then_some(values)
}

fn wrong_value(report: &Report, value: &At<Json>, name: &str, expected: &str) {
    let found = value.value.as_ref().unwrap_or(&Json::Null);
    report.error(
        value.place,
        Code::Type,
        format!("`{name}` is {expected}, which `{found}` is not"),
    );
}

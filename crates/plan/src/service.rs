//! Feature services: references to outputs, and what is computed when asked.

use crate::model::{FeatureRef, OnDemand, Service};
use crate::names::Defined;
use crate::report::Report;
use crate::seal::Sealed;
use crate::source::expression;
use crate::text::Place;
use crate::{Code, names, raw, scalar};
use std::collections::BTreeMap;
use tiderace_expr::Now;
use tiderace_types::DataType;

/// The finished views, and what is known of the broken ones.
pub(crate) struct Views<'a> {
    /// In the order of the plan.
    pub(crate) sealed: &'a [Sealed],
    /// Every name that is defined, with its place in `sealed` unless it is broken.
    pub(crate) by_name: &'a Defined<usize>,
}

/// Checks a service; `None` when something in it, or what it refers to, is wrong.
pub(crate) fn check(report: &Report, raw: &raw::FeatureService, views: &Views) -> Option<Service> {
    let before = report.count();
    let name = names::identifier(report, "a feature service", &raw.name);
    let features = features(report, raw, views);
    let request = request(report, raw);
    // A feature that is broken would be reported again by each expression that names it.
    let on_demand = features
        .as_ref()
        .map(|features| on_demand(report, raw, views, features, &request));
    if report.count() > before {
        return None;
    }
    Some(Service {
        name: name?.to_owned(),
        features: features?,
        on_demand: on_demand?,
        request,
        description: raw.description.as_ref().and_then(|at| at.value.clone()),
    })
}

/// The outputs that are referred to, in order, once each; `None` when some reference is broken.
fn features(report: &Report, raw: &raw::FeatureService, views: &Views) -> Option<Vec<FeatureRef>> {
    let written = raw.features.value.as_ref()?;
    if written.is_empty() && raw.on_demand.is_empty() {
        report.error(
            raw.features.place,
            Code::Shape,
            "a feature service has at least one feature",
        );
    }
    let mut whole = true;
    let mut seen = vec![];
    let mut features: Vec<FeatureRef> = vec![];
    for at in written {
        let Some((text, place)) = at.text() else {
            whole = false;
            continue;
        };
        names::unique(report, &mut seen, "reference", text, place);
        match resolve(report, text, place, views) {
            Some(found) => {
                for feature in found {
                    if !features.contains(&feature) {
                        features.push(feature);
                    }
                }
            }
            None => whole = false,
        }
    }
    whole.then_some(features)
}

/// `view:*`, `view:feature` or `view:output`.
fn resolve(report: &Report, text: &str, place: Place, views: &Views) -> Option<Vec<FeatureRef>> {
    let Some((view_name, feature)) = text.split_once(':') else {
        let mut owners = views.sealed.iter().filter(|sealed| sealed.has(text));
        let message = match owners.next() {
            Some(owner) => format!(
                "`{text}` is not a reference; did you mean `{}:{text}`?",
                owner.view.name
            ),
            None => format!("`{text}` is not a reference"),
        };
        report.error_help(
            place,
            Code::Value,
            message,
            "expected `view:feature`, `view:output` or `view:*`",
        );
        return None;
    };
    let (view_name, feature) = (view_name.trim(), feature.trim());
    let view = *views.by_name.find(report, view_name, place)?;
    let sealed = &views.sealed[view];
    let refs = |outputs: Vec<usize>| {
        let refs = outputs
            .into_iter()
            .map(|output| FeatureRef { view, output });
        Some(refs.collect())
    };
    let outputs = &sealed.view.spec.outputs;
    if feature == "*" {
        return refs((0..outputs.len()).collect());
    }
    if let Some((_, found)) = sealed.features.iter().find(|(name, _)| name == feature) {
        return refs(found.clone());
    }
    if let Some(output) = outputs.iter().position(|output| output.name == feature) {
        return refs(vec![output]);
    }
    let features = || sealed.features.iter().map(|(name, _)| name.as_str());
    let all = || features().chain(outputs.iter().map(|output| output.name.as_str()));
    report.error_help(
        place,
        Code::Unknown,
        names::unknown("feature", feature, all()),
        format!("view `{view_name}` has {}", names::listed(features())),
    );
    None
}

/// What callers send, over all on-demand features. Two that share a name share its type.
fn request(report: &Report, raw: &raw::FeatureService) -> BTreeMap<String, DataType> {
    let mut request: BTreeMap<String, DataType> = BTreeMap::new();
    let on_demand = raw.on_demand.iter().filter_map(|at| at.value.as_ref());
    let entries = on_demand
        .filter_map(|on_demand| on_demand.request.as_ref()?.value.as_ref())
        .flat_map(|entries| &entries.0);
    for (name, declared) in entries {
        let identifier = names::identifier(report, "request data", name);
        let (Some(identifier), Some((text, place))) = (identifier, declared.text()) else {
            continue;
        };
        let Some(data_type) = scalar::data_type(report, text, place) else {
            continue;
        };
        match request.get(identifier) {
            Some(held) if *held != data_type => report.error(
                place,
                Code::Type,
                format!("`{identifier}` is {data_type} here and {held} above"),
            ),
            _ => {
                request.insert(identifier.to_owned(), data_type);
            }
        }
    }
    request
}

fn on_demand(
    report: &Report,
    raw: &raw::FeatureService,
    views: &Views,
    features: &[FeatureRef],
    request: &BTreeMap<String, DataType>,
) -> Vec<OnDemand> {
    let scope = Scope::new(views.sealed, features, request);
    let mut taken: Vec<String> = scope.plain_names(features.len());
    let mut all = vec![];
    for at in &raw.on_demand {
        let Some(raw) = at.value.as_ref() else {
            continue;
        };
        request_is_not_a_feature(report, raw, &taken[..], features.len());
        let name = names::identifier(report, "an on-demand feature", &raw.name);
        if let Some(name) = name {
            names::unique(report, &mut taken, "feature", name, raw.name.place);
        }
        let compiled = expression(report, &raw.expr, &scope.columns, Now::Column);
        if let (Some(name), Some(compiled)) = (name, compiled) {
            all.push(OnDemand {
                name: name.to_owned(),
                data_type: compiled.data_type().clone(),
                expr: compiled,
            });
        }
    }
    all
}

/// Request data that is named as a feature would hide it.
fn request_is_not_a_feature(
    report: &Report,
    raw: &raw::OnDemand,
    taken: &[String],
    features: usize,
) {
    let entries = raw.request.as_ref().and_then(|at| at.value.as_ref());
    for (name, _) in entries.iter().flat_map(|entries| &entries.0) {
        if let Some((text, place)) = name.text()
            && taken.iter().take(features).any(|held| held == text)
        {
            let message =
                format!("`{text}` is a feature of this service and cannot be request data");
            report.error(place, Code::Duplicate, message);
        }
    }
}

/// What on-demand expressions see.
struct Scope {
    /// The features in order, then the request.
    columns: Vec<(String, DataType)>,
}

impl Scope {
    /// Features by output name, or `view__output` where two views share it; then the request.
    fn new(
        sealed: &[Sealed],
        features: &[FeatureRef],
        request: &BTreeMap<String, DataType>,
    ) -> Scope {
        let output = |feature: &FeatureRef| &sealed[feature.view].view.spec.outputs[feature.output];
        let mut columns = vec![];
        for feature in features {
            let name = &output(feature).name;
            let sharing = features.iter().filter(|other| output(other).name == *name);
            let name = if sharing.count() > 1 {
                format!("{}__{name}", sealed[feature.view].view.name)
            } else {
                name.clone()
            };
            columns.push((name, output(feature).data_type.clone()));
        }
        for (name, data_type) in request {
            columns.push((name.clone(), data_type.clone()));
        }
        Scope { columns }
    }

    fn plain_names(&self, features: usize) -> Vec<String> {
        let features = &self.columns[..features];
        features.iter().map(|(name, _)| name.clone()).collect()
    }
}

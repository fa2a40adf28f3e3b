//! A selection made ready: what it reads, and what its columns are called, in both doors' forms.
//!
//! Feast has no values of which each has a weight, and its clients read neither maps nor lists of lists
//! out of JSON. So a feature that is a map (`top_n`, `histogram`, `by:`) is two, one with the keys and
//! one with the values, in the same order; each may be asked by itself.

use super::serving::{FeatureList, FeatureViewMetadata};
use super::{Fault, Metadata, ResponseMetadata};
use crate::prepared::{self, Field, Prepared};
use crate::{Cells, Error, Selection, Serving};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use tiderace_plan::model::{FeatureRef, Plan, Service};
use tiderace_plan::split_version;
use tiderace_types::DataType;

/// A selection ready to be asked as Feast's clients do.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) prepared: Arc<Prepared>,
    /// The columns of the answer, behind the entity keys.
    pub(crate) parts: Vec<Part>,
    /// Their names, by whether they are full.
    names: [Vec<String>; 2],
    /// The views read.
    views: Vec<String>,
    /// What is told of all this where no further key is sent: by whether names are full and whether
    /// views are wanted.
    told: [[Result<Told, Error>; 2]; 2],
}

/// One column of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Which value of a row.
    pub(crate) place: usize,
    /// What of it.
    pub(crate) half: Half,
}

/// What of a value is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// All of it.
    Whole,
    /// The keys of a map.
    Keys,
    /// The values of a map.
    Values,
}

impl Half {
    fn suffix(self) -> &'static str {
        match self {
            Half::Whole => "",
            Half::Keys => "_keys",
            Half::Values => "_values",
        }
    }

    /// How a value of `data_type` is told where nothing else is asked.
    fn of(data_type: &DataType) -> &'static [Half] {
        match data_type {
            DataType::Map(..) => &[Half::Keys, Half::Values],
            _ => &[Half::Whole],
        }
    }
}

/// What the columns of an answer are.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) message: ResponseMetadata,
    /// The same in JSON.
    pub(crate) json: Arc<str>,
}

impl Shape {
    /// Looks every name of a selection up.
    ///
    /// # Errors
    /// For a name that is unknown, no reference, or given twice.
    pub(crate) fn new(serving: &Serving, selection: &Selection) -> Result<Shape, Fault> {
        let plan = serving.plan();
        match selection {
            Selection::Service(name) => {
                let prepared = serving
                    .prepared(selection)
                    .map_err(|error| Fault::unknown("FeatureServiceNotFoundException", &error))?;
                let service = plan.services.iter().find(|service| service.name == *name);
                Ok(Shape::of_service(prepared, service))
            }
            Selection::Features(names) => Shape::of_list(plan, names),
        }
    }

    fn of_service(prepared: Arc<Prepared>, service: Option<&Arc<Service>>) -> Shape {
        let on_demand = || service.iter().flat_map(|service| &service.on_demand);
        let types = (0..prepared.features.len())
            .map(|place| prepared.output(place).1.data_type.clone())
            .chain(on_demand().map(|feature| feature.data_type.clone()));
        let parts = types.enumerate().flat_map(|(place, data_type)| {
            let halves = Half::of(&data_type).iter();
            halves.map(move |half| Part { place, half: *half })
        });
        let derived = on_demand().map(|feature| feature.name.clone()).collect();
        Shape::with(prepared.clone(), parts.collect(), derived)
    }

    fn of_list(plan: &Plan, names: &[String]) -> Result<Shape, Fault> {
        let mut features: Vec<FeatureRef> = Vec::new();
        let mut parts: Vec<Part> = Vec::new();
        for name in names {
            for (feature, half) in resolve(plan, name)? {
                let known = features.iter().position(|known| *known == feature);
                let place = known.unwrap_or(features.len());
                if known.is_none() {
                    features.push(feature);
                }
                let output = &plan.views[feature.view].spec.outputs[feature.output];
                let halves = match &half {
                    Some(half) => std::slice::from_ref(half),
                    None => Half::of(&output.data_type),
                };
                for half in halves {
                    let part = Part { place, half: *half };
                    if parts.contains(&part) {
                        return Err(Error::invalid(format!(
                            "feature {name:?} is asked twice; name each once"
                        ))
                        .into());
                    }
                    parts.push(part);
                }
            }
        }
        let prepared = Arc::new(Prepared::list(plan, &features)?);
        Ok(Shape::with(prepared, parts, Vec::new()))
    }

    /// `derived` has the names of on-demand features, which no view has.
    fn with(prepared: Arc<Prepared>, parts: Vec<Part>, derived: Vec<String>) -> Shape {
        let name = |part: &Part, full: bool| {
            let suffix = part.half.suffix();
            match part.place.checked_sub(prepared.features.len()) {
                Some(place) => format!("{}{suffix}", derived[place]),
                None => match (prepared.output(part.place), full) {
                    ((view, output), true) => format!("{}__{}{suffix}", view.name, output.name),
                    ((_, output), false) => format!("{}{suffix}", output.name),
                },
            }
        };
        let names = [false, true].map(|full| {
            parts
                .iter()
                .map(|part| name(part, full))
                .collect::<Vec<_>>()
        });
        let views: Vec<String> = prepared
            .views
            .iter()
            .map(|read| read.view.name.clone())
            .collect();
        let told = [false, true].map(|full| {
            [false, true].map(|wanted| {
                let names = &names[usize::from(full)];
                tell(
                    &prepared.keys,
                    &[],
                    names,
                    if wanted { &views } else { &[] },
                )
            })
        });
        Shape {
            prepared,
            parts,
            names,
            views,
            told,
        }
    }

    /// What is told of the columns; `more` are keys that are sent though nothing needs them.
    ///
    /// # Errors
    /// When two columns would have the same name.
    pub(crate) fn told(
        &self,
        full_names: bool,
        views: bool,
        more: &[(Field, Cells)],
    ) -> Result<Told, Error> {
        if more.is_empty() {
            return self.told[usize::from(full_names)][usize::from(views)].clone();
        }
        let wanted: &[String] = if views { &self.views } else { &[] };
        let names = &self.names[usize::from(full_names)];
        tell(&self.prepared.keys, more, names, wanted)
    }
}

fn tell(
    keys: &[Field],
    more: &[(Field, Cells)],
    names: &[String],
    views: &[String],
) -> Result<Told, Error> {
    let keys = keys.iter().chain(more.iter().map(|(field, _)| field));
    let all: Vec<&String> = keys.map(|key| &key.name).chain(names).collect();
    let mut seen = HashSet::new();
    if let Some(name) = all.iter().find(|name| !seen.insert(**name)) {
        return Err(Error::invalid(format!(
            "two columns of the answer would be called {name:?}; ask with full_feature_names: true, \
             or in two requests"
        )));
    }
    let mut json = json!({"feature_names": all});
    if !views.is_empty() {
        json["feature_view_metadata"] = views.iter().map(|name| json!({"name": name})).collect();
    }
    let view = |name: &String| FeatureViewMetadata {
        name: name.clone(),
        version: 0,
    };
    let message = ResponseMetadata::shared(Metadata {
        feature_names: Some(FeatureList {
            val: all.into_iter().cloned().collect(),
        }),
        feature_view_metadata: views.iter().map(view).collect(),
    });
    Ok(Told {
        message,
        json: json.to_string().into(),
    })
}

/// Finds what one reference stands for: `view:feature`, `view@latest:feature`, also with the half of
/// a map at its end.
fn resolve(plan: &Plan, reference: &str) -> Result<Vec<(FeatureRef, Option<Half>)>, Fault> {
    let Some((view_name, feature)) = reference.split_once(':') else {
        return Err(
            Error::invalid(format!("feature {reference:?}: expected \"view:feature\"")).into(),
        );
    };
    let view = view_of(plan, reference, view_name)?;
    match prepared::outputs_of(plan, reference, view, feature) {
        Ok(found) => Ok(found.into_iter().map(|feature| (feature, None)).collect()),
        Err(error) => match half_of(plan, view, feature) {
            Some(half) => Ok(vec![half]),
            None => Err(error.into()),
        },
    }
}

/// Finds a view by its name, a version being part of that: `view`, `view@v2`. `view@latest` is the newest
/// version that is defined.
fn view_of(plan: &Plan, reference: &str, name: &str) -> Result<usize, Fault> {
    if let Some(view) = plan.views.iter().position(|view| view.name == name) {
        return Ok(view);
    }
    let Some((base, version)) = name.split_once('@') else {
        return prepared::view_of(plan, reference, name)
            .map_err(|error| Fault::unknown("FeatureViewNotFoundException", &error));
    };
    let versions = plan.views.iter().enumerate().filter_map(|(place, view)| {
        let (of, version) = split_version(&view.name);
        (of == base).then_some((version, place))
    });
    match versions.max() {
        Some((_, newest)) if version == LATEST => Ok(newest),
        Some((_, newest)) => {
            let newest = &plan.views[newest].name;
            let error = Error::not_found(format!(
                "feature {reference:?}: feature view {base:?} has no version {version:?}; \
                 the latest is {newest:?}, or \"{base}@latest\""
            ));
            Err(Fault::unknown("FeatureViewVersionNotFound", &error))
        }
        None => prepared::view_of(plan, reference, base)
            .map_err(|error| Fault::unknown("FeatureViewNotFoundException", &error)),
    }
}

/// The newest version of a view.
const LATEST: &str = "latest";

/// Finds the map that `name` is one half of.
fn half_of(plan: &Plan, view: usize, name: &str) -> Option<(FeatureRef, Option<Half>)> {
    [Half::Keys, Half::Values].into_iter().find_map(|half| {
        let map = name.strip_suffix(half.suffix())?;
        let output = plan.views[view].spec.outputs.iter().position(|output| {
            output.name == map && matches!(output.data_type, DataType::Map(..))
        })?;
        Some((FeatureRef { view, output }, Some(half)))
    })
}

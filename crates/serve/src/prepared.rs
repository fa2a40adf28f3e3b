//! A selection with every name looked up: done once for a service, not per request.

use crate::completeness::Terms;
use crate::metadata::{Metadata, ResponseMetadata};
use crate::on_demand::Expressions;
use crate::proto::{FeatureMetadata, ViewMetadata};
use crate::recent::Places;
use crate::{Error, Selection, nearest};
use std::collections::HashMap;
use std::sync::Arc;
use tiderace_aggregate::{Asked, Output, Row};
use tiderace_plan::model::{Entity, FeatureRef, Plan, Service, View};
use tiderace_types::{DataType, Timestamp, Value, hash_key};

/// A selection ready to be read.
#[derive(Debug)]
pub struct Prepared {
    /// What it is, for messages: `feature service "fraud_v1"`.
    pub what: String,
    /// The entity keys that a request brings.
    pub keys: Vec<Field>,
    /// The request data that a request brings.
    pub request_data: Vec<Field>,
    /// The entities read, each as its keys' places in [`Prepared::keys`].
    pub(crate) entities: Vec<Vec<usize>>,
    /// The views read.
    pub(crate) views: Vec<ViewRead>,
    /// The features in the order of the answer.
    pub(crate) features: Vec<Place>,
    /// Whether these are all outputs of the views, one view after another.
    pub(crate) in_order: bool,
    /// The on-demand features after them.
    pub(crate) on_demand: Expressions,
    /// The service that it is; `None` for a list of features.
    pub(crate) service: Option<String>,
    /// Where the values of the answer are followed.
    pub(crate) recent: Places,
    /// The metadata, by whether names are full and whether details are wanted.
    metadata: [[ResponseMetadata; 2]; 2],
}

/// A column that a request brings.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
}

/// One view of a selection.
#[derive(Debug)]
pub(crate) struct ViewRead {
    pub(crate) view: Arc<View>,
    /// Which of [`Prepared::entities`].
    pub(crate) entity: usize,
    /// The outputs asked, as indices into the view's.
    pub(crate) outputs: Vec<usize>,
    /// The same, to be finished together.
    pub(crate) asked: Asked,
    /// The answer of each over no events.
    pub(crate) nothing: Vec<Value>,
    /// How its values are judged.
    pub(crate) terms: Terms,
    /// The definition, in hexadecimal.
    pub(crate) fingerprint: String,
}

impl ViewRead {
    /// All outputs of a view, for one who needs no names looked up.
    pub(crate) fn whole(view: &Arc<View>) -> ViewRead {
        let outputs: Vec<usize> = (0..view.spec.outputs.len()).collect();
        let asked = Asked::of(&view.spec, &outputs);
        ViewRead {
            view: Arc::clone(view),
            entity: 0,
            nothing: nothing(view, &asked),
            outputs,
            asked,
            terms: Terms::of(view),
            fingerprint: hexadecimal(view.spec.fingerprint),
        }
    }
}

/// Where a feature's value is found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Which of [`Prepared::views`].
    pub(crate) view: usize,
    /// Which of its [`ViewRead::outputs`].
    pub(crate) output: usize,
}

impl Prepared {
    /// Prepares a service.
    ///
    /// # Errors
    /// When its views disagree about a key's type.
    pub fn service(plan: &Plan, service: &Service) -> Result<Prepared, Error> {
        let what = format!("feature service {:?}", service.name);
        Prepared::new(plan, what, &service.features, Some(service))
    }

    /// Prepares a list of `view:output`, `view:feature` and `view:*`.
    ///
    /// # Errors
    /// For a name that is unknown, no reference, or given twice.
    pub fn features(plan: &Plan, names: &[String]) -> Result<Prepared, Error> {
        let mut features = Vec::new();
        for name in names {
            for feature in resolve(plan, name)? {
                if features.contains(&feature) {
                    return Err(Error::invalid(format!(
                        "feature {:?} is asked twice; name each once",
                        full_name(plan, feature, ":")
                    )));
                }
                features.push(feature);
            }
        }
        Prepared::list(plan, &features)
    }

    /// Prepares features whose names are looked up, each once.
    ///
    /// # Errors
    /// When there is none, or their views disagree about a key's type.
    pub(crate) fn list(plan: &Plan, features: &[FeatureRef]) -> Result<Prepared, Error> {
        if features.is_empty() {
            return Err(crate::request::nothing_selected());
        }
        Prepared::new(plan, "the list of features".to_owned(), features, None)
    }

    /// Prepares what `selection` says.
    ///
    /// # Errors
    /// As [`Prepared::features`]; an unknown service.
    pub fn select(plan: &Plan, selection: &Selection) -> Result<Prepared, Error> {
        match selection {
            Selection::Features(names) => Prepared::features(plan, names),
            Selection::Service(name) => {
                match plan.services.iter().find(|service| service.name == *name) {
                    Some(service) => Prepared::service(plan, service),
                    None => Err(unknown_service(plan, name)),
                }
            }
        }
    }

    /// The metadata of a response: prepared, so this copies nothing.
    #[must_use]
    pub fn metadata(&self, full_names: bool, details: bool) -> ResponseMetadata {
        self.metadata[usize::from(full_names)][usize::from(details)].clone()
    }

    /// The view and the output that a feature is, by its place in the answer.
    pub(crate) fn output(&self, place: usize) -> (&View, &Output) {
        let feature = self.features[place];
        let read = &self.views[feature.view];
        let output = read.outputs[feature.output];
        (&read.view, &read.view.spec.outputs[output])
    }

    /// How many values a row of the answer has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.features.len() + self.on_demand.expressions.len()
    }

    fn new(
        plan: &Plan,
        what: String,
        features: &[FeatureRef],
        service: Option<&Service>,
    ) -> Result<Prepared, Error> {
        let mut reads = Reads::default();
        let places = features
            .iter()
            .map(|feature| reads.place(&plan.views[feature.view], feature.output))
            .collect::<Result<Vec<Place>, Error>>()?;
        for view in &mut reads.views {
            view.asked = Asked::of(&view.view.spec, &view.outputs);
            view.nothing = nothing(&view.view, &view.asked);
        }
        let views = reads.views.iter().enumerate();
        let outputs =
            views.flat_map(|(view, read)| (0..read.outputs.len()).map(move |o| (view, o)));
        let in_order = places
            .iter()
            .map(|place| (place.view, place.output))
            .eq(outputs);
        let on_demand = Expressions::new(service, features.len());
        let metadata = [false, true].map(|full| {
            [false, true].map(|details| {
                ResponseMetadata::shared(metadata(plan, features, service, full, details))
            })
        });
        let request_data = service.iter().flat_map(|service| &service.request);
        Ok(Prepared {
            what,
            keys: reads.keys,
            request_data: request_data
                .map(|(name, data_type)| Field {
                    name: name.clone(),
                    data_type: data_type.clone(),
                })
                .collect(),
            entities: reads.entities.into_iter().map(|(_, keys)| keys).collect(),
            views: reads.views,
            features: places,
            in_order,
            on_demand,
            service: service.map(|service| service.name.clone()),
            recent: Places::of(plan, features, service),
            metadata,
        })
    }
}

/// The views, entities and keys found so far.
#[derive(Default)]
struct Reads {
    keys: Vec<Field>,
    entities: Vec<(String, Vec<usize>)>,
    views: Vec<ViewRead>,
}

impl Reads {
    fn place(&mut self, view: &Arc<View>, output: usize) -> Result<Place, Error> {
        let known = self.views.iter().position(|read| read.view.id == view.id);
        let place = match known {
            Some(place) => place,
            None => {
                let entity = self.entity(&view.entity)?;
                self.views.push(ViewRead {
                    view: Arc::clone(view),
                    entity,
                    outputs: Vec::new(),
                    asked: Asked::default(),
                    nothing: Vec::new(),
                    terms: Terms::of(view),
                    fingerprint: hexadecimal(view.spec.fingerprint),
                });
                self.views.len() - 1
            }
        };
        let outputs = &mut self.views[place].outputs;
        outputs.push(output);
        Ok(Place {
            view: place,
            output: outputs.len() - 1,
        })
    }

    fn entity(&mut self, entity: &Entity) -> Result<usize, Error> {
        if let Some(place) = self
            .entities
            .iter()
            .position(|(name, _)| *name == entity.name)
        {
            return Ok(place);
        }
        let mut keys = Vec::with_capacity(entity.keys.len());
        for (name, data_type) in &entity.keys {
            keys.push(self.key(name, data_type, &entity.name)?);
        }
        self.entities.push((entity.name.clone(), keys));
        Ok(self.entities.len() - 1)
    }

    fn key(&mut self, name: &str, data_type: &DataType, entity: &str) -> Result<usize, Error> {
        match self.keys.iter().position(|key| key.name == name) {
            Some(place) if self.keys[place].data_type == *data_type => Ok(place),
            Some(place) => Err(Error::invalid(format!(
                "entity {entity:?}: key {name:?} is {data_type}, but {} for another entity; \
                 ask for them in two requests",
                self.keys[place].data_type
            ))),
            None => {
                self.keys.push(Field {
                    name: name.to_owned(),
                    data_type: data_type.clone(),
                });
                Ok(self.keys.len() - 1)
            }
        }
    }
}

/// The answers over no events.
fn nothing(view: &View, asked: &Asked) -> Vec<Value> {
    asked
        .finish(&view.spec, &Row::new(&view.spec), Timestamp(0))
        .into_iter()
        .map(|answer| answer.map_or(Value::Null, |answer| answer.value))
        .collect()
}

/// Finds what one name of a feature list stands for.
fn resolve(plan: &Plan, name: &str) -> Result<Vec<FeatureRef>, Error> {
    let Some((view_name, feature)) = name.split_once(':') else {
        return Err(Error::invalid(format!(
            "feature {name:?}: expected \"view:output\", \"view:feature\" or \"view:*\""
        )));
    };
    outputs_of(plan, name, view_of(plan, name, view_name)?, feature)
}

/// Finds a view by name; `reference` is where it stands.
pub(crate) fn view_of(plan: &Plan, reference: &str, view_name: &str) -> Result<usize, Error> {
    let view = plan.views.iter().position(|view| view.name == view_name);
    view.ok_or_else(|| {
        let hint = nearest::hint(view_name, plan.views.iter().map(|view| view.name.as_str()));
        Error::not_found(format!(
            "feature {reference:?}: unknown feature view {view_name:?}{hint}"
        ))
    })
}

/// Finds the outputs of a view that `feature` stands for; `reference` is where it stands.
pub(crate) fn outputs_of(
    plan: &Plan,
    reference: &str,
    view: usize,
    feature: &str,
) -> Result<Vec<FeatureRef>, Error> {
    let (features, outputs) = (&plan.views[view].features, &plan.views[view].spec.outputs);
    let named = features.iter().find(|(name, _)| name == feature);
    let found: Vec<usize> = match named {
        _ if feature == "*" => (0..outputs.len()).collect(),
        Some((_, of_feature)) => of_feature.clone(),
        None => (0..outputs.len())
            .filter(|output| outputs[*output].name == feature)
            .collect(),
    };
    if found.is_empty() {
        let view_name = &plan.views[view].name;
        let hint = nearest::hint(feature, outputs.iter().map(|output| output.name.as_str()));
        return Err(Error::not_found(format!(
            "feature {reference:?}: feature view {view_name:?} has no feature {feature:?}{hint}"
        )));
    }
    let reference = |output| FeatureRef { view, output };
    Ok(found.into_iter().map(reference).collect())
}

pub(crate) fn unknown_service(plan: &Plan, name: &str) -> Error {
    let known = plan.services.iter().map(|service| service.name.as_str());
    let hint = nearest::hint(name, known);
    Error::not_found(format!("unknown feature service {name:?}{hint}"))
}

fn metadata(
    plan: &Plan,
    features: &[FeatureRef],
    service: Option<&Service>,
    full: bool,
    details: bool,
) -> Metadata {
    let on_demand = || service.iter().flat_map(|service| &service.on_demand);
    let mut metadata = Metadata {
        feature_names: names(plan, features, service, full),
        fingerprint: fingerprint(plan, features, service),
        ..Metadata::default()
    };
    if !details {
        return metadata;
    }
    for feature in features {
        let view = &plan.views[feature.view];
        metadata.features.push(FeatureMetadata {
            r#type: view.spec.outputs[feature.output].data_type.to_string(),
            view: view.name.clone(),
        });
        if !metadata.views.iter().any(|known| known.name == view.name) {
            metadata.views.push(ViewMetadata {
                name: view.name.clone(),
                fingerprint: hexadecimal(view.spec.fingerprint),
            });
        }
    }
    metadata
        .features
        .extend(on_demand().map(|feature| FeatureMetadata {
            r#type: feature.data_type.to_string(),
            view: String::new(),
        }));
    metadata
}

/// The names of the answer's columns: short, unless full ones are wanted or two would be the same.
fn names(
    plan: &Plan,
    features: &[FeatureRef],
    service: Option<&Service>,
    full: bool,
) -> Vec<String> {
    let on_demand = service.iter().flat_map(|service| &service.on_demand);
    let on_demand: Vec<&str> = on_demand.map(|feature| feature.name.as_str()).collect();
    let mut uses: HashMap<&str, usize> = HashMap::new();
    let short = features.iter().map(|feature| short_name(plan, *feature));
    for name in short.chain(on_demand.iter().copied()) {
        *uses.entry(name).or_default() += 1;
    }
    let of_views = features.iter().map(|feature| {
        let short = short_name(plan, *feature);
        if full || uses[short] > 1 {
            full_name(plan, *feature, "__")
        } else {
            short.to_owned()
        }
    });
    of_views
        .chain(on_demand.iter().map(|name| (*name).to_owned()))
        .collect()
}

fn short_name(plan: &Plan, feature: FeatureRef) -> &str {
    &plan.views[feature.view].spec.outputs[feature.output].name
}

fn full_name(plan: &Plan, feature: FeatureRef, between: &str) -> String {
    let view = &plan.views[feature.view].name;
    format!("{view}{between}{}", short_name(plan, feature))
}

/// Hashes everything that gives the answer its meaning.
fn fingerprint(plan: &Plan, features: &[FeatureRef], service: Option<&Service>) -> String {
    let mut text = String::new();
    for feature in features {
        let fingerprint = plan.views[feature.view].spec.fingerprint;
        text += &format!("{}:{fingerprint:016x}\n", full_name(plan, *feature, ":"));
    }
    for feature in service.iter().flat_map(|service| &service.on_demand) {
        text += &format!("{}={}\n", feature.name, feature.expr.canonical());
    }
    hexadecimal(hash_key(text.as_bytes()))
}

pub(crate) fn hexadecimal(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

//! What there is to ask for, as the plan has it.

use crate::prepared::{Prepared, hexadecimal};
use crate::{Caller, proto};
use tiderace_plan::model::{Plan, Service, Source, View};
use tiderace_types::{DataType, Duration};

/// Lists everything in `plan`.
#[must_use]
pub fn catalogue(plan: &Plan) -> proto::GetCatalogueResponse {
    proto::GetCatalogueResponse {
        project: plan.project.name.clone(),
        entities: plan
            .entities
            .iter()
            .map(|entity| proto::CatalogueEntity {
                name: entity.name.clone(),
                keys: entity
                    .keys
                    .iter()
                    .map(|(name, ty)| field(name, ty))
                    .collect(),
            })
            .collect(),
        sources: plan.sources.iter().map(|each| source(each)).collect(),
        views: plan.views.iter().map(|each| view(each)).collect(),
        services: plan
            .services
            .iter()
            .map(|each| service(plan, each))
            .collect(),
    }
}

/// What of a catalogue a caller may ask for, with the entities that it needs for it.
pub(crate) fn allowed(
    whole: &proto::GetCatalogueResponse,
    caller: &Caller,
) -> proto::GetCatalogueResponse {
    let mut seen = whole.clone();
    seen.services
        .retain(|service| caller.has(|rights| rights.services.has(&service.name)));
    seen.views
        .retain(|view| caller.has(|rights| rights.views.has(&view.name)));
    seen.sources
        .retain(|source| caller.has(|rights| rights.push.has(&source.name)));
    let (views, services) = (&seen.views, &seen.services);
    seen.entities.retain(|entity| {
        let is_key = |key: &proto::CatalogueField| entity.keys.contains(key);
        views.iter().any(|view| view.entity == entity.name)
            || services.iter().any(|each| each.keys.iter().any(is_key))
    });
    seen
}

fn field(name: &str, data_type: &DataType) -> proto::CatalogueField {
    proto::CatalogueField {
        name: name.to_owned(),
        r#type: data_type.to_string(),
    }
}

fn source(source: &Source) -> proto::CatalogueSource {
    let name_of = |column: usize| source.columns[column].name.clone();
    proto::CatalogueSource {
        name: source.name.clone(),
        columns: source
            .columns
            .iter()
            .map(|column| field(&column.name, &column.data_type))
            .collect(),
        event_time: name_of(source.event_time),
        event_id: source.event_id.map(name_of).unwrap_or_default(),
    }
}

fn view(view: &View) -> proto::CatalogueView {
    let text = |span: Duration| span.to_string();
    proto::CatalogueView {
        name: view.name.clone(),
        entity: view.entity.name.clone(),
        source: view.source.name.clone(),
        features: view
            .spec
            .outputs
            .iter()
            .map(|output| proto::CatalogueFeature {
                name: output.name.clone(),
                r#type: output.data_type.to_string(),
                window: output.window.to_string(),
            })
            .collect(),
        fingerprint: hexadecimal(view.spec.fingerprint),
        history: view.history.map_or("all".to_owned(), text),
        max_age: view.max_age.map(text).unwrap_or_default(),
        description: view.description.clone().unwrap_or_default(),
        owner: view.owner.clone().unwrap_or_default(),
    }
}

fn service(plan: &Plan, service: &Service) -> proto::CatalogueService {
    let name_of =
        |view: &View, output: usize| format!("{}:{}", view.name, view.spec.outputs[output].name);
    let prepared = Prepared::service(plan, service);
    proto::CatalogueService {
        name: service.name.clone(),
        features: service
            .features
            .iter()
            .map(|feature| name_of(&plan.views[feature.view], feature.output))
            .collect(),
        on_demand: service
            .on_demand
            .iter()
            .map(|feature| field(&feature.name, &feature.data_type))
            .collect(),
        keys: prepared
            .iter()
            .flat_map(|prepared| &prepared.keys)
            .map(|key| field(&key.name, &key.data_type))
            .collect(),
        request_data: service
            .request
            .iter()
            .map(|(name, ty)| field(name, ty))
            .collect(),
        description: service.description.clone().unwrap_or_default(),
    }
}

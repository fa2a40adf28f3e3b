//! A service's features as columns of a training set.

use super::Made;
use super::answers::Asking;
use super::spine::{Spine, brought};
use super::wholeness::{Approximate, Warming, name_of};
use crate::error::Error;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType as ArrowType, Field, Schema};
use std::sync::Arc;
use tiderace_plan::Plan;
use tiderace_plan::model::Service;
use tiderace_types::{Column, CoveredFrom, DataType, Timestamp};

/// The features of a service: which views answer them, and in what order they stand.
pub(super) struct Columns<'a> {
    plan: &'a Plan,
    service: &'a Service,
    /// The views, each with the outputs that are asked of it.
    views: Vec<(usize, Vec<usize>)>,
    /// Per feature: which of `views`, and which of its outputs.
    places: Vec<(usize, usize)>,
    names: Vec<String>,
}

/// Where the spine has what expressions need of a request.
pub(super) struct Request<'a> {
    spine: &'a Spine,
    columns: Vec<(usize, Column)>,
}

impl<'a> Columns<'a> {
    pub(super) fn new(plan: &'a Plan, service: &'a Service) -> Columns<'a> {
        let mut views: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut places = Vec::new();
        for feature in &service.features {
            let view = match views.iter().position(|(view, _)| *view == feature.view) {
                Some(view) => view,
                None => {
                    views.push((feature.view, Vec::new()));
                    views.len() - 1
                }
            };
            let outputs = &mut views[view].1;
            outputs.push(feature.output);
            places.push((view, outputs.len() - 1));
        }
        let output = |feature: &tiderace_plan::model::FeatureRef| {
            &plan.views[feature.view].spec.outputs[feature.output].name
        };
        let names = service.features.iter().map(|feature| {
            let name = output(feature);
            // Where two views share a name, as expressions call them.
            let same = service
                .features
                .iter()
                .filter(|other| output(other) == name);
            match same.count() {
                1 => name.clone(),
                _ => format!("{}__{name}", plan.views[feature.view].name),
            }
        });
        Columns {
            names: names.collect(),
            plan,
            service,
            views,
            places,
        }
    }

    /// The views that are asked, as indices into the plan's.
    pub(super) fn views(&self) -> impl Iterator<Item = usize> {
        self.views.iter().map(|(view, _)| *view)
    }

    /// What is asked of each view.
    pub(super) fn outputs(&self) -> impl Iterator<Item = Vec<usize>> {
        self.views.iter().map(|(_, outputs)| outputs.clone())
    }

    /// The columns of the features, on-demand ones last.
    pub(super) fn fields(&self) -> Vec<Field> {
        let features = self.service.features.iter().zip(&self.names);
        let mut fields: Vec<Field> = features
            .map(|(feature, name)| Field::new(name, self.type_of(*feature).to_arrow(), true))
            .collect();
        for feature in &self.service.on_demand {
            fields.push(Field::new(
                &feature.name,
                feature.data_type.to_arrow(),
                true,
            ));
        }
        fields
    }

    /// The columns of their completeness, which are texts.
    pub(super) fn completeness_fields(&self) -> Vec<Field> {
        let text = |name: &String| Field::new(name_of(name), ArrowType::Utf8, false);
        self.all_names().map(text).collect()
    }

    /// The names of the features, on-demand ones last.
    pub(super) fn all_names(&self) -> impl Iterator<Item = &String> {
        let on_demand = self.service.on_demand.iter();
        self.names
            .iter()
            .chain(on_demand.map(|feature| &feature.name))
    }

    /// Where each feature, on-demand ones last, reaches back before its past begins. `whole` is by
    /// [view](Self::views).
    pub(super) fn warming(&self, whole: &[CoveredFrom], instants: &[Timestamp]) -> Vec<Warming> {
        let ends = instants.iter().min().zip(instants.iter().max());
        let Some((first, last)) = ends else {
            return vec![Warming::None; self.all_names().count()];
        };
        let features = self.service.features.iter().zip(&self.places);
        let warming = features.map(|(feature, (view, _))| {
            let output = &self.plan.views[feature.view].spec.outputs[feature.output];
            Warming::of(output.window, whole[*view], instants, (*first, *last))
        });
        self.with_on_demand(warming.collect(), Warming::or)
    }

    /// Where each feature, on-demand ones last, is approximate in what was found for some rows.
    pub(super) fn approximate(
        &self,
        found: &[Vec<ArrayRef>],
        askings: &[Asking],
    ) -> Vec<Approximate> {
        let features = self.places.iter().map(|(view, place)| {
            let marks = askings[*view].marks_of(*place);
            Approximate::of(marks.and_then(|marks| found[*view].get(marks)))
        });
        self.with_on_demand(features.collect(), Approximate::or)
    }

    /// What holds of each feature, and behind that of each on-demand one: what holds of any that it uses.
    fn with_on_demand<T: Default>(&self, mut all: Vec<T>, or: impl Fn(T, &T) -> T) -> Vec<T> {
        for feature in &self.service.on_demand {
            let used = feature.expr.columns().iter();
            let used =
                used.filter_map(|place| all.get(*place).filter(|_| *place < self.names.len()));
            all.push(used.fold(T::default(), &or));
        }
        all
    }

    fn type_of(&self, feature: tiderace_plan::model::FeatureRef) -> &DataType {
        &self.plan.views[feature.view].spec.outputs[feature.output].data_type
    }

    /// Finds request data in the spine.
    pub(super) fn request<'s>(&self, spine: &'s Spine) -> Result<Request<'s>, Error> {
        let needed = self.service.request.iter();
        let columns = needed.map(|(name, data_type)| {
            let at = spine.column(name, "which is request data of an on-demand feature")?;
            Ok((at, Column::new(name, data_type.clone())))
        });
        Ok(Request {
            columns: columns.collect::<Result<_, Error>>()?,
            spine,
        })
    }

    /// The columns of some rows of the spine: what views answered, and what expressions make of it.
    pub(super) fn arrange(
        &self,
        found: &[Vec<ArrayRef>],
        request: &Request<'_>,
        spine: &RecordBatch,
        instants: &[Timestamp],
        made: &mut Made,
    ) -> Result<Vec<ArrayRef>, Error> {
        let rows = spine.num_rows();
        let features = self.service.features.iter().zip(&self.places);
        let mut columns: Vec<ArrayRef> = features
            .map(|(feature, (view, place))| match found[*view].get(*place) {
                Some(array) => Arc::clone(array),
                None => new_null_array(&self.type_of(*feature).to_arrow(), rows),
            })
            .collect();
        if self.service.on_demand.is_empty() {
            return Ok(columns);
        }
        let mut seen = columns.clone();
        for (at, column) in &request.columns {
            seen.push(brought(request.spine, spine.column(*at), column)?);
        }
        let fields = seen
            .iter()
            .enumerate()
            .map(|(at, array)| Field::new(at.to_string(), array.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema, seen, &options)
            .map_err(|error| Error::data("features", error))?;
        for feature in &self.service.on_demand {
            let (array, errors) = feature.expr.evaluate_at(&batch, instants);
            made.failed += errors.len() as u64;
            if let (Some(error), None) = (errors.first(), &made.first_failure) {
                made.first_failure = Some(format!("`{}`: {error}", feature.name));
            }
            columns.push(array);
        }
        Ok(columns)
    }
}

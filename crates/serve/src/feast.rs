//! The Feast door: what clients of Feast ask, in Feast's forms, answered by the same lookups.
//!
//! gRPC's `feast.serving.ServingService` and HTTP's `POST /get-online-features` both make a
//! `Question`, which a `Door` answers column by column. What a question selects is made
//! ready once (`Shape`), so that a request looks no name up. docs/feast.md says what maps to what.
//!
//! It promises that an answer in Feast's form never says more than ours: what Feast has no status for
//! fails the call, and a caller's mistake is never a 500, which Feast's clients would repeat for seconds.
//! It lacks everything of Feast but the lookup: pushes, materialization, the registry.

use crate::lookup::{Ask, Extras};
use crate::{Caller, Error, Selection, Serving};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The generated messages of `proto/feast/types`.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::unwrap_used)]
pub mod types {
    tonic::include_proto!("feast.types");
}

/// The generated messages and services of `proto/feast/serving`.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::unwrap_used)]
pub mod serving {
    tonic::include_proto!("feast.serving");
}

/// The encoded descriptors, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/feast.descriptors"));

mod metadata;
pub use metadata::{Metadata, ResponseMetadata};

mod fault;
pub(crate) use fault::Fault;

mod shape;
use shape::Shape;

mod question;
pub(crate) use question::Question;

mod answer;
pub(crate) use answer::Answer;

mod value;

pub(crate) mod grpc;
pub(crate) mod http;
mod json;

/// The header with the instant of an answer.
const AS_OF: &str = "tiderace-as-of";

/// The header with how complete the least complete value of an answer is.
const COMPLETENESS: &str = "tiderace-completeness";

/// How many selections are kept ready.
const SHAPES: usize = 1_024;

/// [`Serving`] as Feast's clients see it.
pub(crate) struct Door {
    serving: Arc<Serving>,
    /// The selections that have been asked for.
    shapes: RwLock<HashMap<Selection, Arc<Shape>>>,
}

impl Door {
    pub(crate) fn new(serving: Arc<Serving>) -> Door {
        Door {
            serving,
            shapes: RwLock::default(),
        }
    }

    /// Answers a question. The call is in flight as long as the answer is kept.
    ///
    /// # Errors
    /// For a caller who may not, and its mistakes; [`crate::Kind::Unavailable`] when the store does not answer, or a
    /// value is not known that Feast has no status for.
    pub(crate) async fn answer(
        &self,
        caller: &Caller,
        question: Question,
    ) -> Result<Answer<'_>, Fault> {
        caller.may_read(&question.selection)?;
        let permit = self.serving.admit()?;
        let shape = self.shape(&question.selection)?;
        let (full_names, views) = (question.full_names, question.views);
        let columns = question.sort(self.serving.plan(), &shape.prepared)?;
        let told = shape.told(full_names, views, &columns.more)?;
        let keys = columns.echo(&shape.prepared)?;
        let ask = Ask {
            entities: &columns.keys,
            request_data: &columns.request_data,
            as_of: None,
            extras: Extras {
                details: false,
                ends: false,
                newest: true,
            },
            pushed: None,
        };
        let looked = self.serving.look(caller, &shape.prepared, ask).await?;
        Ok(Answer::new(permit, shape, told, keys, looked)?)
    }

    fn shape(&self, selection: &Selection) -> Result<Arc<Shape>, Fault> {
        let shapes = self.shapes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = shapes.get(selection) {
            return Ok(Arc::clone(shape));
        }
        drop(shapes);
        let shape = Arc::new(Shape::new(&self.serving, selection)?);
        let mut shapes = self.shapes.write().unwrap_or_else(PoisonError::into_inner);
        if shapes.len() >= SHAPES {
            shapes.clear();
        }
        shapes.insert(selection.clone(), Arc::clone(&shape));
        Ok(shape)
    }
}

/// Makes a selection of what a request names: a service, or features.
fn selection(service: String, features: Vec<String>) -> Result<Selection, Error> {
    match (service.is_empty(), features.is_empty()) {
        (false, true) => Ok(Selection::Service(service)),
        (true, false) => Ok(Selection::Features(features)),
        (true, true) => Err(crate::request::nothing_selected()),
        (false, false) => Err(Error::invalid(
            "both \"feature_service\" and \"features\" are given; give one of them",
        )),
    }
}

//! A lookup as both doors hand it on.

use crate::{Column, Error, convert, proto};
use proto::get_online_features_request::Selection as ProtoSelection;
use tiderace_types::Timestamp;

/// What is asked, of whom, and for when.
#[derive(Clone, Debug)]
pub struct Request {
    /// The features.
    pub selection: Selection,
    /// The entity keys.
    pub entities: Vec<Column>,
    /// The request data of on-demand features.
    pub request_data: Vec<Column>,
    /// The instant; `None` for now.
    pub as_of: Option<Timestamp>,
    /// Whether every feature is named `view__output`.
    pub full_names: bool,
    /// Whether types, views and details are answered too.
    pub include_metadata: bool,
    /// Whether it is answered too until when values stand.
    pub include_valid_until: bool,
}

/// Which features.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selection {
    /// Those of a service.
    Service(String),
    /// These: `view:output`, `view:feature` or `view:*`.
    Features(Vec<String>),
}

impl TryFrom<proto::GetOnlineFeaturesRequest> for Request {
    type Error = Error;

    fn try_from(request: proto::GetOnlineFeaturesRequest) -> Result<Request, Error> {
        let selection = match request.selection {
            Some(ProtoSelection::FeatureService(name)) => Selection::Service(name),
            Some(ProtoSelection::Features(list)) => Selection::Features(list.names),
            None => return Err(nothing_selected()),
        };
        let as_of = match &request.as_of {
            Some(at) => Some(
                convert::from_timestamp(at)
                    .map_err(|reason| Error::invalid(format!("as_of: {reason}")))?,
            ),
            None => None,
        };
        Ok(Request {
            selection,
            entities: request.entities.into_iter().map(Column::from).collect(),
            request_data: request.request_data.into_iter().map(Column::from).collect(),
            as_of,
            full_names: request.full_names,
            include_metadata: request.include_metadata,
            include_valid_until: request.include_valid_until,
        })
    }
}

/// The error for a request that names neither a service nor features.
pub(crate) fn nothing_selected() -> Error {
    Error::invalid(
        "nothing is asked: give a feature service, or a list of features such as \"view:output\"",
    )
}

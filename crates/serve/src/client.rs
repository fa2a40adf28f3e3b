//! A thin client of the gRPC door, for the command line and for tests.

use crate::{Durability, Error, Kind, nearest, proto};
use bytes::Bytes;
use proto::feature_store_client::FeatureStoreClient;
use std::time::Duration;
use tiderace_types::Value;
use tonic::transport::{Channel, Endpoint};

pub use proto::{GetOnlineFeaturesRequest, GetOnlineFeaturesResponse, PushResponse};

/// A connection to a server. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    inner: FeatureStoreClient<Channel>,
}

impl Client {
    /// Connects to `address`, `127.0.0.1:6565` or with `http://` before it.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for what is no address, [`Kind::Unavailable`] when nobody answers.
    pub async fn connect(address: &str) -> Result<Client, Error> {
        let uri = match address.contains("://") {
            true => address.to_owned(),
            false => format!("http://{address}"),
        };
        let endpoint = Endpoint::from_shared(uri)
            .map_err(|error| Error::invalid(format!("address {address:?}: {error}")))?;
        let connected = endpoint
            .tcp_nodelay(true)
            .connect_timeout(CONNECT)
            .connect()
            .await;
        let channel = connected.map_err(|error| {
            let reason = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), |source| source.to_string());
            Error::new(
                Kind::Unavailable,
                format!("no server at {address:?}: {reason}"),
            )
        })?;
        Ok(Client {
            inner: FeatureStoreClient::new(channel).max_decoding_message_size(LARGEST),
        })
    }

    /// Looks features up.
    ///
    /// # Errors
    /// What the server says.
    pub async fn get(
        &mut self,
        request: GetOnlineFeaturesRequest,
    ) -> Result<GetOnlineFeaturesResponse, Error> {
        Ok(self.inner.get_online_features(request).await?.into_inner())
    }

    /// Looks a service up from the text of its keys and request data, whose types the server's
    /// catalogue tells: `customer_id` = `596`, several rows as `596,597`. `extras` are asked too.
    ///
    /// # Errors
    /// For a column that the service does not need, text that is not of its type, and what
    /// the server says.
    pub async fn get_by_text(
        &mut self,
        service: &str,
        columns: &[(String, String)],
        as_of: Option<tiderace_types::Timestamp>,
        extras: Extras,
    ) -> Result<GetOnlineFeaturesResponse, Error> {
        let catalogue = self.catalogue().await?;
        let Some(found) = catalogue.services.iter().find(|each| each.name == service) else {
            let known = catalogue.services.iter().map(|each| each.name.as_str());
            let hint = nearest::hint(service, known);
            return Err(Error::not_found(format!(
                "unknown feature service {service:?}{hint}"
            )));
        };
        let mut request = GetOnlineFeaturesRequest {
            selection: Some(
                proto::get_online_features_request::Selection::FeatureService(service.to_owned()),
            ),
            as_of: as_of.map(crate::convert::to_timestamp),
            include_metadata: true,
            include_valid_until: extras == Extras::ValidUntil,
            ..Default::default()
        };
        let fields = || found.keys.iter().chain(&found.request_data);
        for (name, text) in columns {
            let Some(field) = fields().find(|field| field.name == *name) else {
                let hint = nearest::hint(name, fields().map(|field| field.name.as_str()));
                return Err(Error::invalid(format!(
                    "feature service {service:?} needs no {name:?}{hint}"
                )));
            };
            let column = column(name, &field.r#type, text)?;
            if found.keys.iter().any(|key| key.name == *name) {
                request.entities.push(column);
            } else {
                request.request_data.push(column);
            }
        }
        self.get(request).await
    }

    /// Asks for outputs of one view, for many entities, each by its key's values in the entity's
    /// order, as of an instant. The answer has a row for each, with metadata.
    ///
    /// # Errors
    /// What the server says.
    pub async fn get_of_view(
        &mut self,
        view: &str,
        outputs: &[&str],
        (keys, rows): (&[&str], &[Vec<Value>]),
        as_of: Option<tiderace_types::Timestamp>,
    ) -> Result<GetOnlineFeaturesResponse, Error> {
        let names = outputs.iter().map(|output| format!("{view}:{output}"));
        let entities = keys.iter().enumerate().map(|(place, name)| {
            let values = rows
                .iter()
                .map(|row| crate::convert::to_proto(row[place].clone()));
            proto::Column {
                name: (*name).to_owned(),
                values: Some(proto::column::Values::Any(proto::ValueList {
                    values: values.collect(),
                })),
            }
        });
        self.get(GetOnlineFeaturesRequest {
            selection: Some(proto::get_online_features_request::Selection::Features(
                proto::FeatureList {
                    names: names.collect(),
                },
            )),
            entities: entities.collect(),
            as_of: as_of.map(crate::convert::to_timestamp),
            include_metadata: true,
            ..Default::default()
        })
        .await
    }

    /// Pushes events.
    ///
    /// # Errors
    /// What the server says.
    pub async fn push(
        &mut self,
        source: &str,
        payloads: Vec<Bytes>,
        durability: Durability,
    ) -> Result<PushResponse, Error> {
        let durability = match durability {
            Durability::Disk => proto::Durability::Disk,
            Durability::Process => proto::Durability::Process,
        };
        let request = proto::PushRequest {
            source: source.to_owned(),
            payloads,
            durability: durability.into(),
        };
        Ok(self.inner.push(request).await?.into_inner())
    }

    /// Lists what there is.
    ///
    /// # Errors
    /// What the server says.
    pub async fn catalogue(&mut self) -> Result<proto::GetCatalogueResponse, Error> {
        let request = proto::GetCatalogueRequest {};
        Ok(self.inner.get_catalogue(request).await?.into_inner())
    }
}

/// What is asked beside values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extras {
    /// Metadata.
    Metadata,
    /// Metadata, and until when values stand.
    ValidUntil,
}

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// The largest answer taken, in bytes: a thousand rows of a hundred features.
const LARGEST: usize = 64 << 20;

/// Makes a column of type `data_type` (as the catalogue writes it) from text, `,` between rows.
///
/// # Errors
/// [`Kind::Invalid`] for text that is not of the type.
pub fn column(name: &str, data_type: &str, text: &str) -> Result<proto::Column, Error> {
    use proto::column::Values;
    let cells: Vec<&str> = text.split(',').map(str::trim).collect();
    let values = match data_type {
        "int64" => Values::Int64s(proto::Int64Column {
            values: parsed(name, data_type, &cells)?,
        }),
        "float64" => Values::Doubles(proto::DoubleColumn {
            values: parsed(name, data_type, &cells)?,
        }),
        "bool" => Values::Bools(proto::BoolColumn {
            values: parsed(name, data_type, &cells)?,
        }),
        "bytes" => Values::Bytes(proto::BytesColumn {
            values: cells.iter().map(|cell| cell.as_bytes().to_vec()).collect(),
        }),
        _ => Values::Strings(proto::StringColumn {
            values: cells.iter().map(|cell| (*cell).to_owned()).collect(),
        }),
    };
    Ok(proto::Column {
        name: name.to_owned(),
        values: Some(values),
    })
}

fn parsed<T: std::str::FromStr>(
    name: &str,
    data_type: &str,
    cells: &[&str],
) -> Result<Vec<T>, Error> {
    let parse = |cell: &&str| {
        cell.parse()
            .map_err(|_| Error::invalid(format!("{name:?}: expected {data_type}, found {cell:?}")))
    };
    cells.iter().map(parse).collect()
}

//! A thin client of the gRPC door, for the command line and for tests.

use crate::{Durability, Error, Kind, nearest, proto};
use bytes::Bytes;
use futures::Stream;
use proto::feature_store_client::FeatureStoreClient;
use std::fmt;
use std::time::Duration;
use tiderace_types::Value;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status, Streaming};

pub use proto::{GetOnlineFeaturesRequest, GetOnlineFeaturesResponse, PushResponse};

/// How a server is reached: by whose certificates it is believed, and as who. The default is without
/// encryption, as nobody.
#[derive(Clone, Default)]
pub struct Access {
    /// Certificates in PEM that the server's is checked by; with them the connection is encrypted.
    pub ca: Option<Vec<u8>>,
    /// The certificate to show, and its private key, in PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The token to send.
    pub token: Option<String>,
}

/// Without key and token, so that they are in no log.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access")
    }
}

/// Puts the token into every call.
#[derive(Clone, Default)]
struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    fn new(token: Option<&str>) -> Result<Bearer, Error> {
        let Some(token) = token else {
            return Ok(Bearer(None));
        };
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| Error::invalid("the token has characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Bearer(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A connection to a server. Clones share it.
#[derive(Clone)]
pub struct Client {
    inner: FeatureStoreClient<InterceptedService<Channel, Bearer>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Connects to `address`, `127.0.0.1:6565` or with `http://` before it, as nobody.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for what is no address, [`Kind::Unavailable`] when nobody answers.
    pub async fn connect(address: &str) -> Result<Client, Error> {
        Client::connect_with(address, &Access::default()).await
    }

    /// Connects to `address`, with `https://` before it or an authority in `access` by TLS.
    ///
    /// # Errors
    /// As [`Client::connect`]; [`Kind::Invalid`] too for certificates or a token that are none.
    pub async fn connect_with(address: &str, access: &Access) -> Result<Client, Error> {
        let encrypted = address.starts_with("https://") || access.ca.is_some();
        let uri = match address.split_once("://") {
            Some((_, rest)) if encrypted => format!("https://{rest}"),
            Some(_) => address.to_owned(),
            None if encrypted => format!("https://{address}"),
            None => format!("http://{address}"),
        };
        let mut endpoint = Endpoint::from_shared(uri)
            .map_err(|error| Error::invalid(format!("address {address:?}: {error}")))?;
        if encrypted {
            let Some(ca) = &access.ca else {
                return Err(Error::invalid(format!(
                    "{address}: say by whose certificates the server is believed (`--ca`)"
                )));
            };
            let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
            if let Some((cert, key)) = &access.identity {
                tls = tls.identity(Identity::from_pem(cert, key));
            }
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|error| Error::invalid(format!("certificates: {}", deepest(&error))))?;
        }
        let bearer = Bearer::new(access.token.as_deref())?;
        let connected = endpoint
            .tcp_nodelay(true)
            .connect_timeout(CONNECT)
            .connect()
            .await;
        let channel = connected.map_err(|error| {
            let reason = deepest(&error);
            let message = format!("no server at {address:?}: {reason}");
            Error::new(Kind::Unavailable, message)
        })?;
        let inner = FeatureStoreClient::with_interceptor(channel, bearer);
        Ok(Client {
            inner: inner.max_decoding_message_size(LARGEST),
        })
    }

    /// Looks features up over one stream: answers come in the order of the requests.
    ///
    /// # Errors
    /// What the server says of the stream; what it says of one request is among the answers.
    pub async fn stream(
        &mut self,
        requests: impl Stream<Item = proto::StreamOnlineFeaturesRequest> + Send + 'static,
    ) -> Result<Streaming<proto::StreamOnlineFeaturesResponse>, Error> {
        let answers = self.inner.stream_online_features(requests).await?;
        Ok(answers.into_inner())
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
        let request = push_request(source, payloads, durability);
        Ok(self.inner.push(request).await?.into_inner())
    }

    /// Pushes events and asks for features, which have them in or leave them out.
    ///
    /// # Errors
    /// What the server says; where the events were accepted, the error of the lookup is in the answer.
    pub async fn push_and_get(
        &mut self,
        source: &str,
        payloads: Vec<Bytes>,
        durability: Durability,
        get: GetOnlineFeaturesRequest,
        events: proto::EventsInAnswer,
    ) -> Result<proto::PushAndGetResponse, Error> {
        let request = proto::PushAndGetRequest {
            push: Some(push_request(source, payloads, durability)),
            get: Some(get),
            events: events.into(),
        };
        Ok(self.inner.push_and_get(request).await?.into_inner())
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

fn push_request(source: &str, payloads: Vec<Bytes>, durability: Durability) -> proto::PushRequest {
    let durability = match durability {
        Durability::Disk => proto::Durability::Disk,
        Durability::Process => proto::Durability::Process,
    };
    proto::PushRequest {
        source: source.to_owned(),
        payloads,
        durability: durability.into(),
    }
}

/// What is at the bottom of an error, which says most.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
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

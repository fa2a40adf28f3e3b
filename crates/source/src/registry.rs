//! A client of schema registries with Confluent's API.
//!
//! It blocks, on the thread of whoever asks. Requests and answers are bounded in time and size,
//! redirects are not followed, and what references a schema has are fetched with it. An answer of
//! "no such schema" is told apart from every other failure: only a registry that says so in its own
//! words is believed, since records are refused because of it.

mod kept;
pub use kept::KeptSchemas;

mod wire;

use crate::{Error, Kind};
use std::collections::BTreeSet;
use std::time::Duration;
use tiderace_types::base64;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use wire::{Answered, Reference};

/// The largest answer that is read, in bytes.
const LARGEST: u64 = 8 << 20;
/// How deep references go.
const DEPTH: usize = 16;
/// How many schemas one may refer to, in all.
const REFERENCES: usize = 256;

/// How to reach a registry.
#[derive(Clone)]
pub struct RegistryConfig {
    /// `http://` or `https://`, host, port and perhaps a path; without credentials.
    pub url: String,
    /// Who signs in, and the password.
    pub login: Option<(String, String)>,
    /// Certificates (PEM) to trust in place of the public ones.
    pub ca: Option<Vec<u8>>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// A registry.
pub struct Registry {
    agent: ureq::Agent,
    url: String,
    authorization: Option<String>,
}

/// What language a schema is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaKind {
    /// Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl SchemaKind {
    /// The registry's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SchemaKind::Avro => "AVRO",
            SchemaKind::Protobuf => "PROTOBUF",
            SchemaKind::Json => "JSON",
        }
    }
}

/// A schema as it is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// What it refers to, directly or not: names and texts, what is referred to first.
    pub references: Vec<(String, String)>,
}

/// A schema as a version of its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaVersion {
    /// The version's number.
    pub version: u32,
    /// The schema's number.
    pub id: u32,
    /// The schema.
    pub schema: RegisteredSchema,
}

impl Registry {
    /// A client. Nothing is asked yet.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn new(config: &RegistryConfig) -> Result<Registry, Error> {
        let mut agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .max_response_header_size(64 << 10)
            .timeout_connect(Some(config.timeout.min(Duration::from_secs(3))))
            .timeout_global(Some(config.timeout))
            .user_agent("tiderace");
        if let Some(pem) = &config.ca {
            let tls = TlsConfig::builder().root_certs(roots(pem)?).build();
            agent = agent.tls_config(tls);
        }
        let authorization = config.login.as_ref().map(|(username, password)| {
            let pair = format!("{username}:{password}");
            format!("Basic {}", base64::encode(pair.as_bytes()))
        });
        Ok(Registry {
            agent: agent.build().new_agent(),
            url: config.url.trim_end_matches('/').to_owned(),
            authorization,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Schema number `id` with all it refers to; `None` when the registry says that it has none.
    ///
    /// # Errors
    /// [`Kind::Retry`] when the registry is away or in trouble, [`Kind::Invalid`] when it refuses,
    /// or answers what no registry does.
    pub fn schema(&self, id: u32) -> Result<Option<RegisteredSchema>, Error> {
        let what = format!("schema {id}");
        let Some(body) = self.get(&format!("/schemas/ids/{id}"), &what)? else {
            return Ok(None);
        };
        let answered = wire::schema(&body).map_err(|why| self.odd(&what, &why))?;
        if answered.id.is_some_and(|found| found != id) {
            let found = answered.id.unwrap_or_default();
            return Err(self.odd(&what, &format!("it is of schema {found}")));
        }
        self.with_references(answered, &what).map(Some)
    }

    /// The numbers of the versions of `subject`, ascending; `None` when there is no such subject.
    ///
    /// # Errors
    /// As [`Registry::schema`].
    pub fn versions(&self, subject: &str) -> Result<Option<Vec<u32>>, Error> {
        let what = format!("the versions of subject \"{subject}\"");
        let path = format!("/subjects/{}/versions", escaped(subject));
        let Some(body) = self.get(&path, &what)? else {
            return Ok(None);
        };
        let mut versions = wire::versions(&body).map_err(|why| self.odd(&what, &why))?;
        versions.sort_unstable();
        Ok(Some(versions))
    }

    /// One version of `subject`; `None` when there is none.
    ///
    /// # Errors
    /// As [`Registry::schema`].
    pub fn version(&self, subject: &str, version: u32) -> Result<Option<SchemaVersion>, Error> {
        let what = format!("version {version} of subject \"{subject}\"");
        let Some(answered) = self.answered(subject, version, &what)? else {
            return Ok(None);
        };
        let id = answered.id.unwrap_or_default();
        let schema = self.with_references(answered, &what)?;
        Ok(Some(SchemaVersion {
            version,
            id,
            schema,
        }))
    }

    /// Registers a schema as a version of `subject`, if it is not one yet; gives its number.
    ///
    /// # Errors
    /// As [`Registry::schema`]; [`Kind::Invalid`] too where it is not compatible with versions before.
    pub fn register(&self, subject: &str, kind: SchemaKind, text: &str) -> Result<u32, Error> {
        let what = format!("a schema of subject \"{subject}\"");
        let path = format!("/subjects/{}/versions", escaped(subject));
        let body = match self.post(&path, &wire::registration(kind, text), &what)? {
            Some(body) => body,
            None => return Err(self.odd(&what, "it has no such place")),
        };
        wire::id(&body).map_err(|why| self.odd(&what, &why))
    }

    /// Whether a schema could be registered as the next version of `subject`; `None` when there is no
    /// such subject yet.
    ///
    /// # Errors
    /// As [`Registry::schema`].
    pub fn takes(
        &self,
        subject: &str,
        kind: SchemaKind,
        text: &str,
    ) -> Result<Option<bool>, Error> {
        let what = format!("whether subject \"{subject}\" takes a schema");
        let path = format!(
            "/compatibility/subjects/{}/versions/latest",
            escaped(subject)
        );
        let Some(body) = self.post(&path, &wire::registration(kind, text), &what)? else {
            return Ok(None);
        };
        let taken = wire::is_compatible(&body).map_err(|why| self.odd(&what, &why))?;
        Ok(Some(taken))
    }

    fn answered(&self, subject: &str, version: u32, what: &str) -> Result<Option<Answered>, Error> {
        let path = format!("/subjects/{}/versions/{version}", escaped(subject));
        let Some(body) = self.get(&path, what)? else {
            return Ok(None);
        };
        let answered = wire::schema(&body).map_err(|why| self.odd(what, &why))?;
        Ok(Some(answered))
    }

    fn with_references(&self, answered: Answered, what: &str) -> Result<RegisteredSchema, Error> {
        let mut gathered = Gathered::default();
        self.gather(&answered.references, what, 0, &mut gathered)?;
        Ok(RegisteredSchema {
            kind: answered.kind,
            text: answered.text,
            references: gathered.schemas,
        })
    }

    /// Fetches what is referred to, and before it what that refers to.
    fn gather(
        &self,
        references: &[Reference],
        what: &str,
        depth: usize,
        gathered: &mut Gathered,
    ) -> Result<(), Error> {
        for reference in references {
            if !gathered.names.insert(reference.name.clone()) {
                continue;
            }
            if depth >= DEPTH || gathered.names.len() > REFERENCES {
                let why = format!("it refers to more than {REFERENCES} schemas, or {DEPTH} deep");
                return Err(self.odd(what, &why));
            }
            let Reference {
                name,
                subject,
                version,
            } = reference;
            let of = format!("{what}: \"{name}\", version {version} of subject \"{subject}\"");
            let found = self.answered(subject, *version, &of)?;
            // A registry keeps what is referred to; one that does not just now may have it again.
            let found = found.ok_or_else(|| self.odd(&of, "it has none"))?;
            self.gather(&found.references, what, depth + 1, gathered)?;
            gathered.schemas.push((name.clone(), found.text));
        }
        Ok(())
    }

    /// The body at a path; `None` when the registry says that there is no such thing.
    fn get(&self, path: &str, what: &str) -> Result<Option<String>, Error> {
        let mut request = self.agent.get(format!("{}{path}", self.url)).header(
            "accept",
            "application/vnd.schemaregistry.v1+json, application/json",
        );
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        self.read(request.call(), what)
    }

    /// The answer to what is sent to a path.
    fn post(&self, path: &str, body: &str, what: &str) -> Result<Option<String>, Error> {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.url))
            .header(
                "accept",
                "application/vnd.schemaregistry.v1+json, application/json",
            )
            .header("content-type", "application/vnd.schemaregistry.v1+json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        self.read(request.send(body), what)
    }

    fn read(
        &self,
        answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        what: &str,
    ) -> Result<Option<String>, Error> {
        let away = |cause: ureq::Error| {
            let message = format!("ask {} for {what}: {cause}", self.url);
            Error::new(Kind::Retry, message)
        };
        let mut response = answered.map_err(away)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LARGEST);
        let body = match body.read_to_string() {
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                return Err(self.odd(what, &format!("it has more than {LARGEST} bytes")));
            }
            body => body.map_err(away)?,
        };
        match status {
            200 => Ok(Some(body)),
            404 if wire::says_unknown(&body) => Ok(None),
            408 | 425 | 429 | 500.. => Err(Error::new(
                Kind::Retry,
                format!("ask {} for {what}: HTTP status {status}", self.url),
            )),
            409 | 422 => Err(Error::invalid(format!(
                "{} refuses {what} (HTTP status {status}): {}",
                self.url,
                wire::message(&body)
            ))),
            401 | 403 => Err(Error::invalid(format!(
                "{} refuses {what} (HTTP status {status}): check username and password of the schema registry",
                self.url
            ))),
            _ => Err(self.odd(
                what,
                &format!("HTTP status {status}, which no registry gives"),
            )),
        }
    }

    fn odd(&self, what: &str, why: &str) -> Error {
        Error::invalid(format!("the answer of {} for {what}: {why}", self.url))
    }
}

/// What is referred to, as it is gathered.
#[derive(Default)]
struct Gathered {
    names: BTreeSet<String>,
    schemas: Vec<(String, String)>,
}

fn roots(pem: &[u8]) -> Result<RootCerts, Error> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(cause) => {
                let message = format!("read the schema registry's certificates: {cause}");
                return Err(Error::invalid(message));
            }
        }
    }
    if found.is_empty() {
        return Err(Error::invalid(
            "the schema registry's `ca` holds no certificate",
        ));
    }
    Ok(RootCerts::new_with_certs(&found))
}

/// A subject as a part of a path: names of topics and records hold `/`, `:` and more.
fn escaped(subject: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// Without the password.
impl std::fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryConfig")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({})", self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_parts_of_paths() {
        for (subject, path) in [
            ("card_payments-value", "card_payments-value"),
            ("shop/orders:v1 ü", "shop%2Forders%3Av1%20%C3%BC"),
            ("..", ".."),
        ] {
            assert_eq!(escaped(subject), path);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = RegistryConfig {
            url: "http://registry:8081".to_owned(),
            login: Some(("me".to_owned(), "secret".to_owned())),
            ca: None,
            timeout: Duration::from_secs(1),
        };
        assert!(!format!("{config:?}").contains("secret"));
        let registry = Registry::new(&config).expect("a client");
        assert!(!format!("{registry:?}").contains("secret"));
    }

    #[test]
    fn certificates_that_are_none_are_refused() {
        let config = RegistryConfig {
            url: "https://registry".to_owned(),
            login: None,
            ca: Some(b"no certificate".to_vec()),
            timeout: Duration::from_secs(1),
        };
        let error = Registry::new(&config).expect_err("refused");
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
    }
}

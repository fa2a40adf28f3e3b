//! The certificate that doors show, and whose certificates they ask for.

use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::watched::Files;

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and behind it those that lead to the authority that clients trust.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose certificates clients must have; `None` where they need none.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    pub(crate) fn files(self) -> Files<Configs> {
        let own = [self.cert, self.key].into_iter();
        Files {
            what: "tls",
            paths: own.chain(self.client_ca).collect(),
            read: configs,
        }
    }
}

/// What is spoken behind a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/2, as gRPC wants it.
    Grpc,
    /// HTTP/1.1.
    Http,
}

/// How connections are encrypted, by what is spoken in them.
#[derive(Debug)]
pub(crate) struct Configs {
    grpc: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
}

impl Configs {
    pub(crate) fn of(&self, spoken: Spoken) -> Arc<ServerConfig> {
        match spoken {
            Spoken::Grpc => Arc::clone(&self.grpc),
            Spoken::Http => Arc::clone(&self.http),
        }
    }
}

/// Makes it of certificate, key and, where clients need certificates, authorities.
fn configs(contents: &[Vec<u8>]) -> Result<Configs, String> {
    let chain = certificates("cert", &contents[0])?;
    let key = PrivateKeyDer::from_pem_slice(&contents[1])
        .map_err(|error| format!("key: {error}; expected a private key in PEM"))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match contents.get(2) {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates("client_ca", authorities)? {
                let added = roots.add(authority);
                added.map_err(|error| format!("client_ca: {error}"))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| format!("client_ca: {e}"))?)
        }
    };
    let mut http = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("cert and key: {error}"))?;
    let mut grpc = http.clone();
    grpc.alpn_protocols = vec![b"h2".to_vec()];
    http.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Configs {
        grpc: Arc::new(grpc),
        http: Arc::new(http),
    })
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!(
            "{what}: there is no certificate in it; expected PEM"
        )),
        Err(error) => Err(format!("{what}: {error}; expected certificates in PEM")),
    }
}

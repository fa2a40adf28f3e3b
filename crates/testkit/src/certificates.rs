//! Certificates of authorities that nobody trusts but who is told to.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use std::path::Path;

/// An authority, which signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its private key, in PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// Makes an authority.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str) -> Result<Authority> {
        let mut params = named(name, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("make a key")?;
        let cert = params.self_signed(&key).context("sign a certificate")?;
        Ok(Authority {
            pem: cert.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Its own certificate, by which those that it signs are believed.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate of this machine's loopback: of `localhost` and 127.0.0.1.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn server(&self) -> Result<Pair> {
        let mut params = named("server", &["localhost", "127.0.0.1"])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    /// A certificate of one of many servers that call one another, as those of a Redis Cluster do: each is a
    /// client of the others. It is of `host` alone.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn peer(&self, host: &str) -> Result<Pair> {
        let mut params = named("peer", &[host])?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.sign(&params)
    }

    /// A certificate of a client.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn client(&self, name: &str) -> Result<Pair> {
        let mut params = named(name, &[])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    /// A certificate of a client that was valid until the end of 2019.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn expired_client(&self, name: &str) -> Result<Pair> {
        let mut params = named(name, &[])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2019, 12, 31);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Pair> {
        let key = KeyPair::generate().context("make a key")?;
        let cert = params.signed_by(&key, &self.issuer);
        Ok(Pair {
            cert: cert.context("sign a certificate")?.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl Pair {
    /// Writes it as `NAME.pem` and `NAME.key`.
    ///
    /// # Errors
    /// When that cannot be.
    pub fn write(&self, folder: &Path, name: &str) -> Result<()> {
        std::fs::write(folder.join(format!("{name}.pem")), &self.cert)?;
        std::fs::write(folder.join(format!("{name}.key")), &self.key)?;
        Ok(())
    }
}

fn named(name: &str, hosts: &[&str]) -> Result<CertificateParams> {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).context("name a certificate")?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

//! Servers of Redis that speak TLS: to clients, and among themselves.

use crate::certificates::Authority;
use crate::ports::free_ports;
use anyhow::{Context, Result};
use tempfile::TempDir;

/// The host that their certificates are of, and no other: not of 127.0.0.1.
pub(super) const HOST: &str = "localhost";

/// What makes some servers speak TLS, besides what they speak without it, to which only this crate comes.
#[derive(Debug)]
pub(super) struct Tls {
    /// Where each does.
    ports: Vec<u16>,
    /// The certificate of all of them, its key, and the authority.
    folder: TempDir,
}

impl Tls {
    pub(super) fn new(servers: usize) -> Result<Tls> {
        let authority = Authority::new("redis")?;
        let folder = tempfile::tempdir().context("make a folder for certificates")?;
        authority.peer(HOST)?.write(folder.path(), "redis")?;
        let ca = folder.path().join("ca.pem");
        std::fs::write(ca, authority.pem()).context("write the authority's certificate")?;
        Ok(Tls {
            ports: free_ports(servers)?,
            folder,
        })
    }

    /// Where each speaks it.
    pub(super) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// The file of the authority by which they are believed.
    pub(super) fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// The settings of the server at `place`, by name. What servers say among themselves is TLS as well: only
    /// then do they tell where the others speak it.
    pub(super) fn settings(&self, place: usize) -> Vec<(&'static str, String)> {
        vec![
            ("tls-port", self.ports[place].to_string()),
            ("tls-replication", "yes".to_owned()),
            ("tls-cert-file", self.path("redis.pem")),
            ("tls-key-file", self.path("redis.key")),
            ("tls-ca-cert-file", self.ca()),
            ("tls-auth-clients", "no".to_owned()),
        ]
    }

    /// The same, as words of a command line.
    pub(super) fn words(&self, place: usize) -> Vec<String> {
        let settings = self.settings(place).into_iter();
        settings
            .flat_map(|(name, value)| [format!("--{name}"), value])
            .collect()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// The URL that names servers: those at `over_tls` by their host's name, or else those at `plain`.
pub(super) fn url(over_tls: Option<&[u16]>, plain: impl Iterator<Item = u16>) -> String {
    let (scheme, host, ports) = match over_tls {
        Some(ports) => ("rediss", HOST, ports.to_vec()),
        None => ("redis", "127.0.0.1", plain.collect()),
    };
    let hosts = ports.iter().map(|port| format!("{host}:{port}"));
    format!("{scheme}://{}", hosts.collect::<Vec<_>>().join(","))
}

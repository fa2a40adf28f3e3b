//! How a command reaches a server: by whose certificates it is believed, and as who.

use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use tiderace_serve::client;

/// Arguments of every command that asks a server.
#[derive(Clone, Debug, Default, Args)]
pub struct Access {
    /// A file of certificates (PEM) that the server's is checked by: TLS.
    #[arg(long, env = "TIDERACE_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A certificate (PEM) to show to a server that asks for one.
    #[arg(long, env = "TIDERACE_CERT", value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Its private key.
    #[arg(long, env = "TIDERACE_KEY", value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// A file with the token to send. Without it, the variable TIDERACE_TOKEN.
    #[arg(long, env = "TIDERACE_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl Access {
    /// What the variables of the environment say, for commands without these arguments.
    #[must_use]
    pub fn of_environment() -> Access {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        Access {
            ca: path("TIDERACE_CA"),
            cert: path("TIDERACE_CERT"),
            key: path("TIDERACE_KEY"),
            token_file: path("TIDERACE_TOKEN_FILE"),
        }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read(&self) -> Result<client::Access> {
        let bytes =
            |path: &Path| std::fs::read(path).with_context(|| format!("read {}", path.display()));
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((bytes(cert)?, bytes(key)?)),
            _ => None,
        };
        let token = match &self.token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.with_context(|| format!("read {}", path.display()))?;
                let first = text.lines().next().unwrap_or_default().trim();
                if first.is_empty() {
                    bail!("{}: expected a token in the first line", path.display());
                }
                Some(first.to_owned())
            }
            None => std::env::var("TIDERACE_TOKEN")
                .ok()
                .filter(|text| !text.is_empty()),
        };
        Ok(client::Access {
            ca: self.ca.as_deref().map(bytes).transpose()?,
            identity,
            token,
        })
    }
}

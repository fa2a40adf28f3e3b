//! Who signs in to Redis, and by whose certificates a Redis is believed.

use crate::Error;
use crate::error::Kind;
use ::redis::{Client, ConnectionInfo, RedisConnectionInfo, TlsCertificates};
use std::fmt;

/// What the URL does not say of how Redis is reached. The default is nothing more than the URL.
#[derive(Clone, Default)]
pub struct RedisAccess {
    /// Who signs in, in place of whom the URL names.
    pub login: Option<Login>,
    /// Certificates in PEM that Redis' own is checked by, in place of the public ones.
    pub ca: Option<Vec<u8>>,
    /// The master that the servers of the URL, which are sentinels then, tell of.
    pub sentinel: Option<Sentinel>,
}

/// A master that sentinels tell of.
#[derive(Clone, Debug)]
pub struct Sentinel {
    /// What they call it.
    pub master: String,
    /// Who signs in to them; without it nobody does.
    pub login: Option<Login>,
}

/// A user of Redis.
#[derive(Clone)]
pub struct Login {
    /// The name; without it Redis' own `default`.
    pub user: Option<String>,
    /// The password.
    pub password: String,
}

/// Without the password, so that it is in no log.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisAccess")
            .field("login", &self.login)
            .field("sentinel", &self.sentinel)
            .finish_non_exhaustive()
    }
}

impl Login {
    fn sign_in(&self, settings: RedisConnectionInfo) -> RedisConnectionInfo {
        let settings = settings.set_password(&self.password);
        match &self.user {
            Some(user) => settings.set_username(user),
            None => settings,
        }
    }
}

impl RedisAccess {
    /// Adds it to what the URL says.
    pub(super) fn apply(&self, info: ConnectionInfo) -> Result<ConnectionInfo, Error> {
        let info = match &self.login {
            None => info,
            Some(login) => {
                let settings = login.sign_in(info.redis_settings().clone());
                info.set_redis_settings(settings)
            }
        };
        self.believe(info)
    }

    /// What is said of a sentinel: of the URL its address alone.
    pub(super) fn of_sentinel(
        &self,
        sentinel: &Sentinel,
        info: ConnectionInfo,
    ) -> Result<ConnectionInfo, Error> {
        let settings = RedisConnectionInfo::default();
        let settings = match &sentinel.login {
            None => settings,
            Some(login) => login.sign_in(settings),
        };
        self.believe(info.set_redis_settings(settings))
    }

    /// Adds the certificates that servers are checked by.
    fn believe(&self, info: ConnectionInfo) -> Result<ConnectionInfo, Error> {
        let Some(ca) = &self.ca else {
            return Ok(info);
        };
        let words = b"-----BEGIN CERTIFICATE-----";
        if !ca.windows(words.len()).any(|found| found == words) {
            let message = "the certificates to check redis by: there are none; expected PEM";
            return Err(Error::new(Kind::Invalid, message.to_owned()));
        }
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: Some(ca.clone()),
        };
        let client = Client::build_with_tls(info, certificates).map_err(|error| {
            let message = format!(
                "the certificates to check redis by: {error}; they go with a URL that begins with rediss://"
            );
            Error::new(Kind::Invalid, message)
        })?;
        Ok(client.get_connection_info().clone())
    }
}

//! Who signs in to Redis, and by whose certificates a Redis is believed.

use crate::Error;
use crate::error::Kind;
use ::redis::{Client, ConnectionInfo, TlsCertificates};
use std::fmt;

/// What the URL does not say of how Redis is reached. The default is nothing more than the URL.
#[derive(Clone, Default)]
pub struct RedisAccess {
    /// Who signs in, in place of whom the URL names.
    pub login: Option<Login>,
    /// Certificates in PEM that Redis' own is checked by, in place of the public ones.
    pub ca: Option<Vec<u8>>,
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
            .finish_non_exhaustive()
    }
}

impl RedisAccess {
    /// Adds it to what the URL says.
    pub(super) fn apply(&self, info: ConnectionInfo) -> Result<ConnectionInfo, Error> {
        let info = match &self.login {
            None => info,
            Some(login) => {
                let mut settings = info.redis_settings().clone().set_password(&login.password);
                if let Some(user) = &login.user {
                    settings = settings.set_username(user);
                }
                info.set_redis_settings(settings)
            }
        };
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

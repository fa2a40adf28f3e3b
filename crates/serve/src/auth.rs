//! Who a token is of: static tokens, kept as hashes, and JSON Web Tokens.
//!
//! No token is kept, logged or told; what is wrong with one is said in words of ours.

mod jwt;
mod keys;
mod token;

pub use token::{mint, sha256};

use crate::{Error, Reason, Reporter};
use jwt::Tokens;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tiderace_plan::model;
use tiderace_types::Timestamp;
use token::Digests;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Who may ask for what, and where the keys of JSON Web Tokens are.
#[derive(Clone, Debug)]
pub struct Auth {
    /// As the project says it.
    pub callers: Vec<model::Caller>,
    /// Whose JSON Web Tokens are believed.
    pub jwt: Option<JwtIssuer>,
}

/// An issuer of JSON Web Tokens.
#[derive(Clone, Debug)]
pub struct JwtIssuer {
    /// The file of its public keys.
    pub jwks: PathBuf,
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be, or have.
    pub audience: String,
}

/// Who asks, as far as a token says.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    /// What it may do: what any of these may.
    pub(crate) rights: Arc<[Arc<model::Rights>]>,
    /// Until when.
    pub(crate) expires: Option<Timestamp>,
}

/// Why a token is nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// Whose it says it is, where that is proved.
    pub(crate) who: Option<String>,
    pub(crate) message: String,
}

impl Refusal {
    fn new(reason: Reason, message: impl Into<String>) -> Refusal {
        Refusal {
            reason,
            who: None,
            message: message.into(),
        }
    }
}

/// What knows callers by their tokens.
pub(crate) struct Callers {
    digests: Digests,
    jwt: Option<Tokens>,
}

/// The longest token that is looked at.
const LONGEST: usize = 8 << 10;

impl Callers {
    /// Gets ready to know them; reads the keys of JSON Web Tokens, again when they change.
    ///
    /// # Errors
    /// When the keys cannot be read.
    pub(crate) async fn start(
        auth: &Auth,
        every: Duration,
        reporter: Reporter,
        stopped: watch::Receiver<()>,
    ) -> Result<(Callers, Option<JoinHandle<()>>), Error> {
        let (jwt, watching) = match &auth.jwt {
            None => (None, None),
            Some(issuer) => {
                let files = keys::files(issuer.jwks.clone());
                let (keys, watching) = files.watch(every, reporter, stopped).await?;
                let tokens = Tokens::new(issuer, keys, &auth.callers);
                (Some(tokens), Some(watching))
            }
        };
        let digests = Digests::new(&auth.callers);
        Ok((Callers { digests, jwt }, watching))
    }

    /// Finds out whose a token is.
    ///
    /// # Errors
    /// When it is nobody's, or not now.
    pub(crate) fn identify(&self, token: &str, now: Timestamp) -> Result<Identity, Refusal> {
        if token.len() > LONGEST {
            let message = format!("the token is longer than {LONGEST} bytes");
            return Err(Refusal::new(Reason::Malformed, message));
        }
        if let Some(identity) = self.digests.find(token) {
            return Ok(identity);
        }
        // A JSON Web Token has three parts; a static token has no dot.
        match &self.jwt {
            Some(jwt) if token.contains('.') => jwt.identify(token, now),
            _ => Err(Refusal::new(
                Reason::UnknownToken,
                "the token is not known here; `tiderace token` makes one, and its hash goes to \
                 `serving.auth.callers`",
            )),
        }
    }
}

//! JSON Web Tokens: whose signature, issuer, audience and time are right.
//!
//! A token that was found right is known by its hash for as long as the keys stand and it has not expired:
//! checking a signature takes up to a tenth of a millisecond.
//!
//! Only what is needed of the standard is here, over ring's signatures: three public algorithms, and claims that are
//! all required. A token's header chooses among keys, never an algorithm.

use super::keys::Keys;
use super::{Identity, JwtIssuer, Refusal, token};
use crate::Reason;
use crate::watched::Watched;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tiderace_plan::model;
use tiderace_types::{Timestamp, base64};

/// By how much clocks may disagree, in seconds.
const LEEWAY: f64 = 30.0;

/// How many tokens are known.
const KNOWN: usize = 1_024;

/// Knows callers by their JSON Web Tokens.
pub(super) struct Tokens {
    keys: Watched<Keys>,
    issuer: String,
    audience: String,
    grants: Vec<Grant>,
    known: RwLock<Known>,
}

/// Who is known by subject or scope, and what they may do.
struct Grant {
    subjects: Vec<String>,
    scopes: Vec<String>,
    rights: Arc<model::Rights>,
}

/// Tokens that were found right by these keys.
struct Known {
    keys: Arc<Keys>,
    tokens: HashMap<[u8; 32], Identity>,
}

/// What is read of a token's header.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood. None is.
    crit: Option<Json>,
}

/// What is read of a token.
#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    aud: Option<Audience>,
    sub: Option<String>,
    exp: f64,
    nbf: Option<f64>,
    scope: Option<Scopes>,
    scp: Option<Scopes>,
}

/// Whom a token is for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// One text with spaces between scopes, or a list of them: issuers do either.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scopes {
    Text(String),
    List(Vec<String>),
}

impl Scopes {
    fn has(&self, wanted: &str) -> bool {
        match self {
            Scopes::Text(text) => text.split(' ').any(|scope| scope == wanted),
            Scopes::List(list) => list.iter().any(|scope| scope == wanted),
        }
    }
}

impl Tokens {
    pub(super) fn new(
        issuer: &JwtIssuer,
        keys: Watched<Keys>,
        callers: &[model::Caller],
    ) -> Tokens {
        let grant = |caller: &model::Caller| Grant {
            subjects: caller.subjects.clone(),
            scopes: caller.scopes.clone(),
            rights: Arc::new(caller.rights.clone()),
        };
        Tokens {
            known: RwLock::new(Known {
                keys: keys.now(),
                tokens: HashMap::new(),
            }),
            keys,
            issuer: issuer.issuer.clone(),
            audience: issuer.audience.clone(),
            grants: callers.iter().map(grant).collect(),
        }
    }

    /// Finds out whose a token is.
    ///
    /// # Errors
    /// When it is not right, not right now, or nobody's.
    pub(super) fn identify(&self, text: &str, now: Timestamp) -> Result<Identity, Refusal> {
        let keys = self.keys.now();
        let hash = token::hash(text);
        if let Some(identity) = self.remembered(&keys, &hash) {
            check_expiry(identity.expires, now)?;
            return Ok(identity);
        }
        let claims = self.verified(&keys, text)?;
        let expires = instant(claims.exp + LEEWAY);
        check_expiry(Some(expires), now)?;
        if let Some(begins) = claims.nbf
            && instant(begins - LEEWAY) > now
        {
            let message = "the token is not valid yet: see its `nbf` and the clocks";
            return Err(Refusal::new(Reason::NotYetValid, message));
        }
        let identity = self.granted(&claims, expires)?;
        self.remember(&keys, hash, &identity);
        Ok(identity)
    }

    /// The claims of a token that one of the keys has signed, by that key's algorithm.
    fn verified(&self, keys: &Keys, text: &str) -> Result<Claims, Refusal> {
        let (message, signature) = text.rsplit_once('.').ok_or_else(unreadable)?;
        let (header, body) = message.split_once('.').ok_or_else(unreadable)?;
        let parsed: Header = part(header)?;
        if parsed.crit.is_some() {
            return Err(unreadable());
        }
        let signature = bytes(signature)?;
        let mut refusal = unknown_key("no key in the JWKS file has its `kid`");
        for key in keys.of(parsed.kid.as_deref()) {
            if parsed.alg != key.algorithm() {
                refusal = unknown_key("its algorithm is not that of the key in the JWKS file");
            } else if key.has_signed(message.as_bytes(), &signature) {
                let claims = part(body)?;
                self.check(&claims)?;
                return Ok(claims);
            } else {
                let message = "the token's signature is wrong";
                refusal = Refusal::new(Reason::Signature, message);
            }
        }
        Err(refusal)
    }

    /// Checks that it is of the issuer, for the audience.
    fn check(&self, claims: &Claims) -> Result<(), Refusal> {
        let (Some(issuer), Some(audience)) = (&claims.iss, &claims.aud) else {
            let message = "the token has no issuer (`iss`) or no audience (`aud`)";
            return Err(Refusal::new(Reason::Malformed, message));
        };
        if *issuer != self.issuer {
            let message = format!("the token's issuer (`iss`) is not {:?}", self.issuer);
            return Err(Refusal::new(Reason::Issuer, message));
        }
        let is_for_us = match audience {
            Audience::One(one) => *one == self.audience,
            Audience::Many(many) => many.contains(&self.audience),
        };
        if !is_for_us {
            let message = format!(
                "the token is not for the audience (`aud`) {:?}",
                self.audience
            );
            return Err(Refusal::new(Reason::Audience, message));
        }
        Ok(())
    }

    fn granted(&self, claims: &Claims, expires: Timestamp) -> Result<Identity, Refusal> {
        let subject = claims.sub.as_deref().unwrap_or_default();
        let scopes = || claims.scope.iter().chain(&claims.scp);
        let is_of = |grant: &&Grant| {
            let mut wanted = grant.scopes.iter();
            grant.subjects.iter().any(|known| known == subject)
                || wanted.any(|scope| scopes().any(|has| has.has(scope)))
        };
        let rights = self.grants.iter().filter(is_of);
        let rights: Arc<[_]> = rights.map(|grant| Arc::clone(&grant.rights)).collect();
        if rights.is_empty() {
            return Err(Refusal {
                reason: Reason::UnknownCaller,
                who: Some(subject.to_owned()),
                message: format!(
                    "no caller is known by the token's subject {subject:?} or one of its scopes; \
                     name it in `serving.auth.callers`"
                ),
            });
        }
        Ok(Identity {
            name: subject.into(),
            rights,
            expires: Some(expires),
        })
    }

    fn remembered(&self, keys: &Arc<Keys>, hash: &[u8; 32]) -> Option<Identity> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let identity = known.tokens.get(hash)?;
        Arc::ptr_eq(&known.keys, keys).then(|| identity.clone())
    }

    fn remember(&self, keys: &Arc<Keys>, hash: [u8; 32], identity: &Identity) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.tokens.len() >= KNOWN || !Arc::ptr_eq(&known.keys, keys) {
            known.tokens.clear();
            known.keys = Arc::clone(keys);
        }
        known.tokens.insert(hash, identity.clone());
    }
}

/// One part of a token: JSON in base64.
fn part<T: DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    serde_json::from_slice(&bytes(text)?).map_err(|_| unreadable())
}

fn bytes(text: &str) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    match base64::decode_into(text.as_bytes(), &mut bytes) {
        true => Ok(bytes),
        false => Err(unreadable()),
    }
}

fn unreadable() -> Refusal {
    Refusal::new(
        Reason::Malformed,
        "the token cannot be read: expected a signed JSON Web Token with `exp`",
    )
}

fn unknown_key(message: &str) -> Refusal {
    let message = format!("the token is signed by no key that is believed: {message}");
    Refusal::new(Reason::UnknownKey, message)
}

/// Checks that it is not past `expires`.
///
/// # Errors
/// When it is.
pub(super) fn check_expiry(expires: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
    match expires {
        Some(expires) if expires <= now => Err(Refusal::new(
            Reason::Expired,
            "the token has expired; get a new one from its issuer",
        )),
        _ => Ok(()),
    }
}

/// Seconds since 1970 as an instant; what is beyond all instants is the last one.
fn instant(seconds: f64) -> Timestamp {
    #[allow(clippy::cast_possible_truncation)]
    // A cast of a float stops at the ends; it does not wrap.
    Timestamp((seconds * 1e6) as i64)
}

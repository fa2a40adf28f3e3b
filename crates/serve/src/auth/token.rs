//! Static tokens: 256 bits of chance, kept as their hashes.
//!
//! They are too many to be guessed, so that a fast hash is enough. All hashes are compared, each in
//! constant time.

use super::Identity;
use crate::{Error, Kind};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt::Write;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tiderace_plan::model;

/// What every token begins with, so that it is known for one where it should not be.
const PREFIX: &str = "tdr_";

/// Makes a token.
///
/// # Errors
/// When the system gives no randomness.
pub fn mint() -> Result<String, Error> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::new(Kind::Bug, "the system gives no randomness"))?;
    Ok(format!("{PREFIX}{}", hexadecimal(&bytes)))
}

/// The hash of a token as definitions have it: `sha256:…`.
#[must_use]
pub fn sha256(token: &str) -> String {
    format!("sha256:{}", hexadecimal(&hash(token)))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes what is written");
    }
    text
}

pub(super) fn hash(token: &str) -> [u8; 32] {
    let digest = digest(&SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The hashes of all tokens, with whose they are.
pub(super) struct Digests(Vec<([u8; 32], Identity)>);

impl Digests {
    pub(super) fn new(callers: &[model::Caller]) -> Digests {
        let of_caller = |caller: &model::Caller| {
            let identity = Identity {
                name: caller.name.as_str().into(),
                rights: [Arc::new(caller.rights.clone())].into(),
                expires: None,
            };
            let tokens = caller.tokens.clone().into_iter();
            tokens.map(move |token| (token, identity.clone()))
        };
        Digests(callers.iter().flat_map(of_caller).collect())
    }

    pub(super) fn find(&self, token: &str) -> Option<Identity> {
        let hash = hash(token);
        let mut found = None;
        for (known, identity) in &self.0 {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(identity);
            }
        }
        found.cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash() {
        let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256("abc"), known);
    }

    #[test]
    fn tokens_differ() {
        let (one, two) = (mint().expect("a token"), mint().expect("a token"));
        assert_ne!(one, two);
        assert_eq!(one.len(), PREFIX.len() + 64);
        assert!(one.starts_with(PREFIX), "{one}");
    }
}

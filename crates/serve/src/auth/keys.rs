//! The public keys of an issuer: a JWKS file. Each key is for one algorithm, whatever a token says.

use crate::watched::Files;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value as Json;
use std::path::PathBuf;
use tiderace_types::base64;

/// The keys that are believed.
pub(super) struct Keys(Vec<Key>);

/// A public key, by its algorithm.
pub(super) struct Key {
    id: Option<String>,
    public: Public,
}

enum Public {
    /// Modulus and exponent.
    Rs256 {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// The point, uncompressed.
    Es256(Vec<u8>),
    EdDsa(Vec<u8>),
}

impl Keys {
    /// Those that may have signed a token with this `kid`.
    pub(super) fn of(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        let keys = self.0.iter();
        keys.filter(move |key| id.is_none() || key.id.is_none() || key.id.as_deref() == id)
    }
}

impl Key {
    /// The name of its algorithm, as headers of tokens have it.
    pub(super) fn algorithm(&self) -> &'static str {
        match self.public {
            Public::Rs256 { .. } => "RS256",
            Public::Es256(_) => "ES256",
            Public::EdDsa(_) => "EdDSA",
        }
    }

    /// Tells whether this key has signed `message`.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.public {
            Public::Rs256 { n, e } => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Public::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Public::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
        };
        verified.is_ok()
    }
}

/// The file of keys, watched.
pub(super) fn files(jwks: PathBuf) -> Files<Keys> {
    Files {
        what: "jwks",
        paths: vec![jwks],
        read: |contents| keys(&contents[0]),
    }
}

/// What is read of a key in the file.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    kid: Option<String>,
    #[serde(rename = "use")]
    used: Option<String>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

fn keys(content: &[u8]) -> Result<Keys, String> {
    let set: Json = serde_json::from_slice(content)
        .map_err(|error| format!("{error}; expected a JSON Web Key Set"))?;
    let Some(list) = set.get("keys").and_then(Json::as_array) else {
        return Err("expected a JSON object with the array `keys`".to_owned());
    };
    // Keys for anything else (encryption, other algorithms) may be among them.
    let found: Vec<Key> = list.iter().filter_map(key).collect();
    if found.is_empty() {
        return Err("there is no public key for RS256, ES256 or EdDSA in it".to_owned());
    }
    Ok(Keys(found))
}

fn key(json: &Json) -> Option<Key> {
    let jwk = Jwk::deserialize(json).ok()?;
    if jwk.used.is_some_and(|used| used != "sig") {
        return None;
    }
    let public = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Public::Rs256 {
            n: number(jwk.n?)?,
            e: number(jwk.e?)?,
        },
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes(jwk.x?)?, bytes(jwk.y?)?);
            if (x.len(), y.len()) != (32, 32) {
                return None;
            }
            Public::Es256([&[4], x.as_slice(), y.as_slice()].concat())
        }
        ("OKP", Some("Ed25519")) => Public::EdDsa(bytes(jwk.x?)?),
        _ => return None,
    };
    let key = Key {
        id: jwk.kid,
        public,
    };
    let named = jwk.alg.is_none_or(|alg| alg == key.algorithm());
    named.then_some(key)
}

/// An unsigned number, without the zeros that some issuers put before it.
fn number(text: String) -> Option<Vec<u8>> {
    let bytes = bytes(text)?;
    let begin = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[begin..].to_vec())
}

fn bytes(text: String) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    base64::decode_into(text.as_bytes(), &mut bytes).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_keys_of_these_algorithms_are_taken() {
        let check = |json: &str, expect: Option<&str>| {
            let found = keys(format!("{{\"keys\": [{json}]}}").as_bytes());
            let found = found.ok().map(|keys| keys.0[0].algorithm());
            assert_eq!(found, expect, "{json}");
        };
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let ed = |more: &str| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"{more}}}"#);
        check(&ed(""), Some("EdDSA"));
        check(&ed(r#","use":"sig","alg":"EdDSA""#), Some("EdDSA"));
        check(&ed(r#","use":"enc""#), None);
        check(&ed(r#","alg":"HS256""#), None);
        check(r#"{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}"#, None);
        check(r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#, Some("RS256"));
        check(r#"{"kty":"RSA","n":"AQAB"}"#, None);
        let pss = r#"{"kty":"RSA","n":"AQAB","e":"AQAB","alg":"PS256"}"#;
        check(pss, None);
        let ec = |curve: &str| format!(r#"{{"kty":"EC","crv":"{curve}","x":"{x}","y":"{x}"}}"#);
        check(&ec("P-256"), Some("ES256"));
        check(&ec("P-384"), None);
        check(r#"{"kty":"EC","crv":"P-256","x":"AQAB","y":"AQAB"}"#, None);
        check("", None);
    }
}

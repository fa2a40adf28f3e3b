//! JSON Web Tokens: of the right issuer, by the right keys, for a time, and by no algorithm but the key's.

use crate::world::{SPEND, Visitor, World, denials, metric};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use serde_json::{Value as Json, json};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tiderace_testkit::wait;
use tiderace_types::base64;

/// A private key of an issuer.
enum Signer {
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Signer {
    fn rs256() -> Signer {
        // ring makes no keys of RSA.
        let words = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER";
        let made = Command::new("openssl").args(words.split(' ')).output();
        let made = made.expect("openssl");
        Signer::Rs256(RsaKeyPair::from_der(&made.stdout).expect("a key"))
    }

    fn es256() -> Signer {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random);
        Signer::Es256(key.expect("a key"))
    }

    fn eddsa() -> Signer {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Signer::EdDsa(Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key"))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Signer::Rs256(_) => "RS256",
            Signer::Es256(_) => "ES256",
            Signer::EdDsa(_) => "EdDSA",
        }
    }

    /// Its public part, as a JWKS has it.
    fn public(&self, id: &str) -> Json {
        match self {
            Signer::Rs256(key) => {
                let parts = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kty": "RSA", "kid": id, "use": "sig", "n": url(&parts.n), "e": url(&parts.e)})
            }
            Signer::Es256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": url(x), "y": url(y)})
            }
            Signer::EdDsa(key) => {
                let x = url(key.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": x})
            }
        }
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Signer::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .expect("a signature");
                signature
            }
            Signer::Es256(key) => {
                let signature = key.sign(&random, message);
                signature.expect("a signature").as_ref().to_vec()
            }
            Signer::EdDsa(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// A token that this key has signed.
    fn token(&self, id: &str, claims: &Json) -> String {
        let header = json!({"alg": self.algorithm(), "kid": id, "typ": "JWT"});
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", url(&signature))
    }
}

fn url(bytes: &[u8]) -> String {
    let text = base64::encode(bytes).replace('+', "-").replace('/', "_");
    text.trim_end_matches('=').to_owned()
}

fn part(json: &Json) -> String {
    url(json.to_string().as_bytes())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

/// Claims that are right, with changes; null takes one away.
fn claims(changes: &Json) -> Json {
    let mut claims = json!({
        "iss": "https://issuer.example", "aud": ["other", "tiderace"], "sub": "model-7", "exp": now() + 600,
    });
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let claims = claims.as_object_mut().expect("an object");
    claims.retain(|_, value| !value.is_null());
    Json::Object(claims.clone())
}

const AUTH: &str = "  auth:
    jwt: { jwks: jwks.json, issuer: \"https://issuer.example\", audience: tiderace }
    callers:
      - { name: scoring, subjects: [model-7], services: [spend] }
      - { name: watch, scopes: [metrics], admin: true }
      - { name: other, subjects: [model-8], services: [risk] }";

fn keys(world: &World, keys: &[Json]) {
    world.write("jwks.json", &json!({"keys": keys}).to_string());
}

#[test]
fn tokens_are_believed_only_when_everything_is_right() {
    let world = World::new();
    let (rsa, ec, ed) = (Signer::rs256(), Signer::es256(), Signer::eddsa());
    let stranger = Signer::es256();
    // Among them a key that everybody knows: it is no public key, and not for signatures that count.
    let shared =
        json!({"kty": "oct", "kid": "shared", "k": url(b"everybody-knows"), "alg": "HS256"});
    keys(
        &world,
        &[rsa.public("r"), shared, ec.public("e"), ed.public("d")],
    );
    world.protect(AUTH);
    let anybody = Visitor::default();
    let server = world.run(&anybody);
    let http = server.ports().http;
    let ask = |token: &str| {
        let answer = anybody.with_token(token).post(http, "/v1/features", SPEND);
        answer.expect("an answer")
    };

    let right = claims(&json!({}));
    for (signer, id) in [(&rsa, "r"), (&ec, "e"), (&ed, "d")] {
        let token = signer.token(id, &right);
        // The second time it is known already.
        for _ in 0..2 {
            let (status, body) = ask(&token);
            assert_eq!(status, 200, "{}: {body}", signer.algorithm());
        }
    }
    assert_eq!(
        ask(&ec.token("e", &claims(&json!({"aud": "tiderace"})))).0,
        200
    );
    // A token without a `kid` is tried by every key; clocks may differ a little.
    assert_eq!(ask(&unnamed(&ed, &right)).0, 200);
    assert_eq!(
        ask(&ec.token("e", &claims(&json!({"exp": now() - 10})))).0,
        200
    );

    let mut told = Vec::new();
    let mut denied = |what: &str, token: String, expect: u16, reason: &'static str| {
        let (status, body) = ask(&token);
        assert_eq!(status, expect, "{what}: {body}");
        assert!(!body.contains(&token), "{body}");
        told.push((reason, token));
    };
    let signed = |changes: Json| ec.token("e", &claims(&changes));
    denied(
        "expired",
        signed(json!({"exp": now() - 60})),
        401,
        "expired",
    );
    denied("no end", signed(json!({"exp": null})), 401, "malformed");
    denied(
        "an end in words",
        signed(json!({"exp": "never"})),
        401,
        "malformed",
    );
    denied(
        "not yet",
        signed(json!({"nbf": now() + 600})),
        401,
        "not_yet_valid",
    );
    let issuer = json!({"iss": "https://other.example"});
    denied("of another", signed(issuer), 401, "issuer");
    denied("of nobody", signed(json!({"iss": null})), 401, "malformed");
    denied(
        "for another",
        signed(json!({"aud": "other"})),
        401,
        "audience",
    );
    denied("for nobody", signed(json!({"aud": null})), 401, "malformed");
    denied(
        "of nobody known",
        signed(json!({"sub": "x"})),
        403,
        "unknown_caller",
    );
    denied(
        "no rights",
        signed(json!({"sub": "model-8"})),
        403,
        "not_allowed",
    );
    denied(
        "a foreign key",
        stranger.token("e", &right),
        401,
        "signature",
    );
    denied(
        "a foreign key's name",
        stranger.token("s", &right),
        401,
        "unknown_key",
    );
    let other_key = ed.token("e", &right);
    denied("another key's name", other_key, 401, "unknown_key");
    let good = ec.token("e", &right);
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let other = part(&claims(&json!({"sub": "model-8"})));
    let (header, _) = message.split_once('.').expect("two parts");
    denied(
        "changed",
        format!("{header}.{other}.{signature}"),
        401,
        "signature",
    );
    denied("cut", message.to_owned(), 401, "malformed");

    // What the token says of its algorithm decides nothing.
    let body = part(&right);
    for name in ["none", "None", "NONE", ""] {
        let header = part(&json!({"alg": name, "kid": "e"}));
        denied("unsigned", format!("{header}.{body}."), 401, "unknown_key");
    }
    let public = ec.public("e").to_string();
    let secrets: [(&str, &[u8], &str); 3] = [
        ("e", public.as_bytes(), "unknown_key"),
        ("r", &rsa_der(&rsa), "unknown_key"),
        ("shared", b"everybody-knows", "unknown_key"),
    ];
    for (id, secret, reason) in secrets {
        let message = format!("{}.{body}", part(&json!({"alg": "HS256", "kid": id})));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let tag = ring::hmac::sign(&key, message.as_bytes());
        let token = format!("{message}.{}", url(tag.as_ref()));
        denied("HS256 with what is public", token, 401, reason);
    }

    let watch = ed.token("d", &claims(&json!({"sub": "x", "scope": "a metrics"})));
    let (status, page) = anybody
        .with_token(&watch)
        .get(http, "/metrics")
        .expect("an answer");
    assert_eq!(status, 200, "{page}");
    let log = server.log();
    assert_eq!(denials(&log).len(), told.len(), "{log}");
    for (line, (reason, token)) in denials(&log).iter().zip(&told) {
        assert!(
            line.contains(&format!("reason=\"{reason}\"")),
            "{reason}: {line}"
        );
        let (_, signature) = token.rsplit_once('.').expect("parts");
        assert!(signature.is_empty() || !log.contains(signature), "{line}");
        let name = format!("tiderace_denied_total{{reason=\"{reason}\"}}");
        assert!(metric(&page, &name).expect("a count") >= 1.0, "{page}");
    }
    server.stop().expect("it stops");
}

#[test]
fn changed_keys_are_taken_up() {
    let world = World::new();
    let (old, new) = (Signer::es256(), Signer::es256());
    keys(&world, &[old.public("old")]);
    world.protect(AUTH);
    let server = world.run(&Visitor::default());
    let status = |token: &str| {
        let visitor = Visitor::default().with_token(token);
        let answer = visitor.post(server.ports().http, "/v1/features", SPEND);
        answer.expect("an answer").0
    };
    let by = |signer: &Signer, id| signer.token(id, &claims(&json!({})));
    let (by_old, by_new) = (by(&old, "old"), by(&new, "new"));
    assert_eq!((status(&by_old), status(&by_new)), (200, 401));

    // What cannot be read changes nothing.
    world.write("jwks.json", "{\"keys\": []}");
    crate::world::wait_logged(&server, "no public key for RS256, ES256 or EdDSA");
    assert_eq!((status(&by_old), status(&by_new)), (200, 401));

    keys(&world, &[new.public("new")]);
    let taken = wait::until("the new key", Duration::from_secs(20), || {
        status(&by_new) == 200
    });
    assert!(taken.is_ok(), "{}", server.log());
    // It was known to be right, by a key that is not believed any more.
    assert_eq!(status(&by_old), 401);
    server.stop().expect("it stops");
}

fn unnamed(signer: &Signer, claims: &Json) -> String {
    let header = part(&json!({"alg": signer.algorithm()}));
    let message = format!("{header}.{}", part(claims));
    let signature = url(&signer.signature(message.as_bytes()));
    format!("{message}.{signature}")
}

fn rsa_der(signer: &Signer) -> Vec<u8> {
    match signer {
        Signer::Rs256(key) => key.public().as_ref().to_vec(),
        _ => unreachable!("it is of RSA"),
    }
}

//! How doors are protected: the certificate that they show, and who may ask for what.

use crate::at::At;
use crate::model::{Auth, Caller, Jwt, Names, Rights, Tls};
use crate::names::{self, Defined};
use crate::report::Report;
use crate::text::Place;
use crate::{Code, raw};

/// The certificate, if there is one; the outer `None` when something in it is wrong.
pub(crate) fn tls(report: &Report, serving: Option<&raw::Serving>) -> Option<Option<Tls>> {
    let Some(at) = serving.and_then(|serving| serving.tls.as_ref()) else {
        return Some(None);
    };
    let raw = at.value.as_ref()?;
    let client_ca = match &raw.client_ca {
        Some(path) => Some(filled(report, "a path", path)?),
        None => None,
    };
    Some(Some(Tls {
        cert: filled(report, "a path", &raw.cert)?,
        key: filled(report, "a path", &raw.key)?,
        client_ca,
    }))
}

/// Who may ask for what, if that is said; the outer `None` when something in it is wrong.
pub(crate) fn auth(report: &Report, serving: Option<&raw::Serving>) -> Option<Option<Auth>> {
    let Some(at) = serving.and_then(|serving| serving.auth.as_ref()) else {
        return Some(None);
    };
    let raw = at.value.as_ref()?;
    let before = report.count();
    let jwt = match &raw.jwt {
        Some(at) => at.value.as_ref().and_then(|raw| jwt(report, raw)),
        None => None,
    };
    let mut seen = Seen::default();
    let mut callers = Vec::new();
    for at in raw.callers.value.as_ref()? {
        let Some(raw_caller) = &at.value else {
            continue;
        };
        callers.extend(caller(report, at.place, raw_caller, raw, &mut seen));
    }
    if callers.is_empty() && report.count() == before {
        report.error_help(
            raw.callers.place,
            Code::Shape,
            "nobody may ask for anything",
            "name at least one caller; `tiderace token` makes a token for it",
        );
    }
    (report.count() == before).then_some(Some(Auth { jwt, callers }))
}

fn jwt(report: &Report, raw: &raw::Jwt) -> Option<Jwt> {
    Some(Jwt {
        jwks: filled(report, "a path", &raw.jwks)?,
        issuer: filled(report, "an issuer", &raw.issuer)?,
        audience: filled(report, "an audience", &raw.audience)?,
    })
}

/// What callers have so far.
#[derive(Default)]
struct Seen {
    names: Vec<String>,
    tokens: Vec<String>,
    subjects: Vec<String>,
}

fn caller(
    report: &Report,
    place: Place,
    raw: &raw::Caller,
    auth: &raw::Auth,
    seen: &mut Seen,
) -> Option<Caller> {
    let name = names::identifier(report, "a caller", &raw.name)?;
    names::unique(report, &mut seen.names, "caller", name, raw.name.place);
    let by_jwt = raw.subjects.iter().chain(&raw.scopes);
    if let (None, Some(first)) = (&auth.jwt, by_jwt.clone().next()) {
        report.error_help(
            first.place,
            Code::Value,
            format!("caller `{name}` is known by JSON Web Tokens, and nobody's are believed"),
            "write `jwt: { jwks, issuer, audience }` beside `callers`",
        );
    }
    if raw.tokens.is_empty() && by_jwt.clone().next().is_none() {
        report.error_help(
            place,
            Code::Shape,
            format!("caller `{name}` cannot be known"),
            "give it `tokens`, made by `tiderace token`, or `subjects` or `scopes` of JSON Web Tokens",
        );
    }
    let tokens = raw.tokens.iter().filter_map(|token| {
        let digest = digest(report, token)?;
        let (text, place) = token.text()?;
        names::unique(report, &mut seen.tokens, "token", text, place).then_some(digest)
    });
    let tokens = tokens.collect();
    for at in &raw.subjects {
        if let Some((text, place)) = at.text() {
            names::unique(report, &mut seen.subjects, "subject", text, place);
        }
    }
    let texts = |list: &[At<String>]| {
        let texts = list.iter().filter_map(|at| filled(report, "a text", at));
        texts.collect()
    };
    Some(Caller {
        name: name.to_owned(),
        tokens,
        subjects: texts(&raw.subjects),
        scopes: texts(&raw.scopes),
        rights: Rights {
            services: named(&raw.services),
            views: named(&raw.views),
            push: named(&raw.push),
            admin: raw.admin.as_ref().and_then(|at| at.value).unwrap_or(false),
        },
    })
}

fn named(list: &[At<String>]) -> Names {
    let texts = || list.iter().filter_map(|at| at.value.clone());
    match texts().any(|text| text == ALL) {
        true => Names::All,
        false => Names::Some(texts().collect()),
    }
}

/// Stands for every name.
const ALL: &str = "*";

/// Checks that what callers may ask for is there.
pub(crate) fn check_names<S, V, O>(
    report: &Report,
    serving: Option<&raw::Serving>,
    services: &Defined<S>,
    views: &Defined<V>,
    sources: &Defined<O>,
) {
    let auth = serving.and_then(|serving| serving.auth.as_ref()?.value.as_ref());
    let callers = auth.and_then(|auth| auth.callers.value.as_ref());
    for caller in callers.into_iter().flatten() {
        let Some(caller) = &caller.value else {
            continue;
        };
        check_each(report, &caller.services, services);
        check_each(report, &caller.views, views);
        check_each(report, &caller.push, sources);
    }
}

fn check_each<T>(report: &Report, list: &[At<String>], defined: &Defined<T>) {
    for (text, place) in list.iter().filter_map(At::text) {
        if text != ALL {
            defined.find(report, text, place);
        }
    }
}

/// Reads `sha256:` and 64 hexadecimal digits. What else stands there may be the token itself: it is not
/// repeated.
fn digest(report: &Report, at: &At<String>) -> Option<[u8; 32]> {
    let (text, place) = at.text()?;
    let mut digest = [0; 32];
    let digits = text.strip_prefix("sha256:").map(str::as_bytes);
    let digits = digits.filter(|digits| digits.len() == 64);
    let filled = digits.and_then(|digits| {
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        Some(())
    });
    if filled.is_none() {
        report.error_help(
            place,
            Code::Value,
            "this is not the hash of a token",
            "expected `sha256:` and 64 hexadecimal digits, as `tiderace token` prints them; never the token",
        );
    }
    filled.map(|()| digest)
}

fn filled(report: &Report, what: &str, at: &At<String>) -> Option<String> {
    let (text, place) = at.text()?;
    if text.is_empty() {
        let message = format!("expected {what}, found an empty text");
        report.error(place, Code::Value, message);
        return None;
    }
    Some(text.to_owned())
}

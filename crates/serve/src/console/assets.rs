//! The files of the page, as they lie in `console/` beside the sources: nothing builds them.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

/// A file: its name, its type, its text.
type File = (&'static str, &'static str, &'static str);

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

macro_rules! file {
    ($name:literal, $kind:expr) => {
        ($name, $kind, include_str!(concat!("../../console/", $name)))
    };
}

const FILES: [File; 17] = [
    file!("index.html", HTML),
    file!("style.css", STYLE),
    file!("icon.svg", IMAGE),
    file!("app.js", SCRIPT),
    file!("ask.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("words.js", SCRIPT),
    file!("live.js", SCRIPT),
    file!("chart.js", SCRIPT),
    file!("lineage.js", SCRIPT),
    file!("keys.js", SCRIPT),
    file!("overview.js", SCRIPT),
    file!("catalogue.js", SCRIPT),
    file!("definition.js", SCRIPT),
    file!("entity.js", SCRIPT),
    file!("letters.js", SCRIPT),
    file!("work.js", SCRIPT),
];

/// Nothing but these files runs, nothing but this door is asked, and nobody frames the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    // Another version of the binary has other files under the same names.
    (header::CACHE_CONTROL, "no-cache"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

pub(super) fn router() -> Router {
    Router::new()
        .route("/", get(async || Redirect::temporary("/console/")))
        .route("/console", get(async || Redirect::temporary("/console/")))
        .route("/console/", get(async || file("index.html")))
        .route(
            "/console/{file}",
            get(async |Path(name): Path<String>| file(&name)),
        )
}

fn file(name: &str) -> Response {
    match FILES.iter().find(|(held, _, _)| *held == name) {
        Some((_, kind, text)) => (HEADERS, [(header::CONTENT_TYPE, *kind)], *text).into_response(),
        None => (StatusCode::NOT_FOUND, HEADERS, "there is no such file").into_response(),
    }
}

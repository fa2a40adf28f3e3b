//! Who is let in: one check before every call of every door.
//!
//! It finds out who calls, and hands that on as a [`Caller`], by which rights are judged where it is known
//! what is asked. What is open is named here; everything else needs a token, and what is not known to judge
//! rights by itself needs the right to administer.

use crate::auth::{Auth, Callers, Refusal};
use crate::caller::Call;
use crate::deadline;
use crate::doorway::Peer;
use crate::feast::Fault;
use crate::life::Life;
use crate::occurrence::{Occurrence, Reason, Reporter};
use crate::{Caller, Clock, Error, Kind};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;
use tiderace_trace::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Finds out who calls.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    callers: Option<Callers>,
    reporter: Reporter,
    clock: Clock,
}

/// How a door says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Grpc,
    Json,
    Feast,
}

impl Gate {
    /// Gets ready; without `auth` everybody is let in.
    ///
    /// # Errors
    /// When the keys of JSON Web Tokens cannot be read.
    pub(crate) async fn start(
        auth: Option<&Auth>,
        every: Duration,
        reporter: Reporter,
        clock: Clock,
        stopped: watch::Receiver<()>,
    ) -> Result<(Gate, Option<JoinHandle<()>>), Error> {
        let (callers, watching) = match auth {
            None => (None, None),
            Some(auth) => {
                let started = Callers::start(auth, every, reporter.clone(), stopped).await;
                let (callers, watching) = started?;
                (Some(callers), watching)
            }
        };
        let inner = Inner {
            callers,
            reporter,
            clock,
        };
        Ok((Gate(Arc::new(inner)), watching))
    }

    /// Finds out who makes a call.
    fn enter<B>(&self, request: &Request<B>, peer: Peer) -> Result<Caller, Error> {
        let Some(callers) = &self.0.callers else {
            return Ok(Caller::anybody());
        };
        let call = Call {
            method: request.method().clone(),
            uri: request.uri().clone(),
            peer: Some(peer),
        };
        let now = (self.0.clock)();
        let known = bearer(request.headers()).and_then(|token| callers.identify(token, now));
        match known {
            Ok(identity) => {
                let (reporter, clock) = (self.0.reporter.clone(), Arc::clone(&self.0.clock));
                Ok(Caller::known(identity, call, reporter, clock))
            }
            Err(refusal) => {
                let denial = call.denied(refusal.who, refusal.reason, &refusal.message);
                self.0.reporter.tell(&Occurrence::Denied(denial));
                // One who is proved and may do nothing is not asked for another token.
                let kind = match refusal.reason {
                    Reason::UnknownCaller => Kind::Forbidden,
                    _ => Kind::Unauthenticated,
                };
                Err(Error::new(kind, refusal.message))
            }
        }
    }
}

/// The token of `authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let refusal = |reason, message: &str| Refusal {
        reason,
        who: None,
        message: message.to_owned(),
    };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(refusal(
            Reason::NoToken,
            "send a token: `authorization: Bearer TOKEN`",
        ));
    };
    let text = value.to_str().ok();
    let token = text.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.filter(|token| !token.is_empty()).ok_or_else(|| {
        refusal(
            Reason::Malformed,
            "the header `authorization` is not `Bearer TOKEN`",
        )
    })
}

/// What is needed for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Nothing.
    Nothing,
    /// To be known; whoever answers judges the rights.
    Token,
    /// The right to administer.
    Admin,
}

fn needs(form: Form, path: &str) -> Needs {
    match form {
        // Health says what /ready says; reflection, what stands in the files of protocol.
        Form::Grpc => match path.split('/').nth(1).unwrap_or_default() {
            "grpc.health.v1.Health" => Needs::Nothing,
            service if service.starts_with("grpc.reflection.") => Needs::Nothing,
            _ => Needs::Token,
        },
        Form::Feast => match path {
            "/health" => Needs::Nothing,
            _ => Needs::Token,
        },
        // Pages hold no data: they ask under /v1, with a token.
        Form::Json => match path {
            "/" | "/health" | "/ready" | "/console" => Needs::Nothing,
            _ if path.starts_with("/console/") => Needs::Nothing,
            "/v1/features" | "/v1/catalogue" => Needs::Token,
            _ if path.starts_with("/v1/push/") => Needs::Token,
            _ if path.starts_with("/v1/push-and-get/") => Needs::Token,
            _ => Needs::Admin,
        },
    }
}

/// What stands before the routes of a door.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) gate: Gate,
    pub(crate) form: Form,
    /// How long a call may take from its head to that of its answer.
    pub(crate) longest: Duration,
}

impl Guard {
    /// Finds out who calls, whether that one may, and how long the call may take.
    ///
    /// # Errors
    /// For one who may not, or does not take its answers.
    pub(crate) fn admit<B>(
        &self,
        request: &Request<B>,
        peer: Peer,
        life: &Life,
    ) -> Result<(Caller, Duration), Error> {
        let mut caller = self.judge(request, peer, life)?;
        let trace = request.headers().get(Context::HEADER);
        caller.trace = trace.and_then(|trace| Context::parse(trace.to_str().ok()?));
        let asked = match self.form {
            Form::Grpc => deadline::asked(request.headers()),
            Form::Json | Form::Feast => None,
        };
        let within = asked.map_or(self.longest, |asked| asked.min(self.longest));
        Ok((caller, within))
    }

    /// Finds out who calls, and whether that one may.
    fn judge<B>(&self, request: &Request<B>, peer: Peer, life: &Life) -> Result<Caller, Error> {
        let needs = needs(self.form, request.uri().path());
        if needs == Needs::Nothing {
            return Ok(Caller::anybody());
        }
        let caller = self.gate.enter(request, peer)?;
        if needs == Needs::Admin {
            caller.may_administer()?;
        }
        match life.is_full() {
            true => Err(Error::new(
                Kind::TooMuch,
                "too many answers have not been read; read them first",
            )),
            false => Ok(caller),
        }
    }

    /// Says no, as the door does.
    pub(crate) fn refuse(&self, error: Error) -> Response {
        refusal(self.form, error)
    }
}

fn refusal(form: Form, error: Error) -> Response {
    let mut response = match form {
        Form::Grpc => {
            let (parts, ()) = tonic::Status::from(error).into_http::<()>().into_parts();
            return Response::from_parts(parts, axum::body::Body::empty());
        }
        Form::Json => error.into_response(),
        Form::Feast => Fault::from(error).into_response(),
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_needs_the_right_to_administer() {
        let check = |form, path, expect| assert_eq!(needs(form, path), expect, "{path}");
        check(Form::Json, "/health", Needs::Nothing);
        check(Form::Json, "/console/app.js", Needs::Nothing);
        check(Form::Json, "/consoles", Needs::Admin);
        check(Form::Json, "/health/", Needs::Admin);
        check(Form::Json, "/metrics", Needs::Admin);
        check(Form::Json, "/v1/features", Needs::Token);
        check(Form::Json, "/v1/anything", Needs::Admin);
        check(Form::Grpc, "/grpc.health.v1.Health/Check", Needs::Nothing);
        check(Form::Grpc, "/grpc.health.v1.Healthy/Check", Needs::Token);
        check(Form::Grpc, "/tiderace.v1.FeatureStore/Push", Needs::Token);
        check(Form::Json, "/v1/push-and-get/payments", Needs::Token);
        check(Form::Feast, "/health", Needs::Nothing);
        check(Form::Feast, "/get-online-features", Needs::Token);
    }
}

//! Who asks, and whether it may: every way into a [`crate::Serving`] needs one.

use crate::auth::Identity;
use crate::doorway::Peer;
use crate::occurrence::{Denial, Occurrence, Reason, Reporter};
use crate::{Error, Kind, Selection};
use axum::http::{Method, Uri};
use std::sync::Arc;
use tiderace_plan::model::Rights;
use tiderace_trace::Context;
use tiderace_types::Timestamp;

use crate::Clock;

/// Who makes one call, or one stream of them.
#[derive(Clone)]
pub struct Caller {
    known: Option<Arc<Known>>,
    /// The trace that its call is of.
    pub(crate) trace: Option<Context>,
}

/// One who had to say who it is.
struct Known {
    identity: Identity,
    call: Call,
    reporter: Reporter,
    clock: Clock,
}

/// What is called, and from where: for the log.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) peer: Option<Peer>,
}

impl Call {
    /// What is told of a call that is denied.
    pub(crate) fn denied(&self, who: Option<String>, reason: Reason, message: &str) -> Denial {
        Denial {
            who,
            // Never the query: whoever makes a mistake there may have put a token into it.
            what: format!("{} {}", self.method, self.uri.path()),
            from: self.peer.map(|Peer(address)| address),
            reason,
            message: message.to_owned(),
        }
    }
}

impl Caller {
    /// Anybody, where nobody is asked who they are.
    #[must_use]
    pub fn anybody() -> Caller {
        Caller {
            known: None,
            trace: None,
        }
    }

    pub(crate) fn known(
        identity: Identity,
        call: Call,
        reporter: Reporter,
        clock: Clock,
    ) -> Caller {
        let known = Known {
            identity,
            call,
            reporter,
            clock,
        };
        Caller {
            known: Some(Arc::new(known)),
            trace: None,
        }
    }

    /// Checks that it may look this up.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], or [`Kind::Unauthenticated`] when its token has expired since.
    pub(crate) fn may_read(&self, selection: &Selection) -> Result<(), Error> {
        let Some(known) = &self.known else {
            return Ok(());
        };
        match selection {
            Selection::Service(name) => known.need(
                |rights| rights.services.has(name),
                || format!("look up feature service {name:?}: it is not among its `services`"),
            ),
            Selection::Features(names) => {
                for name in names {
                    let view = name.split_once(':').map_or(name.as_str(), |(view, _)| view);
                    known.need(
                        |rights| rights.views.has(view),
                        || {
                            format!(
                                "look up features of view {view:?}: it is not among its `views`"
                            )
                        },
                    )?;
                }
                Ok(())
            }
        }
    }

    /// Checks that it may push to this source.
    ///
    /// # Errors
    /// As [`Caller::may_read`].
    pub(crate) fn may_push(&self, source: &str) -> Result<(), Error> {
        self.need(
            |rights| rights.push.has(source),
            || format!("push to source {source:?}: it is not among its `push`"),
        )
    }

    /// Checks that it may see how things are.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], or [`Kind::Unauthenticated`] when its token has expired since.
    pub fn may_administer(&self) -> Result<(), Error> {
        self.need(
            |rights| rights.admin,
            || "see this: it is not `admin`".to_owned(),
        )
    }

    /// Whether one of its rights lets it. Nobody is told when not.
    pub(crate) fn has(&self, right: impl Fn(&Rights) -> bool) -> bool {
        let known = self.known.as_deref();
        known.is_none_or(|known| known.identity.rights.iter().any(|rights| right(rights)))
    }

    fn need(
        &self,
        right: impl Fn(&Rights) -> bool,
        what: impl Fn() -> String,
    ) -> Result<(), Error> {
        match &self.known {
            Some(known) => known.need(right, what),
            None => Ok(()),
        }
    }
}

impl Known {
    fn need(
        &self,
        right: impl Fn(&Rights) -> bool,
        what: impl Fn() -> String,
    ) -> Result<(), Error> {
        let now: Timestamp = (self.clock)();
        if self.identity.expires.is_some_and(|expires| expires <= now) {
            let message = "the token has expired; get a new one from its issuer".to_owned();
            return Err(self.deny(Kind::Unauthenticated, Reason::Expired, message));
        }
        if self.identity.rights.iter().any(|rights| right(rights)) {
            return Ok(());
        }
        let message = format!(
            "caller {:?} may not {} in `serving.auth.callers`",
            &*self.identity.name,
            what()
        );
        Err(self.deny(Kind::Forbidden, Reason::NotAllowed, message))
    }

    fn deny(&self, kind: Kind, reason: Reason, message: String) -> Error {
        let who = Some(self.identity.name.to_string());
        let denial = self.call.denied(who, reason, &message);
        self.reporter.tell(&Occurrence::Denied(denial));
        Error::new(kind, message)
    }
}

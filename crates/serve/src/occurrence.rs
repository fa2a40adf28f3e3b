//! What a server tells of its protection: to whoever logs and counts.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Something that whoever operates a server wants to know. There is no token in any of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// A call was denied.
    Denied(Denial),
    /// Changed files are in use.
    Reloaded {
        /// Which.
        what: &'static str,
    },
    /// Changed files cannot be used; those before stay in use.
    NotReloaded {
        /// Which.
        what: &'static str,
        /// What is wrong with them.
        why: String,
    },
}

/// A call that was denied: who, what, from where, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The caller's name, or the subject of its token; `None` where that is not known.
    pub who: Option<String>,
    /// What was called: a method and a path.
    pub what: String,
    /// From where.
    pub from: Option<SocketAddr>,
    /// Why.
    pub reason: Reason,
    /// What the caller was told.
    pub message: String,
}

/// Why a call was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It brought no token.
    NoToken,
    /// What it brought is no token.
    Malformed,
    /// The token is nobody's.
    UnknownToken,
    /// The token is signed by no key that is believed, or by another algorithm than that key's.
    UnknownKey,
    /// The signature is wrong.
    Signature,
    /// The token is of another issuer.
    Issuer,
    /// The token is for another audience.
    Audience,
    /// The token is not valid any more.
    Expired,
    /// The token is not valid yet.
    NotYetValid,
    /// The token is right, and no caller is known by it.
    UnknownCaller,
    /// The caller may not do that.
    NotAllowed,
    /// The client's certificate is missing or not believed.
    Certificate,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 12] = [
        Reason::NoToken,
        Reason::Malformed,
        Reason::UnknownToken,
        Reason::UnknownKey,
        Reason::Signature,
        Reason::Issuer,
        Reason::Audience,
        Reason::Expired,
        Reason::NotYetValid,
        Reason::UnknownCaller,
        Reason::NotAllowed,
        Reason::Certificate,
    ];

    /// Its name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reason::NoToken => "no_token",
            Reason::Malformed => "malformed",
            Reason::UnknownToken => "unknown_token",
            Reason::UnknownKey => "unknown_key",
            Reason::Signature => "signature",
            Reason::Issuer => "issuer",
            Reason::Audience => "audience",
            Reason::Expired => "expired",
            Reason::NotYetValid => "not_yet_valid",
            Reason::UnknownCaller => "unknown_caller",
            Reason::NotAllowed => "not_allowed",
            Reason::Certificate => "certificate",
        }
    }
}

/// Whom a server tells.
#[derive(Clone)]
pub struct Reporter(pub Arc<dyn Fn(&Occurrence) + Send + Sync>);

impl Reporter {
    /// Tells of something.
    pub(crate) fn tell(&self, occurrence: &Occurrence) {
        (self.0)(occurrence);
    }
}

/// Nobody.
impl Default for Reporter {
    fn default() -> Reporter {
        Reporter(Arc::new(|_| {}))
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}

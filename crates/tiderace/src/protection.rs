//! How this process's doors are protected, and what is told of it: one line in the log and one count for every
//! denial, never with a token.

use crate::layout::Layout;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tiderace_plan::Plan;
use tiderace_serve::auth::{Auth, JwtIssuer};
use tiderace_serve::{Denial, Metrics, Occurrence, Protection, Reason, Reporter, TlsFiles};

/// The counts of denials, by [`Reason::ALL`].
type Denials = Arc<[AtomicU64; Reason::ALL.len()]>;

/// The protection that a project asks for, and what is counted of it.
#[derive(Clone)]
pub struct Guarded {
    /// What doors are opened with.
    pub protection: Protection,
    denials: Denials,
}

impl Guarded {
    /// What the plan says, with its files in the project's folder.
    #[must_use]
    pub fn new(plan: &Plan, layout: &Layout) -> Guarded {
        let denials = Denials::default();
        let file = |path: &String| layout.project().join(path);
        let tls = plan.project.tls.as_ref().map(|tls| TlsFiles {
            cert: file(&tls.cert),
            key: file(&tls.key),
            client_ca: tls.client_ca.as_ref().map(file),
        });
        let auth = plan.project.auth.as_ref().map(|auth| Auth {
            callers: auth.callers.clone(),
            jwt: auth.jwt.as_ref().map(|jwt| JwtIssuer {
                jwks: file(&jwt.jwks),
                issuer: jwt.issuer.clone(),
                audience: jwt.audience.clone(),
            }),
        });
        let counted = Arc::clone(&denials);
        let reporter = Reporter(Arc::new(move |occurrence| tell(occurrence, &counted)));
        Guarded {
            protection: Protection {
                tls,
                auth,
                reporter,
            },
            denials,
        }
    }

    /// Adds the counts of denials to what a process tells, where anybody can be denied.
    #[must_use]
    pub fn metrics(&self, others: Option<Metrics>) -> Option<Metrics> {
        if self.protection.auth.is_none() && self.protection.tls.is_none() {
            return others;
        }
        let denials = Arc::clone(&self.denials);
        Some(Metrics(Arc::new(move || {
            let mut page = others.as_ref().map(|m| (m.0)()).unwrap_or_default();
            page.push_str("# HELP tiderace_denied_total Calls that were denied, by reason.\n");
            page.push_str("# TYPE tiderace_denied_total counter\n");
            for (reason, count) in Reason::ALL.iter().zip(denials.iter()) {
                let (name, count) = (reason.name(), count.load(Ordering::Relaxed));
                page.push_str(&format!(
                    "tiderace_denied_total{{reason=\"{name}\"}} {count}\n"
                ));
            }
            page
        })))
    }
}

/// Logs and counts.
fn tell(occurrence: &Occurrence, denials: &Denials) {
    match occurrence {
        Occurrence::Denied(denial) => {
            count(denial, denials);
            tracing::warn!(
                who = denial.who,
                what = denial.what,
                from = denial.from.map(|from| from.to_string()),
                reason = denial.reason.name(),
                why = denial.message,
                "denied"
            );
        }
        Occurrence::Reloaded { what } => tracing::info!(what, "changed files are in use"),
        Occurrence::NotReloaded { what, why } => {
            tracing::error!(
                what,
                why,
                "changed files cannot be used; those before stay in use"
            );
        }
    }
}

fn count(denial: &Denial, denials: &Denials) {
    let place = Reason::ALL.iter().position(|each| *each == denial.reason);
    if let Some(place) = place {
        denials[place].fetch_add(1, Ordering::Relaxed);
    }
}

//! Which traces are recorded, decided where they begin.

use crate::Context;

/// Chooses traces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// The share of the traces that begin here, 0 to 1.
    pub share: f64,
    /// Whether a caller's word that its trace is recorded, or not, counts.
    pub follows_parent: bool,
}

impl Sampler {
    /// Of the traces that begin here this share; of others those that their callers record.
    #[must_use]
    pub fn of(share: f64) -> Sampler {
        Sampler {
            share,
            follows_parent: true,
        }
    }

    /// What OpenTelemetry calls `name` (`OTEL_TRACES_SAMPLER`), with its argument.
    #[must_use]
    pub fn named(name: &str, argument: Option<f64>) -> Option<Sampler> {
        let (follows_parent, own) = match name.strip_prefix("parentbased_") {
            Some(own) => (true, own),
            None => (false, name),
        };
        let share = match own {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => argument.unwrap_or(1.0),
            _ => return None,
        };
        Some(Sampler {
            share,
            follows_parent,
        })
    }

    /// Tells whether a trace is recorded. All processes that sample one by its number agree.
    pub(crate) fn takes(&self, trace: u128, parent: Option<Context>) -> bool {
        if let Some(parent) = parent.filter(|_| self.follows_parent) {
            return parent.sampled;
        }
        // The lower 56 bits are random by W3C's rule.
        let random = (trace & ((1 << 56) - 1)) as f64;
        self.share >= 1.0 || random < self.share * (1_u64 << 56) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_parents() {
        let parent = |sampled| {
            Some(Context {
                trace: 1,
                span: 1,
                sampled,
            })
        };
        let (low, high) = (1, (1 << 56) - 1);
        for (name, argument, parent, trace, expect) in [
            ("always_on", None, None, high, true),
            ("always_off", None, parent(true), low, false),
            ("traceidratio", Some(0.5), parent(false), low, true),
            ("traceidratio", Some(0.5), None, high, false),
            ("parentbased_always_off", None, parent(true), low, true),
            ("parentbased_always_on", None, parent(false), low, false),
            ("parentbased_traceidratio", Some(0.5), None, high, false),
            ("parentbased_traceidratio", Some(0.0), None, 0, false),
        ] {
            let sampler = Sampler::named(name, argument).expect("a sampler");
            assert_eq!(sampler.takes(trace, parent), expect, "{name} {argument:?}");
        }
        assert_eq!(Sampler::named("jaeger_remote", None), None);
    }
}

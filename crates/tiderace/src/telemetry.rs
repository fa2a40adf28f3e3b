//! Traces: where they are sent, as OpenTelemetry's own variables say.

use anyhow::{Context, Result, anyhow, bail};
use std::sync::Arc;
use std::time::Duration;
use tiderace_serve::Metrics;
use tiderace_trace::{Exporter, Sampler, Settings, Tracer};

/// How long the last spans may take.
const PARTING: Duration = Duration::from_secs(3);

/// The tracing of a process.
pub struct Telemetry {
    /// What makes spans.
    pub tracer: Tracer,
    exporter: Option<Exporter>,
}

impl Telemetry {
    /// Starts sending, where anything says that it should.
    ///
    /// # Errors
    /// For settings that cannot be used. A collector that is away is none.
    pub fn start() -> Result<Telemetry> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let Some(settings) = settings(&variable).context("read where traces are sent")? else {
            return Ok(Telemetry {
                tracer: Tracer::off(),
                exporter: None,
            });
        };
        let (endpoint, sampler) = (settings.endpoint.clone(), settings.sampler);
        let (tracer, exporter) = Exporter::start(settings).map_err(|why| anyhow!(why))?;
        tracing::info!(endpoint, share = sampler.share, "traces are sent");
        Ok(Telemetry {
            tracer,
            exporter: Some(exporter),
        })
    }

    /// Sends what is left.
    pub async fn stop(self) {
        if let Some(exporter) = self.exporter {
            exporter.stop(PARTING).await;
        }
    }

    /// Adds what became of spans to what a process tells, where any are made.
    #[must_use]
    pub fn metrics(&self, others: Option<Metrics>) -> Option<Metrics> {
        if !self.tracer.is_on() {
            return others;
        }
        let tracer = self.tracer.clone();
        Some(Metrics(Arc::new(move || {
            let mut page = others
                .as_ref()
                .map(|others| (others.0)())
                .unwrap_or_default();
            let counts = tracer.counts().unwrap_or_default();
            let name = "tiderace_trace_spans_total";
            page.push_str(&format!(
                "# HELP {name} Spans of traces that were made, by what became of them.\n# TYPE {name} counter\n"
            ));
            for (outcome, count) in [
                ("exported", counts.exported),
                ("dropped", counts.dropped),
                ("failed", counts.failed),
            ] {
                page.push_str(&format!("{name}{{outcome=\"{outcome}\"}} {count}\n"));
            }
            page
        })))
    }
}

/// Where traces are sent; `None` where no variable names a collector.
fn settings(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Settings>> {
    if variable("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let either = |name: &str| {
        let traces = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
        variable(&traces).or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
    };
    let Some(endpoint) = either("ENDPOINT") else {
        return Ok(None);
    };
    if let Some(protocol) = either("PROTOCOL").filter(|protocol| protocol != "grpc") {
        bail!("OTEL_EXPORTER_OTLP_PROTOCOL is \"{protocol}\": traces are sent by `grpc`");
    }
    let ca = either("CERTIFICATE");
    let ca = ca.map(|path| std::fs::read(&path).with_context(|| format!("read {path}")));
    Ok(Some(Settings {
        endpoint,
        ca: ca.transpose()?,
        headers: headers(&either("HEADERS").unwrap_or_default())?,
        service: variable("OTEL_SERVICE_NAME").unwrap_or_else(|| "tiderace".to_owned()),
        sampler: sampler(variable)?,
    }))
}

/// One trace in a hundred of those that begin here, unless the variables say otherwise.
fn sampler(variable: &dyn Fn(&str) -> Option<String>) -> Result<Sampler> {
    let argument = match variable("OTEL_TRACES_SAMPLER_ARG") {
        None => None,
        Some(text) => {
            let share = text.parse::<f64>().ok();
            let share = share.filter(|share| (0.0..=1.0).contains(share));
            Some(share.with_context(|| {
                format!("OTEL_TRACES_SAMPLER_ARG is \"{text}\": expected a share from 0 to 1")
            })?)
        }
    };
    match variable("OTEL_TRACES_SAMPLER") {
        Some(name) => Sampler::named(&name, argument).with_context(|| {
            format!(
                "OTEL_TRACES_SAMPLER is \"{name}\": expected `always_on`, `always_off` or `traceidratio`, or one of them behind `parentbased_`"
            )
        }),
        None => Ok(Sampler::of(argument.unwrap_or(0.01))),
    }
}

/// `name=value` pairs, divided by commas.
fn headers(text: &str) -> Result<Vec<(String, String)>> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    // What is wrong in it is not told: it may be a token.
    let wrong = "OTEL_EXPORTER_OTLP_HEADERS: expected `name=value,…`";
    pairs.map(|text| pair(text).context(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_name_the_sampler() {
        let of = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| {
                let found = pairs.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            }
        };
        let check = |pairs: &'static [(&'static str, &'static str)], expect| {
            assert_eq!(sampler(&of(pairs)).expect("a sampler"), expect, "{pairs:?}");
        };
        check(&[], Sampler::of(0.01));
        check(&[("OTEL_TRACES_SAMPLER_ARG", "0.25")], Sampler::of(0.25));
        let always = &[("OTEL_TRACES_SAMPLER", "parentbased_always_on")];
        check(always, Sampler::of(1.0));
        for wrong in [
            &[("OTEL_TRACES_SAMPLER_ARG", "2")],
            &[("OTEL_TRACES_SAMPLER", "jaeger_remote")],
        ] {
            assert!(sampler(&of(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn headers_are_pairs_and_mistakes_do_not_quote_them() {
        let pairs = headers("authorization=Bearer a=b, x=1,").expect("headers");
        let expect = [("authorization", "Bearer a=b"), ("x", "1")];
        assert_eq!(pairs, expect.map(|(n, v)| (n.to_owned(), v.to_owned())));
        let error = headers("hunter2").expect_err("no pair").to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

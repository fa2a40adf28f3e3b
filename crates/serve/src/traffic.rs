//! What is asked and how it is answered, counted: calls, their latency, the statuses of values, pushes.
//!
//! Labels are names of the project and codes, so there are as many counters as definitions call for,
//! whatever callers send. A call costs some additions to atomics.

use crate::lookup::Looked;
use crate::page::Page;
use crate::{Error, completeness, json};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tiderace_plan::model::Plan;

/// How a call ended that was answered.
pub(crate) const OK: &str = "OK";

/// How a call ended: well, or by the code of a [`Kind`](crate::Kind).
pub(crate) const CODES: [&str; 10] = [
    OK,
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
];

/// The upper bounds of the classes of latencies, in microseconds, and as Prometheus reads them in seconds.
const CLASSES: [(u64, &str); 14] = [
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
];

/// Statuses are numbered from 0 (unspecified).
const STATUSES: usize = 8;

/// Completeness bits, with their names.
const FLAGS: [(u32, &str); 3] = [
    (completeness::WARMING, "WARMING"),
    (completeness::STALE, "STALE"),
    (completeness::APPROXIMATE, "APPROXIMATE"),
];

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Traffic {
    services: HashMap<String, usize>,
    sources: HashMap<String, usize>,
    /// By service, and behind them [`LISTS`] and [`UNKNOWN`].
    lookups: Vec<(String, Lookups)>,
    pushes: Vec<(String, Pushes)>,
}

/// The name of lookups of a list of features. No service can be called so.
const LISTS: &str = "(features)";
/// The name of lookups of a service that there is not.
const UNKNOWN: &str = "(unknown)";

#[derive(Debug, Default)]
struct Lookups {
    calls: [AtomicU64; CODES.len()],
    /// Answered calls by class, and those above all classes.
    classes: [AtomicU64; CLASSES.len() + 1],
    /// Microseconds of answered calls.
    micros: AtomicU64,
    rows: AtomicU64,
    statuses: [AtomicU64; STATUSES],
    flags: [AtomicU64; FLAGS.len()],
}

#[derive(Debug, Default)]
struct Pushes {
    calls: [AtomicU64; CODES.len()],
    events: AtomicU64,
}

/// The values of one answer, counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    rows: u64,
    statuses: [u64; STATUSES],
    flags: [u64; FLAGS.len()],
}

impl Tally {
    /// Counts the rows of an answer, each as the status and the completeness bits of its values.
    pub(crate) fn of<V: Iterator<Item = (i32, u32)>>(rows: impl Iterator<Item = V>) -> Tally {
        let mut tally = Tally::default();
        for row in rows {
            tally.rows += 1;
            for (status, bits) in row {
                let status = usize::try_from(status).unwrap_or_default();
                tally.statuses[status.min(STATUSES - 1)] += 1;
                if bits == 0 {
                    continue;
                }
                for (count, (bit, _)) in tally.flags.iter_mut().zip(FLAGS) {
                    *count += u64::from(bits & bit != 0);
                }
            }
        }
        tally
    }

    /// Counts the values of an answer.
    pub(crate) fn of_looked(looked: &Looked) -> Tally {
        Tally::of(looked.rows.iter().map(|row| {
            let values = row.values.iter();
            values.map(|judged| (judged.status.into(), judged.flags))
        }))
    }

    /// How many rows there were.
    pub(crate) fn rows(&self) -> usize {
        usize::try_from(self.rows).unwrap_or(usize::MAX)
    }
}

fn add(counter: &AtomicU64, count: u64) {
    if count > 0 {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// The code of a result, as a place in [`CODES`].
fn code<T>(result: &Result<T, Error>) -> usize {
    let code = match result {
        Ok(_) => OK,
        Err(error) => error.kind().code(),
    };
    let place = CODES.iter().position(|known| *known == code);
    place.expect("every kind has its place")
}

impl Traffic {
    /// Nothing counted yet, of what `plan` has.
    pub(crate) fn of(plan: &Plan) -> Traffic {
        let place = |(place, name): (usize, String)| (name, place);
        let services = plan.services.iter().map(|service| service.name.clone());
        let services: Vec<String> = services.collect();
        let sources = plan.sources.iter().map(|source| source.name.clone());
        let sources: Vec<String> = sources.collect();
        let more = [LISTS, UNKNOWN].map(str::to_owned);
        Traffic {
            lookups: services
                .iter()
                .cloned()
                .chain(more)
                .map(|name| (name, Lookups::default()))
                .collect(),
            pushes: sources
                .iter()
                .map(|name| (name.clone(), Pushes::default()))
                .collect(),
            services: services.into_iter().enumerate().map(place).collect(),
            sources: sources.into_iter().enumerate().map(place).collect(),
        }
    }

    /// Counts a lookup of a service, or of a list of features, that took so long.
    pub(crate) fn looked_up(
        &self,
        service: Option<&str>,
        result: &Result<Tally, Error>,
        took: Duration,
    ) {
        let lists = self.services.len();
        let place = match service {
            None => lists,
            Some(name) => self.services.get(name).copied().unwrap_or(lists + 1),
        };
        let (_, lookups) = &self.lookups[place];
        add(&lookups.calls[code(result)], 1);
        let Ok(tally) = result else {
            return;
        };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = CLASSES.partition_point(|(most, _)| *most < micros);
        add(&lookups.classes[class], 1);
        add(&lookups.micros, micros);
        add(&lookups.rows, tally.rows);
        for (counter, count) in lookups.statuses.iter().zip(tally.statuses) {
            add(counter, count);
        }
        for (counter, count) in lookups.flags.iter().zip(tally.flags) {
            add(counter, count);
        }
    }

    /// Counts a push to a source. One to a source that there is not is not counted.
    pub(crate) fn pushed(&self, source: &str, result: &Result<u64, Error>) {
        let Some(place) = self.sources.get(source) else {
            return;
        };
        let (_, pushes) = &self.pushes[*place];
        add(&pushes.calls[code(result)], 1);
        add(&pushes.events, result.as_ref().copied().unwrap_or_default());
    }

    /// Writes every counter.
    pub(crate) fn metrics(&self, page: &mut Page) {
        let name = "tiderace_lookups_total";
        page.family(name, "counter", "Lookups, by service and how they ended.");
        for (service, lookups) in &self.lookups {
            for (code, count) in CODES.iter().zip(&lookups.calls) {
                if read(count) > 0 || *code == "OK" {
                    page.line(name, &[("service", service), ("code", code)], read(count));
                }
            }
        }
        let name = "tiderace_lookup_seconds";
        page.family(name, "histogram", "How long answered lookups took.");
        for (service, lookups) in &self.lookups {
            let mut upto = 0;
            for (place, count) in lookups.classes.iter().enumerate() {
                upto += read(count);
                let most = CLASSES.get(place).map_or("+Inf", |(_, most)| most);
                let labels = [("service", service.as_str()), ("le", most)];
                page.line("tiderace_lookup_seconds_bucket", &labels, upto);
            }
            let labels = [("service", service.as_str())];
            let seconds = Duration::from_micros(read(&lookups.micros)).as_secs_f64();
            page.line("tiderace_lookup_seconds_sum", &labels, seconds);
            page.line("tiderace_lookup_seconds_count", &labels, upto);
        }
        let name = "tiderace_lookup_rows_total";
        page.family(name, "counter", "Rows of answered lookups.");
        for (service, lookups) in &self.lookups {
            page.line(name, &[("service", service)], read(&lookups.rows));
        }
        let name = "tiderace_lookup_values_total";
        page.family(name, "counter", "Values of answered lookups, by status.");
        for (service, lookups) in &self.lookups {
            for (status, count) in statuses(&lookups.statuses).skip(1) {
                page.line(name, &[("service", service), ("status", status)], count);
            }
        }
        let name = "tiderace_lookup_incomplete_total";
        page.family(
            name,
            "counter",
            "Values of answered lookups that were not COMPLETE, by each reason why.",
        );
        for (service, lookups) in &self.lookups {
            for ((_, flag), count) in FLAGS.iter().zip(&lookups.flags) {
                let labels = [("service", service.as_str()), ("completeness", flag)];
                page.line(name, &labels, read(count));
            }
        }
        let name = "tiderace_pushes_total";
        page.family(name, "counter", "Pushes, by source and how they ended.");
        for (source, pushes) in &self.pushes {
            for (code, count) in CODES.iter().zip(&pushes.calls) {
                if read(count) > 0 || *code == "OK" {
                    page.line(name, &[("source", source), ("code", code)], read(count));
                }
            }
        }
        let name = "tiderace_pushed_events_total";
        page.family(name, "counter", "Events of pushes that were taken.");
        for (source, pushes) in &self.pushes {
            page.line(name, &[("source", source)], read(&pushes.events));
        }
    }

    /// The same for the console.
    pub(crate) fn json(&self) -> Json {
        let codes = |calls: &[AtomicU64; CODES.len()]| -> Json {
            let codes = CODES.iter().zip(calls);
            let some = codes.filter(|(_, count)| read(count) > 0);
            some.map(|(code, count)| ((*code).to_owned(), json!(read(count))))
                .collect()
        };
        let lookups: serde_json::Map<String, Json> = self
            .lookups
            .iter()
            .map(|(service, lookups)| {
                let statuses: Json = statuses(&lookups.statuses)
                    .filter(|(_, count)| *count > 0)
                    .map(|(status, count)| (status.to_owned(), json!(count)))
                    .collect();
                let flags: Json = FLAGS
                    .iter()
                    .zip(&lookups.flags)
                    .filter(|(_, count)| read(count) > 0)
                    .map(|((_, flag), count)| ((*flag).to_owned(), json!(read(count))))
                    .collect();
                let said = json!({
                    "calls": codes(&lookups.calls),
                    "rows": read(&lookups.rows),
                    "micros": read(&lookups.micros),
                    "classes": lookups.classes.iter().map(read).collect::<Vec<_>>(),
                    "statuses": statuses,
                    "incomplete": flags,
                });
                (service.clone(), said)
            })
            .collect();
        let pushes: serde_json::Map<String, Json> = self
            .pushes
            .iter()
            .map(|(source, pushes)| {
                let said = json!({"calls": codes(&pushes.calls), "events": read(&pushes.events)});
                (source.clone(), said)
            })
            .collect();
        json!({
            "lookups": lookups,
            "pushes": pushes,
            "class_micros": CLASSES.map(|(most, _)| most),
        })
    }
}

/// The statuses, the one that no value has among them, with their counts.
fn statuses(counts: &[AtomicU64; STATUSES]) -> impl Iterator<Item = (&'static str, u64)> {
    counts.iter().enumerate().map(|(status, count)| {
        let status = i32::try_from(status).unwrap_or_default();
        (json::status_name(status), read(count))
    })
}

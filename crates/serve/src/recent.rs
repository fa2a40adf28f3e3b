//! How the values of features were spread in the answers of the last minutes, from a sample of them.
//!
//! What is sampled is bounded three ways. In time: after a sample of so many values the next is taken when
//! [`PACE`] has passed for each of them, so however much is asked, sampling takes about a quarter of a per cent
//! of one processor. In memory: of a feature at most [`KEPT`] values of each of the last two minutes are
//! kept, picked by chance among those sampled. In breadth: of the first [`MOST`] features of the plan.
//! Lookups as of an instant of the caller's are left out: they say nothing of now.

use crate::lookup::Answer;
use crate::page::Page;
use crate::prepared::Prepared;
use crate::proto::Status;
use crate::{Error, json};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tiderace_plan::model::{FeatureRef, Plan, Service};
use tiderace_types::{Duration, Timestamp, Value};

/// Features that are followed.
const MOST: usize = 1_000;
/// Values kept of one feature and minute.
const KEPT: usize = 200;
/// What one sampled value costs of the time until the next sample.
const PACE: Duration = Duration(20);
/// Rows of one answer that are sampled.
const ROWS: usize = 4;
/// How long a window is.
const WINDOW: Duration = Duration(60_000_000);
/// What is kept of a text, in bytes.
const TEXT: usize = 40;
/// What is kept of a list or a map.
const ITEMS: usize = 8;
/// Bars of a histogram, and values that are named.
const BARS: usize = 24;
const NAMED: usize = 10;

/// Statuses are numbered from 0 (unspecified).
const STATUSES: usize = 8;

/// Where the values of features are followed, by their places in the plan.
#[derive(Debug)]
pub(crate) struct Recent {
    names: Vec<Name>,
    /// When the next sample may be taken.
    next: AtomicI64,
    features: Mutex<Vec<Feature>>,
}

/// Whose feature it is, and its name.
#[derive(Clone, Debug)]
struct Name {
    /// `view`, or `service` for an on-demand feature.
    kind: &'static str,
    of: String,
    feature: String,
}

/// Where a selection's features are followed: places in [`Recent`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Vec<usize>);

impl Places {
    /// The places of features and of a service's on-demand features after them.
    pub(crate) fn of(plan: &Plan, features: &[FeatureRef], service: Option<&Service>) -> Places {
        let mut begin = Vec::with_capacity(plan.views.len());
        let mut next = 0;
        for view in &plan.views {
            begin.push(next);
            next += view.spec.outputs.len();
        }
        let mut places: Vec<usize> = features
            .iter()
            .map(|feature| begin[feature.view] + feature.output)
            .collect();
        if let Some(service) = service {
            let before = plan.services.iter();
            let before = before.take_while(|held| held.name != service.name);
            next += before.map(|held| held.on_demand.len()).sum::<usize>();
            places.extend(next..next + service.on_demand.len());
        }
        Places(places)
    }
}

/// What is remembered of one feature.
#[derive(Debug, Default)]
struct Feature {
    /// Sampled values by status, since the process began.
    statuses: [u64; STATUSES],
    now: Window,
    before: Window,
}

/// What is remembered of one minute.
#[derive(Debug, Default)]
struct Window {
    /// Which minute it is.
    minute: i64,
    statuses: [u64; STATUSES],
    /// Values that could have been kept.
    seen: u64,
    kept: Vec<Kept>,
}

/// A value as it is kept.
#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Number(f64),
    Text(Box<str>),
}

impl Recent {
    /// Follows the features of `plan`.
    pub(crate) fn of(plan: &Plan) -> Recent {
        let of_views = plan.views.iter().flat_map(|view| {
            let outputs = view.spec.outputs.iter();
            outputs.map(|output| Name {
                kind: "view",
                of: view.name.clone(),
                feature: output.name.clone(),
            })
        });
        let of_services = plan.services.iter().flat_map(|service| {
            let on_demand = service.on_demand.iter();
            on_demand.map(|feature| Name {
                kind: "service",
                of: service.name.clone(),
                feature: feature.name.clone(),
            })
        });
        Recent {
            names: of_views.chain(of_services).take(MOST).collect(),
            next: AtomicI64::new(i64::MIN),
            features: Mutex::default(),
        }
    }

    /// Takes a sample of an answer, if it is time for one.
    pub(crate) fn note(&self, prepared: &Prepared, answers: &[Answer], now: Timestamp) {
        let next = self.next.load(Ordering::Relaxed);
        if now.0 < next && next.saturating_sub(now.0) < WINDOW.0 || answers.is_empty() {
            return;
        }
        let rows = answers.len().min(ROWS);
        let values = i64::try_from(rows * prepared.width()).unwrap_or(i64::MAX);
        let pause = PACE.0.saturating_mul(values);
        let after = now.0.saturating_add(pause);
        let order = Ordering::Relaxed;
        if self
            .next
            .compare_exchange(next, after, order, order)
            .is_err()
        {
            return;
        }
        let minute = now.0.div_euclid(WINDOW.0);
        let mut features = self.locked();
        if features.is_empty() {
            features.resize_with(self.names.len(), Feature::default);
        }
        for answer in answers.iter().step_by(answers.len().div_ceil(ROWS)) {
            for (judged, place) in answer.values.iter().zip(&prepared.recent.0) {
                let Some(feature) = features.get_mut(*place) else {
                    continue;
                };
                feature.turn(minute);
                let status = usize::try_from(i32::from(judged.status)).unwrap_or_default();
                feature.note(status.min(STATUSES - 1), &judged.value);
            }
        }
    }

    /// What is known of the features of a view or a service, in their order.
    ///
    /// # Errors
    /// When there are none of that name.
    pub(crate) fn json(&self, kind: &str, of: &str) -> Result<Json, Error> {
        let own = |(_, name): &(usize, &Name)| name.kind == kind && name.of == of;
        let own: Vec<(usize, &Name)> = self.names.iter().enumerate().filter(own).collect();
        if own.is_empty() {
            return Err(Error::not_found(format!(
                "no values of {kind} {of:?} are followed"
            )));
        }
        let features = self.locked();
        let told = own.into_iter().map(|(place, name)| {
            let mut told = features.get(place).map_or_else(|| json!({}), Feature::json);
            told["name"] = json!(name.feature);
            told
        });
        Ok(Json::Array(told.collect()))
    }

    /// Writes what drift is seen by.
    pub(crate) fn metrics(&self, page: &mut Page) {
        let features = self.locked();
        let all = || self.names.iter().zip(features.iter());
        let counter = "tiderace_feature_values_total";
        page.family(
            counter,
            "counter",
            "Values of features in a sample of the answers, by status.",
        );
        for (name, feature) in all() {
            let present = i32::from(Status::Present) as usize;
            for (status, count) in counted(&feature.statuses, Some(present)) {
                let labels = [
                    (name.kind, name.of.as_str()),
                    ("feature", name.feature.as_str()),
                    ("status", status),
                ];
                page.line(counter, &labels, count);
            }
        }
        let gauge = "tiderace_feature_value";
        page.family(
            gauge,
            "gauge",
            "Quantiles of a feature's numbers in a sample of the answers of the last two minutes.",
        );
        for (name, feature) in all() {
            let mut numbers = feature.numbers();
            numbers.sort_unstable_by(f64::total_cmp);
            for (quantile, share) in [("0.05", 0.05), ("0.5", 0.5), ("0.95", 0.95)] {
                let Some(value) = at(&numbers, share) else {
                    continue;
                };
                let labels = [
                    (name.kind, name.of.as_str()),
                    ("feature", name.feature.as_str()),
                    ("quantile", quantile),
                ];
                page.line(gauge, &labels, value);
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Feature>> {
        self.features.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feature {
    /// Lets go of what is older than a minute before this one.
    fn turn(&mut self, minute: i64) {
        if self.now.minute == minute {
            return;
        }
        let last = std::mem::replace(&mut self.now, Window::at(minute));
        self.before = match last.minute == minute - 1 {
            true => last,
            false => Window::at(minute - 1),
        };
    }

    fn note(&mut self, status: usize, value: &Value) {
        self.statuses[status] += 1;
        self.now.statuses[status] += 1;
        match value {
            Value::List(items) => {
                let items = items.iter().take(ITEMS);
                items.for_each(|item| self.now.keep(item, named));
            }
            Value::Map(entries) => {
                let keys = entries.iter().take(ITEMS).map(|(key, _)| key);
                keys.for_each(|key| self.now.keep(key, named));
            }
            value => self.now.keep(value, kept),
        }
    }

    fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.before.kept.iter().chain(&self.now.kept)
    }

    /// The kept numbers.
    fn numbers(&self) -> Vec<f64> {
        let number = |kept: &Kept| match kept {
            Kept::Number(x) => Some(*x),
            Kept::Text(_) => None,
        };
        self.kept().filter_map(number).collect()
    }

    fn json(&self) -> Json {
        let mut statuses = self.now.statuses;
        for (count, before) in statuses.iter_mut().zip(self.before.statuses) {
            *count += before;
        }
        let by_status: Json = counted(&statuses, None)
            .map(|(status, count)| (status.to_owned(), json!(count)))
            .collect();
        let mut told = json!({
            "sampled": statuses.iter().sum::<u64>(),
            "statuses": by_status,
            "kept": self.kept().count(),
        });
        let mut numbers = self.numbers();
        if !numbers.is_empty() {
            numbers.sort_unstable_by(f64::total_cmp);
            told["numbers"] = spread(&numbers);
        }
        told["top"] = self.top();
        told
    }

    /// The values that are there most often.
    fn top(&self) -> Json {
        let mut counts: HashMap<String, u64> = HashMap::new();
        for kept in self.kept() {
            let text = match kept {
                Kept::Number(x) => x.to_string(),
                Kept::Text(text) => text.to_string(),
            };
            *counts.entry(text).or_default() += 1;
        }
        let different = counts.len();
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts.truncate(NAMED);
        let values: Vec<Json> = counts
            .into_iter()
            .map(|(value, count)| json!({"value": value, "count": count}))
            .collect();
        json!({"different": different, "values": values})
    }
}

impl Window {
    fn at(minute: i64) -> Window {
        Window {
            minute,
            ..Window::default()
        }
    }

    /// Takes a value among the kept ones, or, when there are enough, in the place of one of them by chance:
    /// each that was seen is as likely to be kept as any other.
    fn keep(&mut self, value: &Value, kept: fn(&Value) -> Option<Kept>) {
        if value.is_null() {
            return;
        }
        let seen = self.seen;
        self.seen += 1;
        if self.kept.len() < KEPT {
            self.kept.extend(kept(value));
            return;
        }
        let drawn = scatter(seen) % self.seen;
        let place = usize::try_from(drawn).unwrap_or(usize::MAX);
        if let Some(slot) = self.kept.get_mut(place)
            && let Some(value) = kept(value)
        {
            *slot = value;
        }
    }
}

/// One of several values as it is kept: whole numbers are names, most likely.
fn named(value: &Value) -> Option<Kept> {
    match value {
        Value::Int(n) => Some(Kept::Text(n.to_string().into())),
        value => kept(value),
    }
}

/// A value as it is kept; null and infinities are not. What no double is stays a text.
fn kept(value: &Value) -> Option<Kept> {
    let number = match value {
        Value::Int(n) if n.unsigned_abs() > 1 << 53 => None,
        Value::Int(n) => Some(*n as f64),
        Value::Float(x) => Some(*x),
        Value::Decimal(unscaled, scale) => Some(*unscaled as f64 / 10f64.powi(i32::from(*scale))),
        Value::Timestamp(at) => Some(at.0 as f64 / 1e6),
        Value::Duration(micros) => Some(*micros as f64 / 1e6),
        _ => None,
    };
    if let Some(number) = number {
        return number.is_finite().then_some(Kept::Number(number));
    }
    match value {
        Value::Null => None,
        Value::String(text) => Some(Kept::Text(cut(text).into())),
        value => Some(Kept::Text(cut(&value.to_string()).into())),
    }
}

/// The beginning of a text.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A number that looks like chance: the finaliser of splitmix64.
fn scatter(n: u64) -> u64 {
    let mut x = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The value that a share of sorted numbers does not pass.
fn at(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = (last as f64 * share).round() as usize;
    sorted.get(place).copied()
}

/// Quantiles, the mean and a histogram of sorted numbers.
fn spread(sorted: &[f64]) -> Json {
    let quantile = |share| at(sorted, share).unwrap_or_default();
    let (low, high) = (quantile(0.0), quantile(1.0));
    let width = (high - low) / BARS as f64;
    let mut bars = [0_u64; BARS];
    for number in sorted {
        let bar = match width > 0.0 && width.is_finite() {
            true => ((number - low) / width) as usize,
            false => 0,
        };
        bars[bar.min(BARS - 1)] += 1;
    }
    json!({
        "min": low,
        "p05": quantile(0.05),
        "p25": quantile(0.25),
        "p50": quantile(0.5),
        "p75": quantile(0.75),
        "p95": quantile(0.95),
        "max": high,
        "mean": sorted.iter().sum::<f64>() / sorted.len() as f64,
        "bars": bars,
    })
}

/// The statuses that were counted, and `always`, where anything was.
fn counted(
    counts: &[u64; STATUSES],
    always: Option<usize>,
) -> impl Iterator<Item = (&'static str, u64)> {
    let some = counts.iter().any(|count| *count > 0);
    let told =
        move |(status, count): &(usize, &u64)| **count > 0 || some && always == Some(*status);
    let numbered = counts.iter().enumerate().filter(told);
    numbered.map(|(status, count)| {
        let status = i32::try_from(status).unwrap_or_default();
        (json::status_name(status), *count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_says_how_its_values_are_spread() {
        let mut feature = Feature::default();
        feature.turn(7);
        for n in 0..1_000 {
            feature.note(1, &Value::Int(n % 100));
        }
        feature.note(2, &Value::Null);
        let told = feature.json();
        assert_eq!(told["sampled"], 1_001);
        assert_eq!(told["statuses"], json!({"PRESENT": 1_000, "NULL": 1}));
        assert_eq!(told["kept"], KEPT, "memory is bounded");
        let median = told["numbers"]["p50"].as_f64().unwrap_or_default();
        assert!((25.0..75.0).contains(&median), "a fair sample: {told}");
        let bars = told["numbers"]["bars"].as_array().map(Vec::len);
        assert_eq!(bars, Some(BARS));
    }

    #[test]
    fn what_is_older_than_two_minutes_goes() {
        let mut feature = Feature::default();
        let check = |feature: &Feature, expect: &[&str]| {
            let told = feature.json();
            let values = told["top"]["values"].as_array().cloned();
            let values = values.unwrap_or_default();
            let mut found: Vec<&str> = values.iter().filter_map(|v| v["value"].as_str()).collect();
            found.sort_unstable();
            assert_eq!(found, expect);
        };
        feature.turn(1);
        feature.note(1, &Value::string("a"));
        feature.turn(2);
        feature.note(1, &Value::List(vec![Value::string("b"), Value::Bool(true)]));
        check(&feature, &["a", "b", "true"]);
        feature.turn(3);
        check(&feature, &["b", "true"]);
        feature.turn(5);
        check(&feature, &[]);
        assert_eq!(feature.statuses[1], 2, "counters stay");
    }

    #[test]
    fn odd_values_are_kept_or_left() {
        let text = |text: &str| Some(Kept::Text(text.into()));
        assert_eq!(kept(&Value::Float(f64::NAN)), None);
        assert_eq!(kept(&Value::Null), None);
        assert_eq!(kept(&Value::Decimal(1_250, 2)), Some(Kept::Number(12.5)));
        assert_eq!(kept(&Value::Int(1 << 60)), text("1152921504606846976"));
        assert_eq!(kept(&Value::Int(7)), Some(Kept::Number(7.0)));
        assert_eq!(named(&Value::Int(7)), text("7"));
        assert_eq!(kept(&Value::string(&"é".repeat(30))), text(&"é".repeat(20)));
    }
}

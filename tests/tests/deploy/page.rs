//! What a process says at `/metrics`, and whether an expression can find something there.

use crate::promql::{Matcher, Names};
use std::collections::{BTreeMap, BTreeSet};

/// Labels that Prometheus puts to whatever it scrapes, and names of alerts' own.
const SCRAPED: [&str; 3] = ["job", "instance", "alertname"];

/// The samples, by metric: their labels.
#[derive(Debug)]
pub struct Page(BTreeMap<String, Vec<BTreeMap<String, String>>>);

impl Page {
    /// Reads the text form.
    pub fn read(text: &str) -> Page {
        let mut page: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (sample, _) = line.rsplit_once(' ').expect("a sample and its value");
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let labels = labels.trim_end_matches('}').split(',');
            let labels = labels.filter_map(|label| label.split_once('='));
            let labels = labels.map(|(name, value)| {
                let value = value.trim_matches('"');
                (name.to_owned(), value.to_owned())
            });
            let samples = page.entry(name.to_owned()).or_default();
            samples.push(labels.collect());
        }
        Page(page)
    }

    /// What an expression, and the labels that its legend or text names, cannot find.
    pub fn misses(&self, expression: &str, shown: &[String]) -> Vec<String> {
        let names = Names::of(expression);
        let mut misses = vec![];
        let mut labels: BTreeSet<&str> = SCRAPED.into();
        if names.metrics.is_empty() {
            misses.push("names no metric".to_owned());
        }
        for (metric, matchers) in &names.metrics {
            let Some(samples) = self.0.get(metric) else {
                misses.push(format!("metric `{metric}` has no sample"));
                continue;
            };
            labels.extend(samples.iter().flat_map(BTreeMap::keys).map(String::as_str));
            let unmet = matchers.iter().filter(|matcher| !is_met(samples, matcher));
            misses
                .extend(unmet.map(|m| {
                    format!("no sample of `{metric}` has `{}` as `{}`", m.label, m.value)
                }));
        }
        for label in names.grouping.iter().chain(shown) {
            if !labels.contains(label.as_str()) {
                misses.push(format!("label `{label}` is on none of its metrics"));
            }
        }
        misses
    }
}

/// Tells whether each of the values that a matcher names is there. What it asks for and what it leaves out must
/// both exist: a name that is misspelt leaves nothing out.
fn is_met(samples: &[BTreeMap<String, String>], matcher: &Matcher) -> bool {
    let mut values = samples
        .iter()
        .filter_map(|labels| labels.get(&matcher.label));
    if matcher.value.starts_with('$') {
        return values.next().is_some();
    }
    let values: Vec<_> = values.collect();
    let is_there = |wanted: &str| match wanted.strip_suffix(".*") {
        Some(start) => values.iter().any(|value| value.starts_with(start)),
        None => values.iter().any(|value| *value == wanted),
    };
    match matcher.operator.as_str() {
        "=~" | "!~" => matcher.value.split('|').all(is_there),
        _ => is_there(&matcher.value),
    }
}

#[test]
fn what_is_not_there_is_missed() {
    let page = Page::read(
        "# HELP a It.\n# TYPE a counter\na{x=\"1\",y=\"left_out\"} 3\na{x=\"2\",y=\"b\"} 4\nc 5\n",
    );
    for good in [
        "sum by (x) (rate(a{x=\"1\"}[5m])) > c",
        "a{y!~\"left_.*|b\", x=~\"$x\"}",
        "max by (instance) (c)",
    ] {
        assert_eq!(page.misses(good, &[]), Vec::<String>::new(), "{good}");
    }
    for bad in [
        "5 > 4",
        "aa",
        "a{x=\"3\"}",
        "a{z=\"1\"}",
        "a{y!~\"right_.*\"}",
        "sum by (z) (a)",
        "sum without (x) (c)",
    ] {
        assert_eq!(page.misses(bad, &[]).len(), 1, "{bad}");
    }
    assert_eq!(page.misses("a", &["view".to_owned()]).len(), 1);
}

//! Results for people: what is wrong in its place, then a line each.

use super::Results;
use crate::testing::Outcome;
use std::fmt::Write;

pub(super) fn render(results: &Results, color: bool) -> String {
    let mut out = String::new();
    for test in &results.outcomes {
        one(test, color, &mut out);
    }
    let (all, failed) = (results.outcomes.len(), results.failed());
    let tests = match all {
        1 => "1 test".to_owned(),
        all => format!("{all} tests"),
    };
    let verdict = match failed {
        0 => "all passed".to_owned(),
        failed => format!("{} passed, {failed} failed", all - failed),
    };
    let took = results.took().as_secs_f64() * 1e3;
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{}: {tests}: {verdict} ({took:.1} ms)",
        results.project
    );
    let coverage = &results.coverage;
    let _ = write!(
        out,
        "{} of {} features have an expectation",
        coverage.asked(),
        coverage.features
    );
    if !coverage.unasked.is_empty() {
        out.push_str("; these have none:");
    }
    for (view, outputs) in &coverage.unasked {
        let _ = write!(out, "\n  {view}: {}", outputs.join(", "));
    }
    out
}

fn one(test: &Outcome, color: bool, out: &mut String) {
    let (tone, reset) = match (color, test.failures.is_empty()) {
        (false, _) => ("", ""),
        (true, true) => ("\x1b[1;32m", "\x1b[0m"),
        (true, false) => ("\x1b[1;31m", "\x1b[0m"),
    };
    let word = match test.failures.is_empty() {
        true => "ok  ",
        false => "FAIL",
    };
    let took = test.took.as_secs_f64() * 1e3;
    let _ = writeln!(
        out,
        "{tone}{word}{reset} {} ({}, {took:.1} ms)",
        test.name, test.subject
    );
    for failure in &test.failures {
        out.push('\n');
        out.push_str(&tiderace_plan::render_finding(&failure.finding, color));
        for note in &failure.notes {
            let _ = writeln!(out, "     {note}");
        }
    }
    if !test.failures.is_empty() {
        out.push('\n');
    }
}

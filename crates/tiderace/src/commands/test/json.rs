//! Results for scripts.

use super::Results;
use crate::testing::{Failure, Outcome};
use serde_json::{Value as Json, json};

pub(super) fn render(results: &Results) -> String {
    let coverage = &results.coverage;
    let unasked = coverage.unasked.iter();
    let unasked = unasked
        .flat_map(|(view, outputs)| outputs.iter().map(move |output| format!("{view}:{output}")));
    let said = json!({
        "project": results.project,
        "passed": results.outcomes.len() - results.failed(),
        "failed": results.failed(),
        "tests": results.outcomes.iter().map(test).collect::<Vec<_>>(),
        "coverage": {
            "features": coverage.features,
            "expected": coverage.asked(),
            "unexpected": unasked.collect::<Vec<_>>(),
        },
    });
    format!("{said:#}")
}

fn test(test: &Outcome) -> Json {
    json!({
        "name": test.name,
        "subject": test.subject,
        "file": test.file,
        "line": test.line,
        "passed": test.failures.is_empty(),
        "milliseconds": test.took.as_secs_f64() * 1e3,
        "failures": test.failures.iter().map(failure).collect::<Vec<_>>(),
    })
}

fn failure(failure: &Failure) -> Json {
    let finding = &failure.finding;
    json!({
        "message": finding.message,
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "source_line": finding.source_line,
        "feature": failure.feature,
        "expected": failure.expected,
        "got": failure.got,
        "notes": failure.notes,
    })
}

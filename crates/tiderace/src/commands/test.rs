//! `test`: the tests of a project's definitions.

mod coverage;
mod json;
mod junit;
mod text;

use super::check::print;
use crate::cli::{Test, TestFormat};
use crate::project::{self, Checked};
use crate::testing::{self, Outcome, Runner};
use anyhow::Result;
use coverage::Coverage;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tiderace_plan::{Diagnostic, Severity, model};

/// The exit code where tests cannot be run: what is wrong is not a feature, but the definitions or the tests.
const BROKEN: u8 = 2;

/// What became of all tests.
struct Results {
    project: String,
    outcomes: Vec<Outcome>,
    coverage: Coverage,
}

impl Results {
    fn failed(&self) -> usize {
        let failed = self
            .outcomes
            .iter()
            .filter(|test| !test.failures.is_empty());
        failed.count()
    }

    fn took(&self) -> Duration {
        self.outcomes.iter().map(|test| test.took).sum()
    }
}

pub fn test(args: &Test) -> Result<ExitCode> {
    let folder = &args.project;
    let Checked {
        files,
        loaded,
        mut found,
    } = match project::check(folder) {
        Ok(checked) => checked,
        Err(error) => return Ok(broken(&format!("error: {error:#}\n"))),
    };
    if let Some(loaded) = &loaded {
        found.extend(testing::check_files(folder, &files, loaded));
    }
    let color = std::io::stderr().is_terminal();
    let said = tiderace_plan::render_text(&found, color);
    let is_error = |found: &Diagnostic| found.severity == Severity::Error;
    let loaded = match loaded {
        Some(loaded) if !found.iter().any(is_error) => loaded,
        _ => return Ok(broken(&said)),
    };
    eprint!("{said}");
    let chosen: Vec<&model::Test> = loaded
        .tests
        .iter()
        .filter(|test| is_chosen(test, args))
        .collect();
    if chosen.is_empty() {
        let why = match loaded.tests.is_empty() {
            true => {
                "the project has no `kind: test` documents; docs/testing.md shows one".to_owned()
            }
            false => format!(
                "none of the {} tests has {} in its name, view or service",
                loaded.tests.len(),
                args.filter.join(" or ")
            ),
        };
        return Ok(broken(&format!("error: {why}\n")));
    }
    let plan = Arc::new(loaded.plan.clone());
    let runner = Runner::new(folder, &files, Arc::clone(&plan))?;
    let mut outcomes = Vec::with_capacity(chosen.len());
    for test in chosen {
        match runner.run(test) {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => {
                let name = &test.name;
                return Ok(broken(&format!(
                    "error: run the test `{name}`: {error:#}\n"
                )));
            }
        }
    }
    let results = Results {
        project: plan.project.name.clone(),
        coverage: Coverage::of(&plan, &outcomes),
        outcomes,
    };
    print(&match args.format {
        TestFormat::Text => text::render(&results, std::io::stdout().is_terminal()),
        TestFormat::Junit => junit::render(&results),
        TestFormat::Json => json::render(&results),
    })?;
    Ok(match results.failed() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn is_chosen(test: &model::Test, args: &Test) -> bool {
    let (model::Asked::View(subject) | model::Asked::Service(subject)) = &test.asked;
    let has = |text: &String| test.name.contains(text) || subject.contains(text);
    args.filter.is_empty() || args.filter.iter().any(has)
}

fn broken(why: &str) -> ExitCode {
    eprint!("{why}");
    ExitCode::from(BROKEN)
}

//! The queries of SQL views against their tables, as far as these are on this machine. Commands ask that are
//! about definitions: a process starts, and keeps what it serves, whatever has become of a table.

use crate::project::{self, Checked};
use anyhow::Result;
use std::path::Path;
use tiderace_offline::sql::{self, Problem};
use tiderace_plan::model::Query;
use tiderace_plan::{Code, Diagnostic, Loaded, Severity, SourceFile, View};

/// Checks the project in `folder`, and its queries. Not for who runs on a runtime: each query has its own.
///
/// # Errors
/// When its files cannot be read.
pub fn check_project(folder: &Path) -> Result<Checked> {
    let mut checked = project::check(folder)?;
    if let Some(loaded) = &checked.loaded {
        let found = check_files(folder, &checked.files, loaded);
        if found.iter().any(|found| found.severity == Severity::Error) {
            checked.loaded = None;
        }
        checked.found.extend(found);
    }
    Ok(checked)
}

/// Checks every query: its names and types, and that it answers what its view declares. A table that is
/// in a bucket, or not there yet, leaves its query for the first run.
pub fn check_files(folder: &Path, files: &[SourceFile], loaded: &Loaded) -> Vec<Diagnostic> {
    let views = loaded.plan.views.iter();
    let asking = views.filter_map(|view| Some((view, view.source.query()?)));
    asking
        .flat_map(|(view, query)| check(folder, files, loaded, view, query))
        .collect()
}

fn check(
    folder: &Path,
    files: &[SourceFile],
    loaded: &Loaded,
    view: &View,
    query: &Query,
) -> Vec<Diagnostic> {
    let keys = view.keys.iter().map(|key| view.source.used[*key]);
    let keys: Vec<usize> = keys.collect();
    let about_it = |code, message: String| {
        let whole = (query.text.as_str(), None);
        let places = &loaded.places;
        places.query_finding(files, &view.name, whole, code, message, None)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return vec![about_it(Code::Schema, error.to_string())],
    };
    let found = runtime.block_on(sql::check(&view.source, query, &keys, folder));
    match found {
        Ok(problems) => problems
            .into_iter()
            .map(|problem| finding(files, loaded, view, query, problem))
            .collect(),
        Err(error) => vec![about_it(Code::Schema, error.to_string())],
    }
}

fn finding(
    files: &[SourceFile],
    loaded: &Loaded,
    view: &View,
    query: &Query,
    problem: Problem,
) -> Diagnostic {
    let error = problem.error;
    let places = &loaded.places;
    let (message, help) = match error.help {
        Some(help) if help.starts_with("did you mean") => {
            (format!("{}; {help}", error.message), None)
        }
        help => (error.message, help),
    };
    match problem.column {
        Some(column) => {
            let column = Some(column);
            places.finding(files, &view.name, column, Code::Schema, message, help)
        }
        None => {
            let part = (query.text.as_str(), error.span);
            places.query_finding(files, &view.name, part, Code::Expression, message, help)
        }
    }
}

//! `check` and `schema`.

use crate::cli::{Format, SchemaFormat};
use crate::contract;
use crate::project::{self, Checked};
use crate::queries;
use crate::testing;
use anyhow::Result;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use tiderace_plan::Severity;

pub fn check(folder: &Path, format: Format, online: bool) -> Result<ExitCode> {
    let Checked {
        files,
        mut loaded,
        mut found,
    } = project::check(folder)?;
    if let Some(good) = &loaded {
        found.extend(testing::check_files(folder, &files, good));
        found.extend(queries::check_files(folder, &files, good));
    }
    let mut seen = vec![];
    if let Some(good) = loaded.as_ref().filter(|_| online) {
        let asked = contract::check_online(folder, &files, good)?;
        seen = asked.seen;
        found.extend(asked.found);
    }
    if found.iter().any(|found| found.severity == Severity::Error) {
        loaded = None;
    }
    match format {
        Format::Json => print(&tiderace_plan::render_json(&found))?,
        Format::Text if !found.is_empty() => {
            let color = std::io::stderr().is_terminal();
            eprint!("{}", tiderace_plan::render_text(&found, color));
        }
        Format::Text => {}
    }
    if format == Format::Text {
        for line in &seen {
            print(line)?;
        }
    }
    let Some(loaded) = loaded else {
        return Ok(ExitCode::FAILURE);
    };
    if format == Format::Text {
        let plan = &loaded.plan;
        let features: usize = plan.views.iter().map(|view| view.spec.outputs.len()).sum();
        println!(
            "{}: {} sources, {} entities, {} views with {features} features, {} services, {} tests: all good",
            plan.project.name,
            plan.sources.len(),
            plan.entities.len(),
            plan.views.len(),
            plan.services.len(),
            loaded.tests.len(),
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub fn schema(format: SchemaFormat) -> Result<ExitCode> {
    match format {
        SchemaFormat::Json => print(&serde_json::to_string_pretty(&tiderace_plan::json_schema())?)?,
        SchemaFormat::Markdown => print(tiderace_plan::reference().trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a text that a reader may stop reading midway (`| head`): that is not an error.
pub fn print(text: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

//! `check` and `schema`.

use crate::cli::Format;
use crate::project;
use anyhow::Result;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

pub fn check(folder: &Path, format: Format) -> Result<ExitCode> {
    let (loaded, diagnostics) = project::check(folder)?;
    match format {
        Format::Json => print(&tiderace_plan::render_json(&diagnostics))?,
        Format::Text if !diagnostics.is_empty() => {
            let color = std::io::stderr().is_terminal();
            eprint!("{}", tiderace_plan::render_text(&diagnostics, color));
        }
        Format::Text => {}
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

pub fn schema() -> Result<ExitCode> {
    print(&serde_json::to_string_pretty(&tiderace_plan::json_schema())?)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a text that a reader may stop reading midway (`| head`): that is not an error.
fn print(text: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

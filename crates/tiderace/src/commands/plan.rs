//! `plan`: what a change of the definitions does, before it is made.

mod effects;
mod json;
pub use json::change as change_json;
mod text;

use super::check::print;
use crate::cli::{Format, Plan};
use crate::project::{self, Checked};
use anyhow::{Context, Result};
use effects::Effects;
use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use tiderace_plan::{Change, Lock};

/// The lock file's name, in the project's folder.
pub const LOCK_FILE: &str = "tiderace.lock";

/// All that is said of a change.
struct Planned<'a> {
    project: &'a str,
    /// The lock file's path, for messages.
    path: String,
    /// What is different from the lock; none where there is no lock yet.
    changes: Option<Vec<Change>>,
    /// The sources, views and services whose names mean something else, and are not accepted.
    refused: Vec<String>,
    effects: Effects,
}

/// Says what the definitions come to beside the lock file.
pub fn plan(args: &Plan) -> Result<ExitCode> {
    let folder = &args.project;
    let Checked { loaded, found, .. } = project::check(folder)?;
    let color = std::io::stderr().is_terminal();
    if !found.is_empty() {
        eprint!("{}", tiderace_plan::render_text(&found, color));
    }
    let Some(loaded) = loaded else {
        return Ok(ExitCode::FAILURE);
    };
    let path = folder.join(LOCK_FILE);
    let held = read(&path)?;
    let lock = Lock::of(&loaded.plan);
    let changes = held.as_ref().map(|held| lock.changes(held));
    let breaking = breaking(changes.as_deref().unwrap_or_default());
    let refused = breaking
        .iter()
        .filter(|name| !args.accept_change.contains(name));
    let planned = Planned {
        project: &loaded.plan.project.name,
        path: path.display().to_string(),
        refused: refused.cloned().collect(),
        effects: Effects::of(
            folder,
            &loaded.plan,
            held.as_ref(),
            changes.as_deref(),
            args,
        )?,
        changes,
    };
    print(&match args.format {
        Format::Text => text::render(&planned, std::io::stdout().is_terminal()),
        Format::Json => json::render(&planned),
    })?;
    let needless = args
        .accept_change
        .iter()
        .find(|name| !breaking.contains(name));
    if let Some(name) = needless {
        let names = match breaking.is_empty() {
            true => "no name means something else than it did".to_owned(),
            false => format!("what means something else: {}", breaking.join(", ")),
        };
        eprintln!("error: --accept-change {name}: there is nothing to accept; {names}");
        return Ok(ExitCode::FAILURE);
    }
    if !planned.refused.is_empty() {
        eprint!("{}", text::way_out(&planned.refused, folder));
        return Ok(ExitCode::FAILURE);
    }
    if args.write || !args.accept_change.is_empty() {
        write(&path, &lock.to_string())?;
        eprintln!("wrote {}", path.display());
    } else if args.locked && held.as_ref() != Some(&lock) {
        let path = path.display();
        eprintln!(
            "error: {path} is not what the definitions come to: `tiderace plan {} --write` makes it so, to be committed with them",
            folder.display()
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The groups in which a name means something else, once each.
fn breaking(changes: &[Change]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for change in changes.iter().filter(|change| change.breaks()) {
        if !names.contains(&change.group) {
            names.push(change.group.clone());
        }
    }
    names
}

/// Reads a lock file, if there is one.
pub fn read(path: &Path) -> Result<Option<Lock>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let lock = Lock::parse(&text).with_context(|| format!("read {}", path.display()))?;
    Ok(Some(lock))
}

/// Puts a text in the place of a file, whole or not at all.
fn write(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("lock.new");
    let written = File::create(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&new, path));
    written.with_context(|| format!("write {}", path.display()))
}

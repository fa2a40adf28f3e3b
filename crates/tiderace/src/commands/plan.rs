//! `plan`: what a change of the definitions does, before it is made.

mod effects;
mod json;
pub use json::change as change_json;
mod text;

use super::check::print;
use crate::cli::{Format, Plan as Args};
use crate::project::Checked;
use crate::queries;
use anyhow::{Context, Result};
use effects::Effects;
pub(super) use effects::Sizes;
use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use tiderace_plan::{Change, Lock, Plan};

/// The lock file's name, in the project's folder.
pub const LOCK_FILE: &str = "tiderace.lock";

/// All that is said of a change.
pub(super) struct Planned<'a> {
    project: &'a str,
    /// The lock file's path, for messages.
    lock: String,
    /// What the definitions are compared with, in words.
    against: String,
    /// What is said where there is nothing to compare with.
    nothing: String,
    /// What is different; none where there is nothing to compare with.
    pub(super) changes: Option<Vec<Change>>,
    /// The sources, views and services whose names mean something else, and are not accepted.
    pub(super) refused: Vec<String>,
    /// The names of all views.
    views: Vec<String>,
    effects: Effects,
}

/// What definitions are compared with.
pub(super) struct Before<'a> {
    /// What names meant.
    pub(super) lock: Option<&'a Lock>,
    /// What that is, in words.
    pub(super) against: String,
    /// What is said where it is not there.
    pub(super) nothing: String,
    /// The sources, views and services whose names mean something else.
    pub(super) breaking: Vec<String>,
}

impl<'a> Planned<'a> {
    /// Tells what becomes of everything. What is in `accepted` is not refused.
    pub(super) fn of(
        folder: &Path,
        plan: &'a Plan,
        now: &Lock,
        before: Before<'_>,
        accepted: &[String],
        sizes: Sizes,
    ) -> Result<Planned<'a>> {
        let changes = before.lock.map(|held| now.changes(held));
        let refused = before.breaking.into_iter();
        let effects = Effects::of(folder, plan, before.lock, changes.as_deref(), sizes)?;
        Ok(Planned {
            project: &plan.project.name,
            lock: folder.join(LOCK_FILE).display().to_string(),
            against: before.against,
            nothing: before.nothing,
            changes,
            refused: refused.filter(|name| !accepted.contains(name)).collect(),
            views: plan.views.iter().map(|view| view.name.clone()).collect(),
            effects,
        })
    }

    /// The plan for people.
    pub(super) fn text(&self) -> String {
        text::render(self, std::io::stdout().is_terminal())
    }

    /// The plan for scripts.
    pub(super) fn json(&self) -> serde_json::Value {
        json::render(self)
    }

    /// What to do about what is refused; `command` is how it is accepted.
    pub(super) fn way_out(&self, command: &str) -> String {
        text::way_out(self, command)
    }
}

/// Says what the definitions come to beside the lock file.
pub fn plan(args: &Args) -> Result<ExitCode> {
    let folder = &args.project;
    let Checked { loaded, found, .. } = queries::check_project(folder)?;
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
    let breaking = held.as_ref().map(|held| breaking(&lock.changes(held)));
    let breaking = breaking.unwrap_or_default();
    let before = Before {
        lock: held.as_ref(),
        against: path.display().to_string(),
        nothing: format!("there is no {} yet; `--write` makes it", path.display()),
        breaking: breaking.clone(),
    };
    let sizes = Sizes {
        entities: args.entities,
        events: args.events,
    };
    let plan = &loaded.plan;
    let planned = Planned::of(folder, plan, &lock, before, &args.accept_change, sizes)?;
    print(&match args.format {
        Format::Text => planned.text(),
        Format::Json => format!("{:#}", planned.json()),
    })?;
    if let Some(why) = needless(&args.accept_change, &breaking) {
        eprintln!("error: {why}");
        return Ok(ExitCode::FAILURE);
    }
    if !planned.refused.is_empty() {
        let command = format!("tiderace plan {}", folder.display());
        eprint!("{}", planned.way_out(&command));
        return Ok(ExitCode::FAILURE);
    }
    if args.write || !args.accept_change.is_empty() {
        write(&path, &lock.to_string())?;
        eprintln!("wrote {}", path.display());
    } else if args.locked && held.as_ref() != Some(&lock) {
        eprintln!("error: {}", out_of_date(folder));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// That the lock file is not that of the definitions.
pub(super) fn out_of_date(folder: &Path) -> String {
    format!(
        "{} is not what the definitions come to: `tiderace plan {} --write` makes it so, to be committed with them",
        folder.join(LOCK_FILE).display(),
        folder.display()
    )
}

/// Why a change need not be accepted, if one of them need not.
pub(super) fn needless(accepted: &[String], breaking: &[String]) -> Option<String> {
    let name = accepted.iter().find(|name| !breaking.contains(name))?;
    let names = match breaking.is_empty() {
        true => "no name means something else than it did".to_owned(),
        false => format!("what means something else: {}", breaking.join(", ")),
    };
    Some(format!(
        "--accept-change {name}: there is nothing to accept; {names}"
    ))
}

/// The groups in which a name means something else, once each.
pub(super) fn breaking(changes: &[Change]) -> Vec<String> {
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
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("lock.new");
    let written = File::create(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&new, path));
    written.with_context(|| format!("write {}", path.display()))
}

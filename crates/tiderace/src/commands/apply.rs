//! `apply`: makes a set of definitions the one that runs.
//!
//! It is moved there in one step, and stays there whatever becomes of this command: a process that runs takes it
//! up by itself, or takes it back. What is waited for here is only what to say of it.

mod follow;
mod list;

use super::check::print;
use super::plan::{self, Before, LOCK_FILE, Planned, Sizes};
use crate::cli::{Apply as Args, Format};
use crate::deployed::{Applied, Bundle, Deployed, short};
use crate::live::now;
use crate::project::{Checked, Home};
use crate::queries;
use anyhow::{Context, Result};
use follow::Outcome;
use serde_json::{Value as Json, json};
use std::io::IsTerminal;
use std::process::ExitCode;
use tiderace_plan::{Change, Line, Lock, Plan, Subject};

const NOT_HERE: &str =
    "nothing can be applied here: expected settings without errors in tiderace.yaml";

/// What sizes are told for.
const SIZES: Sizes = Sizes {
    entities: 1_000_000,
    events: 100,
};

pub fn apply(args: &Args) -> Result<ExitCode> {
    let folder = &args.project;
    let home = Home::new(folder)?;
    if args.list {
        return list::list(&home, args.format);
    }
    let Checked {
        files,
        loaded,
        found,
    } = queries::check_project(folder)?;
    if !found.is_empty() {
        let color = std::io::stderr().is_terminal();
        eprint!("{}", tiderace_plan::render_text(&found, color));
    }
    let Some(loaded) = loaded else {
        return Ok(ExitCode::FAILURE);
    };
    let plan = &loaded.plan;
    let deployed = home.deployed();
    let deployed = deployed.context(NOT_HERE)?;
    let bundle = Bundle::of(folder, &files, plan)?;
    let step = Step {
        args,
        home: &home,
        deployed,
        plan,
        bundle,
    };
    step.run()
}

/// Definitions that are to be applied.
struct Step<'a> {
    args: &'a Args,
    home: &'a Home,
    deployed: &'a Deployed,
    plan: &'a Plan,
    bundle: Bundle,
}

impl Step<'_> {
    fn run(&self) -> Result<ExitCode> {
        let (args, folder) = (self.args, &self.args.project);
        let now_means = Lock::of(self.plan);
        let path = folder.join(LOCK_FILE);
        let held = plan::read(&path)?;
        let newest = self.deployed.newest()?;
        let before = newest.as_ref().and_then(|newest| self.meant(newest));
        let lock = before.as_ref().or(held.as_ref());
        let breaking = breaking(&now_means, before.as_ref(), held.as_ref());
        let against = match (&newest, &before) {
            (Some(newest), Some(_)) => format!("what was applied last, {}", short(&newest.bundle)),
            _ => path.display().to_string(),
        };
        let compared = Before {
            lock,
            against,
            nothing: format!(
                "nothing was applied yet, and there is no {}",
                path.display()
            ),
            breaking: breaking.clone(),
        };
        let accepted = &args.accept_change;
        let planned = Planned::of(folder, self.plan, &now_means, compared, accepted, SIZES)?;
        if args.format == Format::Text {
            print(&planned.text())?;
            println!();
        }
        if let Some(why) = plan::needless(accepted, &breaking) {
            return self.say(&planned, &Outcome::refused(&why));
        }
        if !planned.refused.is_empty() {
            let command = format!("tiderace apply {}", folder.display());
            let way_out = planned.way_out(&command);
            let way_out = way_out.trim_start_matches("error: ").trim_end();
            return self.say(&planned, &Outcome::refused(way_out));
        }
        let is_current = held.as_ref() == Some(&now_means);
        if args.locked && !is_current {
            return self.say(&planned, &Outcome::refused(&plan::out_of_date(folder)));
        }
        if args.dry_run {
            return self.say(&planned, &Outcome::DryRun);
        }
        let note = args.note.as_deref();
        let (applied, is_new) = self.deployed.apply(&self.bundle, now(), note)?;
        if held.is_some() && !accepted.is_empty() {
            plan::write(&path, &now_means.to_string())?;
            eprintln!("wrote {}", path.display());
        } else if held.is_some() && !is_current {
            eprintln!("note: {}", plan::out_of_date(folder));
        }
        let outcome = follow::follow(self, &applied, is_new)?;
        self.say(&planned, &outcome)
    }

    /// What names meant in an application; none, with a word about it, where that cannot be told.
    fn meant(&self, newest: &Applied) -> Option<Lock> {
        match self.home.applied(newest.clone()) {
            Ok(definitions) => Some(Lock::of(&definitions.plan)),
            Err(error) => {
                eprintln!("warning: what was applied last is not compared with: {error:#}");
                None
            }
        }
    }

    fn say(&self, planned: &Planned<'_>, outcome: &Outcome) -> Result<ExitCode> {
        match self.args.format {
            Format::Text if outcome.is_good() => print(&outcome.text(&self.bundle.id()))?,
            Format::Text => eprintln!("error: {}", outcome.text(&self.bundle.id())),
            Format::Json => {
                let mut said = planned.json();
                let more = json!({
                    "definitions": self.bundle.id(),
                    "outcome": outcome.name(),
                    "message": outcome.text(&self.bundle.id()),
                    "number": outcome.number(),
                });
                if let (Json::Object(said), Json::Object(more)) = (&mut said, more) {
                    said.extend(more);
                }
                print(&format!("{said:#}"))?;
            }
        }
        Ok(match outcome.is_good() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

/// The views, sources and services whose names mean something else than was applied, unless the lock file says
/// that they are to: that has been reviewed. And those that mean something else than the lock file says.
fn breaking(now: &Lock, applied: Option<&Lock>, held: Option<&Lock>) -> Vec<String> {
    let since =
        |before: Option<&Lock>| before.map(|before| now.changes(before)).unwrap_or_default();
    let mut changes = since(applied);
    changes.retain(|change| {
        let line = line(now, change);
        held.is_none_or(|held| line.is_none() || self::line(held, change) != line)
    });
    changes.extend(since(held));
    plan::breaking(&changes)
}

/// What a lock says of the name that a change is about.
fn line<'a>(lock: &'a Lock, change: &Change) -> Option<&'a Line> {
    let groups = match change.subject {
        Subject::Project => return None,
        Subject::Source => &lock.sources,
        Subject::View => &lock.views,
        Subject::Service => &lock.services,
    };
    let group = groups.iter().find(|group| group.own.name == change.group)?;
    match &change.part {
        None => Some(&group.own),
        Some(part) => group.parts.iter().find(|line| line.name == *part),
    }
}

//! `apply --list`: what was applied, and which of it runs.

use crate::cli::Format;
use crate::commands::check::print;
use crate::deployed::{Answer, Applied, short};
use crate::project::Home;
use crate::spool::Spool;
use anyhow::{Context, Result};
use serde_json::{Value as Json, json};
use std::fmt::Write;
use std::process::ExitCode;
use tiderace_types::Timestamp;

/// A process of this state folder.
struct Process {
    index: u32,
    is_alive: bool,
    answer: Answer,
}

pub(super) fn list(home: &Home, format: Format) -> Result<ExitCode> {
    let deployed = home.deployed();
    let deployed = deployed.context(super::NOT_HERE)?;
    let all = deployed.all()?;
    let mut processes = Vec::new();
    for (index, layout) in home.layouts() {
        let spool = Spool::new(layout.backfill());
        if let Some(answer) = deployed.answer(index)? {
            processes.push(Process {
                index,
                is_alive: spool.has_a_process()?,
                answer,
            });
        }
    }
    print(&match format {
        Format::Text => text(&all, &processes).trim_end().to_owned(),
        Format::Json => format!("{:#}", json(&all, &processes)),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn text(all: &[Applied], processes: &[Process]) -> String {
    let mut out = String::new();
    if all.is_empty() {
        out.push_str("nothing was applied: what runs is what is in the project's folder\n");
    }
    // Writing to a string cannot fail.
    for applied in all {
        let runs = processes.iter().any(|process| {
            process.is_alive && process.answer.runs.as_ref() == Some(&applied.bundle)
        });
        let runs = if runs { "*" } else { " " };
        let (number, name) = (applied.number, short(&applied.bundle));
        let (at, note) = (Timestamp(applied.at), applied.note.as_deref());
        let line = format!(
            "{runs} {number:>4}  {name}  {at}  {}",
            note.unwrap_or_default()
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    for process in processes {
        let index = process.index;
        let _ = match (process.is_alive, &process.answer.runs) {
            (false, _) => writeln!(out, "process {index} does not run"),
            (true, Some(bundle)) => writeln!(out, "process {index} runs {}", short(bundle)),
            (true, None) => {
                writeln!(
                    out,
                    "process {index} runs what was in the project's folder when it began"
                )
            }
        };
        if let Some(refused) = &process.answer.refused {
            let (number, name) = (refused.number, short(&refused.bundle));
            let _ = writeln!(out, "  it refused {number}, {name}: {}", refused.why);
        }
    }
    out
}

fn json(all: &[Applied], processes: &[Process]) -> Json {
    let applied = all.iter().map(|applied| {
        json!({
            "number": applied.number,
            "definitions": applied.bundle,
            "at": Timestamp(applied.at).to_string(),
            "note": applied.note,
        })
    });
    let processes = processes.iter().map(|process| {
        json!({
            "process": process.index,
            "running": process.is_alive,
            "definitions": process.answer.runs,
            "refused": process.answer.refused,
        })
    });
    json!({
        "applied": applied.collect::<Vec<_>>(),
        "processes": processes.collect::<Vec<_>>(),
    })
}

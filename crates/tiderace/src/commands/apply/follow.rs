//! What the processes that run make of an application.

use super::Step;
use crate::deployed::{Answer, Applied, short};
use crate::spool::Spool;
use anyhow::Result;
use std::time::{Duration, Instant};

/// How often it is looked at.
const LOOKING: Duration = Duration::from_millis(50);

/// What came of it.
pub(super) enum Outcome {
    /// It is applied, and runs where anything runs.
    Applied {
        applied: Applied,
        is_new: bool,
        /// How many processes run it.
        processes: usize,
    },
    /// Nothing is applied.
    Refused { number: Option<u64>, why: String },
    /// It is applied, and does not run yet.
    Unanswered { number: u64, why: String },
    /// It was only looked at.
    DryRun,
}

impl Outcome {
    pub(super) fn refused(why: &str) -> Outcome {
        Outcome::Refused {
            number: None,
            why: why.to_owned(),
        }
    }

    pub(super) fn is_good(&self) -> bool {
        matches!(self, Outcome::Applied { .. } | Outcome::DryRun)
    }

    /// For scripts.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Outcome::Applied { is_new: true, .. } => "applied",
            Outcome::Applied { is_new: false, .. } => "unchanged",
            Outcome::Refused { .. } => "refused",
            Outcome::Unanswered { .. } => "unanswered",
            Outcome::DryRun => "dry_run",
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Outcome::Applied { applied, .. } => Some(applied.number),
            Outcome::Unanswered { number, .. } => Some(*number),
            Outcome::Refused { number, .. } => *number,
            Outcome::DryRun => None,
        }
    }

    /// For people.
    pub(super) fn text(&self, bundle: &str) -> String {
        match self {
            Outcome::Applied {
                applied,
                is_new,
                processes,
            } => {
                let (name, number) = (short(&applied.bundle), applied.number);
                let done = match is_new {
                    true => format!("applied {name} as number {number}"),
                    false => format!(
                        "nothing to apply: {name} is what was applied last, as number {number}"
                    ),
                };
                match processes {
                    0 => format!(
                        "{done}; no process runs with this state folder: the next one that starts runs it"
                    ),
                    1 => format!("{done}; it runs"),
                    many => format!("{done}; it runs in {many} processes"),
                }
            }
            Outcome::Refused { why, .. } => why.clone(),
            Outcome::Unanswered { why, .. } => why.clone(),
            Outcome::DryRun => format!("dry run: {} is not applied", short(bundle)),
        }
    }
}

/// Waits until every process that runs here runs an application, or one refuses it.
pub(super) fn follow(step: &Step<'_>, applied: &Applied, is_new: bool) -> Result<Outcome> {
    let deadline = Instant::now() + Duration::from_secs(step.args.timeout);
    let running = processes(step)?;
    loop {
        let mut waiting = None;
        for process in &running {
            let answer = step.deployed.answer(*process)?.unwrap_or_default();
            if let Some(why) = refused(&answer, applied) {
                let why = format!(
                    "the process that runs cannot run this, and goes on with what ran; nothing is applied: {why}"
                );
                return Ok(Outcome::Refused {
                    number: Some(applied.number),
                    why,
                });
            }
            let runs = answer.runs.as_ref() == Some(&applied.bundle);
            if !runs || answer.number < applied.number {
                waiting = Some(*process);
            }
        }
        let Some(process) = waiting else {
            return Ok(Outcome::Applied {
                applied: applied.clone(),
                is_new,
                processes: running.len(),
            });
        };
        let newest = step.deployed.newest()?.map(|newest| newest.number);
        let why = match newest {
            Some(newer) if newer > applied.number => format!(
                "something else was applied meanwhile, as number {newer}: that is what is to run"
            ),
            _ if Instant::now() < deadline => {
                std::thread::sleep(LOOKING);
                continue;
            }
            Some(same) if same == applied.number => unanswered(step, process, applied)?,
            _ => "a process that cannot run this took it back, and has ended before it said why: its log does".to_owned(),
        };
        return Ok(Outcome::Unanswered {
            number: applied.number,
            why,
        });
    }
}

/// Why a process has refused an application, if it has.
fn refused(answer: &Answer, applied: &Applied) -> Option<String> {
    let refused = answer.refused.as_ref()?;
    (refused.number == applied.number).then(|| refused.why.clone())
}

/// The processes that run with this state folder.
fn processes(step: &Step<'_>) -> Result<Vec<u32>> {
    let mut running = Vec::new();
    for (index, layout) in step.home.layouts() {
        if Spool::new(layout.backfill()).has_a_process()? {
            running.push(index);
        }
    }
    Ok(running)
}

fn unanswered(step: &Step<'_>, process: u32, applied: &Applied) -> Result<String> {
    let number = applied.number;
    Ok(match processes(step)?.contains(&process) {
        true => format!(
            "number {number} is applied, and the process that runs has not taken it up within {} s: it goes on trying, its log says how (`tiderace apply --list` says what runs)",
            step.args.timeout
        ),
        false => format!(
            "number {number} is applied, and the process that ran has ended: the next one that starts runs it"
        ),
    })
}

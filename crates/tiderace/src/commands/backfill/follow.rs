//! Hands a prepared past over, and follows what becomes of it.

use super::{Task, listed};
use crate::commands::bar::bar;
use crate::spool::{Phase, Request, Status};
use anyhow::Result;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;
use tiderace_offline::backfill::{Counts, Manifest, Whole};
use tiderace_types::{READ, Timestamp};

/// How often it is looked at.
const LOOKING: Duration = Duration::from_millis(200);

pub fn follow(task: &Task<'_>, manifest: &Manifest) -> Result<ExitCode> {
    let name = &manifest.view;
    tell_prepared(name, &manifest.counts);
    let status = task.spool.status(name)?;
    let known = status.filter(|status| status.job == manifest.job);
    // One that did not meet the stream may do so by now.
    let is_over = |status: &Status| status.phase == Phase::Done && status.joined;
    if !known.as_ref().is_some_and(is_over) {
        task.spool.forget_status(name)?;
        task.spool.put_request(name, &Request::new(manifest.job))?;
    }
    let bar = bar("taken in");
    loop {
        let status = task.spool.status(name)?;
        let status = status.filter(|status| status.job == manifest.job);
        if let Some(status) = &status {
            bar.set_length(status.events);
            bar.set_position(status.offered);
            match status.phase {
                Phase::TakingIn | Phase::Settling | Phase::Stuck => {}
                Phase::Done => {
                    bar.finish_and_clear();
                    return Ok(tell_done(name, status));
                }
                Phase::Refused => {
                    bar.finish_and_clear();
                    let why = status.message.as_deref().unwrap_or_default();
                    eprintln!("error: the events are not taken in: {why}");
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        if !task.args.wait && !task.spool.has_a_process()? {
            bar.finish_and_clear();
            println!("no process runs that takes events in: these are, when one starts");
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(LOOKING);
    }
}

fn tell_prepared(view: &str, counts: &Counts) {
    let others: BTreeMap<String, u64> = [
        ("not needed", counts.outside),
        ("of the stream since the view began", counts.by_stream),
        ("outside its `where`", counts.filtered),
        ("with a null key", counts.null_key),
        ("dropped by a check", counts.dropped),
    ]
    .into_iter()
    .map(|(what, count)| (what.to_owned(), count))
    .chain(
        counts
            .refused
            .iter()
            .map(|(reason, count)| (format!("refused: {reason}"), *count)),
    )
    .collect();
    let others = match listed(&others) {
        none if none.is_empty() => none,
        some => format!(" ({some})"),
    };
    println!(
        "view {view}: {} rows read, {} events prepared{others}",
        counts.read, counts.taken
    );
}

/// Says what became of the events; tells whether the view is whole with them.
fn tell_done(view: &str, status: &Status) -> ExitCode {
    let mut outcomes = status.outcomes.clone();
    outcomes.remove(READ);
    if let Some(before) = outcomes.remove("too_late_idle") {
        outcomes.insert("before what is kept".to_owned(), before);
    }
    println!(
        "view {view}: {} events taken in: {}",
        status.events,
        listed(&outcomes)
    );
    match &status.whole {
        Some(Whole::FromBeginning) => println!("it is whole from the beginning"),
        Some(Whole::From(from)) => println!("it is whole from {}", Timestamp(*from)),
        Some(Whole::Not(_)) | None => println!("it is not known since when it is whole"),
    }
    if let Some(message) = &status.message {
        println!("{message}");
    }
    match status.joined {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

//! `sync`: asks the process that runs to bring the table of a batch view in, or to run the query of a SQL
//! view, and follows it.

use super::backfill::view;
use super::bar::bar;
use crate::cli::Sync as Args;
use crate::layout::Layout;
use crate::project;
use crate::spool::{Spool, SyncCounts, SyncPhase, SyncRequest};
use anyhow::{Result, bail};
use std::process::ExitCode;
use std::time::Duration;

/// How often it is looked at.
const LOOKING: Duration = Duration::from_millis(100);

pub fn sync(args: &Args) -> Result<ExitCode> {
    let plan = project::load_running(&args.project.project)?;
    let view = view(&plan, &args.view)?;
    if view.source.table().is_none() {
        bail!(
            "`{}` is neither a batch view nor a SQL view: its events come by source `{}`",
            view.name,
            view.source.name
        );
    }
    let spool = Spool::new(Layout::new(&args.project.project, &plan).backfill());
    // One more than none: no request has the number 0.
    let request = rand::random::<u64>().max(1);
    spool.put_sync_request(&view.name, &SyncRequest::new(request))?;
    let bar = bar("rows taken in");
    loop {
        let said = spool.synced(&view.name)?;
        if let Some(said) = said.filter(|said| said.request == request) {
            bar.set_length(said.counts.rows);
            bar.set_position(said.counts.offered);
            match said.phase {
                SyncPhase::Checking | SyncPhase::TakingIn | SyncPhase::Settling => {}
                SyncPhase::Done => {
                    bar.finish_and_clear();
                    let asks = view.source.query().is_some();
                    println!("view {}: {}", view.name, told(&said.counts, asks));
                    if let Some(message) = said.message {
                        println!("{message}");
                    }
                    return Ok(ExitCode::SUCCESS);
                }
                SyncPhase::Failed => {
                    bar.finish_and_clear();
                    let why = said.message.unwrap_or_default();
                    eprintln!("error: view {} keeps its values: {why}", view.name);
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        if !args.wait && !spool.has_a_process()? {
            bar.finish_and_clear();
            eprintln!("error: no process runs that brings tables in: this one is, when one starts");
            return Ok(ExitCode::FAILURE);
        }
        std::thread::sleep(LOOKING);
    }
}

fn told(counts: &SyncCounts, asks: bool) -> String {
    let seconds = counts.millis as f64 / 1000.0;
    if counts.rows == 0 && counts.files == 0 && counts.left == 0 {
        let what = if asks { "answer" } else { "table" };
        return format!("nothing has changed in its {what} ({seconds:.1} s)");
    }
    let entities = match counts.entities {
        Some(entities) => format!("{entities} entities"),
        None => "more entities than are counted".to_owned(),
    };
    let others = [
        (counts.deleting, "deleting their entity"),
        (counts.null_key, "with a null key"),
        (counts.refused, "refused"),
    ];
    let others = others.iter().filter(|(count, _)| *count > 0);
    let others: String = others
        .map(|(count, what)| format!(", {count} {what}"))
        .collect();
    let left = match counts.left {
        0 => String::new(),
        left => format!("; {left} entities left the table and are deleted"),
    };
    format!(
        "{} rows of {entities} read{others}, {} taken in from {} files{left} ({seconds:.1} s)",
        counts.rows, counts.offered, counts.files
    )
}

//! Has rows that are not what a recount says published again from state.

use crate::layout::Layout;
use crate::spool::{RepairRequest, Spool};
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tiderace_plan::Plan;
use tiderace_plan::model::View;

/// How often it is looked whether it is done.
const LOOKING: Duration = Duration::from_millis(50);

/// Whether repairs can be asked for in this project.
///
/// # Errors
/// Why not.
pub fn can_ask(plan: &Plan) -> Result<()> {
    if plan.project.processes > 1 {
        bail!(
            "rows of several processes (`state.processes`) cannot be published again one by one yet: restart the process that owns them with an empty online store"
        );
    }
    Ok(())
}

/// Asks the process that runs on this project's state to publish the rows of entities again, and waits until
/// its lanes are told.
///
/// # Errors
/// When none runs here.
pub fn publish_again(
    project: &Path,
    plan: &Plan,
    view: &View,
    entities: &BTreeSet<Vec<u8>>,
) -> Result<()> {
    let spool = Spool::new(Layout::new(project, plan).backfill());
    // One more than none: no request has the number 0.
    let number = rand::random::<u64>().max(1);
    spool.put_repair_request(&RepairRequest::new(number, &view.name, entities))?;
    while spool.repaired()? != Some(number) {
        if !spool.has_a_process()? {
            bail!(
                "no process runs on the state of this project here, and only it can publish rows again: run this where `tiderace run` or `worker` runs"
            );
        }
        std::thread::sleep(LOOKING);
    }
    Ok(())
}

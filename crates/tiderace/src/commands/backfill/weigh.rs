//! What a backfill would take.

use super::Task;
use crate::spool::ViewStands;
use anyhow::{Context, Result};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiderace_aggregate::Row;
use tiderace_engine::{Past, PastEvents};
use tiderace_offline::history::fields_of;
use tiderace_offline::table::{Table, Unit};
use tiderace_types::{Timestamp, Version};

/// Beside reading and evaluating, an event is sorted, written, read again, and taken in: so many
/// times as long, by what was measured.
const WHOLE: u32 = 8;

/// What a row takes in a store beside its bytes.
const ROW: u64 = 100;

/// Says what the backfill would take, by a look at a part of the table.
pub fn weigh(task: &Task<'_>, table: &Table, stands: &ViewStands) -> Result<ExitCode> {
    let fields = fields_of(&task.view.source);
    fields.check(table)?;
    let (rows, units) = (table.rows(), table.units());
    let bytes: u64 = units.iter().map(|unit| unit.bytes).sum();
    println!(
        "{rows} rows, {bytes} bytes, in {} files",
        table.files().len()
    );
    // The last events are those that views need.
    let Some(unit) = units.iter().rev().find(|unit| unit.rows > 0) else {
        return Ok(ExitCode::SUCCESS);
    };
    let started = Instant::now();
    let sample = sample(task, table, *unit)?;
    let each = started.elapsed() / u32::try_from(sample.read.max(1))?;
    let threads = u32::try_from(task.threads())?;
    let time = each * WHOLE * u32::try_from(rows).unwrap_or(u32::MAX) / threads;
    let share = sample.taken as f64 / sample.read.max(1) as f64;
    let needed = needed(task, stands);
    let events = (rows as f64 * share) as u64;
    println!(
        "about {events} of them are events of view `{}`{}, of {} bytes each in a row",
        task.view.name,
        match needed {
            Some(from) => format!(" (it needs those after {from})"),
            None => String::new(),
        },
        sample.bytes
    );
    println!(
        "about {:.0?} with {threads} threads",
        time.max(Duration::from_secs(1))
    );
    let entities = sample.entities.max(1);
    println!(
        "about {} MiB of state, and at most as much of the online store, with {entities} or more rows",
        (events * sample.bytes + entities * ROW) >> 20
    );
    Ok(ExitCode::SUCCESS)
}

/// After which instant the view needs events, where it does not need all.
fn needed(task: &Task<'_>, stands: &ViewStands) -> Option<Timestamp> {
    let is_bounded = !task.view.spec.unbounded();
    let kept = is_bounded.then_some(Timestamp(stands.kept_from));
    let kept = kept.filter(|kept| *kept > Timestamp::MIN);
    kept.max(task.bounds.from)
}

struct Sample {
    read: u64,
    taken: u64,
    entities: u64,
    /// What an event takes in a row.
    bytes: u64,
}

fn sample(task: &Task<'_>, table: &Table, unit: Unit) -> Result<Sample> {
    let spec = &task.view.spec;
    let fields = fields_of(&task.view.source);
    let mut reading = fields.read(table, unit)?;
    let past = Past::new(Arc::clone(&task.view));
    let rows = task.runtime.block_on(reading.next())?;
    let rows = rows.context("a row group has rows")?;
    let read = rows.read;
    let taken = past.take(&rows.batch, rows.places);
    let mut entities: Vec<&[u8]> = (0..taken.events.len())
        .map(|at| taken.events.key(at))
        .collect();
    entities.sort_unstable();
    entities.dedup();
    let (entities, taken) = (entities.len() as u64, taken.events);
    let bytes = row_bytes(&taken, spec);
    Ok(Sample {
        read,
        taken: taken.len() as u64,
        entities,
        bytes,
    })
}

/// What an event takes in a row that holds some of them.
fn row_bytes(events: &PastEvents, spec: &tiderace_aggregate::RowSpec) -> u64 {
    const SOME: usize = 256;
    let mut row = Row::new(spec);
    for at in 0..events.len().min(SOME) {
        let mut cells = Vec::new();
        events.push_cells(at, &mut cells);
        row.offer(spec, &events.event(at, &cells));
    }
    let count = row.events.len().max(1);
    (row.encode(spec, Version::default()).len() / count) as u64
}

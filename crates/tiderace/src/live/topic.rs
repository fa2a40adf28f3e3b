//! A source's topic as it is now, read from its beginning and judged as the intake judges it, beside whatever
//! process consumes it.

use super::reading::{Folders, Reading};
use super::{kafka, now};
use crate::layout::Layout;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tiderace_engine::{Accepted, Intake};
use tiderace_plan::Plan;
use tiderace_plan::model::{Source, Stream};
use tiderace_source::{Kind, Reader};
use tiderace_types::{CoveredFrom, Positions, RecordBatch, Timestamp};

/// How long a poll waits for records.
const POLL: Duration = Duration::from_millis(100);

/// How long a topic may give nothing before its end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads all that the topic of `source` has, and hands on the events that the source accepts. Gives since when
/// they are all there: a topic that has let go of its beginning lacks what came before.
///
/// # Errors
/// When it cannot be read to where it ends when this begins, or is no topic; and what `each` fails of.
pub fn read_topic(
    plan: &Plan,
    layout: &Layout,
    source: &Arc<Source>,
    mut each: impl FnMut(Accepted) -> Result<()>,
) -> Result<CoveredFrom> {
    let Stream::Kafka { topic, headers, .. } = &source.stream else {
        bail!("source `{}` has no topic", source.name);
    };
    let context = || format!("read topic \"{topic}\" of source `{}`", source.name);
    let schemas = layout.schemas();
    let folders = Folders {
        project: layout.project(),
        definitions: layout.definitions(),
        kept: &schemas,
    };
    let mut reading = Reading::new(source, plan, folders)?;
    let reader = Reader::kafka(&kafka(plan)?, topic, source.id, &[]);
    let mut reader = reader.with_context(context)?.only(headers.clone());
    let mut intake = Intake::new(Arc::clone(source), Vec::new(), &Positions::default()).telling();
    let begins: BTreeMap<u32, i64> = reader.positions().into_iter().collect();
    let ends = reader.ends().with_context(context)?;
    let has_come = |reader: &Reader| {
        let at: BTreeMap<u32, i64> = reader.positions().into_iter().collect();
        let mut ends = ends.iter();
        ends.all(|(number, end)| at.get(number).is_some_and(|at| at >= end))
    };
    let mut whole = CoveredFrom::Beginning;
    let mut cut: Vec<u32> = begins
        .iter()
        .filter(|(_, begins)| **begins > 0)
        .map(|(number, _)| *number)
        .collect();
    let (stop, mut heard_at) = (AtomicBool::new(false), Instant::now());
    while !has_come(&reader) {
        let mut records = RecordBatch::default();
        match reader.poll(&mut records, super::intake::LIMIT, POLL) {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::Retry => {}
            Err(error) => return Err(error).with_context(context),
        }
        if records.is_empty() {
            if heard_at.elapsed() > PATIENCE {
                bail!(
                    "{}: nothing has come for {} s before its end",
                    context(),
                    PATIENCE.as_secs()
                );
            }
            continue;
        }
        heard_at = Instant::now();
        // What was before the first record that is left was no newer than that says.
        for meta in &records.metas {
            if let Some(at) = cut
                .iter()
                .position(|number| *number == meta.partition.number)
            {
                cut.swap_remove(at);
                whole = later(whole, before(source, meta.broker_time));
            }
        }
        let Some(decoded) = reading.read(&mut records, &stop) else {
            bail!("{}: its schemas cannot be had", context());
        };
        if let Some(accepted) = intake.take(records, decoded).accepted {
            each(accepted)?;
        }
    }
    // Of those in which nothing is left there may be anything up to now.
    match cut.is_empty() {
        true => Ok(whole),
        false => Ok(later(whole, before(source, now()))),
    }
}

/// Up to when events may be of that came before an instant.
fn before(source: &Source, at: Timestamp) -> Timestamp {
    at.plus(source.max_ahead.unwrap_or(tiderace_types::Duration::ZERO))
}

fn later(whole: CoveredFrom, from: Timestamp) -> CoveredFrom {
    match whole {
        CoveredFrom::Instant(held) if held >= from => whole,
        _ => CoveredFrom::Instant(from),
    }
}

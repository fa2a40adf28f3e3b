//! `replay`: a file into a source.

use super::destination::Destination;
use crate::cli::Replay;
use crate::live::kafka;
use crate::project;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use tiderace_plan::Plan;
use tiderace_plan::model::{Encoding, Source, Stream};
use tiderace_source::{ensure_topic, read_file};

pub fn replay(args: &Replay) -> Result<ExitCode> {
    let plan = project::load_running(&args.project)?;
    let source = project::source(&plan, &args.source)?;
    let encoding = source.format.encoding;
    if encoding != Encoding::Json {
        bail!(
            "source `{}` is in {}, and `replay` writes JSON: write to its topic with a producer of that format",
            source.name,
            encoding.name()
        );
    }
    if let (Stream::Kafka { topic, .. }, Some(partitions)) = (&source.stream, args.partitions) {
        ensure_topic(&kafka(&plan)?, topic, partitions, 0, &[])?;
    }
    let mut to = Destination::open(&args.project, &plan, source)?;
    let key = match &args.key {
        Some(key) => Some(key.clone()),
        None => first_key(&plan, source),
    };
    let mut rows = read_file(&args.file, None)?;
    let total = rows.progress().total;
    let bar = ProgressBar::new(total).with_style(ProgressStyle::with_template(
        "{bar:30} {percent:>3}%  {msg}  {elapsed} elapsed, {eta} left",
    )?);
    let mut payload = Vec::new();
    let mut sent = 0u64;
    while rows
        .next_into(&mut payload)
        .with_context(|| format!("after {sent} events"))?
    {
        let partition_key = key.as_deref().map(|key| field(&payload, key)).transpose()?;
        to.send(&partition_key.unwrap_or_default(), &payload)?;
        sent += 1;
        if sent.is_multiple_of(1024) {
            bar.set_position(rows.progress().done);
            let rate = sent as f64 / bar.elapsed().as_secs_f64().max(1e-3);
            bar.set_message(format!("{sent} events, {rate:.0}/s"));
        }
        payload.clear();
    }
    to.flush()?;
    bar.finish_and_clear();
    println!(
        "{sent} events from {} into {}",
        args.file.display(),
        source.name
    );
    Ok(ExitCode::SUCCESS)
}

/// The first key of the first view on the source: events of one entity keep their order.
fn first_key(plan: &Plan, source: &Source) -> Option<String> {
    let view = plan.views.iter().find(|view| view.source.id == source.id)?;
    let column = source.used.get(*view.keys.first()?)?;
    Some(source.columns[*column].name.clone())
}

/// The bytes of a payload's field, as JSON text.
fn field(payload: &[u8], name: &str) -> Result<Vec<u8>> {
    let event: serde_json::Value = serde_json::from_slice(payload).context("read an event")?;
    Ok(event
        .get(name)
        .map(ToString::to_string)
        .unwrap_or_default()
        .into_bytes())
}

//! The demo as lines: where there is no terminal, and at the end.

use super::board::{Seen, Stage};
use super::line::Look;
use super::moment::{Constants, Moment};
use super::text;
use super::vector::happening;
use std::fmt::Write;

/// What this is.
pub fn opening(constants: &Constants) -> String {
    let Constants {
        project,
        grpc,
        http,
        ..
    } = constants;
    format!(
        "tiderace demo: made-up card payments in, exact windowed features out, as {project}/ \
         defines them\nserving gRPC at {grpc}, HTTP at {http}; look at it: http://{http}/console/"
    )
}

/// What happened in the last second, on one line.
pub fn line(moment: &Moment) -> String {
    let (tally, seen) = (&moment.tally, &moment.seen);
    let (clock, rate) = (text::clock(moment.elapsed), text::count(tally.per_second));
    let mut out = format!("{clock}  {rate} events/s  {}", ledger(moment));
    if let Stage::Past { expected, .. } = seen.stage {
        let _ = write!(out, "  (first the past: {})", text::count(expected));
    }
    for (name, p50, p99) in delays(seen) {
        let _ = write!(out, "  {name} p50 {p50} p99 {p99}");
    }
    if let Some(watch) = &seen.watch {
        let _ = write!(out, "  customer {}", watch.customer);
        for cell in seen.vector.iter().take(1).chain(seen.vector.last()) {
            let _ = write!(out, " {}={}", cell.name, text::value(&cell.value));
        }
        if let (Look::Alarm, what) = happening(watch, moment) {
            let _ = write!(out, "  {what}");
        }
    }
    if let Some(message) = &seen.failure {
        let _ = write!(out, "  lookups fail: {message}");
    }
    out
}

/// How it was, and what to do next.
pub fn parting(constants: &Constants, moment: &Moment) -> String {
    let (tally, seen) = (&moment.tally, &moment.seen);
    let (read, seconds) = (text::count(tally.read), moment.elapsed.as_secs());
    let mut out = format!("{read} payments in {seconds} s: {}\n", ledger(moment));
    if let Stage::Live { past, took } = seen.stage
        && past > 0
    {
        let (past, seconds) = (text::count(past), took.as_secs_f64());
        let _ = writeln!(
            out,
            "the first {past} were the past, taken in within {seconds:.1} s"
        );
    }
    for (name, p50, p99) in delays(seen) {
        let _ = writeln!(out, "{name} in the last seconds: p50 {p50}, p99 {p99}");
    }
    let Constants {
        command, project, ..
    } = constants;
    let next = [
        (
            format!("$EDITOR {project}/*.yaml"),
            "change what is computed, then run the demo again",
        ),
        (
            format!("{command} check {project}"),
            "says what is wrong with definitions, and where",
        ),
        (
            format!("{command} run --project {project}"),
            "computes and serves your own events",
        ),
        (
            format!("{command} push --help"),
            "says how to send them; or take Kafka, see the comments in the files",
        ),
    ];
    out += "\nnext\n";
    let width = next
        .iter()
        .map(|(command, _)| command.len())
        .max()
        .unwrap_or_default();
    for (command, what) in next {
        let _ = writeln!(out, "  {command:<width$}  {what}");
    }
    out
}

fn ledger(moment: &Moment) -> String {
    let tally = &moment.tally;
    format!(
        "{} accepted, {} copies counted once, {} dead letters",
        text::count(tally.accepted),
        text::count(tally.copies),
        text::count(tally.rejected),
    )
}

/// Name, p50 and p99 of what has been measured.
fn delays(seen: &Seen) -> Vec<(&'static str, String, String)> {
    let windows = [("freshness", &seen.freshness), ("lookups", &seen.lookups)];
    let delay = |(name, window): (&'static str, &super::window::Window)| {
        let summary = window.summary()?;
        Some((name, text::micros(summary.p50), text::micros(summary.p99)))
    };
    windows.into_iter().filter_map(delay).collect()
}

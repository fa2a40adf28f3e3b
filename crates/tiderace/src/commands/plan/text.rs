//! A plan for people: a diff of meanings, then what it does.

use super::Planned;
use super::effects::{Compared, Effects, OfView, Past, Rows};
use std::fmt::Write;
use tiderace_plan::{Change, Kind, Subject, next_version, other_versions};

/// Terminal codes.
struct Paint {
    added: &'static str,
    removed: &'static str,
    changed: &'static str,
    reset: &'static str,
}

pub(super) fn render(planned: &Planned<'_>, color: bool) -> String {
    let paint = match color {
        true => Paint {
            added: "\x1b[32m",
            removed: "\x1b[31m",
            changed: "\x1b[33m",
            reset: "\x1b[0m",
        },
        false => Paint {
            added: "",
            removed: "",
            changed: "",
            reset: "",
        },
    };
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = match &planned.changes {
        None => writeln!(out, "{}: {}", planned.project, planned.nothing),
        Some(changes) if changes.is_empty() => writeln!(
            out,
            "{}: everything means what {} says",
            planned.project, planned.against
        ),
        Some(_) => writeln!(out, "{}: against {}", planned.project, planned.against),
    };
    let changes = planned.changes.as_deref().unwrap_or_default();
    for group in changes.chunk_by(|a, b| a.subject == b.subject && a.group == b.group) {
        one_group(group, &planned.views, &paint, &mut out);
    }
    effects(&planned.effects, &mut out);
    out.trim_end().to_owned()
}

fn one_group(changes: &[Change], views: &[String], paint: &Paint, out: &mut String) {
    let Paint {
        added,
        removed,
        changed,
        reset,
    } = paint;
    let first = &changes[0];
    let kind = match first.subject {
        Subject::Project => "project",
        Subject::Source => "source",
        Subject::View => "view",
        Subject::Service => "service",
    };
    let name = &first.group;
    let views = views.iter().map(String::as_str);
    let others: Vec<&str> = match first.subject {
        Subject::View => other_versions(name, views).collect(),
        _ => vec![],
    };
    let others = others.join(", ");
    let own = changes.iter().find(|change| change.part.is_none());
    out.push('\n');
    let _ = match own.map(|change| &change.kind) {
        Some(Kind::Added { words }) if !others.is_empty() => {
            writeln!(
                out,
                "{added}+ {kind} {name}{reset}, a version beside {others}: {words}"
            )
        }
        Some(Kind::Added { words }) => {
            writeln!(out, "{added}+ {kind} {name}{reset}: {words}")
        }
        Some(Kind::Removed { words }) if !others.is_empty() => {
            writeln!(
                out,
                "{removed}- {kind} {name}{reset}, retired; there is {others}: {words}"
            )
        }
        Some(Kind::Removed { words }) => {
            writeln!(out, "{removed}- {kind} {name}{reset}: {words}")
        }
        Some(Kind::Renamed { from }) => {
            writeln!(out, "{changed}> {kind} {name}{reset}: before, {from}")
        }
        Some(Kind::Changed { before, after }) => {
            let _ = writeln!(out, "{changed}! {kind} {name}{reset} means something else");
            before_after(2, before, after, paint, out)
        }
        Some(Kind::Kept { before, after }) if before == after => {
            writeln!(
                out,
                "~ {kind} {name}: its rows hold other inputs or conditions"
            )
        }
        Some(Kind::Kept { before, after }) => {
            let _ = writeln!(out, "~ {kind} {name}");
            before_after(2, before, after, paint, out)
        }
        None => writeln!(out, "~ {kind} {name}"),
    };
    let mut by_others: Vec<&str> = Vec::new();
    for change in changes {
        let Some(part) = change.part.as_deref() else {
            continue;
        };
        let colon = |words: &str| match words.is_empty() {
            true => String::new(),
            false => format!(": {words}"),
        };
        let _ = match &change.kind {
            Kind::Added { words } => {
                writeln!(out, "  {added}+ {part}{reset}{}", colon(words))
            }
            Kind::Removed { words } => {
                writeln!(out, "  {removed}- {part}{reset}{}", colon(words))
            }
            Kind::Renamed { from } => {
                writeln!(out, "  {changed}> {part}{reset}: before, {from}")
            }
            Kind::Changed { before, after } if before == after => {
                by_others.push(part);
                Ok(())
            }
            Kind::Changed { before, after } => {
                let _ = writeln!(out, "  {changed}! {part}{reset} means something else");
                before_after(6, before, after, paint, out)
            }
            Kind::Kept { before, after } => {
                let _ = writeln!(out, "  ~ {part}");
                before_after(6, before, after, paint, out)
            }
        };
    }
    if !by_others.is_empty() {
        let _ = writeln!(
            out,
            "  {changed}! of other events, or columns read otherwise{reset}: {}",
            by_others.join(", ")
        );
    }
}

fn before_after(
    indent: usize,
    before: &str,
    after: &str,
    paint: &Paint,
    out: &mut String,
) -> std::fmt::Result {
    if before == after {
        return Ok(());
    }
    let (removed, added, reset) = (paint.removed, paint.added, paint.reset);
    writeln!(out, "{:indent$}{removed}- {before}{reset}", "")?;
    writeln!(out, "{:indent$}{added}+ {after}{reset}", "")
}

fn effects(effects: &Effects, out: &mut String) {
    let against = match (effects.compared_with, &effects.said_at) {
        (Compared::State, Some(at)) => format!("against what ran here, as of {at}"),
        (Compared::Lock, _) => "against the lock: nothing has run here".to_owned(),
        _ => "nothing has run here".to_owned(),
    };
    let width = effects.views.iter().map(|view| view.view.len()).max();
    let width = width.unwrap_or(0);
    let _ = writeln!(out, "\nrows, {against}");
    for view in &effects.views {
        let _ = writeln!(out, "  {:width$}  {}", view.view, rows(view));
    }
    for view in &effects.swept {
        let _ = writeln!(out, "  {view:width$}  swept: the view is there no more");
    }
    if !effects.services.is_empty() {
        let _ = writeln!(out, "\nservices");
    }
    for service in &effects.services {
        let (name, all) = (&service.service, service.columns);
        if !service.changed.is_empty() {
            let (count, names) = (service.changed.len(), service.changed.join(", "));
            let _ = writeln!(
                out,
                "  {name}: {count} of {all} columns mean something else: {names}"
            );
        }
        if !service.warming.is_empty() {
            let count = service.warming.len();
            let views = service.warming.iter();
            let views = views.filter_map(|name| Some(name.split_once(':')?.0));
            let mut views: Vec<&str> = views.collect();
            views.sort_unstable();
            views.dedup();
            let views = views.join(", ");
            let _ = writeln!(
                out,
                "  {name}: {count} of {all} columns have rows that are rebuilt: those of {views}"
            );
        }
    }
    if !effects.dead.is_empty() {
        let _ = writeln!(out, "\nno more to be had by these names");
        let _ = writeln!(out, "  {}", effects.dead.join(", "));
    }
    let _ = writeln!(
        out,
        "\nsize at most, of {} entities with {} events each",
        effects.entities, effects.events
    );
    for view in &effects.views {
        let row = match view.row_bytes {
            Some(most) => format!("a row online {}", size(most as u64)),
            None => "rows online as long as they come".to_owned(),
        };
        let _ = writeln!(
            out,
            "  {:width$}  an event {}, {row}; online {}",
            view.view,
            size(view.event_bytes as u64),
            size(view.online_bytes)
        );
    }
}

fn rows(view: &OfView) -> String {
    let began = match view.rows {
        Rows::Kept => {
            return match &view.whole {
                Some(whole) => format!("kept, whole since {whole}"),
                None => "kept".to_owned(),
            };
        }
        Rows::New => "new",
        Rows::Rebuilt => "rebuilt, from empty rows",
    };
    let warming = match &view.reach {
        Some(reach) => format!("WARMING until {reach} have passed"),
        None => "WARMING until it has its past".to_owned(),
    };
    match &view.past {
        Some(Past::Table) => format!("{began}: its table is synced"),
        Some(Past::Log) => format!("{began}: its topic or log is read from the beginning"),
        Some(Past::Archive(path)) => format!(
            "{began}: {warming}, or `tiderace backfill {}` has brought {path}",
            view.view
        ),
        Some(Past::Nothing) | None => format!(
            "{began}: {warming}; its source has no archive (`tiderace backfill {} --table …`)",
            view.view
        ),
    }
}

fn size(bytes: u64) -> String {
    let in_units = |unit: u64, name: &str| format!("{:.1} {name}", bytes as f64 / unit as f64);
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => in_units(1 << 10, "KiB"),
        1_048_576..1_073_741_824 => in_units(1 << 20, "MiB"),
        _ => in_units(1 << 30, "GiB"),
    }
}

/// What to do about names that mean something else; `command` is how they are accepted.
pub(super) fn way_out(planned: &Planned<'_>, command: &str) -> String {
    let refused = &planned.refused;
    let accept: Vec<String> = refused
        .iter()
        .map(|name| format!("--accept-change {name}"))
        .collect();
    let names = refused.join(", ");
    let views = || planned.views.iter().map(String::as_str);
    let (name, new) = match refused.iter().find(|name| planned.views.contains(name)) {
        Some(view) => (view, next_version(view, views())),
        None => (&refused[0], format!("{}_v2", refused[0])),
    };
    format!(
        "error: under names of {names} something else is meant now. Who reads them cannot tell\n  \
         either leave `{name}` as it was, give the new meaning a name beside it, `{new}`, and move services over once it is warm\n  \
         or accept it: {command} {}\n",
        accept.join(" ")
    )
}

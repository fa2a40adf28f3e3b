//! One customer's features: a line each, or two a line where there is no room.

use super::board::{Cell, Watch};
use super::fraud::Scheme;
use super::line::{Line, Look};
use super::moment::{Constants, Moment};
use super::text;

/// A feature's columns where it has a line of its own: name, value, value before.
const NAME: usize = 26;
const VALUE: usize = 14;

/// And where two share a line: name, value. Then a mark and what there is to say.
const SHORT_NAME: usize = 23;
const SHORT_VALUE: usize = 8;

/// How many lines it takes when it may have `most`.
pub fn height(moment: &Moment, columns: usize, most: usize) -> usize {
    let full = moment.seen.vector.len() + 3;
    if full <= most {
        return full;
    }
    compact(moment, columns).len() + 1
}

/// The watched customer's vector in at most `room` lines.
pub fn vector(constants: &Constants, moment: &Moment, columns: usize, room: usize) -> Vec<Line> {
    let seen = &moment.seen;
    let title = Line::default().with(Look::Strong, &constants.asked.name);
    let Some(watch) = &seen.watch else {
        return vec![title.with(Look::Dim, "  one customer is followed once the past is in")];
    };
    let who = format!(
        "  customer {} at terminal {}  ",
        watch.customer, watch.terminal
    );
    let (look, what) = happening(watch, moment);
    let mut lines = vec![title.with(Look::Plain, who).with(look, what)];
    if seen.vector.len() + 3 <= room {
        let heads = ["feature", "value", "before", "completeness"];
        let heads = format!(
            "  {:<name$}{:>VALUE$}{:>VALUE$}  {}",
            heads[0],
            heads[1],
            heads[2],
            heads[3],
            name = NAME - 2
        );
        lines.push(Line::default().with(Look::Dim, heads));
        lines.extend(seen.vector.iter().map(|cell| full(moment, cell)));
        let warming = seen
            .vector
            .iter()
            .any(|cell| text::completeness(cell.completeness) == "warming");
        let days = constants.days;
        lines.extend(warming.then(|| {
            let why = format!(
                "  warming: the window reaches back before the first payment, {days} days ago"
            );
            Line::default().with(Look::Dim, why)
        }));
    } else {
        lines.extend(compact(moment, columns));
    }
    lines.truncate(room);
    lines
}

/// What happens to the watched.
pub fn happening(watch: &Watch, moment: &Moment) -> (Look, String) {
    let (made, now) = (watch.made, moment.now);
    let seconds = now.min(watch.ends).since(watch.begins).0 as f64 / 1e6;
    let what = match watch.scheme {
        Scheme::StolenCard => "STOLEN CARD",
        Scheme::CompromisedTerminal => "COMPROMISED TERMINAL",
    };
    match () {
        () if now < watch.begins => (Look::Dim, "nothing unusual".to_owned()),
        () if now < watch.ends => (
            Look::Alarm,
            format!("{what}: {made} frauds in {seconds:.1} s"),
        ),
        () => (
            Look::Changed,
            format!("after {made} frauds in {seconds:.0} s"),
        ),
    }
}

fn full(moment: &Moment, cell: &Cell) -> Line {
    let (look, mark) = change(moment, cell);
    let begun = moment.fraud_has_begun();
    let before = moment.seen.before.get(&cell.name).filter(|_| begun);
    let before = before.map(text::value).unwrap_or_default();
    let line = Line::default()
        .with(Look::Plain, format!("  {}", cell.name))
        .to(NAME);
    let line = match text::magnitude(&cell.value) {
        Some(_) => line
            .with(look, format!("{:>VALUE$}{mark}", text::value(&cell.value)))
            .with(Look::Dim, format!("{before:>width$}", width = VALUE - 1)),
        None => line.with(
            look,
            format!("{:>width$}", text::value(&cell.value), width = 2 * VALUE),
        ),
    };
    let judged = [
        text::completeness(cell.completeness),
        text::status(cell.status),
    ];
    let judged: Vec<&str> = judged.into_iter().filter(|word| !word.is_empty()).collect();
    line.with(Look::Dim, format!("  {}", judged.join(", ")))
}

/// Two features a line; those that are longer have lines of their own, after the others.
fn compact(moment: &Moment, columns: usize) -> Vec<Line> {
    let half = columns / 2;
    let cells = moment.seen.vector.iter().map(|cell| short(moment, cell));
    let (short, long): (Vec<Line>, Vec<Line>) = cells.partition(|line| line.width() <= half);
    let rows = short.len().div_ceil(2);
    let both = |row: usize| {
        let left = short[row].clone();
        match short.get(row + rows) {
            Some(right) => left.to(half).join(right),
            None => left,
        }
    };
    (0..rows).map(both).chain(long).collect()
}

fn short(moment: &Moment, cell: &Cell) -> Line {
    let (look, mark) = change(moment, cell);
    let open = match (
        text::completeness(cell.completeness),
        text::status(cell.status),
    ) {
        ("complete", status) => status,
        (open, _) => open,
    };
    let line = Line::default()
        .with(Look::Plain, format!("  {}", cell.name))
        .to(SHORT_NAME)
        .with(
            look,
            format!("{:>SHORT_VALUE$}{mark}", text::value(&cell.value)),
        );
    match open {
        "" => line,
        open => line.with(Look::Dim, format!(" {open}")),
    }
}

/// How a value shows beside what it was before the fraud.
fn change(moment: &Moment, cell: &Cell) -> (Look, &'static str) {
    let before = moment.seen.before.get(&cell.name);
    let both = (
        text::magnitude(&cell.value),
        before.and_then(text::magnitude),
    );
    let begun = moment.fraud_has_begun();
    match both {
        (Some(now), Some(then)) if begun && now > then => (Look::Changed, "▲"),
        (Some(now), Some(then)) if begun && now < then => (Look::Changed, "▼"),
        _ if begun && before.is_some_and(|before| *before != cell.value) => (Look::Changed, " "),
        _ => (Look::Plain, " "),
    }
}

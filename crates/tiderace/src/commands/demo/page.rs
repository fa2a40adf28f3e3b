//! What the screen shows: one frame from what has been measured. Pure; it fits 80 × 24 and more.

use super::board::Stage;
use super::line::{Line, Look};
use super::moment::{Constants, Moment};
use super::window::Window;
use super::{table, text, vector};

/// Where values begin, after the label of a line.
const LABEL: usize = 11;

/// The fewest and the most lines of the table.
const LEADERS: (usize, usize) = (3, 10);

/// A frame of `columns` × `rows`. Only lines to copy are longer than the screen is wide.
pub fn page(constants: &Constants, moment: &Moment, (columns, rows): (usize, usize)) -> Vec<Line> {
    let tall = |lines: &[Line]| lines.iter().map(|line| line.rows(columns)).sum::<usize>();
    let figures = figures(constants, moment, columns);
    let foot = foot(constants, moment);
    let left = rows.saturating_sub(1 + figures.len() + tall(&foot));
    // The vector first, then blank lines between the parts; the table takes what is left.
    let wanted = vector::height(moment, columns, left.saturating_sub(LEADERS.0 + 2));
    let spare = left.saturating_sub(wanted + LEADERS.0 + 2);
    let mut blank = spare.min(4);
    let leaders = (LEADERS.0 + spare - blank).min(LEADERS.1);
    let table = table::table(constants, moment, columns, leaders);
    let room = left.saturating_sub(table.len() + blank);
    let vector = vector::vector(constants, moment, columns, room);
    let cut = |lines: Vec<Line>| {
        lines
            .iter()
            .map(|line| line.cut(columns))
            .collect::<Vec<_>>()
    };
    let parts = [cut(figures), cut(table), cut(vector), foot];
    let mut frame = vec![head(moment, columns)];
    for part in parts {
        if blank > 0 {
            blank -= 1;
            frame.push(Line::default());
        }
        frame.extend(part);
    }
    while tall(&frame) > rows {
        frame.pop();
    }
    frame
}

fn head(moment: &Moment, columns: usize) -> Line {
    let clock = text::clock(moment.elapsed);
    Line::default()
        .with(Look::Strong, "tiderace demo")
        .with(
            Look::Dim,
            "  made-up card payments in, exact windowed features out",
        )
        .to(columns.saturating_sub(clock.len()))
        .with(Look::Dim, clock)
        .cut(columns)
}

fn figures(constants: &Constants, moment: &Moment, columns: usize) -> Vec<Line> {
    let seen = &moment.seen;
    let lookups = match &seen.failure {
        Some(message) => label("lookups").with(Look::Alarm, message.clone()),
        None => {
            let count = seen.vector.len();
            let what = format!("gRPC: {count} features of {}", constants.asked.name);
            let line = label("lookups");
            let line = match seen.lookups.summary() {
                Some(summary) => line.with(Look::Good, per_second(summary.per_second)),
                None => line,
            };
            delay(line, &seen.lookups, &what)
        }
    };
    let fresh = delay(
        label("freshness").with(Look::Plain, " ".repeat(10)),
        &seen.freshness,
        "pushed → first answer with it",
    );
    vec![events(constants, moment, columns), fresh, lookups]
}

fn delay(line: Line, window: &Window, what: &str) -> Line {
    let Some(summary) = window.summary() else {
        return line.with(Look::Dim, "none yet");
    };
    let (p50, p99) = (text::micros(summary.p50), text::micros(summary.p99));
    line.with(Look::Good, format!("p50 {p50:<9}p99 {p99:<9}"))
        .with(Look::Dim, what)
}

fn events(constants: &Constants, moment: &Moment, columns: usize) -> Line {
    let tally = moment.tally;
    let line = label("events").with(Look::Good, per_second(tally.per_second));
    if let Stage::Past { expected, .. } = moment.seen.stage {
        let percent = (tally.read * 100 / expected.max(1)).min(100);
        let (expected, days) = (text::count(expected), constants.days);
        let what = format!("first {days} days of past: {percent}% of {expected} payments");
        return line.with(Look::Plain, what);
    }
    let (accepted, copies) = (text::count(tally.accepted), text::count(tally.copies));
    let line = line
        .with(
            Look::Plain,
            format!("{accepted} accepted, {copies} copies counted once, "),
        )
        .with(
            Look::Changed,
            format!("{} dead letters", text::count(tally.rejected)),
        );
    let whither = line
        .clone()
        .with(Look::Dim, format!(" in {}", constants.dead_letters));
    if whither.width() <= columns {
        whither
    } else {
        line
    }
}

fn foot(constants: &Constants, moment: &Moment) -> Vec<Line> {
    let mut lines = Vec::new();
    let seen = &moment.seen;
    if let Some(note) = &moment.note {
        lines.push(label("note").with(Look::Alarm, note.clone()));
    }
    if let Some(watch) = &seen.watch {
        let [get, curl] = constants.questions(watch, &seen.amount);
        lines.push(label("ask it").with(Look::Strong, get));
        lines.push(Line::default().with(Look::Plain, curl));
    }
    let change = format!("{}/*.yaml, then start the demo again", constants.project);
    lines.push(
        label("change it")
            .with(Look::Plain, change)
            .with(Look::Dim, "    stop it: Ctrl-C"),
    );
    lines
}

fn per_second(count: u64) -> String {
    format!("{:<10}", format!("{}/s", text::count(count)))
}

fn label(name: &str) -> Line {
    Line::default().with(Look::Strong, name).to(LABEL)
}

#[cfg(test)]
mod tests {
    use super::super::asker::{Asked, Table};
    use super::super::board::{Cell, Seen, Watch};
    use super::super::fraud::Scheme;
    use super::super::moment::Tally;
    use super::*;
    use std::time::Duration;
    use tiderace_serve::proto::{Value, value::Kind};
    use tiderace_types::Timestamp;

    fn constants() -> Constants {
        Constants {
            asked: Asked {
                name: "fraud_v1".to_owned(),
                keys: vec!["customer_id".to_owned(), "terminal_id".to_owned()],
                with_amount: true,
            },
            table: Some(Table {
                view: "customer_spend".to_owned(),
                outputs: vec!["amount_sum_1d".to_owned(), "tx_count_1d".to_owned()],
            }),
            customers: 10_000,
            days: 15,
            project: "features".to_owned(),
            command: "tiderace".to_owned(),
            server: String::new(),
            grpc: "127.0.0.1:6565".to_owned(),
            http: "127.0.0.1:6568".to_owned(),
            dead_letters: "/tmp/dead".to_owned(),
        }
    }

    fn moment(features: usize) -> Moment {
        let watch = Watch {
            customer: 596,
            terminal: 3156,
            usual: "20.00".to_owned(),
            scheme: Scheme::StolenCard,
            begins: Timestamp(0),
            ends: Timestamp(8_000_000),
            made: 20,
        };
        let value = |n| Value {
            kind: Some(Kind::Int64Value(n)),
        };
        let cell = |place: usize| Cell {
            name: format!("feature_{place}_1d"),
            value: value(17),
            status: 1,
            completeness: u32::from(place.is_multiple_of(3)),
        };
        Moment {
            now: Timestamp(4_000_000),
            elapsed: Duration::from_secs(83),
            tally: Tally::default(),
            seen: Seen {
                watch: Some(watch),
                amount: "57.16".to_owned(),
                vector: (0..features).map(cell).collect(),
                before: [("feature_1_1d".to_owned(), value(3))].into(),
                top: (1..20).map(|id| (id, vec![value(id), value(2)])).collect(),
                ..Seen::default()
            },
            note: None,
        }
    }

    #[test]
    fn a_frame_never_outgrows_its_screen() {
        for (columns, rows) in [(80, 24), (120, 40), (200, 60), (60, 15), (20, 5)] {
            for features in [0, 1, 17, 60] {
                let frame = page(&constants(), &moment(features), (columns, rows));
                let tall: usize = frame.iter().map(|line| line.rows(columns)).sum();
                assert!(tall <= rows, "{tall} rows on {columns} x {rows}");
            }
        }
    }

    #[test]
    fn the_usual_screen_has_everything() {
        for size in [(80, 24), (120, 40)] {
            let frame = page(&constants(), &moment(17), size);
            let text: Vec<String> = frame.iter().map(Line::text).collect();
            let text = text.join("\n");
            for wanted in [
                "events",
                "freshness",
                "lookups",
                "customer_spend",
                "STOLEN CARD: 20 frauds in 4.0 s",
                "feature_16_1d",
                "17▲",
                "warming",
                "tiderace get fraud_v1 customer_id=596 terminal_id=3156 amount=57.16",
                "curl -s 127.0.0.1:6568/v1/features",
                "Ctrl-C",
            ] {
                assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
            }
        }
    }
}

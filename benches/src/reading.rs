//! What reading a row costs, decoding and finishing it, by what is asked of it: fifty features of
//! a mix that models use, and sums, different values and top values by themselves.
//!
//! Rows are what a lane publishes, read a minute later. A sparse one has 70 events in thirty days; dense
//! ones have 100,000, of 200 terminals (within the cap of different values) and of 2,000 (past it).

use crate::driven::{Driven, Event, Feed, view_of};
use crate::engine::reading::Reading;
use crate::table::{self, grouped, median};
use anyhow::{Context, Result, ensure};
use clap::Args;
use tiderace_aggregate::Row;
use tiderace_engine::LaneView;
use tiderace_state::MemoryStore;
use tiderace_types::{ShardRange, Timestamp, Value, encode_key};

#[derive(Args)]
pub struct Arguments {
    /// How often everything is measured; the table has medians.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only contenders whose name has this in it.
    #[arg(long)]
    only: Option<String>,
}

/// A row's name, its entity, how many events it has, and of how many terminals.
const ROWS: [(&str, u64, i64, i64); 3] = [
    ("70 events", 1, 70, 100),
    ("100,000 events, 200 terminals", 2, 100_000, 200),
    ("100,000 events, 2,000 terminals", 3, 100_000, 2_000),
];

const SPAN: i64 = 30 * 24 * 3_600_000_000;

const BEGAN: i64 = 1_600_000_000_000_000;

const WINDOWS: &str = "1h, 1d, 7d, 14d, 30d";

/// What is asked, with the features' definitions.
const CONTENDERS: [(&str, &[&[&str]], &str); 7] = [
    ("sum", &[&["sum, of: amount"]], "30d"),
    (
        "count_distinct",
        &[&["count_distinct, of: terminal"]],
        "30d",
    ),
    ("top_n 10", &[&["top_n, of: terminal, n: 10"]], "30d"),
    ("top_n 10 by sum", &[&[TOP_BY_SUM]], "30d"),
    ("stddev", &[&["stddev_samp, of: amount"]], "30d"),
    ("35 features without tops", &[&PLAIN], WINDOWS),
    ("50 features", &[&PLAIN, &TOPS], WINDOWS),
];

const PLAIN: [&str; 7] = [
    "count",
    "sum, of: amount",
    "avg, of: amount",
    "min, of: amount",
    "max, of: amount",
    "stddev_samp, of: amount",
    "last, of: terminal",
];

const TOPS: [&str; 3] = [
    "count_distinct, of: terminal",
    "top_n, of: terminal, n: 3",
    TOP_BY_SUM,
];

const TOP_BY_SUM: &str = "top_n, of: terminal, by: \"sum(amount)\", n: 10";

pub fn run(arguments: &Arguments) -> Result<()> {
    println!("Decode and finish, medians of {}:\n", arguments.rounds);
    table::head(&["", "row", "decode", "finish", "both", "times the sum"]);
    let mut of_sum = [None; ROWS.len()];
    for (name, features, windows) in CONTENDERS {
        let asked = |only: &String| name.contains(only.as_str());
        if !arguments.only.as_ref().is_none_or(asked) {
            continue;
        }
        let view = view(features, windows)?;
        let rows = rows(&view)?;
        for (place, (of_row, ..)) in ROWS.iter().enumerate() {
            let bytes = &rows[place];
            let spec = &view.view.spec;
            let as_of = Timestamp(BEGAN + SPAN + 60_000_000);
            check(&Row::decode(bytes, spec)?, &view, as_of)?;
            let readings = (0..arguments.rounds).map(|_| Reading::of(bytes, spec, as_of));
            let readings: Vec<Reading> = readings.collect::<Result<_>>()?;
            let micros = |field: fn(&Reading) -> f64| {
                median(
                    readings
                        .iter()
                        .map(|reading| field(reading) * 1e6)
                        .collect(),
                )
            };
            let both = micros(|reading| reading.decode + reading.finish);
            let sum = *of_sum[place].get_or_insert(both);
            table::row(&[
                format!("{name}, {of_row}"),
                format!("{} B", grouped(bytes.len() as f64)),
                format!("{:.2} µs", micros(|reading| reading.decode)),
                format!("{:.2} µs", micros(|reading| reading.finish)),
                format!("{both:.2} µs"),
                format!("{:.2}", both / sum),
            ]);
        }
    }
    Ok(())
}

/// The row answers everything, exactly or within a bound, and is merged where it is dense.
fn check(row: &Row, view: &LaneView, as_of: Timestamp) -> Result<()> {
    let spec = &view.view.spec;
    ensure!(row.events.len() <= 2048, "a row of many events is merged");
    for index in 0..spec.outputs.len() {
        ensure!(row.answers(spec, index, as_of), "an output is not answered");
    }
    Ok(())
}

fn view(features: &[&[&str]], windows: &str) -> Result<LaneView> {
    let mut rest = "row_max: 1MiB\nfeatures:\n".to_owned();
    for (place, feature) in features.iter().copied().flatten().enumerate() {
        rest += &format!("  - {{ name: f{place}, aggregate: {feature}, windows: [{windows}] }}\n");
    }
    view_of(&rest)
}

/// The rows as they are published.
fn rows(view: &LaneView) -> Result<Vec<Vec<u8>>> {
    let state = MemoryStore::new();
    let mut driven = Driven::new(view, state, ShardRange::ALL, usize::MAX)?;
    let mut feed = Feed::new(view);
    let mut events = Vec::new();
    for (_, entity, count, terminals) in ROWS {
        events.extend((0..count).map(|number| Event {
            entity,
            time: BEGAN + (number + 1) * (SPAN / count),
            id: entity as i64 * 1_000_000 + number,
            terminal: terminal(number, terminals),
            amount: 10.0 + (number * 37 % 100) as f64 * 0.97,
        }));
    }
    events.sort_by_key(|event| event.time);
    for chunk in events.chunks(4096) {
        driven.apply(&feed.packet(chunk))?;
        driven.commit()?;
    }
    let published = driven.published_rows(Timestamp(BEGAN + SPAN))?;
    let value = |entity: u64| {
        let key = encode_key(&[Value::Int(entity.cast_signed())])?;
        let row = published.iter().find(|row| row.key.entity == key);
        Ok(row.context("every entity has a row")?.value.clone())
    };
    ROWS.iter().map(|(_, entity, ..)| value(*entity)).collect()
}

/// The terminal of a payment: some come often, most seldom.
fn terminal(number: i64, terminals: i64) -> i64 {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed());
    let share = (spread.cast_unsigned() >> 11) as f64 / (1u64 << 53) as f64;
    (share * share * share * terminals as f64) as i64
}

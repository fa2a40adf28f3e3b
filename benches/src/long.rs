//! One entity with ten million events in thirty days: what it costs to keep, and whether it is
//! served as exactly as one with ten.
//!
//! First thirty days are loaded. Then it is busy, hundreds of events a second and a publication every
//! [`TICK`], as the live loop publishes; then nothing comes for forty days. All the while published
//! rows are read at instants that chance picks, and every answer is compared with a recount. Processor
//! time is the thread's.

use crate::driven::{Driven, Event, Feed, view_of};
use crate::engine::clock;
use crate::table::{self, grouped};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::collections::BTreeMap;
use std::time::Instant;
use tiderace_aggregate::{Function, Row, RowSpec};
use tiderace_engine::{LaneView, Publication};
use tiderace_state::{Options, RocksStore};
use tiderace_testkit::generate::Dice;
use tiderace_testkit::process::Usage;
use tiderace_types::{Duration, ShardRange, Timestamp, Value};

#[derive(Args)]
pub struct Arguments {
    /// How many events in thirty days.
    #[arg(long, default_value_t = 10_000_000)]
    events: usize,
    /// How many a second when it is busy.
    #[arg(long, default_value_t = 400)]
    rate: usize,
    /// For how many seconds it is.
    #[arg(long, default_value_t = 120)]
    busy: usize,
    /// At how many instants it is read while nothing comes.
    #[arg(long, default_value_t = 1000)]
    readings: usize,
}

const VIEW: &str = "\
row_max: 256KiB
features:
  - { name: n, aggregate: count, windows: [1m, 1h, 1d, 30d] }
  - { name: total, aggregate: sum, of: amount, windows: [1m, 1h, 1d, 30d] }
  - { name: terminals, aggregate: count_distinct, of: terminal, windows: [1h, 30d] }
  - { name: often, aggregate: top_n, of: terminal, n: 10, windows: [1h, 30d] }
";

const SPAN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Nothing comes for so long at the end.
const IDLE: Duration = Duration::from_secs(40 * 24 * 3600);

/// How often a busy row is published.
const TICK: Duration = Duration::from_millis(5);

/// By how much an event may come after a later one.
const DISORDER: Duration = Duration::from_secs(5);

/// Fewer than the cap on different values.
const TERMINALS: i64 = 200;

const BEGAN: Timestamp = Timestamp(1_600_000_000_000_000);

const ENTITY: u64 = 7;

/// Packets between commits while thirty days are loaded.
const PACKETS: usize = 64;

pub fn run(arguments: &Arguments) -> Result<()> {
    let view = view_of(VIEW)?;
    let folder = tempfile::tempdir()?;
    let options = Options {
        memory_bytes: 256 << 20,
        sync_every_commit: false,
    };
    let state = RocksStore::open(folder.path(), options).context("open state")?;
    let mut long = Long {
        driven: Driven::new(&view, state, ShardRange::ALL, usize::MAX)?,
        feed: Feed::new(&view),
        view,
        dice: Dice::new(11),
        history: Vec::new(),
        next: 0,
        compared: 0,
        largest: 0,
    };
    table::head(&[
        "",
        "events",
        "CPU",
        "an event",
        "published",
        "longest",
        "instants compared",
    ]);
    long.load(arguments.events)?;
    let end = BEGAN.plus(SPAN);
    let busy = Duration::from_secs(arguments.busy as i64);
    long.busy(end, arguments.rate, busy)?;
    long.idle(end.plus(busy), arguments.readings)?;
    let peak = Usage::of(std::process::id())?.peak;
    println!(
        "\n{} MiB of rows at the end, {} MiB resident at most, the recount's included.",
        long.driven.memory() >> 20,
        peak >> 20
    );
    Ok(())
}

/// The entity, and what came for it.
struct Long {
    driven: Driven,
    feed: Feed,
    view: LaneView,
    dice: Dice,
    /// In the order of their times, where [`Long::sort`] was called last.
    history: Vec<(Timestamp, u16, f64)>,
    /// The next event's id.
    next: i64,
    compared: usize,
    /// The longest published row, in bytes.
    largest: usize,
}

impl Long {
    fn event(&mut self, arrival: Timestamp) -> Event {
        let late = self.dice.below(DISORDER.0.unsigned_abs()).cast_signed();
        let terminal = self.dice.below(TERMINALS.unsigned_abs()).cast_signed();
        // Skewed, so that some come often; and sums of quarters are exact.
        let terminal = terminal * terminal / TERMINALS;
        let amount = self.dice.below(400) as f64 * 0.25;
        let time = arrival.minus(Duration(late));
        self.next += 1;
        self.history.push((time, terminal as u16, amount));
        Event {
            entity: ENTITY,
            time: time.0,
            id: self.next,
            terminal,
            amount,
        }
    }

    fn load(&mut self, events: usize) -> Result<()> {
        let gap = SPAN.0 / events as i64;
        let (mut spent, mut number) = (0.0, 0);
        while number < events {
            let upto = (number + PACKETS * 4096).min(events);
            let arrivals = (number..upto).map(|n| BEGAN.plus(Duration(gap * n as i64)));
            let events: Vec<Event> = arrivals.map(|at| self.event(at)).collect();
            let packets: Vec<_> = events
                .chunks(4096)
                .map(|few| self.feed.packet(few))
                .collect();
            let before = clock::now()?;
            for packet in &packets {
                self.driven.apply(packet)?;
            }
            self.driven.commit()?;
            spent += (clock::now()? - before).as_secs_f64();
            number = upto;
        }
        self.sort();
        // The first anchor of all.
        let (now, began) = (BEGAN.plus(SPAN), Instant::now());
        let row = self.published(now)?;
        let longest = began.elapsed().as_secs_f64();
        self.compare(&row, now)?;
        self.tell("thirty days", events as f64, spent, 1, longest);
        Ok(())
    }

    fn busy(&mut self, from: Timestamp, rate: usize, busy: Duration) -> Result<()> {
        let (mut spent, mut longest): (f64, f64) = (0.0, 0.0);
        let ticks = busy.0 / TICK.0;
        let (mut sent, mut rows) = (0, Vec::new());
        for tick in 1..=ticks {
            let now = from.plus(Duration(tick * TICK.0));
            let due = (tick * TICK.0) as usize * rate / 1_000_000;
            let events: Vec<Event> = (sent..due).map(|_| self.event(now)).collect();
            sent = due;
            let packet = self.feed.packet(&events);
            let (before, began) = (clock::now()?, Instant::now());
            if !events.is_empty() {
                self.driven.apply(&packet)?;
            }
            let row = self.published(now)?;
            if tick % 2000 == 0 {
                self.driven.commit()?;
            }
            spent += (clock::now()? - before).as_secs_f64();
            longest = longest.max(began.elapsed().as_secs_f64());
            if tick % (ticks / 20).max(1) == 0 {
                rows.push((row, now, self.history.len()));
            }
        }
        let all = std::mem::take(&mut self.history);
        for (row, now, seen) in rows {
            self.history = all[..seen].to_vec();
            self.sort();
            self.compare(&row, now)?;
        }
        self.history = all;
        self.sort();
        self.tell("busy", sent as f64, spent, ticks as usize, longest);
        println!(
            "\n{:.1} % of a core while it is busy.\n",
            spent / (busy.0 as f64 / 1e6) * 100.0
        );
        Ok(())
    }

    fn idle(&mut self, from: Timestamp, readings: usize) -> Result<()> {
        let mut instants: Vec<i64> = (0..readings)
            .map(|_| self.dice.below(IDLE.0.unsigned_abs()).cast_signed())
            .collect();
        instants.sort_unstable();
        let (mut spent, mut longest): (f64, f64) = (0.0, 0.0);
        for instant in instants {
            let now = from.plus(Duration(instant));
            let (before, began) = (clock::now()?, Instant::now());
            let row = self.published(now)?;
            spent += (clock::now()? - before).as_secs_f64();
            longest = longest.max(began.elapsed().as_secs_f64());
            self.compare(&row, now)?;
        }
        self.tell("idle", 0.0, spent, readings, longest);
        Ok(())
    }

    fn tell(&mut self, name: &str, events: f64, spent: f64, published: usize, longest: f64) {
        table::row(&[
            name.to_owned(),
            grouped(events),
            format!("{spent:.2} s"),
            match events > 0.0 {
                true => format!("{:.2} µs", spent / events * 1e6),
                false => String::new(),
            },
            format!("{published}, at most {} B", grouped(self.largest as f64)),
            format!("{:.1} ms", longest * 1e3),
            self.compared.to_string(),
        ]);
        (self.compared, self.largest) = (0, 0);
    }

    fn sort(&mut self) {
        self.history.sort_by_key(|(time, ..)| *time);
    }

    /// The row as it is published at `now`.
    fn published(&mut self, now: Timestamp) -> Result<Vec<u8>> {
        let rows: Vec<Publication> = self.driven.published_rows(now)?;
        let row = rows.into_iter().next().context("there is a row")?.value;
        self.largest = self.largest.max(row.len());
        Ok(row)
    }

    /// Compares every answer of a row with a recount.
    fn compare(&mut self, row: &[u8], as_of: Timestamp) -> Result<()> {
        let spec: &RowSpec = &self.view.view.spec;
        let row = Row::decode(row, spec)?;
        let outputs: Vec<usize> = (0..spec.outputs.len()).collect();
        for (index, answer) in row.finish(spec, &outputs, as_of).into_iter().enumerate() {
            ensure!(
                row.answers(spec, index, as_of),
                "output {index} is not answered"
            );
            let (answer, output) = (answer?, &spec.outputs[index]);
            let bounds = output.window.bounds(as_of).context("time decides")?;
            let from = self
                .history
                .partition_point(|(time, ..)| *time <= bounds.after);
            let upto = self
                .history
                .partition_point(|(time, ..)| *time <= bounds.upto);
            let expected = recount(&output.function, &self.history[from..upto])?;
            ensure!(
                answer.value == expected && answer.bound.is_none(),
                "output {index} at {as_of}: counted {expected:?}, answered {answer:?}"
            );
        }
        self.compared += 1;
        Ok(())
    }
}

fn recount(function: &Function, events: &[(Timestamp, u16, f64)]) -> Result<Value> {
    let mut terminals: BTreeMap<u16, i64> = BTreeMap::new();
    if !matches!(function, Function::Count | Function::Sum) {
        for (_, terminal, _) in events {
            *terminals.entry(*terminal).or_default() += 1;
        }
    }
    Ok(match function {
        Function::Count => Value::Int(events.len() as i64),
        Function::Sum if events.is_empty() => Value::Null,
        Function::Sum => Value::Float(events.iter().map(|(.., amount)| amount).sum()),
        Function::CountDistinct { .. } => Value::Int(terminals.len() as i64),
        Function::TopN { .. } if events.is_empty() => Value::Null,
        Function::TopN { .. } => {
            let mut weights: Vec<(u16, i64)> = terminals.into_iter().collect();
            weights.sort_by_key(|(terminal, weight)| (-*weight, *terminal));
            let heaviest = weights.into_iter().take(10);
            let pair = |(t, w): (u16, i64)| (Value::Int(t.into()), Value::Int(w));
            Value::Map(heaviest.map(pair).collect())
        }
        other => anyhow::bail!("{other:?} is not recounted"),
    })
}

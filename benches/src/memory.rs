//! Millions of entities in lanes and state, within a hard limit of memory.
//!
//! A child with as many lanes as asked takes made-up events, as the live loop's lanes do, and
//! encodes every touched row for an online store that acknowledges all. It runs in a control
//! group that holds all it may use, file cache included, to the configured memory and a tenth:
//! past it the kernel kills it. Entities come in no order, some events each time, again and again,
//! so that nearly every visit is to a row that is not held. Some rows are compared with a recount,
//! and in the end everything expires.

use crate::child::Child;
use crate::cores::Cores;
use crate::driven::{self, Driven, Event, Feed, entity_key};
use crate::table::{self, grouped};
use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use crossbeam_channel::{Receiver, bounded};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tiderace_aggregate::{Cell, Events, Id, Row, RowSpec};
use tiderace_engine::{Cuts, LaneView, Packet};
use tiderace_state::{Options, RocksStore, Store, Sweep};
use tiderace_testkit::cgroup::MemoryLimit;
use tiderace_testkit::process::Usage;
use tiderace_types::{DataType, RowKey, ShardRange, Timestamp};

#[derive(Args, Clone)]
pub struct Arguments {
    /// How many entities.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// How many times each is visited.
    #[arg(long, default_value_t = 4)]
    visits: u64,
    /// How many events a visit brings.
    #[arg(long, default_value_t = 5)]
    burst: u64,
    /// Memory for RocksDB: `state: { memory }`.
    #[arg(long, default_value_t = 256)]
    memory_mib: u64,
    /// Memory for rows: `state: { row_memory }`.
    #[arg(long, default_value_t = 256)]
    row_memory_mib: u64,
    /// Lanes.
    #[arg(long, default_value_t = 2)]
    lanes: usize,
    /// How many events a commit takes.
    #[arg(long, default_value_t = 50_000)]
    commit: usize,
    /// Where state is put while it runs.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Runs without a hard limit; what is used is told all the same.
    #[arg(long)]
    unlimited: bool,
}

#[derive(Args)]
pub struct Worker {
    #[command(flatten)]
    arguments: Arguments,
    /// Where state is.
    #[arg(long)]
    state: PathBuf,
}

/// What a process has beside rows and RocksDB: its code, stacks, packets on their way.
const REST: u64 = 64 << 20;

/// Nothing may take longer than this.
const WITHIN: Duration = Duration::from_mins(90);

pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = match &arguments.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let configured = ((arguments.memory_mib + arguments.row_memory_mib) << 20) + REST;
    let bound = configured + configured / 10;
    let limit = match arguments.unlimited {
        true => None,
        false => Some(MemoryLimit::new(bound).context("no hard limit: see --unlimited")?),
    };
    let events = events(arguments);
    println!(
        "{} entities, {} events each in {} visits; {} lanes; {} MiB for RocksDB, {} MiB for rows, \
         {} MiB for the rest; hard limit: {}\n",
        grouped(arguments.keys as f64),
        arguments.visits * arguments.burst,
        arguments.visits,
        arguments.lanes,
        arguments.memory_mib,
        arguments.row_memory_mib,
        REST >> 20,
        match &limit {
            Some(_) => format!("{} MiB, file cache included", bound >> 20),
            None => "none".to_owned(),
        }
    );
    let said = worker(arguments, folder.path(), limit.as_ref())?;
    let [
        seconds,
        processor,
        misses,
        published,
        peak,
        size,
        expired,
        found,
    ] = *said
    else {
        return Err(anyhow!("the child said {said:?}"));
    };
    let mebibytes = |bytes: f64| format!("{:.0} MiB", bytes / f64::from(1 << 20));
    table::head(&[
        "events",
        "seconds",
        "events/s",
        "µs of CPU an event",
        "rows read or new",
        "rows published",
        "resident at most",
        "of what is configured",
        "group at most",
        "on disk",
        "once expired",
        "rows checked",
    ]);
    table::row(&[
        grouped(events as f64),
        grouped(seconds),
        grouped(events as f64 / seconds),
        format!("{:.2}", processor * 1e6 / events as f64),
        grouped(misses),
        grouped(published),
        mebibytes(peak),
        format!("{:.2}", peak / configured as f64),
        match &limit {
            Some(limit) => mebibytes(limit.peak()? as f64),
            None => String::new(),
        },
        format!("{:.2} GiB", size / f64::from(1 << 30)),
        mebibytes(expired),
        grouped(found),
    ]);
    ensure!(
        peak <= bound as f64,
        "more than a tenth above what is configured"
    );
    Ok(())
}

fn worker(arguments: &Arguments, state: &Path, limit: Option<&MemoryLimit>) -> Result<Vec<f64>> {
    let text = [
        ("--keys", arguments.keys),
        ("--visits", arguments.visits),
        ("--burst", arguments.burst),
        ("--memory-mib", arguments.memory_mib),
        ("--row-memory-mib", arguments.row_memory_mib),
        ("--lanes", arguments.lanes as u64),
        ("--commit", arguments.commit as u64),
    ];
    let text = text.map(|(name, number)| [name.to_owned(), number.to_string()]);
    let state = state.to_str().context("a folder name that is text")?;
    let mut words = vec!["memory-worker", "--state", state];
    words.extend(text.iter().flatten().map(String::as_str));
    let child = Child::start_within(&Cores::Shared, &words, limit)?;
    let line = child.line(WITHIN)?;
    let numbers = line.split_whitespace().map(str::parse);
    numbers.collect::<Result<_, _>>().context(line)
}

/// The child's work: prints one line of numbers.
pub fn work(worker: &Worker) -> Result<()> {
    let arguments = &worker.arguments;
    let view = driven::view()?;
    let options = Options {
        memory_bytes: usize::try_from(arguments.memory_mib << 20)?,
        ..Options::default()
    };
    let state = RocksStore::open(&worker.state, options)?;
    let began = Instant::now();
    let mut senders = Vec::new();
    let mut lanes = Vec::new();
    let ranges = ShardRange::split(arguments.lanes);
    let counted: Arc<[AtomicUsize]> = ranges.iter().map(|_| AtomicUsize::new(0)).collect();
    for (place, shards) in ranges.into_iter().enumerate() {
        let memory = usize::try_from(arguments.row_memory_mib << 20)? / arguments.lanes;
        let driven = Driven::new(&view, state.clone(), shards, memory)?;
        // As the live loop's queue before a lane.
        let (sender, packets) = bounded(8);
        senders.push(sender);
        let (commit, counted) = (arguments.commit, Arc::clone(&counted));
        let work = move || lane(driven, &packets, commit, &counted[place]);
        lanes.push(std::thread::spawn(work));
    }
    let mut feed = Feed::new(&view);
    let every = (events(arguments) / 50).max(1);
    let mut told = 0;
    for events in packets(arguments) {
        let number = feed.taken();
        if number >= told {
            told = number + every;
            tell(began.elapsed(), number, &counted, &state)?;
        }
        let packet = Arc::new(feed.packet(&events));
        for sender in &senders {
            let sent = sender.send(Arc::clone(&packet));
            sent.context("a lane has ended")?;
        }
    }
    drop(senders);
    let (mut misses, mut published) = (0, 0);
    for lane in lanes {
        let driven = lane.join().map_err(|_| anyhow!("a lane panicked"))??;
        misses += driven.misses;
        published += driven.published;
    }
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{:?}", state.memory()?);
    let found = check(arguments, &view, &state)?;
    let size = state.size()?;
    let (processor, began) = (Usage::of(std::process::id())?.processor, Instant::now());
    expire(&view, &state)?;
    eprintln!("{} s: everything has expired", began.elapsed().as_secs());
    let usage = Usage::of(std::process::id())?;
    println!(
        "{seconds} {} {misses} {published} {} {size} {} {found}",
        processor.as_secs_f64(),
        usage.peak,
        state.size()?
    );
    Ok(())
}

/// Says on standard error where memory is.
fn tell(elapsed: Duration, number: u64, counted: &[AtomicUsize], state: &Store) -> Result<()> {
    let rows: usize = counted.iter().map(|c| c.load(Ordering::Relaxed)).sum();
    let memory = state.memory()?;
    let usage = Usage::of(std::process::id())?;
    eprintln!(
        "{} s: {number} events; MiB: {} resident, {} rows, {} cache ({} pinned), {} memtables",
        elapsed.as_secs(),
        usage.resident >> 20,
        rows >> 20,
        memory.cache >> 20,
        memory.pinned >> 20,
        memory.memtables >> 20,
    );
    Ok(())
}

fn events(arguments: &Arguments) -> u64 {
    arguments.keys * arguments.visits * arguments.burst
}

fn lane(
    mut driven: Driven,
    packets: &Receiver<Arc<Packet>>,
    commit: usize,
    counted: &AtomicUsize,
) -> Result<Driven> {
    let mut since = 0;
    for packet in packets {
        driven.apply(&packet)?;
        counted.store(driven.memory(), Ordering::Relaxed);
        since += packet.times.len();
        if since >= commit {
            driven.commit()?;
            since = 0;
        }
        driven.publish()?;
    }
    driven.commit()?;
    Ok(driven)
}

/// How many events a packet has.
const PACKET: usize = 2000;

/// When the first event is, and how long all of them take: within every window.
const START: i64 = 1_700_000_000_000_000;
const SPAN: u64 = 20 * 86_400_000_000;

/// Every visit to every entity, in an order that has nothing to do with their keys.
fn packets(arguments: &Arguments) -> impl Iterator<Item = Vec<Event>> {
    let (keys, burst) = (arguments.keys, arguments.burst);
    let total = events(arguments);
    let stride = coprime(keys);
    let event = move |number| event(number, total, entity_of(number / burst, keys, stride));
    let starts = (0..total).step_by(PACKET);
    starts.map(move |start| {
        (start..total.min(start + PACKET as u64))
            .map(event)
            .collect()
    })
}

/// A number about the golden part of `keys` that shares no divisor with it.
fn coprime(keys: u64) -> u64 {
    let divides = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a > 1
    };
    let golden = (keys as f64 * 0.618_033_988_7) as u64;
    (golden.max(1)..).find(|n| !divides(*n, keys)).unwrap_or(1)
}

/// Whom a visit is to.
fn entity_of(visit: u64, keys: u64, stride: u64) -> u64 {
    let (round, place) = (visit / keys, visit % keys);
    (place.wrapping_add(round * 77_777) % keys * stride) % keys
}

fn event(number: u64, total: u64, entity: u64) -> Event {
    Event {
        entity,
        time: START + (SPAN as u128 * u128::from(number) / u128::from(total)) as i64,
        id: number.cast_signed(),
        terminal: (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50).cast_signed(),
        amount: (number % 9973) as f64 / 100.0,
    }
}

/// Reads some rows: each must hold exactly its events. Gives how many were read.
fn check(arguments: &Arguments, view: &LaneView, state: &Store) -> Result<u64> {
    let (keys, burst, total) = (arguments.keys, arguments.burst, events(arguments));
    let stride = coprime(keys);
    let step = (keys / 1000).max(1);
    let mut visits: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for visit in 0..keys * arguments.visits {
        let entity = entity_of(visit, keys, stride);
        if entity.is_multiple_of(step) {
            visits.entry(entity).or_default().push(visit);
        }
    }
    let spec = &view.view.spec;
    for (entity, visits) in &visits {
        let key = RowKey {
            view: view.view.id,
            generation: view.generation,
            entity: entity_key(*entity).into(),
        };
        let mut row = Row::new(spec);
        for block in state.load(&[key])?.into_iter().flatten() {
            row.merge(spec, Row::decode(&block.bytes, spec)?);
        }
        let numbers = visits
            .iter()
            .flat_map(|visit| visit * burst..(visit + 1) * burst);
        let expected = recount(spec, numbers.map(|number| event(number, total, *entity)));
        ensure!(
            row.events == expected,
            "entity {entity}: {:?}, not {expected:?}",
            row.events
        );
    }
    Ok(visits.len() as u64)
}

/// The events that a row of these must hold.
fn recount(spec: &RowSpec, events: impl Iterator<Item = Event>) -> Events {
    let mut expected = Events::new(spec);
    for event in events {
        let cells = spec.inputs.iter().map(|input| match input {
            DataType::Float64 => Cell::Float(event.amount),
            _ => Cell::Int(event.terminal),
        });
        expected.insert(&tiderace_aggregate::Event {
            time: Timestamp(event.time),
            id: Id::Int(event.id),
            bits: 0,
            inputs: &cells.collect::<Vec<_>>(),
        });
    }
    expected
}

/// Takes everything off the disk, as the live loop's sweeper does once no window sees it.
fn expire(view: &LaneView, state: &Store) -> Result<()> {
    let clocks = BTreeMap::from([(
        view.view.source.id,
        Timestamp(START + 10 * SPAN.cast_signed()),
    )]);
    let cuts = Cuts::new(std::slice::from_ref(view), &clocks);
    for shard in ShardRange::split(256) {
        let mut sweep = Sweep::over(shard);
        while !sweep.done() {
            state.sweep(&mut sweep, 5000, &|view, generation, block| {
                cuts.spent(view, generation, block)
            })?;
        }
    }
    state.compact_shards(ShardRange::ALL);
    Ok(())
}

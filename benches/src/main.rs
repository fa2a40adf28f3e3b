//! The measurements of `RESULTS.md`. Each starts its own servers, measures one thing beside its
//! floor in the same run, in rounds that take turns, and prints a table.
//!
//! | command | what it measures | its floor |
//! |---|---|---|
//! | `ingest` | events to committed state and acknowledged publication | parse the needed fields and drop |
//! | `freshness` | from produce to the first answer that shows the event | consume, SET, GET |
//! | `scoring` | push and get: until the event is durable and in the answer | a write and sync of the same bytes |
//! | `lookup` | one entity with all its features, at 1, 16 and 64 in flight | a bare tonic echo; plain GETs |
//! | `footprint` | bytes per event and entity, memory of the process | – |
//! | `healing` | rows a second after a FLUSHALL, one server and a cluster; the time to heal after a failover | – |
//! | `engine` | the engine alone: records in memory to committed rows | parse the needed fields and drop |
//! | `reading` | decoding and finishing a row, by what is asked of it | the sum |
//! | `windows` | hopping windows over a file, every row emitted | Flink (`peers/flink`) |
//! | `layout` | the two layouts of state that were considered | each other |
//! | `long` | one entity with ten million events, busy and idle | a recount |
//! | `memory` | millions of entities within a hard limit of memory | the configured sum |
//!
//! The measured process has cores of its own ([`cores::Cores`]); everything else (Kafka, Redis,
//! the load) shares the others. Processor time is what `/proc` says of the measured process.
//! The floors are this program again, started as children on the same cores.

mod cores;
mod latency;
mod table;

mod answer;
mod child;
mod payments;
mod project;

mod echo;
mod floor;
mod pass_through;
mod raw;

mod footprint;
mod freshness;
mod healing;
mod recount;
mod scoring;

mod ingest;
mod lookup;

mod driven;
mod engine;
mod layout;
mod long;
mod memory;
mod reading;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The product's own allocator, for Rust and C++.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(
    name = "tiderace-bench",
    about = "Measures Tiderace beside its floors."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Events per second and per processor-second, to committed state and online store.
    Ingest(ingest::Arguments),
    /// From produce to the first gRPC answer that shows the event.
    Freshness(freshness::Arguments),
    /// Push and get, beside a write and sync.
    Scoring(scoring::Arguments),
    /// Lookups of one entity with all its features.
    Lookup(lookup::Arguments),
    /// Bytes per event and per entity.
    Footprint(footprint::Arguments),
    /// Rows a second after a FLUSHALL, and the time to heal after a failover.
    Healing(healing::Arguments),
    /// The engine alone: events per processor-second from records in memory to committed rows.
    Engine(engine::Arguments),
    /// Decoding and finishing a row, sparse and dense, by what is asked of it.
    Reading(reading::Arguments),
    /// Hopping windows over a file of events: every row of every window.
    Windows(engine::windows::Arguments),
    /// Writes the events of `engine` into a file, for whoever is measured beside it.
    Stream(engine::stream::Arguments),
    /// The two layouts of state that were considered.
    Layout(layout::Arguments),
    /// Millions of entities within a hard limit of memory.
    Memory(memory::Arguments),
    /// One entity with ten million events, busy and idle, compared with a recount.
    Long(long::Arguments),
    /// Runs one layout of `layout`.
    #[command(hide = true)]
    LayoutWorker(layout::Worker),
    /// Runs the lanes of `memory`.
    #[command(hide = true)]
    MemoryWorker(memory::Worker),
    /// Runs the floor of `ingest`: consume, parse the needed fields, drop.
    #[command(hide = true)]
    Floor(floor::Arguments),
    /// Runs the floor of `freshness`: consume, SET.
    #[command(hide = true)]
    PassThrough(pass_through::Arguments),
    /// Runs the floor of `lookup`: a gRPC server that knows one answer.
    #[command(hide = true)]
    Echo(echo::Arguments),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Ingest(arguments) => ingest::run(&arguments),
        Command::Scoring(arguments) => scoring::run(&arguments),
        Command::Freshness(arguments) => freshness::run(&arguments),
        Command::Lookup(arguments) => lookup::run(&arguments),
        Command::Footprint(arguments) => footprint::run(&arguments),
        Command::Healing(arguments) => healing::run(&arguments),
        Command::Engine(arguments) => engine::run(&arguments),
        Command::Reading(arguments) => reading::run(&arguments),
        Command::Windows(arguments) => engine::windows::run(&arguments),
        Command::Stream(arguments) => engine::stream::run(&arguments),
        Command::Layout(arguments) => layout::run(&arguments),
        Command::Memory(arguments) => memory::run(&arguments),
        Command::Long(arguments) => long::run(&arguments),
        Command::LayoutWorker(arguments) => layout::work(&arguments),
        Command::MemoryWorker(arguments) => memory::work(&arguments),
        Command::Floor(arguments) => floor::run(&arguments),
        Command::PassThrough(arguments) => pass_through::run(&arguments),
        Command::Echo(arguments) => echo::run(&arguments),
    }
}

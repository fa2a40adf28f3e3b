//! What each command does.

mod apply;
mod ask;
mod backfill;
mod bar;
mod check;
mod dead_letters;
mod demo;
mod destination;
mod explain;
mod history;
mod init;
mod past;
pub mod plan;
mod reconcile;
mod replay;
mod serve;
mod sync;
mod test;
mod token;

use crate::cli::{Cli, Command, LogFormat};
use anyhow::Result;
use clap::CommandFactory;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Runs a command to its exit code.
///
/// # Errors
/// Whatever ends the command early, with its context.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Init(args) => init::init(&args),
        Command::Check {
            project,
            format,
            online,
        } => check::check(&project, format, online),
        Command::Test(args) => test::test(&args),
        Command::Plan(args) => plan::plan(&args),
        Command::Schema { format } => check::schema(format),
        Command::Apply(args) => apply::apply(&args),
        Command::Run(work) => serve::work(&work, serve::Role::Both),
        Command::Worker(work) => serve::work(&work, serve::Role::Worker),
        Command::Serve(project) => serve::serve(&project.project),
        Command::Get(get) => ask::get(get),
        Command::Push(push) => ask::push(push),
        Command::Replay(replay) => replay::replay(&replay),
        Command::History(history) => history::history(&history),
        Command::Reconcile(args) => reconcile::reconcile(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Backfill(backfill) => backfill::backfill(&backfill),
        Command::Sync(sync) => sync::sync(&sync),
        Command::DeadLetters(what) => dead_letters::dead_letters(&what),
        Command::Token(args) => token::token(&args),
        Command::Demo(demo) => demo::demo(&demo),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tiderace", &mut script);
            std::io::stdout().write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Sends structured log lines to standard error, at the level that TIDERACE_LOG says.
pub fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_env("TIDERACE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().init(),
    }
}

//! Entry point: arguments in, exit code out.

use clap::Parser;
use std::process::ExitCode;
use tiderace::cli::{Cli, Command};
use tiderace::commands;

/// One allocator for Rust and C++, which gives memory back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The demo draws on the terminal: it says itself where log lines go.
    if !matches!(cli.command, Command::Demo(_)) {
        commands::log_to_stderr(cli.log_format);
    }
    if let Err(why) = tiderace_durable::failpoint::arm() {
        eprintln!("error: {why}");
        return ExitCode::FAILURE;
    }
    match commands::run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! The other programs of this package, run beside the measured one.

use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tiderace_testkit::process::{Process, Usage};

/// A command of the program `name` that lies beside this one.
///
/// # Errors
/// When this program's own place cannot be told.
pub fn command(name: &str) -> Result<Command> {
    let own = std::env::current_exe().context("find this program's own file")?;
    Ok(Command::new(own.with_file_name(name)))
}

/// Starts the program `name` and gives it with the first line that it prints.
///
/// # Errors
/// When it does not start or prints nothing.
pub fn start(name: &str, arguments: &[&str]) -> Result<(Process, String)> {
    // Into a file, so that it never waits for a reader.
    let folder = tempfile::tempdir()?;
    let path: PathBuf = folder.path().join("printed");
    let printed = std::fs::File::create(&path)?;
    let mut command = command(name)?;
    command.args(arguments).stdin(Stdio::null()).stdout(printed);
    let process = Process::start(name, command)?;
    let line = tiderace_testkit::wait::until_some(name, Duration::from_secs(10), || {
        let file = std::fs::File::open(&path).ok()?;
        let mut line = String::new();
        BufReader::new(file).read_line(&mut line).ok()?;
        line.ends_with('\n').then(|| line.trim().to_owned())
    })?;
    Ok((process, line))
}

/// The processor time of a process between two looks at it.
#[must_use]
pub fn processor_between(before: &Usage, after: &Usage) -> Duration {
    after.processor.saturating_sub(before.processor)
}

//! This program again, as a child on the measured process's cores.

use crate::cores::Cores;
use anyhow::{Context, Result};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tiderace_testkit::cgroup::MemoryLimit;
use tiderace_testkit::process::Process;
use tiderace_testkit::wait;

/// A running child, killed when dropped.
#[derive(Debug)]
pub struct Child {
    /// The process.
    pub process: Process,
    folder: TempDir,
}

impl Child {
    /// Starts a subcommand of this program.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(cores: &Cores, arguments: &[&str]) -> Result<Child> {
        Child::start_within(cores, arguments, None)
    }

    /// Starts a subcommand of this program, under a limit of memory if there is one.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_within(
        cores: &Cores,
        arguments: &[&str],
        limit: Option<&MemoryLimit>,
    ) -> Result<Child> {
        let folder = tempfile::tempdir()?;
        // Into a file, so that it never waits for a reader.
        let printed = std::fs::File::create(folder.path().join("printed"))?;
        let own = std::env::current_exe().context("find this program's own file")?;
        let mut command = Command::new(own);
        command.args(arguments);
        if let Some(limit) = limit {
            command = limit.around(&command);
        }
        command.stdin(Stdio::null()).stdout(printed);
        let process = cores.measured(|| Process::start(arguments[0], command))?;
        Ok(Child { process, folder })
    }

    /// Waits for the first line that it prints.
    ///
    /// # Errors
    /// When none comes within the time.
    pub fn line(&self, within: Duration) -> Result<String> {
        let path = self.folder.path().join("printed");
        wait::until_some("a child's first line", within, || {
            let text = std::fs::read_to_string(&path).ok()?;
            let (line, _) = text.split_once('\n')?;
            Some(line.to_owned())
        })
    }
}

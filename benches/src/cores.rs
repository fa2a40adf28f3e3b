//! Which cores the measured process has, and which everybody else.
//!
//! Affinity is inherited, so a server is started while this program stands on the server's
//! cores, and this program then moves away. A child counts only the cores it may use when it
//! sizes its thread pools.

use anyhow::{Context, Result, ensure};
use std::process::Command;

/// The cores of a measurement.
#[derive(Clone, Debug)]
pub enum Cores {
    /// Everybody has all of them.
    Shared,
    /// Lists as `taskset` takes them: `0-1`.
    Apart { measured: String, others: String },
}

impl Cores {
    /// Half of the machine for the measured process, unless `shared` or there is only one core.
    ///
    /// Moves this program to the others' half.
    ///
    /// # Errors
    /// When there is no `taskset`.
    pub fn divide(shared: bool) -> Result<Cores> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        if shared || count < 2 {
            return Ok(Cores::Shared);
        }
        let half = count / 2;
        let others = format!("{half}-{}", count - 1);
        move_to(&others)?;
        Ok(Cores::Apart {
            measured: format!("0-{}", half - 1),
            others,
        })
    }

    /// Does `start` on the cores of the measured process: what it starts stays there.
    ///
    /// # Errors
    /// What `start` says.
    pub fn measured<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        let Cores::Apart { measured, others } = self else {
            return start();
        };
        move_to(measured)?;
        let started = start();
        move_to(others)?;
        started
    }

    /// A sentence for the table's caption.
    pub fn describe(&self) -> String {
        match self {
            Cores::Shared => "every process may use every core".to_owned(),
            Cores::Apart { measured, others } => {
                format!("the measured process on cores {measured}, everything else on {others}")
            }
        }
    }
}

/// Moves all threads of this program.
fn move_to(cores: &str) -> Result<()> {
    let own = std::process::id().to_string();
    let output = Command::new("taskset")
        .args(["-a", "-c", "-p", cores, &own])
        .output()
        .context("run taskset")?;
    ensure!(
        output.status.success(),
        "taskset -c {cores}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

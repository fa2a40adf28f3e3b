//! Where the demo shows itself: frames on a terminal, or lines.

use super::moment::{Constants, Moment};
use super::notes::Notes;
use super::screen::Screen;
use super::{page, plain};
use std::io::Write;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// One of the two.
pub enum Face {
    Screen(Screen),
    Plain {
        /// Whether it has said how to ask.
        told: bool,
    },
}

impl Face {
    /// How often it wants to show something.
    pub fn interval(&self) -> Duration {
        match self {
            Face::Screen(_) => Duration::from_millis(200),
            Face::Plain { .. } => Duration::from_secs(1),
        }
    }

    /// Says what this is, where a frame will not.
    ///
    /// # Errors
    /// When nobody reads standard output.
    pub fn open(&self, constants: &Constants) -> std::io::Result<()> {
        match self {
            Face::Screen(_) => Ok(()),
            Face::Plain { .. } => {
                writeln!(std::io::stdout().lock(), "{}", plain::opening(constants))
            }
        }
    }

    /// Shows a moment.
    ///
    /// # Errors
    /// When nobody reads standard output any more.
    pub fn show(&mut self, constants: &Constants, moment: &Moment) -> std::io::Result<()> {
        match self {
            Face::Screen(screen) => screen.show(&page::page(constants, moment, screen.size())),
            Face::Plain { told } => {
                let mut out = std::io::stdout().lock();
                writeln!(out, "{}", plain::line(moment))?;
                if let (false, Some(watch)) = (*told, &moment.seen.watch) {
                    *told = true;
                    let [get, curl] = constants.questions(watch, &moment.seen.amount);
                    writeln!(out, "ask it: {get}\nor:     {curl}")?;
                }
                Ok(())
            }
        }
    }
}

/// Sends log lines to where they do not spoil the screen.
pub fn log(screen: bool) -> Notes {
    let notes = Notes::default();
    let filter = EnvFilter::try_from_env("TIDERACE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(false);
    let kept = notes.clone();
    match screen {
        true => lines.with_writer(move || kept.clone()).init(),
        false => lines.with_writer(std::io::stderr).init(),
    }
    notes
}

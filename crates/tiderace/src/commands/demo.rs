//! `demo`: made-up card payments through the example project, watched in the terminal.

use crate::cli::Demo;
use anyhow::{Result, bail};
use std::process::ExitCode;

pub fn demo(args: &Demo) -> Result<ExitCode> {
    bail!("no demo for {} yet", args.project.display())
}

//! `demo`: made-up card payments through the example project, watched in the terminal.
//!
//! It runs what `run` runs, with everything embedded, and is its own customer: one thread
//! pushes payments over gRPC, tasks look features up over gRPC and time the answers, and a
//! frame shows five times a second what they found. Every number on it is measured; the
//! payments alone are made up. It lacks anything that a user of Tiderace would need to write.

mod world;

mod payment;

mod fraud;

mod generator;

mod stage;

mod feeder;

mod asker;

mod measure;

mod follow;

mod window;

mod board;

mod moment;

mod line;

mod text;

mod table;

mod vector;

mod page;

mod plain;

mod screen;

mod notes;

mod face;

mod show;

use crate::cli::Demo;
use anyhow::Result;
use screen::Screen;
use show::Show;
use stage::Data;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

pub fn demo(args: &Demo) -> Result<ExitCode> {
    let screen = Screen::possible() && !args.plain;
    let notes = face::log(screen);
    let data = Data::open(args)?;
    let plan = Arc::new(stage::plan(args, data.path())?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let told = runtime.block_on(async {
        let show = Show::start(args, &plan, notes.clone()).await?;
        show.run(args, screen).await
    });
    for note in notes.all() {
        eprintln!("{note}");
    }
    let mut out = std::io::stdout().lock();
    // Nobody may be there to read it.
    let _ = out.write_all(told?.as_bytes());
    if let Data::Kept(path) = &data {
        let _ = writeln!(out, "\nthe data stays in {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

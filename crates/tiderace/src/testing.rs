//! Definition tests: the events of a `kind: test` document through the engine, its questions through the
//! lookup that serves, and what is different from what is expected.
//!
//! Nothing here knows what a window, a late event or an aggregate is. Records are decoded by [`Reading`],
//! accepted by an `Intake`, applied and published by a `Lane` and answered by a `Lookup`, all as in a
//! process that runs; only the stores are in memory, and the clock is the test's.
//!
//! [`Reading`]: crate::live::RecordReading

mod arrivals;
mod judged;
mod world;

pub use arrivals::check_files;
use arrivals::{Arrival, Origin};
pub use judged::{Failure, Outcome};
use world::World;

use anyhow::{Context, Result};
use judged::Judge;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tiderace_plan::model::{Ask, Test};
use tiderace_plan::{Plan, SourceFile};
use tokio::runtime::Runtime;

/// Runs the tests of one project.
pub struct Runner<'a> {
    folder: &'a Path,
    files: &'a [SourceFile],
    plan: Arc<Plan>,
    runtime: Runtime,
}

impl<'a> Runner<'a> {
    /// A runner of the tests in `folder`, whose definitions are in `files` and come to `plan`.
    ///
    /// # Errors
    /// When the machine has no thread to spare.
    pub fn new(folder: &'a Path, files: &'a [SourceFile], plan: Arc<Plan>) -> Result<Runner<'a>> {
        let runtime = tokio::runtime::Builder::new_current_thread();
        Ok(Runner {
            folder,
            files,
            plan,
            runtime: { runtime }.build().context("make a runtime")?,
        })
    }

    /// Runs a test.
    ///
    /// # Errors
    /// When its files cannot be read, or the engine cannot go on: neither is a matter of what it expects.
    pub fn run(&self, test: &Test) -> Result<Outcome> {
        let began = Instant::now();
        let mut arrivals = arrivals::of(self.folder, &self.plan, test)?;
        arrivals.sort_by_key(|arrival| arrival.at);
        let mut asks: Vec<&Ask> = test.asks.iter().collect();
        asks.sort_by_key(|ask| ask.at);
        let mut world = World::new(self.folder, &self.plan, test)?;
        let mut judge = Judge::new(self.files, &self.plan, test, &arrivals);
        let mut rest: &[Arrival] = &arrivals;
        for ask in asks {
            let (come, later) = rest.split_at(rest.partition_point(|event| event.at <= ask.at));
            world.take(come)?;
            rest = later;
            let answer = self.runtime.block_on(world.ask(ask))?;
            judge.answer(ask, answer, &world, later);
        }
        world.take(rest)?;
        judge.letters(world.letters());
        Ok(judge.outcome(began.elapsed()))
    }
}

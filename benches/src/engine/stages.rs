//! Where the time goes: the wall clock around each call of the loop.

use std::time::{Duration, Instant};

/// One call of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Copying a batch out of the log.
    Read,
    /// JSON to columns.
    Decode,
    /// Acceptance, expressions, keys.
    Intake,
    /// Finding rows.
    Prepare,
    /// Reading rows from state that are not held.
    Load,
    /// Putting events into rows.
    Apply,
    /// Anchoring dense rows.
    Anchor,
    /// Making a commit of what changed.
    Commit,
    /// Writing it.
    Write,
    /// Encoding rows for the online store.
    Publish,
    /// Answering windows, and giving the answers away.
    Evaluate,
}

/// Every stage in the order of the loop, with its name.
pub const STAGES: [(Stage, &str); 11] = [
    (Stage::Read, "read"),
    (Stage::Decode, "decode"),
    (Stage::Intake, "intake"),
    (Stage::Prepare, "prepare"),
    (Stage::Load, "load"),
    (Stage::Apply, "apply"),
    (Stage::Anchor, "anchor"),
    (Stage::Commit, "commit"),
    (Stage::Write, "write"),
    (Stage::Publish, "publish"),
    (Stage::Evaluate, "evaluate"),
];

/// The time that each stage took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stages([Duration; STAGES.len()]);

impl Stages {
    /// Does `work` on the account of `stage`.
    pub fn time<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.0[stage as usize] += began.elapsed();
        done
    }

    /// What a stage took.
    pub fn of(&self, stage: Stage) -> Duration {
        self.0[stage as usize]
    }
}

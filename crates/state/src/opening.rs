//! What belongs to one opening of a store: its epoch, its commit numbers, its open debts.

use crate::Error;
use crate::error::Kind;
use crate::key::Debt;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Commit numbers are `epoch << 40 | n`: a tail that was lost never gives its numbers back,
/// because the opening that finds it missing has another epoch.
const COMMITS_PER_EPOCH: u32 = 40;

#[derive(Debug)]
pub(crate) struct Opening {
    epoch: u64,
    commits: AtomicU64,
    /// The keys of the outbox, so that paid entries are deleted without a search.
    debts: Mutex<BTreeSet<Debt>>,
}

impl Opening {
    pub(crate) fn new(epoch: u64, debts: BTreeSet<Debt>) -> Opening {
        Opening {
            epoch,
            commits: AtomicU64::new(0),
            debts: Mutex::new(debts),
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Gives out the next commit number.
    pub(crate) fn next_commit(&self) -> Result<u64, Error> {
        let n = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        if n >> COMMITS_PER_EPOCH != 0 || self.epoch >> (64 - COMMITS_PER_EPOCH) != 0 {
            return Err(Error::new(
                Kind::Bug,
                format!("commit {n} of epoch {} has no number left", self.epoch),
            ));
        }
        Ok(self.epoch << COMMITS_PER_EPOCH | n)
    }

    pub(crate) fn debts(&self) -> MutexGuard<'_, BTreeSet<Debt>> {
        // A set of plain numbers is whole after any panic.
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

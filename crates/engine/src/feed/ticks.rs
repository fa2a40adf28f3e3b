//! How far everything owed has been paid: a clock of small numbers that owed rows are stamped with.
//!
//! A tick remembers which commit was the last one before it began, and up to which instant changes by time
//! alone had been taken up. The oldest tick that an owed row bears says what is paid: commits up to
//! that one, and changes up to that instant.

use std::collections::BTreeMap;
use tiderace_types::Timestamp;

/// What was so when a tick began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paid {
    /// Outbox entries up to this commit name nothing that is owed.
    pub(crate) commit: Option<u64>,
    /// Changes by time alone up to this instant are not owed.
    pub(crate) upto: Timestamp,
}

/// Nothing at all.
const NOTHING: Paid = Paid {
    commit: None,
    upto: Timestamp::MIN,
};

#[derive(Debug)]
struct Mark {
    paid: Paid,
    commits: u64,
    owed: usize,
}

/// The ticks that owed rows bear.
#[derive(Debug)]
pub(crate) struct Ticks {
    tick: u64,
    marks: BTreeMap<u64, Mark>,
    now: Paid,
    commits: u64,
    /// What is paid while names are lost that were owed.
    frozen: Option<Paid>,
}

impl Ticks {
    pub(crate) fn new() -> Ticks {
        let mut ticks = Ticks {
            tick: 0,
            marks: BTreeMap::new(),
            now: NOTHING,
            commits: 0,
            frozen: None,
        };
        ticks.begin();
        ticks
    }

    /// The present tick, for a row that is owed from now on.
    pub(crate) fn stamp(&mut self) -> u64 {
        if let Some(mark) = self.marks.get_mut(&self.tick) {
            mark.owed += 1;
        }
        self.tick
    }

    /// Notes that a row with this stamp is owed no more.
    pub(crate) fn release(&mut self, tick: u64) {
        let Some(mark) = self.marks.get_mut(&tick) else {
            return;
        };
        mark.owed = mark.owed.saturating_sub(1);
        if mark.owed == 0 && tick != self.tick {
            self.marks.remove(&tick);
        }
    }

    /// What is paid.
    pub(crate) fn paid(&self) -> Paid {
        let oldest = self.marks.values().find(|mark| mark.owed > 0);
        let oldest = oldest.map_or(self.now, |mark| mark.paid);
        self.frozen.map_or(oldest, |frozen| Paid {
            commit: frozen.commit.min(oldest.commit),
            upto: frozen.upto.min(oldest.upto),
        })
    }

    /// Notes that a commit is stored.
    pub(crate) fn committed(&mut self, commit: u64) {
        self.now.commit = Some(commit);
        self.commits += 1;
        self.begin();
    }

    /// Begins a tick for rows that commit `commit`, which is stored and not noted yet, names anew: what
    /// came before it is paid where they are concerned.
    pub(crate) fn carried(&mut self, commit: u64) {
        self.now.commit = commit.checked_sub(1);
        self.begin();
    }

    /// Notes that changes by time alone are taken up to `upto`; rows that are owed from here on
    /// because of them are stamped before that.
    pub(crate) fn taken(&mut self, upto: Timestamp) {
        self.now.upto = self.now.upto.max(upto);
    }

    /// Begins a tick.
    pub(crate) fn begin(&mut self) {
        if self
            .marks
            .get(&self.tick)
            .is_some_and(|mark| mark.owed == 0)
        {
            self.marks.remove(&self.tick);
        }
        self.tick += 1;
        let mark = Mark {
            paid: self.frozen.unwrap_or(self.now),
            commits: self.commits,
            owed: 0,
        };
        self.marks.insert(self.tick, mark);
    }

    /// Keeps what is paid as it is, while names of owed rows are lost.
    pub(crate) fn freeze(&mut self) {
        let paid = self.paid();
        self.frozen.get_or_insert(paid);
        self.begin();
    }

    /// Goes on: the names are known again.
    pub(crate) fn thaw(&mut self) {
        self.frozen = None;
        self.begin();
    }

    /// Tells which stamps are so old that the outbox had better name their rows anew: those of more
    /// than `commits` commits ago. `None` while even twice as many are not reached.
    pub(crate) fn old(&self, commits: u64) -> Option<u64> {
        let oldest = self.marks.values().find(|mark| mark.owed > 0)?;
        if self.frozen.is_some() || self.commits - oldest.commits < 2 * commits {
            return None;
        }
        let old = |(_, mark): &(&u64, &Mark)| self.commits - mark.commits >= commits;
        let marks = self.marks.iter();
        marks.filter(old).map(|(tick, _)| *tick).next_back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paid(commit: Option<u64>, upto: i64) -> Paid {
        Paid {
            commit,
            upto: Timestamp(upto),
        }
    }

    #[test]
    fn the_oldest_stamp_says_what_is_paid() {
        let mut ticks = Ticks::new();
        let old = ticks.stamp();
        ticks.committed(7);
        ticks.taken(Timestamp(50));
        assert_eq!(ticks.paid(), NOTHING);
        let new = ticks.stamp();
        ticks.committed(9);
        ticks.release(old);
        // It was stamped after commit 7, and before changes up to 50 had been taken up.
        assert_eq!(ticks.paid(), paid(Some(7), i64::MIN));
        ticks.release(new);
        assert_eq!(ticks.paid(), paid(Some(9), 50));
    }

    #[test]
    fn what_is_forgotten_stays_unpaid() {
        let mut ticks = Ticks::new();
        ticks.committed(3);
        ticks.taken(Timestamp(30));
        ticks.begin();
        let lost = ticks.stamp();
        ticks.committed(4);
        ticks.freeze();
        ticks.release(lost);
        ticks.committed(5);
        ticks.taken(Timestamp(60));
        assert_eq!(ticks.paid(), paid(Some(3), 30));
        let found = ticks.stamp();
        ticks.thaw();
        assert_eq!(
            ticks.paid(),
            paid(Some(3), 30),
            "what was found is owed still"
        );
        ticks.release(found);
        assert_eq!(ticks.paid(), paid(Some(5), 60));
    }

    #[test]
    fn old_stamps_are_told() {
        let mut ticks = Ticks::new();
        let first = ticks.stamp();
        for commit in 0..8 {
            assert_eq!(ticks.old(4), None);
            ticks.committed(commit);
            ticks.stamp();
        }
        let old = ticks.old(4).expect("eight commits are twice four");
        assert!(first <= old && old < ticks.tick);
    }
}

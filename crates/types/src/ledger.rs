//! What became of every record, by source.

use crate::{Dropped, Reason, SourceId};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What became of a record. The text form is stable: it is a metric label, and on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A member of a row.
    Applied,
    /// A copy of a member.
    Duplicate,
    /// Accepted, and no view takes it: filtered out, a null in the key, a failed expression.
    Unused,
    /// In order, and sent away all the same.
    Dropped(Dropped),
    /// Refused: it is in the dead letters.
    Refused(Reason),
}

impl Outcome {
    /// Every outcome there is.
    pub fn all() -> impl Iterator<Item = Outcome> {
        let known = [Outcome::Applied, Outcome::Duplicate, Outcome::Unused];
        let dropped = Dropped::ALL.map(Outcome::Dropped);
        let refused = Reason::ALL.map(Outcome::Refused);
        known.into_iter().chain(dropped).chain(refused)
    }

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Duplicate => "duplicate",
            Outcome::Unused => "unused",
            Outcome::Dropped(Dropped::Check) => "dropped_check",
            Outcome::Dropped(Dropped::Tombstone) => "dropped_tombstone",
            Outcome::Dropped(Dropped::OtherTable) => "dropped_other_table",
            Outcome::Dropped(Dropped::Message) => "dropped_message",
            Outcome::Refused(reason) => reason.name(),
        }
    }
}

/// The name under which all records are counted, whatever becomes of them.
pub const READ: &str = "read";

/// How many records of each source there were, and what became of them.
///
/// Every record is counted once, in its home shard, under `read` and under one [`Outcome`]. So the
/// sum of all outcomes is `read`, and both are as durable as the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger(pub BTreeMap<SourceId, BTreeMap<Cow<'static, str>, u64>>);

impl Ledger {
    /// Counts `count` records of `source` as read.
    pub fn read(&mut self, source: SourceId, count: u64) {
        self.add(source, READ, count);
    }

    /// Notes what became of `count` records of `source`.
    pub fn note(&mut self, source: SourceId, outcome: Outcome, count: u64) {
        self.add(source, outcome.name(), count);
    }

    fn add(&mut self, source: SourceId, name: &'static str, count: u64) {
        if count > 0 {
            let counts = self.0.entry(source).or_default();
            *counts.entry(Cow::Borrowed(name)).or_default() += count;
        }
    }

    /// Adds what another part has counted.
    pub fn merge(&mut self, other: &Ledger) {
        for (source, counts) in &other.0 {
            let own = self.0.entry(*source).or_default();
            for (name, count) in counts {
                match own.get_mut(name.as_ref()) {
                    Some(held) => *held += count,
                    None => _ = own.insert(name.clone(), *count),
                }
            }
        }
    }

    /// How many records of `source` are counted under `name`.
    #[must_use]
    pub fn get(&self, source: SourceId, name: &str) -> u64 {
        let counts = self.0.get(&source);
        let count = counts.and_then(|counts| counts.get(name));
        count.copied().unwrap_or_default()
    }

    /// Tells whether every record that was read is accounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.0.values().all(|counts| {
            let read = counts.get(READ).copied().unwrap_or_default();
            let all: u64 = counts.values().sum();
            all == 2 * read
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        let names: std::collections::BTreeSet<_> = Outcome::all().map(Outcome::name).collect();
        assert_eq!(names.len(), Outcome::all().count());
        assert!(!names.contains(READ));
    }

    #[test]
    fn what_is_read_and_noted_balances() {
        let (one, two) = (SourceId(1), SourceId(2));
        let mut ledger = Ledger::default();
        assert!(ledger.balances());
        ledger.read(one, 3);
        ledger.note(one, Outcome::Applied, 2);
        assert!(!ledger.balances());
        ledger.note(one, Outcome::Refused(Reason::TooLate), 1);
        assert!(ledger.balances());
        let mut other = Ledger::default();
        other.read(two, 1);
        other.note(two, Outcome::Dropped(Dropped::Check), 1);
        other.read(one, 1);
        other.note(one, Outcome::Applied, 1);
        ledger.merge(&other);
        assert!(ledger.balances());
        assert_eq!(ledger.get(one, READ), 4);
        assert_eq!(ledger.get(one, "applied"), 3);
        assert_eq!(ledger.get(two, "dropped_check"), 1);
        assert_eq!(ledger.get(two, "too_late"), 0);
    }
}

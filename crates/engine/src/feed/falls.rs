//! When values change by themselves: the next such instants of a view's rows, soonest first.
//!
//! The list is bounded, and complete up to an instant. What lies behind that was let go of, and is
//! found again among the stored rows once the list runs short.

use std::collections::{BTreeMap, BTreeSet};
use tiderace_types::{KeyBytes, Timestamp};

/// The list of one view.
#[derive(Debug)]
pub(crate) struct Falls {
    at: BTreeMap<KeyBytes, Timestamp>,
    due: BTreeSet<(Timestamp, KeyBytes)>,
    /// Every change up to this instant is in the list.
    upto: Timestamp,
    most: usize,
}

impl Falls {
    /// A list that lacks nothing yet, of at most `most` rows.
    pub(crate) fn new(most: usize) -> Falls {
        Falls {
            at: BTreeMap::new(),
            due: BTreeSet::new(),
            upto: Timestamp::MAX,
            most,
        }
    }

    /// Notes when a row changes next; `None` for never.
    pub(crate) fn note(&mut self, key: KeyBytes, at: Option<Timestamp>) {
        if let Some(before) = self.at.remove(&key) {
            self.due.remove(&(before, key.clone()));
        }
        let Some(at) = at.filter(|at| *at <= self.upto) else {
            return;
        };
        self.at.insert(key.clone(), at);
        self.due.insert((at, key));
        if self.due.len() > self.most
            && let Some((last, key)) = self.due.pop_last()
        {
            self.at.remove(&key);
            self.upto = Timestamp(last.0.saturating_sub(1));
        }
    }

    /// Takes a row whose values have changed by `now`.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<KeyBytes> {
        let (at, _) = self.due.first()?;
        if *at > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }

    /// When the next row changes that is in the list.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Up to when every change is in the list.
    pub(crate) fn complete_until(&self) -> Timestamp {
        self.upto
    }

    /// Up to when the list is complete, where it runs short of what comes after that.
    pub(crate) fn runs_short(&self) -> Option<Timestamp> {
        let short = self.upto < Timestamp::MAX && self.due.len() <= self.most / 4;
        short.then_some(self.upto)
    }

    /// Begins to be told of every row.
    pub(crate) fn begin(&mut self) {
        self.upto = Timestamp::MAX;
    }

    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> KeyBytes {
        [n].into()
    }

    #[test]
    fn the_soonest_are_kept_and_it_is_known_how_far_they_go() {
        let mut falls = Falls::new(4);
        for n in [9, 3, 7, 1, 5, 8] {
            falls.note(key(n), Some(Timestamp(n.into())));
        }
        // 8 and 9 were let go of, in whatever order they came.
        assert_eq!((falls.len(), falls.next()), (4, Some(Timestamp(1))));
        assert_eq!(falls.runs_short(), None);
        falls.note(key(3), Some(Timestamp(2)));
        falls.note(key(1), None);
        let mut popped = Vec::new();
        while let Some(key) = falls.pop(Timestamp(6)) {
            popped.push(key[0]);
        }
        assert_eq!(popped, [3, 5]);
        let upto = falls.runs_short().expect("one of four is left");
        assert!(Timestamp(7) <= upto && upto < Timestamp(9), "{upto}");
        falls.note(key(9), Some(Timestamp(9)));
        assert_eq!(falls.len(), 1, "what lies behind is not listed");
        falls.begin();
        falls.note(key(9), Some(Timestamp(9)));
        assert_eq!((falls.len(), falls.runs_short()), (2, None));
    }
}

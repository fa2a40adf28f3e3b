//! Events that take others back.
//!
//! A retraction is an event of its own, with its own identity, and the content of what it takes
//! back: the same time, the same filter bits but the sign, the same inputs. A row is the set of
//! all of them, so it does not matter in which order they come. What a row comes to is told
//! from the *net* of it: of equal events so many, the first by id, as there are more of them
//! than retractions of them. Every aggregate and every window is over net events, so all of them
//! can retract.
//!
//! # Laws
//! - The net of a set is a function of the set, and the net of a net is itself.
//! - Instants are apart: events of one time never bear on those of another. So netting any
//!   span of time by itself, and what a row lets go as it lets go of it, is the same.
//! - Retractions of nothing count as nothing, until what they retract has come.

use crate::events::Events;
use crate::row::Row;
use crate::spec::RowSpec;
use std::borrow::Cow;
use std::ops::Range;

/// What an event that is new changes beside being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Nothing.
    Even,
    /// It takes back something that has not come.
    Unmatched,
    /// A retraction of it had come before it.
    Settled,
}

impl Events {
    /// The events that are not taken back, `sign` being the filter bit of retractions; `None`
    /// where there is no retraction.
    #[must_use]
    pub fn net(&self, sign: usize) -> Option<Events> {
        let retracts = |index: usize| self.bits()[index] >> sign & 1 == 1;
        if !(0..self.bits().len()).any(retracts) {
            return None;
        }
        let mut net = self.slice(0..0);
        let mut keep = |range: Range<usize>| {
            if !range.is_empty() {
                net.merge(&self.slice(range));
            }
        };
        let mut from = 0;
        while from < self.len() {
            let time = self.times()[from];
            let ties = self.times()[from..].iter().take_while(|t| **t == time);
            let instant = from..from + ties.count();
            from = instant.end;
            if !instant.clone().any(retracts) {
                keep(instant);
                continue;
            }
            for index in instant.clone().filter(|index| !retracts(*index)) {
                let (events, retractions) = self.count(instant.clone(), index, sign);
                let (before, _) = self.count(instant.start..index, index, sign);
                if before + retractions < events {
                    keep(index..index + 1);
                }
            }
        }
        Some(net)
    }

    /// How many events of `range` are like event `index`, and how many retract such.
    fn count(&self, range: Range<usize>, index: usize, sign: usize) -> (usize, usize) {
        let (mut events, mut retractions) = (0, 0);
        for other in range.filter(|other| self.alike(*other, index, sign)) {
            match self.bits()[other] >> sign & 1 {
                0 => events += 1,
                _ => retractions += 1,
            }
        }
        (events, retractions)
    }

    /// Tells whether two events of one time have the same content, signs apart.
    fn alike(&self, a: usize, b: usize, sign: usize) -> bool {
        (self.bits()[a] ^ self.bits()[b]) & !(1 << sign) == 0
            && self
                .cells(a)
                .zip(self.cells(b))
                .all(|(a, b)| a.key_order(&b).is_eq())
    }

    /// What the event at `at`, which is new, changes of the balance.
    #[must_use]
    pub fn balance(&self, at: usize, sign: usize) -> Balance {
        let times = self.times();
        let start = times[..at].partition_point(|t| *t < times[at]);
        let ties = times[at..].partition_point(|t| *t == times[at]);
        let (events, retractions) = self.count(start..at + ties, at, sign);
        match self.bits()[at] >> sign & 1 {
            1 if retractions > events => Balance::Unmatched,
            0 if retractions >= events => Balance::Settled,
            _ => Balance::Even,
        }
    }
}

impl Row {
    /// As [`Row::net`], of a row that is needed no more.
    #[must_use]
    pub fn into_net(self, spec: &RowSpec) -> Row {
        let net = match self.net(spec) {
            Cow::Owned(net) => Some(net),
            Cow::Borrowed(_) => None,
        };
        net.unwrap_or(self)
    }

    /// The row of net events: what answers are told from.
    #[must_use]
    pub fn net(&self, spec: &RowSpec) -> Cow<'_, Row> {
        match spec.sign.and_then(|sign| self.events.net(sign)) {
            None => Cow::Borrowed(self),
            Some(events) => Cow::Owned(Row {
                version: self.version,
                kept_from: self.kept_from,
                base: self.base.clone(),
                merged: self.merged.clone(),
                head: self.head,
                events,
            }),
        }
    }
}

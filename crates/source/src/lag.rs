//! How far the reading of a log is behind its end, in records.

use std::collections::BTreeMap;

/// Records that a log holds and that were not read yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// In all partitions together.
    pub records: u64,
    /// In the partition that has most.
    pub greatest: u64,
}

impl Lag {
    /// What is between the next offsets of reading and the ends of the same partitions.
    ///
    /// # Laws
    /// Never less than nothing: of a log that was cut, or whose end was asked before reading went on,
    /// nothing is behind. A partition whose end is not known counts as read.
    #[must_use]
    pub fn between(next: &[(u32, i64)], ends: &[(u32, i64)]) -> Lag {
        let ends: BTreeMap<u32, i64> = ends.iter().copied().collect();
        let mut lag = Lag::default();
        for (number, next) in next {
            let end = ends.get(number).copied().unwrap_or(*next);
            let behind = u64::try_from(end.saturating_sub(*next)).unwrap_or(0);
            lag.records = lag.records.saturating_add(behind);
            lag.greatest = lag.greatest.max(behind);
        }
        lag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_and_never_less_than_nothing() {
        for (next, ends, records, greatest) in [
            (&[][..], &[][..], 0, 0),
            (&[(0, 3), (1, 0)], &[(0, 5), (1, 7)], 9, 7),
            (&[(0, 5), (1, 7)], &[(0, 5), (1, 7)], 0, 0),
            // The log was made anew, or the end is older than the position.
            (&[(0, 900), (1, 1)], &[(0, 4), (1, 3)], 2, 2),
            // A partition that nobody told of.
            (&[(0, 1), (9, 1)], &[(0, 2)], 1, 1),
            (
                &[(0, i64::MIN)],
                &[(0, i64::MAX)],
                i64::MAX as u64,
                i64::MAX as u64,
            ),
        ] {
            let lag = Lag::between(next, ends);
            assert_eq!(lag, Lag { records, greatest }, "{next:?} {ends:?}");
        }
    }
}

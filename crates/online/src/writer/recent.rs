//! The names of rows that were put lately, by the number of the call that put them: bounded by time
//! and by bytes. What has been forgotten is known.

use crate::RowWrite;
use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;
use tiderace_types::wire::{self, Reader};
use tiderace_types::{Generation, RowKey, ViewId};

/// Names of rows, oldest first.
#[derive(Debug)]
pub(super) struct Recent {
    calls: VecDeque<Call>,
    bytes: usize,
    most: usize,
    /// The last call that is forgotten; of none before it is anything known either.
    forgotten: u64,
}

/// The rows of one call.
#[derive(Debug)]
struct Call {
    number: u64,
    at: Instant,
    /// One after the other: view, generation, length, entity.
    names: Box<[u8]>,
}

impl Recent {
    pub(super) fn new(most: usize) -> Recent {
        Recent {
            calls: VecDeque::new(),
            bytes: 0,
            most,
            forgotten: 0,
        }
    }

    /// Remembers the rows of a call; what is too much is forgotten, the oldest first.
    pub(super) fn note(&mut self, number: u64, at: Instant, rows: &[RowWrite]) {
        let mut names = Vec::with_capacity(rows.len() * 16);
        for row in rows {
            wire::put_u64(row.key.view.0.into(), &mut names);
            wire::put_u64(row.key.generation.0.into(), &mut names);
            wire::put_bytes(&row.key.entity, &mut names);
        }
        let names = names.into_boxed_slice();
        self.bytes += size_of::<Call>() + names.len();
        self.calls.push_back(Call { number, at, names });
        while self.bytes > self.most {
            self.forget();
        }
    }

    /// Forgets what was put before an instant.
    pub(super) fn forget_before(&mut self, instant: Option<Instant>) {
        let Some(instant) = instant else {
            return;
        };
        while self.calls.front().is_some_and(|call| call.at < instant) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        if let Some(call) = self.calls.pop_front() {
            self.bytes -= size_of::<Call>() + call.names.len();
            self.forgotten = call.number;
        }
    }

    /// The rows of the calls after `number` whose entities are asked for, each once; `None` where
    /// some of these calls are forgotten.
    pub(super) fn since(&self, number: u64, asked: impl Fn(&[u8]) -> bool) -> Option<Vec<RowKey>> {
        if number < self.forgotten {
            return None;
        }
        let from = self.calls.partition_point(|call| call.number <= number);
        let mut rows = BTreeSet::new();
        for call in self.calls.range(from..) {
            let mut reader = Reader::new(&call.names);
            while !reader.rest().is_empty() {
                let key = read(&mut reader)?;
                if asked(&key.entity) {
                    rows.insert(key);
                }
            }
        }
        Some(rows.into_iter().collect())
    }
}

fn read(reader: &mut Reader<'_>) -> Option<RowKey> {
    let view = u32::try_from(reader.u64().ok()?).ok()?;
    let generation = u32::try_from(reader.u64().ok()?).ok()?;
    Some(RowKey {
        view: ViewId(view),
        generation: Generation(generation),
        entity: reader.bytes().ok()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::time::Duration;

    fn row(number: u32) -> RowWrite {
        RowWrite {
            key: RowKey {
                view: ViewId(number % 3),
                generation: Generation(1),
                entity: number.to_be_bytes().into(),
            },
            value: Bytes::new(),
            ttl: None,
        }
    }

    fn rows(numbers: impl IntoIterator<Item = u32>) -> Vec<RowWrite> {
        numbers.into_iter().map(row).collect()
    }

    fn names(rows: Vec<RowWrite>) -> Option<Vec<RowKey>> {
        let names: BTreeSet<RowKey> = rows.into_iter().map(|row| row.key).collect();
        Some(names.into_iter().collect())
    }

    #[test]
    fn what_came_after_a_call_is_told_once() {
        let at = Instant::now();
        let mut recent = Recent::new(1 << 20);
        recent.note(1, at, &rows(0..10));
        recent.note(4, at, &rows(5..20));
        recent.note(5, at, &rows([7, 7]));
        assert_eq!(recent.since(0, |_| true), names(rows(0..20)));
        assert_eq!(recent.since(1, |_| true), names(rows(5..20)));
        assert_eq!(recent.since(4, |_| true), names(rows([7])));
        assert_eq!(recent.since(5, |_| true), Some(Vec::new()));
        let even = |entity: &[u8]| entity.last().is_some_and(|byte| byte % 2 == 0);
        assert_eq!(recent.since(1, even), names(rows((6..20).step_by(2))));
    }

    #[test]
    fn what_is_forgotten_is_known() {
        let at = Instant::now();
        let mut recent = Recent::new(1 << 20);
        recent.note(1, at, &rows(0..10));
        recent.note(2, at + Duration::from_secs(9), &rows(10..20));
        recent.forget_before(Some(at + Duration::from_secs(5)));
        assert_eq!(recent.since(0, |_| true), None);
        assert_eq!(recent.since(1, |_| true), names(rows(10..20)));
        let mut small = Recent::new(2000);
        for number in 1..=100 {
            small.note(number, at, &rows(0..10));
            assert!(small.bytes <= 2000);
        }
        assert_eq!(small.since(1, |_| true), None);
        assert_eq!(small.since(99, |_| true), names(rows(0..10)));
        small.note(101, at, &rows(0..1000));
        assert_eq!(small.since(100, |_| true), None, "more than it may take");
        assert_eq!(small.since(101, |_| true), Some(Vec::new()));
    }
}

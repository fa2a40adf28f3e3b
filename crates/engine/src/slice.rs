//! A lane's shards in slices, each of which is committed by itself.
//!
//! A commit costs what the rows cost that have changed since the last one, and meanwhile events wait. So
//! it is cut: while one slice is written the others gather changes, of which a busy row has many.
//! Each slice has positions of its own. A lane that starts again reads from the least of them, and of
//! the slices that had come further it leaves out what they have ([`crate::members`]).

use crate::cuts::{Clocks, least_clocks};
use crate::table::Slot;
use std::collections::BTreeMap;
use tiderace_types::{Ledger, Positions, Shard, ShardRange};

/// How many slices a lane has, if it has as many shards.
pub(crate) const SLICES: usize = 16;

/// What a row takes while it is written, beside its bytes: its key in several lists, what is done
/// to it, its places in them.
const WRITTEN: usize = 512;

/// The slices of a lane's shards.
fn cut(shards: ShardRange) -> Vec<ShardRange> {
    let count = usize::from(shards.last - shards.first) + 1;
    let slices = SLICES.min(count);
    let edge = |i: usize| shards.first + u8::try_from(i * count / slices).unwrap_or(u8::MAX);
    let ranges = (0..slices).map(|i| ShardRange {
        first: edge(i),
        last: match i + 1 == slices {
            true => shards.last,
            false => edge(i + 1) - 1,
        },
    });
    ranges.collect()
}

/// What positions come to when shards are cut for `lanes`: those of each range for the parts of it
/// that lie in one slice. Nothing is forgotten, so that what was counted is never counted again.
#[must_use]
pub fn recut(
    stored: &[(ShardRange, Positions)],
    lanes: &[ShardRange],
) -> Vec<(ShardRange, Positions)> {
    let mut parts: BTreeMap<ShardRange, Positions> = BTreeMap::new();
    for slice in lanes.iter().flat_map(|lane| cut(*lane)) {
        for (held, positions) in stored.iter().filter(|(held, _)| held.overlaps(slice)) {
            let part = ShardRange {
                first: held.first.max(slice.first),
                last: held.last.min(slice.last),
            };
            // Both are true of these shards.
            let known = parts.entry(part).or_default();
            for (partition, position) in &positions.0 {
                known.advance(*partition, *position);
            }
        }
    }
    parts.into_iter().collect()
}

/// What ledgers come to when shards are cut for `lanes`: the sum stays.
#[must_use]
pub fn recut_ledgers(
    stored: &[(ShardRange, Ledger)],
    lanes: &[ShardRange],
) -> Vec<(ShardRange, Ledger)> {
    let slices = lanes.iter().flat_map(|lane| cut(*lane));
    let of_slice = |slice: ShardRange| {
        let mut sum = Ledger::default();
        let own = stored.iter();
        let own = own.filter(|(held, _)| slice.contains(Shard(held.first)));
        own.for_each(|(_, ledger)| sum.merge(ledger));
        (slice, sum)
    };
    slices.map(of_slice).collect()
}

/// Some of a lane's shards.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) shards: ShardRange,
    /// How far what is stored of it has come.
    pub(crate) stored: Positions,
    /// Parts of it that had come further when shards were cut otherwise.
    pub(crate) pieces: Vec<(ShardRange, Positions)>,
    /// What became of the records whose home it is, since the beginning.
    pub(crate) ledger: Ledger,
    /// The shard clocks of its last commit, or of when there was nothing to write.
    pub(crate) clocks: Option<Clocks>,
    /// The rows that have changed since then.
    pub(crate) uncommitted: Vec<(usize, Slot)>,
    /// What their new events take in memory, in bytes.
    pub(crate) unstored: usize,
    /// When its turn was: the least is next.
    turn: u64,
}

/// The slices of a lane, in the order of their shards.
#[derive(Debug)]
pub(crate) struct Slices {
    all: Vec<Slice>,
    /// The slice of each shard.
    of_shard: Vec<u8>,
    turns: u64,
}

impl Slices {
    /// The slices of `shards`; `recovered` are all positions that state has.
    pub(crate) fn new(shards: ShardRange, recovered: &[(ShardRange, Positions)]) -> Slices {
        let ranges = cut(shards).into_iter();
        let all: Vec<Slice> = ranges.map(|shards| Slice::new(shards, recovered)).collect();
        let mut of_shard = vec![0; 256];
        for (place, slice) in all.iter().enumerate() {
            for shard in slice.shards.first..=slice.shards.last {
                of_shard[usize::from(shard)] = place as u8;
            }
        }
        let mut slices = Slices {
            all,
            of_shard,
            turns: 1,
        };
        // Those that are behind come first: a process that never lives long comes on all the same.
        let least = slices.least();
        for slice in &mut slices.all {
            slice.turn = u64::from(slice.stored != least);
        }
        slices
    }

    /// What no slice is behind.
    pub(crate) fn least(&self) -> Positions {
        Positions::behind(self.all.iter().map(|slice| &slice.stored))
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Slice> {
        self.all.iter()
    }

    /// What became of all records whose home is here.
    pub(crate) fn ledger(&self) -> Ledger {
        let mut sum = Ledger::default();
        self.all.iter().for_each(|slice| sum.merge(&slice.ledger));
        sum
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Slice> {
        self.all.iter_mut()
    }

    pub(crate) fn get_mut(&mut self, place: usize) -> &mut Slice {
        &mut self.all[place]
    }

    /// The slice of a key's hash.
    #[inline]
    pub(crate) fn of(&mut self, hash: u64) -> &mut Slice {
        let place = self.place(Shard::of_hash(hash));
        &mut self.all[place]
    }

    /// The place of the slice that a shard is in.
    #[inline]
    pub(crate) fn place(&self, shard: Shard) -> usize {
        usize::from(self.of_shard[usize::from(shard.0)])
    }

    /// The slice to commit next: the one whose turn it is.
    pub(crate) fn next(&self) -> usize {
        let places = self.all.iter().enumerate();
        let next = places.min_by_key(|(_, slice)| slice.turn);
        next.map_or(0, |(place, _)| place)
    }

    /// Notes that a slice has had its turn.
    pub(crate) fn turn(&mut self, place: usize) {
        self.turns += 1;
        self.all[place].turn = self.turns;
    }

    /// How many rows have changed.
    pub(crate) fn uncommitted(&self) -> usize {
        self.all.iter().map(|slice| slice.uncommitted.len()).sum()
    }

    /// What the events take in memory that are in no commit yet, in bytes.
    pub(crate) fn unstored(&self) -> usize {
        self.all.iter().map(|slice| slice.unstored).sum()
    }

    /// What the largest commit takes while it is written, in bytes: its events once more, and what
    /// its rows take beside them.
    pub(crate) fn writing(&self) -> usize {
        let bytes = |slice: &Slice| slice.unstored + WRITTEN * slice.uncommitted.len();
        self.all.iter().map(bytes).max().unwrap_or_default()
    }

    /// Per source the least clock of all slices; `None` before each has had its turn.
    pub(crate) fn clocks(&self) -> Option<Clocks> {
        least_clocks(self.all.iter().map(|slice| slice.clocks.as_ref()))
    }
}

impl Slice {
    fn new(shards: ShardRange, recovered: &[(ShardRange, Positions)]) -> Slice {
        let own = recovered.iter().filter(|(held, _)| held.overlaps(shards));
        let whole = (shards.first..=shards.last)
            .all(|shard| own.clone().any(|(held, _)| held.contains(Shard(shard))));
        let behind = || Positions::behind(own.clone().map(|(_, positions)| positions));
        // What is known of all of it is not taken back for what is known of a part.
        let exact = own.clone().find(|(held, _)| *held == shards);
        let stored = match exact {
            Some((_, positions)) => Some(positions.clone()),
            None => whole.then(behind),
        };
        Slice {
            shards,
            stored: stored.unwrap_or_default(),
            pieces: own.filter(|(held, _)| *held != shards).cloned().collect(),
            ledger: Ledger::default(),
            clocks: None,
            uncommitted: Vec::new(),
            unstored: 0,
            turn: 0,
        }
    }

    /// Its parts of which nothing need be known any more once it has come to `positions`.
    pub(crate) fn needless(&self, positions: &Positions) -> Vec<ShardRange> {
        let pieces = self.pieces.iter();
        let passed = pieces.filter(|(_, held)| positions.covers(held));
        passed.map(|(shards, _)| *shards).collect()
    }

    /// How far it has come where its lane has come to `positions`: what is stored may be further.
    pub(crate) fn reached(&self, positions: &Positions) -> Positions {
        let mut reached = self.stored.clone();
        for (partition, position) in &positions.0 {
            reached.advance(*partition, *position);
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiderace_types::{Partition, PartitionPosition, SourceId, Timestamp};

    #[test]
    fn a_slice_that_has_read_nothing_begins_where_there_is_something() {
        let partition = Partition {
            source: SourceId(1),
            number: 0,
        };
        let position = PartitionPosition {
            next: 1200,
            clock: Timestamp(0),
        };
        let reached = Positions([(partition, position)].into());
        let ranges: Vec<ShardRange> = Slices::new(ShardRange::ALL, &[])
            .iter()
            .map(|slice| slice.shards)
            .collect();
        // A process that ended after its first commit: the log may have lost offset 0 long ago.
        let recovered: Vec<(ShardRange, Positions)> = ranges
            .iter()
            .enumerate()
            .map(|(place, shards)| match place {
                0 => (*shards, reached.clone()),
                _ => (*shards, Positions::default()),
            })
            .collect();
        let slices = Slices::new(ShardRange::ALL, &recovered);
        assert_eq!(slices.least(), Positions::default());
        assert_eq!(slices.iter().next().expect("there are 16").stored, reached);
        assert_ne!(slices.next(), 0, "those that are behind come first");
    }

    #[test]
    fn every_shard_is_in_one_slice() {
        for lanes in [1, 3, 5, 16, 100, 256] {
            for shards in ShardRange::split(lanes) {
                let slices = Slices::new(shards, &[]);
                let mut next = u16::from(shards.first);
                for (place, slice) in slices.iter().enumerate() {
                    assert_eq!(u16::from(slice.shards.first), next);
                    for shard in slice.shards.first..=slice.shards.last {
                        assert_eq!(usize::from(slices.of_shard[usize::from(shard)]), place);
                    }
                    next = u16::from(slice.shards.last) + 1;
                }
                assert_eq!(next, u16::from(shards.last) + 1);
            }
        }
    }
}

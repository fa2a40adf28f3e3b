//! A lane's shards in slices, each of which is committed by itself.
//!
//! A commit costs what the rows cost that have changed since the last one, and meanwhile events wait. So
//! it is cut: while one slice is written the others gather changes, of which a busy row has many.
//! Each slice has positions of its own. A lane that starts again reads from the least of them, and of
//! the slices that had come further it leaves out what they have ([`crate::members`]).

use crate::cuts::{Clocks, least_clocks};
use crate::table::Slot;
use tiderace_types::{Positions, Shard, ShardRange};

/// How many slices a lane has, if it has as many shards.
const SLICES: usize = 16;

/// What a row takes while it is written, beside its bytes: its key in several lists, what is done
/// to it, its places in them.
const WRITTEN: usize = 512;

/// Some of a lane's shards.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) shards: ShardRange,
    /// How far what is stored of it has come.
    pub(crate) stored: Positions,
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

    pub(crate) fn get_mut(&mut self, place: usize) -> &mut Slice {
        &mut self.all[place]
    }

    /// The slice of a key's hash.
    #[inline]
    pub(crate) fn of(&mut self, hash: u64) -> &mut Slice {
        let place = self.of_shard[usize::from(Shard::of_hash(hash).0)];
        &mut self.all[usize::from(place)]
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
        let stored = whole.then(|| Positions::behind(own.map(|(_, positions)| positions)));
        Slice {
            shards,
            stored: stored.unwrap_or_default(),
            clocks: None,
            uncommitted: Vec::new(),
            unstored: 0,
            turn: 0,
        }
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

//! Virtual shards: the unit of parallelism, state and movement.

use std::fmt;

/// How many virtual shards there are. A constant of the stored format.
pub const SHARDS: u16 = 256;

/// A virtual shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u8);

impl Shard {
    /// Tells the shard of an encoded entity key: the low byte of its xxh3-64 (seed 0).
    #[must_use]
    pub fn of(key: &[u8]) -> Shard {
        Shard::of_hash(hash_key(key))
    }

    /// Tells the shard of a key whose [`hash_key`] is known.
    #[must_use]
    pub const fn of_hash(hash: u64) -> Shard {
        Shard((hash & 0xff) as u8)
    }
}

/// Hashes key bytes: xxh3-64 with seed 0, pinned by the stored format.
#[inline]
#[must_use]
pub fn hash_key(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

/// The [`hash_key`] of a number's eight bytes, low ones first, which takes a few instructions.
#[inline]
#[must_use]
pub const fn hash_word(number: u64) -> u64 {
    /// What xxh3-64 keeps secret of keys of so many bytes.
    const SECRET: u64 = 0x1cad_21f7_2c81_017c ^ 0xdb97_9083_e96d_d4de;
    const MIX: u64 = 0x9fb2_1c65_1e98_df25;
    let keyed = number.rotate_left(32) ^ SECRET;
    let mixed = keyed ^ keyed.rotate_left(49) ^ keyed.rotate_left(24);
    let mixed = mixed.wrapping_mul(MIX);
    let mixed = (mixed ^ (mixed >> 35).wrapping_add(8)).wrapping_mul(MIX);
    mixed ^ mixed >> 28
}

/// An inclusive range of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardRange {
    /// The first shard.
    pub first: u8,
    /// The last shard, itself included.
    pub last: u8,
}

impl ShardRange {
    /// Every shard.
    pub const ALL: ShardRange = ShardRange {
        first: 0,
        last: 255,
    };

    /// Tells whether `shard` is inside.
    #[must_use]
    pub const fn contains(self, shard: Shard) -> bool {
        self.first <= shard.0 && shard.0 <= self.last
    }

    /// Tells whether the two ranges share a shard.
    #[must_use]
    pub const fn overlaps(self, other: ShardRange) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Splits all shards into `lanes` contiguous ranges of nearly equal size (1 to 256 of them).
    #[must_use]
    pub fn split(lanes: usize) -> Vec<ShardRange> {
        ShardRange::ALL.cut(lanes)
    }

    /// Cuts the range into `pieces` contiguous ones of nearly equal size, or as many as it has shards.
    #[must_use]
    pub fn cut(self, pieces: usize) -> Vec<ShardRange> {
        let shards = usize::from(self.last - self.first) + 1;
        let pieces = pieces.clamp(1, shards);
        let edge = |i: usize| usize::from(self.first) + i * shards / pieces;
        (0..pieces)
            .map(|i| ShardRange {
                first: edge(i) as u8,
                last: (edge(i + 1) - 1) as u8,
            })
            .collect()
    }
}

impl fmt::Display for ShardRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Which of the processes that share a project's shards, and the partitions of its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which, from 0.
    pub index: u32,
    /// How many there are.
    pub of: u32,
}

impl Share {
    /// A process that has everything.
    pub const ALL: Share = Share { index: 0, of: 1 };

    /// So many may share.
    pub const MOST: u32 = 64;

    /// The shards of each process.
    #[must_use]
    pub fn ranges(self) -> Vec<ShardRange> {
        ShardRange::split(self.of as usize)
    }

    /// The shards of this one.
    #[must_use]
    pub fn shards(self) -> ShardRange {
        let ranges = self.ranges();
        let own = ranges.get(self.index as usize);
        own.copied().unwrap_or(ShardRange::ALL)
    }

    /// Whether partition `number` of a topic is this one's.
    #[must_use]
    pub const fn has(self, number: u32) -> bool {
        number % self.of == self.index
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lanes_of_processes_cover_every_shard_once() {
        for (of, lanes) in [(1, 1), (2, 3), (3, 2), (7, 5), (64, 8)] {
            let shares = (0..of).map(|index| Share { index, of });
            let ranges: Vec<_> = shares.flat_map(|share| share.shards().cut(lanes)).collect();
            for shard in 0..=255 {
                let holders = ranges.iter().filter(|r| r.contains(Shard(shard))).count();
                assert_eq!(holders, 1, "{lanes} lanes of {of} processes, shard {shard}");
            }
        }
    }

    #[test]
    fn ranges_cover_every_shard_once() {
        for lanes in [1, 2, 3, 7, 100, 256, 1000] {
            let ranges = ShardRange::split(lanes);
            for shard in 0..=255 {
                let holders = ranges.iter().filter(|r| r.contains(Shard(shard))).count();
                assert_eq!(holders, 1, "{lanes} lanes, shard {shard}");
            }
        }
    }

    #[test]
    fn the_hash_is_pinned() {
        // Golden: changing it would orphan every stored row.
        assert_eq!(hash_key(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(
            hash_key(b"tiderace"),
            xxhash_rust::xxh3::xxh3_64(b"tiderace")
        );
    }

    proptest! {
        #[test]
        fn a_number_hashes_as_its_bytes(number in any::<u64>()) {
            for number in [number, number >> 40, !number, 0, 1, u64::MAX] {
                prop_assert_eq!(hash_word(number), hash_key(&number.to_le_bytes()));
            }
        }
    }
}

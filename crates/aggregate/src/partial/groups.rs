//! Telling equal values from different ones, in passing: without order, without copies.

use crate::column::Cell;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

/// Different values, numbered in the order in which they come.
#[derive(Default)]
pub(crate) struct Groups<'a> {
    places: HashTable<u32>,
    /// The values by number.
    pub(crate) keys: Vec<Cell<'a>>,
}

impl<'a> Groups<'a> {
    /// The number of `key`, which is not null.
    #[inline]
    pub(crate) fn number(&mut self, key: Cell<'a>) -> usize {
        let keys = &mut self.keys;
        let entry = self.places.entry(
            hash(&key),
            |place| keys[*place as usize].key_order(&key).is_eq(),
            |place| hash(&keys[*place as usize]),
        );
        let next = keys.len() as u32;
        let place = *entry.or_insert(next).get();
        if place == next {
            keys.push(key);
        }
        place as usize
    }
}

/// Nothing that depends on these hashes leaves this module.
#[inline]
fn hash(cell: &Cell<'_>) -> u64 {
    match cell {
        Cell::Int(n) => fold(n.cast_unsigned()),
        Cell::Float(x) => fold(x.to_bits()),
        Cell::Decimal(n) => fold(*n as u64) ^ fold((n >> 64) as u64).rotate_left(32),
        Cell::Bytes(bytes) => {
            let mut hasher = FixedState::default().build_hasher();
            hasher.write(bytes);
            hasher.finish()
        }
        Cell::Null => 0,
    }
}

#[inline]
pub(super) const fn fold(number: u64) -> u64 {
    let wide = (number ^ 0x9e37_79b9_7f4a_7c15) as u128 * 0xd6e8_feb8_6659_fd93;
    wide as u64 ^ (wide >> 64) as u64
}

/// Counts the different values of `cells`.
pub(crate) fn distinct<'a>(cells: impl Iterator<Item = Cell<'a>>) -> Vec<Cell<'a>> {
    let mut groups = Groups::default();
    cells.for_each(|cell| {
        groups.number(cell);
    });
    groups.keys
}

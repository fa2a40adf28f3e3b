//! Entities by number: their encoded keys, each once.

use hashbrown::HashTable;

/// The number of no entity.
pub(crate) const NOBODY: u32 = u32::MAX;

/// Encoded keys with numbers from 0 on, in the order in which they were met.
#[derive(Debug, Default)]
pub(crate) struct Entities {
    table: HashTable<u32>,
    hashes: Vec<u64>,
    keys: Vec<u8>,
    ends: Vec<usize>,
}

impl Entities {
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    pub(crate) fn key(&self, entity: u32) -> &[u8] {
        key_at(&self.keys, &self.ends, entity)
    }

    /// The entity with a key; [`NOBODY`] where there is none.
    pub(crate) fn find(&self, key: &[u8], hash: u64) -> u32 {
        let found = self.table.find(hash, |entity| self.key(*entity) == key);
        found.copied().unwrap_or(NOBODY)
    }

    /// The entity with a key, which is made where there is none.
    pub(crate) fn find_or_add(&mut self, key: &[u8], hash: u64) -> u32 {
        let found = self.find(key, hash);
        if found != NOBODY {
            return found;
        }
        let entity = self.hashes.len() as u32;
        self.hashes.push(hash);
        self.keys.extend_from_slice(key);
        self.ends.push(self.keys.len());
        let hashes = &self.hashes;
        self.table
            .insert_unique(hash, entity, |entity| hashes[*entity as usize]);
        entity
    }
}

fn key_at<'a>(keys: &'a [u8], ends: &[usize], entity: u32) -> &'a [u8] {
    let entity = entity as usize;
    let start = match entity {
        0 => 0,
        _ => ends[entity - 1],
    };
    &keys[start..ends[entity]]
}

/// Things by entity: for each its things, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Grouped<T> {
    things: Vec<T>,
    starts: Vec<u32>,
}

impl<T: Copy + Default> Grouped<T> {
    /// Groups things that come with their entities, twice in the same order. Those of nobody are left out.
    pub(crate) fn new<I: Iterator<Item = (u32, T)>>(
        entities: usize,
        things: impl Fn() -> I,
    ) -> Grouped<T> {
        let mut starts = vec![0u32; entities + 1];
        for (entity, _) in things() {
            if entity != NOBODY {
                starts[entity as usize + 1] += 1;
            }
        }
        let mut before = 0;
        for start in &mut starts {
            before += *start;
            *start = before;
        }
        let mut next = starts.clone();
        let mut grouped = vec![T::default(); before as usize];
        for (entity, thing) in things() {
            if entity != NOBODY {
                let at = &mut next[entity as usize];
                grouped[*at as usize] = thing;
                *at += 1;
            }
        }
        Grouped {
            things: grouped,
            starts,
        }
    }

    pub(crate) fn of(&self, entity: usize) -> &[T] {
        &self.things[self.starts[entity] as usize..self.starts[entity + 1] as usize]
    }
}

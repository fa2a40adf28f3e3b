//! The rows of one view that a lane holds: a hash index over slots.

use crate::held::Held;
use hashbrown::HashTable;
use tiderace_aggregate::RowSpec;

/// A place in a [`Table`]; reused once its row is evicted.
pub(crate) type Slot = u32;

/// What was given up.
#[derive(Debug)]
pub(crate) enum Evicted {
    /// A row.
    Row(Box<Held>),
    /// So many bytes of one.
    Part(usize),
}

/// The held rows of one view.
#[derive(Debug, Default)]
pub(crate) struct Table {
    index: HashTable<Entry>,
    slots: Vec<Option<Held>>,
    free: Vec<Slot>,
    hand: usize,
}

/// Where a row is, with enough of its hash that other rows need not be looked at.
#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u32,
    slot: Slot,
}

impl Entry {
    /// The low bits of a hash are the shard, of which a lane has few; the high ones are not.
    const fn tag(hash: u64) -> u32 {
        (hash >> 32) as u32
    }

    /// What the index goes by: it wants good bits at both ends.
    const fn place(tag: u32) -> u64 {
        (tag as u64) << 32 | tag as u64
    }
}

impl Table {
    /// Finds the row of an entity.
    pub(crate) fn find(&self, entity: &[u8], hash: u64) -> Option<Slot> {
        let tag = Entry::tag(hash);
        let same = |entry: &Entry| entry.tag == tag && self.get_of(entry.slot, entity).is_some();
        let found = self.index.find(Entry::place(tag), same);
        found.map(|entry| entry.slot)
    }

    /// Finds the row that is most likely the one of a hash, without looking at it.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> Option<Slot> {
        let tag = Entry::tag(hash);
        let found = self.index.find(Entry::place(tag), |entry| entry.tag == tag);
        found.map(|entry| entry.slot)
    }

    /// The row in a slot, if it is the one of an entity.
    #[inline]
    pub(crate) fn get_of(&self, slot: Slot, entity: &[u8]) -> Option<&Held> {
        self.get(slot).filter(|held| held.entity.is(entity))
    }

    /// Finds the row of an entity, or makes an unloaded one.
    pub(crate) fn find_or_add(&mut self, entity: &[u8], hash: u64, spec: &RowSpec) -> Slot {
        if let Some(slot) = self.find(entity, hash) {
            return slot;
        }
        let held = Some(Held::new(entity, hash, spec));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = held;
                slot
            }
            None => {
                self.slots.push(held);
                (self.slots.len() - 1) as Slot
            }
        };
        let tag = Entry::tag(hash);
        let place = |entry: &Entry| Entry::place(entry.tag);
        self.index
            .insert_unique(Entry::place(tag), Entry { tag, slot }, place);
        slot
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Held> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Held> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Every held row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.slots.iter().flatten()
    }

    /// Every held row with its slot.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Held)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(slot, held)| Some((slot as Slot, held.as_mut()?)))
    }

    /// Gives up a stored row that has not been touched lately, looking at no more than `looks`
    /// slots; of a dense row, first only the events that its directory stands for.
    pub(crate) fn evict(&mut self, looks: usize) -> Option<Evicted> {
        for _ in 0..looks.min(self.slots.len() * 2) {
            self.hand = (self.hand + 1) % self.slots.len();
            let Some(held) = &mut self.slots[self.hand] else {
                continue;
            };
            if held.uncommitted || std::mem::take(&mut held.recent) {
                continue;
            }
            if held.dense.as_mut().is_some_and(|dense| dense.unload()) {
                let (before, now) = held.count();
                return Some(Evicted::Part(before.saturating_sub(now)));
            }
            let slot = self.hand as Slot;
            let place = Entry::place(Entry::tag(held.hash));
            if let Ok(entry) = self.index.find_entry(place, |found| found.slot == slot) {
                entry.remove();
            }
            self.free.push(slot);
            return self.slots[self.hand].take().map(Box::new).map(Evicted::Row);
        }
        None
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}

//! The rows of one view that a lane holds: a hash index over slots.

use crate::held::Held;
use hashbrown::HashTable;
use tiderace_aggregate::RowSpec;
use tiderace_types::encode_int_key;

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
    chunks: Vec<Chunk>,
    /// No chunk before this one has a free slot.
    free: usize,
    hand: usize,
    /// How many rows are dense and not whole in memory.
    lacking: usize,
}

/// How many slots lie together. A table grows by so many, and not by copying itself.
const CHUNK: usize = u64::BITS as usize;

/// At how many slots a search for what can go looks: they are looked at while events wait.
const LOOKS: usize = 1 << 16;

/// Slots in one allocation, given back once all are free and no later ones are held.
#[derive(Debug)]
struct Chunk {
    rows: Box<[Option<Held>; CHUNK]>,
    /// Which slots are free, bit by bit.
    free: u64,
    /// Which rows are dense and not whole in memory.
    lacking: u64,
}

impl Chunk {
    fn new() -> Chunk {
        let rows: Box<[Option<Held>]> = std::iter::repeat_with(|| None).take(CHUNK).collect();
        Chunk {
            rows: rows.try_into().expect("so many were made"),
            free: u64::MAX,
            lacking: 0,
        }
    }
}

/// Where a row is, with enough of its hash that other rows need not be looked at; and, where its key
/// is one integer, as most are, with that, so that not even the row itself need be.
#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u32,
    /// The slot, and a bit that tells of a number.
    place: u32,
    number: u64,
}

/// Set in the place of an entry whose key is one integer. Slots are smaller numbers.
const NUMBER: u32 = 1 << 31;

/// Where a row should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    /// It is there.
    Sure(Slot),
    /// It is there unless another key has the same hash.
    Likely(Slot),
}

/// A key that is one integer, by its bytes but for the first, which tells that.
#[inline]
fn number(key: &[u8]) -> Option<u64> {
    let (&INTEGER, bytes) = key.split_first()? else {
        return None;
    };
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// The first byte of a key that begins with an integer.
const INTEGER: u8 = encode_int_key(0)[0];

impl Entry {
    /// The entry of a row, whose key may be the integer `number`.
    fn new(hash: u64, slot: Slot, number: Option<u64>) -> Entry {
        assert!(slot < NUMBER, "a lane holds fewer than 2^31 rows of a view");
        Entry {
            tag: Entry::tag(hash),
            place: slot | (u32::from(number.is_some()) * NUMBER),
            number: number.unwrap_or_default(),
        }
    }

    const fn slot(&self) -> Slot {
        self.place & !NUMBER
    }

    const fn is_number(&self) -> bool {
        self.place & NUMBER != 0
    }

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
        let same = |entry: &Entry| entry.tag == tag && self.is(entry.slot(), entity);
        let found = self.index.find(Entry::place(tag), same);
        found.map(Entry::slot)
    }

    /// Finds the row that is surely or most likely the one of an entity, without looking at it.
    #[inline]
    pub(crate) fn guess(&self, entity: &[u8], hash: u64) -> Option<Guess> {
        let tag = Entry::tag(hash);
        let place = Entry::place(tag);
        if let Some(number) = number(entity) {
            let same = |entry: &Entry| entry.number == number && entry.is_number();
            let found = self.index.find(place, same);
            return found.map(|entry| Guess::Sure(entry.slot()));
        }
        let found = self.index.find(place, |entry| entry.tag == tag);
        found.map(|entry| Guess::Likely(entry.slot()))
    }

    /// The slot that was guessed, if the row in it is the one of the entity.
    #[inline]
    pub(crate) fn confirm(&self, guess: Guess, entity: &[u8]) -> Option<Slot> {
        match guess {
            Guess::Sure(slot) => Some(slot),
            Guess::Likely(slot) => self.is(slot, entity).then_some(slot),
        }
    }

    /// Tells whether the row in a slot is the one of an entity.
    fn is(&self, slot: Slot, entity: &[u8]) -> bool {
        self.get(slot).is_some_and(|held| held.entity.is(entity))
    }

    /// Finds the row of an entity, or makes an unloaded one.
    pub(crate) fn find_or_add(&mut self, entity: &[u8], hash: u64, spec: &RowSpec) -> Slot {
        if let Some(slot) = self.find(entity, hash) {
            return slot;
        }
        let slot = self.take_free();
        let row = &mut self.chunks[slot as usize / CHUNK].rows[slot as usize % CHUNK];
        *row = Some(Held::new(entity, hash, spec));
        let entry = Entry::new(hash, slot, number(entity));
        let place = |entry: &Entry| Entry::place(entry.tag);
        let tag = Entry::tag(hash);
        self.index.insert_unique(Entry::place(tag), entry, place);
        slot
    }

    /// Notes anew whether the row in a slot is dense and not whole in memory.
    pub(crate) fn note_lacking(&mut self, slot: Slot) {
        let lacks = self.get(slot).is_some_and(Held::lacks_segments);
        let Some(chunk) = self.chunks.get_mut(slot as usize / CHUNK) else {
            return;
        };
        let bit = 1 << (slot as usize % CHUNK);
        match (chunk.lacking & bit != 0, lacks) {
            (false, true) => self.lacking += 1,
            (true, false) => self.lacking -= 1,
            _ => return,
        }
        chunk.lacking ^= bit;
    }

    /// Tells whether the row in a slot is dense and not whole in memory.
    #[inline]
    pub(crate) fn lacks(&self, slot: Slot) -> bool {
        let chunk = self.chunks.get(slot as usize / CHUNK);
        chunk.is_some_and(|chunk| chunk.lacking >> (slot as usize % CHUNK) & 1 == 1)
    }

    /// Tells whether any row is dense and not whole in memory.
    pub(crate) fn lacks_any(&self) -> bool {
        self.lacking > 0
    }

    /// Takes the lowest free slot, so that the highest ones empty by and by.
    fn take_free(&mut self) -> Slot {
        while self.chunks.get(self.free).is_some_and(|c| c.free == 0) {
            self.free += 1;
        }
        if self.free == self.chunks.len() {
            self.chunks.push(Chunk::new());
        }
        let chunk = &mut self.chunks[self.free];
        let place = chunk.free.trailing_zeros() as usize;
        chunk.free &= chunk.free - 1;
        (self.free * CHUNK + place) as Slot
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&Held> {
        let chunk = self.chunks.get(slot as usize / CHUNK)?;
        chunk.rows[slot as usize % CHUNK].as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Held> {
        let chunk = self.chunks.get_mut(slot as usize / CHUNK)?;
        chunk.rows[slot as usize % CHUNK].as_mut()
    }

    /// Every held row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.chunks
            .iter()
            .flat_map(|chunk| chunk.rows.iter().flatten())
    }

    /// Every held row with its slot.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Held)> {
        let rows = self
            .chunks
            .iter_mut()
            .flat_map(|chunk| chunk.rows.iter_mut());
        let slots = rows.enumerate();
        slots.filter_map(|(slot, held)| Some((slot as Slot, held.as_mut()?)))
    }

    /// Gives up a stored row that has not been touched since the hand last passed; of a dense row,
    /// first only the events that its directory stands for. None where many looks find none.
    pub(crate) fn evict(&mut self) -> Option<Evicted> {
        let slots = self.chunks.len() * CHUNK;
        // Where most slots are free it is the highest ones that must go to give memory back.
        if self.len() < slots / 2 {
            self.hand = self.hand.max(slots - CHUNK);
        }
        for _ in 0..LOOKS.min(slots * 2) {
            self.hand = (self.hand + 1) % slots;
            let slot = self.hand as Slot;
            let Some(held) = self.get_mut(slot) else {
                continue;
            };
            if held.uncommitted || std::mem::take(&mut held.recent) {
                continue;
            }
            if held.dense.as_mut().is_some_and(|dense| dense.unload()) {
                let (before, now) = held.count();
                self.note_lacking(slot);
                return Some(Evicted::Part(before.saturating_sub(now)));
            }
            return self.remove(slot).map(Box::new).map(Evicted::Row);
        }
        None
    }

    fn remove(&mut self, slot: Slot) -> Option<Held> {
        let (place, bit) = (slot as usize / CHUNK, slot as usize % CHUNK);
        let chunk = self.chunks.get_mut(place)?;
        let held = chunk.rows[bit].take()?;
        chunk.free |= 1 << bit;
        self.lacking -= (chunk.lacking >> bit & 1) as usize;
        chunk.lacking &= !(1 << bit);
        self.free = self.free.min(place);
        let tag = Entry::place(Entry::tag(held.hash));
        if let Ok(entry) = self.index.find_entry(tag, |found| found.slot() == slot) {
            entry.remove();
        }
        if chunk.free == u64::MAX && place + 1 == self.chunks.len() {
            self.shrink();
        }
        Some(held)
    }

    /// Gives back the chunks at the end that hold nothing.
    fn shrink(&mut self) {
        while self.chunks.last().is_some_and(|c| c.free == u64::MAX) {
            self.chunks.pop();
        }
        if self.index.len() < self.index.capacity() / 4 {
            let room = self.index.len() * 2;
            self.index.shrink_to(room, |entry| Entry::place(entry.tag));
        }
    }

    /// How many bytes of memory slots and index take, whether they hold rows or not.
    pub(crate) fn memory(&self) -> usize {
        let chunk = size_of::<Chunk>() + CHUNK * size_of::<Option<Held>>();
        self.chunks.len() * chunk + self.index.allocation_size()
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiderace_aggregate::{IdKind, Kept};

    fn key(number: usize) -> [u8; 8] {
        number.to_be_bytes()
    }

    fn hash(number: usize) -> u64 {
        tiderace_types::hash_key(&key(number))
    }

    fn add(table: &mut Table, spec: &RowSpec, number: usize) -> Slot {
        table.find_or_add(&key(number), hash(number), spec)
    }

    #[test]
    fn memory_is_given_back_and_rows_stay_where_they_are() {
        let spec = RowSpec {
            fingerprint: 0,
            id: IdKind::Int64,
            inputs: Vec::new(),
            filters: 0,
            outputs: Vec::new(),
            kept: Kept::All,
            sign: None,
        };
        let mut table = Table::default();
        let slots: Vec<Slot> = (0..1000).map(|i| add(&mut table, &spec, i)).collect();
        let full = table.memory();
        // Those at the end are in use; of the others all go.
        for (_, held) in table.iter_mut() {
            held.recent = false;
        }
        let kept = 10..20;
        for number in kept.clone() {
            table.get_mut(slots[number]).expect("held").uncommitted = true;
        }
        while table.evict().is_some() {}
        assert_eq!(table.len(), kept.len());
        assert!(table.memory() < full / 4, "{} of {full}", table.memory());
        for (number, slot) in slots.iter().enumerate() {
            let found = table.find(&key(number), hash(number));
            let expected = kept.contains(&number).then_some(*slot);
            assert_eq!(found, expected);
        }
        // The lowest free slots are taken first.
        let next = add(&mut table, &spec, 5000);
        assert!(next < 10, "{next}");
        assert_eq!(table.find(&key(5000), hash(5000)), Some(next));
    }

    #[test]
    fn an_empty_table_has_nothing_to_give() {
        assert!(Table::default().evict().is_none());
    }
}

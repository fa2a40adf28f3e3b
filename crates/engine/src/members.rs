//! Which rows the events of some packets belong to.
//!
//! Reaching a row costs more than adding an event to it: the row lies anywhere in memory. So packets
//! are taken many at a time, and their events are put in the order of the rows.

use crate::held::STRIDE;
use crate::lane::{Lane, LaneError, LaneView};
use crate::order::by_slot;
use crate::packet::{Origin, Packet, ViewBatch};
use crate::table::Slot;
use std::collections::BTreeMap;
use tiderace_aggregate::{Cell, Event, Packed};
use tiderace_types::{
    Outcome, Partition, Positions, RecordMeta, Shard, ShardRange, SourceId, Timestamp,
};

/// How many packets are taken together at most.
pub const TOGETHER: usize = 1 << PACKET_BITS;

/// An event of a packet has a number of so many bits.
const EVENT_BITS: u32 = 24;
const PACKET_BITS: u32 = 8;

/// So many of a row's events are reached before it takes them in.
const FIRST: usize = 8;

/// An event that belongs to a row. They go by the row's slot, and then as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member(u64);

impl Member {
    /// Member `index` of the view's batch in packet `packet`.
    #[inline]
    pub(crate) fn new(slot: Slot, packet: usize, index: usize) -> Member {
        let packet = (packet as u64) << EVENT_BITS;
        Member(u64::from(slot) << u32::BITS | packet | index as u64)
    }

    #[inline]
    pub(crate) const fn slot(self) -> Slot {
        (self.0 >> u32::BITS) as Slot
    }

    #[inline]
    pub(crate) const fn packet(self) -> usize {
        (self.0 as u32 >> EVENT_BITS) as usize
    }

    #[inline]
    const fn index(self) -> u32 {
        self.0 as u32 & ((1 << EVENT_BITS) - 1)
    }
}

/// What a view is given by some packets.
#[derive(Debug)]
pub(crate) struct Offered<'a> {
    packets: &'a [&'a Packet],
    /// By packet.
    batches: Vec<Option<&'a ViewBatch>>,
}

impl<'a> Offered<'a> {
    pub(crate) fn new(packets: &'a [&'a Packet], view: usize) -> Offered<'a> {
        debug_assert!(
            packets
                .windows(2)
                .all(|pair| pair[0].origin == pair[1].origin)
        );
        let of_view = |packet: &&'a Packet| packet.views.iter().find(|batch| batch.view == view);
        Offered {
            packets,
            batches: packets.iter().map(of_view).collect(),
        }
    }

    /// What these events are counted as, where they are of a prepared past.
    pub(crate) fn past(&self) -> Option<SourceId> {
        let past = self.packets.first();
        let past = past.filter(|packet| packet.origin == Origin::Past)?;
        debug_assert!(self.packets.iter().all(|other| other.source == past.source));
        Some(past.source)
    }

    #[inline]
    fn batch(&self, member: Member) -> &'a ViewBatch {
        self.batches[member.packet()].expect("members are of packets that have the view")
    }

    #[inline]
    pub(crate) fn packet(&self, member: Member) -> &'a Packet {
        self.packets[member.packet()]
    }

    /// The member's row in its packet.
    #[inline]
    pub(crate) fn event_of(&self, member: Member) -> usize {
        self.batch(member).events[member.index() as usize] as usize
    }

    /// Whether the member speaks for its record.
    #[inline]
    pub(crate) fn speaks(&self, member: Member) -> bool {
        self.batch(member).speakers.speaks(member.index())
    }

    /// The member's event time.
    pub(crate) fn time(&self, member: Member) -> Timestamp {
        Timestamp(self.packet(member).times[self.event_of(member)])
    }

    /// Appends a member's inputs.
    #[inline]
    pub(crate) fn push_cells(&self, member: Member, cells: &mut Vec<Cell<'a>>) {
        self.batch(member).push_cells(member.index(), cells);
    }

    /// Whether all there is of the events are numbers.
    pub(crate) fn is_packed(&self) -> bool {
        let mut batches = self.batches.iter().flatten();
        batches.all(|batch| batch.words.any())
    }

    /// A member as words.
    #[inline]
    pub(crate) fn packed(&self, member: Member) -> Packed<'a> {
        self.batch(member).words.member(member.index() as usize)
    }

    /// Reads the lines of memory that events lie on which rows are about to take in.
    pub(crate) fn warm(&self, runs: &[&[Member]]) {
        let members = runs.iter().flat_map(|run| run.iter().take(FIRST));
        let lines = members.fold(0, |sum, member| sum ^ self.packed(*member).0[0]);
        std::hint::black_box(lines);
    }

    /// A member as its row takes it in.
    #[inline]
    pub(crate) fn event<'b>(&self, member: Member, inputs: &'b [Cell<'b>]) -> Event<'b>
    where
        'a: 'b,
    {
        self.batch(member)
            .event(self.packet(member), member.index(), inputs)
    }
}

impl Lane {
    /// Finds the rows of packets, at most [`TOGETHER`] of them, in the order in which they came. Those
    /// of a past come by themselves.
    /// Those that are not held are read from state before [`Lane::apply`].
    ///
    /// # Errors
    /// [`LaneError::Gap`] when records between a packet and the one before it are missing.
    ///
    /// # Panics
    /// Where there are more packets than that, or one has 2^24 events.
    pub fn prepare(&mut self, packets: &[&Packet]) -> Result<(), LaneError> {
        assert!(packets.len() <= TOGETHER, "too many packets at once");
        let mut members = std::mem::take(&mut self.scratch.members);
        members.resize_with(self.views.len(), Vec::new);
        members.iter_mut().for_each(Vec::clear);
        let mut reached = Reached(BTreeMap::new());
        for (place, packet) in packets.iter().enumerate() {
            for (partition, from, position) in &packet.reached {
                let held = reached.next(*partition, &self.positions);
                if let Some(expected) = held.filter(|next| from > next)
                    && packet.contiguous
                {
                    return Err(LaneError::Gap {
                        partition: *partition,
                        expected,
                        got: *from,
                    });
                }
                let next = held.map_or(position.next, |next| next.max(position.next));
                reached.0.insert(*partition, (held, next));
            }
            let known = Known::new(packet, &reached, std::mem::take(&mut self.guards));
            self.count(packet, |shard, record| known.has(packet, shard, record));
            for batch in &packet.views {
                self.find_members(packet, place, batch, &known, &mut members[batch.view]);
            }
            self.guards = known.guards;
        }
        for members in &mut members {
            by_slot(members, &mut self.scratch.spare);
        }
        self.scratch.members = members;
        self.note_lacking();
        Ok(())
    }

    fn find_members(
        &mut self,
        packet: &Packet,
        place: usize,
        batch: &ViewBatch,
        known: &Known,
        members: &mut Vec<Member>,
    ) {
        assert!(batch.events.len() < 1 << EVENT_BITS, "a packet is too long");
        let LaneView { view, begins, .. } = &self.views[batch.view];
        let spec = &view.spec;
        let table = &mut self.tables[batch.view];
        // A view that came later is not given what others are behind with: of that it has a past, or none.
        let mut reached = packet.reached.iter();
        let early = reached.any(|(partition, from, _)| *from < begins.get(*partition).next);
        let mut guesses = [None; STRIDE];
        for (stride, hashes) in batch.hashes.chunks(STRIDE).enumerate() {
            let first = stride * STRIDE;
            for (index, (guess, hash)) in guesses.iter_mut().zip(hashes).enumerate() {
                *guess = table.guess(batch.key(first + index), *hash);
            }
            for (index, (hash, guess)) in hashes.iter().zip(guesses).enumerate() {
                let shard = Shard::of_hash(*hash);
                if !self.shards.contains(shard) {
                    continue;
                }
                let member = first + index;
                let record = || packet.record_of[batch.events[member] as usize] as usize;
                if !known.nothing() && known.has(packet, shard, record()) {
                    continue;
                }
                if early {
                    let meta = &packet.records.metas[record()];
                    if meta.offset < begins.get(meta.partition).next {
                        if batch.speakers.speaks(member as u32) {
                            let ledger = &mut self.slices.of(*hash).ledger;
                            ledger.note(packet.source, Outcome::Unused, 1);
                        }
                        continue;
                    }
                }
                let slot = match guess.and_then(|guess| table.confirm(guess, batch.key(member))) {
                    Some(slot) => slot,
                    None => {
                        let before = table.len();
                        let slot = table.find_or_add(batch.key(member), *hash, spec);
                        if table.len() > before {
                            self.scratch.missing.push((batch.view, slot));
                        }
                        slot
                    }
                };
                members.push(Member::new(slot, place, member));
            }
        }
    }

    /// Notes the members whose rows are dense and not whole in memory.
    pub(crate) fn note_lacking(&mut self) {
        let lacking = &mut self.scratch.lacking;
        lacking.clear();
        for (view, members) in self.scratch.members.iter().enumerate() {
            let table = &self.tables[view];
            if table.lacks_any() {
                let members = members.iter().filter(|member| table.lacks(member.slot()));
                lacking.extend(members.map(|member| (view, *member)));
            }
        }
    }
}

/// How far partitions have come: before a packet, and after it.
struct Reached(BTreeMap<Partition, (Option<i64>, i64)>);

impl Reached {
    /// The next offset of a partition, if any of it has been read.
    fn next(&self, partition: Partition, positions: &Positions) -> Option<i64> {
        let earlier = self.0.get(&partition).map(|(_, next)| *next);
        earlier.or_else(|| positions.0.get(&partition).map(|held| held.next))
    }

    /// The partitions of which the packet repeats something, and what comes next of each.
    fn seen(&self, packet: &Packet) -> Vec<(u32, i64)> {
        let repeats = |(partition, from, _): &(Partition, i64, _)| {
            let next = self.0.get(partition).and_then(|(held, _)| *held)?;
            (*from < next).then_some((partition.number, next))
        };
        packet.reached.iter().filter_map(repeats).collect()
    }
}

/// What of a packet has been taken in before.
struct Known {
    /// The partitions of which it repeats something, and what comes next of each.
    seen: Vec<(u32, i64)>,
    /// How far parts of the lane's shards have come by themselves.
    guards: Vec<(ShardRange, Positions)>,
}

impl Known {
    fn new(packet: &Packet, reached: &Reached, guards: Vec<(ShardRange, Positions)>) -> Known {
        Known {
            seen: reached.seen(packet),
            guards,
        }
    }

    /// Tells whether all of it is new.
    #[inline]
    fn nothing(&self) -> bool {
        self.seen.is_empty() && self.guards.is_empty()
    }

    /// Tells whether `shard` has had a record.
    #[inline]
    fn has(&self, packet: &Packet, shard: Shard, record: usize) -> bool {
        if self.nothing() {
            return false;
        }
        let RecordMeta {
            partition, offset, ..
        } = packet.records.metas[record];
        let mut seen = self.seen.iter();
        let mut guards = self.guards.iter();
        seen.any(|(number, next)| *number == partition.number && offset < *next)
            || guards
                .any(|(range, held)| range.contains(shard) && offset < held.get(partition).next)
    }
}

//! Accepted events, evaluated and keyed, on their way from an intake to the lanes.

use crate::home::{Homes, Speakers};
use crate::pack::Words;
use arrow::array::{Array, BinaryArray, BooleanArray, Decimal128Array, Float64Array, StringArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use tiderace_aggregate::{Cell, Event, Id};
use tiderace_types::{Partition, PartitionPosition, RecordBatch, SourceId, Timestamp};

/// One batch of one source, as every lane reads it.
///
/// Events are indexed by their row in the decoded batch; only accepted ones
/// appear in `views`.
#[derive(Debug)]
pub struct Packet {
    /// The source.
    pub source: SourceId,
    /// The raw records, for dead letters that a lane writes.
    pub records: RecordBatch,
    /// The record of each event.
    pub record_of: Vec<u32>,
    /// Event times in microseconds.
    pub times: Vec<i64>,
    /// Identities.
    pub ids: PacketIds,
    /// What each view of the source makes of the events.
    pub views: Vec<ViewBatch>,
    /// Where each record is counted.
    pub homes: Homes,
    /// Whether it is of a stream or of a prepared past.
    pub origin: Origin,
    /// Whether the source's offsets have no gaps, so that a gap means a loss.
    pub contiguous: bool,
    /// Every partition in the batch: the first offset offered, and the position after it.
    pub reached: Vec<(Partition, i64, PartitionPosition)>,
}

/// Where events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A stream, as they happen.
    Stream,
    /// A prepared past. What rows do not keep any more of it is folded where windows without an
    /// end need it, and is of no use to others; who prepares it leaves out what came by the stream.
    Past,
}

/// Identities by event.
#[derive(Clone, Debug)]
pub enum PacketIds {
    /// Integer ids.
    Int(ScalarBuffer<i64>),
    /// Key-encoded ids.
    Bytes(Vec<Box<[u8]>>),
    /// Where the event was read.
    Position,
    /// Where the event was read once: the number of a partition and an offset.
    Places(Vec<(u32, i64)>),
}

impl Packet {
    /// Tells whether a view is given anything, be it none of the events.
    pub(crate) fn has(&self, view: usize) -> bool {
        self.views.iter().any(|batch| batch.view == view)
    }

    /// The partition number and offset of `event`.
    #[must_use]
    pub fn place(&self, event: usize) -> (u32, i64) {
        let meta = &self.records.metas[self.record_of[event] as usize];
        (meta.partition.number, meta.offset)
    }

    /// The identity of `event`.
    #[must_use]
    pub fn id(&self, event: usize) -> Id<'_> {
        match &self.ids {
            PacketIds::Int(ids) => Id::Int(ids[event]),
            PacketIds::Bytes(ids) => Id::Bytes(&ids[event]),
            PacketIds::Position => {
                let (partition, offset) = self.place(event);
                Id::Position { partition, offset }
            }
            PacketIds::Places(places) => {
                let (partition, offset) = places[event];
                Id::Position { partition, offset }
            }
        }
    }
}

/// The events of a packet that belong to one view, with what the view needs of them.
#[derive(Debug)]
pub struct ViewBatch {
    /// Index into the lane's views.
    pub view: usize,
    /// The events, by their row in the decoded batch.
    pub events: Vec<u32>,
    /// The same events by their place in `inputs`.
    pub members: Vec<u32>,
    /// The encoded entity keys, one after another.
    pub keys: Vec<u8>,
    /// Where each key ends.
    pub key_ends: Vec<u32>,
    /// The keys' hashes.
    pub hashes: Vec<u64>,
    /// The filters each event passes.
    pub bits: Vec<u64>,
    /// The evaluated inputs over the accepted events.
    pub inputs: Vec<Input>,
    /// Which members speak for their records.
    pub speakers: Speakers,
    /// The members as words, where they are numbers alone.
    pub words: Words,
}

impl ViewBatch {
    /// The entity key of member `index`.
    #[must_use]
    pub fn key(&self, index: usize) -> &[u8] {
        let start = match index {
            0 => 0,
            _ => self.key_ends[index - 1] as usize,
        };
        &self.keys[start..self.key_ends[index] as usize]
    }
}

impl ViewBatch {
    /// Appends the inputs of a member.
    #[inline]
    pub(crate) fn push_cells<'a>(&'a self, member: u32, cells: &mut Vec<Cell<'a>>) {
        let place = self.members[member as usize] as usize;
        cells.extend(self.inputs.iter().map(|input| input.cell(place)));
    }

    /// A member as its row takes it in.
    #[inline]
    pub(crate) fn event<'a>(
        &self,
        packet: &'a Packet,
        member: u32,
        inputs: &'a [Cell<'a>],
    ) -> Event<'a> {
        let event = self.events[member as usize] as usize;
        Event {
            time: Timestamp(packet.times[event]),
            id: packet.id(event),
            bits: self.bits[member as usize],
            inputs,
        }
    }
}

/// One evaluated input over a batch.
#[derive(Debug)]
pub enum Input {
    /// Int64s, timestamps, durations.
    Int(ScalarBuffer<i64>, Option<NullBuffer>),
    /// Bools.
    Bool(BooleanArray),
    /// Float64s.
    Float(Float64Array),
    /// Decimals.
    Decimal(Decimal128Array),
    /// Text.
    Text(StringArray),
    /// Bytes.
    Bytes(BinaryArray),
}

impl Input {
    /// The cell at place `event`.
    #[inline]
    #[must_use]
    pub fn cell(&self, event: usize) -> Cell<'_> {
        match self {
            Input::Int(values, nulls) => match nulls {
                Some(nulls) if nulls.is_null(event) => Cell::Null,
                _ => Cell::Int(values[event]),
            },
            Input::Float(array) if array.is_valid(event) => Cell::Float(array.value(event)),
            Input::Bool(array) if array.is_valid(event) => Cell::Int(array.value(event).into()),
            Input::Decimal(array) if array.is_valid(event) => Cell::Decimal(array.value(event)),
            Input::Text(array) if array.is_valid(event) => {
                Cell::Bytes(array.value(event).as_bytes())
            }
            Input::Bytes(array) if array.is_valid(event) => Cell::Bytes(array.value(event)),
            _ => Cell::Null,
        }
    }
}

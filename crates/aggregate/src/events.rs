//! The events of a row: a set by identity, held in columns, in the order of ties.
//!
//! # Laws
//! - The set is what counts: any order of insertion gives equal `Events`.
//! - Order is (event time, event id, inputs); positions order only what is equal in all of these.
//! - An identity is held once. The first copy stands.

use crate::column::{Cell, Column};
use crate::spec::{IdKind, RowSpec};
use std::cmp::Ordering;
use tiderace_types::Timestamp;

/// What identifies an event beside its time, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id<'a> {
    /// An integer `event_id`.
    Int(i64),
    /// Another `event_id`, in key encoding.
    Bytes(&'a [u8]),
    /// No `event_id`: where the event was read.
    Position {
        /// The partition's number.
        partition: u32,
        /// The offset in it.
        offset: i64,
    },
}

impl Id<'_> {
    /// Where an event without an id was read.
    const fn place(&self) -> (u32, i64) {
        match *self {
            Id::Position { partition, offset } => (partition, offset),
            Id::Int(_) | Id::Bytes(_) => (0, 0),
        }
    }
}

/// One event as a row takes it in.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its event time.
    pub time: Timestamp,
    /// Its identity.
    pub id: Id<'a>,
    /// Which feature filters it passes, one bit each.
    pub bits: u64,
    /// Its evaluated inputs, in the spec's order.
    pub inputs: &'a [Cell<'a>],
}

/// What became of an event that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insert {
    /// It is a new member, at this place in the order.
    Applied {
        /// Its index.
        at: usize,
    },
    /// A copy was there already.
    Duplicate,
    /// A copy with other content was there already, and stands.
    Conflict,
}

/// The identities of a row's events.
#[derive(Clone, Debug, PartialEq)]
pub enum Ids {
    /// Integer ids.
    Int(Vec<i64>),
    /// Key-encoded ids.
    Bytes(Vec<Box<[u8]>>),
    /// Partition and offset.
    Position(Vec<(u32, i64)>),
}

impl Ids {
    fn new(kind: IdKind) -> Ids {
        match kind {
            IdKind::Int64 => Ids::Int(Vec::new()),
            IdKind::Bytes => Ids::Bytes(Vec::new()),
            IdKind::Position => Ids::Position(Vec::new()),
        }
    }

    /// The id of event `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Id<'_> {
        match self {
            Ids::Int(ids) => Id::Int(ids[index]),
            Ids::Bytes(ids) => Id::Bytes(&ids[index]),
            Ids::Position(ids) => {
                let (partition, offset) = ids[index];
                Id::Position { partition, offset }
            }
        }
    }

    fn insert(&mut self, index: usize, id: Id<'_>) {
        match (self, id) {
            (Ids::Int(ids), Id::Int(id)) => ids.insert(index, id),
            (Ids::Bytes(ids), Id::Bytes(id)) => ids.insert(index, id.into()),
            (Ids::Position(ids), Id::Position { partition, offset }) => {
                ids.insert(index, (partition, offset));
            }
            (ids, id) => unreachable!("an id {id:?} among {ids:?}"),
        }
    }

    fn tail(&self, from: usize) -> Ids {
        match self {
            Ids::Int(ids) => Ids::Int(ids[from..].to_vec()),
            Ids::Bytes(ids) => Ids::Bytes(ids[from..].to_vec()),
            Ids::Position(ids) => Ids::Position(ids[from..].to_vec()),
        }
    }

    fn drop_front(&mut self, count: usize) {
        match self {
            Ids::Int(ids) => drop(ids.drain(..count)),
            Ids::Bytes(ids) => drop(ids.drain(..count)),
            Ids::Position(ids) => drop(ids.drain(..count)),
        }
    }
}

/// A set of events by identity, in columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    /// Event times in microseconds, never falling.
    pub times: Vec<i64>,
    /// Identities.
    pub ids: Ids,
    /// Filter bits; empty when the spec has no filters.
    pub bits: Vec<u64>,
    /// The evaluated inputs.
    pub inputs: Vec<Column>,
}

impl Events {
    /// The empty set.
    #[must_use]
    pub fn new(spec: &RowSpec) -> Events {
        Events {
            times: Vec::new(),
            ids: Ids::new(spec.id),
            bits: Vec::new(),
            inputs: spec.inputs.iter().map(Column::new).collect(),
        }
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Adds an event unless its identity is a member already.
    pub fn insert(&mut self, spec: &RowSpec, event: &Event<'_>) -> Insert {
        let at = match self.find(event) {
            Ok(index) if self.same_content(index, event) => return Insert::Duplicate,
            Ok(_) => return Insert::Conflict,
            Err(at) => at,
        };
        self.times.insert(at, event.time.0);
        self.ids.insert(at, event.id);
        if spec.filters > 0 {
            self.bits.insert(at, event.bits);
        }
        for (column, cell) in self.inputs.iter_mut().zip(event.inputs) {
            column.insert(at, *cell);
        }
        Insert::Applied { at }
    }

    /// Finds the identity, or the place where it belongs.
    fn find(&self, event: &Event<'_>) -> Result<usize, usize> {
        let time = event.time.0;
        if self.times.last().is_none_or(|last| *last < time) {
            return Err(self.len());
        }
        let from = self.times.partition_point(|t| *t < time);
        let mut place = from;
        for index in from..self.len() {
            if self.times[index] != time {
                break;
            }
            if self.ids.get(index) == event.id {
                return Ok(index);
            }
            if self.tie_order(index, event) == Ordering::Less {
                place = index + 1;
            }
        }
        Err(place)
    }

    /// How event `index` stands to `event`, their times being equal.
    fn tie_order(&self, index: usize, event: &Event<'_>) -> Ordering {
        match (self.ids.get(index), event.id) {
            (Id::Int(a), Id::Int(b)) => a.cmp(&b),
            (Id::Bytes(a), Id::Bytes(b)) => a.cmp(b),
            (a, b) => self
                .inputs
                .iter()
                .zip(event.inputs)
                .map(|(column, cell)| column.cell(index).key_order(cell))
                .find(|order| order.is_ne())
                // What is left is equal in every input, so this decides no value.
                .unwrap_or_else(|| a.place().cmp(&b.place())),
        }
    }

    fn same_content(&self, index: usize, event: &Event<'_>) -> bool {
        let bits = self.bits.get(index).copied().unwrap_or_default();
        (self.bits.is_empty() || bits == event.bits)
            && self
                .inputs
                .iter()
                .zip(event.inputs)
                .all(|(column, cell)| column.cell(index).key_order(cell).is_eq())
    }

    /// Takes in all of `other`: the union by identity.
    pub fn merge(&mut self, spec: &RowSpec, other: &Events) {
        let mut cells = Vec::with_capacity(self.inputs.len());
        for index in 0..other.len() {
            cells.clear();
            cells.extend(other.inputs.iter().map(|column| column.cell(index)));
            let event = Event {
                time: Timestamp(other.times[index]),
                id: other.ids.get(index),
                bits: other.bits.get(index).copied().unwrap_or_default(),
                inputs: &cells,
            };
            self.insert(spec, &event);
        }
    }

    /// The events with `after < t <= upto`, as a range of indices.
    #[must_use]
    pub fn between(&self, after: Timestamp, upto: Timestamp) -> std::ops::Range<usize> {
        let end = self.times.partition_point(|t| *t <= upto.0);
        let start = self.times[..end].partition_point(|t| *t <= after.0);
        start..end
    }

    /// Copies the events from index `from` on.
    #[must_use]
    pub fn tail(&self, from: usize) -> Events {
        Events {
            times: self.times[from..].to_vec(),
            ids: self.ids.tail(from),
            bits: self.bits.get(from..).unwrap_or_default().to_vec(),
            inputs: self.inputs.iter().map(|column| column.tail(from)).collect(),
        }
    }

    /// Forgets the first `count` events.
    pub fn drop_front(&mut self, count: usize) {
        self.times.drain(..count);
        self.ids.drop_front(count);
        if !self.bits.is_empty() {
            self.bits.drain(..count);
        }
        for column in &mut self.inputs {
            column.drop_front(count);
        }
    }

    /// Roughly how many bytes of memory the events take.
    #[must_use]
    pub fn memory(&self) -> usize {
        let ids = match &self.ids {
            Ids::Int(ids) => ids.capacity() * 8,
            Ids::Bytes(ids) => ids.iter().map(|id| id.len() + 32).sum(),
            Ids::Position(ids) => ids.capacity() * 16,
        };
        let inputs: usize = self.inputs.iter().map(Column::memory).sum();
        self.times.capacity() * 8 + self.bits.capacity() * 8 + ids + inputs
    }
}

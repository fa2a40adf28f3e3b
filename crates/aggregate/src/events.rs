//! The events of a row: a set by identity, held in columns, in the order of ties.
//!
//! # Laws
//! - The set is what counts: any order of insertion gives equal `Events`.
//! - Order is (event time, event id, inputs); positions order only what is equal in all of these.
//! - An identity is held once. The first copy stands. An event and a retraction have two.

use crate::column::{Cell, Column};
use crate::columns::Columns;
use crate::incoming::Incoming;
use crate::spec::RowSpec;
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
    pub(crate) const fn place(&self) -> (u32, i64) {
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

/// A set of events by identity, in columns.
#[derive(Clone, Debug)]
pub struct Events {
    pub(crate) columns: Columns,
}

impl PartialEq for Events {
    fn eq(&self, other: &Events) -> bool {
        let ids = |events: &Events, index| events.id(index) == other.id(index);
        let inputs = |index: usize| {
            let mut inputs = 0..self.columns.inputs();
            inputs.all(|input| self.input(input).cell(index) == other.input(input).cell(index))
        };
        self.times() == other.times()
            && self.bits() == other.bits()
            && (0..self.len()).all(|index| ids(self, index) && inputs(index))
    }
}

impl Events {
    /// The empty set.
    #[must_use]
    pub fn new(spec: &RowSpec) -> Events {
        Events {
            columns: Columns::new(spec),
        }
    }

    /// How many events there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Tells whether there is none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Event times in microseconds, never falling.
    #[inline]
    #[must_use]
    pub fn times(&self) -> &[i64] {
        self.columns.times()
    }

    /// The identity of event `index`, beside its time.
    #[inline]
    #[must_use]
    pub fn id(&self, index: usize) -> Id<'_> {
        self.columns.id(index)
    }

    /// Filter bits; empty when the spec has no filters.
    #[inline]
    #[must_use]
    pub fn bits(&self) -> &[u64] {
        self.columns.bits()
    }

    /// Input `input` over all events.
    #[inline]
    #[must_use]
    pub fn input(&self, input: usize) -> Column<'_> {
        self.columns.input(input)
    }

    /// The inputs of event `index`.
    pub(crate) fn cells(&self, index: usize) -> impl Iterator<Item = Cell<'_>> {
        self.columns.cells(index)
    }

    /// Adds an event unless its identity is a member already.
    pub fn insert<E: Incoming>(&mut self, event: &E) -> Insert {
        match self.place(event, self.len()) {
            Ok(at) => {
                event.insert(&mut self.columns, at);
                Insert::Applied { at }
            }
            Err(known) => known,
        }
    }

    /// Adds many events as [`Events::insert`] would one after another, and tells of each what
    /// became of it, in any order. What is held is moved once, however many events come before it,
    /// and is looked through once, since each event is looked for where the one after it belongs.
    pub fn insert_all<E: Incoming>(&mut self, events: &[E], mut each: impl FnMut(usize, Insert)) {
        let rising = || {
            events
                .windows(2)
                .all(|pair| pair[0].time() < pair[1].time())
        };
        if self.is_empty() && rising() {
            let fresh: Vec<(usize, E)> = events.iter().map(|event| (0, *event)).collect();
            self.columns.insert_all(&fresh);
            (0..events.len()).for_each(|at| each(at, Insert::Applied { at }));
            return;
        }
        let times = events.iter().map(|event| event.time().0);
        let mut order: Vec<(i64, usize)> = times.zip(0..).collect();
        order.sort_unstable();
        let mut fresh: Vec<(usize, E)> = Vec::with_capacity(events.len());
        let mut tied = Vec::new();
        let mut end = self.len();
        for run in order.chunk_by(|(a, _), (b, _)| a == b).rev() {
            let [(_, index)] = *run else {
                // Those of one instant may be copies of each other: the first one stands.
                tied.push(run);
                continue;
            };
            let event = events[index];
            match self.place(&event, end) {
                Ok(at) => {
                    end = at;
                    fresh.push((at, event));
                    each(index, Insert::Applied { at });
                }
                Err(known) => each(index, known),
            }
        }
        fresh.reverse();
        self.columns.insert_all(&fresh);
        for (_, index) in tied.into_iter().rev().flatten() {
            each(*index, self.insert(&events[*index]));
        }
    }

    /// Takes the event of this identity away; tells whether there was one.
    pub fn remove<E: Incoming>(&mut self, event: &E) -> bool {
        let Ok(found) = self.find(event, self.len()) else {
            return false;
        };
        let rest: Vec<usize> = (0..self.len()).filter(|index| *index != found).collect();
        *self = self.pick(&rest);
        true
    }

    /// Where an event belongs, or what it is a copy of; those from `end` on are later.
    fn place<E: Incoming>(&self, event: &E, end: usize) -> Result<usize, Insert> {
        match self.find(event, end) {
            Ok(index) if event.has_content(&self.columns, index) => Err(Insert::Duplicate),
            Ok(_) => Err(Insert::Conflict),
            Err(at) => Ok(at),
        }
    }

    /// Reads the memory that the next event will go to, so that it is near by then. What it
    /// gives means nothing.
    #[inline]
    #[must_use]
    pub fn warm(&self) -> i64 {
        self.columns.warm()
    }

    /// Finds the identity among the first `end` events, or the place where it belongs.
    fn find<E: Incoming>(&self, event: &E, end: usize) -> Result<usize, usize> {
        let (times, time) = (&self.times()[..end], event.time().0);
        if times.last().is_none_or(|last| *last < time) {
            return Err(times.len());
        }
        let from = first_from(times, time);
        let mut place = from;
        for (index, found) in times.iter().enumerate().skip(from) {
            if *found != time {
                break;
            }
            if event.is_event(&self.columns, index) {
                return Ok(index);
            }
            if event.tie_order(&self.columns, index) == Ordering::Less {
                place = index + 1;
            }
        }
        Err(place)
    }

    /// Takes in all of `other`: the union by identity.
    pub fn merge(&mut self, other: &Events) {
        // Whatever comes after all that is held is new, and in order.
        let last = self.times().last().copied();
        let known = last.map_or(0, |last| other.times().partition_point(|t| *t <= last));
        let mut cells = Vec::with_capacity(other.columns.inputs());
        for index in 0..known {
            cells.clear();
            cells.extend(other.cells(index));
            let event = Event {
                time: Timestamp(other.times()[index]),
                id: other.id(index),
                bits: other.bits().get(index).copied().unwrap_or_default(),
                inputs: &cells,
            };
            self.insert(&event);
        }
        if known < other.len() {
            self.columns.extend(&other.columns, known..other.len());
        }
    }

    /// The events with `after < t <= upto`, as a range of indices.
    #[must_use]
    pub fn between(&self, after: Timestamp, upto: Timestamp) -> std::ops::Range<usize> {
        let times = self.times();
        let end = times.partition_point(|t| *t <= upto.0);
        let start = times[..end].partition_point(|t| *t <= after.0);
        start..end
    }

    /// Copies the events of `range`.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Events {
        Events {
            columns: self.columns.part(range),
        }
    }

    /// The events at `indices`, which rise.
    #[must_use]
    pub fn pick(&self, indices: &[usize]) -> Events {
        let mut picked = self.slice(0..0);
        let mut from = 0;
        while from < indices.len() {
            // Those that lie together go together.
            let run = indices[from..].iter().zip(indices[from]..);
            let run = run.take_while(|(index, next)| *index == next).count();
            picked.merge(&self.slice(indices[from]..indices[from] + run));
            from += run;
        }
        picked
    }

    /// Forgets the first `count` events.
    pub fn drop_front(&mut self, count: usize) {
        self.columns.drop_front(count);
    }

    /// Whether `more` events behind the last would have to be made room for.
    #[inline]
    #[must_use]
    pub fn is_full(&self, more: usize) -> bool {
        self.columns.is_full(more)
    }

    /// Roughly how many bytes of memory the events take.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.columns.memory()
    }
}

/// The first of `times` that is not before `time`, looked for from the end: what is late is
/// seldom very late.
fn first_from(times: &[i64], time: i64) -> usize {
    let (mut end, mut step) = (times.len(), 1);
    loop {
        let start = end.saturating_sub(step);
        if start == 0 || times[start] < time {
            return start + times[start..end].partition_point(|t| *t < time);
        }
        (end, step) = (start, step * 2);
    }
}

//! A part of the entities: who wants what of them, and their events, by the numbers of the entities.

use crate::entities::{Entities, Grouped, NOBODY};
use crate::error::Error;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::{TimestampMicrosecondType, UInt64Type};
use tiderace_aggregate::{Events, Insert, Packed, RowSpec};
use tiderace_engine::PastEvents;

/// The rows of a spine that want features of a part of the entities.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) entities: Entities,
    /// Whom each row is about.
    of_rows: Vec<u32>,
    /// Their instants.
    pub(super) times: Vec<i64>,
    /// Their numbers in the spine; none where they are all from 0 on.
    rows: Vec<u64>,
    /// The ids of events that are left out.
    without: Vec<ArrayRef>,
}

impl Keys {
    /// None yet, of about so many.
    pub(super) fn with_capacity(rows: usize) -> Keys {
        Keys {
            of_rows: Vec::with_capacity(rows),
            times: Vec::with_capacity(rows),
            ..Keys::default()
        }
    }

    /// Takes a batch of keys, in the columns that [`super::spine::Keyed`] gives.
    pub(super) fn take(&mut self, batch: &RecordBatch) {
        let rows = batch.column(0).as_primitive::<UInt64Type>().values();
        let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        let hashes = batch
            .column(super::spine::HASH)
            .as_primitive::<UInt64Type>();
        let keys = batch.column(3).as_binary::<i32>();
        let first = self.times.len() as u64;
        let follow = || rows.iter().zip(first..).all(|(row, at)| *row == at);
        if !self.rows.is_empty() || !follow() {
            if self.rows.is_empty() {
                self.rows.extend(0..first);
            }
            self.rows.extend(rows.iter());
        }
        self.times.extend(times.values().iter());
        for (row, hash) in hashes.values().iter().enumerate() {
            self.of_rows
                .push(self.entities.find_or_add(keys.value(row), *hash));
        }
        self.without.extend(batch.columns().get(4).cloned());
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// The number in the spine of row `index`.
    #[inline]
    pub(super) fn row(&self, index: u32) -> u64 {
        match self.rows.get(index as usize) {
            Some(row) => *row,
            None => index.into(),
        }
    }

    /// The rows by entity.
    pub(super) fn grouped(&self) -> Grouped<u32> {
        Grouped::new(self.entities.len(), || {
            self.of_rows.iter().copied().zip(0..)
        })
    }

    /// The ids of events that are left out, where there are any.
    pub(super) fn without(&self) -> Result<Option<ArrayRef>, Error> {
        if self.without.is_empty() {
            return Ok(None);
        }
        let parts: Vec<&dyn Array> = self.without.iter().map(AsRef::as_ref).collect();
        concat(&parts)
            .map(Some)
            .map_err(|error| Error::data("ids", error))
    }
}

/// Some events, and whose they are.
pub(super) struct Bunch {
    entities: Vec<u32>,
    held: Held,
}

enum Held {
    /// All there is of an event are numbers: so many words each.
    Words(Vec<i64>, usize),
    Whole(Box<PastEvents>),
}

impl Bunch {
    /// Finds out whose events these are; `None` where they are nobody's.
    pub(super) fn new(entities: &Entities, events: PastEvents) -> Option<Bunch> {
        let hashes = events.hashes().iter().enumerate();
        let of_event = hashes.map(|(index, hash)| entities.find(events.key(index), *hash));
        let of_events: Vec<u32> = of_event.collect();
        if of_events.iter().all(|entity| *entity == NOBODY) {
            return None;
        }
        Some(Bunch {
            entities: of_events,
            held: match events.into_words() {
                Ok((words, width)) => Held::Words(words, width),
                Err(events) => Held::Whole(events),
            },
        })
    }

    /// The events of bunches by entity, each as its bunch and its place there.
    pub(super) fn grouped(bunches: &[Bunch], entities: usize) -> Grouped<(u32, u32)> {
        Grouped::new(entities, || {
            bunches.iter().zip(0u32..).flat_map(|(bunch, at)| {
                let members = bunch.entities.iter().zip(0u32..);
                members.map(move |(entity, index)| (*entity, (at, index)))
            })
        })
    }

    fn packed(&self, index: u32) -> Option<Packed<'_>> {
        match &self.held {
            Held::Words(words, width) => Some(Packed(&words[index as usize * width..][..*width])),
            Held::Whole(_) => None,
        }
    }
}

/// Puts the events at `places` into `into`, each once; `count` is told of each.
pub(super) fn insert(
    spec: &RowSpec,
    bunches: &[Bunch],
    places: &[(u32, u32)],
    into: &mut Events,
    mut count: impl FnMut(Insert),
) {
    let packed = places
        .iter()
        .map(|(bunch, index)| bunches[*bunch as usize].packed(*index));
    if let Some(packed) = packed.collect::<Option<Vec<Packed<'_>>>>() {
        into.insert_all(&packed, |_, insert| count(insert));
        return;
    }
    let whole = |(bunch, index): &(u32, u32)| match &bunches[*bunch as usize].held {
        Held::Whole(events) => Some((&**events, *index as usize)),
        Held::Words(..) => None,
    };
    let (mut cells, width) = (Vec::new(), spec.inputs.len());
    for (events, index) in places.iter().filter_map(whole) {
        events.push_cells(index, &mut cells);
    }
    let events = places.iter().filter_map(whole).enumerate();
    let events =
        events.map(|(at, (events, index))| events.event(index, &cells[at * width..][..width]));
    let events: Vec<_> = events.collect();
    into.insert_all(&events, |_, insert| count(insert));
    // Numbers alone beside others: a batch has nulls where the next has none.
    for packed in places
        .iter()
        .filter_map(|(bunch, index)| bunches[*bunch as usize].packed(*index))
    {
        count(into.insert(&packed));
    }
}

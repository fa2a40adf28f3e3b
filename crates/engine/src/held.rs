//! A row as a lane holds it.

use crate::dense::Dense;
use crate::density::Density;
use crate::entity::Entity;
use crate::part::Part;
use tiderace_aggregate::{Balance, Incoming, Offer, Row, RowSpec};
use tiderace_types::Timestamp;

/// A row in memory.
///
/// The order of its fields is that of their use: an event touches what comes first, and the
/// whole lies on lines of its own.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Held {
    /// The row; of a dense one, its head.
    pub(crate) part: Part,
    pub(crate) uncommitted: bool,
    pub(crate) unpublished: bool,
    /// Touched since the evicting hand last passed.
    pub(crate) recent: bool,
    pub(crate) entity: Entity,
    /// Its segments, where the row is dense and its directory has been read.
    pub(crate) dense: Option<Box<Dense>>,
    /// What its lane counts for it, in bytes.
    pub(crate) counted: usize,
    pub(crate) hash: u64,
}

/// How many rows are reached together. Each waits for memory; one after another they would wait in
/// turn, as these do side by side.
pub(crate) const STRIDE: usize = 32;

/// Reads the lines of memory that rows lie on, and then what their events lie in.
pub(crate) fn warm<'a>(rows: impl Iterator<Item = &'a Held> + Clone) {
    let lines = rows.clone().fold(0, |sum, held| sum ^ held.warm());
    let events = rows.fold(0, |sum, held| sum ^ held.warm_events());
    std::hint::black_box(lines ^ events);
}

impl Held {
    pub(crate) fn new(entity: &[u8], hash: u64, spec: &RowSpec) -> Held {
        Held {
            entity: entity.into(),
            hash,
            part: Part::new(spec),
            dense: None,
            uncommitted: false,
            unpublished: false,
            counted: 0,
            recent: true,
        }
    }

    /// Counts anew the bytes that it takes beside its slot; tells what was counted before, and now.
    pub(crate) fn count(&mut self) -> (usize, usize) {
        let dense = self.dense.as_ref().map_or(0, |dense| dense.memory());
        let now = self.entity.memory() + self.part.memory() + dense;
        (std::mem::replace(&mut self.counted, now), now)
    }

    /// Offers an event; of a dense row, its segment is in memory.
    pub(crate) fn offer<E: Incoming>(&mut self, spec: &RowSpec, event: &E) -> Offer {
        match &mut self.dense {
            None => self.part.offer(spec, event),
            Some(dense) => dense.offer(spec, &self.part.row, event),
        }
    }

    /// Cuts what has grown too long of a dense row.
    #[inline]
    pub(crate) fn cut(&mut self, spec: &RowSpec, density: Density) {
        if let Some(dense) = &mut self.dense {
            dense.cut(spec, density);
        }
    }

    /// What the event at place `at`, of `time`, changed by coming.
    pub(crate) fn balance(&self, time: Timestamp, at: usize, sign: usize) -> Balance {
        let part = match &self.dense {
            None => Some(&self.part),
            Some(dense) => dense.segments[dense.place(time)].part.as_ref(),
        };
        part.map_or(Balance::Even, |part| part.row.events.balance(at, sign))
    }

    /// Reads the lines of memory that it lies on; what it gives means nothing.
    #[inline]
    fn warm(&self) -> i64 {
        let part = self.part.row.events.len() ^ self.part.stored;
        let lines = part ^ self.counted ^ usize::from(self.recent);
        lines as i64
    }

    /// Reads what the next event will be put in; see [`Events::warm`](tiderace_aggregate::Events::warm).
    #[inline]
    fn warm_events(&self) -> i64 {
        match &self.dense {
            None => self.part.row.events.warm(),
            Some(dense) => dense.due.0,
        }
    }

    /// Whether it is dense and not all of its segments are in memory.
    #[inline]
    pub(crate) fn lacks_segments(&self) -> bool {
        self.dense.as_ref().is_some_and(|dense| !dense.whole)
    }

    /// The row as readers get it, where it [is ready](Held::is_ready).
    pub(crate) fn online(&self) -> &Row {
        match &self.dense {
            None => &self.part.row,
            Some(dense) => &dense.online,
        }
    }

    /// Whether readers can be given the row as it is.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.dense {
            None => !self.part.row.head,
            Some(dense) => dense.due != Timestamp::MIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_four_lines_of_memory() {
        assert_eq!(size_of::<Option<Held>>(), 256);
    }
}

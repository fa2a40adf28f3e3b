//! A row as a lane holds it.

use crate::dense::Dense;
use crate::part::Part;
use tiderace_aggregate::{Event, Offer, RowSpec};
use tiderace_types::Timestamp;

/// A row in memory.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) entity: Box<[u8]>,
    pub(crate) hash: u64,
    /// The row; of a dense one, its head.
    pub(crate) part: Part,
    /// Its segments, where the row is dense and its directory has been read.
    pub(crate) dense: Option<Box<Dense>>,
    pub(crate) uncommitted: bool,
    pub(crate) unpublished: bool,
    /// What its lane counts for it, in bytes.
    pub(crate) counted: usize,
    /// Touched since the evicting hand last passed.
    pub(crate) recent: bool,
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

    /// Counts anew the bytes that it takes; tells what was counted before, and now.
    pub(crate) fn count(&mut self) -> (usize, usize) {
        let dense = self.dense.as_ref().map_or(0, |dense| dense.memory());
        let now = size_of::<Held>() + self.entity.len() + self.part.memory() + dense;
        (std::mem::replace(&mut self.counted, now), now)
    }

    /// Offers an event; of a dense row, its segment is in memory.
    pub(crate) fn offer(&mut self, spec: &RowSpec, event: &Event<'_>) -> Offer {
        match &mut self.dense {
            None => self.part.offer(spec, event),
            Some(dense) => dense.offer(spec, &self.part.row, event),
        }
    }

    /// The newest event.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        match &self.dense {
            None => self.part.row.newest(Timestamp::MAX),
            Some(dense) => dense.online.newest(Timestamp::MAX),
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

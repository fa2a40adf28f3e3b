//! A row as a lane holds it: the row, and what of it is stored and published.

use tiderace_aggregate::{Event, Insert, Offer, Row, RowSpec};
use tiderace_types::{RowKey, Timestamp, Version, Write};

/// Past this many blocks a row is written whole again.
const BLOCKS: usize = 8;

/// How a commit writes a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Written {
    Nothing,
    Appended,
    Replaced,
}

impl Written {
    pub(crate) fn how(write: Option<&Write>) -> Written {
        match write {
            None => Written::Nothing,
            Some(Write::Append { .. }) => Written::Appended,
            Some(Write::Replace { .. } | Write::Delete { .. }) => Written::Replaced,
        }
    }
}

/// A row in memory.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) entity: Box<[u8]>,
    pub(crate) hash: u64,
    pub(crate) row: Row,
    /// The stored blocks that make up the row, but for what is uncommitted.
    pub(crate) blocks: Vec<u64>,
    /// How many events, from the front, are in those blocks.
    pub(crate) stored: usize,
    /// Whether the blocks no longer make up a prefix of the row, so that it must be written whole.
    pub(crate) rewrite: bool,
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
            row: Row::new(spec),
            blocks: Vec::new(),
            stored: 0,
            rewrite: false,
            uncommitted: false,
            unpublished: false,
            counted: 0,
            recent: true,
        }
    }

    /// Counts anew the bytes that it takes; tells what was counted before, and now.
    pub(crate) fn count(&mut self) -> (usize, usize) {
        let blocks = self.blocks.capacity() * size_of::<u64>();
        let now = size_of::<Held>() + self.entity.len() + blocks + self.row.memory();
        (std::mem::replace(&mut self.counted, now), now)
    }

    /// Offers an event, keeping account of what is stored.
    pub(crate) fn offer(&mut self, spec: &RowSpec, event: &Event<'_>) -> Offer {
        let offer = self.row.offer(spec, event);
        if let Offer::Known(Insert::Applied { at }) = offer
            && at < self.stored
        {
            self.stored += 1;
            self.rewrite = true;
        }
        offer
    }

    /// Lets go of what is no longer kept.
    pub(crate) fn trim(&mut self, spec: &RowSpec, upto: Timestamp) -> usize {
        let gone = self.row.trim(spec, upto);
        // What was never stored is now beyond reach: only `kept_from` can tell that it was here.
        self.rewrite |= gone > self.stored || gone > 0 && spec.unbounded();
        self.stored = self.stored.saturating_sub(gone);
        gone
    }

    /// What must be written so that the blocks make up the row again.
    ///
    /// A row that has let go of everything is still written: its `kept_from` says that it may
    /// have been more, to whoever starts again with a clock that stands further back.
    pub(crate) fn write(&self, spec: &RowSpec, key: RowKey) -> Option<Write> {
        let version = Version::default();
        let unchanged = !self.rewrite && self.stored == self.row.events.len();
        if unchanged && (self.blocks.is_empty() || self.stored > 0) {
            return None;
        }
        if self.rewrite || self.blocks.len() >= BLOCKS || self.stored == 0 {
            let block = self.row.encode(spec, version);
            let old = self.blocks.clone();
            return Some(Write::Replace { key, block, old });
        }
        let tail = Row {
            version,
            kept_from: self.row.kept_from,
            base: None,
            events: self.row.events.tail(self.stored),
        };
        Some(Write::Append {
            key,
            block: tail.encode(spec, version),
        })
    }

    /// Notes that what [`Held::write`] gave, if anything, is stored under block number `seq`.
    pub(crate) fn written(&mut self, written: Written, seq: u64) {
        match written {
            Written::Nothing => return,
            Written::Appended => self.blocks.push(seq),
            Written::Replaced => self.blocks = vec![seq],
        }
        self.stored = self.row.events.len();
        self.rewrite = false;
    }
}

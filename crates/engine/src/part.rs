//! A stretch of a row that is stored as blocks: a sparse row, or one segment of a dense one.

use tiderace_aggregate::{Incoming, Insert, Offer, Row, RowSpec};
use tiderace_types::{Timestamp, Version, allocated};

/// Past this many blocks a part is written whole again.
const BLOCKS: usize = 8;

/// A part in memory, with how much of it is stored.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Part {
    pub(crate) row: Row,
    /// How many events, from the front, are surely in `blocks`. Later ones may be there as well:
    /// blocks may overlap, since a part is the union of them.
    pub(crate) stored: usize,
    /// Whether the blocks no longer make up a prefix of the part, so that it must be written whole.
    pub(crate) rewrite: bool,
    /// The stored blocks that make up the part, but for what is uncommitted.
    pub(crate) blocks: Vec<u64>,
}

/// A block to be written.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    /// The blocks that it replaces; `None` adds it to them.
    pub(crate) old: Option<Vec<u64>>,
}

/// How a commit writes a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Nothing,
    Appended,
    Replaced,
}

impl Written {
    pub(crate) fn how(block: Option<&Block>) -> Written {
        match block {
            None => Written::Nothing,
            Some(Block { old: None, .. }) => Written::Appended,
            Some(Block { old: Some(_), .. }) => Written::Replaced,
        }
    }
}

impl Part {
    /// A part that nothing is stored of.
    pub(crate) fn new(spec: &RowSpec) -> Part {
        Part::unstored(Row::new(spec))
    }

    /// The part that holds `row`, none of which is stored.
    pub(crate) fn unstored(row: Row) -> Part {
        Part {
            row,
            blocks: Vec::new(),
            stored: 0,
            rewrite: false,
        }
    }

    /// The part that `blocks` hold.
    pub(crate) fn stored(row: Row, blocks: Vec<u64>) -> Part {
        Part {
            stored: row.events.len(),
            row,
            blocks,
            rewrite: false,
        }
    }

    /// Offers an event, keeping account of what is stored.
    pub(crate) fn offer<E: Incoming>(&mut self, spec: &RowSpec, event: &E) -> Offer {
        let offer = self.row.offer(spec, event);
        if let Offer::Known(Insert::Applied { at }) = offer {
            // What lies behind it is written once more with it.
            self.stored = self.stored.min(at);
        }
        offer
    }

    /// Offers many events, keeping account of what is stored.
    pub(crate) fn offer_all<E: Incoming>(
        &mut self,
        spec: &RowSpec,
        events: &[E],
        mut each: impl FnMut(usize, Offer),
    ) {
        let stored = &mut self.stored;
        self.row.offer_all(spec, events, |index, offer| {
            if let Offer::Known(Insert::Applied { at }) = offer {
                *stored = (*stored).min(at);
            }
            each(index, offer);
        });
    }

    /// Takes in events before what it keeps; see [`Row::fold_past`].
    pub(crate) fn fold_past<E: Incoming>(
        &mut self,
        spec: &RowSpec,
        events: &[E],
        each: impl FnMut(usize, Offer),
    ) {
        self.row.fold_past(spec, events, each);
        if spec.unbounded() {
            // One write replaces every block that knows nothing of these.
            self.rewrite = true;
            self.stored = 0;
        }
    }

    /// How many events may be in no block.
    #[inline]
    pub(crate) fn pending(&self) -> usize {
        self.row.events.len() - self.stored
    }

    /// Lets go of what is no longer kept.
    pub(crate) fn trim(&mut self, spec: &RowSpec, upto: Timestamp) -> usize {
        let gone = self.row.trim(spec, upto);
        // What was never stored is now beyond reach: only `kept_from` can tell that it was here.
        self.rewrite |= gone > self.stored || gone > 0 && spec.unbounded();
        self.stored = self.stored.saturating_sub(gone);
        gone
    }

    /// What must be written so that the blocks make up the part again.
    ///
    /// One that has let go of everything is still written: its `kept_from` says that it may
    /// have been more, to whoever starts again with a clock that stands further back.
    pub(crate) fn write(&self, spec: &RowSpec) -> Option<Block> {
        let version = Version::default();
        let unchanged = !self.rewrite && self.stored == self.row.events.len();
        if unchanged && (self.blocks.is_empty() || self.stored > 0) {
            return None;
        }
        let len = self.row.events.len();
        if self.rewrite || self.blocks.len() >= BLOCKS || self.stored <= len / 4 {
            return Some(Block {
                bytes: self.row.encode(spec, version),
                old: Some(self.blocks.clone()),
            });
        }
        Some(Block {
            bytes: self.row.encode_tail(spec, version, self.stored),
            old: None,
        })
    }

    /// Notes that what [`Part::write`] gave, if anything, is stored under block number `seq`.
    pub(crate) fn written(&mut self, written: Written, seq: u64) {
        match written {
            Written::Nothing => return,
            Written::Appended => self.blocks.push(seq),
            Written::Replaced => self.blocks = vec![seq],
        }
        self.stored = self.row.events.len();
        self.rewrite = false;
    }

    /// How many bytes of memory it takes beside itself.
    pub(crate) fn memory(&self) -> usize {
        allocated(self.blocks.capacity() * size_of::<u64>()) + self.row.memory()
    }
}

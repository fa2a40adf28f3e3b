//! What a lane must read before it can go on, named for the shell to fetch.
//!
//! A row is asked for when a packet or a due instant first names it; the directory when the row
//! turns out to be the head of a dense one; segments when events belong to them or an anchor's
//! edges run through them. The shell asks [`Lane::wants`] until nothing is wanted.

use crate::dense::{Dense, Shared};
use crate::lane::{Lane, LaneError, held, read_blocks};
use crate::members::Offered;
use crate::packet::Packet;
use crate::part::Part;
use crate::table::Slot;
use tiderace_aggregate::{CodecError, Row, RowSpec};
use tiderace_types::{RowKey, SegmentKey, Timestamp};

/// Stored blocks with their numbers.
pub type Blocks = Vec<(u64, Vec<u8>)>;

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wants {
    /// Rows, each as its blocks.
    pub rows: Vec<RowKey>,
    /// Directories of dense rows, each as its entries by start.
    pub directories: Vec<RowKey>,
    /// Segments of dense rows, each as its blocks.
    pub segments: Vec<SegmentKey>,
}

/// What was read, each in the order it was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Found {
    /// Blocks of rows.
    pub rows: Vec<Blocks>,
    /// Entries of directories.
    pub directories: Vec<Vec<(Timestamp, Vec<u8>)>>,
    /// Blocks of segments.
    pub segments: Vec<Blocks>,
}

/// What was asked for last, by the places it belongs to.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) rows: Vec<(usize, Slot)>,
    pub(crate) directories: Vec<(usize, Slot)>,
    pub(crate) segments: Vec<(usize, Slot, Timestamp)>,
}

impl Asked {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.directories.is_empty() && self.segments.is_empty()
    }
}

impl Lane {
    /// What must be read before [`Lane::apply`] can take `packets`, which are prepared;
    /// `None` when nothing is missing. [`Lane::fill`] follows.
    pub fn wants(&mut self, packets: &[&Packet]) -> Option<Wants> {
        let mut asked = self.missing();
        if asked.is_empty() {
            for lacking in self.scratch.lacking.chunk_by(|(a, _), (b, _)| a == b) {
                let view = lacking[0].0;
                let offered = Offered::new(packets, view);
                for (_, member) in lacking {
                    let slot = member.slot();
                    let held = self.tables[view].get(slot);
                    let Some(dense) = held.and_then(|held| held.dense.as_ref()) else {
                        continue;
                    };
                    let segment = &dense.segments[dense.place(offered.time(*member))];
                    if segment.part.is_none() {
                        asked.segments.push((view, slot, segment.start));
                    }
                }
            }
        }
        self.ask(asked)
    }

    /// What must be read before [`Lane::anchor`]; `None` when nothing is missing.
    pub fn wants_anchors(&mut self) -> Option<Wants> {
        let mut asked = self.missing();
        if asked.is_empty() {
            let upto: Vec<Timestamp> = (0..self.views.len()).map(|view| self.upto(view)).collect();
            for due in &mut self.anchoring {
                let lane_view = &self.views[due.view];
                let Some(held) = self.tables[due.view].get(due.slot) else {
                    continue;
                };
                let Some(dense) = &held.dense else {
                    continue;
                };
                // Segments whose events are unknown may change the cuts once they are read.
                let spec = &lane_view.view.spec;
                let cuts = match due.cuts.take() {
                    Some(cuts) if due.reading => cuts,
                    _ => dense.cuts(spec, lane_view.density, due.at),
                };
                let upto = match due.reading {
                    true => Timestamp::MIN,
                    false => upto[due.view],
                };
                let wanted = dense.wanted(spec, &held.part.row, &cuts, upto).into_iter();
                let (view, slot) = (due.view, due.slot);
                asked
                    .segments
                    .extend(wanted.map(|start| (view, slot, start)));
                due.cuts = Some(cuts);
            }
        }
        self.ask(asked)
    }

    /// Rows and directories that have been named and are not there yet.
    fn missing(&mut self) -> Asked {
        let rows = std::mem::take(&mut self.scratch.missing);
        let directories = match rows.is_empty() {
            true => std::mem::take(&mut self.scratch.heads),
            false => Vec::new(),
        };
        Asked {
            rows,
            directories,
            segments: Vec::new(),
        }
    }

    fn ask(&mut self, mut asked: Asked) -> Option<Wants> {
        if asked.is_empty() {
            return None;
        }
        asked.segments.sort_unstable();
        asked.segments.dedup();
        let keys = |slots: &[(usize, Slot)]| {
            let keys = slots.iter().map(|(view, slot)| self.key(*view, *slot));
            keys.collect()
        };
        let segments = asked.segments.iter().map(|(view, slot, start)| SegmentKey {
            row: self.key(*view, *slot),
            start: *start,
        });
        let wants = Wants {
            rows: keys(&asked.rows),
            directories: keys(&asked.directories),
            segments: segments.collect(),
        };
        self.asked = asked;
        Some(wants)
    }

    /// Takes in what was wanted last.
    ///
    /// # Errors
    /// [`LaneError::Block`] when something of it does not read.
    pub fn fill(&mut self, found: Found) -> Result<(), LaneError> {
        let asked = std::mem::take(&mut self.asked);
        for ((view, slot), blocks) in asked.rows.iter().zip(found.rows) {
            self.fill_row(*view, *slot, &blocks)?;
        }
        for ((view, slot), entries) in asked.directories.iter().zip(found.directories) {
            let lane_view = &self.views[*view];
            let (spec, measures) = (&lane_view.view.spec, &lane_view.measures);
            if let Some(held) = held(&mut self.tables, *view, *slot) {
                let dense = Dense::read(entries, &held.part.row, spec, measures);
                held.dense = Some(Box::new(
                    dense.map_err(|error| LaneError::block(lane_view, error))?,
                ));
                let (before, now) = held.count();
                self.memory = (self.memory + now).saturating_sub(before);
                self.tables[*view].note_lacking(*slot);
            }
        }
        if !asked.directories.is_empty() {
            self.note_lacking();
        }
        for ((view, slot, start), blocks) in asked.segments.iter().zip(found.segments) {
            let lane_view = &self.views[*view];
            let row = read_blocks(lane_view, &blocks)?;
            let Some(held) = held(&mut self.tables, *view, *slot) else {
                continue;
            };
            if let Some(dense) = &mut held.dense {
                let blocks = blocks.into_iter().map(|(seq, _)| seq).collect();
                let place = dense.segments.binary_search_by_key(start, |s| s.start);
                if let Ok(place) = place {
                    dense.segments[place].part = Some(Part::stored(row, blocks));
                    let spec = &lane_view.view.spec;
                    dense.segments[place].summarise(spec, &lane_view.measures);
                    dense.whole = dense.segments.iter().all(|s| s.part.is_some());
                }
            }
            let (before, now) = held.count();
            self.memory = (self.memory + now).saturating_sub(before);
            self.tables[*view].note_lacking(*slot);
        }
        Ok(())
    }

    fn fill_row(&mut self, view: usize, slot: Slot, blocks: &Blocks) -> Result<(), LaneError> {
        let lane_view = &self.views[view];
        let spec = &lane_view.view.spec;
        let upto = self.upto(view);
        let row = read_blocks(lane_view, blocks)?;
        let Some(held) = held(&mut self.tables, view, slot) else {
            return Ok(());
        };
        let dense = row.head;
        held.part = Part::stored(row, blocks.iter().map(|(seq, _)| *seq).collect());
        if dense {
            self.scratch.heads.push((view, slot));
        } else {
            held.part.trim(spec, upto);
        }
        let (before, now) = held.count();
        self.memory = (self.memory + now).saturating_sub(before);
        Ok(())
    }
}

impl LaneError {
    pub(crate) fn block(view: &crate::LaneView, error: CodecError) -> LaneError {
        LaneError::Block {
            view: view.view.name.clone(),
            error,
        }
    }
}

/// Whether a row of so many events is dense.
pub(crate) fn is_dense(row: &Row, view: &crate::LaneView) -> bool {
    !row.head && row.events.len() > view.density.sparse && view.view.spec.whole().is_none()
}

/// The measures of a view.
pub(crate) fn measures(spec: &RowSpec) -> Shared {
    Shared::new(tiderace_aggregate::Measures::of(spec))
}

//! What comes out: blocks, what is remembered of a view, and what was noted of an archive.

use tiderace_types::{CoveredFrom, Generation, Timestamp};

/// One block of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The commit that wrote it; blocks of a row come in this order.
    pub seq: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What is remembered of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewState {
    /// The generation whose rows are live.
    pub generation: Generation,
    /// The meaning of that generation's rows.
    pub fingerprint: u64,
    /// Since when its rows hold every event.
    pub covered_from: CoveredFrom,
}

/// What was noted last of a source's archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveNote {
    /// The archive.
    pub archive: u64,
    /// The number that the keys were noted with.
    pub flush: u64,
    /// The least time among them.
    pub least: Timestamp,
    /// The greatest time among them.
    pub greatest: Timestamp,
}

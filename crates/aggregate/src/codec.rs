//! The byte form of rows: one codec for the online stores, state and history.
//!
//! ```text
//! version      16 bytes big-endian, first, so that stores can compare it
//! codec        1 byte, 1
//! flags        1 byte: 1 base, 2 never trimmed, 4 merged spans, 16 signed events: a
//!              bit of each says whether it is a retraction, 32 head of a dense row,
//!              64 what holds from the anchor of merged spans; reserved: 8 recent identities,
//!              128
//! fingerprint  8 bytes
//! kept_from    signed varint, unless never trimmed
//! base         if flagged: newest, then a partial per lifetime output
//! merged       if flagged: see `codec/merged.rs`
//! count        varint
//! times        unit byte (0 µs, 1 ms, 2 s), first signed, then differences
//! ids          by the spec's kind: differences, byte strings, or (partition, difference)
//! bits         if the spec has filters or is signed: 0 and one number for all, or 1 and one each
//! inputs       per column: nulls, form, values. Of integers: 0, and each signed; 1, the least
//!              signed, and what each has above it; 2, the least signed, bytes each (1 to 8), and
//!              so many of what each has above it, low ones first; 3, the least signed, and what
//!              each has above it as in `codec/fours.rs`
//! check        4 bytes: low half of the xxh3-64 of everything before
//! ```
//! Numbers are varints. A reserved flag is an error to this reader, so a later
//! writer cannot be misread.

mod base;
mod fours;
mod listed;
mod merged;
mod partial;
mod read;
pub use read::{is_merged, version_of};
mod write;

mod spent;
pub use spent::is_spent;

use tiderace_types::wire::WireError;

pub(crate) const CODEC: u8 = 1;

pub(crate) mod flag {
    pub const BASE: u8 = 1;
    pub const NEVER_TRIMMED: u8 = 2;
    pub const MERGED: u8 = 4;
    pub const SIGNED: u8 = 16;
    pub const HEAD: u8 = 32;
    pub const ANCHORED: u8 = 64;
    pub const KNOWN: u8 = BASE | NEVER_TRIMMED | MERGED | SIGNED | HEAD | ANCHORED;
}

/// Why bytes are not a row of this view.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A codec this binary does not know.
    #[error("row has codec {0}; this binary reads 1")]
    Codec(u8),
    /// Flags this binary does not know.
    #[error("row has flags {0:#010b}; this binary knows {known:#010b}", known = flag::KNOWN)]
    Flags(u8),
    /// Merged spans were written for other features than the definition has now.
    #[error("merged spans are of other features than the definition has")]
    Measures,
    /// The row was written under another definition.
    #[error("row has definition {found:016x}; expected {expected:016x}")]
    Fingerprint {
        /// The definition asked for.
        expected: u64,
        /// The definition it was written under.
        found: u64,
    },
    /// The bytes changed since they were written.
    #[error("row fails its checksum")]
    Checksum,
    /// Cut or malformed.
    #[error("row: {0}")]
    Wire(#[from] WireError),
}

/// The check at the end of a row.
pub(crate) fn check(bytes: &[u8]) -> [u8; 4] {
    (tiderace_types::hash_key(bytes) as u32).to_be_bytes()
}

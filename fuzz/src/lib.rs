//! What must hold of any bytes whatever that come from disks and networks: one property for each
//! kind of decoder, as a function from bytes that panics where it does not hold.
//!
//! `targets/` hands them to libFuzzer, `scripts/fuzz.sh` runs these for minutes with coverage;
//! `tests/seeds.rs` runs them over seeds and plain mutations of seeds, with every other test.
//!
//! # Laws
//! - No bytes make a decoder panic or hang, or hold more memory than so many times their length.
//! - What decodes encodes to bytes that decode to the same, and can be used in every way.

mod entries;
mod formats;
mod frames;
mod json;
mod markers;
mod planted;
mod rows;
pub mod seeds;
mod specs;
mod state;
mod stored;
mod wire;

pub use entries::entries;
pub use formats::{avro, changes, protobuf, schemas};
pub use frames::frames;
pub use json::json;
pub use markers::markers;
pub use rows::rows;
pub use state::state;
pub use wire::wire;

// The files of `state` that are included by their path name these of their own crate.
use stored::{self as error, ArchiveNote, Error, ViewState};

/// A property.
pub type Property = fn(&[u8]);

/// Every property by the name of its target.
pub const ALL: [(&str, Property); 11] = [
    ("rows", rows),
    ("entries", entries),
    ("markers", markers),
    ("wire", wire),
    ("state", state),
    ("frames", frames),
    ("json", json),
    ("avro", avro),
    ("protobuf", protobuf),
    ("changes", changes),
    ("schemas", schemas),
];

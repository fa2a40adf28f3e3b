//! What has a past: the archive, backfills, training sets.

mod error;
pub use error::{Error, Kind};

mod place;
pub use place::Place;

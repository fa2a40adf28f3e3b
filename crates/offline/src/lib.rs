//! What has a past: the archive, backfills, training sets.

pub mod archive;

mod error;
pub use error::{Error, Kind};

pub mod backfill;

mod progress;
pub use progress::Progress;

mod place;
pub use place::Place;

mod entities;

pub mod evidence;

pub mod history;

mod output;
pub use output::{Form, Output};

mod shelf;
pub use shelf::Room;

pub mod sql;

pub mod table;

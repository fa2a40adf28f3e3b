//! The one pure step: records in, rows forward, effects out.
//!
//! ```text
//! records ─► Intake (per source: clocks, acceptance, expressions, keys) ─► Packet
//! Packet ─► Lane (per shard range: rows, positions) ─► commits, publications, markers
//! ```
//! Nothing here reads a clock, a disk or a socket: what is needed is an
//! argument, what is decided is a value. The live loop, backfill, history and
//! simulations drive the same code.

mod packet;
pub use packet::{Input, Origin, Packet, PacketIds, ViewBatch};
mod pack;
pub use pack::Words;

mod home;
pub use home::{Homes, Speakers};

mod intake;
pub use intake::{Accepted, Intake, IntakeCounts, Taken};

mod evaluate;

mod routing;
pub use routing::{Owners, Routed};

mod past;
pub use past::{LEFT_FROM, Past, PastCounts, PastEvents, PastTaken, row_number};

mod pushed;
pub use pushed::PushReader;

mod density;
mod part;
pub use density::Density;
mod anchor;
mod bundle;
mod dense;
mod entity;
mod held;
mod table;

mod apply;
mod lane;
mod members;
mod order;
mod slice;
pub use lane::{Applied, Lane, LaneError, LaneView, ViewCounts};
pub use members::TOGETHER;
pub use slice::{recut, recut_ledgers};

mod loading;
pub use loading::{Blocks, Found, Wants};
mod answers;
mod due;

mod outlet;
pub use outlet::{Chunk, Publication, Stored};

mod feed;
pub use feed::{Fed, FeedBatch, FeedBounds, FeedRow, FeedStanding, FeedStored, Look};

mod cuts;
pub use cuts::{Clocks, Cuts, least_clocks};

mod progress;
pub use progress::Sample;

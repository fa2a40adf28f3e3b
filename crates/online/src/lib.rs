//! Where readers look: published rows and the markers that say how far they go.
//!
//! A [`Store`] is Redis, an embedded RocksDB, or memory; all three pass one
//! conformance suite. What is here is derived: it can be rebuilt from the state
//! at any time, so nothing waits for a disk.
//!
//! **Fencing.** A row's first 16 bytes are its version. A write never replaces a
//! row of the same or a greater version, and that is success: whoever wrote it
//! knew at least as much. So an owner that was paused, replaced and woken cannot
//! put anything old over anything new, and every write may be repeated.
//!
//! **Markers.** A lane writes its marker after the rows it speaks for, naming
//! the version it wrote before. [`MarkerWrite::Lost`] means that the store is not
//! the one this lane left (emptied, restored, failed over): everything must be
//! published again. [`MarkerWrite::Fenced`] means that a newer owner has the
//! shards: this lane must stop.
//!
//! **Expiry.** A row may carry a time to live; an expired row is absent, to
//! readers and to fencing alike.
//!
//! **Errors** carry a [`Kind`]: with [`Kind::Retry`] the call did not succeed in
//! time and may or may not have happened; repeating it is always safe. No message
//! and no `Debug` form shows a password.
//!
//! **Parts.** A Redis Cluster is a store of many parts ([`Part`]), each with markers of its own
//! beside its rows: one server can lose what it holds alone. A lane's [`Writer`] tells which part
//! has lost what.
//!
//! **Lacks on purpose.** Default values (an unreadable store is an error, never
//! an empty row), knowledge of what rows mean.

mod error;
pub use error::{Error, Kind};

mod model;
pub use model::{Found, MarkerWrite, RowWrite, Witnesses};

mod part;
pub use part::Part;

mod clock;
pub use clock::Clock;

mod store;
pub use store::Store;

mod writer;
pub use writer::{Loss, Lost, Marked, Writer};

mod redis;
pub use redis::{
    Login as RedisLogin, RedisAccess, RedisOptions, RedisStore, Sentinel as RedisSentinel,
};

mod embedded;
pub use embedded::{EmbeddedOptions, EmbeddedStore};

mod memory;
pub use memory::MemoryStore;

mod fence;

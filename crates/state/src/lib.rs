//! Where rows live, atomically with the progress they stand for.
//!
//! A [`Store`] is one RocksDB (or its in-memory twin) per process. A lane hands
//! it a [`Commit`]: row blocks, the lane's positions and what it now owes the
//! online store, and all of it becomes true in one write or not at all. What is
//! recovered after a crash is an exact prefix of each lane's commits.
//!
//! **Promises.** One commit is one atomic write. Every acknowledged commit
//! survives the death of the process; [`Store::sync`] (or a synced write) makes
//! everything before it survive the loss of power. Every write takes a link to the one before it
//! (`tiderace_durable::links`, under a name of its own in `01`), so that what opens is an earlier state or an error, and
//! never one with a hole. The epoch rises, durably, at
//! every opening; a commit's number is never given twice, not even when a lost
//! tail of the log took the first one with it. Damage is an error of kind
//! [`Kind::Corrupt`], never a different answer.
//!
//! **Layout** (format 1). Every key starts with its table's byte; numbers are
//! big-endian, so that byte order is number order:
//!
//! | table | key | value |
//! |---|---|---|
//! | `01` meta | name | bytes |
//! | `02` view | view u32 | generation, fingerprint, covered from |
//! | `03` positions | first u8, last u8 | positions |
//! | `04` outbox | commit u64, first u8, last u8 | row keys |
//! | `05` row | shard u8, view u32, generation u32, length u16, entity, commit u64 | block |
//! | `06` segment | as row, but start i64 (sign flipped) before the commit | block |
//! | `07` directory | as segment, without the commit | what is said of the segment |
//! | `08` ledger | first u8, last u8 | counts by source and name |
//! | `09` archived | source u32, time i64 (sign flipped), identity | number of the flush u64 |
//!
//! The shard leads, so that a range of shards is one contiguous scan; the length
//! before the entity makes a row's blocks contiguous and the form bijective for
//! any entity bytes. A row is the blocks that share all but the last eight bytes.
//! That prefix is what the bloom filters hold: an absent row is answered without
//! reading a block, and a row of many blocks costs one filter entry per file. A
//! block is put once and deleted once under a number that never returns, which is
//! the condition for single deletes: a block that is folded before it is flushed
//! leaves nothing behind. A dense row is a head in `05` and segments by time in `06`; its
//! directory in `07` is small and read whole, so that the segments need not be.
//!
//! **Measured** by `tests/absent_rows.rs` (100,000 rows of 3 blocks of 200
//! incompressible bytes, 2 busy cores): commit 3.4 µs a block, load 2.6 µs a row, an
//! absent row 1.1 µs with fewer than one block read per hundred, 18 bytes a block of overhead.
//!
//! **Lacks on purpose.** No knowledge of what a block means, no expiry of its own (what
//! nothing can see any more is named by whoever sweeps, who knows: [`Store::sweep`]), no
//! reads of its own on the commit path, no async.

mod error;
pub use error::{Error, Kind};

mod commit;
pub use commit::{ArchiveNote, Block, ViewState};
pub use tiderace_types::{Commit, SegmentChange, SegmentKey, SegmentWrite, Write};

mod store;
pub use store::Store;

mod archived;

mod sweep;
pub use sweep::{Spent, Sweep, Weight};

mod rocks;
pub use rocks::{Memory, Options, RocksStore};

mod memory;
pub use memory::MemoryStore;

mod codec;
mod key;
mod opening;
mod write;

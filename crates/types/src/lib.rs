//! The words every other crate speaks: time, values, keys, positions, versions.
//!
//! Pure data and its byte forms. No I/O, no clock, no randomness, no async.

mod time;
pub use time::{Duration, ParseDurationError, Timestamp};

mod value;
pub use value::{DataType, Value};

mod column;
pub use column::{Column, TimeUnit};

mod key;
pub use key::{KeyBytes, KeyError, decode_key, encode_int_key, encode_key, encode_key_value};

mod shard;
pub use shard::{SHARDS, Shard, ShardRange, Share, hash_key, hash_word};

mod version;
pub use version::Version;

mod position;
pub use position::{Partition, PartitionPosition, Positions, SourceId};

mod record;
pub use record::{DeadLetter, Dropped, Reason, RecordBatch, RecordMeta};

mod ledger;
pub use ledger::{Ledger, Outcome, READ};

mod row;
pub use row::{Generation, RowKey, ViewId};

mod commit;
pub use commit::{Commit, SegmentChange, SegmentKey, SegmentWrite, Write};

mod marker;
pub use marker::{CoveredFrom, Marker, MarkerError, MarkerHead, ViewMarker};

mod allocation;
pub use allocation::allocated;

pub mod arrays;
pub mod base64;
pub mod wire;

//! The embedded durable log: one partition in a directory of segment files.
//!
//! It plays Kafka's part where there is none: pushed events are acknowledged
//! once they are on disk here, and state is rebuilt from here.
//!
//! **Laws.** Offsets have no gaps. What an append with [`Durability::Disk`]
//! acknowledged survives a crash of the machine; readers never see a record
//! that such a crash could take back (appends with [`Durability::Process`]
//! give that up knowingly). A torn end, which was never synced, is cut on opening and
//! reported; damage anywhere else is an error that names file and byte, never a shorter log.
//! One process has the directory at a time. A failed write is taken
//! back; after a failed sync nothing more is accepted until it is opened anew.

mod lock;

mod frame;

mod segment;

mod mark;

mod recover;
pub use recover::Repair;

mod append;

mod reader;
pub use reader::LogReader;

use crate::{Error, Reader};
use append::Shared;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use tiderace_types::{SourceId, Timestamp};

/// The log. Clones are the same log; it closes with the last clone and reader.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
}

/// When an append is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk: it survives a crash of the machine. Concurrent appends share one sync.
    Disk,
    /// When the system has it: it survives a crash of the process.
    Process,
}

/// How the log lays out its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// A segment is closed when it would grow past so many bytes.
    pub segment_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: 64 << 20,
        }
    }
}

impl Log {
    /// Opens the log in `dir`, made if absent, with segments of 64 MiB.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when another process has it or the directory
    /// cannot be used; [`crate::Kind::Corrupt`] when acknowledged records are damaged.
    pub fn open(dir: impl AsRef<Path>) -> Result<Log, Error> {
        Log::open_with(dir, LogOptions::default())
    }

    /// Opens the log in `dir` with `options`.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_with(dir: impl AsRef<Path>, options: LogOptions) -> Result<Log, Error> {
        let shared = Arc::new(recover::open(dir.as_ref(), options)?);
        Ok(Log { shared })
    }

    /// Appends records, all or none of which are then in the log; returns their offsets.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a record above 64 MiB; [`crate::Kind::Retry`]
    /// when it could not be written (a full disk) and is not there;
    /// [`crate::Kind::Closed`] after a failed sync, when it may or may not be.
    pub fn append(
        &self,
        payloads: &[&[u8]],
        now: Timestamp,
        durability: Durability,
    ) -> Result<Range<i64>, Error> {
        self.shared.append(payloads, now, durability)
    }

    /// Puts everything appended on disk.
    ///
    /// # Errors
    /// [`crate::Kind::Closed`] when the sync fails.
    pub fn sync(&self) -> Result<(), Error> {
        self.shared.sync_all()
    }

    /// Reads from offset `from` on.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when `from` is no longer or not yet there.
    pub fn reader(&self, from: i64, source: SourceId) -> Result<Reader, Error> {
        LogReader::open(Arc::clone(&self.shared), from, source).map(Reader::Log)
    }

    /// The offset after the last record that readers can see.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.shared.visible()
    }

    /// The first offset that is still there.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.shared.start()
    }

    /// Removes whole segments that hold only records before `offset`.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove_before(&self, offset: i64) -> Result<(), Error> {
        self.shared.remove_before(offset)
    }

    /// What was cut from a torn end when the log was opened.
    #[must_use]
    pub fn repair(&self) -> Option<&Repair> {
        self.shared.repair.as_ref()
    }
}

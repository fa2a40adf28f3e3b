//! Appending, and one sync for all who wait.

use super::frame;
use super::lock::Lock;
use super::mark::{Mark, Place};
use super::recover::Repair;
use super::segment::Segment;
use super::{Durability, LogOptions};
use crate::{Error, Kind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tiderace_durable::failpoint::{self, Step};
use tiderace_types::Timestamp;

/// What appenders and readers share.
#[derive(Debug)]
pub struct Shared {
    pub dir: PathBuf,
    pub options: LogOptions,
    pub repair: Option<Repair>,
    /// Held while the log is open.
    pub _lock: Lock,
    pub mark: Mark,
    pub state: Mutex<State>,
    /// Rings when more can be seen, or the log has failed.
    pub seen: Condvar,
    /// Rings when a sync has ended.
    pub synced: Condvar,
}

/// Where the log stands.
#[derive(Debug)]
pub struct State {
    /// All segments by base; the last one grows.
    pub segments: Vec<Arc<Segment>>,
    /// The byte after the last whole frame of the last segment.
    pub tail: u64,
    /// The offset after the last record written.
    pub written: i64,
    /// The offset after the last record known to be on disk.
    pub durable: i64,
    /// The offset after the last record that readers may see.
    pub visible: i64,
    /// Whether some thread is syncing.
    pub syncing: bool,
    /// Why nothing is accepted any more.
    pub failure: Option<String>,
}

impl State {
    /// The growing segment.
    pub fn last(&self) -> &Arc<Segment> {
        self.segments
            .last()
            .expect("a log has a segment from its opening on")
    }

    fn check(&self) -> Result<(), Error> {
        match &self.failure {
            None => Ok(()),
            Some(why) => Err(Error::new(
                Kind::Closed,
                format!("the log has failed: {why}"),
            )),
        }
    }
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn visible(&self) -> i64 {
        self.state().visible
    }

    pub fn start(&self) -> i64 {
        self.state().segments[0].base
    }

    pub fn append(
        &self,
        payloads: &[&[u8]],
        now: Timestamp,
        durability: Durability,
    ) -> Result<Range<i64>, Error> {
        let frames = frames(payloads, now)?;
        let mut state = self.state();
        state.check()?;
        let from = state.written;
        if payloads.is_empty() {
            return Ok(from..from);
        }
        self.write(&mut state, &frames, payloads.len())?;
        let to = state.written;
        match durability {
            Durability::Disk => self.sync_until(state, to)?,
            Durability::Process => {
                state.visible = to;
                self.seen.notify_all();
            }
        }
        Ok(from..to)
    }

    /// Writes whole frames at the end; a part that was written is taken back.
    fn write(&self, state: &mut State, frames: &[u8], count: usize) -> Result<(), Error> {
        let full = state.tail + frames.len() as u64 > self.options.segment_bytes;
        if full && state.written > state.last().base {
            self.roll(state)?;
        }
        let segment = Arc::clone(state.last());
        let write = || segment.file.write_all_at(frames, state.tail);
        if let Err(cause) = failpoint::around(Step::LogAppend, |injected| injected, write) {
            return match segment.file.set_len(state.tail) {
                Ok(()) => Err(Error::io("write", &segment.path, &cause)),
                Err(cause) => {
                    let error = Error::io("take back a torn write of", &segment.path, &cause);
                    Err(self.fail(state, &error))
                }
            };
        }
        segment.remember(state.written, state.tail);
        state.tail += frames.len() as u64;
        state.written += i64::try_from(count).expect("a batch has fewer than 2^63 records");
        Ok(())
    }

    /// Closes the last segment, durably, and begins the next one.
    fn roll(&self, state: &mut State) -> Result<(), Error> {
        let full = Arc::clone(state.last());
        if let Err(cause) = full.file.sync_data() {
            return Err(self.fail(state, &Error::io("sync", &full.path, &cause)));
        }
        state.durable = state.written;
        state.visible = state.visible.max(state.durable);
        let next = Segment::create(&self.dir, state.written)?;
        self.note(Place {
            base: next.base,
            byte: frame::HEAD,
        });
        state.segments.push(Arc::new(next));
        state.tail = frame::HEAD;
        Ok(())
    }

    /// Accepts nothing more, and tells all who wait.
    fn fail(&self, state: &mut State, error: &Error) -> Error {
        state.failure = Some(error.to_string());
        self.seen.notify_all();
        self.synced.notify_all();
        Error::new(Kind::Closed, error.to_string())
    }

    pub fn sync_all(&self) -> Result<(), Error> {
        let state = self.state();
        state.check()?;
        let to = state.written;
        self.sync_until(state, to)
    }

    /// Waits until everything before `offset` is on disk. One thread at a time
    /// syncs, for all who have written before it began.
    fn sync_until<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        offset: i64,
    ) -> Result<(), Error> {
        while state.durable < offset {
            state.check()?;
            if state.syncing {
                let waited = self.synced.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.syncing = true;
            let target = state.written;
            let segment = Arc::clone(state.last());
            let place = Place {
                base: segment.base,
                byte: state.tail,
            };
            drop(state);
            let sync = || segment.file.sync_data();
            let result = failpoint::around(Step::LogSync, |injected| injected, sync);
            if result.is_ok() {
                self.note(place);
            }
            state = self.state();
            state.syncing = false;
            match result {
                Ok(()) => state.durable = state.durable.max(target),
                Err(cause) => {
                    // After a failed sync the system may have dropped the pages: nothing is sure.
                    self.fail(&mut state, &Error::io("sync", &segment.path, &cause));
                }
            }
            state.visible = state.visible.max(state.durable);
            self.synced.notify_all();
            self.seen.notify_all();
        }
        Ok(())
    }

    /// Notes how far the log is on disk. What cannot be noted is on disk all the same.
    fn note(&self, place: Place) {
        let injected = |cause| Error::io("note", &self.dir, &cause);
        let noted = failpoint::around(Step::LogNote, injected, || self.mark.note(place));
        if let Err(error) = noted {
            tracing::warn!(%error, "a later damage of the log may pass for a torn end");
        }
    }

    /// Waits until the record at `offset` can be seen; returns how far one may read.
    pub fn wait_for(&self, offset: i64, timeout: Duration) -> MutexGuard<'_, State> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state();
        while state.visible <= offset && state.failure.is_none() {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => timeout,
            };
            if left.is_zero() {
                break;
            }
            let waited = self.seen.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    pub fn remove_before(&self, offset: i64) -> Result<(), Error> {
        let mut state = self.state();
        while state.segments.len() > 1 && state.segments[1].base <= offset {
            let path = &state.segments[0].path;
            std::fs::remove_file(path).map_err(|cause| Error::io("remove", path, &cause))?;
            state.segments.remove(0);
        }
        Ok(())
    }
}

fn frames(payloads: &[&[u8]], now: Timestamp) -> Result<Vec<u8>, Error> {
    let size: usize = payloads.iter().map(|payload| payload.len()).sum();
    let mut frames = Vec::with_capacity(size + payloads.len() * frame::FRAME_HEAD);
    for payload in payloads {
        if payload.len() > frame::MAX_PAYLOAD {
            return Err(Error::invalid(format!(
                "a record of {} bytes is above the limit of {}",
                payload.len(),
                frame::MAX_PAYLOAD
            )));
        }
        frame::put(payload, now, &mut frames);
    }
    Ok(frames)
}

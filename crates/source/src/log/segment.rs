//! One segment file: its name, its handle, and where some of its records lie.

use super::frame::{self, Frame, HEAD, NoFrame};
use crate::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tiderace_durable::failpoint::{self, Step};
use tiderace_durable::folder;

/// A place is remembered at most every so many bytes.
const STRIDE: u64 = 128 << 10;
/// How much is read at once.
const CHUNK: usize = 256 << 10;

/// A file of consecutive records.
#[derive(Debug)]
pub struct Segment {
    /// The offset of its first record.
    pub base: i64,
    /// Its file.
    pub path: PathBuf,
    /// The file, open for reading and, in the newest segment, writing.
    pub file: File,
    /// Some (offset, byte) places, rising; the first is always there.
    places: Mutex<Vec<(i64, u64)>>,
}

/// The name of the segment that begins with `base`.
pub fn file_name(base: i64) -> String {
    format!("{base:020}.log")
}

/// The base of a segment's name.
pub fn parse_file_name(name: &str) -> Option<i64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

impl Segment {
    /// Opens an existing file.
    pub fn open(dir: &Path, base: i64) -> Result<Segment, Error> {
        let path = dir.join(file_name(base));
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|cause| Error::io("open", &path, &cause))?;
        Ok(Segment::new(base, path, file))
    }

    /// Makes a new file with its head, durably.
    pub fn create(dir: &Path, base: i64) -> Result<Segment, Error> {
        let path = dir.join(file_name(base));
        let create = || -> std::io::Result<File> {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(true);
            let file = file.open(&path)?;
            file.write_all_at(&frame::segment_head(base), 0)?;
            file.sync_all()?;
            folder::sync(dir)?;
            Ok(file)
        };
        let file = failpoint::around(Step::LogCreate, |injected| injected, create);
        let file = file.map_err(|cause| Error::io("create", &path, &cause))?;
        Ok(Segment::new(base, path, file))
    }

    fn new(base: i64, path: PathBuf, file: File) -> Segment {
        Segment {
            base,
            path,
            file,
            places: Mutex::new(vec![(base, HEAD)]),
        }
    }

    /// How long the file is.
    pub fn length(&self) -> Result<u64, Error> {
        let data = self.file.metadata();
        let data = data.map_err(|cause| Error::io("look at", &self.path, &cause))?;
        Ok(data.len())
    }

    /// Remembers that `offset` lies at `byte`, if the last remembered place is far enough away.
    pub fn remember(&self, offset: i64, byte: u64) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.last().is_none_or(|last| byte >= last.1 + STRIDE) {
            places.push((offset, byte));
        }
    }

    /// The remembered place nearest before `offset`.
    pub fn place_before(&self, offset: i64) -> (i64, u64) {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let after = places.partition_point(|place| place.0 <= offset);
        places[after.max(1) - 1]
    }
}

/// Reads a segment's frames in order through a buffer of its own.
#[derive(Debug)]
pub struct Cursor {
    /// The offset of the next frame.
    pub offset: i64,
    /// The byte of the next frame in the file.
    pub byte: u64,
    buffer: Vec<u8>,
    /// Where the next frame begins in the buffer.
    at: usize,
}

impl Cursor {
    /// A cursor at a known place.
    pub fn new((offset, byte): (i64, u64)) -> Cursor {
        Cursor {
            offset,
            byte,
            buffer: Vec::new(),
            at: 0,
        }
    }

    /// Reads more of the file, to hold at least so many bytes; false when there is no more.
    fn refill(&mut self, segment: &Segment, least: usize) -> Result<bool, Error> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let held = self.buffer.len();
        self.buffer.resize(least.max(CHUNK), 0);
        let mut filled = held;
        while filled < self.buffer.len() {
            let place = self.byte + filled as u64;
            match segment.file.read_at(&mut self.buffer[filled..], place) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(Error::io("read", &segment.path, &cause)),
            }
        }
        self.buffer.truncate(filled);
        Ok(filled > held)
    }

    /// The frame here, or why there is none.
    pub fn peek(&mut self, segment: &Segment) -> Result<Result<Frame<'_>, NoFrame>, Error> {
        while let Err(NoFrame::Short(least)) = frame::measure(&self.buffer[self.at..]) {
            if !self.refill(segment, least)? {
                break;
            }
        }
        Ok(frame::get(&self.buffer[self.at..]))
    }

    /// Steps over the frame of `length` bytes here.
    pub fn step(&mut self, segment: &Segment, length: usize) {
        self.at += length;
        self.byte += length as u64;
        self.offset += 1;
        segment.remember(self.offset, self.byte);
    }
}

//! Opening a log: its segments, and the end of the last one.
//!
//! A process that dies while writing leaves part of its last write, and a machine any pages of
//! what was not synced: such a torn end is cut. What is bad before the place up to which
//! the log was synced (`mark`) is no torn end but damage to records that may have been
//! acknowledged, and opening fails.

use super::LogOptions;
use super::append::{Shared, State};
use super::frame::{self, FRAME_HEAD, HEAD};
use super::lock::Lock;
use super::mark::{Mark, Place};
use super::segment::{Cursor, Segment, file_name, parse_file_name};
use crate::Error;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use tiderace_durable::failpoint::{self, Step};
use tiderace_durable::folder;

/// What was cut from a torn end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The segment's file.
    pub path: PathBuf,
    /// The byte from which it was cut.
    pub byte: u64,
    /// How many bytes were cut.
    pub cut: u64,
}

/// Opens the log in `dir`.
pub fn open(dir: &Path, options: LogOptions) -> Result<Shared, Error> {
    folder::create(dir).map_err(|cause| Error::io("create", dir, &cause))?;
    let lock = Lock::take(dir)?;
    let (mark, synced) = Mark::open(dir)?;
    let mut bases = bases(dir)?;
    let last = bases.last().copied().unwrap_or(i64::MIN);
    if let Some(synced) = synced.filter(|synced| synced.base > last) {
        let path = dir.join(file_name(synced.base));
        let what = format!(
            "the segment is gone, of which {} bytes were on disk",
            synced.byte
        );
        return Err(Error::corrupt(&path, 0, what));
    }
    // Of a segment that is newer than the note nothing was synced yet.
    let vouched = synced.map(|synced| match synced.base == last {
        true => synced.byte,
        false => 0,
    });
    let mut repair = None;
    if let Some(&base) = bases.last() {
        repair = drop_unborn(dir, base, vouched)?;
        if repair.is_some() {
            bases.pop();
        }
    }
    let mut segments = Vec::with_capacity(bases.len() + 1);
    for &base in &bases {
        let segment = Segment::open(dir, base)?;
        check_head(&segment)?;
        segments.push(Arc::new(segment));
    }
    if segments.is_empty() {
        // A log whose only segment was not born yet begins where that one would have.
        let base = repair
            .as_ref()
            .and_then(|repair: &Repair| base_of(&repair.path));
        segments.push(Arc::new(Segment::create(dir, base.unwrap_or(0))?));
    }
    let last = Arc::clone(&segments[segments.len() - 1]);
    let (written, tail) = find_end(&last)?;
    let length = last.length()?;
    if let Some(vouched) = vouched.filter(|vouched| tail < *vouched) {
        let what = format!("a damaged record: the log was on disk up to byte {vouched}");
        return Err(Error::corrupt(&last.path, tail, what));
    }
    if length > tail {
        if vouched.is_none() {
            refuse_whole_frames(&last, tail, length)?;
        }
        let injected = |cause| Error::io("cut", &last.path, &cause);
        repair = Some(failpoint::around(Step::LogCut, injected, || {
            cut(&last, tail, length)
        })?);
    }
    if let Some(repair) = &repair {
        tracing::warn!(path = %repair.path.display(), byte = repair.byte, cut = repair.cut, "cut a torn end");
    }
    // What the last process left unsynced becomes durable before anyone reads it.
    let synced = last.file.sync_all();
    synced.map_err(|cause| Error::io("sync", &last.path, &cause))?;
    mark.note(Place {
        base: last.base,
        byte: tail,
    })?;
    mark.sync()?;
    let named = folder::sync(dir);
    named.map_err(|cause| Error::io("sync", dir, &cause))?;
    Ok(Shared {
        dir: dir.to_owned(),
        options,
        repair,
        _lock: lock,
        mark,
        state: Mutex::new(State {
            segments,
            tail,
            written,
            durable: written,
            visible: written,
            syncing: false,
            failure: None,
        }),
        seen: Condvar::new(),
        synced: Condvar::new(),
    })
}

/// The bases of all segments, rising.
fn bases(dir: &Path) -> Result<Vec<i64>, Error> {
    let io = |cause| Error::io("list", dir, &cause);
    let mut bases = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        bases.extend(name.to_str().and_then(parse_file_name));
    }
    bases.sort_unstable();
    Ok(bases)
}

fn base_of(path: &Path) -> Option<i64> {
    path.file_name()?.to_str().and_then(parse_file_name)
}

/// Removes the last segment if the process died before its head was written.
fn drop_unborn(dir: &Path, base: i64, vouched: Option<u64>) -> Result<Option<Repair>, Error> {
    let segment = Segment::open(dir, base)?;
    let length = segment.length()?;
    let born = length > HEAD || length == HEAD && !is_blank(&segment)?;
    if born || vouched.is_some_and(|vouched| vouched > 0) {
        return Ok(None);
    }
    std::fs::remove_file(&segment.path)
        .map_err(|cause| Error::io("remove", &segment.path, &cause))?;
    Ok(Some(Repair {
        path: segment.path,
        byte: 0,
        cut: length,
    }))
}

/// Tells whether a head has its length and not its bytes, as a power cut may leave it.
fn is_blank(segment: &Segment) -> Result<bool, Error> {
    let mut head = [0; HEAD as usize];
    let read = segment.file.read_exact_at(&mut head, 0);
    read.map_err(|cause| Error::io("read", &segment.path, &cause))?;
    Ok(head == [0; HEAD as usize])
}

fn check_head(segment: &Segment) -> Result<(), Error> {
    let mut head = [0; HEAD as usize];
    let read = segment.file.read_exact_at(&mut head, 0);
    read.map_err(|cause| Error::io("read", &segment.path, &cause))?;
    if head != frame::segment_head(segment.base) {
        let what = "this is not the head of a log segment of version 1 with the file's offset";
        return Err(Error::corrupt(&segment.path, 0, what));
    }
    Ok(())
}

/// The offset and byte after the last whole frame.
fn find_end(segment: &Segment) -> Result<(i64, u64), Error> {
    let mut cursor = Cursor::new((segment.base, HEAD));
    loop {
        match cursor.peek(segment)? {
            Ok(frame) => {
                let length = frame.length();
                cursor.step(segment, length);
            }
            Err(_) => return Ok((cursor.offset, cursor.byte)),
        }
    }
}

/// Refuses whole frames beyond `tail`, which is bad: they may have been acknowledged.
fn refuse_whole_frames(segment: &Segment, tail: u64, length: u64) -> Result<(), Error> {
    let rest = usize::try_from(length - tail).unwrap_or(usize::MAX);
    let mut beyond = vec![0; rest];
    let read = segment.file.read_exact_at(&mut beyond, tail);
    read.map_err(|cause| Error::io("read", &segment.path, &cause))?;
    if let Some(place) = whole_frame(&beyond) {
        let what = format!(
            "a damaged record, with whole ones after it from byte {}",
            tail + place as u64
        );
        return Err(Error::corrupt(&segment.path, tail, what));
    }
    Ok(())
}

/// Cuts the file after `tail`.
fn cut(segment: &Segment, tail: u64, length: u64) -> Result<Repair, Error> {
    let truncated = segment.file.set_len(tail);
    truncated.map_err(|cause| Error::io("cut", &segment.path, &cause))?;
    Ok(Repair {
        path: segment.path.clone(),
        byte: tail,
        cut: length - tail,
    })
}

/// Where the first whole frame after the start of `bytes` lies.
fn whole_frame(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(FRAME_HEAD)?;
    (1..=last).find(|&place| frame::get(&bytes[place..]).is_ok())
}

//! How far the log is known to be on disk: what tells a torn end from damage.
//!
//! After every sync the place is noted in a file of its own (`synced`), without waiting for the
//! disk. What lies before the place was acknowledged, or may have been: a bad or missing record
//! there is damage. What lies behind it was never synced: after a loss of power the system may
//! have kept any of its pages and not others, so a whole record behind a bad one says
//! nothing. An older note is true as well, it only vouches for less; without a note, as in a log
//! of before, whole records behind a bad one are taken for acknowledged ones.
//!
//! The file is `TRSYNC\0\x01`, the segment's base (i64 LE), the byte (u64 LE) and the CRC-32 of these.

use crate::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"TRSYNC\0\x01";
const LENGTH: usize = 28;

/// A place in the log up to which it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The segment.
    pub base: i64,
    /// The byte in it.
    pub byte: u64,
}

/// The note, open for writing.
#[derive(Debug)]
pub struct Mark {
    file: File,
    path: PathBuf,
}

impl Mark {
    /// Opens the note of the log in `dir`, made if absent, and tells what it says; `None` where
    /// it is new or unreadable.
    pub fn open(dir: &Path) -> Result<(Mark, Option<Place>), Error> {
        let path = dir.join("synced");
        let open = || -> std::io::Result<(File, Vec<u8>)> {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(false);
            let file = options.open(&path)?;
            let mut bytes = vec![0; LENGTH];
            let place = match file.read_exact_at(&mut bytes, 0) {
                Ok(()) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Vec::new(),
                Err(error) => return Err(error),
            };
            Ok((file, place))
        };
        let (file, bytes) = open().map_err(|cause| Error::io("open", &path, &cause))?;
        Ok((Mark { file, path }, decode(&bytes)))
    }

    /// Notes a place, without waiting for the disk.
    pub fn note(&self, place: Place) -> Result<(), Error> {
        let written = self.file.write_all_at(&encode(place), 0);
        written.map_err(|cause| Error::io("write", &self.path, &cause))
    }

    /// Waits until the note is on disk.
    pub fn sync(&self) -> Result<(), Error> {
        let synced = self.file.sync_all();
        synced.map_err(|cause| Error::io("sync", &self.path, &cause))
    }
}

fn encode(place: Place) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&place.base.to_le_bytes());
    bytes[16..24].copy_from_slice(&place.byte.to_le_bytes());
    let check = crc32fast::hash(&bytes[..24]);
    bytes[24..].copy_from_slice(&check.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Place> {
    let (base, rest) = bytes.strip_prefix(&MAGIC)?.split_first_chunk::<8>()?;
    let (byte, check) = rest.split_first_chunk::<8>()?;
    let place = Place {
        base: i64::from_le_bytes(*base),
        byte: u64::from_le_bytes(*byte),
    };
    (check.len() == 4 && encode(place) == *bytes).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_form_is_golden() {
        let place = Place {
            base: 258,
            byte: 65_537,
        };
        let bytes = encode(place);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("golden_mark_v1.hex").trim());
        assert_eq!(decode(&bytes), Some(place));
    }

    #[test]
    fn any_flipped_or_missing_byte_says_nothing() {
        let bytes = encode(Place { base: 7, byte: 99 });
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None);
            let mut flipped = bytes;
            flipped[cut] ^= 4;
            assert_eq!(decode(&flipped), None, "byte {cut}");
        }
    }
}

//! What a reader remembers of a topic beside positions, so that another topic of the same name, or the
//! same one with a hole, is not taken for what it was.
//!
//! Of each partition some of the last records are known by what they held. And our offsets are the
//! broker's, shifted: where a topic is begun anew, its records get offsets behind all we have had, so that
//! positions never fall and no record has the identity of another.

use std::collections::BTreeMap;
use tiderace_types::wire::{self, Reader, WireError};

/// The form of the bytes.
const VERSION: u8 = 1;
/// How many records of a partition are remembered.
const MARKS: usize = 8;

/// What is remembered of a topic, by partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail(pub BTreeMap<u32, Track>);

/// What is remembered of a partition. Offsets are ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// Where reading began.
    pub start: i64,
    /// What is to be added to the broker's offset for ours.
    pub shift: i64,
    /// Records that were read, the newest last.
    pub marks: Vec<Mark>,
}

/// A record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its offset.
    pub offset: i64,
    /// The xxh3-64 of its payload.
    pub hash: u64,
}

/// What to do where a topic does not have what is to be read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLoss {
    /// Stop, and say so.
    Stop,
    /// Go on with what there is, and say so.
    Continue,
}

/// Records that a topic should have and has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The partition.
    pub partition: u32,
    /// What has happened, for a person.
    pub what: String,
    /// How many records are known to be missing.
    pub missing: u64,
}

impl Track {
    /// Remembers a record, and lets go of an older one.
    pub(crate) fn mark(&mut self, mark: Mark) {
        if self
            .marks
            .last()
            .is_none_or(|last| last.offset < mark.offset)
        {
            if self.marks.len() == MARKS {
                // The oldest stays: it tells a topic that was cut from one that is another.
                self.marks.remove(1);
            }
            self.marks.push(mark);
        }
    }
}

impl Trail {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        wire::put_u64(self.0.len() as u64, &mut out);
        for (partition, track) in &self.0 {
            wire::put_u64((*partition).into(), &mut out);
            wire::put_i64(track.start, &mut out);
            wire::put_i64(track.shift, &mut out);
            wire::put_u64(track.marks.len() as u64, &mut out);
            for mark in &track.marks {
                wire::put_i64(mark.offset, &mut out);
                out.extend(mark.hash.to_be_bytes());
            }
        }
        out
    }

    /// Reads what [`Trail::encode`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Trail, WireError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(reader.error());
        }
        let mut trail = Trail::default();
        for _ in 0..reader.count(4)? {
            let partition = u32::try_from(reader.u64()?).map_err(|_| reader.error())?;
            let mut track = Track {
                start: reader.i64()?,
                shift: reader.i64()?,
                marks: Vec::new(),
            };
            for _ in 0..reader.count(9)? {
                track.marks.push(Mark {
                    offset: reader.i64()?,
                    hash: u64::from_be_bytes(reader.array()?),
                });
            }
            trail.0.insert(partition, track);
        }
        match reader.rest() {
            [] => Ok(trail),
            _ => Err(reader.error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(offset: i64) -> Mark {
        Mark { offset, hash: 7 }
    }

    #[test]
    fn trails_keep_their_bytes() {
        let mut trail = Trail::default();
        let track = Track {
            start: 5,
            shift: -3,
            marks: vec![mark(300)],
        };
        trail.0.insert(2, track);
        let golden = [1, 1, 2, 10, 5, 1, 0xd8, 4, 0, 0, 0, 0, 0, 0, 0, 7];
        assert_eq!(trail.encode(), golden);
        assert_eq!(Trail::decode(&golden).expect("whole"), trail);
        for cut in 0..golden.len() {
            assert!(Trail::decode(&golden[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn the_oldest_mark_and_the_newest_stay() {
        let mut track = Track::default();
        for offset in [3, 3, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12] {
            track.mark(mark(offset));
        }
        let offsets: Vec<i64> = track.marks.iter().map(|mark| mark.offset).collect();
        assert_eq!(offsets, [3, 6, 7, 8, 9, 10, 11, 12]);
    }
}

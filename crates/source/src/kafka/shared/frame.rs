//! What stands before the payload of a record that is shared.
//!
//! ```text
//! form 1 | what and flags 1 | partition | offset | before | clock | broker time | payload
//! ```
//! Numbers are varints, those that may be negative zigzag. What begins a partition has the routes for its payload
//! for which records are sent, eight bytes each; one without a payload is of a sender that does not tell.

use tiderace_types::Timestamp;
use tiderace_types::wire::{self, Reader, WireError};

const FORM: u8 = 1;

const PASSED: u8 = 1;
const BEGINS: u8 = 2;
const NULL: u8 = 1 << 2;
const OTHER: u8 = 1 << 3;
const AT_END: u8 = 1 << 4;
const ANEW: u8 = 1 << 5;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A record, at its offset.
    Record {
        /// Whether it has no payload at all.
        is_null: bool,
        /// Whether a header says that it is of another table.
        is_other: bool,
    },
    /// Everything before an offset was read.
    Passed,
    /// Reading begins, or begins again, at an offset.
    Begins {
        /// Whether the partition ends there.
        is_at_end: bool,
        /// Whether who reads it knows nothing of what comes before: it is not said to have been sent.
        is_anew: bool,
    },
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it tells.
    pub what: What,
    /// The source's partition.
    pub partition: u32,
    /// The offset there.
    pub offset: i64,
    /// The offset of the record that was sent before it to the same process; -1 for the first one.
    pub before: i64,
    /// The stream clock of the partition.
    pub clock: Timestamp,
    /// The broker's timestamp of the record.
    pub broker_time: Timestamp,
}

impl Frame {
    /// Writes the frame, behind which the payload comes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let what = match self.what {
            What::Record { is_null, is_other } => flag(is_null, NULL) | flag(is_other, OTHER),
            What::Passed => PASSED,
            What::Begins { is_at_end, is_anew } => {
                BEGINS | flag(is_at_end, AT_END) | flag(is_anew, ANEW)
            }
        };
        out.extend([FORM, what]);
        wire::put_u64(self.partition.into(), out);
        for number in [self.offset, self.before, self.clock.0, self.broker_time.0] {
            wire::put_i64(number, out);
        }
    }

    /// Reads a frame, and what stands behind it.
    ///
    /// # Errors
    /// Where the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<(Frame, &[u8]), WireError> {
        let mut reader = Reader::new(bytes);
        let (form, what) = (reader.u8()?, reader.u8()?);
        let has = |flag: u8| what & flag != 0;
        let what = match what & 3 {
            0 => What::Record {
                is_null: has(NULL),
                is_other: has(OTHER),
            },
            PASSED => What::Passed,
            BEGINS => What::Begins {
                is_at_end: has(AT_END),
                is_anew: has(ANEW),
            },
            _ => return Err(reader.error()),
        };
        if form != FORM {
            return Err(reader.error());
        }
        let partition = u32::try_from(reader.u64()?).map_err(|_| reader.error())?;
        let frame = Frame {
            what,
            partition,
            offset: reader.i64()?,
            before: reader.i64()?,
            clock: Timestamp(reader.i64()?),
            broker_time: Timestamp(reader.i64()?),
        };
        Ok((frame, reader.rest()))
    }
}

/// What stands behind the frame that begins a partition.
pub fn encode_routes(routes: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_u64(routes.len() as u64, &mut out);
    let bytes = routes.iter().flat_map(|route| route.to_be_bytes());
    out.extend(bytes);
    out
}

/// Reads it; `None` where nothing is told.
///
/// # Errors
/// Where the bytes are no routes.
pub fn decode_routes(bytes: &[u8]) -> Result<Option<Vec<u64>>, WireError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(bytes);
    let mut routes = Vec::new();
    for _ in 0..reader.count(8)? {
        routes.push(u64::from_be_bytes(reader.array()?));
    }
    match reader.rest().is_empty() {
        true => Ok(Some(routes)),
        false => Err(reader.error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let whats = [
            What::Record {
                is_null: false,
                is_other: true,
            },
            What::Record {
                is_null: true,
                is_other: false,
            },
            What::Passed,
            What::Begins {
                is_at_end: true,
                is_anew: false,
            },
            What::Begins {
                is_at_end: false,
                is_anew: true,
            },
        ];
        for what in whats {
            let frame = Frame {
                what,
                partition: 7,
                offset: i64::MAX,
                before: -1,
                clock: Timestamp::MIN,
                broker_time: Timestamp(1_500_000_000_000_000),
            };
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            let head = bytes.len();
            bytes.extend(b"payload");
            assert_eq!(Frame::decode(&bytes), Ok((frame, &b"payload"[..])));
            for cut in 0..head {
                assert!(Frame::decode(&bytes[..cut]).is_err(), "{cut} bytes");
            }
        }
        for routes in [vec![], vec![0, u64::MAX, 7]] {
            let bytes = encode_routes(&routes);
            assert_eq!(decode_routes(&bytes), Ok(Some(routes)));
            for cut in 1..bytes.len() {
                assert!(decode_routes(&bytes[..cut]).is_err(), "{cut} bytes");
            }
        }
        assert_eq!(decode_routes(&[]), Ok(None));
        assert!(Frame::decode(&[9, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(Frame::decode(&[FORM, 3, 0, 0, 0, 0, 0]).is_err());
    }
}

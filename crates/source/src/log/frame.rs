//! The byte form of a record, and of a segment's head.
//!
//! A segment begins with `TRLOG\0\0\x01` and its first offset (u64 LE). Then
//! frames follow without gaps, so that a record's offset is implied:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the payload, u32 LE |
//! | 4 | CRC-32 of everything in the frame but these four bytes, u32 LE |
//! | 8 | when it was appended, microseconds, i64 LE |
//! | length | the payload |

use tiderace_types::Timestamp;

/// What a segment begins with; the last byte is the version.
pub const MAGIC: [u8; 8] = *b"TRLOG\0\0\x01";
/// The length of a segment's head.
pub const HEAD: u64 = 16;
/// The length of a frame without its payload.
pub const FRAME_HEAD: usize = 16;
/// The largest payload.
pub const MAX_PAYLOAD: usize = 64 << 20;

/// A segment's head.
pub fn segment_head(base: i64) -> [u8; HEAD as usize] {
    let mut head = [0; HEAD as usize];
    head[..8].copy_from_slice(&MAGIC);
    head[8..].copy_from_slice(&base.to_le_bytes());
    head
}

/// Appends a frame; the payload is at most [`MAX_PAYLOAD`] long.
pub fn put(payload: &[u8], time: Timestamp, out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len())
        .expect("payloads are checked against the largest one before")
        .to_le_bytes();
    let time = time.0.to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(length, time, payload).to_le_bytes());
    out.extend_from_slice(&time);
    out.extend_from_slice(payload);
}

/// A record as it lies in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub time: Timestamp,
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// How many bytes it takes.
    pub fn length(&self) -> usize {
        FRAME_HEAD + self.payload.len()
    }
}

/// Why there is no frame at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFrame {
    /// They end before the frame does; it would take so many in all.
    Short(usize),
    /// They are not a frame.
    Bad,
}

/// How many bytes the frame at the start of `bytes` takes, if they hold it whole.
pub fn measure(bytes: &[u8]) -> Result<usize, NoFrame> {
    let length = bytes.first_chunk::<4>().ok_or(NoFrame::Short(FRAME_HEAD))?;
    match usize::try_from(u32::from_le_bytes(*length)) {
        Ok(size) if size > MAX_PAYLOAD => Err(NoFrame::Bad),
        Ok(size) if size + FRAME_HEAD > bytes.len() => Err(NoFrame::Short(size + FRAME_HEAD)),
        Ok(size) => Ok(size + FRAME_HEAD),
        Err(_) => Err(NoFrame::Bad),
    }
}

/// Reads the frame at the start of `bytes`.
pub fn get(bytes: &[u8]) -> Result<Frame<'_>, NoFrame> {
    let whole = &bytes[..measure(bytes)?];
    let (&length, rest) = whole.split_first_chunk::<4>().ok_or(NoFrame::Bad)?;
    let (&check, rest) = rest.split_first_chunk::<4>().ok_or(NoFrame::Bad)?;
    let (&time, payload) = rest.split_first_chunk::<8>().ok_or(NoFrame::Bad)?;
    if checksum(length, time, payload) != u32::from_le_bytes(check) {
        return Err(NoFrame::Bad);
    }
    Ok(Frame {
        time: Timestamp(i64::from_le_bytes(time)),
        payload,
    })
}

fn checksum(length: [u8; 4], time: [u8; 8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(&time);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_form_is_golden() {
        let mut bytes = segment_head(258).to_vec();
        put(b"{}", Timestamp(1_522_540_831_000_000), &mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("golden_segment_v1.hex").trim());
        let frame = get(&bytes[HEAD as usize..]).expect("a frame");
        assert_eq!(frame.time, Timestamp(1_522_540_831_000_000));
        assert_eq!((frame.payload, frame.length()), (&b"{}"[..], 18));
    }

    #[test]
    fn any_flipped_or_missing_byte_is_noticed() {
        let mut bytes = Vec::new();
        put(b"payload", Timestamp(7), &mut bytes);
        for cut in 0..bytes.len() {
            assert!(matches!(get(&bytes[..cut]), Err(NoFrame::Short(_))));
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[cut] ^= 1 << bit;
                assert!(get(&flipped).is_err(), "byte {cut} bit {bit}");
            }
        }
    }
}

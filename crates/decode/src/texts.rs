//! Texts and bytes one after another, as Arrow has them.

use crate::build::Refusal;
use crate::text;
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use tiderace_types::base64;

/// Texts one after another, with where each ends.
#[derive(Debug)]
pub struct Texts {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Texts {
    /// Room for `rows` texts.
    pub fn new(rows: usize) -> Texts {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Texts {
            offsets,
            bytes: Vec::new(),
        }
    }

    /// Appends what the checked JSON text `body` stands for, if that is at most `most` bytes.
    pub fn push(&mut self, body: &[u8], escaped: bool, most: usize) -> Result<(), Refusal> {
        if escaped {
            text::unescape_into(body, &mut self.bytes);
        } else {
            self.bytes.extend_from_slice(body);
        }
        self.end(most)
    }

    /// Appends the bytes that the JSON text `body` stands for.
    pub fn push_base64(&mut self, body: &[u8], escaped: bool, most: usize) -> Result<(), Refusal> {
        let valid = if escaped {
            let mut plain = Vec::with_capacity(body.len());
            text::unescape_into(body, &mut plain);
            base64::decode_into(&plain, &mut self.bytes)
        } else {
            base64::decode_into(body, &mut self.bytes)
        };
        if !valid {
            return Err(Refusal::WrongType);
        }
        self.end(most)
    }

    /// Ends the text that was appended to the bytes.
    #[inline]
    fn end(&mut self, most: usize) -> Result<(), Refusal> {
        let start = self.offsets.last().copied().unwrap_or(0);
        let length = self.bytes.len() - usize::try_from(start).unwrap_or(0);
        let refusal = match i32::try_from(self.bytes.len()) {
            Ok(end) if length <= most => {
                self.offsets.push(end);
                return Ok(());
            }
            Ok(_) => Refusal::TooLong,
            Err(_) => Refusal::Full,
        };
        self.truncate(self.offsets.len() - 1);
        Err(refusal)
    }

    /// Appends `body` as it is.
    #[inline]
    pub fn push_plain(&mut self, body: &[u8], most: usize) -> Result<(), Refusal> {
        self.bytes.extend_from_slice(body);
        self.end(most)
    }

    /// The text that was appended last.
    pub fn last(&self) -> &[u8] {
        let start = self.offsets.iter().rev().nth(1).copied().unwrap_or(0);
        &self.bytes[usize::try_from(start).unwrap_or(0)..]
    }

    /// Appends an empty text.
    pub fn repeat_end(&mut self) {
        let end = self.offsets.last().copied().unwrap_or(0);
        self.offsets.push(end);
    }

    /// Takes back all texts from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        let end = self.offsets.last().copied().unwrap_or(0);
        self.bytes.truncate(usize::try_from(end).unwrap_or(0));
    }

    /// The offsets and the bytes.
    pub fn finish(self) -> (OffsetBuffer<i32>, Buffer) {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        (offsets, Buffer::from_vec(self.bytes))
    }
}

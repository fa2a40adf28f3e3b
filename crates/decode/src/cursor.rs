//! A place in the bytes of a binary record. Nothing here trusts a length.

use crate::fault::Fault;

/// A place in a record.
pub struct Cursor<'a> {
    /// The whole record.
    pub bytes: &'a [u8],
    /// The next byte to read.
    pub at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// The fault for the present place.
    #[cold]
    pub fn fault(&self, expected: &'static str) -> Fault {
        let at = self.at;
        Fault::Malformed { at, expected }
    }

    /// The next `length` bytes.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.get(..length) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => Err(self.fault("more bytes than there are")),
        }
    }

    /// The next bytes of a fixed number.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let taken = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(taken);
        Ok(array)
    }

    /// The next integer, zigzag as it is written.
    #[inline]
    pub fn long(&mut self) -> Result<i64, Fault> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// The next integer of 32 bits.
    #[inline]
    pub fn int(&mut self) -> Result<i64, Fault> {
        let start = self.at;
        let number = self.long()?;
        if i32::try_from(number).is_err() {
            self.at = start;
            return Err(self.fault("an integer of 32 bits"));
        }
        Ok(number)
    }

    /// The next integer as it is written: seven bits a byte, the lowest first.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Fault> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(byte.into())
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut number = 0u64;
        for place in 0..10 {
            let Some(&byte) = self.bytes.get(self.at + place) else {
                return Err(self.fault("the end of an integer"));
            };
            // The tenth byte has room for one bit.
            if place == 9 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.at += place + 1;
                return Ok(number);
            }
        }
        Err(self.fault("an integer of 64 bits"))
    }

    /// The next bytes, whose length stands before them.
    #[inline]
    pub fn counted(&mut self) -> Result<&'a [u8], Fault> {
        let start = self.at;
        let length = self.long()?;
        let Ok(length) = usize::try_from(length) else {
            self.at = start;
            return Err(self.fault("a length of 0 or more"));
        };
        self.take(length)
    }

    /// The next truth value.
    #[inline]
    pub fn boolean(&mut self) -> Result<bool, Fault> {
        match self.bytes.get(self.at) {
            Some(byte @ (0 | 1)) => {
                self.at += 1;
                Ok(*byte == 1)
            }
            _ => Err(self.fault("a boolean (0 or 1)")),
        }
    }

    /// The next number of one of `count` branches or symbols.
    #[inline]
    pub fn choice(&mut self, count: usize) -> Result<usize, Fault> {
        let start = self.at;
        let number = self.long()?;
        match usize::try_from(number) {
            Ok(number) if number < count => Ok(number),
            _ => {
                self.at = start;
                Err(self.fault("the number of a branch or a symbol"))
            }
        }
    }
}

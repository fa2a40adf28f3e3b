//! Varints and a bounds-checked reader, for the byte forms of this project.
//!
//! LEB128 for unsigned numbers, zigzag before it for signed ones.

/// Appends an unsigned varint.
#[inline]
pub fn put_u64(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a signed varint.
#[inline]
pub fn put_i64(number: i64, out: &mut Vec<u8>) {
    put_u64((number << 1 ^ number >> 63).cast_unsigned(), out);
}

/// Appends a signed 128-bit varint.
pub fn put_i128(number: i128, out: &mut Vec<u8>) {
    let mut rest = (number << 1 ^ number >> 127).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a length and the bytes.
pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_u64(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends numbers of `width` bytes each (1 to 8), low ones first.
pub fn put_wide(width: usize, numbers: impl ExactSizeIterator<Item = u64>, out: &mut Vec<u8>) {
    fn put<const WIDTH: usize>(numbers: impl ExactSizeIterator<Item = u64>, out: &mut Vec<u8>) {
        out.reserve(WIDTH * numbers.len());
        for number in numbers {
            out.extend_from_slice(&number.to_le_bytes()[..WIDTH]);
        }
    }
    match width {
        1 => put::<1>(numbers, out),
        2 => put::<2>(numbers, out),
        3 => put::<3>(numbers, out),
        4 => put::<4>(numbers, out),
        5 => put::<5>(numbers, out),
        6 => put::<6>(numbers, out),
        7 => put::<7>(numbers, out),
        _ => put::<8>(numbers, out),
    }
}

/// Bytes that end too early, or a number that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bytes are cut or malformed {remaining} bytes before their end")]
pub struct WireError {
    /// How many bytes were left.
    pub remaining: usize,
}

/// The signed number of a zigzag one.
#[inline]
#[must_use]
pub const fn signed(zigzag: u64) -> i64 {
    (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()
}

/// The low seven bits of each byte, one after another.
#[inline]
const fn sevens(word: u64) -> u64 {
    let word = word & 0x7f7f_7f7f_7f7f_7f7f;
    let word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
    (word & 0x0fff_ffff) | (word & 0x0fff_ffff_0000_0000) >> 4
}

/// Reads what the `put_…` functions wrote. Never panics, never allocates more than the input holds.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What has not been read.
    #[must_use]
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The error for the present place.
    #[must_use]
    #[inline]
    pub fn error(&self) -> WireError {
        WireError {
            remaining: self.rest.len(),
        }
    }

    /// Takes `count` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(self.error())?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes an array.
    ///
    /// # Errors
    /// When fewer bytes are left.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(self.error())?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// When none is left.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Takes an unsigned varint.
    ///
    /// # Errors
    /// When cut, or above 64 bits.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, WireError> {
        match self.short() {
            Some(number) => Ok(number),
            None => self.u64_by_bytes(),
        }
    }

    /// Takes a varint of at most eight bytes that has as many after where it begins, as nearly
    /// all have: then no byte is looked at by itself.
    #[inline]
    fn short(&mut self) -> Option<u64> {
        let word = u64::from_le_bytes(*self.rest.first_chunk()?);
        let ends = !word & 0x8080_8080_8080_8080;
        if ends == 0 {
            return None;
        }
        let bits = ends.trailing_zeros() + 1;
        self.rest = &self.rest[bits as usize / 8..];
        Some(sevens(word & (u64::MAX >> (64 - bits))))
    }

    #[cold]
    fn u64_by_bytes(&mut self) -> Result<u64, WireError> {
        let mut number = 0u64;
        let mut shift = 0;
        loop {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            if shift >= 64 || part << shift >> shift != part {
                return Err(self.error());
            }
            number |= part << shift;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    /// Takes an unsigned varint for each of `slots`, which gets what `of` makes of it.
    ///
    /// Numbers that stand together are mostly of one width: then the width of those before tells
    /// where the next ones begin, and these are looked at side by side.
    ///
    /// # Errors
    /// As [`Reader::u64`], and where `of` makes nothing of a number.
    pub fn u64s<T>(
        &mut self,
        slots: &mut [T],
        mut of: impl FnMut(u64) -> Option<T>,
    ) -> Result<(), WireError> {
        /// So many are taken one by one before another width is tried.
        const APART: usize = 4;
        let (mut rest, mut width) = (slots, 1);
        while !rest.is_empty() {
            let taken = match width {
                1 | 2 => {
                    let ones = self.alike::<1, T>(rest, &mut of)?;
                    ones + self.ones_and_twos(&mut rest[ones..], &mut of)?
                }
                3 => self.alike::<3, T>(rest, &mut of)?,
                4 => self.alike::<4, T>(rest, &mut of)?,
                5 => self.alike::<5, T>(rest, &mut of)?,
                6 => self.alike::<6, T>(rest, &mut of)?,
                7 => self.alike::<7, T>(rest, &mut of)?,
                _ => self.alike::<8, T>(rest, &mut of)?,
            };
            rest = &mut rest[taken..];
            let apart = rest.len().min(APART);
            for slot in &mut rest[..apart] {
                let before = self.rest.len();
                *slot = of(self.u64()?).ok_or(self.error())?;
                width = before - self.rest.len();
            }
            rest = &mut rest[apart..];
        }
        Ok(())
    }

    /// Takes varints as long as the next four are of one byte or two each; tells how many. After
    /// some it is time to see whether all are of one byte.
    #[inline]
    fn ones_and_twos<T>(
        &mut self,
        slots: &mut [T],
        of: &mut impl FnMut(u64) -> Option<T>,
    ) -> Result<usize, WireError> {
        const SOME: usize = 32;
        let mut taken = 0;
        for four in slots.chunks_exact_mut(4).take(SOME / 4) {
            let Some(bytes) = self.rest.first_chunk() else {
                break;
            };
            let mut word = u64::from_le_bytes(*bytes);
            // Where two bytes in a row go on, there is a number of three.
            if word & (word >> 8) & 0x0080_8080_8080_8080 != 0 {
                break;
            }
            let mut width = 0;
            for slot in four {
                let goes_on = word >> 7 & 1;
                let number = word & 0x7f | ((word >> 8 & 0x7f) * goes_on) << 7;
                *slot = of(number).ok_or(self.error())?;
                word >>= 8 + 8 * goes_on;
                width += 1 + goes_on;
            }
            self.rest = &self.rest[width as usize..];
            taken += 4;
        }
        Ok(taken)
    }

    /// Takes varints as long as all that lie in eight bytes are of `WIDTH`; tells how many.
    #[inline]
    fn alike<const WIDTH: usize, T>(
        &mut self,
        slots: &mut [T],
        of: &mut impl FnMut(u64) -> Option<T>,
    ) -> Result<usize, WireError> {
        let at_once = 8 / WIDTH;
        let one = u64::MAX >> (64 - 8 * WIDTH);
        let all = u64::MAX >> (64 - 8 * WIDTH * at_once);
        // Where each ends, the highest bit of a byte is not set.
        let ends = (0..at_once).fold(0, |ends, place| {
            ends | 0x80 << (8 * (WIDTH * (place + 1) - 1))
        });
        let going_on = 0x8080_8080_8080_8080 & all & !ends;
        let mut taken = 0;
        for slots in slots.chunks_exact_mut(at_once) {
            let Some(bytes) = self.rest.first_chunk() else {
                break;
            };
            let word = u64::from_le_bytes(*bytes);
            if word & (0x8080_8080_8080_8080 & all) != going_on {
                break;
            }
            self.rest = &self.rest[WIDTH * at_once..];
            for (place, slot) in slots.iter_mut().enumerate() {
                let number = sevens(word >> (8 * WIDTH * place) & one);
                *slot = of(number).ok_or(self.error())?;
            }
            taken += at_once;
        }
        Ok(taken)
    }

    /// Takes a signed varint.
    ///
    /// # Errors
    /// As [`Reader::u64`].
    #[inline]
    pub fn i64(&mut self) -> Result<i64, WireError> {
        self.u64().map(signed)
    }

    /// Takes a signed 128-bit varint.
    ///
    /// # Errors
    /// When cut, or above 128 bits.
    #[inline]
    pub fn i128(&mut self) -> Result<i128, WireError> {
        if let Some(short) = self.short() {
            return Ok(((short >> 1).cast_signed() ^ -(short & 1).cast_signed()).into());
        }
        let mut raw = 0u128;
        let mut shift = 0;
        loop {
            let byte = self.u8()?;
            let part = u128::from(byte & 0x7f);
            if shift >= 128 || part << shift >> shift != part {
                return Err(self.error());
            }
            raw |= part << shift;
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// Takes a count of items of at least `least` bytes each: never more than the input can hold.
    ///
    /// # Errors
    /// When cut, or when the items cannot fit in what is left.
    #[inline]
    pub fn count(&mut self, least: usize) -> Result<usize, WireError> {
        let count = usize::try_from(self.u64()?).map_err(|_| self.error())?;
        if count
            .checked_mul(least.max(1))
            .is_none_or(|bytes| bytes > self.rest.len())
        {
            return Err(self.error());
        }
        Ok(count)
    }

    /// Takes a length and that many bytes.
    ///
    /// # Errors
    /// When cut.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let count = self.count(1)?;
        self.take(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn many_read_as_one_by_one(
            runs in prop::collection::vec((0..64u32, 0..20usize), 0..8),
            seed in any::<u64>(),
            more in 0..3usize,
            cut in 0..12usize,
        ) {
            let mut numbers = Vec::new();
            let mut number = seed | 1 << 63;
            for (shift, count) in runs {
                for _ in 0..count {
                    number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1) | 1 << 63;
                    numbers.push(number >> shift);
                }
            }
            let mut bytes = Vec::new();
            numbers.iter().for_each(|number| put_u64(*number, &mut bytes));
            bytes.truncate(bytes.len().saturating_sub(cut));
            let mut together = Reader::new(&bytes);
            let mut found = vec![0; numbers.len() + more];
            let result = together.u64s(&mut found, Some);
            let mut apart = Reader::new(&bytes);
            let expected: Result<Vec<u64>, WireError> = found.iter().map(|_| apart.u64()).collect();
            prop_assert_eq!(result.is_ok(), expected.is_ok());
            if let Ok(expected) = expected {
                prop_assert_eq!(found, expected);
                prop_assert_eq!(together.rest(), apart.rest());
            }
        }
    }
}

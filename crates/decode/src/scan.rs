//! The lexer: strict JSON, one byte after another, eight at a time inside strings.
//!
//! It trusts its input to be UTF-8 (checked for the whole batch before) and
//! nothing else.

use crate::cell::{Cell, Kind, Number};

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 128;

/// Why a payload is not JSON, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What the scanner needed.
    pub expected: &'static str,
    /// The byte where it did not find it.
    pub at: usize,
}

/// A place in a payload.
pub struct Scanner<'a> {
    /// The whole payload.
    pub bytes: &'a [u8],
    /// The next byte to read.
    pub at: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Scanner<'a> {
        Scanner { bytes, at: 0 }
    }

    /// What has not been read.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next byte; 0, which JSON never has there, at the end.
    #[inline]
    pub fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Steps over `byte` if it is next.
    #[inline]
    pub fn eat(&mut self, byte: u8) -> bool {
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    /// Steps over white space.
    #[inline]
    pub fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// The error for the present place.
    #[cold]
    pub fn error(&self, expected: &'static str) -> Malformed {
        Malformed {
            expected,
            at: self.at,
        }
    }

    /// Reads any value that is not wanted as an object; nested ones are checked and stepped over.
    #[inline]
    pub fn value(&mut self, depth: usize) -> Result<Cell, Malformed> {
        let start = self.at;
        let kind = match self.peek() {
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => Kind::Number(self.number()?),
            b'{' => {
                self.skip_object(depth)?;
                Kind::Object
            }
            b'[' => {
                self.skip_array(depth)?;
                Kind::Array
            }
            b't' => self.word(b"true", Kind::Bool(true))?,
            b'f' => self.word(b"false", Kind::Bool(false))?,
            b'n' => self.word(b"null", Kind::Null)?,
            _ => return Err(self.error("a value")),
        };
        Ok(Cell {
            kind,
            start,
            end: self.at,
        })
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<Kind, Malformed> {
        if !self.rest().starts_with(word) {
            return Err(self.error("a value"));
        }
        self.at += word.len();
        Ok(kind)
    }

    /// Reads a string; the cell's bounds lie inside the quotes.
    #[inline]
    pub fn string(&mut self) -> Result<Cell, Malformed> {
        if !self.eat(b'"') {
            return Err(self.error("a string"));
        }
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_length(self.rest());
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ if self.at >= self.bytes.len() => return Err(self.error("the end of a string")),
                _ => return Err(self.error("no control character in a string")),
            }
        }
        self.at += 1;
        Ok(Cell {
            kind: Kind::Text { escaped },
            start,
            end: self.at - 1,
        })
    }

    /// Checks one escape sequence; surrogates must come in pairs.
    fn escape(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 1;
                Ok(())
            }
            b'u' => match self.hex_unit()? {
                0xdc00..=0xdfff => Err(self.error("a high surrogate before a low one")),
                0xd800..=0xdbff => {
                    if !self.rest().starts_with(b"\\u") {
                        return Err(self.error("a low surrogate after a high one"));
                    }
                    self.at += 1;
                    match self.hex_unit()? {
                        0xdc00..=0xdfff => Ok(()),
                        _ => Err(self.error("a low surrogate after a high one")),
                    }
                }
                _ => Ok(()),
            },
            _ => Err(self.error("an escape")),
        }
    }

    /// Reads `uXXXX`.
    fn hex_unit(&mut self) -> Result<u16, Malformed> {
        let unit = self.rest().get(1..5).and_then(hex4);
        let unit = unit.ok_or_else(|| self.error("four hexadecimal digits"))?;
        self.at += 5;
        Ok(unit)
    }

    /// Steps over a value that is not wanted: checked as any, and not kept.
    #[inline]
    pub fn skip(&mut self, depth: usize) -> Result<(), Malformed> {
        if self.peek() == b'"' {
            let end = self.at + 1 + plain_length(&self.bytes[self.at + 1..]);
            if self.bytes.get(end) == Some(&b'"') {
                self.at = end + 1;
                return Ok(());
            }
        }
        self.value(depth).map(|_| ())
    }

    /// Reads a number.
    #[inline]
    fn number(&mut self) -> Result<Number, Malformed> {
        let negative = self.eat(b'-');
        let whole = match self.peek() {
            b'0' => Digits {
                mantissa: 0,
                end: self.at + 1,
                exact: true,
            },
            b'1'..=b'9' => self.digits(self.at, 0),
            _ => return Err(self.error("a digit")),
        };
        self.at = whole.end;
        let (mut digits, mut exponent) = (whole, 0);
        if self.peek() == b'.' {
            digits = self.digits(whole.end + 1, whole.mantissa);
            digits.exact &= whole.exact;
            let count = digits.end - whole.end - 1;
            self.at = digits.end;
            if count == 0 {
                return Err(self.error("a digit"));
            }
            exponent = i32::try_from(count).map_or(i32::MIN, |count| -count);
        }
        if self.peek() | 0x20 == b'e' {
            self.at += 1;
            exponent = exponent.saturating_add(self.exponent()?);
        }
        Ok(Number {
            negative,
            mantissa: digits.mantissa,
            exponent,
            exact: digits.exact,
        })
    }

    /// Reads digits behind those that `mantissa` stands for.
    #[inline]
    fn digits(&self, start: usize, mut mantissa: u64) -> Digits {
        /// Up to here eight more digits fit.
        const ROOM: u64 = (u64::MAX - 99_999_999) / 100_000_000;
        let mut end = start;
        while mantissa <= ROOM
            && let Some(chunk) = self.bytes[end..].first_chunk::<8>()
        {
            let (count, value) = leading_digits(*chunk);
            // Nothing runs over: there is room, and the end lies in memory.
            mantissa = mantissa.wrapping_mul(TENS[count]).wrapping_add(value);
            end = end.wrapping_add(count);
            if count < 8 {
                return Digits {
                    mantissa,
                    end,
                    exact: true,
                };
            }
        }
        self.digits_slowly(end, mantissa)
    }

    /// Reads digits near the end of the payload, or more than are kept.
    #[inline(never)]
    fn digits_slowly(&self, start: usize, mut mantissa: u64) -> Digits {
        /// Up to here one more digit fits.
        const ROOM: u64 = (u64::MAX - 9) / 10;
        let mut exact = true;
        let digits = self.bytes[start..].iter();
        let mut end = start;
        for digit in digits.take_while(|byte| byte.is_ascii_digit()) {
            exact &= mantissa <= ROOM;
            mantissa = mantissa
                .wrapping_mul(10)
                .wrapping_add(u64::from(digit - b'0'));
            end += 1;
        }
        Digits {
            mantissa,
            end,
            exact,
        }
    }

    fn exponent(&mut self) -> Result<i32, Malformed> {
        let negative = self.eat(b'-');
        if !negative {
            self.eat(b'+');
        }
        if !self.peek().is_ascii_digit() {
            return Err(self.error("a digit"));
        }
        let mut exponent = 0i32;
        while let digit @ b'0'..=b'9' = self.peek() {
            exponent = exponent
                .saturating_mul(10)
                .saturating_add(i32::from(digit - b'0'));
            self.at += 1;
        }
        Ok(if negative { -exponent } else { exponent })
    }

    fn skip_array(&mut self, depth: usize) -> Result<(), Malformed> {
        self.enter(depth)?;
        self.space();
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.space();
            if self.eat(b']') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.error("`,` or `]`"));
            }
            self.space();
        }
    }

    fn skip_object(&mut self, depth: usize) -> Result<(), Malformed> {
        self.enter(depth)?;
        self.space();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.string()?;
            self.colon()?;
            self.value(depth + 1)?;
            self.space();
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.error("`,` or `}`"));
            }
            self.space();
        }
    }

    /// Steps over the colon and the white space around it.
    #[inline]
    pub fn colon(&mut self) -> Result<(), Malformed> {
        self.space();
        if !self.eat(b':') {
            return Err(self.error("`:`"));
        }
        self.space();
        Ok(())
    }

    /// Steps over an opening bracket at `depth` levels.
    #[inline]
    pub fn enter(&mut self, depth: usize) -> Result<(), Malformed> {
        if depth >= MAX_DEPTH {
            return Err(self.error("at most 128 levels of nesting"));
        }
        self.at += 1;
        Ok(())
    }
}

/// Digits that were read.
#[derive(Clone, Copy)]
struct Digits {
    /// What they stand for; meaningless unless `exact`.
    mantissa: u64,
    /// Where they end.
    end: usize,
    /// Whether `mantissa` holds every digit.
    exact: bool,
}

/// What a number of digits multiplies by; longer than needed, so that no count lies outside.
const TENS: [u64; 16] = {
    let mut tens = [1; 16];
    let mut power = 1;
    while power < tens.len() {
        tens[power] = tens[power - 1] * 10;
        power += 1;
    }
    tens
};

/// How many of eight characters, from the first, are digits, and the number that they write.
#[inline]
fn leading_digits(characters: [u8; 8]) -> (usize, u64) {
    const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
    const LOW: u64 = ONES * 0x7f;
    const SIX: u64 = ONES * 6;
    const HIGH_HALF: u64 = ONES * 0xf0;
    let digits = u64::from_le_bytes(characters) ^ ZEROS;
    // A digit is 0 to 9 now: neither its high half nor, with 6 added, that of the sum is set.
    let others = (digits | (digits & LOW).wrapping_add(SIX)) & HIGH_HALF;
    let bits = others.trailing_zeros() & !7;
    // The digits go to the end, zeros before them; what is no digit falls out at the end.
    let digits = match bits {
        0 => return (0, 0),
        bits => digits << (64 - bits),
    };
    // Neighbours are joined: twos, fours, eights. No sum outgrows its place.
    let twos = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = twos.wrapping_mul(100).wrapping_add(twos >> 16) & 0x0000_ffff_0000_ffff;
    let eight = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    (bits as usize / 8, eight)
}

/// Every byte 1.
const ONES: u64 = u64::from_le_bytes([1; 8]);

/// How many bytes at the start of `bytes` stand for themselves in a string.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    const HIGHS: u64 = ONES << 7;
    let mut length = 0;
    let (chunks, _) = bytes.as_chunks::<8>();
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk);
        // Each test raises the high bit of a byte that is zero after the difference;
        // borrows only spoil bytes above the first hit, which is the one counted.
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let special = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let special = special & HIGHS;
        if special != 0 {
            return length + special.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    while let Some(&byte) = bytes.get(length) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        length += 1;
    }
    length
}

/// Reads four hexadecimal digits.
pub fn hex4(digits: &[u8]) -> Option<u16> {
    let mut unit = 0;
    for &digit in digits {
        unit = unit << 4 | char::from(digit).to_digit(16)?;
    }
    u16::try_from(unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_eight_at_a_time() {
        for text in [
            "00000000", "12345678", "99999999", "1", "12", "123", "1234567", "0", "90", "", "x",
        ] {
            for after in 0..=255u8 {
                if after.is_ascii_digit() {
                    continue;
                }
                let mut characters = [after; 8];
                characters[..text.len()].copy_from_slice(text.as_bytes());
                let count = text.bytes().take_while(u8::is_ascii_digit).count();
                let value = text[..count].parse().unwrap_or(0);
                assert_eq!(leading_digits(characters), (count, value), "{text} {after}");
            }
        }
    }

    #[test]
    fn plain_bytes_end_at_the_first_special_one() {
        for length in 0..40 {
            for special in [b'"', b'\\', 0x1f, 0, b'\n'] {
                let mut bytes = "aé\u{7f}~ !#[]".repeat(5).into_bytes();
                bytes.truncate(length);
                bytes.push(special);
                bytes.extend_from_slice(b"\"tail\\");
                assert_eq!(plain_length(&bytes), length);
            }
        }
        assert_eq!(plain_length(&[0xff; 19]), 19);
        assert_eq!(plain_length(&[0x20; 19]), 19);
    }
}

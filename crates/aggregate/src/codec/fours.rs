//! The byte form of integers below 2^32 of which some are short and some are long: four by four, how many
//! bytes each takes, less one, in two bits of a byte, the first ones lowest; and behind all of these the
//! bytes of all, low ones first (D. Lemire, N. Kurz and C. Rupp, "Stream VByte", 2018).
//!
//! Where a number begins does not hang on what the one before it is, so a reader does not wait for that.

use tiderace_types::wire::{Reader, WireError};

/// How many bytes a number takes.
pub(super) const fn bytes(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(8) as usize
}

/// How many bytes numbers take so; `None` where one is too great.
pub(super) fn length(numbers: impl ExactSizeIterator<Item = u64>) -> Option<usize> {
    let told = numbers.len().div_ceil(4);
    let mut length = 0;
    let mut most = 0;
    for number in numbers {
        length += bytes(number);
        most = most.max(number);
    }
    (bytes(most) <= 4).then_some(told + length)
}

pub(super) fn write(numbers: impl ExactSizeIterator<Item = u64>, out: &mut Vec<u8>) {
    let told = out.len();
    out.resize(told + numbers.len().div_ceil(4), 0);
    for (place, number) in numbers.enumerate() {
        let bytes = bytes(number);
        out[told + place / 4] |= (bytes as u8 - 1) << (2 * (place % 4));
        // All four at once, and what is too much goes again: nothing is chosen by length.
        out.extend_from_slice(&(number as u32).to_le_bytes());
        out.truncate(out.len() - (4 - bytes));
    }
}

/// Puts what `of` makes of the numbers into slots.
pub(super) fn read(
    reader: &mut Reader<'_>,
    slots: &mut [i64],
    of: impl Fn(u32) -> i64,
) -> Result<(), WireError> {
    let told = reader.take(slots.len().div_ceil(4))?;
    let rest = reader.rest();
    let mut at = 0;
    let (fours, last) = slots.as_chunks_mut::<4>();
    for (four, told) in fours.iter_mut().zip(told) {
        let Some(sixteen) = rest.get(at..).and_then(<[u8]>::first_chunk::<16>) else {
            at = read_last(rest, at, *told, four, &of).ok_or(reader.error())?;
            continue;
        };
        let mut told = usize::from(*told);
        let mut from = 0;
        for slot in four {
            let bytes = told % 4;
            let number =
                u32::from_le_bytes(std::array::from_fn(|byte| sixteen[(from + byte) % 16]));
            *slot = of(number & (u32::MAX >> (24 - 8 * bytes)));
            from += bytes + 1;
            told /= 4;
        }
        at += from;
    }
    if let Some(told) = told.get(fours.len()) {
        at = read_last(rest, at, *told, last, &of).ok_or(reader.error())?;
    }
    reader.take(at).map(|_| ())
}

/// Reads some of four numbers near the end of the bytes; tells where the next ones are.
fn read_last(
    rest: &[u8],
    mut at: usize,
    told: u8,
    slots: &mut [i64],
    of: &impl Fn(u32) -> i64,
) -> Option<usize> {
    for (place, slot) in slots.iter_mut().enumerate() {
        let bytes = usize::from(told >> (2 * place) & 3) + 1;
        let mut number = [0; 4];
        number[..bytes].copy_from_slice(rest.get(at..at + bytes)?);
        *slot = of(u32::from_le_bytes(number));
        at += bytes;
    }
    Some(at)
}

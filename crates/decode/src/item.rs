//! A value as a binary format has it, before it is given the column's type.

use crate::cell::excerpt;
use crate::number;
use tiderace_types::{Column, DataType, TimeUnit};

/// One value of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// True or false.
    Bool(bool),
    /// An integer of any width.
    Int(i64),
    /// A float of either width.
    Float(f64),
    /// An exact number: `unscaled × 10^-scale`.
    Unscaled(i128, i32),
    /// A text, not yet known to be UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Raw(&'a [u8]),
    /// A UUID, whose text is meant.
    Uuid([u8; 16]),
}

/// What kind of [`Item`] a field of a schema gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// [`Item::Bool`].
    Bool,
    /// [`Item::Int`]; what it counts is not said.
    Int,
    /// [`Item::Int`] that counts ticks since 1970.
    Instant(Tick),
    /// [`Item::Int`] that counts ticks of a span, or of a time of the day.
    Span(Tick),
    /// [`Item::Float`].
    Float,
    /// [`Item::Unscaled`].
    Decimal,
    /// [`Item::Text`].
    Text,
    /// [`Item::Raw`].
    Raw,
    /// [`Item::Uuid`].
    Uuid,
}

/// What an integer that stands for time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// So many microseconds.
    Times(i64),
    /// So many to the microsecond; rounded down.
    Per(i64),
}

impl Tick {
    /// Seconds.
    pub const SECOND: Tick = Tick::Times(1_000_000);
    /// Milliseconds.
    pub const MILLI: Tick = Tick::Times(1000);
    /// Microseconds.
    pub const MICRO: Tick = Tick::Times(1);
    /// Nanoseconds.
    pub const NANO: Tick = Tick::Per(1000);
    /// Days.
    pub const DAY: Tick = Tick::Times(86_400_000_000);

    /// Microseconds, if they fit.
    #[inline]
    pub fn micros(self, count: i64) -> Option<i64> {
        match self {
            Tick::Times(1) => Some(count),
            Tick::Times(micros) => count.checked_mul(micros),
            Tick::Per(count_of) => Some(count.div_euclid(count_of)),
        }
    }

    /// What integers of a column of `unit` count, if they are declared to be instants.
    pub fn of(unit: TimeUnit) -> Option<Tick> {
        match unit {
            TimeUnit::Rfc3339 => None,
            TimeUnit::Seconds => Some(Tick::SECOND),
            TimeUnit::Millis => Some(Tick::MILLI),
            TimeUnit::Micros => Some(Tick::MICRO),
            TimeUnit::Nanos => Some(Tick::NANO),
            TimeUnit::Days => Some(Tick::DAY),
        }
    }
}

impl Wire {
    /// What `column` makes of such a value's integer; none when it can never be of the column's
    /// type. Where the schema says what an integer counts, that is so, whatever the column's unit.
    pub fn read_as(self, column: &Column) -> Option<Tick> {
        use DataType as D;
        match (&column.data_type, self) {
            (D::Timestamp, Wire::Int) => Tick::of(column.time_unit),
            (D::Timestamp, Wire::Instant(tick)) | (D::Duration, Wire::Span(tick)) => Some(tick),
            (D::Bool, Wire::Bool)
            | (D::Int64, Wire::Int | Wire::Instant(_) | Wire::Span(_))
            | (D::Float64, Wire::Int | Wire::Float)
            | (D::Decimal { .. }, Wire::Int | Wire::Decimal | Wire::Text)
            | (D::String | D::Bytes, Wire::Text | Wire::Raw | Wire::Uuid)
            | (D::Timestamp, Wire::Text)
            | (D::Duration, Wire::Int) => Some(Tick::MICRO),
            _ => None,
        }
    }
}

impl Item<'_> {
    /// The unscaled number at `scale`: exact, or not at all.
    pub fn decimal(self, precision: u8, scale: i8) -> Option<i128> {
        let unscaled = match self {
            Item::Int(number) => rescale(number.into(), 0, scale.into())?,
            Item::Unscaled(number, of) => rescale(number, of, scale.into())?,
            Item::Text(text) => number::to_decimal(text, scale)?,
            _ => return None,
        };
        number::fits(unscaled, precision).then_some(unscaled)
    }

    /// Tells what was found, in at most about 60 characters.
    pub fn describe(&self) -> String {
        match self {
            Item::Bool(value) => value.to_string(),
            Item::Int(number) => format!("number {number}"),
            Item::Float(number) => format!("number {number}"),
            Item::Unscaled(number, 0) => format!("number {number}"),
            Item::Unscaled(number, scale) => format!("number {number}e{}", -i64::from(*scale)),
            Item::Text(text) => format!("string \"{}\"", excerpt(text)),
            Item::Raw(bytes) => format!("{} bytes", bytes.len()),
            Item::Uuid(bytes) => String::from_utf8_lossy(&uuid(*bytes)).into_owned(),
        }
    }
}

/// The text of a UUID.
pub fn uuid(bytes: [u8; 16]) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (place, byte) in bytes.into_iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    text
}

fn rescale(unscaled: i128, from: i32, to: i32) -> Option<i128> {
    let shift = to.checked_sub(from)?;
    if unscaled == 0 {
        return Some(0);
    }
    let tens = 10i128.checked_pow(shift.unsigned_abs())?;
    if shift >= 0 {
        unscaled.checked_mul(tens)
    } else {
        (unscaled % tens == 0).then(|| unscaled / tens)
    }
}

/// The integer that `bytes` are in two's complement, big-endian; none when it takes more than 128 bits.
pub fn big_endian(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    let kept = bytes.len().min(16);
    let (dropped, bytes) = bytes.split_at(bytes.len() - kept);
    if dropped.iter().any(|byte| *byte != fill) {
        return None;
    }
    let mut whole = [fill; 16];
    whole[16 - kept..].copy_from_slice(bytes);
    let number = i128::from_be_bytes(whole);
    // What was dropped must not have been the sign.
    (dropped.is_empty() || (number < 0) == negative).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_of_any_width() {
        let wide = [&[0; 9][..], &i128::MAX.to_be_bytes()].concat();
        let too_wide = [&[0; 9][..], &i128::MIN.to_be_bytes()].concat();
        for (bytes, expect) in [
            (&[][..], Some(0)),
            (&[0], Some(0)),
            (&[0xff], Some(-1)),
            (&[0x80], Some(-128)),
            (&[0, 0x80], Some(128)),
            (&[0x16, 0x54], Some(5716)),
            (&[0xff; 20], Some(-1)),
            (&wide, Some(i128::MAX)),
            (&too_wide, None),
            (&[1; 17], None),
        ] {
            assert_eq!(big_endian(bytes), expect, "{bytes:?}");
        }
    }

    #[test]
    fn scales_change_exactly_or_not_at_all() {
        for (unscaled, from, to, expect) in [
            (5716, 2, 4, Some(571_600)),
            (5716, 2, 2, Some(5716)),
            (571_600, 4, 2, Some(5716)),
            (571_601, 4, 2, None),
            (-5, 0, 1, Some(-50)),
            (0, i32::MAX, 0, Some(0)),
            (0, i32::MIN, 1, None),
            (1, 0, 38, Some(10i128.pow(38))),
            (2, 0, 38, None),
            (1, i32::MAX, 0, None),
        ] {
            assert_eq!(
                rescale(unscaled, from, to),
                expect,
                "{unscaled} {from} {to}"
            );
        }
    }

    #[test]
    fn uuids_are_written_in_groups() {
        let bytes = std::array::from_fn(|place| place as u8 * 17);
        let text = uuid(bytes);
        assert_eq!(&text, b"00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn ticks_are_rounded_down() {
        assert_eq!(Tick::NANO.micros(-1), Some(-1));
        assert_eq!(Tick::NANO.micros(1999), Some(1));
        assert_eq!(Tick::MILLI.micros(i64::MAX), None);
        assert_eq!(Tick::DAY.micros(-1), Some(-86_400_000_000));
    }
}

//! Numbers as read, turned into the column's type: exactly, or not at all.

use crate::cell::Number;

/// Powers of ten that a double holds exactly.
const EXACT_TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The nearest double; `text` is the number's own. Infinite when it is too large for one.
#[inline]
pub fn to_f64(number: &Number, text: &[u8]) -> f64 {
    let tens = number.exponent.unsigned_abs() as usize;
    if number.exact && number.mantissa <= 1 << 53 && tens < EXACT_TENS.len() {
        // Both operands are exact, so the one rounding of the operation is the right one.
        let mantissa = number.mantissa as f64;
        let size = if number.exponent < 0 {
            mantissa / EXACT_TENS[tens]
        } else {
            mantissa * EXACT_TENS[tens]
        };
        return if number.negative { -size } else { size };
    }
    let text = str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok())
        .unwrap_or(f64::INFINITY)
}

/// The integer, if it is one and fits.
#[inline]
pub fn to_i64(number: &Number, text: &[u8]) -> Option<i64> {
    if number.exact && number.exponent == 0 {
        return signed(number.mantissa, number.negative);
    }
    let whole = to_decimal(text, 0)?;
    i64::try_from(whole).ok()
}

fn signed(size: u64, negative: bool) -> Option<i64> {
    if negative {
        0i64.checked_sub_unsigned(size)
    } else {
        i64::try_from(size).ok()
    }
}

/// Reads a decimal text as a whole number of `10^-scale`; none when it is not exactly one.
///
/// Takes what JSON takes, and a leading plus sign or zeros (decimals also come as strings).
pub fn to_decimal(text: &[u8], scale: i8) -> Option<i128> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (text, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(place) => (&text[..place], read_exponent(&text[place + 1..])?),
        None => (text, 0),
    };
    let (whole, fraction) = match text.iter().position(|&byte| byte == b'.') {
        Some(place) => (&text[..place], &text[place + 1..]),
        None => (text, &b""[..]),
    };
    let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if !all_digits || whole.is_empty() || (fraction.is_empty() && text.len() != whole.len()) {
        return None;
    }
    // The number is digits × 10^(exponent − fraction digits); it must be unscaled × 10^−scale.
    let places = i64::try_from(fraction.len()).ok()?;
    let shift = exponent
        .checked_sub(places)?
        .checked_add(i64::from(scale))?;
    let unscaled = shifted(whole, fraction, shift)?;
    Some(if negative { -unscaled } else { unscaled })
}

/// `digits × 10^shift`, if it is whole and has at most 38 digits.
fn shifted(whole: &[u8], fraction: &[u8], shift: i64) -> Option<i128> {
    let digits = whole.len() + fraction.len();
    let dropped = usize::try_from(shift.min(0).unsigned_abs()).ok()?;
    let kept = digits.saturating_sub(dropped);
    let mut size = 0i128;
    for (place, digit) in whole.iter().chain(fraction).enumerate() {
        let digit = i128::from(digit - b'0');
        if place < kept {
            size = size.checked_mul(10)?.checked_add(digit)?;
        } else if digit != 0 {
            return None;
        }
    }
    if size == 0 || shift <= 0 {
        return Some(size);
    }
    let tens = 10i128.checked_pow(u32::try_from(shift).ok()?)?;
    size.checked_mul(tens)
}

fn read_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut exponent = 0i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Beyond this every number but zero is out of reach, however many digits follow.
        exponent = (exponent * 10 + i64::from(digit - b'0')).min(1 << 40);
    }
    Some(if negative { -exponent } else { exponent })
}

/// Tells whether `unscaled` has at most `precision` digits.
pub fn fits(unscaled: i128, precision: u8) -> bool {
    let limit = 10u128.checked_pow(u32::from(precision));
    limit.is_some_and(|limit| unscaled.unsigned_abs() < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        for (text, scale, expect) in [
            ("57.16", 2, Some(5716)),
            ("57.1600", 2, Some(5716)),
            ("57.161", 2, None),
            ("-0.5e1", 0, Some(-5)),
            ("+007", 1, Some(70)),
            ("1e-2", 2, Some(1)),
            ("1e-3", 2, None),
            ("0e999999999999999999999", 2, Some(0)),
            ("0e-99999999999999999999", 2, Some(0)),
            ("1e99", 0, None),
            ("1e-99999999999999999999", 0, None),
            (
                "12345678901234567890123456789012345678",
                0,
                Some(12_345_678_901_234_567_890_123_456_789_012_345_678),
            ),
            ("1234567890123456789012345678901234567890", 0, None),
            ("", 0, None),
            ("-", 0, None),
            (".5", 1, None),
            ("5.", 1, None),
            ("1 ", 0, None),
            ("1e", 0, None),
            ("0x10", 0, None),
        ] {
            assert_eq!(to_decimal(text.as_bytes(), scale), expect, "{text}");
        }
    }
}

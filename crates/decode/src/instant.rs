//! Instants: RFC 3339 text, or an integer that counts in the column's unit.

use crate::cell::{Cell, Kind};
use crate::number;
use crate::text;
use tiderace_types::TimeUnit;

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;
/// Microseconds in a day.
const DAY: i64 = 86_400 * SECOND;

/// The instant in microseconds that `cell` holds, if it holds one.
#[inline]
pub fn read(cell: &Cell, payload: &[u8], unit: TimeUnit) -> Option<i64> {
    let text = &payload[cell.start..cell.end];
    match (cell.kind, unit) {
        (Kind::Text { escaped: false }, TimeUnit::Rfc3339) => parse(text),
        (Kind::Text { escaped: true }, TimeUnit::Rfc3339) => {
            let mut plain = Vec::with_capacity(text.len());
            text::unescape_into(text, &mut plain);
            parse(&plain)
        }
        (Kind::Number(number), unit) => {
            let Some(count) = number::to_i64(&number, text) else {
                return with_fraction(text, unit);
            };
            match unit {
                TimeUnit::Rfc3339 => None,
                TimeUnit::Seconds => count.checked_mul(SECOND),
                TimeUnit::Millis => count.checked_mul(1000),
                TimeUnit::Micros => Some(count),
                TimeUnit::Nanos => Some(count.div_euclid(1000)),
                TimeUnit::Days => count.checked_mul(DAY),
            }
        }
        _ => None,
    }
}

/// Seconds or milliseconds with a fraction, as many clocks print them. As with texts, digits past the
/// microsecond are dropped, which rounds down.
#[cold]
fn with_fraction(text: &[u8], unit: TimeUnit) -> Option<i64> {
    /// Digits past the microsecond that may stand there.
    const MORE: i8 = 12;
    let places = match unit {
        TimeUnit::Seconds => 6,
        TimeUnit::Millis => 3,
        _ => return None,
    };
    let fine = number::to_decimal(text, places + MORE)?;
    i64::try_from(fine.div_euclid(10i128.pow(MORE.unsigned_abs().into()))).ok()
}

/// What a column of this unit expects, for a message.
pub const fn expected(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Rfc3339 => "timestamp (RFC 3339 text such as \"2018-04-01T00:00:31Z\")",
        TimeUnit::Seconds => "timestamp (a number in seconds)",
        TimeUnit::Millis => "timestamp (a number in milliseconds)",
        TimeUnit::Micros => "timestamp (an integer in microseconds)",
        TimeUnit::Nanos => "timestamp (an integer in nanoseconds)",
        TimeUnit::Days => "timestamp (an integer in days)",
    }
}

/// Reads RFC 3339, or the same with a space and no offset, which means UTC.
///
/// Digits past the microsecond are dropped, which rounds down. The second 60
/// of a leap minute is the first of the next one.
pub fn parse(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let separators = [head[4], head[7], head[10] | 0x20, head[13], head[16]];
    let spaced = head[10] == b' ';
    if separators != *b"--t::" && !(spaced && separators == *b"-- ::") {
        return None;
    }
    let year = two(head, 0)? * 100 + two(head, 2)?;
    let (month, day) = (two(head, 5)?, two(head, 8)?);
    let (hour, minute, second) = (two(head, 11)?, two(head, 14)?, two(head, 17)?);
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, zone) = fraction(tail)?;
    let offset = match zone {
        b"Z" | b"z" => 0,
        b"" if spaced => 0,
        zone => offset_seconds(zone)?,
    };
    let days = days_from_civil(year, month, day);
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(seconds * SECOND + micros)
}

#[inline]
fn two(head: &[u8; 19], at: usize) -> Option<i64> {
    let (tens, ones) = (head[at].wrapping_sub(b'0'), head[at + 1].wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
}

/// Reads an optional fraction of 1 to 9 digits; returns microseconds and what follows.
fn fraction(tail: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', rest)) = tail.split_first() else {
        return Some((0, tail));
    };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let mut micros = 0;
    for place in 0..6 {
        let digit = rest[..count].get(place).map_or(0, |byte| byte - b'0');
        micros = micros * 10 + i64::from(digit);
    }
    Some((micros, &rest[count..]))
}

/// Reads `+HH:MM` or `-HH:MM`.
fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = zone else {
        return None;
    };
    if ![h1, h2, m1, m2].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    let (hours, minutes) = (number(h1, h2), number(m1, m2));
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3600 + minutes * 60;
    Some(if sign == b'-' { -seconds } else { seconds })
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the years 0 to 9999, proleptic Gregorian:
/// whole years (beginning in March), then whole months, then days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (153 * month + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiderace_types::Timestamp;

    #[test]
    fn instants_read() {
        for (text, shown) in [
            ("2018-04-01T00:00:31Z", "2018-04-01T00:00:31Z"),
            ("2018-04-01t00:00:31z", "2018-04-01T00:00:31Z"),
            ("2018-04-01T09:00:31+09:00", "2018-04-01T00:00:31Z"),
            ("2018-03-31T18:30:31.5-05:30", "2018-04-01T00:00:31.500Z"),
            ("2018-04-01 00:00:31", "2018-04-01T00:00:31Z"),
            (
                "2018-04-01 00:00:31.123456789",
                "2018-04-01T00:00:31.123456Z",
            ),
            ("2018-04-01 00:00:31+01:00", "2018-03-31T23:00:31Z"),
            (
                "1969-12-31T23:59:59.9999999Z",
                "1969-12-31T23:59:59.999999Z",
            ),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            let read = parse(text.as_bytes()).map(|at| Timestamp(at).to_string());
            assert_eq!(read.as_deref(), Some(shown), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "2018-04-01",
            "2018-04-01T00:00:31",
            "2018-04-01X00:00:31Z",
            "2018-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2018-13-01T00:00:00Z",
            "2018-00-01T00:00:00Z",
            "2018-04-00T00:00:00Z",
            "2018-04-01T24:00:00Z",
            "2018-04-01T00:60:00Z",
            "2018-04-01T00:00:61Z",
            "2018-04-01T00:00:31.Z",
            "2018-04-01T00:00:31.1234567890Z",
            "2018-04-01T00:00:31+0900",
            "2018-04-01T00:00:31+24:00",
            "2018-04-01T00:00:31Z ",
            " 2018-04-01T00:00:31Z",
            "2018-4-1T00:00:31Z",
            "+018-04-01T00:00:31Z",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expect = days_from_civil(0, 1, 1);
        for year in 0..=9999 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    assert_eq!(days_from_civil(year, month, day), expect);
                    expect += 1;
                }
            }
        }
        assert_eq!(days_from_civil(1970, 1, 1), 0);
    }
}

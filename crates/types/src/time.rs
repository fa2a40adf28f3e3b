//! Instants and spans: microseconds, UTC, signed. Nothing here reads a clock.

use std::fmt;
use std::str::FromStr;

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The instant before every event.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The instant after every event.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// The instant `span` earlier, held at [`Timestamp::MIN`].
    #[must_use]
    pub const fn minus(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }

    /// The instant `span` later, held at [`Timestamp::MAX`].
    #[must_use]
    pub const fn plus(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }

    /// The span from `earlier` to `self`, saturating.
    #[must_use]
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    /// Writes RFC 3339 in UTC, with as many fraction digits as are needed (0, 3 or 6).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, micros) = (
            self.0.div_euclid(86_400_000_000),
            self.0.rem_euclid(86_400_000_000),
        );
        let (year, month, day) = civil_from_days(days);
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        match fraction {
            0 => {}
            n if n % 1000 == 0 => write!(f, ".{:03}", n / 1000)?,
            n => write!(f, ".{n:06}")?,
        }
        f.write_str("Z")
    }
}

/// Converts days since 1970-01-01 to a proleptic Gregorian date
/// (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    (year, month, day)
}

/// A span of time in microseconds. Written `500ms`, `30s`, `10m`, `1h`, `7d`, `2w` or a sum (`1h30m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(pub i64);

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);
    /// Longer than any history.
    pub const MAX: Duration = Duration(i64::MAX);

    /// A span of whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Duration {
        Duration(millis * 1000)
    }

    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Duration {
        Duration(seconds * 1_000_000)
    }

    /// The sum, held at [`Duration::MAX`].
    #[must_use]
    pub const fn plus(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }
}

/// Units from large to small, with their microseconds.
const UNITS: [(&str, i64); 7] = [
    ("w", 7 * 86_400_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1000),
    ("us", 1),
];

impl fmt::Display for Duration {
    /// Writes the shortest exact sum of units: `30d`, `1h30m`, `0s`. Weeks are written as days.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        for (unit, micros) in &UNITS[1..] {
            let micros = micros.unsigned_abs();
            if rest >= micros {
                write!(f, "{}{unit}", rest / micros)?;
                rest %= micros;
            }
        }
        Ok(())
    }
}

/// What is wrong with the text of a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a duration: expected a number with a unit of w, d, h, m, s, ms or us, such as `7d` or `1h30m`"
)]
pub struct ParseDurationError {
    /// The text as it was given.
    pub text: String,
}

impl FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Duration, ParseDurationError> {
        let error = || ParseDurationError {
            text: text.to_owned(),
        };
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(error());
        }
        let mut total = 0i64;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
            let number: i64 = rest[..digits].parse().map_err(|_| error())?;
            rest = rest[digits..].trim_start();
            let letters = rest
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(rest.len());
            let (_, micros) = UNITS
                .iter()
                .find(|(unit, _)| *unit == &rest[..letters])
                .ok_or_else(error)?;
            total = number
                .checked_mul(*micros)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(error)?;
            rest = rest[letters..].trim_start();
        }
        Ok(Duration(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write() {
        for (text, micros, shown) in [
            ("1d", 86_400_000_000, "1d"),
            ("2w", 14 * 86_400_000_000, "14d"),
            ("1h30m", 5_400_000_000, "1h30m"),
            ("500ms", 500_000, "500ms"),
            ("0s", 0, "0s"),
            ("90 s", 90_000_000, "1m30s"),
        ] {
            let duration: Duration = text.parse().expect(text);
            assert_eq!((duration.0, duration.to_string().as_str()), (micros, shown));
        }
        for text in ["", "7", "d", "1x", "-1d", "99999999999999d", "1.5h"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    #[test]
    fn timestamps_are_rfc3339() {
        for (micros, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_522_540_831_000_000, "2018-04-01T00:00:31Z"),
            (951_826_554_123_000, "2000-02-29T12:15:54.123Z"),
        ] {
            assert_eq!(Timestamp(micros).to_string(), shown);
        }
    }
}

//! Units of time that tumbling windows are made of: fixed lengths, and a calendar's hours to years.
//!
//! # Laws
//! - Units part time: every instant lies in exactly one, which begins at [`Unit::start`].
//! - `start` never falls as the instant rises, is never after it, and is its own start.
//! - A fixed unit is aligned to 1970-01-01T00:00:00Z.
//! - A day, week, month, quarter or year begins when its zone's clock *first* shows its first
//!   midnight or anything later: a day has 23 or 25 hours where clocks are set, begins at
//!   01:00 where they jump over midnight, and is missing where they jump over all of it.
//! - An hour begins whenever its zone's clock shows a full hour or jumps forward over one: of
//!   two hours that the clock shows alike each is one.
//! - Several days in one unit are counted from 1970-01-01, weeks from Monday 1969-12-29, months
//!   and quarters from January, years from the year 0, hours from midnight.
//!
//! All reckoning is in whole seconds, which have room where microseconds run out.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{GapInfo, Tz};
use std::fmt;
use tiderace_types::{Duration, Timestamp};

const MICROS: i64 = 1_000_000;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// By so much at most do clocks go back within one unit (two hours, at Troll); where they once
/// went back further, a window is answered OUTSIDE_HISTORY rather than wrongly.
const SET_BACK: i64 = 3 * HOUR;

/// What a tumbling window is aligned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Spans of one length, which is more than none.
    Fixed(Duration),
    /// Units of the calendar in a time zone.
    Calendar(Calendar),
}

impl Unit {
    /// The first instant of the unit that `at` lies in, held at [`Timestamp::MIN`].
    #[must_use]
    pub fn start(self, at: Timestamp) -> Timestamp {
        match self {
            Unit::Fixed(length) => Timestamp(floor(at.0, length.0)),
            Unit::Calendar(calendar) => {
                let start = calendar.start(at.0.div_euclid(MICROS));
                Timestamp(start.saturating_mul(MICROS))
            }
        }
    }

    /// No unit is longer.
    #[must_use]
    pub fn longest(self) -> Duration {
        match self {
            Unit::Fixed(length) => length,
            Unit::Calendar(calendar) => calendar.longest(),
        }
    }
}

impl fmt::Display for Unit {
    /// Writes `1h`, or `1 day @ Asia/Seoul`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unit::Fixed(length) => write!(f, "{length}"),
            Unit::Calendar(calendar) => write!(f, "{calendar}"),
        }
    }
}

/// The greatest multiple of `step` that is not after `at`; the least number where there is none.
pub(crate) fn floor(at: i64, step: i64) -> i64 {
    at.saturating_sub(at.rem_euclid(step.max(1)))
}

/// What a calendar counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// From full hour to full hour.
    Hour,
    /// From midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first.
    Month,
    /// From the first of January, April, July or October.
    Quarter,
    /// From the first of January.
    Year,
}

impl Period {
    /// All of them, from short to long.
    pub const ALL: [Period; 6] = [
        Period::Hour,
        Period::Day,
        Period::Week,
        Period::Month,
        Period::Quarter,
        Period::Year,
    ];

    /// Its name in definition files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
            Period::Quarter => "quarter",
            Period::Year => "year",
        }
    }

    /// How many of them make one unit: divisors of what they are counted in, so that units
    /// begin alike every day or year, or anything up to a hundred or so.
    #[must_use]
    pub const fn takes(self, every: u32) -> bool {
        match self {
            Period::Hour => every > 0 && 24 % every == 0,
            Period::Day => every > 0 && every <= 366,
            Period::Week | Period::Year => every > 0 && every <= 100,
            Period::Month => every > 0 && 12 % every == 0,
            Period::Quarter => every > 0 && 4 % every == 0,
        }
    }
}

/// Calendar units of one length in one time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Calendar {
    every: u32,
    period: Period,
    zone: Zone,
}

impl Calendar {
    /// Units of `every` periods; `None` where [`Period::takes`] says no.
    #[must_use]
    pub const fn new(every: u32, period: Period, zone: Zone) -> Option<Calendar> {
        if !period.takes(every) {
            return None;
        }
        Some(Calendar {
            every,
            period,
            zone,
        })
    }

    /// How many periods make one unit.
    #[must_use]
    pub const fn every(self) -> u32 {
        self.every
    }

    /// What is counted.
    #[must_use]
    pub const fn period(self) -> Period {
        self.period
    }

    /// Whose clock counts.
    #[must_use]
    pub const fn zone(self) -> Zone {
        self.zone
    }

    fn longest(self) -> Duration {
        let every = i64::from(self.every);
        let seconds = match self.period {
            Period::Hour => every * HOUR,
            Period::Day => every * DAY,
            Period::Week => every * 7 * DAY,
            Period::Month => every * 31 * DAY,
            Period::Quarter => every * 92 * DAY,
            Period::Year => every * 366 * DAY,
        };
        Duration::from_secs(seconds + SET_BACK)
    }

    fn start(self, at: i64) -> i64 {
        if self.period == Period::Hour {
            return self.full_hour(at);
        }
        let mut unit = self.unit_of((at + self.zone.offset(at)).div_euclid(DAY));
        // Where a clock is set back over midnight it shows the end of the day before once more.
        while self.begins(unit + 1) <= at {
            unit += 1;
        }
        self.begins(unit)
    }

    /// The latest instant up to `at` at which the clock showed a multiple of `every` hours from
    /// midnight, or jumped forward over one.
    fn full_hour(self, mut at: i64) -> i64 {
        let step = i64::from(self.every) * HOUR;
        loop {
            let offset = self.zone.offset(at);
            let start = (at + offset).div_euclid(step) * step - offset;
            if self.zone.offset(start) == offset {
                return start;
            }
            // The clock was set between the two: a new unit, or the same one going on.
            let set = self.zone.set_between(start, at);
            let before = set - 1 + self.zone.offset(set - 1);
            if (set + offset).div_euclid(step) > before.div_euclid(step) {
                return set;
            }
            at = set - 1;
        }
    }

    /// The number of the unit that a day, counted from 1970-01-01, lies in.
    fn unit_of(self, day: i64) -> i64 {
        let every = i64::from(self.every);
        match self.period {
            Period::Hour | Period::Day => day.div_euclid(every),
            // 1970-01-01 was a Thursday.
            Period::Week => (day + 3).div_euclid(7 * every),
            Period::Month => month_of(day).div_euclid(every),
            Period::Quarter => month_of(day).div_euclid(3 * every),
            Period::Year => month_of(day).div_euclid(12 * every),
        }
    }

    /// The instant at which a unit begins.
    fn begins(self, unit: i64) -> i64 {
        let every = i64::from(self.every);
        let day = match self.period {
            Period::Hour | Period::Day => unit * every,
            Period::Week => unit * 7 * every - 3,
            Period::Month => first_day(unit * every),
            Period::Quarter => first_day(unit * 3 * every),
            Period::Year => first_day(unit * 12 * every),
        };
        self.zone.first(day * DAY)
    }
}

impl fmt::Display for Calendar {
    /// Writes `1 day @ Asia/Seoul`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Calendar {
            every,
            period,
            zone,
        } = self;
        write!(f, "{every} {} @ {}", period.name(), zone.name())
    }
}

/// The month of a day counted from 1970-01-01, as twelve times the year and what is past of it
/// (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
const fn month_of(day: i64) -> i64 {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // Counted from March, so that the leap day is the last of its year.
    let month = (5 * of_year + 2) / 153;
    (era * 400 + year) * 12 + month + 2
}

/// The first day of a month; the inverse of [`month_of`].
const fn first_day(month: i64) -> i64 {
    let from_march = month - 2;
    let (year, month) = (from_march.div_euclid(12), from_march.rem_euclid(12));
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 - 719_468
}

/// A time zone of the IANA database, by the release that this binary was built with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

/// Before the first and after the last of these seconds (the years 1 and 9999) no zone's clock is set.
const KNOWN: (i64, i64) = (-62_135_596_800, 253_402_300_799);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Zone = Zone(Tz::UTC);

    /// The zone of that name, as the IANA database writes it.
    #[must_use]
    pub fn named(name: &str) -> Option<Zone> {
        name.parse().map(Zone).ok()
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The names of all zones.
    pub fn names() -> impl Iterator<Item = &'static str> {
        chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
    }

    /// What the clock shows beyond UTC, in seconds.
    fn offset(self, at: i64) -> i64 {
        let at = DateTime::from_timestamp(at.clamp(KNOWN.0, KNOWN.1), 0);
        let at = at.expect("the years 1 to 9999 are dates").naive_utc();
        let offset = self.0.offset_from_utc_datetime(&at).fix();
        offset.local_minus_utc().into()
    }

    /// The first instant at which the clock shows `local` or later.
    fn first(self, local: i64) -> i64 {
        if local < KNOWN.0 || local > KNOWN.1 {
            return local - self.offset(local);
        }
        let shown = DateTime::from_timestamp(local, 0);
        let shown = shown.expect("the years 1 to 9999 are dates").naive_utc();
        let offsets = self.0.offset_from_local_datetime(&shown);
        // Of two instants the earlier is the one further ahead of UTC.
        if let Some(earlier) = offsets.earliest() {
            let later = offsets.latest().unwrap_or(earlier);
            let ahead = earlier.fix().local_minus_utc();
            return local - i64::from(ahead.max(later.fix().local_minus_utc()));
        }
        let gap = GapInfo::new(&shown, &self.0).and_then(|gap| gap.end);
        gap.map_or_else(|| local - self.offset(local), |end| end.timestamp())
    }

    /// The first second of the offset that holds at `upto`, another one having held at `from`.
    fn set_between(self, mut from: i64, mut upto: i64) -> i64 {
        let offset = self.offset(upto);
        while upto - from > 1 {
            let middle = from.midpoint(upto);
            if self.offset(middle) == offset {
                upto = middle;
            } else {
                from = middle;
            }
        }
        upto
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

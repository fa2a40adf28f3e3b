//! Calendar units by looking at a clock, day after day and second after second.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use chrono_tz::Tz;
use tiderace_aggregate::{Calendar, Period};

/// The instants that it can tell of, in microseconds: about the years 200 to 9800.
pub(super) const KNOWN: std::ops::Range<i128> = -55_000_000_000_000_000..247_000_000_000_000_000;

/// When the unit that `at` lies in began, both in microseconds.
pub(super) fn start_of(calendar: Calendar, at: i128) -> i128 {
    let zone: Tz = calendar.zone().name().parse().expect("a zone has a name");
    let second = i64::try_from(at.div_euclid(1_000_000)).expect("it is known");
    let start = match calendar.period() {
        Period::Hour => full_hour(zone, calendar.every(), second),
        _ => {
            let today = shown(zone, second).date();
            let mut days = today.succ_opt().expect("a date").iter_days().rev();
            let first = days.find_map(|day| {
                let first = is_first(calendar, day).then(|| first_second(zone, day))?;
                (first <= second).then_some(first)
            });
            first.expect("every unit has begun")
        }
    };
    i128::from(start) * 1_000_000
}

/// What the clock shows.
fn shown(zone: Tz, second: i64) -> NaiveDateTime {
    let instant = DateTime::from_timestamp(second, 0).expect("it is known");
    instant.with_timezone(&zone).naive_local()
}

/// Tells whether a unit begins on that day.
fn is_first(calendar: Calendar, day: NaiveDate) -> bool {
    let every = i64::from(calendar.every());
    let since = |year, month, day_of| {
        let from = NaiveDate::from_ymd_opt(year, month, day_of).expect("a date");
        day.signed_duration_since(from).num_days()
    };
    let year = i64::from(day.year());
    let month = i64::from(day.month0());
    match calendar.period() {
        Period::Hour => unreachable!("hours do not begin on days"),
        Period::Day => since(1970, 1, 1).rem_euclid(every) == 0,
        Period::Week => since(1969, 12, 29).rem_euclid(7 * every) == 0,
        Period::Month => day.day() == 1 && month % every == 0,
        Period::Quarter => day.day() == 1 && month % (3 * every) == 0,
        Period::Year => day.day() == 1 && month == 0 && year.rem_euclid(every) == 0,
    }
}

/// The first second at which the clock shows that day or a later one.
fn first_second(zone: Tz, day: NaiveDate) -> i64 {
    let midnight = day.and_time(NaiveTime::MIN);
    let begun = |second: &i64| shown(zone, *second) >= midnight;
    // No clock is further from UTC than this.
    let from = midnight.and_utc().timestamp() - 17 * 3600;
    let minute = (from..).step_by(60).find(begun).expect("days begin");
    (minute - 59..=minute).find(begun).expect("it has begun")
}

/// The latest second at which the clock struck, or would have, had it not jumped over the hour.
fn full_hour(zone: Tz, every: u32, mut second: i64) -> i64 {
    loop {
        let now = shown(zone, second);
        let strikes = now.minute() == 0 && now.second() == 0 && now.hour().is_multiple_of(every);
        let before = shown(zone, second - 1);
        let unit = |at: NaiveDateTime| (at.date(), at.hour() / every);
        if strikes || unit(now) > unit(before) {
            return second;
        }
        second -= 1;
    }
}

//! Units of time as they are written: `1h`, `1 day`, `2 weeks @ Europe/Berlin`.

use crate::report::Report;
use crate::text::Place;
use crate::{Code, names};
use tiderace_aggregate::{Calendar, Period, Unit, Zone};
use tiderace_expr::nearest;
use tiderace_types::Duration;

/// A unit, with what it adds to the names of outputs.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) unit: Unit,
    /// `1h`, `1day_asia_seoul`; the zone is left out where it is UTC.
    pub(crate) suffix: String,
}

const A_UNIT: &str = "a unit is a duration such as `1h`, or a number of hours, days, weeks, \
    months, quarters or years, in a time zone such as `1 day @ Asia/Seoul`";

/// Reads a unit.
pub(crate) fn unit(report: &Report, text: &str, place: Place) -> Option<Named> {
    let (count, zone) = match text.split_once('@') {
        Some((count, zone)) => (count.trim(), Some(zone.trim())),
        None => (text.trim(), None),
    };
    if zone.is_none()
        && let Ok(length) = count.parse::<Duration>()
    {
        return fixed(report, count, length, place);
    }
    let period = period(report, count, zone.is_some(), place);
    let zone = match zone {
        Some(name) => self::zone(report, name, place),
        None => Some(Zone::UTC),
    };
    let (every, period) = period?;
    let zone = zone?;
    let Some(calendar) = every.and_then(|every| Calendar::new(every, period, zone)) else {
        report.error_help(
            place,
            Code::Value,
            format!("`{count}` is not a unit"),
            takes(period),
        );
        return None;
    };
    let mut suffix = format!("{}{}", calendar.every(), period.name());
    if zone != Zone::UTC {
        suffix.push('_');
        suffix.push_str(&identifier(zone.name()));
    }
    Some(Named {
        unit: Unit::Calendar(calendar),
        suffix,
    })
}

/// What a text stands for that names a calendar's unit without a zone: `1 day`.
pub(crate) fn calendar_word(text: &str) -> Option<Period> {
    let word = text.trim().trim_start_matches(|c: char| c.is_ascii_digit());
    named(word.trim(), false)
}

fn fixed(report: &Report, text: &str, length: Duration, place: Place) -> Option<Named> {
    if text.contains('w') {
        report.error_help(
            place,
            Code::Value,
            format!("`{text}` does not say when a week begins"),
            "`1 week` begins on Monday; `7d` counts from 1970-01-01, a Thursday",
        );
        return None;
    }
    if length <= Duration::ZERO {
        report.error(
            place,
            Code::Value,
            format!("a window must be longer than `{text}`"),
        );
        return None;
    }
    let suffix = text.chars().filter(|c| !c.is_whitespace()).collect();
    let unit = Unit::Fixed(length);
    Some(Named { unit, suffix })
}

/// How many of what; the count is `None` where it is no number of the right size.
fn period(report: &Report, text: &str, short: bool, place: Place) -> Option<(Option<u32>, Period)> {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (count, word) = text.split_at(digits.unwrap_or(text.len()));
    let word = word.trim();
    let Some(period) = named(word, short) else {
        let words = || Period::ALL.iter().map(|period| period.name());
        let singular = word.strip_suffix('s').unwrap_or(word);
        let message = match nearest(singular, words()) {
            _ if word.is_empty() => format!("`{text}` is not a unit"),
            Some(meant) => format!("unknown unit `{word}`; did you mean `{meant}`?"),
            None => format!("unknown unit `{word}`"),
        };
        report.error_help(place, Code::Value, message, A_UNIT);
        return None;
    };
    let count = match count {
        "" => Some(1),
        count => count.parse().ok(),
    };
    Some((count, period))
}

fn named(word: &str, short: bool) -> Option<Period> {
    let long = |period: &Period| {
        word == period.name()
            || word
                .strip_suffix('s')
                .is_some_and(|one| one == period.name())
    };
    match word {
        "h" if short => Some(Period::Hour),
        "d" if short => Some(Period::Day),
        "w" if short => Some(Period::Week),
        _ => Period::ALL.into_iter().find(long),
    }
}

/// How many make one unit, for messages.
fn takes(period: Period) -> &'static str {
    match period {
        Period::Hour => {
            "a unit has 1, 2, 3, 4, 6, 8, 12 or 24 hours, so that every day begins with one"
        }
        Period::Day => "a unit has 1 to 366 days",
        Period::Week => "a unit has 1 to 100 weeks",
        Period::Month => {
            "a unit has 1, 2, 3, 4, 6 or 12 months, so that every year begins with one"
        }
        Period::Quarter => "a unit has 1, 2 or 4 quarters, so that every year begins with one",
        Period::Year => "a unit has 1 to 100 years",
    }
}

fn zone(report: &Report, name: &str, place: Place) -> Option<Zone> {
    let found = Zone::named(name);
    if found.is_none() {
        // `Seoul` is nearer to no whole name than to the end of one.
        let city = Zone::names().find(|zone| {
            let end = zone.rsplit('/').next();
            end.is_some_and(|end| end.eq_ignore_ascii_case(&name.replace(' ', "_")))
        });
        let message = match city {
            Some(meant) => format!("unknown time zone `{name}`; did you mean `{meant}`?"),
            None => names::unknown("time zone", name, Zone::names()),
        };
        report.error_help(
            place,
            Code::Unknown,
            message,
            "time zones are named as in the IANA database: `UTC`, `Asia/Seoul`, `America/New_York`",
        );
    }
    found
}

/// A zone's name as part of another name: `asia_seoul`, `etc_gmt_plus_9`.
fn identifier(zone: &str) -> String {
    let mut text = String::new();
    let mut rest = zone.chars().peekable();
    while let Some(c) = rest.next() {
        let counted = rest.peek().is_some_and(char::is_ascii_digit);
        match c {
            '+' => text.push_str("_plus_"),
            '-' if counted => text.push_str("_minus_"),
            c if c.is_ascii_alphanumeric() => text.push(c.to_ascii_lowercase()),
            _ => text.push('_'),
        }
    }
    text
}

//! A source's bounds: how late, how early, how far behind, how large, and since when it is whole.

use crate::at::At;
use crate::model::Source;
use crate::report::Report;
use crate::scalar::{self, duration_or};
use crate::{Code, raw};
use tiderace_types::{CoveredFrom, Duration};

/// Lateness, horizons and bounds. What is wrong is reported; the draft is then not used.
pub(crate) fn check(report: &Report, raw: &raw::Source, source: &mut Source) -> Option<()> {
    const DAY: i64 = 24 * 60 * 60;
    let lateness = raw.allowed_lateness.as_ref();
    let lateness = duration_or(report, lateness, Duration::from_secs(7 * DAY));
    let max_lag = duration_or(report, raw.max_lag.as_ref(), Duration::from_secs(5));
    let max_ahead = max_ahead(report, raw.max_ahead.as_ref());
    let horizon = raw.dedup_horizon.as_ref();
    let horizon = duration_or(report, horizon, lateness.unwrap_or_default());
    let complete_since = complete_since(report, raw.complete_since.as_ref());
    let max_record = scalar::size_or(report, raw.max_record_bytes.as_ref(), 1 << 20);
    let max_text = scalar::size_or(report, raw.max_text_bytes.as_ref(), 64 << 10);
    let not_finite = raw.not_finite.as_ref().and_then(|at| at.value);
    source.not_finite_as_null = matches!(not_finite, Some(raw::NotFinite::AsNull));
    source.allowed_lateness = lateness?;
    source.max_lag = max_lag?;
    source.max_ahead = max_ahead?;
    source.complete_since = complete_since?;
    source.max_record_bytes = usize::try_from(max_record?).ok()?;
    source.max_text_bytes = usize::try_from(max_text?).ok()?;
    source.dedup_horizon = horizon?;
    if let Some(at) = &raw.dedup_horizon
        && source.dedup_horizon < source.allowed_lateness
    {
        report.error_help(
            at.place,
            Code::Value,
            format!(
                "a dedup_horizon of `{}` is less than the allowed_lateness of `{}`",
                source.dedup_horizon, source.allowed_lateness
            ),
            "a copy may come as late as any event",
        );
    }
    Some(())
}

/// The bound, where `none` is no bound.
fn max_ahead(report: &Report, text: Option<&At<String>>) -> Option<Option<Duration>> {
    let Some(at) = text else {
        return Some(Some(Duration::from_secs(600)));
    };
    match at.text()? {
        ("none", _) => Some(None),
        (text, place) => scalar::duration_or_word(report, text, place, "none").map(Some),
    }
}

fn complete_since(report: &Report, text: Option<&At<String>>) -> Option<Option<CoveredFrom>> {
    let Some(at) = text else {
        return Some(None);
    };
    let (text, place) = at.text()?;
    if text == "beginning" {
        return Some(Some(CoveredFrom::Beginning));
    }
    let found = scalar::instant(text);
    if found.is_none() {
        report.error_help(
            place,
            Code::Value,
            format!("`{text}` is neither `beginning` nor an instant"),
            "an instant is RFC 3339 with a zone, such as `2018-04-01T00:00:31Z`",
        );
    }
    found.map(|from| Some(CoveredFrom::Instant(from)))
}

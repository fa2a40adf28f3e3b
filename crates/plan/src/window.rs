//! Windows: their spans, and the names they give to outputs.

use crate::at::{At, TextOr};
use crate::report::Report;
use crate::text::Place;
use crate::{Code, raw, scalar};
use tiderace_aggregate::{Span, Window};
use tiderace_types::Duration;

/// A window of a feature, with what it adds to the output's name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) window: Window,
    /// `7d`, `lifetime`, `7d_delay_7d`.
    pub(crate) suffix: String,
    /// The output's whole name, where it is given.
    pub(crate) whole_name: Option<At<String>>,
    pub(crate) place: Place,
}

/// A delay as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Delay {
    span: Duration,
    text: String,
}

/// Reads a delay; no delay when there is none.
pub(crate) fn delay(report: &Report, text: Option<&At<String>>) -> Option<Option<Delay>> {
    let Some(at) = text else {
        return Some(None);
    };
    let span = scalar::duration(report, at)?;
    let text = compact(at.value.as_deref()?);
    Some((span > Duration::ZERO).then_some(Delay { span, text }))
}

/// Reads one window; the feature's delay is its own where it has none.
pub(crate) fn window(
    report: &Report,
    raw: &At<TextOr<raw::Window>>,
    feature_delay: Option<&Delay>,
) -> Option<Named> {
    let place = raw.place;
    let (text, place, own_delay, whole_name) = match raw.value.as_ref()? {
        TextOr::Text(text) => (text.as_str(), place, None, None),
        TextOr::Mapping(long) => {
            let (text, place) = long.size.text()?;
            (text, place, long.delay.as_ref(), long.r#as.clone())
        }
    };
    let own_delay = delay(report, own_delay)?;
    let delay = own_delay.as_ref().or(feature_delay);
    let span = span(report, text, place)?;
    let suffix = match delay {
        None => compact(text),
        Some(delay) => format!("{}_delay_{}", compact(text), delay.text),
    };
    Some(Named {
        window: Window {
            span,
            delay: delay.map_or(Duration::ZERO, |delay| delay.span),
        },
        suffix,
        whole_name,
        place,
    })
}

fn span(report: &Report, text: &str, place: Place) -> Option<Span> {
    if text == "lifetime" {
        return Some(Span::Lifetime);
    }
    let size = scalar::duration_or_word(report, text, place, "lifetime")?;
    if size > Duration::ZERO {
        return Some(Span::Sliding(size));
    }
    report.error(
        place,
        Code::Value,
        format!("a window must be longer than `{text}`"),
    );
    None
}

/// The text without spaces: `1h 30m` names an output `…_1h30m`.
fn compact(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

//! Windows: their spans, and the names they give to outputs.

use crate::at::{At, TextOr};
use crate::report::Report;
use crate::text::Place;
use crate::{Code, raw, scalar, unit};
use tiderace_aggregate::{Part, Span, Window};
use tiderace_types::Duration;

/// A window of a feature, with what it adds to the output's name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) window: Window,
    /// `7d`, `lifetime`, `7d_delay_7d`, `tumbling_1day_asia_seoul_last`.
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
    let (found, place, own_delay, whole_name) = match raw.value.as_ref()? {
        TextOr::Text(text) => (short(report, text, raw.place), raw.place, None, None),
        TextOr::Mapping(written) => (
            long(report, written, raw.place),
            written.place().unwrap_or(raw.place),
            written.delay.as_ref(),
            written.r#as.clone(),
        ),
    };
    let own_delay = delay(report, own_delay)?;
    let delay = own_delay.as_ref().or(feature_delay);
    let (span, suffix) = found?;
    Some(Named {
        window: Window {
            span,
            delay: delay.map_or(Duration::ZERO, |delay| delay.span),
        },
        suffix: match delay {
            None => suffix,
            Some(delay) => format!("{suffix}_delay_{}", delay.text),
        },
        whole_name,
        place,
    })
}

/// A span with its part of the output's name.
type Found = (Span, String);

/// Reads a window in its short form: `7d`, `lifetime`, `last 100`, `1 day @ Asia/Seoul`.
fn short(report: &Report, text: &str, place: Place) -> Option<Found> {
    if text.contains('@') {
        return tumbling(report, text, place, Part::Current);
    }
    if let Some(count) = text.strip_prefix("last ") {
        let Ok(count) = count.trim().parse() else {
            report.error_help(
                place,
                Code::Value,
                format!("`{text}` does not say how many events"),
                "`last 100` is over the newest hundred",
            );
            return None;
        };
        return last(report, count, place);
    }
    sliding(report, text, place)
}

fn sliding(report: &Report, text: &str, place: Place) -> Option<Found> {
    if text == "lifetime" {
        return Some((Span::Lifetime, text.to_owned()));
    }
    if let (Some(period), Err(_)) = (unit::calendar_word(text), text.parse::<Duration>()) {
        let name = period.name();
        report.error_help(
            place,
            Code::Value,
            format!("`{text}` is neither a duration nor `lifetime`"),
            format!(
                "a duration such as `7d` goes back from any instant; `1 {name} @ UTC` is the {name} that an instant lies in"
            ),
        );
        return None;
    }
    let size = scalar::duration_or_word(report, text, place, "lifetime")?;
    positive(report, size, text, place)?;
    Some((Span::Sliding(size), compact(text)))
}

/// Reads a window in its long form.
fn long(report: &Report, raw: &raw::Window, place: Place) -> Option<Found> {
    let before = report.count();
    let kind = kind(report, raw, place);
    if let Some(kind) = kind {
        belongs(report, raw.hop.as_ref(), "hop", "size", kind);
        belongs(report, raw.part.as_ref(), "part", "tumbling", kind);
        let most = raw.max_length.as_ref();
        belongs(report, most, "max_length", "session", kind);
    }
    let found = match kind? {
        "size" => hopping(report, raw),
        "tumbling" => {
            let (text, place) = raw.tumbling.as_ref()?.text()?;
            let part = match raw.part.as_ref().map(|at| at.value) {
                None => Part::Current,
                Some(part) => match part? {
                    raw::Part::Current => Part::Current,
                    raw::Part::Last => Part::Last,
                },
            };
            tumbling(report, text, place, part)
        }
        "session" => session(report, raw),
        _ => {
            let at = raw.last.as_ref()?;
            last(report, at.value?, at.place)
        }
    };
    found.filter(|_| report.count() == before)
}

/// Which kind of window is written; one key says so.
fn kind(report: &Report, raw: &raw::Window, place: Place) -> Option<&'static str> {
    let given: Vec<(&str, Place)> = raw.kinds().collect();
    match given.as_slice() {
        [(kind, _)] => Some(kind),
        [] => {
            report.error_help(
                place,
                Code::Shape,
                "the window does not say what it is",
                "give it one of `size`, `tumbling`, `session` and `last`",
            );
            None
        }
        [(first, _), (other, place), ..] => {
            report.error_help(
                *place,
                Code::Shape,
                format!("a window has `{first}` or `{other}`, not both"),
                "give it one of `size`, `tumbling`, `session` and `last`",
            );
            None
        }
    }
}

/// Refuses a key that goes with another kind of window.
fn belongs<T>(report: &Report, at: Option<&At<T>>, key: &str, to: &str, kind: &str) {
    if let Some(at) = at
        && kind != to
    {
        let message = format!("`{key}` belongs to `{to}`, and this window has `{kind}`");
        report.error(at.place, Code::Value, message);
    }
}

fn hopping(report: &Report, raw: &raw::Window) -> Option<Found> {
    let (text, place) = raw.size.as_ref()?.text()?;
    let sliding = sliding(report, text, place);
    let Some(at) = &raw.hop else {
        return sliding;
    };
    let hop = scalar::positive_duration(report, "a hop", at);
    let (span, suffix) = sliding?;
    let Span::Sliding(size) = span else {
        report.error(
            at.place,
            Code::Value,
            "a lifetime has no left edge that could hop",
        );
        return None;
    };
    let hop = hop?;
    if hop > size {
        report.error(
            at.place,
            Code::Value,
            format!("a hop of {hop} is longer than the window, {size}"),
        );
        return None;
    }
    let text = compact(at.value.as_deref()?);
    Some((Span::Hopping { size, hop }, format!("{suffix}_hop_{text}")))
}

fn tumbling(report: &Report, text: &str, place: Place, part: Part) -> Option<Found> {
    let unit::Named { unit, suffix } = unit::unit(report, text, place)?;
    let suffix = match part {
        Part::Current => format!("tumbling_{suffix}"),
        Part::Last => format!("tumbling_{suffix}_last"),
    };
    Some((Span::Tumbling { unit, part }, suffix))
}

fn session(report: &Report, raw: &raw::Window) -> Option<Found> {
    let at = raw.session.as_ref()?;
    let gap = scalar::positive_duration(report, "the gap of a session", at);
    let most = match &raw.max_length {
        None => Some(Duration::MAX),
        Some(at) => scalar::positive_duration(report, "a session", at),
    };
    let (gap, max_length) = (gap?, most?);
    if let (Some(at), true) = (&raw.max_length, max_length < gap) {
        report.error(
            at.place,
            Code::Value,
            format!("a session of at most {max_length} is shorter than its gap, {gap}"),
        );
        return None;
    }
    let text = compact(at.value.as_deref()?);
    let suffix = format!("session_{text}");
    Some((Span::Session { gap, max_length }, suffix))
}

fn last(report: &Report, count: u32, place: Place) -> Option<Found> {
    const MOST: u32 = 10_000;
    if (1..=MOST).contains(&count) {
        return Some((Span::LastN(count), format!("last_{count}")));
    }
    report.error(
        place,
        Code::Value,
        format!("expected the last 1 to {MOST} events, found {count}"),
    );
    None
}

fn positive(report: &Report, size: Duration, text: &str, place: Place) -> Option<()> {
    if size > Duration::ZERO {
        return Some(());
    }
    report.error(
        place,
        Code::Value,
        format!("a window must be longer than `{text}`"),
    );
    None
}

/// Refuses windows that a row cannot be sure to hold: sessions without an end, unless all is kept.
pub(crate) fn bounded(report: &Report, window: &Named, keeps_all: bool) {
    if let Span::Session { max_length, .. } = window.window.span
        && max_length == Duration::MAX
        && !keeps_all
    {
        report.error_help(
            window.place,
            Code::Value,
            "a session without `max_length` may reach back for ever",
            "bound it, `{ session: 30m, max_length: 4h }`, or give the view `history: all`",
        );
    }
}

impl raw::Window {
    /// The keys given that say which kind of window it is.
    fn kinds(&self) -> impl Iterator<Item = (&'static str, Place)> {
        [
            ("size", self.size.as_ref().map(|at| at.place)),
            ("tumbling", self.tumbling.as_ref().map(|at| at.place)),
            ("session", self.session.as_ref().map(|at| at.place)),
            ("last", self.last.as_ref().map(|at| at.place)),
        ]
        .into_iter()
        .filter_map(|(kind, place)| Some((kind, place?)))
    }

    fn place(&self) -> Option<Place> {
        self.kinds().next().map(|(_, place)| place)
    }
}

/// The text without spaces: `1h 30m` names an output `…_1h30m`.
fn compact(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

//! Names: what one may be, which are taken, and what a wrong one probably meant.

use crate::at::At;
use crate::report::Report;
use crate::text::Place;
use crate::{Code, version};
use std::collections::BTreeMap;
use tiderace_expr::nearest;

/// Checks that a name is an identifier.
pub(crate) fn identifier<'a>(report: &Report, what: &str, name: &'a At<String>) -> Option<&'a str> {
    let (text, place) = name.text()?;
    if is_identifier(text) {
        return Some(text);
    }
    report.error_help(
        place,
        Code::Name,
        format!("`{text}` cannot be the name of {what}"),
        "names are small letters, digits and `_`, and begin with a letter",
    );
    None
}

/// Checks that a name is an identifier, perhaps with a version: `customer_spend@v2`.
pub(crate) fn versioned<'a>(report: &Report, what: &str, name: &'a At<String>) -> Option<&'a str> {
    let (text, place) = name.text()?;
    let Some((base, version)) = text.split_once('@') else {
        return identifier(report, what, name);
    };
    if is_identifier(base) && version::is_version(version) {
        return Some(text);
    }
    report.error_help(
        place,
        Code::Name,
        format!("`{text}` cannot be the name of {what}"),
        "expected small letters, digits and `_`, and for a version `@v` and a number from 1 on behind them, such \
         as `customer_spend@v2`",
    );
    None
}

pub(crate) fn is_identifier(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// "unknown aggregate `summ`; did you mean `sum`?"
pub(crate) fn unknown<'a>(
    what: &str,
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    match nearest(name, candidates) {
        Some(meant) => format!("unknown {what} `{name}`; did you mean `{meant}`?"),
        None => format!("unknown {what} `{name}`"),
    }
}

/// "`a`, `b` and `c`", the first few.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 16;
    let all: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match all.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        some if some.len() > MOST => {
            format!("{} and {} more", some[..MOST].join(", "), some.len() - MOST)
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// What is defined under each name of one kind. A broken definition is known, without a value.
pub(crate) struct Defined<T> {
    what: &'static str,
    by_name: BTreeMap<String, Option<T>>,
    /// Some definition's name could not be read, so that an unknown name may be its.
    nameless: bool,
}

impl<T> Defined<T> {
    pub(crate) fn new(what: &'static str) -> Defined<T> {
        Defined {
            what,
            by_name: BTreeMap::new(),
            nameless: false,
        }
    }

    /// Takes a name before its definition is checked; false, with a finding, when it is taken.
    pub(crate) fn claim(&mut self, report: &Report, name: &At<String>) -> bool {
        let Some((text, place)) = name.text() else {
            self.nameless = true;
            return false;
        };
        if self.by_name.contains_key(text) {
            report.error(
                place,
                Code::Duplicate,
                format!("{} `{text}` is defined twice", self.what),
            );
            return false;
        }
        self.by_name.insert(text.to_owned(), None);
        true
    }

    /// Takes the name of a broken definition, where it has one.
    pub(crate) fn broken(&mut self, name: Option<&str>) {
        match name {
            Some(name) => {
                self.by_name.entry(name.to_owned()).or_insert(None);
            }
            None => self.nameless = true,
        }
    }

    /// Gives a claimed name its value.
    pub(crate) fn define(&mut self, name: &str, value: T) {
        self.by_name.insert(name.to_owned(), Some(value));
    }

    /// The value of a name; `None` with a finding when there is no such name,
    /// and without one when its definition is broken.
    pub(crate) fn find(&self, report: &Report, name: &str, place: Place) -> Option<&T> {
        match self.by_name.get(name) {
            Some(value) => value.as_ref(),
            None if self.nameless => None,
            None => {
                let names = || self.by_name.keys().map(String::as_str);
                let message = unknown(self.what, name, names());
                let others: Vec<&str> = version::other_versions(name, names()).collect();
                let help = if !others.is_empty() {
                    format!(
                        "of it there is {}: move over to that, or keep `{name}` until nothing reads it",
                        listed(others)
                    )
                } else if self.by_name.is_empty() {
                    format!("no {} is defined", self.what)
                } else {
                    format!("defined are {}", listed(names()))
                };
                report.error_help(place, Code::Unknown, message, help);
                None
            }
        }
    }

    /// The values, by name.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.by_name.values().flatten()
    }

    /// The same names with other values.
    pub(crate) fn map<U>(&self, other: impl Fn(&T) -> Option<U>) -> Defined<U> {
        let by_name = self.by_name.iter();
        Defined {
            what: self.what,
            nameless: self.nameless,
            by_name: by_name
                .map(|(name, value)| (name.clone(), value.as_ref().and_then(&other)))
                .collect(),
        }
    }

    /// The values, by name.
    pub(crate) fn into_values(self) -> Vec<T> {
        self.by_name.into_values().flatten().collect()
    }
}

/// Refuses a second use of a name among those of one document.
pub(crate) fn unique(
    report: &Report,
    seen: &mut Vec<String>,
    what: &str,
    name: &str,
    at: Place,
) -> bool {
    if seen.iter().any(|held| held == name) {
        report.error(
            at,
            Code::Duplicate,
            format!("{what} `{name}` is given twice"),
        );
        return false;
    }
    seen.push(name.to_owned());
    true
}

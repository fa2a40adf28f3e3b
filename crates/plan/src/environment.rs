//! `${NAME}` and `${NAME:-default}` in text values, filled in before anything is checked.
//!
//! `$${` stands for `${` itself. Keys are never filled.

use crate::Code;
use crate::node::{Content, Node};
use crate::report::Report;
use crate::text::Place;

/// Looks a variable up; given by the caller, so that nothing here reads the environment.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Fills every text value in `node`, reporting each variable that is not set.
pub(crate) fn fill(report: &Report, node: &mut Node, environment: Environment) {
    match &mut node.value {
        Content::Text { text, filled } if text.contains("${") => {
            match fill_text(report, node.place, text, environment) {
                Some(result) => {
                    *text = result;
                    *filled = true;
                }
                None => node.value = Content::Broken,
            }
        }
        Content::List(items) => {
            for item in items {
                fill(report, item, environment);
            }
        }
        Content::Mapping(entries) => {
            for (_, value) in entries {
                fill(report, value, environment);
            }
        }
        _ => {}
    }
}

fn fill_text(
    report: &Report,
    place: Place,
    text: &str,
    environment: Environment,
) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut whole = true;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at - 1]);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            report.error_help(
                place,
                Code::Environment,
                format!("`{}` has no closing brace", &rest[at..]),
                "write `${NAME}` or `${NAME:-default}`",
            );
            return None;
        };
        match variable(&rest[at + 2..at + end], environment) {
            Ok(value) => out.push_str(&value),
            Err((message, help)) => {
                report.error_help(place, Code::Environment, message, help);
                whole = false;
            }
        }
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    whole.then_some(out)
}

/// The value of what stands between the braces, or what is wrong with it.
fn variable(inside: &str, environment: Environment) -> Result<String, (String, String)> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err((
            format!("`{name}` is not the name of an environment variable"),
            "write `${NAME}` or `${NAME:-default}`".to_owned(),
        ));
    }
    let value = environment(name);
    match (value, default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err((
            format!("the environment variable `{name}` is not set"),
            format!("set it, or give a default: `${{{name}:-…}}`"),
        )),
    }
}

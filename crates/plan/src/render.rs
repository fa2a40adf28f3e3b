//! Findings for people, in the manner of rustc, and for machines, as JSON.

use crate::{Diagnostic, Severity};
use std::fmt::Write;

/// The findings as a person reads them, with a count at the end; empty when there are none.
#[must_use]
pub fn render_text(diagnostics: &[Diagnostic], color: bool) -> String {
    let paint = if color { COLOURED } else { PLAIN };
    let mut out = String::new();
    for diagnostic in diagnostics {
        render_one(diagnostic, &paint, &mut out);
        out.push('\n');
    }
    out.push_str(&tally(diagnostics));
    out
}

/// One finding as a person reads it.
#[must_use]
pub fn render_finding(diagnostic: &Diagnostic, color: bool) -> String {
    let paint = if color { COLOURED } else { PLAIN };
    let mut out = String::new();
    render_one(diagnostic, &paint, &mut out);
    out
}

/// The findings as a JSON array.
#[must_use]
pub fn render_json(diagnostics: &[Diagnostic]) -> String {
    serde_json::to_string_pretty(diagnostics).unwrap_or_else(|error| {
        // Strings and numbers always serialize; this arm is never taken.
        format!("[{{\"message\": \"{error}\"}}]")
    })
}

/// Terminal codes around the parts of a finding.
struct Paint {
    error: &'static str,
    warning: &'static str,
    frame: &'static str,
    bold: &'static str,
    reset: &'static str,
}

const PLAIN: Paint = Paint {
    error: "",
    warning: "",
    frame: "",
    bold: "",
    reset: "",
};

const COLOURED: Paint = Paint {
    error: "\x1b[1;31m",
    warning: "\x1b[1;33m",
    frame: "\x1b[1;34m",
    bold: "\x1b[1m",
    reset: "\x1b[0m",
};

fn render_one(diagnostic: &Diagnostic, paint: &Paint, out: &mut String) {
    let (word, tone) = match diagnostic.severity {
        Severity::Error => ("error", paint.error),
        Severity::Warning => ("warning", paint.warning),
    };
    let Paint {
        frame, bold, reset, ..
    } = paint;
    let Diagnostic {
        code,
        message,
        file,
        line,
        column,
        ..
    } = diagnostic;
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let (text, offset) = without_tabs(&diagnostic.source_line, column - 1);
    let carets = "^".repeat(diagnostic.length);
    let lines = [
        format!("{tone}{word}[{code}]{reset}{bold}: {message}{reset}"),
        format!("{margin}{frame}-->{reset} {file}:{line}:{column}"),
        format!("{margin} {frame}|{reset}"),
        format!("{frame}{number} |{reset} {text}"),
        format!(
            "{margin} {frame}|{reset} {}{tone}{carets}{reset}",
            " ".repeat(offset)
        ),
    ];
    for line in lines {
        out.push_str(&line);
        out.push('\n');
    }
    if let Some(help) = &diagnostic.help {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{margin} {frame}={reset} {bold}help{reset}: {help}");
    }
}

/// Widens tabs to four spaces, so that the caret stands where it points.
fn without_tabs(line: &str, column: usize) -> (String, usize) {
    let before: String = line.chars().take(column).collect();
    let offset = before.replace('\t', "    ").chars().count();
    (line.replace('\t', "    "), offset)
}

fn tally(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| {
        diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .count()
    };
    let plural = |n: usize, word: &str| match n {
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    };
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => String::new(),
        (errors, 0) => format!("{}\n", plural(errors, "error")),
        (0, warnings) => format!("{}\n", plural(warnings, "warning")),
        (errors, warnings) => format!(
            "{}, {}\n",
            plural(errors, "error"),
            plural(warnings, "warning")
        ),
    }
}

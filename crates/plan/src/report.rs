//! Where findings are gathered while checking goes on.

use crate::at::At;
use crate::text::{Place, shown};
use crate::{Code, Diagnostic, Severity, SourceFile};
use std::cell::RefCell;
use std::ops::Range;

/// The findings so far. Shared by every check; one load, one thread.
pub(crate) struct Report<'a> {
    files: &'a [SourceFile],
    found: RefCell<Vec<(Place, Diagnostic)>>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(files: &'a [SourceFile]) -> Report<'a> {
        Report {
            files,
            found: RefCell::default(),
        }
    }

    /// Notes an error.
    pub(crate) fn error(&self, place: Place, code: Code, message: impl Into<String>) {
        self.note(place, code, message.into(), None);
    }

    /// Notes an error, and what was expected.
    pub(crate) fn error_help(
        &self,
        place: Place,
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.note(place, code, message.into(), Some(help.into()));
    }

    /// Notes what is wrong with an expression, at its place inside the written text.
    pub(crate) fn expression(&self, sql: &At<String>, error: tiderace_expr::Error) {
        let (message, help) = match error.help {
            Some(help) if help.starts_with("did you mean") => {
                (format!("{}; {help}", error.message), None)
            }
            help => (error.message, help),
        };
        let place = self.part(sql, error.span);
        self.note(place, Code::Expression, message, help);
    }

    /// Notes what is wrong with some bytes of a written text.
    pub(crate) fn within(
        &self,
        text: &At<String>,
        span: Option<Range<usize>>,
        code: Code,
        message: String,
        help: String,
    ) {
        self.note(self.part(text, span), code, message, Some(help));
    }

    fn part(&self, text: &At<String>, span: Option<Range<usize>>) -> Place {
        let written = text.value.as_deref().unwrap_or_default();
        match span {
            Some(span) => text
                .place
                .within(&self.files[text.place.file as usize], written, span),
            None => text.place,
        }
    }

    /// Tells whether anything was found.
    pub(crate) fn has_errors(&self) -> bool {
        let found = self.found.borrow();
        found.iter().any(|(_, d)| d.severity == Severity::Error)
    }

    /// How many findings there are, to see whether a step added one.
    pub(crate) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// The findings in the order of the text.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(place, _)| *place);
        found
            .into_iter()
            .map(|(_, diagnostic)| diagnostic)
            .collect()
    }

    fn note(&self, place: Place, code: Code, message: String, help: Option<String>) {
        let diagnostic = diagnostic(self.files, place, code, message, help);
        let mut found = self.found.borrow_mut();
        if !found.iter().any(|(at, d)| *at == place && *d == diagnostic) {
            found.push((place, diagnostic));
        }
    }
}

/// The finding at a place of the files.
pub(crate) fn diagnostic(
    files: &[SourceFile],
    place: Place,
    code: Code,
    message: String,
    help: Option<String>,
) -> Diagnostic {
    let empty = SourceFile {
        path: String::new(),
        text: String::new(),
    };
    let file = files.get(place.file as usize).unwrap_or(&empty);
    let shown = shown(&file.text, place);
    Diagnostic {
        severity: Severity::Error,
        code,
        message,
        file: file.path.clone(),
        line: shown.line,
        column: shown.column,
        length: shown.length,
        source_line: shown.source_line,
        help,
    }
}

//! Metrics in the text form that Prometheus reads.

use std::fmt::{Display, Write};

/// A page of metrics as it grows.
#[derive(Clone, Debug, Default)]
pub struct Page(String);

impl Page {
    /// Begins a family of metrics: its lines follow.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a line. Label values are names of the project and need no escaping.
    pub fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// What has been written.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

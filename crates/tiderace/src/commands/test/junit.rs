//! Results in JUnit's XML, which CI systems read.

use super::Results;
use std::fmt::Write;

pub(super) fn render(results: &Results) -> String {
    let (all, failed) = (results.outcomes.len(), results.failed());
    let took = results.took().as_secs_f64();
    let name = escaped(&results.project);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        r#"  <testsuite name="{name}" tests="{all}" failures="{failed}" errors="0" time="{took:.6}">"#
    );
    for test in &results.outcomes {
        let _ = write!(
            out,
            r#"    <testcase classname="{}" name="{}" file="{}" line="{}" time="{:.6}""#,
            escaped(&test.subject),
            escaped(&test.name),
            escaped(&test.file),
            test.line,
            test.took.as_secs_f64()
        );
        if test.failures.is_empty() {
            out.push_str("/>\n");
            continue;
        }
        out.push_str(">\n");
        for failure in &test.failures {
            let text = tiderace_plan::render_finding(&failure.finding, false);
            let _ = write!(
                out,
                r#"      <failure message="{}">{}"#,
                escaped(&failure.finding.message),
                escaped(&text)
            );
            for note in &failure.notes {
                let _ = writeln!(out, "{}", escaped(note));
            }
            out.push_str("</failure>\n");
        }
        out.push_str("    </testcase>\n");
    }
    out.push_str("  </testsuite>\n</testsuites>");
    out
}

/// A text as XML has it. Control characters, which XML has no way to say, are shown as such.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(char),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {
                out.extend(control.escape_unicode());
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn texts_are_xml() {
        let said = escaped("a < b & \"c\" > d\u{1}\n");
        assert_eq!(said, "a &lt; b &amp; &quot;c&quot; &gt; d\\u{1}\n");
    }
}

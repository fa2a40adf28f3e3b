//! The lock file's text, written and read back.
//!
//! ```text
//! KIND NAME: WORDS [FINGERPRINT]
//!   NAME: WORDS [FINGERPRINT]
//! ```
//! Words and fingerprint may be missing, and with the words the colon.

use super::{Group, Line, Lock};
use std::fmt::{self, Write};

/// The form of the file; one that is newer is not read.
const FORM: &str = "lock 1";

const HEAD: &str = "\
# What every name of these definitions means: one line each, by which a change of meaning is seen in review.
# Written by `tiderace plan --write`: change the definitions, not this file.
";

/// Why a text is not a lock file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The line, from 1.
    pub line: usize,
    /// What was expected there.
    pub expected: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected {}", self.line, self.expected)
    }
}

impl std::error::Error for Unreadable {}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        writeln!(f, "{FORM}")?;
        writeln!(f, "project {}", self.project)?;
        for (kind, groups) in [
            ("source", &self.sources),
            ("view", &self.views),
            ("service", &self.services),
        ] {
            for group in groups {
                let rows = match kind {
                    "view" => "rows ",
                    _ => "",
                };
                writeln!(f, "\n{kind} {}", line(&group.own, rows))?;
                for part in &group.parts {
                    writeln!(f, "  {}", line(part, ""))?;
                }
            }
        }
        Ok(())
    }
}

fn line(line: &Line, what: &str) -> String {
    let mut text = line.name.clone();
    // Writing to a string cannot fail.
    if !line.words.is_empty() {
        let _ = write!(text, ": {}", line.words);
    }
    if line.fingerprint != 0 {
        let _ = write!(text, " [{what}{:016x}]", line.fingerprint);
    }
    text
}

impl Lock {
    /// Reads a lock file.
    ///
    /// # Errors
    /// When the text is not one, or is of a newer form.
    pub fn parse(text: &str) -> Result<Lock, Unreadable> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        });
        let wrong = |at: Option<usize>, expected: &str| Unreadable {
            line: at.map_or_else(|| text.lines().count() + 1, |at| at + 1),
            expected: expected.to_owned(),
        };
        let mut header = |expected: &str| match lines.next() {
            Some((_, line)) if line.starts_with(expected) => Ok(line[expected.len()..].trim()),
            found => Err(wrong(found.map(|(at, _)| at), &format!("`{expected}…`"))),
        };
        if !header("lock ")?.eq(FORM.trim_start_matches("lock ")) {
            let what = "`lock 1`: this file is of a newer version of Tiderace";
            let at = text.lines().position(|line| line.starts_with("lock "));
            return Err(wrong(at, what));
        }
        let mut lock = Lock {
            project: header("project ")?.to_owned(),
            sources: vec![],
            views: vec![],
            services: vec![],
        };
        let mut into = None;
        for (at, line) in lines {
            let parsed = |line| parse_line(line).ok_or_else(|| wrong(Some(at), "`name: meaning`"));
            if let Some(part) = line.strip_prefix("  ") {
                let group: Option<&mut Group> = match into {
                    Some("source") => lock.sources.last_mut(),
                    Some("view") => lock.views.last_mut(),
                    Some(_) => lock.services.last_mut(),
                    None => None,
                };
                let Some(group) = group else {
                    return Err(wrong(Some(at), "`source`, `view` or `service` first"));
                };
                group.parts.push(parsed(part)?);
                continue;
            }
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            let groups = match kind {
                "source" => &mut lock.sources,
                "view" => &mut lock.views,
                "service" => &mut lock.services,
                _ => return Err(wrong(Some(at), "`source`, `view` or `service`")),
            };
            groups.push(Group {
                own: parsed(rest)?,
                parts: vec![],
            });
            into = Some(kind);
        }
        Ok(lock)
    }
}

fn parse_line(text: &str) -> Option<Line> {
    let text = text.trim();
    let (text, fingerprint) = match text
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once(" ["))
    {
        Some((rest, number)) => {
            let number = number.trim_start_matches("rows ");
            let hexadecimal = number.len() == 16 && number.bytes().all(|b| b.is_ascii_hexdigit());
            match hexadecimal {
                true => (rest, u64::from_str_radix(number, 16).ok()?),
                false => (text, 0),
            }
        }
        None => (text, 0),
    };
    let (name, words) = text.split_once(": ").unwrap_or((text, ""));
    (!name.is_empty() && !name.contains(' ')).then(|| Line {
        name: name.to_owned(),
        words: words.to_owned(),
        fingerprint,
    })
}

//! The texts that definitions come from, and places in them.

use std::ops::Range;

/// One definition file, already read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path, for messages.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// Some bytes of one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Index into the files.
    pub(crate) file: u32,
    /// The first byte.
    pub(crate) start: u32,
    /// How many bytes.
    pub(crate) length: u32,
}

impl Place {
    /// The bytes of the file's text, held within it and on character borders.
    pub(crate) fn range(self, text: &str) -> Range<usize> {
        let border = |at: usize| {
            let at = at.min(text.len());
            (0..=at)
                .rev()
                .find(|&at| text.is_char_boundary(at))
                .unwrap_or(0)
        };
        let start = border(self.start as usize);
        let end = border((self.start as usize).saturating_add(self.length as usize));
        start..end
    }

    /// The part of this place that some bytes of a string written there have.
    ///
    /// The string may be written otherwise there (quotes with escapes, folded lines,
    /// a variable filled in): then the one place where the part is, or the whole.
    pub(crate) fn within(self, file: &SourceFile, written: &str, part: Range<usize>) -> Place {
        let raw = &file.text[self.range(&file.text)];
        let word = &written[part.clone()];
        let whole = raw.find(written).map(|at| at + part.start);
        let only = || {
            (raw.matches(word).count() == 1)
                .then(|| raw.find(word))
                .flatten()
        };
        let found = whole.or_else(|| by_line(raw, written, &part)).or_else(only);
        match found {
            Some(at) => Place {
                start: self.start + at as u32,
                length: part.len() as u32,
                ..self
            },
            None => self,
        }
    }
}

/// Where some bytes of a text are that is written with its lines indented.
fn by_line(raw: &str, written: &str, part: &Range<usize>) -> Option<usize> {
    let start = written[..part.start].rfind('\n').map_or(0, |at| at + 1);
    let end = written[start..]
        .find('\n')
        .map_or(written.len(), |at| start + at);
    let line = written[start..end].trim_end();
    if part.end > start + line.len() || !written.contains('\n') {
        return None;
    }
    // Of lines that are alike, the one that as many come before.
    let alike = written[..start]
        .lines()
        .filter(|other| other.trim() == line.trim());
    let mut at = 0;
    let mut lines = raw.split_inclusive('\n').filter_map(|other| {
        let begins = at;
        at += other.len();
        let within = other.find(line)?;
        (other.trim() == line.trim()).then_some(begins + within)
    });
    Some(lines.nth(alike.count())? + part.start - start)
}

/// A place as people count: from 1, in characters, within one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) length: usize,
    pub(crate) source_line: String,
}

/// Finds the line that a place begins on, and how much of it the place covers.
pub(crate) fn shown(text: &str, place: Place) -> Shown {
    let range = place.range(text);
    let line_start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[range.start..]
        .find('\n')
        .map_or(text.len(), |at| range.start + at);
    let covered = &text[range.start..range.end.clamp(range.start, line_end)];
    Shown {
        line: text[..line_start].matches('\n').count() + 1,
        column: text[line_start..range.start].chars().count() + 1,
        length: covered.trim_end().chars().count().max(1),
        source_line: text[line_start..line_end].trim_end().to_owned(),
    }
}

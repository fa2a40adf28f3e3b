//! A line of the screen: pieces of text, each with its look.

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Plain,
    Dim,
    Strong,
    Good,
    Changed,
    Alarm,
}

/// A line of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pieces: Vec<(Look, String)>,
}

impl Line {
    /// With more text.
    #[must_use]
    pub fn with(mut self, look: Look, text: impl Into<String>) -> Line {
        self.pieces.push((look, text.into()));
        self
    }

    /// With blanks up to a column.
    #[must_use]
    pub fn to(self, column: usize) -> Line {
        let blanks = column.saturating_sub(self.width());
        self.with(Look::Plain, " ".repeat(blanks))
    }

    /// How many columns it takes.
    pub fn width(&self) -> usize {
        self.pieces
            .iter()
            .map(|(_, text)| text.chars().count())
            .sum()
    }

    /// With another line after it.
    #[must_use]
    pub fn join(mut self, other: &Line) -> Line {
        self.pieces.extend(other.pieces.iter().cloned());
        self
    }

    /// Its text alone.
    #[cfg(test)]
    pub fn text(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// How many rows it takes on a screen of so many columns.
    pub fn rows(&self, columns: usize) -> usize {
        self.width().max(1).div_ceil(columns.max(1))
    }

    /// At most `columns` of it.
    pub fn cut(&self, columns: usize) -> Line {
        let mut left = columns;
        let mut cut = Line::default();
        for (look, text) in &self.pieces {
            let kept: String = text.chars().take(left).collect();
            left -= kept.chars().count();
            cut = cut.with(*look, kept);
        }
        cut
    }

    /// Writes it for a terminal.
    pub fn write(&self, colored: bool, out: &mut String) {
        for (look, text) in &self.pieces {
            match code(*look).filter(|_| colored) {
                Some(code) => {
                    out.push_str(code);
                    out.push_str(text);
                    out.push_str("\x1b[0m");
                }
                None => out.push_str(text),
            }
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.pieces
            .iter()
            .try_for_each(|(_, text)| f.write_str(text))
    }
}

fn code(look: Look) -> Option<&'static str> {
    match look {
        Look::Plain => None,
        Look::Dim => Some("\x1b[2m"),
        Look::Strong => Some("\x1b[1m"),
        Look::Good => Some("\x1b[32m"),
        Look::Changed => Some("\x1b[33m"),
        Look::Alarm => Some("\x1b[1;31m"),
    }
}

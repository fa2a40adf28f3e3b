//! What a record holds for one used column, before it is given the column's type.

/// The value found for a column, and the bytes of the payload that it came from.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// What kind of value it is.
    pub kind: Kind,
    /// Where its text begins (a string's: after the quote).
    pub start: usize,
    /// Where its text ends (a string's: before the quote).
    pub end: usize,
}

/// The kinds of JSON value, with what the scanner already knows of them.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The record does not name the column.
    Absent,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string; `escaped` tells whether it holds a backslash.
    Text {
        /// Whether the text must be unescaped.
        escaped: bool,
    },
    /// An array.
    Array,
    /// An object.
    Object,
    /// The column lies inside something that is not an object: its path breaks
    /// after this many names.
    Blocked(usize),
}

/// A number as it was read: `±mantissa × 10^exponent`.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// Whether a minus sign stands before it.
    pub negative: bool,
    /// Its digits; meaningless unless `exact`.
    pub mantissa: u64,
    /// The power of ten.
    pub exponent: i32,
    /// Whether `mantissa` holds every digit.
    pub exact: bool,
}

impl Cell {
    /// Nothing found.
    pub const ABSENT: Cell = Cell {
        kind: Kind::Absent,
        start: 0,
        end: 0,
    };

    /// Tells what was found, in at most about 60 characters.
    pub fn describe(&self, payload: &[u8]) -> String {
        let name = match self.kind {
            Kind::Absent => return "nothing".to_owned(),
            Kind::Null => return "null".to_owned(),
            Kind::Bool(value) => return value.to_string(),
            Kind::Number(_) => "number",
            Kind::Text { .. } => "string",
            Kind::Array => return "an array".to_owned(),
            Kind::Object => return "an object".to_owned(),
            Kind::Blocked(_) => "a value",
        };
        let quote = if matches!(self.kind, Kind::Text { .. }) {
            "\""
        } else {
            ""
        };
        let found = excerpt(&payload[self.start..self.end]);
        format!("{name} {quote}{found}{quote}")
    }
}

/// The longest excerpt of a record in a message, in bytes.
const EXCERPT: usize = 40;

/// The beginning of `bytes`, fit for a message.
pub fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT)]);
    let mut shown: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if bytes.len() > EXCERPT {
        shown.push('…');
    }
    shown
}

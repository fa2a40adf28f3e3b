//! One pass over a record: every wanted column's cell, or where it stops being JSON.

use crate::cell::{Cell, Kind};
use crate::scan::{Malformed, Scanner};
use crate::shape::Shape;
use crate::text;

/// Fills `cells` (one per column) from `payload`.
///
/// # Errors
/// When the payload is not exactly one JSON object.
pub fn walk(
    payload: &[u8],
    shape: &mut Shape,
    cells: &mut [Cell],
    scratch: &mut Vec<u8>,
) -> Result<(), Malformed> {
    cells.fill(Cell::ABSENT);
    let mut walker = Walker {
        scanner: Scanner::new(payload),
        shape,
        cells,
        scratch,
    };
    walker.scanner.space();
    if walker.scanner.peek() != b'{' {
        return Err(walker.scanner.error("an object"));
    }
    walker.object(0, 0)?;
    walker.scanner.space();
    if walker.scanner.at < payload.len() {
        return Err(walker.scanner.error("nothing after the object"));
    }
    Ok(())
}

struct Walker<'a> {
    scanner: Scanner<'a>,
    shape: &'a mut Shape,
    cells: &'a mut [Cell],
    scratch: &'a mut Vec<u8>,
}

impl Walker<'_> {
    /// Reads an object that holds wanted fields.
    fn object(&mut self, node: usize, depth: usize) -> Result<(), Malformed> {
        self.scanner.enter(depth)?;
        let mut expected = 0;
        loop {
            if self.scanner.eat(b'}') {
                return Ok(());
            }
            let rest = self.scanner.rest();
            let target = match self.shape.nodes[node].recognise(rest, expected) {
                Some(hit) => {
                    self.scanner.at += hit.length;
                    expected = hit.next;
                    self.scanner.space();
                    hit.target
                }
                None => {
                    let start = self.scanner.at;
                    let Some(target) = self.field(node, expected == 0)? else {
                        return Ok(());
                    };
                    let raw = &self.scanner.bytes[start..self.scanner.at];
                    self.shape.nodes[node].learn(expected, raw, target);
                    expected += 1;
                    target
                }
            };
            match target {
                Some(target) => self.wanted(target, depth + 1)?,
                None => self.scanner.skip(depth + 1)?,
            }
        }
    }

    /// Reads a field's name up to its value; none at the end of the object.
    #[expect(
        clippy::option_option,
        reason = "the end, or a field that may be wanted"
    )]
    fn field(&mut self, node: usize, first: bool) -> Result<Option<Option<usize>>, Malformed> {
        self.scanner.space();
        if self.scanner.eat(b'}') {
            return Ok(None);
        }
        if !first {
            if !self.scanner.eat(b',') {
                return Err(self.scanner.error("`,` or `}`"));
            }
            self.scanner.space();
        }
        let name = self.scanner.string()?;
        self.scanner.colon()?;
        let bytes = &self.scanner.bytes[name.start..name.end];
        let node = &self.shape.nodes[node];
        Ok(Some(match name.kind {
            Kind::Text { escaped: true } => {
                self.scratch.clear();
                text::unescape_into(bytes, self.scratch);
                node.find(self.scratch)
            }
            _ => node.find(bytes),
        }))
    }

    /// Reads a wanted field's value. Whatever an earlier field of the same name left is replaced.
    #[inline]
    fn wanted(&mut self, node: usize, depth: usize) -> Result<(), Malformed> {
        let inner = !self.shape.nodes[node].fields.is_empty();
        let start = self.scanner.at;
        let cell = if inner && self.scanner.peek() == b'{' {
            self.fill_below(node, Cell::ABSENT);
            self.object(node, depth)?;
            Cell {
                kind: Kind::Object,
                start,
                end: self.scanner.at,
            }
        } else {
            let cell = self.scanner.value(depth)?;
            if inner {
                self.block(node, cell);
            }
            cell
        };
        for &column in &self.shape.nodes[node].columns {
            self.cells[column] = cell;
        }
        Ok(())
    }

    /// Columns below something that is not an object: absent below null, unreadable below the rest.
    fn block(&mut self, node: usize, cell: Cell) {
        let kind = match cell.kind {
            Kind::Null => Kind::Absent,
            _ => Kind::Blocked(self.shape.nodes[node].depth),
        };
        self.fill_below(node, Cell { kind, ..cell });
    }

    fn fill_below(&mut self, node: usize, cell: Cell) {
        for &column in &self.shape.nodes[node].below {
            self.cells[column] = cell;
        }
    }
}

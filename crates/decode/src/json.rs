//! JSON records: found in one pass, then given the columns' types.

use crate::build::{Builder, Refusal};
use crate::cell::{Cell, Kind, excerpt};
use crate::instant;
use crate::shape::Shape;
use crate::table::{Table, Verdict};
use crate::walk::walk;
use tiderace_types::{Column, DataType, Reason};

/// Reads the JSON records of one source. Kept between batches: it remembers how records look.
#[derive(Debug)]
pub struct JsonReader {
    shape: Shape,
    cells: Vec<Cell>,
    scratch: Vec<u8>,
}

impl JsonReader {
    /// A reader of `columns`.
    pub fn new(columns: &[Column]) -> JsonReader {
        JsonReader {
            shape: Shape::new(columns),
            cells: vec![Cell::ABSENT; columns.len()],
            scratch: Vec::new(),
        }
    }

    /// Appends one record to `builders`; on a refusal some of them may hold part of it.
    #[inline]
    pub fn read(
        &mut self,
        payload: &[u8],
        is_text: bool,
        table: &Table,
        builders: &mut [Builder],
    ) -> Result<(), Verdict> {
        scan(
            payload,
            is_text,
            &mut self.shape,
            &mut self.cells,
            &mut self.scratch,
        )?;
        for (index, builder) in builders.iter_mut().enumerate() {
            give(index, &self.cells[index], payload, table, builder)?;
        }
        Ok(())
    }
}

/// Fills `cells` from `payload`.
///
/// # Errors
/// When it is not exactly one JSON object.
#[inline]
pub fn scan(
    payload: &[u8],
    is_text: bool,
    shape: &mut Shape,
    cells: &mut [Cell],
    scratch: &mut Vec<u8>,
) -> Result<(), Verdict> {
    if !is_text {
        check_text(payload)?;
    }
    walk(payload, shape, cells, scratch).map_err(|error| {
        let found = payload.get(error.at..).unwrap_or_default();
        malformed_detail(error.at, error.expected, found)
    })
}

/// Appends what `cell` holds for column `index`.
///
/// # Errors
/// When that is not a value of the column, or there is none and one is needed.
#[inline]
pub fn give(
    index: usize,
    cell: &Cell,
    payload: &[u8],
    table: &Table,
    builder: &mut Builder,
) -> Result<(), Verdict> {
    let column = &table.columns[index];
    match cell.kind {
        Kind::Absent if !column.default.is_null() => builder.push_value(&column.default),
        Kind::Null | Kind::Absent if column.nullable => builder.push_null(),
        Kind::Null => return Err(table.null(index)),
        Kind::Absent => return Err(table.absent(index)),
        _ => {
            let pushed = builder.push(cell, payload);
            pushed.map_err(|refusal| refused(table, index, cell, payload, refusal))?;
        }
    }
    Ok(())
}

/// The verdict on a value of another type than its column.
#[cold]
pub fn wrong(table: &Table, index: usize, cell: &Cell, payload: &[u8]) -> Verdict {
    refused(table, index, cell, payload, Refusal::WrongType)
}

/// The verdict on a payload that has `found` at byte `at`.
pub fn malformed(at: usize, expected: &str, found: &str) -> Verdict {
    let detail = format!("byte {at}: expected {expected}, found {found}");
    (Reason::Malformed, detail)
}

/// The verdict on a value that is not one of its column.
#[cold]
fn refused(table: &Table, index: usize, cell: &Cell, payload: &[u8], refusal: Refusal) -> Verdict {
    let column = &table.columns[index];
    let expected = match (refusal, cell.kind) {
        (_, Kind::Blocked(depth)) => {
            let path: Vec<&str> = column.name.split('.').take(depth).collect();
            format!("an object at \"{}\"", path.join("."))
        }
        (Refusal::WrongType, _) => expected(column),
        _ => table.limit(refusal),
    };
    table.refused(index, refusal, &expected, &cell.describe(payload))
}

/// What a column's values look like, for a message.
pub fn expected(column: &Column) -> String {
    match &column.data_type {
        DataType::Timestamp => instant::expected(column.time_unit).to_owned(),
        DataType::Bytes => "bytes (a string in base64)".to_owned(),
        DataType::Duration => "duration (an integer in microseconds)".to_owned(),
        DataType::List(_) | DataType::Map(..) => {
            format!("no value ({} is not read from JSON)", column.data_type)
        }
        data_type => data_type.to_string(),
    }
}

fn check_text(payload: &[u8]) -> Result<(), Verdict> {
    str::from_utf8(payload).map(|_| ()).map_err(|error| {
        let at = error.valid_up_to();
        let (_, detail) = malformed_detail(at, "UTF-8", payload.get(at..).unwrap_or_default());
        (Reason::InvalidUtf8, detail)
    })
}

#[cold]
fn malformed_detail(at: usize, expected: &str, found: &[u8]) -> Verdict {
    let found = if found.is_empty() {
        "the end".to_owned()
    } else {
        format!("`{}`", excerpt(&found[..found.len().min(16)]))
    };
    let detail = format!("byte {at}: expected {expected}, found {found}");
    (Reason::Malformed, detail)
}

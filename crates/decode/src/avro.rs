//! Avro records: a schema compiled into steps, and the steps run over the bytes.

mod schema;
pub use schema::{Type, TypeId, Types};

mod skip;
pub use skip::Frame;

mod program;
pub use program::{Program, Targets};

use crate::book::Book;
use crate::build::Builder;
use crate::cursor::Cursor;
use crate::fault::Fault;
use crate::paths::Paths;
use crate::settings::{Framing, Schema, SchemaError};
use crate::sink::Row;
use crate::table::{Table, Verdict};
use std::sync::Arc;
use tiderace_types::Column;

/// Reads the Avro records of one source.
#[derive(Debug)]
pub struct AvroReader {
    /// The schemas it was taught.
    pub book: Book<Program>,
    paths: Paths,
    stack: Vec<Frame>,
}

impl AvroReader {
    /// A reader of `columns`.
    pub fn new(framing: Framing, columns: &[Column]) -> AvroReader {
        let names = columns.iter().map(|column| column.name.as_str());
        AvroReader {
            book: Book::new(framing),
            paths: Paths::new(names.enumerate()),
            stack: Vec::new(),
        }
    }

    /// What to do with data of `schema`.
    pub fn compile(&self, schema: &Schema, columns: &[Column]) -> Result<Program, SchemaError> {
        let types = Types::parse(&schema.text, &schema.references);
        let types = Arc::new(types.map_err(SchemaError::Unreadable)?);
        let targets = Targets::Columns(columns);
        Program::compile(&types, types.root, &self.paths, targets)
    }

    /// Appends one record to `builders`; on a refusal some of them may hold part of it.
    #[inline]
    pub fn read(
        &mut self,
        payload: &[u8],
        table: &Table,
        builders: &mut [Builder],
    ) -> Result<(), Verdict> {
        let (id, datum) = self
            .book
            .unframe(payload)
            .map_err(|fault| fault.verdict(0))?;
        let program = self.book.get(id)?;
        let mut cursor = Cursor::new(datum);
        let mut row = Row { table, builders };
        let run = program.run(&mut cursor, &mut self.stack, &mut row);
        run.and_then(|()| ended(&cursor))
            .map_err(|fault| fault.verdict(self.book.skipped()))
    }
}

/// Tells whether all bytes were read.
pub fn ended(cursor: &Cursor<'_>) -> Result<(), Fault> {
    match cursor.at == cursor.bytes.len() {
        true => Ok(()),
        false => Err(cursor.fault("nothing after the record")),
    }
}

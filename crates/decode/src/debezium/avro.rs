//! Changes as Avro: an envelope record around two images of the same row type.

use super::change::{AFTER, Act, BEFORE, HEAD, Head, Note, Side, act};
use super::columns::{Origins, of_side, rows};
use crate::avro::{Frame, Program, Targets, Type, TypeId, Types, ended};
use crate::book::Book;
use crate::build::Builder;
use crate::cursor::Cursor;
use crate::decoder::Read;
use crate::fault::Fault;
use crate::item::{Item, Tick};
use crate::paths::Paths;
use crate::settings::{Framing, Schema, SchemaError};
use crate::sink::{Row, Sink};
use crate::table::{Table, Verdict};
use std::sync::Arc;
use tiderace_types::Column;

/// Reads the changes of one source.
#[derive(Debug)]
pub struct DebeziumAvroReader {
    /// The schemas it was taught.
    pub book: Book<Envelope>,
    origins: Origins,
    row: Paths,
    envelope: Paths,
    stack: Vec<Frame>,
    scratch: Vec<u8>,
}

/// How to read envelopes of one schema.
#[derive(Debug)]
pub struct Envelope {
    head: Program,
    before: Program,
    after: Program,
    /// For columns of the envelope, if there are any.
    around: Option<Program>,
}

impl Envelope {
    /// The columns that no change has anything for.
    pub fn absent(&self) -> Vec<usize> {
        let around = self.around.iter().flat_map(|around| &around.absent);
        self.after.absent.iter().chain(around).copied().collect()
    }
}

/// What was found in an envelope.
struct Notes<'a>(Head<'a>);

impl<'a> Sink<'a> for Notes<'a> {
    fn put(&mut self, target: usize, item: Item<'a>, _: Tick) -> Result<(), Fault> {
        self.0[target] = Note::Item(item);
        Ok(())
    }

    fn null(&mut self, target: usize) -> Result<(), Fault> {
        self.0[target] = Note::Null;
        Ok(())
    }

    fn absent(&mut self, _: usize) -> Result<(), Fault> {
        Ok(())
    }

    fn wrong(&mut self, _: usize, _: &str) -> Result<(), Fault> {
        Ok(())
    }
}

impl DebeziumAvroReader {
    /// A reader of `columns`.
    pub fn new(framing: Framing, columns: &[Column]) -> DebeziumAvroReader {
        let origins = Origins::new(columns);
        let paths = |from: &[(usize, String)]| {
            Paths::new(from.iter().map(|(index, path)| (*index, path.as_str())))
        };
        DebeziumAvroReader {
            book: Book::new(framing),
            row: paths(&origins.row),
            envelope: paths(&origins.envelope),
            origins,
            stack: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// What to do with envelopes of `schema`.
    pub fn compile(&self, schema: &Schema, columns: &[Column]) -> Result<Envelope, SchemaError> {
        let types = Types::parse(&schema.text, &schema.references);
        let types = Arc::new(types.map_err(SchemaError::Unreadable)?);
        let head = Paths::new(HEAD.into_iter().enumerate());
        let targets = Targets::Columns(columns);
        let image = |name: &str| {
            let id = image(&types, name)?;
            Program::compile(&types, id, &self.row, targets)
        };
        let around = (!self.origins.envelope.is_empty())
            .then(|| Program::compile(&types, types.root, &self.envelope, targets));
        Ok(Envelope {
            before: image("before")?,
            after: image("after")?,
            head: Program::compile(&types, types.root, &head, Targets::Any(HEAD.len()))?,
            around: around.transpose()?,
        })
    }

    /// Appends the rows of one change to `builders`; on a refusal some of them may hold part of it.
    pub fn read(
        &mut self,
        payload: &[u8],
        table: &Table,
        builders: &mut [Builder],
    ) -> Result<Read, Verdict> {
        let (id, datum) = self
            .book
            .unframe(payload)
            .map_err(|fault| fault.verdict(0))?;
        let skipped = self.book.skipped();
        let envelope = self.book.get(id)?;
        let mut notes = Notes([Note::Absent; HEAD.len()]);
        let mut cursor = Cursor::new(datum);
        let run = envelope.head.run(&mut cursor, &mut self.stack, &mut notes);
        run.and_then(|()| ended(&cursor))
            .map_err(|fault| fault.verdict(skipped))?;
        let head = notes.0;
        let act = act(&head)?;
        if let Act::Dropped(cause) = act {
            return Ok(Read::Dropped(cause));
        }
        for side in act.sides() {
            let (place, program) = match side {
                Side::Before => (BEFORE, &envelope.before),
                Side::After => (AFTER, &envelope.after),
            };
            let Note::Item(Item::Raw(image)) = head[place] else {
                continue;
            };
            let mut row = Row { table, builders };
            let mut cursor = Cursor::new(image);
            let mut run = program.run(&mut cursor, &mut self.stack, &mut row);
            if let (Ok(()), Some(around)) = (&run, &envelope.around) {
                run = around.run(&mut Cursor::new(datum), &mut self.stack, &mut row);
            }
            run.map_err(|fault| of_side(*side, fault.verdict(skipped)))?;
            self.origins
                .complete(&head, *side, image, table, builders, &mut self.scratch)?;
        }
        Ok(Read::Rows(rows(act)))
    }
}

/// The row's type in the envelope's field called `name`.
fn image(types: &Types, name: &str) -> Result<TypeId, SchemaError> {
    let unreadable =
        |what: String| SchemaError::Unreadable(format!("it is not an envelope of changes: {what}"));
    let Type::Record { fields, .. } = &types.types[types.root] else {
        let found = types.describe(types.root);
        return Err(unreadable(format!("expected a record, found {found}")));
    };
    let field = fields.iter().find(|field| field.name == name);
    let field = field.ok_or_else(|| unreadable(format!("it has no field \"{name}\"")))?;
    let is_record = |id: &TypeId| matches!(types.types[*id], Type::Record { .. });
    let found = match &types.types[field.id] {
        Type::Record { .. } => Some(field.id),
        Type::Union(branches) => branches.iter().copied().find(is_record),
        _ => None,
    };
    found.ok_or_else(|| {
        let found = types.describe(field.id);
        unreadable(format!("\"{name}\": expected a record, found {found}"))
    })
}

//! Protobuf records: files compiled into the fields that are wanted, and a walker of the wire.

mod schema;

mod program;
use program::{Notes, Program};

use crate::book::Book;
use crate::build::Builder;
use crate::cursor::Cursor;
use crate::decoder::Read;
use crate::fault::Fault;
use crate::paths::Paths;
use crate::settings::{Framing, Schema, SchemaError};
use crate::sink::Row;
use crate::table::{Table, Verdict};
use protox::prost_reflect::MessageDescriptor;
use std::collections::BTreeMap;
use tiderace_types::{Column, Dropped, Reason};

/// Reads the Protobuf records of one source.
#[derive(Debug)]
pub struct ProtobufReader {
    /// The files it was taught.
    pub book: Book<Messages>,
    framing: Framing,
    wanted: Option<String>,
    paths: Paths,
    notes: Notes,
}

/// The messages of a file, by where they stand in it.
#[derive(Debug)]
pub struct Messages {
    /// The message that is read where the framing does not say which.
    first: Vec<i64>,
    all: BTreeMap<Vec<i64>, Entry>,
    columns: usize,
}

#[derive(Debug)]
enum Entry {
    Read(Program),
    /// It cannot give the columns.
    Useless(String),
    /// It is not the one that is wanted.
    Other,
}

/// How deep messages may be defined in each other.
const MOST_INDEXES: usize = 32;

impl ProtobufReader {
    /// A reader of `columns` from messages called `wanted`, or from any.
    pub fn new(framing: Framing, wanted: Option<String>, columns: &[Column]) -> ProtobufReader {
        let names = columns.iter().map(|column| column.name.as_str());
        ProtobufReader {
            book: Book::new(framing),
            framing,
            wanted,
            paths: Paths::new(names.enumerate()),
            notes: Notes::default(),
        }
    }

    /// What to do with messages of `schema`.
    pub fn compile(&self, schema: &Schema, columns: &[Column]) -> Result<Messages, SchemaError> {
        let file = schema::parse(&schema.text, &schema.references);
        let file = file.map_err(SchemaError::Unreadable)?;
        let mut all = BTreeMap::new();
        let mut error = None;
        let mut messages: Vec<(Vec<i64>, MessageDescriptor)> = Vec::new();
        for (place, message) in (0..).zip(file.messages()) {
            messages.push((vec![place], message));
        }
        let mut next = 0;
        let mut first = None;
        while let Some((place, message)) = messages.get(next).cloned() {
            next += 1;
            if place.len() < MOST_INDEXES {
                for (inner, child) in (0..).zip(message.child_messages()) {
                    messages.push(([&place[..], &[inner]].concat(), child));
                }
            }
            let is_wanted = match &self.wanted {
                Some(name) => message.full_name() == name,
                None => self.framing == Framing::Confluent || place == [0],
            };
            let entry = if !is_wanted {
                Entry::Other
            } else {
                match Program::compile(&message, &self.paths, columns) {
                    Ok(program) => {
                        first.get_or_insert_with(|| place.clone());
                        Entry::Read(program)
                    }
                    Err(found) => {
                        let text = format!("message {}: {found}", message.full_name());
                        error.get_or_insert(found);
                        Entry::Useless(text)
                    }
                }
            };
            all.insert(place, entry);
        }
        let columns = columns.len();
        let known = |first| Messages {
            first,
            all,
            columns,
        };
        match (first, error, &self.wanted) {
            (Some(first), ..) => Ok(known(first)),
            (None, Some(error), _) => Err(error),
            // Another table's, where the framing says so.
            (None, None, Some(_)) if self.framing == Framing::Confluent => Ok(known(Vec::new())),
            (None, None, Some(name)) => Err(SchemaError::Unreadable(format!(
                "it has no message \"{name}\""
            ))),
            (None, None, None) => Err(SchemaError::Unreadable("it has no message".to_owned())),
        }
    }

    /// Appends one record to `builders`; on a refusal some of them may hold part of it.
    #[inline]
    pub fn read(
        &mut self,
        payload: &[u8],
        table: &Table,
        builders: &mut [Builder],
    ) -> Result<Read, Verdict> {
        let (id, rest) = self
            .book
            .unframe(payload)
            .map_err(|fault| fault.verdict(0))?;
        let messages = self.book.get(id)?;
        let skipped = payload.len() - rest.len();
        let mut start = 0;
        let entry = match self.framing {
            Framing::Bare => messages.all.get(&messages.first),
            Framing::Confluent => {
                let mut cursor = Cursor::new(rest);
                let mut indexes = [0; MOST_INDEXES];
                let count = indexes_of(&mut cursor, &mut indexes);
                let count = count.map_err(|fault| fault.verdict(skipped))?;
                start = cursor.at;
                messages.all.get(&indexes[..count])
            }
        };
        let program = match entry {
            Some(Entry::Read(program)) => program,
            Some(Entry::Other) => return Ok(Read::Dropped(Dropped::OtherTable)),
            Some(Entry::Useless(why)) => {
                return Err((Reason::SchemaMismatch, format!("schema {id}: {why}")));
            }
            None => {
                let detail = format!(
                    "byte {skipped}: expected where one of the messages of schema {id} stands"
                );
                return Err((Reason::Malformed, detail));
            }
        };
        let mut row = Row { table, builders };
        let run = program.run(rest, start, &mut self.notes, &mut row);
        run.map_err(|fault| fault.verdict(skipped))?;
        Ok(Read::Rows(1))
    }
}

impl Messages {
    /// The columns that the message which is read first has nothing for.
    pub fn absent(&self) -> Vec<usize> {
        match self.all.get(&self.first) {
            Some(Entry::Read(program)) => program.absent(),
            _ => (0..self.columns).collect(),
        }
    }
}

/// Reads where a message stands in its file: how many numbers, and these; a single zero is short for
/// the first message.
fn indexes_of(cursor: &mut Cursor<'_>, indexes: &mut [i64; MOST_INDEXES]) -> Result<usize, Fault> {
    let start = cursor.at;
    let count = cursor.long()?;
    if count == 0 {
        return Ok(1);
    }
    match usize::try_from(count) {
        Ok(count) if count <= MOST_INDEXES => {
            for index in &mut indexes[..count] {
                *index = cursor.long()?;
            }
            Ok(count)
        }
        _ => {
            cursor.at = start;
            Err(cursor.fault("where the message stands in its file"))
        }
    }
}

//! A batch of records in, a batch of rows and the refused records out.

use crate::avro::AvroReader;
use crate::book::Book;
use crate::build::Builder;
use crate::debezium::{DebeziumAvroReader, DebeziumJsonReader, Envelope};
use crate::json::JsonReader;
use crate::protobuf::{Messages, ProtobufReader};
use crate::settings::{Format, Framing, Schema, SchemaError, Settings};
use crate::table::{Table, Verdict};
use arrow::array::RecordBatch as Rows;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use tiderace_types::{Column, Dropped, Reason, RecordBatch};

/// Decodes the records of one source. Kept between batches: it remembers how records look, and the
/// schemas that it was taught.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    max_record_bytes: usize,
    framing: Framing,
    reader: Reader,
}

/// The reader of each format.
#[derive(Debug)]
enum Reader {
    Json(JsonReader),
    Avro(AvroReader),
    Protobuf(ProtobufReader),
    DebeziumJson(DebeziumJsonReader),
    DebeziumAvro(DebeziumAvroReader),
}

/// What became of a batch. Every record gave its rows, or is in one of the other lists.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The rows of the good records, in order; the columns as they were asked for.
    pub batch: Rows,
    /// For each row, the record that it came from. A record may have given several, one after
    /// another: the update of a table's row takes one back and puts one in.
    pub rows: Vec<u32>,
    /// The refused records, in order.
    pub rejected: Vec<Rejected>,
    /// The records that are in order and no event, in order.
    pub dropped: Vec<(u32, Dropped)>,
}

/// A record that is not a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which record of the batch.
    pub record: u32,
    /// Why.
    pub reason: Reason,
    /// The column, what was expected and what was found.
    pub detail: String,
}

/// What a record that is in order comes to.
pub enum Read {
    /// Rows, which the builders now hold.
    Rows(u32),
    /// No event.
    Dropped(Dropped),
}

impl Decoder {
    /// A decoder as `settings` say. One that needs schemas is taught them before it meets records
    /// of theirs: see [`Decoder::lacking`].
    #[must_use]
    pub fn new(settings: Settings) -> Decoder {
        let reader = match settings.format.clone() {
            Format::Json => Reader::Json(JsonReader::new(&settings.columns)),
            Format::Avro => Reader::Avro(AvroReader::new(settings.framing, &settings.columns)),
            Format::Protobuf { message } => Reader::Protobuf(ProtobufReader::new(
                settings.framing,
                message,
                &settings.columns,
            )),
            Format::DebeziumJson => {
                Reader::DebeziumJson(DebeziumJsonReader::new(&settings.columns))
            }
            Format::DebeziumAvro => {
                Reader::DebeziumAvro(DebeziumAvroReader::new(settings.framing, &settings.columns))
            }
        };
        Decoder {
            table: Table::new(&settings),
            max_record_bytes: settings.max_record_bytes,
            framing: settings.framing,
            reader,
        }
    }

    /// A decoder of plain JSON with the usual limits.
    #[must_use]
    pub fn json(
        columns: Vec<Column>,
        event_time: usize,
        event_id: Option<usize>,
        max_record_bytes: usize,
    ) -> Decoder {
        Decoder::new(Settings::json(
            columns,
            event_time,
            event_id,
            max_record_bytes,
        ))
    }

    /// The Arrow schema of every batch.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.table.schema)
    }

    /// The numbers of the schemas that records of `batch` need and that the decoder knows nothing
    /// of, each once, ascending. It is to be taught each, or told to refuse it, before it decodes
    /// the batch: records of a schema that it knows nothing of are refused as of an unknown one.
    #[must_use]
    pub fn lacking(&self, batch: &RecordBatch) -> Vec<u32> {
        match &self.reader {
            Reader::Avro(reader) => reader.book.lacking(batch),
            Reader::Protobuf(reader) => reader.book.lacking(batch),
            Reader::DebeziumAvro(reader) => reader.book.lacking(batch),
            Reader::Json(_) | Reader::DebeziumJson(_) => Vec::new(),
        }
    }

    /// Teaches the decoder schema number `id`; without framing there is just number 0.
    ///
    /// # Errors
    /// When it is not a schema, or cannot give the columns. Its records are refused then
    /// (`schema_mismatch`), with the same words; nothing else need be done.
    pub fn teach(&mut self, id: u32, schema: &Schema) -> Result<(), SchemaError> {
        match &mut self.reader {
            Reader::Json(_) | Reader::DebeziumJson(_) => Ok(()),
            Reader::Avro(reader) => {
                let compiled = reader.compile(schema, &self.table.columns);
                noted(&mut reader.book, id, compiled)
            }
            Reader::Protobuf(reader) => {
                let compiled = reader.compile(schema, &self.table.columns);
                noted(&mut reader.book, id, compiled)
            }
            Reader::DebeziumAvro(reader) => {
                let compiled = reader.compile(schema, &self.table.columns);
                noted(&mut reader.book, id, compiled)
            }
        }
    }

    /// Has records of schema number `id` refused as of an unknown one, because of `why`.
    pub fn refuse(&mut self, id: u32, why: &str) {
        let verdict = (Reason::UnknownSchema, format!("schema {id}: {why}"));
        match &mut self.reader {
            Reader::Avro(reader) => reader.book.note(id, Err(verdict)),
            Reader::Protobuf(reader) => reader.book.note(id, Err(verdict)),
            Reader::DebeziumAvro(reader) => reader.book.note(id, Err(verdict)),
            Reader::Json(_) | Reader::DebeziumJson(_) => {}
        }
    }

    /// The columns that records of schema `id` never have; every one of them comes from its default,
    /// is null, or is missing. Empty where nothing is known of the schema.
    #[must_use]
    pub fn absent(&self, id: u32) -> Vec<&str> {
        let absent = match &self.reader {
            Reader::Avro(reader) => reader.book.known(id).map(|known| known.absent.clone()),
            Reader::Protobuf(reader) => reader.book.known(id).map(Messages::absent),
            Reader::DebeziumAvro(reader) => reader.book.known(id).map(Envelope::absent),
            Reader::Json(_) | Reader::DebeziumJson(_) => None,
        };
        let columns = absent.into_iter().flatten();
        columns
            .map(|index| self.table.columns[index].name.as_str())
            .collect()
    }

    /// Decodes every record of `batch`.
    pub fn decode(&mut self, batch: &RecordBatch) -> Decoded {
        let text = str::from_utf8(&batch.bytes).ok();
        let mut builders = self.table.builders(batch.len());
        let mut rows = Vec::with_capacity(batch.len());
        let (mut rejected, mut dropped) = (Vec::new(), Vec::new());
        let (mut nulls, mut others) = (
            batch.nulls.iter().peekable(),
            batch.others.iter().peekable(),
        );
        let mut start = 0;
        for (index, &end) in batch.ends.iter().enumerate() {
            let record = u32::try_from(index).expect("a batch has fewer than 2^32 records");
            let payload = &batch.bytes[start..end];
            // A valid whole is valid in parts where no character is cut.
            let whole =
                text.is_some_and(|text| text.is_char_boundary(start) && text.is_char_boundary(end));
            start = end;
            let (null, other) = (
                nulls.next_if_eq(&&record).is_some(),
                others.next_if_eq(&&record).is_some(),
            );
            let read = match (null, other) {
                (_, true) => Ok(Read::Dropped(Dropped::OtherTable)),
                (true, _) => Ok(Read::Dropped(Dropped::Tombstone)),
                _ => self.record(payload, whole, &mut builders),
            };
            match read {
                Ok(Read::Rows(count)) => rows.extend((0..count).map(|_| record)),
                Ok(Read::Dropped(cause)) => dropped.push((record, cause)),
                Err((reason, detail)) => {
                    for builder in &mut builders {
                        builder.truncate(rows.len());
                    }
                    rejected.push(Rejected {
                        record,
                        reason,
                        detail,
                    });
                }
            }
        }
        let columns = builders.into_iter().map(Builder::finish);
        let batch = columns
            .collect::<Result<Vec<_>, _>>()
            .and_then(|columns| Rows::try_new(self.schema(), columns))
            .expect("every builder holds one valid value per row");
        Decoded {
            batch,
            rows,
            rejected,
            dropped,
        }
    }

    /// Appends the rows of one record to `builders`; on a refusal some of them may hold part of it.
    #[inline]
    fn record(
        &mut self,
        payload: &[u8],
        is_text: bool,
        builders: &mut [Builder],
    ) -> Result<Read, Verdict> {
        if payload.len() > self.max_record_bytes {
            return Err(too_large(payload.len(), self.max_record_bytes));
        }
        match &mut self.reader {
            Reader::Json(reader) => {
                let payload = match self.framing {
                    Framing::Confluent => unframed(payload),
                    Framing::Bare => payload,
                };
                reader.read(payload, is_text, &self.table, builders)?;
                Ok(Read::Rows(1))
            }
            Reader::Avro(reader) => {
                reader.read(payload, &self.table, builders)?;
                Ok(Read::Rows(1))
            }
            Reader::Protobuf(reader) => reader.read(payload, &self.table, builders),
            Reader::DebeziumJson(reader) => {
                let payload = match self.framing {
                    Framing::Confluent => unframed(payload),
                    Framing::Bare => payload,
                };
                reader.read(payload, is_text, &self.table, builders)
            }
            Reader::DebeziumAvro(reader) => reader.read(payload, &self.table, builders),
        }
    }
}

/// JSON behind its schema's number; without one as it is, since no JSON begins with a zero byte.
fn unframed(payload: &[u8]) -> &[u8] {
    match payload {
        [0, _, _, _, _, json @ ..] => json,
        _ => payload,
    }
}

/// Notes in `book` what became of schema `id`.
fn noted<P>(
    book: &mut Book<P>,
    id: u32,
    compiled: Result<P, SchemaError>,
) -> Result<(), SchemaError> {
    let error = compiled.as_ref().err().cloned();
    book.note(id, compiled.map_err(|error| mismatch(id, &error)));
    error.map_or(Ok(()), Err)
}

fn mismatch(id: u32, error: &SchemaError) -> Verdict {
    (Reason::SchemaMismatch, format!("schema {id}: {error}"))
}

#[cold]
fn too_large(length: usize, most: usize) -> Verdict {
    let detail = format!("expected at most {most} bytes, found {length}");
    (Reason::TooLarge, detail)
}

//! Bytes → Arrow: the used columns of records, in one pass, whatever their format.
//!
//! This is the hottest code of the live path. JSON has a scanner of its own: it walks each
//! object once, knows every field by the bytes of the field before it (records of one
//! producer look alike), turns numbers and texts into values where they stand, and appends them
//! to typed buffers. Of formats with schemas (Avro, Protobuf) a schema and the columns are
//! compiled once, into what is to be read and what is to be stepped over. Nothing is
//! allocated per record. Changes of tables (Debezium) come as JSON or Avro and give rows that
//! are put in and rows that are taken back.
//!
//! **Laws.** A record gives its rows, or is refused, or is dropped for a cause that has a name:
//! one of these, and whole. What is refused leaves no trace in the rows around it. JSON is
//! exactly RFC 8259: a payload with bad UTF-8, a stray comma or trailing bytes is refused even
//! when the used columns could be read; of a repeated name the last one counts. Of Avro and
//! Protobuf every byte is accounted for, and unused texts are stepped over by their length. No
//! input makes it panic, recurse without bound, or take more memory than so many times the
//! record's own bytes.
//!
//! Lists and maps are not decoded: a source's columns are scalars.

mod settings;
pub use settings::{Format, Framing, NotFinite, Schema, SchemaError, Settings};

mod decoder;
pub use decoder::{Decoded, Decoder, Rejected};

mod table;

mod book;

mod json;

mod shape;

mod walk;

mod scan;

mod cell;

mod avro;

mod protobuf;

mod debezium;

mod paths;

mod connect;

mod sink;

mod cursor;

mod fault;

mod item;

mod build;

mod texts;

mod number;

mod text;

mod instant;

//! Bytes → Arrow: the used columns of JSON records, in one pass.
//!
//! This is the hottest code of the live path, so it is a scanner of its own:
//! it walks each object once, knows every field by the bytes of the field
//! before it (records of one producer look alike), turns numbers and texts
//! into values where they stand, and appends them to typed buffers. Unused
//! values are checked but not built; nothing is allocated per record.
//!
//! **Laws.** A record is a row or a rejection, never both and never neither. A
//! rejection leaves no trace in the rows around it. What is accepted is exactly
//! RFC 8259: a payload with bad UTF-8, a stray comma or trailing bytes is
//! refused even when the used columns could be read. Of a repeated name the
//! last one counts. No input makes it panic.
//!
//! Lists and maps are not decoded: a source's columns are scalars.

mod settings;
pub use settings::{Format, Framing, NotFinite, Schema, SchemaError, Settings};

mod decoder;
pub use decoder::{Decoded, Decoder, Rejected};

mod table;

mod book;

mod json;

mod avro;

mod protobuf;

mod debezium;

mod paths;

mod connect;

mod sink;

mod fault;

mod cursor;

mod item;

mod shape;

mod walk;

mod scan;

mod cell;

mod build;

mod texts;

mod number;

mod text;

mod instant;

//! What a decoder is told before it sees a record: the format, the columns, the limits.

use tiderace_types::Column;

/// How the records of one source are to be read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the bytes are.
    pub format: Format,
    /// What stands before them.
    pub framing: Framing,
    /// The columns to read, in the order of the batches. Dots in a name lead into nested records.
    ///
    /// Of changes of tables (Debezium) columns are read from the row; a name that begins with
    /// `$.` is read from the envelope around it: `$.op`, `$.source.table`. The columns
    /// [`Column::IDENTITY`] (bytes) and [`Column::RETRACTS`] (bool) are made by the decoder.
    pub columns: Vec<Column>,
    /// Which of them is the event time.
    pub event_time: usize,
    /// Which of them identifies an event.
    pub event_id: Option<usize>,
    /// The largest record that is read, in bytes.
    pub max_record_bytes: usize,
    /// The longest text or bytes that a column may hold, in bytes; longer ones are refused.
    pub max_text_bytes: usize,
    /// What to make of a NaN or an infinity.
    pub not_finite: NotFinite,
}

/// What the bytes of a record are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// One Avro datum, by a schema that is taught.
    Avro,
    /// One Protobuf message, by a file that is taught.
    Protobuf {
        /// Its full name. Without it: what the Confluent framing says, or the first of the file.
        /// With it, records that the framing says are other messages are dropped as of another
        /// table.
        message: Option<String>,
    },
    /// A change of a table's row as JSON, with or without its schema beside it.
    DebeziumJson,
    /// A change of a table's row as Avro.
    DebeziumAvro,
}

/// What stands before the bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A zero byte and the number of the schema (32 bits, big-endian); of Protobuf then also which
    /// message of the file it is. JSON may have it or not.
    Confluent,
    /// Nothing: all records are of the schema that is taught as number 0.
    Bare,
}

/// What to make of a NaN or an infinity, where a format can write one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NotFinite {
    /// Refuse the record.
    #[default]
    Refuse,
    /// Read it as null.
    Null,
}

/// A schema as its author wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Schema {
    /// Avro's JSON, or a Protobuf file's text.
    pub text: String,
    /// What it refers to: names (Avro: of types; Protobuf: of files, as they are imported) and texts.
    pub references: Vec<(String, String)>,
}

/// Why a schema cannot give the columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is not a schema of the format.
    #[error("not a schema: {0}")]
    Unreadable(String),
    /// A column is not in it, or is there with another type.
    #[error("column \"{column}\": expected {expected}, found {found}")]
    Column {
        /// The column's path.
        column: String,
        /// What the column needs.
        expected: String,
        /// What the schema has there, and where.
        found: String,
    },
}

impl Settings {
    /// The longest text of a column unless something else is said: 64 KiB, what a whole row of an
    /// entity may take.
    pub const MAX_TEXT_BYTES: usize = 64 << 10;

    /// Plain JSON with the usual limits.
    #[must_use]
    pub fn json(
        columns: Vec<Column>,
        event_time: usize,
        event_id: Option<usize>,
        max_record_bytes: usize,
    ) -> Settings {
        Settings {
            format: Format::Json,
            framing: Framing::Bare,
            columns,
            event_time,
            event_id,
            max_record_bytes,
            max_text_bytes: Settings::MAX_TEXT_BYTES,
            not_finite: NotFinite::default(),
        }
    }
}

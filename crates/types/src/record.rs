//! Records as a source delivers them, and the ones that could not be accepted.

use crate::{Partition, PartitionPosition, Timestamp};

/// Where a record came from, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMeta {
    /// The source and partition.
    pub partition: Partition,
    /// The offset in the partition.
    pub offset: i64,
    /// The broker's timestamp (embedded log: when it was appended).
    pub broker_time: Timestamp,
}

/// A batch of raw records: one buffer, many records, offsets rising within each partition.
///
/// A record whose `end` equals the previous one's is empty; `nulls` tells which of them have no
/// payload at all.
#[derive(Clone, Debug, Default)]
pub struct RecordBatch {
    /// All payloads, one after another.
    pub bytes: Vec<u8>,
    /// Where each payload ends in `bytes`.
    pub ends: Vec<usize>,
    /// Where each record came from.
    pub metas: Vec<RecordMeta>,
    /// The records without a payload (tombstones), ascending. They are dropped and counted.
    pub nulls: Vec<u32>,
    /// The records that a header says are of another table, ascending. They are not decoded, but
    /// dropped and counted.
    pub others: Vec<u32>,
    /// By record, the stream clock of its partition when it came, where another process has told it:
    /// that one has seen every record of the partition. Else empty.
    pub clocks: Vec<Timestamp>,
    /// How far partitions have come, beyond what the records say: from an offset, to a position.
    pub passed: Vec<(Partition, i64, PartitionPosition)>,
}

impl RecordBatch {
    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.metas.len()
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.metas.is_empty()
    }

    /// Adds a record.
    pub fn push(&mut self, meta: RecordMeta, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.ends.push(self.bytes.len());
        self.metas.push(meta);
    }

    /// The payload of record `index`.
    #[must_use]
    pub fn payload(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.metas.clear();
        self.nulls.clear();
        self.others.clear();
        self.clocks.clear();
        self.passed.clear();
    }
}

/// Why a record that is in order was dropped all the same. The text form is stable: it is a metric
/// label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dropped {
    /// An `expect:` check said drop.
    Check,
    /// It has no payload.
    Tombstone,
    /// It is of another table of the topic.
    OtherTable,
    /// It is not a change of a row: a message that was written to a table's log.
    Message,
}

impl Dropped {
    /// Every cause, for counters.
    pub const ALL: [Dropped; 4] = [
        Dropped::Check,
        Dropped::Tombstone,
        Dropped::OtherTable,
        Dropped::Message,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Dropped::Check => "check",
            Dropped::Tombstone => "tombstone",
            Dropped::OtherTable => "other_table",
            Dropped::Message => "message",
        }
    }
}

/// Why a record was not applied. The text form is stable: it is a metric label and a dead-letter field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The bytes are not in the source's format.
    Malformed,
    /// A declared column that is needed is absent.
    MissingColumn,
    /// A column's value has another type than declared.
    WrongType,
    /// The event time cannot be read, or is null.
    BadTime,
    /// The event id is null.
    NullId,
    /// The record is larger than the source allows.
    TooLarge,
    /// A NaN or an infinity where the contract does not allow one.
    NotFinite,
    /// A text is not UTF-8.
    InvalidUtf8,
    /// A text or bytes longer than the source allows.
    TextTooLong,
    /// The schema that the record names is not to be had.
    UnknownSchema,
    /// The record's schema cannot give a declared column.
    SchemaMismatch,
    /// A change of a row that does not say what was there before.
    NoBeforeImage,
    /// A change of a row that does not say where in the table's log it stands.
    NoLogPosition,
    /// A table was emptied; which rows that takes back is not said.
    Truncate,
    /// Event time below the partition's stream clock minus `allowed_lateness`.
    TooLate,
    /// As too late, by a partition that was idle while others passed the kept range.
    TooLateIdle,
    /// Event time above the broker timestamp plus `max_ahead`.
    TooEarly,
    /// A copy of an applied event with other content.
    Conflict,
    /// An `expect:` check said reject.
    Rejected,
    /// An expression failed on this event (overflow, division by zero, bad cast).
    ExpressionFailed,
}

impl Reason {
    /// Every reason, for counters.
    pub const ALL: [Reason; 20] = [
        Reason::Malformed,
        Reason::MissingColumn,
        Reason::WrongType,
        Reason::BadTime,
        Reason::NullId,
        Reason::TooLarge,
        Reason::NotFinite,
        Reason::InvalidUtf8,
        Reason::TextTooLong,
        Reason::UnknownSchema,
        Reason::SchemaMismatch,
        Reason::NoBeforeImage,
        Reason::NoLogPosition,
        Reason::Truncate,
        Reason::TooLate,
        Reason::TooLateIdle,
        Reason::TooEarly,
        Reason::Conflict,
        Reason::Rejected,
        Reason::ExpressionFailed,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Malformed => "malformed",
            Reason::MissingColumn => "missing_column",
            Reason::WrongType => "wrong_type",
            Reason::BadTime => "bad_time",
            Reason::NullId => "null_id",
            Reason::TooLarge => "too_large",
            Reason::NotFinite => "not_finite",
            Reason::InvalidUtf8 => "invalid_utf8",
            Reason::TextTooLong => "text_too_long",
            Reason::UnknownSchema => "unknown_schema",
            Reason::SchemaMismatch => "schema_mismatch",
            Reason::NoBeforeImage => "no_before_image",
            Reason::NoLogPosition => "no_log_position",
            Reason::Truncate => "truncate",
            Reason::TooLate => "too_late",
            Reason::TooLateIdle => "too_late_idle",
            Reason::TooEarly => "too_early",
            Reason::Conflict => "conflict",
            Reason::Rejected => "rejected",
            Reason::ExpressionFailed => "expression_failed",
        }
    }
}

/// A record that was refused, with everything needed to inspect and replay it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why.
    pub reason: Reason,
    /// The particulars, for a person.
    pub detail: String,
    /// Where it came from.
    pub meta: RecordMeta,
    /// The original bytes.
    pub payload: Vec<u8>,
}

//! A batch of records in, a batch of rows and the refused records out.

use crate::build::{Builder, Refusal};
use crate::cell::{Cell, Kind, excerpt};
use crate::instant;
use crate::shape::Shape;
use crate::walk::walk;
use arrow::array::RecordBatch as Rows;
use arrow::datatypes::{Field, Schema, SchemaRef};
use std::sync::Arc;
use tiderace_types::{Column, DataType, Reason, RecordBatch};

/// Decodes the JSON records of one source. Kept between batches: it remembers how records look.
#[derive(Debug)]
pub struct Decoder {
    columns: Vec<Column>,
    schema: SchemaRef,
    event_time: usize,
    event_id: Option<usize>,
    max_record_bytes: usize,
    shape: Shape,
    cells: Vec<Cell>,
    scratch: Vec<u8>,
}

/// What became of a batch.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The good records, in order; the columns as they were asked for.
    pub batch: Rows,
    /// For each row, the record that it came from.
    pub rows: Vec<u32>,
    /// The refused records, in order.
    pub rejected: Vec<Rejected>,
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

/// A reason and its particulars, before the record's number is known.
type Verdict = (Reason, String);

impl Decoder {
    /// A decoder of `columns` (dots in a name lead into nested objects), two of
    /// which may have a role: `event_time` and `event_id` are indices into them.
    #[must_use]
    pub fn json(
        columns: Vec<Column>,
        event_time: usize,
        event_id: Option<usize>,
        max_record_bytes: usize,
    ) -> Decoder {
        let fields = columns
            .iter()
            .map(|column| Field::new(&column.name, column.data_type.to_arrow(), column.nullable));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        Decoder {
            schema: Arc::new(schema),
            shape: Shape::new(&columns),
            cells: vec![Cell::ABSENT; columns.len()],
            scratch: Vec::new(),
            columns,
            event_time,
            event_id,
            max_record_bytes,
        }
    }

    /// The Arrow schema of every batch.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Decodes every record of `batch`.
    pub fn decode(&mut self, batch: &RecordBatch) -> Decoded {
        let text = str::from_utf8(&batch.bytes).ok();
        let mut builders = self.builders(batch.len());
        let mut rows = Vec::with_capacity(batch.len());
        let mut rejected = Vec::new();
        let mut start = 0;
        for (index, &end) in batch.ends.iter().enumerate() {
            let record = u32::try_from(index).expect("a batch has fewer than 2^32 records");
            let payload = &batch.bytes[start..end];
            // A valid whole is valid in parts where no character is cut.
            let whole =
                text.is_some_and(|text| text.is_char_boundary(start) && text.is_char_boundary(end));
            start = end;
            match self.record(payload, whole, &mut builders) {
                Ok(()) => rows.push(record),
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
        }
    }

    fn builders(&self, rows: usize) -> Vec<Builder> {
        let builder = |column: &Column| Builder::new(&column.data_type, column.time_unit, rows);
        self.columns.iter().map(builder).collect()
    }

    /// Appends one record to `builders`; on a refusal some of them may hold part of it.
    #[inline]
    fn record(
        &mut self,
        payload: &[u8],
        is_text: bool,
        builders: &mut [Builder],
    ) -> Result<(), Verdict> {
        if payload.len() > self.max_record_bytes {
            return Err(too_large(payload.len(), self.max_record_bytes));
        }
        if !is_text {
            check_text(payload)?;
        }
        walk(payload, &mut self.shape, &mut self.cells, &mut self.scratch).map_err(
            |malformed| {
                let found = payload.get(malformed.at..).unwrap_or_default();
                malformed_detail(malformed.at, malformed.expected, found)
            },
        )?;
        for (index, builder) in builders.iter_mut().enumerate() {
            let cell = &self.cells[index];
            match cell.kind {
                Kind::Null | Kind::Absent if self.columns[index].nullable => builder.push_null(),
                Kind::Null | Kind::Absent => return Err(self.missing(index)),
                _ => {
                    let pushed = builder.push(cell, payload);
                    pushed.map_err(|refusal| self.refused(index, payload, refusal))?;
                }
            }
        }
        Ok(())
    }

    /// The verdict on a needed column that is null or absent.
    #[cold]
    fn missing(&self, index: usize) -> Verdict {
        let column = &self.columns[index];
        let (reason, found) = match self.cells[index].kind {
            Kind::Null if index == self.event_time => (Reason::BadTime, "null"),
            Kind::Null if Some(index) == self.event_id => (Reason::NullId, "null"),
            Kind::Null => (Reason::MissingColumn, "null"),
            _ => (Reason::MissingColumn, "nothing"),
        };
        let detail = format!(
            "column \"{}\": expected {}, found {found}",
            column.name,
            expected(column)
        );
        (reason, detail)
    }

    /// The verdict on a value that is not one of its column.
    #[cold]
    fn refused(&self, index: usize, payload: &[u8], refusal: Refusal) -> Verdict {
        let (column, cell) = (&self.columns[index], &self.cells[index]);
        let reason = match refusal {
            Refusal::Full => Reason::TooLarge,
            _ if index == self.event_time => Reason::BadTime,
            Refusal::WrongType => Reason::WrongType,
            Refusal::NotFinite => Reason::NotFinite,
        };
        let expected = match (refusal, cell.kind) {
            (Refusal::Full, _) => "at most 2 GiB of text in a batch".to_owned(),
            (Refusal::NotFinite, _) => "a finite float64".to_owned(),
            (_, Kind::Blocked(depth)) => {
                let path: Vec<&str> = column.name.split('.').take(depth).collect();
                format!("an object at \"{}\"", path.join("."))
            }
            _ => expected(column),
        };
        let found = cell.describe(payload);
        let detail = format!(
            "column \"{}\": expected {expected}, found {found}",
            column.name
        );
        (reason, detail)
    }
}

/// What a column's values look like, for a message.
fn expected(column: &Column) -> String {
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

#[cold]
fn too_large(length: usize, most: usize) -> Verdict {
    let detail = format!("expected at most {most} bytes, found {length}");
    (Reason::TooLarge, detail)
}

fn check_text(payload: &[u8]) -> Result<(), Verdict> {
    str::from_utf8(payload).map(|_| ()).map_err(|error| {
        let at = error.valid_up_to();
        malformed_detail(at, "UTF-8", payload.get(at..).unwrap_or_default())
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

//! Which records of a shared stream are a source's own.
//!
//! Only the columns that the condition names are read, all of them optional: a record of another
//! table need not have any column of this source. Of a change the envelope is read as a plain
//! record, so that nothing is asked of its rows.

use crate::formats;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch as Rows};
use arrow::compute::{is_not_null, kernels::zip::zip};
use arrow::datatypes::{Field, Schema};
use std::sync::Arc;
use tiderace_decode::{Decoder, Format, Rejected};
use tiderace_expr::Compiled;
use tiderace_plan::model::{Encoding, Select, Source};
use tiderace_types::{Column, Reason, RecordBatch, Timestamp, Value};

/// Tells a source's records from the others.
pub struct Selector {
    /// Reads the columns of the condition.
    pub decoder: Decoder,
    condition: Compiled,
    /// How many columns the condition has. JSON changes are read twice over: with their schema
    /// beside them everything is a level deeper.
    columns: usize,
    schema: Arc<Schema>,
}

impl Selector {
    pub fn new(source: &Source, select: &Select) -> Selector {
        let column = |column: &usize| {
            let declared = &source.columns[*column];
            let name = declared.name.strip_prefix("$.").unwrap_or(&declared.name);
            Column {
                name: name.to_owned(),
                nullable: true,
                default: Value::Null,
                ..declared.clone()
            }
        };
        let mut columns: Vec<Column> = select.columns.iter().map(column).collect();
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| Field::new(&column.name, column.data_type.to_arrow(), true))
            .collect();
        if source.format.encoding == Encoding::DebeziumJson {
            let deeper = columns.iter().map(|column| Column {
                name: format!("payload.{}", column.name),
                ..column.clone()
            });
            columns.extend(deeper.collect::<Vec<_>>());
        }
        // No column has a part to play: what is refused is refused for its own sake.
        let mut settings = formats::settings(source, columns, usize::MAX, None);
        settings.format = match settings.format {
            Format::DebeziumJson => Format::Json,
            Format::DebeziumAvro => Format::Avro,
            other => other,
        };
        Selector {
            decoder: Decoder::new(settings),
            condition: select.condition.clone(),
            columns: fields.len(),
            schema: Arc::new(Schema::new(fields)),
        }
    }

    /// Adds to `records.others` those for which the condition is not true, and those of which it
    /// cannot be told; gives the latter with the reason, in order.
    pub fn mark(&mut self, records: &mut RecordBatch) -> Vec<Rejected> {
        let decoded = self.decoder.decode(records);
        let rows = self.rows(&decoded.batch);
        let (truth, failed) = self.condition.evaluate_each(&rows, Timestamp(0));
        let truth = truth.as_boolean();
        let mut failed = failed.into_iter().peekable();
        let mut doubtful = decoded.rejected;
        let mut others = std::mem::take(&mut records.others);
        others.extend(doubtful.iter().map(|rejected| rejected.record));
        for (row, record) in decoded.rows.iter().enumerate() {
            let error = failed.next_if(|error| error.row == row);
            if truth.is_valid(row) && truth.value(row) {
                continue;
            }
            others.push(*record);
            if let Some(error) = error {
                doubtful.push(Rejected {
                    record: *record,
                    reason: Reason::ExpressionFailed,
                    detail: format!("select: {}", error.message),
                });
            }
        }
        others.sort_unstable();
        others.dedup();
        records.others = others;
        doubtful.sort_by_key(|rejected| rejected.record);
        doubtful
    }

    /// The columns of the condition, whichever way they were found.
    fn rows(&self, read: &Rows) -> Rows {
        let column = |place: usize| -> ArrayRef {
            let plain = read.column(place);
            let Some(deeper) = read.columns().get(self.columns + place) else {
                return Arc::clone(plain);
            };
            is_not_null(plain)
                .and_then(|has| zip(&has, plain, deeper))
                .expect("both are of the column's type")
        };
        let columns = (0..self.columns).map(column).collect();
        Rows::try_new(Arc::clone(&self.schema), columns).expect("as many rows in every column")
    }
}

#[cfg(test)]
mod tests;

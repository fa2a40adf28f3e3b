//! The columns that are asked for, whatever the format, and what is said of those that fail.

use crate::build::{Builder, Refusal};
use crate::settings::{Format, NotFinite, Settings};
use arrow::datatypes::{Field, Schema, SchemaRef};
use std::sync::Arc;
use tiderace_types::{Column, Reason};

/// A reason and its particulars, before the record's number is known.
pub type Verdict = (Reason, String);

/// The columns of one source and their limits.
#[derive(Debug)]
pub struct Table {
    /// The columns, as asked for.
    pub columns: Vec<Column>,
    /// The Arrow schema of every batch.
    pub schema: SchemaRef,
    event_time: usize,
    event_id: Option<usize>,
    max_text_bytes: usize,
    not_finite: NotFinite,
    /// Whether values are written as in JSON, for messages.
    json: bool,
}

impl Table {
    /// The table of `settings`.
    pub fn new(settings: &Settings) -> Table {
        let fields = settings
            .columns
            .iter()
            .map(|column| Field::new(&column.name, column.data_type.to_arrow(), column.nullable));
        Table {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            columns: settings.columns.clone(),
            event_time: settings.event_time,
            event_id: settings.event_id,
            max_text_bytes: settings.max_text_bytes,
            not_finite: settings.not_finite,
            json: matches!(settings.format, Format::Json | Format::DebeziumJson),
        }
    }

    /// Empty columns with room for `rows`.
    pub fn builders(&self, rows: usize) -> Vec<Builder> {
        let columns = self.columns.iter();
        let builder = |column| Builder::new(column, rows, self.max_text_bytes, self.not_finite);
        columns.map(builder).collect()
    }

    /// The verdict on a needed column that is null.
    #[cold]
    pub fn null(&self, index: usize) -> Verdict {
        let reason = match index {
            _ if index == self.event_time => Reason::BadTime,
            _ if Some(index) == self.event_id => Reason::NullId,
            _ => Reason::MissingColumn,
        };
        (reason, self.detail(index, "null"))
    }

    /// The verdict on a needed column that is not there.
    #[cold]
    pub fn absent(&self, index: usize) -> Verdict {
        (Reason::MissingColumn, self.detail(index, "nothing"))
    }

    /// The verdict on a value that is not one of its column.
    #[cold]
    pub fn refused(&self, index: usize, refusal: Refusal, expected: &str, found: &str) -> Verdict {
        let reason = match refusal {
            Refusal::Full => Reason::TooLarge,
            _ if index == self.event_time => Reason::BadTime,
            Refusal::WrongType => Reason::WrongType,
            Refusal::NotFinite => Reason::NotFinite,
            Refusal::NotText => Reason::InvalidUtf8,
            Refusal::TooLong => Reason::TextTooLong,
        };
        let name = &self.columns[index].name;
        (
            reason,
            format!("column \"{name}\": expected {expected}, found {found}"),
        )
    }

    /// What `refusal` says is wanted of any column.
    pub fn limit(&self, refusal: Refusal) -> String {
        match refusal {
            Refusal::Full => "at most 2 GiB of text in a batch".to_owned(),
            Refusal::TooLong => format!("at most {} bytes", self.max_text_bytes),
            Refusal::NotText => "UTF-8".to_owned(),
            Refusal::NotFinite => "a finite float64".to_owned(),
            Refusal::WrongType => "a value of its type".to_owned(),
        }
    }

    /// What values of column `index` are.
    pub fn expected(&self, index: usize) -> String {
        self.columns[index].data_type.to_string()
    }

    fn detail(&self, index: usize, found: &str) -> String {
        let column = &self.columns[index];
        let expected = match self.json {
            true => crate::json::expected(column),
            false => column.data_type.to_string(),
        };
        format!(
            "column \"{}\": expected {expected}, found {found}",
            column.name
        )
    }
}

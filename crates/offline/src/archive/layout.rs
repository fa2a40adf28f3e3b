//! The columns of an archive's files, and how they may change.
//!
//! Declared columns come first, by name, then the archive's own. All of them may be null in a file,
//! so that files of before and after a change are read together. A column that was taken away stays in
//! the files that have it; one that was added is missing in those of before, and readers that unite
//! files by name find null there. Another type would make a table that no reader can unite: it is
//! refused, but for decimals that got more digits before the point.

use super::manifest::{KeptColumn, Manifest};
use crate::error::{Error, Kind};
use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType as Arrow, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use std::sync::Arc;
use tiderace_types::DataType;

/// The archive's own columns: the source, the partition, the offset in it, and when the record came into
/// its topic or log.
pub const OWN_COLUMNS: [&str; 4] = ["_source", "_partition", "_offset", "_ingest_time"];

/// What the events of a source look like.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The source's name.
    pub source: String,
    /// The names and types of the columns, those that a decoder adds among them.
    pub columns: Vec<(String, DataType)>,
    /// The column of the event time.
    pub event_time: usize,
    /// The column that identifies events.
    pub event_id: Option<usize>,
}

impl Layout {
    /// What a column is called in files.
    #[must_use]
    pub fn name(&self, column: usize) -> &str {
        &self.columns[column].0
    }

    /// The column that identifies events, as it is called in files.
    #[must_use]
    pub fn event_id(&self) -> Option<&str> {
        self.event_id.map(|column| self.name(column))
    }

    /// The schema of files that are written now.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        let declared = self.columns.iter();
        let declared = declared.map(|(name, data_type)| Field::new(name, stored(data_type), true));
        let fields: Vec<Field> = declared.chain(own_fields()).collect();
        Arc::new(Schema::new(fields))
    }

    /// Decoded rows with the archive's own columns, as files have them.
    pub(super) fn stored(
        &self,
        decoded: &RecordBatch,
        partitions: &[u32],
        offsets: &[i64],
        ingested: &[i64],
    ) -> Result<RecordBatch, Error> {
        let rows = partitions.len();
        let mut columns = Vec::with_capacity(self.columns.len() + OWN_COLUMNS.len());
        for (place, array) in decoded.columns().iter().enumerate() {
            columns.push(self.to_stored(place, array)?);
        }
        let sources = std::iter::repeat_n(self.source.as_str(), rows);
        let partitions = partitions.iter().map(|number| number.cast_signed());
        columns.push(Arc::new(StringArray::from_iter_values(sources)));
        columns.push(Arc::new(Int32Array::from_iter_values(partitions)));
        columns.push(Arc::new(Int64Array::from(offsets.to_vec())));
        let ingested = TimestampMicrosecondArray::from(ingested.to_vec());
        columns.push(Arc::new(ingested.with_timezone(UTC)));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema(), columns, &options)
            .map_err(|why| Error::data(&self.source, why))
    }

    fn to_stored(&self, place: usize, array: &ArrayRef) -> Result<ArrayRef, Error> {
        match array.data_type() {
            Arrow::Timestamp(TimeUnit::Microsecond, None) => {
                let instants = array.as_primitive::<TimestampMicrosecondType>();
                Ok(Arc::new(instants.clone().with_timezone(UTC)))
            }
            Arrow::Duration(_) => cast(array, &Arrow::Int64)
                .map_err(|why| Error::data(&format!("column `{}`", self.name(place)), why)),
            _ => Ok(Arc::clone(array)),
        }
    }

    /// The type of a column that is declared now.
    pub(super) fn type_of(&self, name: &str) -> Option<&DataType> {
        let mut columns = self.columns.iter();
        let (_, data_type) = columns.find(|(declared, _)| declared == name)?;
        Some(data_type)
    }

    /// Refuses columns that cannot be read together with those of `manifest`.
    pub(super) fn check(&self, manifest: &Manifest, place: &str) -> Result<(), Error> {
        for kept in &manifest.columns {
            let Some(declared) = self.type_of(&kept.name) else {
                continue;
            };
            if !takes(declared, &kept.data_type) {
                let KeptColumn {
                    name,
                    data_type,
                    file,
                } = kept;
                return Err(Error::new(
                    Kind::Caller,
                    format!(
                        "column `{name}` is {declared}, and {data_type} in {place}/{file}: \
                         a table cannot have both; give the column another name, or the archive another folder"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The columns of `manifest` when `file` has been written as this says.
    pub(super) fn keep(&self, columns: &mut Vec<KeptColumn>, file: &str) {
        for (name, data_type) in &self.columns {
            let written = KeptColumn {
                name: name.clone(),
                data_type: data_type.to_string(),
                file: file.to_owned(),
            };
            match columns.iter_mut().find(|kept| kept.name == written.name) {
                Some(kept) => *kept = written,
                None => columns.push(written),
            }
        }
    }
}

const UTC: &str = "UTC";

/// The type that files have.
pub(super) fn stored(data_type: &DataType) -> Arrow {
    match data_type {
        DataType::Timestamp => Arrow::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        DataType::Duration => Arrow::Int64,
        other => other.to_arrow(),
    }
}

fn own_fields() -> [Field; 4] {
    let [source, partition, offset, ingested] = OWN_COLUMNS;
    [
        Field::new(source, Arrow::Utf8, true),
        Field::new(partition, Arrow::Int32, true),
        Field::new(offset, Arrow::Int64, true),
        Field::new(ingested, stored(&DataType::Timestamp), true),
    ]
}

/// Tells whether a column of `declared` can take up one of the type named `kept`.
fn takes(declared: &DataType, kept: &str) -> bool {
    if declared.to_string() == kept {
        return true;
    }
    let DataType::Decimal { precision, scale } = declared else {
        return false;
    };
    let digits = kept
        .strip_prefix("decimal(")
        .and_then(|rest| rest.strip_suffix(')'));
    let digits = digits.and_then(|digits| digits.split_once(", "));
    digits.is_some_and(|(old_precision, old_scale)| {
        old_scale.parse() == Ok(*scale)
            && old_precision
                .parse::<u8>()
                .is_ok_and(|old| old <= *precision)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(columns: &[(&str, DataType)]) -> Layout {
        Layout {
            source: "payments".to_owned(),
            columns: columns
                .iter()
                .map(|(name, data_type)| ((*name).to_owned(), data_type.clone()))
                .collect(),
            event_time: 0,
            event_id: None,
        }
    }

    fn decimal(precision: u8, scale: i8) -> DataType {
        DataType::Decimal { precision, scale }
    }

    #[test]
    fn columns_come_and_go_and_keep_their_types() {
        let at = ("at", DataType::Timestamp);
        let before = layout(&[at.clone(), ("a", DataType::Int64), ("b", decimal(9, 2))]);
        let mut manifest = Manifest::empty("payments", "me");
        before.keep(&mut manifest.columns, "date=2018-04-01/x.parquet");
        for (columns, refused) in [
            (vec![at.clone()], None),
            (vec![at.clone(), ("c", DataType::Bool)], None),
            (vec![at.clone(), ("b", decimal(12, 2))], None),
            (
                vec![at.clone(), ("b", decimal(8, 2))],
                Some("decimal(9, 2)"),
            ),
            (
                vec![at.clone(), ("b", decimal(12, 3))],
                Some("decimal(9, 2)"),
            ),
            (vec![at.clone(), ("a", DataType::Float64)], Some("float64")),
            (vec![("at", DataType::Int64)], Some("x.parquet")),
        ] {
            let checked = layout(&columns).check(&manifest, "archive");
            let said = checked.err().map(|error| error.to_string());
            assert_eq!(said.is_some(), refused.is_some(), "{columns:?}: {said:?}");
            if let Some(word) = refused {
                let said = said.as_deref().unwrap_or_default();
                assert!(said.contains(word), "{said}");
            }
        }
        let after = layout(&[at, ("b", decimal(12, 2)), ("c", DataType::Bool)]);
        after.keep(&mut manifest.columns, "date=2018-04-02/y.parquet");
        let kept = manifest.columns.iter();
        let kept: Vec<_> = kept
            .map(|kept| {
                (
                    kept.name.as_str(),
                    kept.data_type.as_str(),
                    &kept.file[5..15],
                )
            })
            .collect();
        let golden = [
            ("at", "timestamp", "2018-04-02"),
            ("a", "int64", "2018-04-01"),
            ("b", "decimal(12, 2)", "2018-04-02"),
            ("c", "bool", "2018-04-02"),
        ];
        assert_eq!(kept, golden);
    }
}

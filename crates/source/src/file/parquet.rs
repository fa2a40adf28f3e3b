//! The rows of a Parquet file, batch by batch.

use super::json_row::RowWriter;
use crate::{Error, Kind};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

/// How many rows are decoded at once.
const BATCH: usize = 8192;

/// The rows of a file.
pub struct ParquetRows {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    batch: Option<RowWriter>,
    row: usize,
    /// Rows in the file.
    pub total: u64,
}

impl ParquetRows {
    /// Opens the file, to read all columns or the chosen ones.
    pub fn open(path: &Path, columns: Option<&[String]>) -> Result<ParquetRows, Error> {
        let file = File::open(path).map_err(|cause| Error::io("open", path, &cause))?;
        let bad = |cause| corrupt(path, &cause);
        let mut builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(bad)?;
        let rows = builder.metadata().file_metadata().num_rows();
        if let Some(columns) = columns {
            let schema = builder.schema();
            if let Some(missing) = columns.iter().find(|name| schema.index_of(name).is_err()) {
                let all: Vec<&str> = schema
                    .fields()
                    .iter()
                    .map(|field| field.name().as_str())
                    .collect();
                return Err(Error::invalid(format!(
                    "\"{}\" has no column \"{missing}\"; it has {}",
                    path.display(),
                    all.join(", ")
                )));
            }
            let roots: Vec<usize> = columns
                .iter()
                .flat_map(|name| schema.index_of(name))
                .collect();
            let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
            builder = builder.with_projection(mask);
        }
        Ok(ParquetRows {
            path: path.to_owned(),
            reader: builder.with_batch_size(BATCH).build().map_err(bad)?,
            batch: None,
            row: 0,
            total: rows.unsigned_abs(),
        })
    }

    /// Appends the next row to `out`; false at the end.
    pub fn next_into(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        loop {
            if let Some(batch) = &self.batch
                && self.row < batch.rows()
            {
                batch.write(self.row, out);
                self.row += 1;
                return Ok(true);
            }
            let Some(batch) = self.reader.next() else {
                return Ok(false);
            };
            let batch = batch.map_err(|cause| corrupt(&self.path, &cause))?;
            let writer = RowWriter::new(&batch).map_err(|column| {
                Error::invalid(format!("\"{}\": {column}", self.path.display()))
            })?;
            self.batch = Some(writer);
            self.row = 0;
        }
    }
}

fn corrupt(path: &Path, cause: &dyn fmt::Display) -> Error {
    Error::new(Kind::Corrupt, format!("\"{}\": {cause}", path.display()))
}

impl fmt::Debug for ParquetRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetRows")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

//! Archives as records: Parquet rows and JSON lines, each one a JSON object.

mod json_lines;

mod parquet;

mod json_row;

use crate::Error;
use std::path::Path;

/// The records of a file, in its order.
#[derive(Debug)]
pub struct FileRows {
    rows: Rows,
    read: u64,
}

#[derive(Debug)]
enum Rows {
    JsonLines(json_lines::JsonLines),
    Parquet(parquet::ParquetRows),
}

/// How far a file has been read; rows where their number is known, else bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileProgress {
    /// What has been read.
    pub done: u64,
    /// What there is.
    pub total: u64,
}

/// Opens a `.parquet` file, or one with a JSON object on each line (`.jsonl`,
/// `.ndjson`, `.json`).
///
/// Parquet rows become objects: instants as RFC 3339 text in UTC, decimals as
/// strings, bytes in base64, null fields left out; `columns` chooses columns
/// (JSON lines are given as they are).
///
/// # Errors
/// When the file cannot be opened, is of another kind, or lacks a chosen column.
pub fn read_file(path: impl AsRef<Path>, columns: Option<&[String]>) -> Result<FileRows, Error> {
    let path = path.as_ref();
    let extension = path.extension().and_then(|extension| extension.to_str());
    let rows = match extension {
        Some("parquet") => Rows::Parquet(parquet::ParquetRows::open(path, columns)?),
        Some("jsonl" | "ndjson" | "json") => Rows::JsonLines(json_lines::JsonLines::open(path)?),
        _ => {
            return Err(Error::invalid(format!(
                "\"{}\" is not a .parquet, .jsonl, .ndjson or .json file",
                path.display()
            )));
        }
    };
    Ok(FileRows { rows, read: 0 })
}

impl FileRows {
    /// Puts the next record in `out`, in place of what it held; false at the end.
    ///
    /// # Errors
    /// When the file cannot be read on, naming the row or line.
    pub fn next_into(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        out.clear();
        let found = match &mut self.rows {
            Rows::JsonLines(rows) => rows.next_into(out)?,
            Rows::Parquet(rows) => rows.next_into(out)?,
        };
        self.read += u64::from(found);
        Ok(found)
    }

    /// How many records have been read.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read
    }

    /// How far the file has been read.
    #[must_use]
    pub fn progress(&self) -> FileProgress {
        match &self.rows {
            Rows::JsonLines(rows) => FileProgress {
                done: rows.done,
                total: rows.total,
            },
            Rows::Parquet(rows) => FileProgress {
                done: self.read,
                total: rows.total,
            },
        }
    }
}

impl Iterator for FileRows {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut payload = Vec::new();
        match self.next_into(&mut payload) {
            Ok(true) => Some(Ok(payload)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

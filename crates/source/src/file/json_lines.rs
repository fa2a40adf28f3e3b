//! One JSON object per line. Empty lines are stepped over.

use crate::{Error, Kind};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line that is read.
const LONGEST: u64 = 64 << 20;

/// The lines of a file.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    reader: BufReader<File>,
    line: u64,
    /// Bytes read.
    pub done: u64,
    /// Bytes in the file.
    pub total: u64,
}

impl JsonLines {
    /// Opens the file.
    pub fn open(path: &Path) -> Result<JsonLines, Error> {
        let io = |cause| Error::io("open", path, &cause);
        let file = File::open(path).map_err(io)?;
        let total = file.metadata().map_err(io)?.len();
        Ok(JsonLines {
            path: path.to_owned(),
            reader: BufReader::with_capacity(1 << 18, file),
            line: 0,
            done: 0,
            total,
        })
    }

    /// Appends the next object to `out`; false at the end.
    ///
    /// Only its first and last byte are looked at here: what is inside is the
    /// reader's to judge, and to send to the dead letters.
    pub fn next_into(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        loop {
            out.clear();
            let mut line = self.reader.by_ref().take(LONGEST);
            let read = line
                .read_until(b'\n', out)
                .map_err(|cause| Error::io("read", &self.path, &cause))?;
            if read == 0 {
                return Ok(false);
            }
            self.line += 1;
            self.done += read as u64;
            if read as u64 == LONGEST {
                return Err(self.error("is longer than 64 MiB"));
            }
            out.truncate(out.trim_ascii_end().len());
            let indent = out.len() - out.trim_ascii_start().len();
            out.drain(..indent);
            match (out.first(), out.last()) {
                (None, _) => {}
                (Some(b'{'), Some(b'}')) => return Ok(true),
                _ => return Err(self.error("is not one JSON object")),
            }
        }
    }

    fn error(&self, what: &str) -> Error {
        let message = format!("\"{}\" line {}: {what}", self.path.display(), self.line);
        Error::new(Kind::Invalid, message)
    }
}

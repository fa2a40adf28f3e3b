//! Where answers go: into a file, or nowhere. Counted and summed up either way, so that none
//! can be left out unseen.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use tiderace_aggregate::{Answer, FinishError};
use tiderace_types::{Timestamp, Value, decode_key};

/// Takes rows: a customer, a window's end, a sum, a count.
pub struct Sink {
    lines: Option<BufWriter<File>>,
    rows: u64,
    sum: u64,
}

impl Sink {
    /// Opens a file, or nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(path: Option<&Path>) -> Result<Sink> {
        let create =
            |path: &Path| File::create(path).with_context(|| format!("write {}", path.display()));
        let file = path.map(create).transpose()?;
        Ok(Sink {
            lines: file.map(|file| BufWriter::with_capacity(1 << 20, file)),
            rows: 0,
            sum: 0,
        })
    }

    /// Takes a row of the window that ends at `end`, unless nothing is in it.
    ///
    /// # Errors
    /// When it is not a sum and a count, or cannot be written.
    pub fn put(
        &mut self,
        entity: &[u8],
        end: Timestamp,
        answers: &[Result<Answer, FinishError>],
    ) -> Result<()> {
        let [Ok(total), Ok(count)] = answers else {
            bail!("a sum and a count were expected, not {answers:?}");
        };
        let (total, count) = match (&total.value, &count.value) {
            (_, Value::Int(0)) => return Ok(()),
            (Value::Int(total), Value::Int(count)) => (*total, *count),
            _ => bail!("a sum and a count were expected, not {answers:?}"),
        };
        self.rows += 1;
        let words = [end.0, total, count].map(i64::cast_unsigned);
        let words = words.into_iter().chain(entity.chunks(8).map(word));
        // Rows come in no order, so their sums are added up.
        self.sum = self.sum.wrapping_add(words.fold(0, mixed));
        if let Some(lines) = &mut self.lines {
            let key = decode_key(entity).context("read a key")?;
            let [Value::Int(customer)] = key[..] else {
                bail!("a customer was expected, not {key:?}");
            };
            // As Flink writes a timestamp.
            let end = end.to_string().replace('T', " ").replace('Z', "");
            writeln!(lines, "{customer},{end},{total},{count}")?;
        }
        Ok(())
    }

    /// Writes what is left; gives how many rows there were, and their sum.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn close(self) -> Result<(u64, u64)> {
        if let Some(mut lines) = self.lines {
            lines.flush().context("write the last rows")?;
        }
        Ok((self.rows, self.sum))
    }
}

fn word(bytes: &[u8]) -> u64 {
    let start = bytes.iter().rev();
    start.fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn mixed(so_far: u64, word: u64) -> u64 {
    (so_far.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

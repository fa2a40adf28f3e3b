//! What reading a row costs: decoding the online row, and finishing its features.

use super::clock;
use anyhow::Result;
use std::hint::black_box;
use std::time::{Duration, Instant};
use tiderace_aggregate::{Asked, RowSpec};
use tiderace_types::Timestamp;

/// The cost of reading one row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// The size of the online row.
    pub bytes: usize,
    /// Seconds to decode it.
    pub decode: f64,
    /// Seconds to finish every feature of the decoded row.
    pub finish: f64,
}

/// For how long each is repeated.
const LONG: Duration = Duration::from_millis(200);

impl Reading {
    /// Reads `bytes` again and again.
    ///
    /// # Errors
    /// When it is not a row of `spec`.
    pub fn of(bytes: &[u8], spec: &RowSpec, as_of: Timestamp) -> Result<Reading> {
        let outputs: Vec<usize> = (0..spec.outputs.len()).collect();
        let asked = Asked::of(spec, &outputs);
        // As a server reads it.
        let row = asked.decode(spec, bytes)?;
        Ok(Reading {
            bytes: bytes.len(),
            decode: mean(|| drop(black_box(asked.decode(spec, black_box(bytes)))))?,
            finish: mean(|| drop(black_box(asked.finish(spec, black_box(&row), as_of))))?,
        })
    }
}

/// The mean of the thread's own time that `work` takes, in seconds.
fn mean(work: impl Fn()) -> Result<f64> {
    work();
    let (began, mut times) = (clock::now()?, 0u32);
    let watch = Instant::now();
    while watch.elapsed() < LONG {
        work();
        times += 1;
    }
    Ok((clock::now()? - began).as_secs_f64() / f64::from(times))
}

//! Reading the log, up to its end and on as it grows.

use super::append::Shared;
use super::frame::HEAD;
use super::segment::{Cursor, Segment};
use crate::{Error, Kind, Limit};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tiderace_types::{Partition, RecordBatch, RecordMeta, SourceId};

/// Reads one log from an offset on.
pub struct LogReader {
    shared: Arc<Shared>,
    partition: Partition,
    segment: Arc<Segment>,
    /// The base of the following segment, once there is one.
    until: Option<i64>,
    cursor: Cursor,
}

impl LogReader {
    /// See [`crate::Log::reader`].
    pub(super) fn open(
        shared: Arc<Shared>,
        from: i64,
        source: SourceId,
    ) -> Result<LogReader, Error> {
        let (start, end) = (shared.start(), shared.visible());
        if from < start || from > end {
            return Err(Error::invalid(format!(
                "the log in \"{}\" holds offsets {start} to {end}: offset {from} is {}",
                shared.dir.display(),
                if from < start { "gone" } else { "past its end" }
            )));
        }
        let (segment, until) = segment_of(&shared, from)?;
        let mut cursor = Cursor::new(segment.place_before(from));
        while cursor.offset < from {
            let length = whole(&mut cursor, &segment)?;
            cursor.step(&segment, length);
        }
        Ok(LogReader {
            shared,
            partition: Partition { source, number: 0 },
            segment,
            until,
            cursor,
        })
    }

    /// See [`crate::Reader::poll`].
    ///
    /// # Errors
    /// [`Kind::Corrupt`] where stored bytes are damaged; [`Kind::Closed`] when
    /// the log has failed and everything it holds has been read.
    pub fn poll(
        &mut self,
        batch: &mut RecordBatch,
        limit: Limit,
        timeout: Duration,
    ) -> Result<(), Error> {
        let state = self.shared.wait_for(self.cursor.offset, timeout);
        let visible = state.visible;
        if visible <= self.cursor.offset {
            return match &state.failure {
                Some(why) => Err(Error::new(
                    Kind::Closed,
                    format!("the log has failed: {why}"),
                )),
                None => Ok(()),
            };
        }
        drop(state);
        // What can be seen now lies where the segments are now; later ones only hold more.
        (self.segment, self.until) = self.segment_here()?;
        while self.cursor.offset < visible && limit.allows(batch) {
            self.read_one(batch)?;
        }
        Ok(())
    }

    fn read_one(&mut self, batch: &mut RecordBatch) -> Result<(), Error> {
        if self.until == Some(self.cursor.offset) {
            (self.segment, self.until) = self.segment_here()?;
        }
        let offset = self.cursor.offset;
        let length = match self.cursor.peek(&self.segment)? {
            Ok(frame) => {
                let meta = RecordMeta {
                    partition: self.partition,
                    offset,
                    broker_time: frame.time,
                };
                batch.push(meta, frame.payload);
                frame.length()
            }
            Err(_) => return Err(damaged(&self.cursor, &self.segment)),
        };
        self.cursor.step(&self.segment, length);
        Ok(())
    }

    /// The cursor's segment; a following one is entered at its head.
    fn segment_here(&mut self) -> Result<(Arc<Segment>, Option<i64>), Error> {
        let (segment, until) = segment_of(&self.shared, self.cursor.offset)?;
        if segment.base > self.segment.base {
            self.cursor = Cursor::new((segment.base, HEAD));
        }
        Ok((segment, until))
    }

    /// The next offset that will be read.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.cursor.offset
    }

    /// See [`crate::Reader::ends`].
    #[must_use]
    pub fn ends(&self) -> Vec<(u32, i64)> {
        vec![(0, self.shared.visible())]
    }
}

/// The segment that holds, or will hold, `offset`, and the base of the one after it.
fn segment_of(shared: &Shared, offset: i64) -> Result<(Arc<Segment>, Option<i64>), Error> {
    let state = shared.state();
    let segments = &state.segments;
    let after = segments.partition_point(|segment| segment.base <= offset);
    let Some(index) = after.checked_sub(1) else {
        return Err(Error::invalid(format!(
            "the log in \"{}\" has removed offset {offset}",
            shared.dir.display()
        )));
    };
    let until = segments.get(after).map(|segment| segment.base);
    Ok((Arc::clone(&segments[index]), until))
}

/// The length of the frame at the cursor.
fn whole(cursor: &mut Cursor, segment: &Segment) -> Result<usize, Error> {
    match cursor.peek(segment)? {
        Ok(frame) => Ok(frame.length()),
        Err(_) => Err(damaged(cursor, segment)),
    }
}

fn damaged(cursor: &Cursor, segment: &Segment) -> Error {
    let what = format!("the record at offset {} is damaged", cursor.offset);
    Error::corrupt(&segment.path, cursor.byte, what)
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader")
            .field("dir", &self.shared.dir)
            .field("next", &self.cursor.offset)
            .finish_non_exhaustive()
    }
}

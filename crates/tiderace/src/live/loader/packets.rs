//! A job's files as packets for lanes.
//!
//! # Laws
//! - Events of one row and one time are in one packet: some may take others back, or be copies.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use tiderace_engine::{Packet, PastEvents};
use tiderace_offline::backfill::{Batches, Files};
use tiderace_offline::{Error, Kind};
use tiderace_plan::model::View;
use tiderace_types::Partition;
use tokio::runtime::Handle;

/// About so many events are in a packet. Live ones wait for as long as a lane takes for it.
const EVENTS: usize = 8192;

/// Gives a job's packets in order.
pub struct Packets<'a> {
    files: Files,
    /// What is left of the file that is being read.
    batches: Option<Batches>,
    view: &'a View,
    /// The place of the view among the lanes'.
    place: usize,
    partition: Partition,
    /// The number of the next event.
    next: i64,
    /// Events of one row and one time, of which there may be more.
    rest: Option<RecordBatch>,
}

impl<'a> Packets<'a> {
    /// The packets of `files`, which begin with event `next`.
    pub fn new(
        files: Files,
        view: &'a View,
        place: usize,
        partition: Partition,
        next: i64,
    ) -> Packets<'a> {
        Packets {
            files,
            batches: None,
            view,
            place,
            partition,
            next,
            rest: None,
        }
    }

    /// The next packet, while there is one.
    pub fn next(&mut self, runtime: &Handle) -> Result<Option<Packet>, Error> {
        loop {
            let batch = self.read(runtime)?;
            let (batch, ends) = match (self.rest.take(), batch) {
                (None, None) => return Ok(None),
                (Some(rest), None) => (rest, true),
                (None, Some(batch)) => (batch, false),
                (Some(rest), Some(batch)) => {
                    let joined = concat_batches(&batch.schema(), [&rest, &batch]);
                    (
                        joined.map_err(|error| self.wrong(&error.to_string()))?,
                        false,
                    )
                }
            };
            let count = match ends {
                true => batch.num_rows(),
                false => self.last_instant(&batch)?,
            };
            let left = batch.num_rows() - count;
            self.rest = (left > 0).then(|| batch.slice(count, left));
            if count > 0 {
                return self.packet(&batch.slice(0, count)).map(Some);
            }
        }
    }

    fn packet(&mut self, events: &RecordBatch) -> Result<Packet, Error> {
        let count = events.num_rows() as i64;
        let events = PastEvents::from_arrow(&self.view.spec, events);
        let events = events.map_err(|why| self.wrong(&why))?;
        let packet = events.into_packet(self.place, self.partition, self.next);
        self.next += count;
        Ok(packet)
    }

    /// The next batch that has any events.
    fn read(&mut self, runtime: &Handle) -> Result<Option<RecordBatch>, Error> {
        loop {
            let next = self.batches.as_mut().and_then(Iterator::next).transpose()?;
            match next {
                Some(batch) if batch.num_rows() > 0 => return Ok(Some(batch)),
                Some(_) => {}
                None => match runtime.block_on(self.files.next(EVENTS))? {
                    Some(batches) => self.batches = Some(batches),
                    None => return Ok(None),
                },
            }
        }
    }

    /// Where the events begin that are of the last one's row and time.
    fn last_instant(&self, events: &RecordBatch) -> Result<usize, Error> {
        let columns = events
            .column_by_name("key")
            .and_then(|keys| keys.as_binary_opt::<i32>())
            .zip(
                events
                    .column_by_name("time")
                    .and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>()),
            );
        let Some((keys, times)) = columns else {
            return Err(self.wrong("it has no keys or no times"));
        };
        let Some(last) = events.num_rows().checked_sub(1) else {
            return Ok(0);
        };
        let is_last = |event: &usize| {
            times.value(*event) == times.value(last) && keys.value(*event) == keys.value(last)
        };
        Ok(events.num_rows() - (0..=last).rev().take_while(is_last).count())
    }

    fn wrong(&self, why: &str) -> Error {
        let view = &self.view.name;
        Error::new(Kind::Data, format!("the past of view `{view}`: {why}"))
    }
}

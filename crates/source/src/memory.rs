//! The log's twin in memory, with any number of partitions: for tests and demonstrations.

use crate::{Error, Limit};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tiderace_types::{Partition, RecordBatch, RecordMeta, SourceId, Timestamp};

/// Records in memory. Clones are the same log.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    partitions: Mutex<Vec<Vec<Record>>>,
    appended: Condvar,
}

type Record = (Timestamp, Box<[u8]>);

impl Shared {
    fn partitions(&self) -> MutexGuard<'_, Vec<Vec<Record>>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryLog {
    /// An empty log of so many partitions.
    #[must_use]
    pub fn new(partitions: u32) -> MemoryLog {
        let partitions = (0..partitions).map(|_| Vec::new()).collect();
        MemoryLog {
            shared: Arc::new(Shared {
                partitions: Mutex::new(partitions),
                appended: Condvar::new(),
            }),
        }
    }

    /// Appends records to a partition, which is made if absent; returns their offsets.
    pub fn append(&self, partition: u32, payloads: &[&[u8]], now: Timestamp) -> Range<i64> {
        let mut partitions = self.shared.partitions();
        let index = partition as usize;
        if partitions.len() <= index {
            partitions.resize_with(index + 1, Vec::new);
        }
        let records = &mut partitions[index];
        let from = records.len();
        records.extend(payloads.iter().map(|&payload| (now, payload.into())));
        let to = records.len();
        self.shared.appended.notify_all();
        offset(from)..offset(to)
    }

    /// Reads from the given offsets on, and unknown partitions from 0.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for an offset that is not there.
    pub fn reader(&self, start: &[(u32, i64)], source: SourceId) -> Result<crate::Reader, Error> {
        let ends = self.ends();
        let mut next = Vec::new();
        for &(number, from) in start {
            let end = ends
                .iter()
                .find(|end| end.0 == number)
                .map_or(0, |end| end.1);
            let place = usize::try_from(from).ok().filter(|_| from <= end);
            let Some(place) = place else {
                return Err(Error::invalid(format!(
                    "partition {number} in memory holds offsets 0 to {end}, not {from}"
                )));
            };
            resize(&mut next, number as usize + 1);
            next[number as usize] = place;
        }
        Ok(crate::Reader::Memory(MemoryReader {
            log: self.clone(),
            source,
            next,
            first: 0,
        }))
    }

    /// The offset that the next record of each partition will get.
    #[must_use]
    pub fn ends(&self) -> Vec<(u32, i64)> {
        let partitions = self.shared.partitions();
        let ends = partitions.iter().map(|records| offset(records.len()));
        (0..).zip(ends).collect()
    }
}

/// Reads a [`MemoryLog`].
#[derive(Debug)]
pub struct MemoryReader {
    log: MemoryLog,
    source: SourceId,
    next: Vec<usize>,
    /// The partition that the next poll begins with, so that none is starved.
    first: usize,
}

impl MemoryReader {
    /// See [`crate::Reader::positions`].
    #[must_use]
    pub fn positions(&self) -> Vec<(u32, i64)> {
        let next = self.next.iter().map(|next| offset(*next));
        (0..).zip(next).collect()
    }

    /// See [`crate::Reader::poll`].
    ///
    /// # Errors
    /// Never.
    pub fn poll(
        &mut self,
        batch: &mut RecordBatch,
        limit: Limit,
        timeout: Duration,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        let shared = Arc::clone(&self.log.shared);
        let mut partitions = shared.partitions();
        loop {
            resize(&mut self.next, partitions.len());
            let count = batch.len();
            self.take(&partitions, batch, limit);
            let left = deadline.saturating_duration_since(Instant::now());
            if batch.len() > count || left.is_zero() || !limit.allows(batch) {
                return Ok(());
            }
            let waited = shared.appended.wait_timeout(partitions, left);
            partitions = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn take(&mut self, partitions: &[Vec<Record>], batch: &mut RecordBatch, limit: Limit) {
        let first = self.first;
        self.first = first + 1;
        for step in 0..partitions.len() {
            let index = (first + step) % partitions.len();
            while let Some((time, payload)) = partitions[index].get(self.next[index]) {
                if !limit.allows(batch) {
                    return;
                }
                let number = u32::try_from(index).expect("partitions are numbered by u32");
                let meta = RecordMeta {
                    partition: Partition {
                        source: self.source,
                        number,
                    },
                    offset: offset(self.next[index]),
                    broker_time: *time,
                };
                batch.push(meta, payload);
                self.next[index] += 1;
            }
        }
    }

    /// See [`crate::Reader::ends`].
    #[must_use]
    pub fn ends(&self) -> Vec<(u32, i64)> {
        self.log.ends()
    }

    /// See [`crate::Reader::partitions`].
    #[must_use]
    pub fn partitions(&self) -> Vec<u32> {
        self.log.ends().iter().map(|end| end.0).collect()
    }
}

fn resize(next: &mut Vec<usize>, length: usize) {
    if next.len() < length {
        next.resize(length, 0);
    }
}

fn offset(index: usize) -> i64 {
    i64::try_from(index).expect("memory holds fewer than 2^63 records")
}

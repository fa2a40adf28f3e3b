//! The one way records come in.

use crate::Error;
use crate::kafka::{KafkaConfig, KafkaReader, SharedReader};
use crate::log::LogReader;
use crate::memory::MemoryReader;
use crate::{Loss, OnLoss, Told, Trail};
use std::time::Duration;
use tiderace_types::{RecordBatch, Share, SourceId};

/// Reads one source from given positions on.
///
/// # Laws
/// Offsets rise within each partition, nothing between them is skipped
/// silently, and where to start is only ever what was asked for.
#[derive(Debug)]
pub enum Reader {
    /// A Kafka topic.
    Kafka(Box<KafkaReader>),
    /// One process's part of a topic over which several share a source.
    Shared(Box<SharedReader>),
    /// The embedded log.
    Log(LogReader),
    /// Memory, for tests.
    Memory(MemoryReader),
}

/// How much one call may add to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// At most so many records in the batch.
    pub records: usize,
    /// No more records once the batch holds so many payload bytes.
    pub bytes: usize,
}

impl Limit {
    /// Tells whether `batch` has room for another record.
    #[must_use]
    pub fn allows(&self, batch: &RecordBatch) -> bool {
        batch.len() < self.records && batch.bytes.len() < self.bytes
    }
}

impl Reader {
    /// Reads a Kafka topic; see [`KafkaReader::open`].
    ///
    /// # Errors
    /// As [`KafkaReader::open`].
    pub fn kafka(
        config: &KafkaConfig,
        topic: &str,
        source: SourceId,
        start: &[(u32, i64)],
    ) -> Result<Reader, Error> {
        let reader = KafkaReader::open(config, topic, source, start)?;
        Ok(Reader::Kafka(Box::new(reader)))
    }

    /// Reads a Kafka topic on from what is remembered of it; see [`KafkaReader::resume`].
    ///
    /// # Errors
    /// As [`KafkaReader::resume`].
    pub fn resume(
        config: &KafkaConfig,
        topic: &str,
        source: SourceId,
        start: &[(u32, i64)],
        trail: Trail,
        on_loss: OnLoss,
        share: Share,
    ) -> Result<Reader, Error> {
        let reader = KafkaReader::resume(config, topic, source, start, trail, on_loss, share);
        Ok(Reader::Kafka(Box::new(reader?)))
    }

    /// Remembers the last records of `batch`, by which a topic is known again.
    pub fn mark(&mut self, batch: &RecordBatch) {
        match self {
            Reader::Kafka(reader) => reader.mark(batch),
            // It does so by itself, since these are not its records as they are kept.
            Reader::Shared(_) | Reader::Log(_) | Reader::Memory(_) => {}
        }
    }

    /// What is to be kept for [`Reader::resume`]; only topics need it.
    #[must_use]
    pub fn trail(&self) -> Option<&Trail> {
        match self {
            Reader::Kafka(reader) => Some(reader.trail()),
            Reader::Shared(reader) => Some(reader.trail()),
            Reader::Log(_) | Reader::Memory(_) => None,
        }
    }

    /// What has been found missing since the last call.
    pub fn take_losses(&mut self) -> Vec<Loss> {
        match self {
            Reader::Kafka(reader) => reader.take_losses(),
            Reader::Shared(_) | Reader::Log(_) | Reader::Memory(_) => Vec::new(),
        }
    }

    /// Where partitions were begun that nothing was known of, since the last call, and whether they ended
    /// there. Only where a source is shared are these found while reading; of others
    /// [`Reader::positions`] tells before.
    pub fn take_begun(&mut self) -> Vec<(u32, i64, bool)> {
        match self {
            Reader::Shared(reader) => reader.take_begun(),
            Reader::Kafka(_) | Reader::Log(_) | Reader::Memory(_) => Vec::new(),
        }
    }

    /// What those who share a source have told since the last call of what they send. It holds for what was read
    /// since then, and may hold earlier than it was told.
    pub fn take_told(&mut self) -> Vec<Told> {
        match self {
            Reader::Shared(reader) => reader.take_told(),
            Reader::Kafka(_) | Reader::Log(_) | Reader::Memory(_) => Vec::new(),
        }
    }

    /// Marks the records that lack one of these headers with its value as another table's
    /// ([`RecordBatch::others`]). Only Kafka's have headers.
    #[must_use]
    pub fn only(self, headers: Vec<(String, String)>) -> Reader {
        match self {
            Reader::Kafka(reader) => Reader::Kafka(Box::new(reader.only(headers))),
            other => other,
        }
    }

    /// Has the headers `traceparent` of records kept, a few of each batch, for [`Reader::take_traces`].
    #[must_use]
    pub fn with_traces(self) -> Reader {
        match self {
            Reader::Kafka(reader) => Reader::Kafka(Box::new(reader.with_traces())),
            other => other,
        }
    }

    /// What headers `traceparent` of records have said since the last call.
    pub fn take_traces(&mut self) -> Vec<String> {
        match self {
            Reader::Kafka(reader) => reader.take_traces(),
            Reader::Shared(_) | Reader::Log(_) | Reader::Memory(_) => Vec::new(),
        }
    }

    /// Appends records to `batch` up to `limit`; waits at most `timeout` for
    /// the first one and returns as soon as there is nothing more at hand.
    ///
    /// # Errors
    /// What was appended before the error is good and will not be given again.
    pub fn poll(
        &mut self,
        batch: &mut RecordBatch,
        limit: Limit,
        timeout: Duration,
    ) -> Result<(), Error> {
        match self {
            Reader::Kafka(reader) => reader.poll(batch, limit, timeout),
            Reader::Shared(reader) => reader.poll(batch, limit, timeout),
            Reader::Log(reader) => reader.poll(batch, limit, timeout),
            Reader::Memory(reader) => reader.poll(batch, limit, timeout),
        }
    }

    /// The offset that the next record of each partition will get, asked anew, by partition.
    ///
    /// # Errors
    /// When it cannot be known now.
    pub fn ends(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        match self {
            Reader::Kafka(reader) => reader.ends(),
            Reader::Shared(reader) => reader.ends(),
            Reader::Log(reader) => Ok(reader.ends()),
            Reader::Memory(reader) => Ok(reader.ends()),
        }
    }

    /// The next offset that will be read of each partition, by partition; nothing where a source is
    /// shared.
    #[must_use]
    pub fn positions(&self) -> Vec<(u32, i64)> {
        match self {
            Reader::Kafka(reader) => reader.positions(),
            Reader::Shared(_) => Vec::new(),
            Reader::Log(reader) => vec![(0, reader.position())],
            Reader::Memory(reader) => reader.positions(),
        }
    }

    /// The next offset of each partition of the log that is read, as the log counts: of a topic as the brokers do,
    /// of a shared source in the shared topic.
    #[must_use]
    pub fn come_to(&self) -> Vec<(u32, i64)> {
        match self {
            Reader::Kafka(reader) => reader.come_to(),
            Reader::Shared(reader) => reader.come_to(),
            Reader::Log(_) | Reader::Memory(_) => self.positions(),
        }
    }

    /// The partitions that are being read, in order.
    ///
    /// # Errors
    /// When they cannot be known now.
    pub fn partitions(&mut self) -> Result<Vec<u32>, Error> {
        match self {
            Reader::Kafka(reader) => reader.partitions(),
            Reader::Shared(reader) => Ok(reader.partitions()),
            Reader::Log(_) => Ok(vec![0]),
            Reader::Memory(reader) => Ok(reader.partitions()),
        }
    }
}

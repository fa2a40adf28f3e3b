//! Records into a source: what replay writes to.

use crate::Error;
use crate::kafka::KafkaProducer;
use crate::log::{Durability, Log};
use tiderace_types::Timestamp;

/// How many records for the embedded log are written at once.
const GROUP: usize = 256;

/// Writes records to a Kafka topic or to the embedded log, in order per key.
#[derive(Debug)]
pub enum Producer {
    /// A Kafka topic.
    Kafka(KafkaProducer),
    /// The embedded log.
    Log(LogProducer),
}

/// Groups records on their way to the embedded log.
#[derive(Debug)]
pub struct LogProducer {
    log: Log,
    payloads: Vec<Vec<u8>>,
    time: Timestamp,
}

impl Producer {
    /// Writes to the embedded log.
    #[must_use]
    pub fn log(log: Log) -> Producer {
        Producer::Log(LogProducer {
            log,
            payloads: Vec::new(),
            time: Timestamp::MIN,
        })
    }

    /// Sends a record. `partition_key` decides the partition: records of one
    /// key keep their order. `time` becomes the record's timestamp.
    ///
    /// # Errors
    /// When this record or one before it could not be written; open a new producer then.
    pub fn send(
        &mut self,
        partition_key: &[u8],
        payload: &[u8],
        time: Timestamp,
    ) -> Result<(), Error> {
        match self {
            Producer::Kafka(producer) => producer.send(partition_key, payload, time),
            Producer::Log(producer) => producer.send(payload, time),
        }
    }

    /// Waits until everything sent is durable.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub fn flush(&mut self) -> Result<(), Error> {
        match self {
            Producer::Kafka(producer) => producer.flush(),
            Producer::Log(producer) => {
                producer.write()?;
                producer.log.sync()
            }
        }
    }
}

impl LogProducer {
    fn send(&mut self, payload: &[u8], time: Timestamp) -> Result<(), Error> {
        if time != self.time || self.payloads.len() >= GROUP {
            self.write()?;
            self.time = time;
        }
        self.payloads.push(payload.to_vec());
        Ok(())
    }

    fn write(&mut self) -> Result<(), Error> {
        let payloads: Vec<&[u8]> = self.payloads.iter().map(Vec::as_slice).collect();
        self.log.append(&payloads, self.time, Durability::Process)?;
        self.payloads.clear();
        Ok(())
    }
}

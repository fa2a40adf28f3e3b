//! Sends what some partitions of a source hold to the processes that need it.

use super::frame::{self, Frame, What};
use crate::kafka::producer::KafkaProducer;
use crate::kafka::topic::{count_partitions, ends, ensure_topic};
use crate::{Error, KafkaConfig, Kind};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tiderace_durable::failpoint::{self, Step};
use tiderace_types::{PartitionPosition, RecordBatch, Share, Timestamp};

/// What frames add to a record at most.
const FRAME: u64 = 64;

/// Makes the shared topic where there is none, for records of at most `largest` bytes.
///
/// # Errors
/// When the cluster does not answer, or the topic is for another number of processes.
pub fn ensure_shared_topic(
    config: &KafkaConfig,
    topic: &str,
    share: Share,
    largest: u64,
) -> Result<(), Error> {
    let largest = (largest + FRAME).max(1 << 20).to_string();
    let settings = [("max.message.bytes", largest.as_str())];
    ensure_topic(config, topic, share.of, 0, &settings)?;
    let asker = config.asker()?;
    let deadline = Instant::now() + config.request_timeout;
    loop {
        let found = count_partitions(config, topic)?;
        if let Some(found) = found.filter(|found| *found != share.of) {
            return Err(Error::invalid(format!(
                "topic \"{topic}\" has {found} partitions, and `state.processes` is {}: they must be equal. Shards that move to another process are built anew: stop all processes, delete the topic and their state folders, and start them",
                share.of
            )));
        }
        // What was made a moment ago is not known to every broker yet.
        let known = found.map(|_| ends(&asker, topic, 0..share.of));
        match known {
            Some(Ok(_)) => return Ok(()),
            _ if Instant::now() < deadline => std::thread::sleep(LOOK),
            Some(Err(error)) => return Err(error),
            None => {
                let what = format!("topic \"{topic}\" was made, and no broker knows it yet");
                return Err(Error::new(Kind::Retry, what));
            }
        }
    }
}

/// How soon it is looked again for a topic that was made.
const LOOK: Duration = Duration::from_millis(50);

/// Sends records of one source.
#[derive(Debug)]
pub struct SharedSender {
    producer: KafkaProducer,
    processes: u32,
    /// What is told behind the frame that begins a partition.
    routes: Vec<u8>,
    /// What was last sent, by partition and process.
    sent: BTreeMap<(u32, u32), Sent>,
    buffer: Vec<u8>,
}

/// What a process was last sent of a partition.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// The offset of the last record; -1 before the first one.
    last: i64,
    /// Up to where it knows.
    next: i64,
}

impl SharedSender {
    /// A sender to the shared topic, which there is (see [`ensure_shared_topic`]). `routes` stand for the views for
    /// which it sends.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn open(
        config: &KafkaConfig,
        topic: &str,
        share: Share,
        routes: &[u64],
    ) -> Result<SharedSender, Error> {
        Ok(SharedSender {
            producer: KafkaProducer::persistent(config, topic)?,
            processes: share.of,
            routes: frame::encode_routes(routes),
            sent: BTreeMap::new(),
            buffer: Vec::new(),
        })
    }

    /// Tells every process that a partition is read from a position on; `is_anew` where it is not
    /// known that everything before was sent.
    ///
    /// # Errors
    /// When something could not be delivered; open a new sender then.
    pub fn begin(
        &mut self,
        partition: u32,
        at: PartitionPosition,
        is_at_end: bool,
        is_anew: bool,
    ) -> Result<(), Error> {
        for process in 0..self.processes {
            let sent = Sent {
                last: -1,
                next: at.next,
            };
            self.sent.insert((partition, process), sent);
            let frame = Frame {
                what: What::Begins { is_at_end, is_anew },
                partition,
                offset: at.next,
                before: -1,
                clock: at.clock,
                broker_time: Timestamp::MIN,
            };
            self.buffer.clear();
            frame.encode(&mut self.buffer);
            self.buffer.extend_from_slice(&self.routes);
            self.producer.send_now(process, &self.buffer)?;
        }
        Ok(())
    }

    /// Tells whether a partition was begun.
    #[must_use]
    pub fn has_begun(&self, partition: u32) -> bool {
        self.sent.contains_key(&(partition, 0))
    }

    /// Sends the records of a batch, each to the processes whose bits are set, with the clock before it.
    ///
    /// # Errors
    /// As [`SharedSender::begin`].
    pub fn send(
        &mut self,
        records: &RecordBatch,
        clocks: &[Timestamp],
        targets: &[u64],
    ) -> Result<(), Error> {
        let (mut nulls, mut others) = (records.nulls.iter(), records.others.iter());
        let (mut null, mut other) = (nulls.next(), others.next());
        for (record, meta) in records.metas.iter().enumerate() {
            let is = |flagged: Option<&u32>| flagged.is_some_and(|at| *at as usize == record);
            let (is_null, is_other) = (is(null), is(other));
            if is_null {
                null = nulls.next();
            }
            if is_other {
                other = others.next();
            }
            let partition = meta.partition.number;
            for process in 0..self.processes {
                if targets[record] >> process & 1 == 0 {
                    continue;
                }
                let sent = self.sent.get_mut(&(partition, process));
                let before = sent.map_or(-1, |sent| {
                    sent.next = meta.offset + 1;
                    std::mem::replace(&mut sent.last, meta.offset)
                });
                let frame = Frame {
                    what: What::Record { is_null, is_other },
                    partition,
                    offset: meta.offset,
                    before,
                    clock: clocks[record],
                    broker_time: meta.broker_time,
                };
                self.send_frame(process, &frame, records.payload(record))?;
            }
        }
        Ok(())
    }

    /// Tells every process that does not know it yet how far a partition was read.
    ///
    /// # Errors
    /// As [`SharedSender::begin`].
    pub fn pass(&mut self, partition: u32, at: PartitionPosition) -> Result<(), Error> {
        for process in 0..self.processes {
            let Some(sent) = self.sent.get_mut(&(partition, process)) else {
                continue;
            };
            if sent.next >= at.next {
                continue;
            }
            sent.next = at.next;
            let frame = Frame {
                what: What::Passed,
                partition,
                offset: at.next,
                before: sent.last,
                clock: at.clock,
                broker_time: Timestamp::MIN,
            };
            self.send_frame(process, &frame, &[])?;
        }
        Ok(())
    }

    /// Waits for a while; tells whether the brokers keep everything that was sent.
    ///
    /// # Errors
    /// As [`SharedSender::begin`].
    pub fn is_settled(&self, within: Duration) -> Result<bool, Error> {
        let injected = |cause: std::io::Error| Error::new(Kind::Closed, cause.to_string());
        failpoint::around(Step::ShareSend, injected, || {
            self.producer.is_settled(within)
        })
    }

    fn send_frame(&mut self, process: u32, frame: &Frame, payload: &[u8]) -> Result<(), Error> {
        self.buffer.clear();
        frame.encode(&mut self.buffer);
        self.buffer.extend_from_slice(payload);
        // Its own timestamp, by which the topic forgets, is that of its coming.
        self.producer.send_now(process, &self.buffer)
    }
}

//! Reading a topic from explicit offsets.
//!
//! A plain consumer polled by the caller's own thread, with partitions
//! assigned by hand: no consumer group, no commits, no rebalances. Where to
//! start is checked against what the broker holds before anything is read, and
//! an offset that has expired is an error that names the gap.
//!
//! A topic whose producers use transactions ends in a control record, which is
//! never delivered: there [`KafkaReader::ends`] stays ahead of what is read by
//! that record until the next one arrives.

use super::config::KafkaConfig;
use super::error::error;
use super::topic::partitions;
use crate::{Error, Kind, Limit};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};
use tiderace_types::{Partition, RecordBatch, RecordMeta, SourceId, Timestamp};

/// How often new partitions are looked for.
const DISCOVERY: Duration = Duration::from_secs(5);
/// How long the look for new partitions may hold up reading.
const DISCOVERY_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a question about ends may take.
const ENDS_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads one topic.
pub struct KafkaReader {
    consumer: BaseConsumer,
    /// Asks about the topic on connections of its own: on the consumer's every
    /// answer would wait behind a fetch that has nothing to give yet.
    asker: BaseConsumer,
    topic: String,
    source: SourceId,
    /// What the headers of the source's own records say.
    headers: Vec<(String, String)>,
    /// The next offset of each partition that is being read.
    next: BTreeMap<u32, i64>,
    discovered: Instant,
    request_timeout: Duration,
}

impl KafkaReader {
    /// Starts reading all partitions of `topic`: those in `start` at that
    /// offset, the others at the first offset they hold. Partitions that are
    /// added to the topic later are found and read from offset 0.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an unknown topic or partition, and for a start
    /// below what the partition holds or above its end, naming both.
    pub fn open(
        config: &KafkaConfig,
        topic: &str,
        source: SourceId,
        start: &[(u32, i64)],
    ) -> Result<KafkaReader, Error> {
        let client = config.consumer();
        let create = || {
            client
                .create()
                .map_err(|cause| error("create a kafka consumer", &cause))
        };
        let mut reader = KafkaReader {
            consumer: create()?,
            asker: create()?,
            topic: topic.to_owned(),
            source,
            headers: Vec::new(),
            next: BTreeMap::new(),
            discovered: Instant::now(),
            request_timeout: config.request_timeout,
        };
        let partitions = partitions(&reader.asker, topic, config.request_timeout)?;
        if let Some((unknown, _)) = start
            .iter()
            .find(|(number, _)| !partitions.contains(number))
        {
            return Err(Error::invalid(format!(
                "topic \"{topic}\" has {} partitions and no partition {unknown}, where reading should resume",
                partitions.len()
            )));
        }
        let asked: BTreeMap<u32, i64> = start.iter().copied().collect();
        for number in partitions {
            let (low, high) = reader.watermarks(number)?;
            let offset = asked.get(&number).copied().unwrap_or(low);
            check_start(topic, number, offset, low, high)?;
            reader.next.insert(number, offset);
        }
        reader.assign()?;
        Ok(reader)
    }

    /// See [`crate::Reader::only`].
    #[must_use]
    pub fn only(mut self, headers: Vec<(String, String)>) -> KafkaReader {
        self.headers = headers;
        self
    }

    /// See [`crate::Reader::poll`].
    ///
    /// # Errors
    /// [`Kind::Retry`] while the brokers are away; [`Kind::Invalid`] when the
    /// next offset has expired or the topic is gone.
    pub fn poll(
        &mut self,
        batch: &mut RecordBatch,
        limit: Limit,
        timeout: Duration,
    ) -> Result<(), Error> {
        if self.discovered.elapsed() >= DISCOVERY {
            self.discover()?;
        }
        let mut wait = timeout;
        while limit.allows(batch) {
            let Some(polled) = self.consumer.poll(wait) else {
                break;
            };
            match polled {
                Ok(message) => {
                    if accept(self.source, &self.headers, &mut self.next, &message, batch) {
                        wait = Duration::ZERO;
                    }
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(cause) => return Err(self.explain(&cause)),
            }
        }
        Ok(())
    }

    /// See [`crate::Reader::positions`].
    #[must_use]
    pub fn positions(&self) -> Vec<(u32, i64)> {
        self.next
            .iter()
            .map(|(number, next)| (*number, *next))
            .collect()
    }

    /// See [`crate::Reader::ends`]: one request to each broker that leads a partition.
    ///
    /// # Errors
    /// [`Kind::Retry`] when a broker does not answer within a second.
    pub fn ends(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        let what = format!("ask for the ends of topic \"{}\"", self.topic);
        let mut asked = TopicPartitionList::with_capacity(self.next.len());
        for &number in self.next.keys() {
            // The logical end in place of a timestamp asks for the high watermark itself.
            asked
                .add_partition_offset(&self.topic, signed(number), Offset::End)
                .map_err(|cause| error(&what, &cause))?;
        }
        // Its news of outages comes with the answers; kept unread it would pile up.
        while self.asker.poll(Duration::ZERO).is_some() {}
        let answered = self
            .asker
            .offsets_for_times(asked, ENDS_TIMEOUT)
            .map_err(|cause| error(&what, &cause))?;
        let mut ends = Vec::with_capacity(self.next.len());
        for element in answered.elements() {
            element.error().map_err(|cause| error(&what, &cause))?;
            let Offset::Offset(end) = element.offset() else {
                return Err(Error::new(
                    Kind::Retry,
                    format!("{what}: no answer for partition {}", element.partition()),
                ));
            };
            ends.push((element.partition().unsigned_abs(), end));
        }
        ends.sort_unstable();
        Ok(ends)
    }

    /// See [`crate::Reader::partitions`].
    ///
    /// # Errors
    /// As [`KafkaReader::poll`].
    pub fn partitions(&mut self) -> Result<Vec<u32>, Error> {
        self.discover()?;
        Ok(self.next.keys().copied().collect())
    }

    /// Looks for new partitions and reads them from their beginning. A look
    /// that fails for want of a broker is repeated later; reading shows the outage.
    fn discover(&mut self) -> Result<(), Error> {
        self.discovered = Instant::now();
        let partitions = match partitions(&self.asker, &self.topic, DISCOVERY_TIMEOUT) {
            Ok(partitions) => partitions,
            Err(error) if error.kind() == Kind::Retry => {
                tracing::debug!(%error, "no partition discovery now");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let known = self.next.len();
        for number in partitions {
            self.next.entry(number).or_insert(0);
        }
        if self.next.len() > known {
            self.assign()?;
        }
        Ok(())
    }

    fn watermarks(&self, number: u32) -> Result<(i64, i64), Error> {
        self.asker
            .fetch_watermarks(&self.topic, signed(number), self.request_timeout)
            .map_err(|cause| {
                let what = format!("ask what topic \"{}\" partition {number} holds", self.topic);
                error(&what, &cause)
            })
    }

    /// Assigns every partition at its next offset. What was fetched before is dropped by the client.
    fn assign(&self) -> Result<(), Error> {
        let what = format!("start reading topic \"{}\"", self.topic);
        let mut list = TopicPartitionList::with_capacity(self.next.len());
        for (&number, &offset) in &self.next {
            list.add_partition_offset(&self.topic, signed(number), Offset::Offset(offset))
                .map_err(|cause| error(&what, &cause))?;
        }
        self.consumer
            .assign(&list)
            .map_err(|cause| error(&what, &cause))
    }

    /// Names the partition and the gap when an offset has expired; the client does not tell.
    fn explain(&self, cause: &KafkaError) -> Error {
        let lost = matches!(
            cause.rdkafka_error_code(),
            Some(Code::OffsetOutOfRange | Code::AutoOffsetReset)
        );
        if lost {
            for (&number, &offset) in &self.next {
                let Ok((low, high)) = self.watermarks(number) else {
                    continue;
                };
                if let Err(gap) = check_start(&self.topic, number, offset, low, high) {
                    return gap;
                }
            }
        }
        error(&format!("read topic \"{}\"", self.topic), cause)
    }
}

/// Takes a message into `batch`; false when it was had before.
fn accept(
    source: SourceId,
    headers: &[(String, String)],
    next: &mut BTreeMap<u32, i64>,
    message: &BorrowedMessage<'_>,
    batch: &mut RecordBatch,
) -> bool {
    let number = message.partition().unsigned_abs();
    let offset = message.offset();
    let Some(next) = next.get_mut(&number).filter(|next| offset >= **next) else {
        return false;
    };
    // Without a timestamp (brokers before 0.10) no event may count as early.
    let broker_time = message
        .timestamp()
        .to_millis()
        .map_or(Timestamp::MAX, |millis| {
            Timestamp(millis.saturating_mul(1000))
        });
    let partition = Partition { source, number };
    let meta = RecordMeta {
        partition,
        offset,
        broker_time,
    };
    let record = u32::try_from(batch.len()).expect("a batch has fewer than 2^32 records");
    if message.payload().is_none() {
        batch.nulls.push(record);
    }
    if !headers.iter().all(|wanted| has(message, wanted)) {
        batch.others.push(record);
    }
    batch.push(meta, message.payload().unwrap_or_default());
    *next = offset + 1;
    true
}

/// Tells whether a message has a header with a value. A name may stand there more than once.
fn has(message: &BorrowedMessage<'_>, (name, value): &(String, String)) -> bool {
    let headers = message.headers();
    headers.into_iter().any(|headers| {
        headers
            .iter()
            .any(|header| header.key == name && header.value == Some(value.as_bytes()))
    })
}

fn check_start(topic: &str, number: u32, offset: i64, low: i64, high: i64) -> Result<(), Error> {
    let place = format!("topic \"{topic}\" partition {number}: offset {offset}");
    if offset < low {
        return Err(Error::invalid(format!(
            "{place} is gone: the first one held is {low}, so {} records are missing",
            low - offset
        )));
    }
    if offset > high {
        return Err(Error::invalid(format!(
            "{place} is past the end {high}: the topic was emptied or is another one"
        )));
    }
    Ok(())
}

/// Kafka's partition numbers are signed and never negative.
fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaReader")
            .field("topic", &self.topic)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

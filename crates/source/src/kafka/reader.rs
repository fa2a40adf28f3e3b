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

use super::config::{Asker, KafkaConfig};
use super::error::error;
use super::resume::Asking;
use super::topic::{ends, partitions};
use crate::trail::{Loss, Mark, OnLoss, Track, Trail};
use crate::{Error, Kind, Limit};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};
use tiderace_types::{Partition, RecordBatch, RecordMeta, Share, SourceId, Timestamp, hash_key};

/// How often new partitions are looked for.
const DISCOVERY: Duration = Duration::from_secs(5);
/// How long the look for new partitions may hold up reading.
const DISCOVERY_TIMEOUT: Duration = Duration::from_millis(500);

/// The traces that are kept of a batch of records.
const TRACES: usize = 8;

/// Reads one topic.
pub struct KafkaReader {
    consumer: Asker,
    /// Asks about the topic on connections of its own: on the consumer's every
    /// answer would wait behind a fetch that has nothing to give yet.
    asker: Asker,
    topic: String,
    source: SourceId,
    /// What the headers of the source's own records say.
    headers: Vec<(String, String)>,
    /// The broker's next offset of each partition that is being read.
    next: BTreeMap<u32, i64>,
    /// What is remembered of the topic, and how its offsets become ours.
    trail: Trail,
    on_loss: OnLoss,
    /// Which partitions are read.
    share: Share,
    /// The traces that records are of, by their headers, since they were last taken; `None` where nobody asks.
    traces: Option<Vec<String>>,
    /// What was found missing and has not been told.
    losses: Vec<Loss>,
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
        let all = Share::ALL;
        KafkaReader::resume(
            config,
            topic,
            source,
            start,
            Trail::default(),
            OnLoss::Stop,
            all,
        )
    }

    /// As [`KafkaReader::open`], with what is remembered of the topic from before; `on_loss` says what
    /// to do where it does not have what should come next. Offsets are ours, see [`Track::shift`]. Only
    /// the partitions of `share` are read.
    ///
    /// # Errors
    /// As [`KafkaReader::open`].
    pub fn resume(
        config: &KafkaConfig,
        topic: &str,
        source: SourceId,
        start: &[(u32, i64)],
        trail: Trail,
        on_loss: OnLoss,
        share: Share,
    ) -> Result<KafkaReader, Error> {
        let mut reader = KafkaReader {
            consumer: config.asker()?,
            asker: config.asker()?,
            topic: topic.to_owned(),
            source,
            headers: Vec::new(),
            next: BTreeMap::new(),
            trail,
            on_loss,
            share,
            traces: None,
            losses: Vec::new(),
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
        for number in partitions.into_iter().filter(|number| share.has(*number)) {
            // Where reading began is known even where nothing has been committed since.
            let began = reader.trail.0.get(&number).map(|track| track.start);
            let next = asked.get(&number).copied().or(began);
            reader.go_on(number, next)?;
        }
        reader.assign()?;
        Ok(reader)
    }

    /// Sets where a partition goes on after our offset `next`, or from its beginning.
    fn go_on(&mut self, number: u32, next: Option<i64>) -> Result<(), Error> {
        let track = self.trail.0.get(&number).cloned().unwrap_or_default();
        let asking = Asking {
            asker: &self.asker,
            topic: &self.topic,
            timeout: self.request_timeout,
        };
        let resumed = asking.resume(number, next, &track)?;
        if let Some(loss) = resumed.loss {
            if self.on_loss == OnLoss::Stop {
                return Err(Error::invalid(loss.what));
            }
            self.losses.push(loss);
        }
        let track = self.trail.0.entry(number).or_insert_with(|| Track {
            start: resumed.next,
            ..Track::default()
        });
        if track.shift != resumed.shift {
            track.shift = resumed.shift;
            track.marks.clear();
        }
        self.next.insert(number, resumed.next);
        Ok(())
    }

    /// What is remembered of the topic now.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// What has been found missing since the last call.
    pub fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    /// Remembers the last record of each partition in `batch`.
    pub fn mark(&mut self, batch: &RecordBatch) {
        let mut done = BTreeSet::new();
        for (index, meta) in batch.metas.iter().enumerate().rev() {
            let number = meta.partition.number;
            if done.insert(number)
                && let Some(track) = self.trail.0.get_mut(&number)
            {
                track.mark(Mark {
                    offset: meta.offset,
                    hash: hash_key(batch.payload(index)),
                });
            }
            if done.len() == self.next.len() {
                return;
            }
        }
    }

    /// See [`crate::Reader::with_traces`].
    #[must_use]
    pub fn with_traces(mut self) -> KafkaReader {
        self.traces = Some(Vec::new());
        self
    }

    /// See [`crate::Reader::take_traces`].
    pub fn take_traces(&mut self) -> Vec<String> {
        self.traces.as_mut().map(std::mem::take).unwrap_or_default()
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
    /// [`Kind::Retry`] while the brokers are away, or where fetched records are damaged, which
    /// are then fetched again; [`Kind::Invalid`] when the next offset has expired or the topic
    /// is gone.
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
        let before = batch.len();
        let mut away = None;
        while limit.allows(batch) {
            let Some(polled) = self.consumer.poll(wait) else {
                break;
            };
            match polled {
                Ok(message) => {
                    let number = message.partition().unsigned_abs();
                    let shift = self.trail.0.get(&number).map_or(0, |track| track.shift);
                    let (source, headers) = (self.source, &self.headers);
                    if accept(source, headers, &mut self.next, shift, &message, batch) {
                        wait = Duration::ZERO;
                        if let Some(traces) = &mut self.traces
                            && traces.len() < TRACES
                        {
                            traces.extend(trace(&message));
                        }
                    }
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(cause) if is_damage(&cause) || is_lost(&cause) => {
                    if is_lost(&cause) {
                        self.look_again()?;
                    }
                    // The client goes on behind what it could not read, or at an offset that
                    // damaged bytes have named: back to where we are.
                    self.assign()?;
                    let what = format!(
                        "read topic \"{}\": what came is damaged and is read again",
                        self.topic
                    );
                    return Err(Error::new(Kind::Retry, error(&what, &cause).to_string()));
                }
                Err(cause) => {
                    let error = error(&format!("read topic \"{}\"", self.topic), &cause);
                    if error.kind() != Kind::Retry {
                        return Err(error);
                    }
                    // During an outage such news pile up, and what is behind them must not wait
                    // for them one by one.
                    away = Some(error);
                    wait = Duration::ZERO;
                }
            }
        }
        match away {
            Some(error) if batch.len() == before => Err(error),
            _ => Ok(()),
        }
    }

    /// See [`crate::Reader::positions`].
    #[must_use]
    pub fn positions(&self) -> Vec<(u32, i64)> {
        let ours = |(number, next): (&u32, &i64)| (*number, *next + self.shift(*number));
        self.next.iter().map(ours).collect()
    }

    /// See [`crate::Reader::come_to`].
    #[must_use]
    pub fn come_to(&self) -> Vec<(u32, i64)> {
        let next = self.next.iter();
        next.map(|(number, next)| (*number, *next)).collect()
    }

    fn shift(&self, number: u32) -> i64 {
        self.trail.0.get(&number).map_or(0, |track| track.shift)
    }

    /// See [`crate::Reader::ends`]: one request to each broker that leads a partition.
    ///
    /// # Errors
    /// [`Kind::Retry`] when a broker does not answer within a second.
    pub fn ends(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        let ends = ends(&self.asker, &self.topic, self.next.keys().copied())?;
        let ours = |(number, end)| (number, end + self.shift(number));
        Ok(ends.into_iter().map(ours).collect())
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
        for number in partitions.into_iter().filter(|own| self.share.has(*own)) {
            self.next.entry(number).or_insert(0);
            self.trail.0.entry(number).or_default();
        }
        if self.next.len() > known {
            self.assign()?;
        }
        Ok(())
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

    /// Finds which of our offsets the broker has not got any more; the client does not tell.
    fn look_again(&mut self) -> Result<(), Error> {
        for (number, next) in self.positions() {
            self.go_on(number, Some(next))?;
        }
        Ok(())
    }
}

/// Takes a message into `batch`; false when it was had before.
fn accept(
    source: SourceId,
    headers: &[(String, String)],
    next: &mut BTreeMap<u32, i64>,
    shift: i64,
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
        offset: offset + shift,
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

/// The trace that a message is of, if a header says it.
fn trace(message: &BorrowedMessage<'_>) -> Option<String> {
    let headers = message.headers()?;
    let header = headers.iter().find(|header| header.key == "traceparent")?;
    str::from_utf8(header.value?).ok().map(str::to_owned)
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

/// Tells whether the client asked for an offset that there is not.
pub(super) fn is_lost(cause: &KafkaError) -> bool {
    matches!(
        cause.rdkafka_error_code(),
        Some(Code::OffsetOutOfRange | Code::AutoOffsetReset)
    )
}

/// Tells whether a fetched batch could not be read. The client leaves such a batch out, so
/// whoever goes on has lost records.
pub(super) fn is_damage(cause: &KafkaError) -> bool {
    matches!(
        cause.rdkafka_error_code(),
        Some(
            Code::BadMessage
                | Code::InvalidMessage
                | Code::BadCompression
                | Code::NotImplemented
                | Code::Underflow
        )
    )
}

/// Kafka's partition numbers are signed and never negative.
pub(super) fn signed(number: u32) -> i32 {
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

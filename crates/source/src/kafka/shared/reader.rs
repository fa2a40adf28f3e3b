//! Reads what a process is sent of a source.

use super::frame::{self, Frame, What};
use crate::kafka::KafkaReader;
use crate::kafka::config::Asker;
use crate::kafka::topic::{ends, partitions};
use crate::{Error, KafkaConfig, Kind, Limit, OnLoss, Trail};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};
use tiderace_types::{
    Partition, PartitionPosition, RecordBatch, RecordMeta, Share, SourceId, Timestamp,
};

/// How often new partitions of the source are looked for.
const DISCOVERY: Duration = Duration::from_secs(5);

/// What a sender told when it began to send a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The source's partition.
    pub partition: u32,
    /// Where that was read, in the shared topic.
    pub at: i64,
    /// The routes for which records are sent from there on.
    pub routes: Vec<u64>,
}

/// Reads one process's part of a shared topic.
pub struct SharedReader {
    inner: KafkaReader,
    source: SourceId,
    share: Share,
    /// By partition of the source, the next offset: every lower one was received, or is not for this process.
    next: BTreeMap<u32, i64>,
    /// Where partitions were begun that nothing was known of, and whether they ended there.
    begun: Vec<(u32, i64, bool)>,
    /// What senders told that began a partition.
    told: Vec<Told>,
    /// Why reading has ended.
    ended: Option<String>,
    /// The source's own topic, of which the ends are asked.
    topic: String,
    asker: Asker,
    partitions: Vec<u32>,
    discovered: Option<Instant>,
    request_timeout: Duration,
}

impl SharedReader {
    /// Reads `shared` on behalf of the process of `share`, from `start`: positions in the partitions of
    /// `topic`, the source's own one, and, as [`Partition::ROUTED`], in the shared one.
    ///
    /// # Errors
    /// As [`KafkaReader::resume`].
    pub fn open(
        config: &KafkaConfig,
        shared: &str,
        topic: &str,
        source: SourceId,
        start: &[(u32, i64)],
        trail: Trail,
        share: Share,
    ) -> Result<SharedReader, Error> {
        let come_to = start
            .iter()
            .find(|(number, _)| *number == Partition::ROUTED);
        let own: Vec<_> = come_to
            .map(|(_, next)| (share.index, *next))
            .into_iter()
            .collect();
        let inner = KafkaReader::resume(config, shared, source, &own, trail, OnLoss::Stop, share)?;
        let asker = config.asker()?;
        let next = start.iter().copied();
        Ok(SharedReader {
            inner,
            source,
            share,
            next: next
                .filter(|(number, _)| *number < Partition::ROUTED)
                .collect(),
            begun: Vec::new(),
            told: Vec::new(),
            ended: None,
            topic: topic.to_owned(),
            asker,
            partitions: Vec::new(),
            discovered: None,
            request_timeout: config.request_timeout,
        })
    }

    /// What is remembered of the shared topic now.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        self.inner.trail()
    }

    /// See [`crate::Reader::come_to`]: of the shared topic.
    #[must_use]
    pub fn come_to(&self) -> Vec<(u32, i64)> {
        self.inner.come_to()
    }

    /// See [`crate::Reader::take_begun`].
    pub fn take_begun(&mut self) -> Vec<(u32, i64, bool)> {
        std::mem::take(&mut self.begun)
    }

    /// See [`crate::Reader::take_told`].
    pub fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// See [`crate::Reader::poll`].
    ///
    /// # Errors
    /// As [`KafkaReader::poll`]; [`Kind::Corrupt`] at a gap, or at what is no frame.
    pub fn poll(
        &mut self,
        batch: &mut RecordBatch,
        limit: Limit,
        timeout: Duration,
    ) -> Result<(), Error> {
        if let Some(why) = &self.ended {
            return Err(Error::new(Kind::Corrupt, why.clone()));
        }
        let mut sent = RecordBatch::default();
        let polled = self.inner.poll(&mut sent, limit, timeout);
        let mut taken: Option<(i64, i64)> = None;
        for (at, meta) in sent.metas.iter().enumerate() {
            if let Err(why) = self.take(meta.offset, sent.payload(at), batch) {
                self.ended = Some(format!(
                    "the shared topic of \"{}\", partition {} offset {}: {why}",
                    self.topic, self.share.index, meta.offset
                ));
                break;
            }
            let from = taken.map_or(meta.offset, |(from, _)| from);
            taken = Some((from, meta.offset + 1));
        }
        // What of it is repeated after a start is told by the partitions of the source.
        self.inner.mark(&sent);
        if let Some((from, next)) = taken {
            let clock = Timestamp::MIN;
            let routed = self.partition(Partition::ROUTED);
            batch
                .passed
                .push((routed, from, PartitionPosition { next, clock }));
        }
        match &self.ended {
            Some(why) => Err(Error::new(Kind::Corrupt, why.clone())),
            None => polled,
        }
    }

    fn partition(&self, number: u32) -> Partition {
        let source = self.source;
        Partition { source, number }
    }

    /// Takes in the frame of an offset.
    fn take(&mut self, at: i64, bytes: &[u8], batch: &mut RecordBatch) -> Result<(), String> {
        let (frame, payload) =
            Frame::decode(bytes).map_err(|error| format!("not what is sent there: {error}"))?;
        let partition = self.partition(frame.partition);
        let known = self.next.get(&frame.partition).copied();
        let next = match (frame.what, known) {
            (
                What::Begins {
                    is_at_end,
                    is_anew: true,
                },
                None,
            ) => {
                self.begun.push((frame.partition, frame.offset, is_at_end));
                0
            }
            (What::Begins { .. }, None) => {
                return Err(format!(
                    "partition {} of the source was sent before offset {}, and that is not here any more",
                    frame.partition, frame.offset
                ));
            }
            // Who has it now began where the source begins, and that is later than what was received.
            (What::Begins { is_anew: true, .. }, Some(next)) if frame.offset > next => {
                return Err(format!(
                    "a gap: partition {} of the source is sent anew from offset {}, and only those before {next} were received",
                    frame.partition, frame.offset
                ));
            }
            (_, Some(next)) => next,
            // Of a partition that was never begun there may be anything before.
            (_, None) => {
                return Err(format!(
                    "partition {} of the source was never begun: what was sent first is missing",
                    frame.partition
                ));
            }
        };
        if frame.before >= next {
            return Err(format!(
                "a gap: record {} of partition {} of the source was sent before this one, and only those before {next} were received",
                frame.before, frame.partition
            ));
        }
        match frame.what {
            What::Record { .. } if frame.offset < next => {}
            What::Record { is_null, is_other } => {
                let record =
                    u32::try_from(batch.len()).expect("a batch has fewer than 2^32 records");
                if is_null {
                    batch.nulls.push(record);
                }
                if is_other {
                    batch.others.push(record);
                }
                let meta = RecordMeta {
                    partition,
                    offset: frame.offset,
                    broker_time: frame.broker_time,
                };
                batch.push(meta, payload);
                batch.clocks.push(frame.clock);
                self.next.insert(frame.partition, frame.offset + 1);
            }
            What::Passed | What::Begins { .. } => {
                if matches!(frame.what, What::Begins { .. }) {
                    let routes = frame::decode_routes(payload);
                    let routes = routes.map_err(|error| format!("what is sent: {error}"))?;
                    self.told.extend(routes.map(|routes| Told {
                        partition: frame.partition,
                        at,
                        routes,
                    }));
                }
                if frame.offset > next || known.is_none() {
                    self.next.insert(frame.partition, frame.offset);
                    let clock = frame.clock;
                    let position = PartitionPosition {
                        next: frame.offset,
                        clock,
                    };
                    batch.passed.push((partition, next, position));
                }
            }
        }
        Ok(())
    }

    /// See [`crate::Reader::ends`]: the ends of the source's own topic.
    ///
    /// # Errors
    /// As [`KafkaReader::ends`].
    pub fn ends(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        if self.discovered.is_none_or(|at| at.elapsed() >= DISCOVERY) {
            self.partitions = partitions(&self.asker, &self.topic, self.request_timeout)?;
            self.discovered = Some(Instant::now());
        }
        ends(&self.asker, &self.topic, self.partitions.iter().copied())
    }

    /// The partitions of the source that something was received of.
    #[must_use]
    pub fn partitions(&self) -> Vec<u32> {
        self.next.keys().copied().collect()
    }
}

impl fmt::Debug for SharedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedReader")
            .field("topic", &self.topic)
            .field("share", &self.share)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

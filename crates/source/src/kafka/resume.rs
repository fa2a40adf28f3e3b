//! Where reading of a partition goes on: at the position asked for, if the broker still has what was there.

use super::error::error;
use super::reader::signed;
use crate::trail::{Loss, Mark, Track};
use crate::{Error, Kind};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};
use tiderace_types::hash_key;

/// A partition to go on with, as the broker has it.
pub struct Resumed {
    /// The broker's offset to read next.
    pub next: i64,
    /// What is to be added to it for ours.
    pub shift: i64,
    /// What is missing, if anything is.
    pub loss: Option<Loss>,
}

/// Asks a broker what it has.
pub struct Asking<'a> {
    pub asker: &'a BaseConsumer,
    pub topic: &'a str,
    pub timeout: Duration,
}

impl Asking<'_> {
    /// The first offset that a partition holds, and the one behind its last.
    pub fn watermarks(&self, number: u32) -> Result<(i64, i64), Error> {
        let asked = self
            .asker
            .fetch_watermarks(self.topic, signed(number), self.timeout);
        asked.map_err(|cause| {
            let what = format!("ask what topic \"{}\" partition {number} holds", self.topic);
            error(&what, &cause)
        })
    }

    /// Finds where to go on after our offset `next`, or where the partition begins.
    pub fn resume(&self, number: u32, next: Option<i64>, track: &Track) -> Result<Resumed, Error> {
        let (low, high) = self.watermarks(number)?;
        let shift = track.shift;
        let Some(ours) = next else {
            return Ok(Resumed {
                next: low,
                shift,
                loss: None,
            });
        };
        let wanted = ours - shift;
        let place = format!(
            "topic \"{}\" partition {number}: offset {wanted}",
            self.topic
        );
        let expired = |next: i64| Resumed {
            next: low,
            shift,
            loss: (next < low).then(|| Loss {
                partition: number,
                what: format!(
                    "{place} is gone: the first one held is {low}, so {} records are missing",
                    low - next
                ),
                missing: (low - next).unsigned_abs(),
            }),
        };
        // The newest mark that can be compared decides; the others, what is left of the log.
        let mut differs = false;
        let in_reach = |mark: &&Mark| (low..high).contains(&(mark.offset - shift));
        for mark in track.marks.iter().rev().filter(in_reach) {
            let at = mark.offset - shift;
            match self.hash_at(number, at)? {
                None => {}
                Some(hash) if hash == mark.hash && !differs && wanted <= high => {
                    return Ok(Resumed {
                        next: wanted,
                        shift,
                        loss: None,
                    });
                }
                Some(hash) if hash == mark.hash => {
                    return Ok(Resumed {
                        next: at + 1,
                        shift: ours - (at + 1),
                        loss: Some(Loss {
                            partition: number,
                            what: format!(
                                "{place} is behind a cut: what was read after offset {at} is not there any more, or is something else; reading would go on behind {at}"
                            ),
                            missing: 0,
                        }),
                    });
                }
                Some(_) => differs = true,
            }
        }
        if differs || wanted > high {
            let why = match differs {
                true => "follows what is not there any more: the topic is another one".to_owned(),
                false => {
                    format!("is past the end {high}: the topic was emptied or is another one")
                }
            };
            return Ok(Resumed {
                next: low,
                shift: ours - low,
                loss: Some(Loss {
                    partition: number,
                    what: format!("{place} {why}"),
                    missing: 0,
                }),
            });
        }
        if wanted < low {
            return Ok(expired(wanted));
        }
        Ok(Resumed {
            next: wanted,
            shift,
            loss: None,
        })
    }

    /// The hash of the record at just this offset, if there is one.
    fn hash_at(&self, number: u32, offset: i64) -> Result<Option<u64>, Error> {
        let what = format!("look at topic \"{}\" partition {number}", self.topic);
        let failed = |cause: KafkaError| error(&what, &cause);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(self.topic, signed(number), Offset::Offset(offset))
            .map_err(failed)?;
        self.asker.assign(&list).map_err(failed)?;
        let deadline = Instant::now() + self.timeout;
        let found = loop {
            match self.asker.poll(Duration::from_millis(100)) {
                Some(Ok(message))
                    if message.partition() == signed(number) && message.offset() >= offset =>
                {
                    let hash = hash_key(message.payload().unwrap_or_default());
                    break Ok((message.offset() == offset).then_some(hash));
                }
                Some(Ok(_)) => {}
                Some(Err(cause)) => break Err(failed(cause)),
                None if Instant::now() >= deadline => {
                    break Err(Error::new(Kind::Retry, format!("{what}: no answer")));
                }
                None => {}
            }
        };
        let unassigned = self.asker.assign(&TopicPartitionList::new());
        unassigned.map_err(failed)?;
        found
    }
}

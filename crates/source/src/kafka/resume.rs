//! Where reading of a partition goes on: at the position asked for, if the broker still has what was there.

use super::config::Asker;
use super::error::error;
use super::reader::{is_damage, is_lost, signed};
use crate::trail::{Loss, Track};
use crate::{Error, Kind};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::ops::Range;
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
    pub asker: &'a Asker,
    pub topic: &'a str,
    pub timeout: Duration,
}

impl Asking<'_> {
    /// The first offset that a partition holds, and the one behind its last.
    fn watermarks(&self, number: u32) -> Result<(i64, i64), Error> {
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
        let whole = |next| Resumed {
            next,
            shift,
            loss: None,
        };
        let Some(ours) = next else {
            return Ok(whole(low));
        };
        let wanted = ours - shift;
        let (known, differs) = self.compare(number, track, low..high)?;
        let (next, missing, why) = match known {
            Some(at) if differs || wanted > high => (
                at + 1,
                0,
                format!(
                    "is behind a cut: what was read after offset {at} is not there any more, or is something else; reading would go on behind {at}"
                ),
            ),
            None if differs => (
                low,
                0,
                "follows what is not there any more: the topic is another one".to_owned(),
            ),
            None if wanted > high => (
                low,
                0,
                format!("is past the end {high}: the topic was emptied or is another one"),
            ),
            _ if wanted < low => (
                low,
                (low - wanted).unsigned_abs(),
                format!(
                    "is gone: the first one held is {low}, so {} records are missing",
                    low - wanted
                ),
            ),
            _ => return Ok(whole(wanted)),
        };
        // Only records that have expired leave a hole in our offsets.
        let shift = if missing > 0 { shift } else { ours - next };
        let what = format!(
            "topic \"{}\" partition {number}: offset {wanted} {why}",
            self.topic
        );
        Ok(Resumed {
            next,
            shift,
            loss: Some(Loss {
                partition: number,
                what,
                missing,
            }),
        })
    }

    /// The newest offset that holds what is remembered of it, and whether a newer one, of those that
    /// the partition has, holds something else.
    fn compare(
        &self,
        number: u32,
        track: &Track,
        held: Range<i64>,
    ) -> Result<(Option<i64>, bool), Error> {
        let mut differs = false;
        for mark in track.marks.iter().rev() {
            let at = mark.offset - track.shift;
            if !held.contains(&at) {
                continue;
            }
            match self.hash_at(number, at)? {
                Some(hash) if hash == mark.hash => return Ok((Some(at), differs)),
                Some(_) => differs = true,
                None => {}
            }
        }
        Ok((None, differs))
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
                // What came damaged is asked for again, and so is an offset that damage has led to: this one
                // lies among those that the broker has.
                Some(Err(cause)) if is_damage(&cause) || is_lost(&cause) => {
                    let why = format!("{what}: what came is damaged: {cause}");
                    break Err(Error::new(Kind::Retry, why));
                }
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

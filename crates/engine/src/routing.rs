//! Which of several processes need a record: those that have a shard of a row that it belongs to, and the
//! one that has its home.
//!
//! # Laws
//! - A record goes to every process in which it changes anything, and is counted in one of them.
//! - What a process makes of the records that come to it, with the clocks that are told beside them, is
//!   what one that has all of them makes.

use crate::intake::{Intake, IntakeCounts};
use tiderace_decode::Decoded;
use tiderace_types::{
    Partition, PartitionPosition, RecordBatch, Shard, ShardRange, Share, Timestamp,
};

/// A batch on its way.
#[derive(Debug)]
pub struct Routed {
    /// The records.
    pub records: RecordBatch,
    /// By record, the stream clock of its partition before it.
    pub clocks: Vec<Timestamp>,
    /// By record, the processes that it goes to, one bit each.
    pub targets: Vec<u64>,
    /// Every partition in the batch, with the position after it.
    pub reached: Vec<(Partition, PartitionPosition)>,
    /// What was counted.
    pub counts: IntakeCounts,
}

/// Which process has a shard.
#[derive(Debug)]
pub struct Owners([u8; 256]);

impl Owners {
    /// The owners among as many processes as share.
    #[must_use]
    pub fn new(share: Share) -> Owners {
        let mut owners = [0; 256];
        for (process, range) in share.ranges().into_iter().enumerate() {
            let ShardRange { first, last } = range;
            owners[usize::from(first)..=usize::from(last)].fill(process as u8);
        }
        Owners(owners)
    }

    fn bit(&self, shard: Shard) -> u64 {
        1 << self.0[usize::from(shard.0)]
    }
}

impl Intake {
    /// Judges the next batch as [`Intake::take`] does, and finds who needs which of its records.
    pub fn route(&mut self, records: RecordBatch, decoded: Decoded, owners: &Owners) -> Routed {
        self.told = Some(Vec::with_capacity(records.len()));
        let taken = self.take(records, decoded);
        let clocks = self.told.take().unwrap_or_default();
        let packet = taken.packet;
        let homes = packet.homes.shards.iter();
        let mut targets: Vec<u64> = homes.map(|shard| owners.bit(*shard)).collect();
        for view in &packet.views {
            for (event, hash) in view.events.iter().zip(&view.hashes) {
                let record = packet.record_of[*event as usize] as usize;
                targets[record] |= owners.bit(Shard::of_hash(*hash));
            }
        }
        let reached = packet.reached.into_iter();
        Routed {
            records: packet.records,
            clocks,
            targets,
            reached: reached.map(|(partition, _, at)| (partition, at)).collect(),
            counts: taken.counts,
        }
    }
}

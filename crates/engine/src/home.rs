//! The home of every record: the one shard that counts it.
//!
//! A record may reach rows in many shards, by many views. So that it is counted once, and with the
//! positions that it is a part of, one of its rows speaks for it: the one of the first view that takes
//! it. What reaches no row is counted by a shard that its place picks, and its outcome is known
//! already. Both follow from the record and the definitions alone, so that a replay counts alike.

use crate::lane::Lane;
use crate::packet::{Packet, ViewBatch};
use crate::slice::SLICES;
use std::collections::BTreeMap;
use tiderace_types::{Outcome, Reason, RecordBatch, RecordMeta, Shard, hash_key};

/// Where records are counted, and what became of those that reach no row.
#[derive(Debug, Default)]
pub struct Homes {
    /// By record.
    pub shards: Vec<Shard>,
    /// What became of records that reach no row, in their order.
    pub told: Vec<(u32, Outcome)>,
}

/// Which members of a view's batch speak for their records.
#[derive(Debug, Default)]
pub enum Speakers {
    /// None of them.
    #[default]
    Nobody,
    /// All of them.
    All,
    /// Those that are true.
    Some(Vec<bool>),
}

impl Speakers {
    /// Tells whether a member speaks for its record.
    #[inline]
    #[must_use]
    pub fn speaks(&self, member: u32) -> bool {
        match self {
            Speakers::Nobody => false,
            Speakers::All => true,
            Speakers::Some(members) => members[member as usize],
        }
    }
}

impl Homes {
    /// Finds the home of each of `records`. `told` is what became of those that were not accepted,
    /// `failed` has records that a view refused; `views` learn which of their members speak.
    pub(crate) fn new(
        records: &RecordBatch,
        record_of: &[u32],
        mut told: Vec<(u32, Outcome)>,
        failed: &BTreeMap<u32, Reason>,
        views: &mut [ViewBatch],
    ) -> Homes {
        let mut shards: Vec<Option<Shard>> = vec![None; records.len()];
        for view in views {
            let mut spoken = 0;
            let mut speaks = vec![false; view.events.len()];
            for (member, event) in view.events.iter().enumerate() {
                let shard = &mut shards[record_of[*event as usize] as usize];
                if shard.is_none() {
                    *shard = Some(Shard::of_hash(view.hashes[member]));
                    speaks[member] = true;
                    spoken += 1;
                }
            }
            view.speakers = match spoken {
                0 => Speakers::Nobody,
                all if all == speaks.len() => Speakers::All,
                _ => Speakers::Some(speaks),
            };
        }
        told.sort_unstable_by_key(|(record, _)| *record);
        told.dedup_by_key(|(record, _)| *record);
        let mut known = told.iter().peekable();
        let mut untaken = Vec::new();
        let homes = shards.into_iter().enumerate().map(|(record, shard)| {
            let is_told = known
                .next_if(|(told, _)| *told as usize == record)
                .is_some();
            shard.unwrap_or_else(|| {
                if !is_told {
                    let record = record as u32;
                    let refused = failed.get(&record).copied().map(Outcome::Refused);
                    untaken.push((record, refused.unwrap_or(Outcome::Unused)));
                }
                by_place(&records.metas[record])
            })
        });
        let shards = homes.collect();
        told.extend(untaken);
        Homes { shards, told }
    }
}

/// The shard of a record that reaches no row.
fn by_place(meta: &RecordMeta) -> Shard {
    let mut place = [0; 12];
    place[..4].copy_from_slice(&meta.partition.number.to_be_bytes());
    place[4..].copy_from_slice(&meta.offset.to_be_bytes());
    Shard::of_hash(hash_key(&place))
}

impl Lane {
    /// Counts the records whose home is here; `seen` tells which of them have been counted before.
    pub(crate) fn count(&mut self, packet: &Packet, seen: impl Fn(Shard, usize) -> bool) {
        let homes = &packet.homes;
        let own = |lane: &Lane, shard, record| lane.shards.contains(shard) && !seen(shard, record);
        let mut read = [0; SLICES];
        for (record, shard) in homes.shards.iter().enumerate() {
            if own(self, *shard, record) {
                read[self.slices.place(*shard)] += 1;
            }
        }
        for (slice, count) in self.slices.iter_mut().zip(read) {
            slice.ledger.read(packet.source, count);
        }
        for (record, outcome) in &homes.told {
            let record = *record as usize;
            let shard = homes.shards[record];
            if own(self, shard, record) {
                let place = self.slices.place(shard);
                let slice = self.slices.get_mut(place);
                slice.ledger.note(packet.source, *outcome, 1);
            }
        }
    }
}

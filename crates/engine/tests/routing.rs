//! Processes that share a source: what they make together of what each is sent is what one makes that has
//! everything, however batches are cut and partitions interleave.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use support::definitions::{World, world};
use support::log::Log;
use support::random::Random;
use tiderace_decode::Decoder;
use tiderace_engine::{Intake, Owners, Taken};
use tiderace_plan::model::Source;
use tiderace_types::{
    Partition, PartitionPosition, Positions, RecordBatch, RecordMeta, Shard, ShardRange, Share,
    Timestamp,
};

const LOGS: u64 = 60;

/// A partition's number, and an offset in it.
type Place = (u32, i64);

/// What became of records.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// By view and key, the records whose events belong to the row, with their filter bits.
    members: BTreeSet<(usize, Vec<u8>, Place, usize, u64)>,
    /// The records that are counted.
    counted: BTreeSet<Place>,
    /// What is told of those that reach no row.
    told: BTreeSet<(Place, String)>,
    /// The refused ones, with why.
    dead: BTreeSet<(Place, String, String)>,
    /// How far each partition has come.
    reached: BTreeMap<u32, (i64, Timestamp)>,
}

impl Outcome {
    /// Adds what a process with `shards` makes of a batch; tells whether all of it is new.
    fn add(&mut self, taken: Taken, shards: ShardRange) -> bool {
        let packet = taken.packet;
        let place = |record: usize| {
            let meta = packet.records.metas[record];
            (meta.partition.number, meta.offset)
        };
        let mut fresh = true;
        for view in &packet.views {
            let mut start = 0;
            for (member, event) in view.events.iter().enumerate() {
                let end = view.key_ends[member] as usize;
                let key = view.keys[start..end].to_vec();
                start = end;
                if shards.contains(Shard::of_hash(view.hashes[member])) {
                    let record = packet.record_of[*event as usize];
                    let before = packet.record_of[..*event as usize].iter();
                    let nth = before.filter(|other| **other == record).count();
                    let place = place(record as usize);
                    let member = (view.view, key, place, nth, view.bits[member]);
                    fresh &= self.members.insert(member);
                }
            }
        }
        for (record, home) in packet.homes.shards.iter().enumerate() {
            if shards.contains(*home) {
                fresh &= self.counted.insert(place(record));
            }
        }
        for (record, outcome) in &packet.homes.told {
            let record = *record as usize;
            if shards.contains(packet.homes.shards[record]) {
                let told = (place(record), format!("{outcome:?}"));
                fresh &= self.told.insert(told);
            }
        }
        for letter in taken.dead {
            let place = (letter.meta.partition.number, letter.meta.offset);
            let reason = letter.reason.name().to_owned();
            fresh &= self.dead.insert((place, reason, letter.detail));
        }
        for (partition, _, at) in packet.reached {
            let held = self.reached.entry(partition.number);
            let held = held.or_insert((at.next, at.clock));
            *held = (held.0.max(at.next), held.1.max(at.clock));
        }
        fresh
    }
}

/// A process's own: what is sent to it, by partition in order.
type Inbox = BTreeMap<u32, Vec<Sent>>;

/// A record with the clock before it.
#[derive(Clone)]
struct Sent {
    meta: RecordMeta,
    payload: Vec<u8>,
    clock: Timestamp,
}

fn decoder(source: &Source) -> Decoder {
    let used = source.used.iter();
    let columns = used.map(|column| source.columns[*column].clone());
    let place = |column: usize| source.used.binary_search(&column).ok();
    Decoder::json(
        columns.collect(),
        place(source.event_time).expect("event time is used"),
        source.event_id.and_then(place),
        source.max_record_bytes,
    )
}

fn intake(world: &World, source: &Arc<Source>) -> Intake {
    let own = world.plan.views.iter().enumerate();
    let own = own.filter(|(_, view)| view.source.id == source.id);
    let own = own.map(|(place, view)| (place, Arc::clone(view)));
    Intake::new(Arc::clone(source), own.collect(), &Positions::default())
}

/// Cuts what lies in partitions into batches, in the order of each partition.
fn batches<T>(lying: BTreeMap<u32, Vec<T>>, random: &mut Random) -> Vec<Vec<T>> {
    let mut open: Vec<std::vec::IntoIter<T>> = lying.into_values().map(Vec::into_iter).collect();
    let mut batches = Vec::new();
    loop {
        open.retain(|rest| rest.len() > 0);
        if open.is_empty() {
            return batches;
        }
        let mut batch = Vec::new();
        for _ in 0..1 + random.below(24) {
            let one = random.index(open.len());
            batch.extend(open[one].next());
        }
        batches.push(batch);
    }
}

/// The records of one source, by partition.
fn records(log: &Log, source: &Source) -> BTreeMap<u32, Vec<Sent>> {
    let own = log.partitions.iter();
    let own = own.filter(|(partition, _)| partition.source == source.id);
    let sent = |partition: Partition, (offset, logged): (usize, &support::log::Logged)| Sent {
        meta: RecordMeta {
            partition,
            offset: offset as i64,
            broker_time: Timestamp(logged.broker_time),
        },
        payload: logged.payload.clone().into_bytes(),
        clock: Timestamp::MIN,
    };
    own.map(|(partition, logged)| {
        let logged = logged.iter().enumerate();
        let sent = logged.map(|logged| sent(*partition, logged)).collect();
        (partition.number, sent)
    })
    .collect()
}

fn batch(records: &[Sent], with_clocks: bool) -> RecordBatch {
    let mut batch = RecordBatch::default();
    for record in records {
        batch.push(record.meta, &record.payload);
        if with_clocks {
            batch.clocks.push(record.clock);
        }
    }
    batch
}

/// Tells whether `wrong` must be found out.
fn together(seed: u64, wrong: bool) -> Result<(), String> {
    let world = world();
    let mut random = Random(seed);
    let log = Log::new(world, &mut random);
    let of = 2 + random.below(5) as u32;
    for source in &world.plan.sources {
        let lying = records(&log, source);
        let mut decoder = decoder(source);
        let mut alone = Outcome::default();
        let mut one = intake(world, source);
        for records in batches(lying.clone(), &mut random) {
            let records = batch(&records, false);
            let decoded = decoder.decode(&records);
            alone.add(one.take(records, decoded), ShardRange::ALL);
        }

        let mut inboxes: Vec<Inbox> = vec![Inbox::new(); of as usize];
        let mut come: BTreeMap<Partition, PartitionPosition> = BTreeMap::new();
        for index in 0..of {
            let share = Share { index, of };
            let own = lying.iter().filter(|(number, _)| share.has(**number));
            let own = own.map(|(number, records)| (*number, records.clone()));
            let mut judge = intake(world, source);
            let owners = Owners::new(share);
            for records in batches(own.collect(), &mut random) {
                let raw = batch(&records, false);
                let decoded = decoder.decode(&raw);
                let routed = judge.route(raw, decoded, &owners);
                come.extend(routed.reached);
                for (at, record) in records.into_iter().enumerate() {
                    for (process, inbox) in inboxes.iter_mut().enumerate() {
                        if routed.targets[at] >> process & 1 == 1 {
                            let clock = match wrong {
                                true => Timestamp::MIN,
                                false => routed.clocks[at],
                            };
                            let sent = Sent {
                                clock,
                                ..record.clone()
                            };
                            let number = record.meta.partition.number;
                            inbox.entry(number).or_default().push(sent);
                        }
                    }
                }
            }
        }

        let mut shared = Outcome::default();
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let index = index as u32;
            let shards = Share { index, of }.shards();
            let mut own = intake(world, source).within(shards);
            for records in batches(inbox, &mut random) {
                let records = batch(&records, true);
                let decoded = decoder.decode(&records);
                if !shared.add(own.take(records, decoded), shards) {
                    return Err(format!("process {index} of {of}: something counts twice"));
                }
            }
            // What it was sent nothing of has been passed all the same.
            let mut rest = RecordBatch::default();
            let passed = come.iter().map(|(partition, at)| (*partition, 0, *at));
            rest.passed.extend(passed);
            let decoded = decoder.decode(&rest);
            shared.add(own.take(rest, decoded), shards);
        }
        if shared != alone {
            return Err(format!("{of} processes, source {}", source.name));
        }
    }
    Ok(())
}

#[test]
fn processes_make_of_a_log_what_one_makes() {
    support::each(LOGS, |seed| together(seed, false));
}

#[test]
fn a_clock_that_is_not_told_is_found_out() {
    let found = (0..LOGS).filter(|seed| together(*seed, true).is_err());
    assert!(found.count() > LOGS as usize / 2, "late events would count");
}

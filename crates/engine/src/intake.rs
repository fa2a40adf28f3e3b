//! From decoded records to accepted events: clocks, the contract, expressions, keys.
//!
//! # Laws
//! - Whether an event is accepted depends on its own partition's log and nothing else:
//!   not on batch cuts, other partitions, or when it was read.
//! - Every record of a batch ends in exactly one place: accepted, rejected
//!   with a reason, or dropped for a cause that says so.
//! - A record may give several events (the update of a table's row takes one back and puts one in).
//!   It is refused as a whole: if one of them is, none is applied. A check that drops is a filter,
//!   and drops events one by one: a row that an update moves out of sight is still taken back.

use crate::evaluate::{self, Evaluated, holds};
use crate::home::{Homes, Speakers};
use crate::pack::Words;
use crate::packet::{Input, Origin, Packet, PacketIds, ViewBatch};
use arrow::array::{ArrayRef, AsArray, RecordBatch as ArrowBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use tiderace_aggregate::Cell;
use tiderace_decode::Decoded;
use tiderace_plan::model::{Otherwise, Source, Stream, View};
use tiderace_types::{
    DataType, DeadLetter, Dropped, Outcome, Partition, PartitionPosition, Positions, Reason,
    RecordBatch, ShardRange, Timestamp, Value, encode_int_key, encode_key_value, hash_key,
};

/// Takes in one source's records, in order.
#[derive(Debug)]
pub struct Intake {
    source: Arc<Source>,
    views: Vec<(usize, Arc<View>)>,
    reached: BTreeMap<Partition, PartitionPosition>,
    /// Positions further on, whose clocks are known.
    known: BTreeMap<Partition, PartitionPosition>,
    /// The shards whose refused records are this intake's to tell of.
    shards: ShardRange,
    /// The stream clock at each record of the last batch, where that is to be told.
    pub(crate) told: Option<Vec<Timestamp>>,
    /// Whether it tells which events were accepted.
    tells: bool,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Taken {
    /// The accepted events for the lanes.
    pub packet: Packet,
    /// The refused records.
    pub dead: Vec<DeadLetter>,
    /// The ledger of this batch.
    pub counts: IntakeCounts,
    /// The accepted events as they were decoded, where the source is archived or they are [asked for](Intake::telling).
    pub accepted: Option<Accepted>,
}

/// Events that passed the contract and came in time, whatever views make of them: also those that none
/// takes, and those on which an expression of a view fails, which is the view's doing.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The events, in the columns that the source uses.
    pub events: ArrowBatch,
    /// The partition of each event's record.
    pub partitions: Vec<u32>,
    /// Its offset.
    pub offsets: Vec<i64>,
    /// Its broker timestamp, in microseconds.
    pub broker_times: Vec<i64>,
    /// Every partition in the batch, with the position after it.
    pub reached: Vec<(u32, PartitionPosition)>,
}

/// A source's ledger: `read = accepted + Σ dropped + Σ rejected`, in records. A record that gives
/// several events counts once: as rejected if one of them is, else as accepted if one of them is,
/// else as dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntakeCounts {
    /// Records read.
    pub read: u64,
    /// Records of which an event was handed to the views.
    pub accepted: u64,
    /// Records sent away though they are in order, by cause.
    pub dropped: BTreeMap<Dropped, u64>,
    /// Events that failed a check but were kept (also in `accepted`).
    pub kept_failing: u64,
    /// Records refused, by reason.
    pub rejected: BTreeMap<Reason, u64>,
    /// Per view (index into the lane's views): events its condition filtered out.
    pub filtered: BTreeMap<usize, u64>,
    /// Per view: events with a null in the entity key.
    pub null_key: BTreeMap<usize, u64>,
    /// Per view: events on which one of its expressions failed.
    pub failed: BTreeMap<usize, u64>,
}

/// What the contract says of one event so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Dropped,
    Rejected,
}

impl Intake {
    /// An intake for `source` and its views (with their places among the lanes' views), from `start`.
    #[must_use]
    pub fn new(source: Arc<Source>, views: Vec<(usize, Arc<View>)>, start: &Positions) -> Intake {
        let own = start.0.iter().filter(|(p, _)| p.source == source.id);
        Intake {
            reached: own.map(|(p, at)| (*p, *at)).collect(),
            known: BTreeMap::new(),
            shards: ShardRange::ALL,
            told: None,
            tells: source.archive.as_ref().is_some_and(|archive| archive.write),
            source,
            views,
        }
    }

    /// Leaves the refusal of records whose home is elsewhere to others, who have them too.
    #[must_use]
    pub fn within(mut self, shards: ShardRange) -> Intake {
        self.shards = shards;
        self
    }

    /// Has it tell which events were accepted, also where these are not archived.
    #[must_use]
    pub fn telling(mut self) -> Intake {
        self.tells = true;
        self
    }

    /// Remembers clocks of positions further on than where it starts. When it has come to one, its clock is
    /// no less: what lies before may not be all there any more, where the log has let go of its
    /// beginning, and what was judged by the whole of it stays judged so.
    pub fn remember<'a>(&mut self, positions: impl IntoIterator<Item = &'a Positions>) {
        for (partition, position) in positions.into_iter().flat_map(|positions| &positions.0) {
            let reached = self.reached.get(partition);
            let further = reached.is_none_or(|reached| reached.next < position.next);
            if partition.source == self.source.id && further {
                let held = self.known.entry(*partition).or_insert(*position);
                if held.next < position.next {
                    *held = *position;
                }
            }
        }
    }

    /// The views it feeds.
    pub fn views(&self) -> impl Iterator<Item = &Arc<View>> {
        self.views.iter().map(|(_, view)| view)
    }

    /// The views' places among the lanes' views, with their names.
    pub fn places(&self) -> impl Iterator<Item = (usize, String)> {
        self.views
            .iter()
            .map(|(place, view)| (*place, view.name.clone()))
    }

    /// Notes where reading begins in partitions that have not been read yet: nothing before is
    /// there to be read. Gives the packet that tells the lanes, if there is anything to tell.
    pub fn begin(&mut self, starts: &[(Partition, i64)]) -> Option<Packet> {
        let mut reached = Vec::new();
        for (partition, next) in starts {
            if !self.reached.contains_key(partition) && *next > 0 {
                let clock = Timestamp::MIN;
                let position = PartitionPosition { next: *next, clock };
                self.reached.insert(*partition, position);
                reached.push((*partition, *next, position));
            }
        }
        (!reached.is_empty()).then(|| Packet {
            source: self.source.id,
            records: RecordBatch::default(),
            record_of: Vec::new(),
            times: Vec::new(),
            ids: PacketIds::Position,
            views: Vec::new(),
            homes: Homes::default(),
            origin: Origin::Stream,
            contiguous: false,
            reached,
        })
    }

    /// Takes in the next batch: `decoded` is what a decoder made of `records`.
    pub fn take(&mut self, records: RecordBatch, decoded: Decoded) -> Taken {
        let mut counts = IntakeCounts {
            read: records.len() as u64,
            ..IntakeCounts::default()
        };
        let mut refused: Vec<(u32, Reason, String)> = decoded
            .rejected
            .into_iter()
            .map(|rejected| (rejected.record, rejected.reason, rejected.detail))
            .collect();
        let (batch, record_of) = (decoded.batch, decoded.rows);
        let times = times(&self.source, &batch);
        let mut verdicts = contract(&self.source, &batch, &record_of, &mut refused, &mut counts);
        let reached = self.clocks(&records, &record_of, &times, &mut verdicts, &mut refused);
        let accepted = events_of(&verdicts, Verdict::Accepted);
        counts.accepted = records_of(&verdicts, &record_of, Verdict::Accepted).len() as u64;
        let checked = records_of(&verdicts, &record_of, Verdict::Dropped).into_iter();
        let checked = checked.map(|record| (record, Dropped::Check));
        let dropped: Vec<(u32, Dropped)> = decoded.dropped.into_iter().chain(checked).collect();
        for (_, cause) in &dropped {
            *counts.dropped.entry(*cause).or_default() += 1;
        }
        for (_, reason, _) in &refused {
            *counts.rejected.entry(*reason).or_default() += 1;
        }
        let told = told(dropped, &refused);
        let by_source = refused.len();
        // Expressions of views see accepted events only, so that a refused one cannot fail them.
        let seen = match accepted.len() == batch.num_rows() {
            true => batch.clone(),
            false => evaluate::only(&batch, &accepted),
        };
        let mut views: Vec<ViewBatch> = self
            .views
            .iter()
            .map(|(place, view)| {
                keyed(
                    *place,
                    view,
                    &seen,
                    &record_of,
                    &accepted,
                    &mut refused,
                    &mut counts,
                )
            })
            .collect();
        let ids = ids(&self.source, &batch);
        for ((_, view), batch) in self.views.iter().zip(&mut views) {
            batch.words = Words::of(&view.spec, batch, &times, &ids);
        }
        let failed = refused[by_source..].iter();
        let failed = failed
            .map(|(record, reason, _)| (*record, *reason))
            .collect();
        let homes = Homes::new(&records, &record_of, told, &failed, &mut views);
        if self.shards != ShardRange::ALL {
            let home = |record: u32| homes.shards[record as usize];
            refused.retain(|(record, ..)| self.shards.contains(home(*record)));
        }
        let dead = dead_letters(&records, refused);
        let accepted = self
            .tells
            .then(|| of_places(&records, &record_of, &accepted, &reached, seen));
        let packet = Packet {
            source: self.source.id,
            records,
            record_of,
            times,
            ids,
            views,
            homes,
            origin: Origin::Stream,
            contiguous: self.source.stream == Stream::Embedded,
            reached,
        };
        Taken {
            packet,
            dead,
            counts,
            accepted,
        }
    }

    /// Judges event times in log order, moving the stream clocks; tells how far each partition has come.
    fn clocks(
        &mut self,
        records: &RecordBatch,
        record_of: &[u32],
        times: &[i64],
        verdicts: &mut [Verdict],
        refused: &mut Vec<(u32, Reason, String)>,
    ) -> Vec<(Partition, i64, PartitionPosition)> {
        let mut first: BTreeMap<Partition, i64> = BTreeMap::new();
        // Records of one partition come in runs: what is known of it is looked up once a run.
        let mut run: Option<(Partition, PartitionPosition)> = None;
        let mut event = 0;
        for (record, meta) in records.metas.iter().enumerate() {
            if run.is_none_or(|(partition, _)| partition != meta.partition) {
                self.reached.extend(run);
                first.entry(meta.partition).or_insert(meta.offset);
                let held = self.reached.get(&meta.partition);
                let held = held.copied().unwrap_or(PartitionPosition::START);
                run = Some((meta.partition, held));
            }
            let Some((_, position)) = &mut run else {
                continue;
            };
            if let Some(clock) = records.clocks.get(record) {
                position.clock = position.clock.max(*clock);
            }
            if !self.known.is_empty()
                && let Some(known) = self.known.get(&meta.partition)
                && known.next <= meta.offset
            {
                position.clock = position.clock.max(known.clock);
                self.known.remove(&meta.partition);
            }
            if let Some(told) = &mut self.told {
                told.push(position.clock);
            }
            position.next = meta.offset + 1;
            let rest = record_of[event..].iter();
            let events = rest.take_while(|of| **of as usize == record).count();
            let events = event..event + events;
            event = events.end;
            let accepted = events
                .clone()
                .filter(|at| verdicts[*at] == Verdict::Accepted);
            let times = accepted.map(|at| Timestamp(times[at]));
            let out = times
                .clone()
                .find_map(|time| out_of_time(&self.source, time, meta.broker_time, position.clock));
            match out {
                Some((reason, detail)) => {
                    verdicts[events].fill(Verdict::Rejected);
                    refused.push((record as u32, reason, detail));
                }
                None => position.clock = times.fold(position.clock, Timestamp::max),
            }
        }
        self.reached.extend(run);
        for (partition, from, passed) in &records.passed {
            first.entry(*partition).or_insert(*from);
            let held = self.reached.entry(*partition);
            let held = held.or_insert(PartitionPosition::START);
            held.next = held.next.max(passed.next);
            held.clock = held.clock.max(passed.clock);
        }
        let reached =
            |(partition, from): (Partition, i64)| (partition, from, self.reached[&partition]);
        first.into_iter().map(reached).collect()
    }
}

/// The accepted events, which are the rows of `seen`, with where their records came from.
fn of_places(
    records: &RecordBatch,
    record_of: &[u32],
    accepted: &[u32],
    reached: &[(Partition, i64, PartitionPosition)],
    seen: ArrowBatch,
) -> Accepted {
    let metas = || {
        let events = accepted.iter();
        events.map(|event| &records.metas[record_of[*event as usize] as usize])
    };
    let reached = reached.iter();
    Accepted {
        events: seen,
        partitions: metas().map(|meta| meta.partition.number).collect(),
        offsets: metas().map(|meta| meta.offset).collect(),
        broker_times: metas().map(|meta| meta.broker_time.0).collect(),
        reached: reached
            .map(|(partition, _, at)| (partition.number, *at))
            .collect(),
    }
}

/// The place of a declared column among the decoded ones.
fn place(source: &Source, column: usize) -> usize {
    let found = source.used.binary_search(&column);
    found.expect("the plan always uses event time and event id")
}

/// The event times of decoded events, in microseconds.
pub(crate) fn times(source: &Source, batch: &ArrowBatch) -> Vec<i64> {
    let column = batch.column(place(source, source.event_time));
    column
        .as_primitive::<TimestampMicrosecondType>()
        .values()
        .to_vec()
}

/// The identities of decoded events.
pub(crate) fn ids(source: &Source, batch: &ArrowBatch) -> PacketIds {
    let Some(event_id) = source.event_id else {
        return PacketIds::Position;
    };
    let column = batch.column(place(source, event_id));
    match source.columns[event_id].data_type {
        DataType::Int64 => PacketIds::Int(column.as_primitive::<Int64Type>().values().clone()),
        ref other => {
            let input = evaluate::input(column);
            let id = |event| {
                let mut bytes = Vec::new();
                push_key(&input.cell(event).to_value(other), &mut bytes);
                bytes.into_boxed_slice()
            };
            PacketIds::Bytes((0..batch.num_rows()).map(id).collect())
        }
    }
}

/// Applies the source's checks.
pub(crate) fn contract(
    source: &Source,
    batch: &ArrowBatch,
    record_of: &[u32],
    refused: &mut Vec<(u32, Reason, String)>,
    counts: &mut IntakeCounts,
) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict::Accepted; batch.num_rows()];
    for expect in &source.expects {
        let Evaluated { array, failed } = evaluate::evaluate(&expect.check, batch);
        let mut failed = failed.into_iter().peekable();
        for event in 0..batch.num_rows() {
            let error = failed.next_if(|(at, _)| *at as usize == event);
            if verdicts[event] != Verdict::Accepted || holds(&array, event) {
                continue;
            }
            match expect.otherwise {
                Otherwise::Keep => counts.kept_failing += 1,
                Otherwise::Drop => verdicts[event] = Verdict::Dropped,
                Otherwise::Reject => {
                    verdicts[together(record_of, event)].fill(Verdict::Rejected);
                    let detail = match error {
                        Some((_, error)) => format!("check `{}` failed: {error}", expect.text),
                        None => format!("check `{}` is not true", expect.text),
                    };
                    refused.push((record_of[event], Reason::Rejected, detail));
                }
            }
        }
    }
    verdicts
}

/// What became of the records that were not accepted.
fn told(dropped: Vec<(u32, Dropped)>, refused: &[(u32, Reason, String)]) -> Vec<(u32, Outcome)> {
    let refused = refused.iter();
    let refused = refused.map(|(record, reason, _)| (*record, Outcome::Refused(*reason)));
    let dropped = dropped.into_iter();
    let dropped = dropped.map(|(record, cause)| (record, Outcome::Dropped(cause)));
    refused.chain(dropped).collect()
}

/// Whether an event is too early or too late, and the particulars.
fn out_of_time(
    source: &Source,
    time: Timestamp,
    broker_time: Timestamp,
    clock: Timestamp,
) -> Option<(Reason, String)> {
    if let Some(ahead) = source.max_ahead
        && time > broker_time.plus(ahead)
    {
        let by = time.since(broker_time);
        let detail = format!(
            "event time {time} is {by} after the record's own {broker_time}; max_ahead is {ahead}"
        );
        return Some((Reason::TooEarly, detail));
    }
    let lateness = source.allowed_lateness;
    if clock != Timestamp::MIN && time < clock.minus(lateness) {
        let by = clock.since(time);
        let detail = format!(
            "event time {time} is {by} behind the stream clock {clock}; allowed_lateness is {lateness}"
        );
        return Some((Reason::TooLate, detail));
    }
    None
}

pub(crate) fn events_of(verdicts: &[Verdict], wanted: Verdict) -> Vec<u32> {
    let events = verdicts.iter().enumerate();
    events
        .filter(|(_, verdict)| **verdict == wanted)
        .map(|(event, _)| event as u32)
        .collect()
}

/// The records of which an event came to `wanted`, and none to more than that: of a record that was
/// accepted in part no event counts as dropped.
fn records_of(verdicts: &[Verdict], record_of: &[u32], wanted: Verdict) -> Vec<u32> {
    let mut records: Vec<u32> = Vec::new();
    for (event, verdict) in verdicts.iter().enumerate() {
        let record = record_of[event];
        if *verdict != wanted || records.last() == Some(&record) {
            continue;
        }
        let beside = &verdicts[together(record_of, event)];
        if wanted == Verdict::Accepted || !beside.contains(&Verdict::Accepted) {
            records.push(record);
        }
    }
    records
}

/// The events of the record that `event` is of.
fn together(record_of: &[u32], event: usize) -> Range<usize> {
    let record = record_of[event];
    let before = record_of[..event].iter().rev();
    let before = before.take_while(|of| **of == record).count();
    let after = record_of[event..].iter();
    let after = after.take_while(|of| **of == record).count();
    event - before..event + after
}

/// What one view makes of the accepted events, which are the rows of `seen`.
pub(crate) fn keyed(
    place: usize,
    view: &View,
    seen: &ArrowBatch,
    record_of: &[u32],
    accepted: &[u32],
    refused: &mut Vec<(u32, Reason, String)>,
    counts: &mut IntakeCounts,
) -> ViewBatch {
    let mut bad: BTreeMap<u32, (Reason, String)> = BTreeMap::new();
    let condition = view.condition.as_ref().map(|condition| {
        let Evaluated { array, failed } = evaluate::evaluate(condition, seen);
        let failed = failed.into_iter();
        bad.extend(failed.map(|(event, error)| (event, (Reason::ExpressionFailed, error))));
        array
    });
    let belongs = |member: usize| condition.as_ref().is_none_or(|array| holds(array, member));
    // An event that does not belong cannot fail what is asked of those that do.
    let mut refuse = |event: u32, reason, detail| {
        if belongs(event as usize) {
            bad.entry(event).or_insert((reason, detail));
        }
    };
    let mut run = |compiled, finite: bool| -> ArrayRef {
        let Evaluated { array, failed } = evaluate::evaluate(compiled, seen);
        for (event, error) in failed {
            refuse(event, Reason::ExpressionFailed, error);
        }
        if finite {
            for event in evaluate::not_finite(&array) {
                let detail = "an input is NaN or infinite".to_owned();
                refuse(event, Reason::NotFinite, detail);
            }
        }
        array
    };
    let filters: Vec<_> = view
        .filters
        .iter()
        .map(|filter| run(filter, false))
        .collect();
    let arrays: Vec<_> = view.inputs.iter().map(|input| run(input, true)).collect();
    let keys: Vec<_> = view
        .keys
        .iter()
        .zip(&view.entity.keys)
        .map(|(key, (_, data_type))| (evaluate::input(seen.column(*key)), data_type))
        .collect();
    let mut out = ViewBatch {
        view: place,
        events: Vec::with_capacity(accepted.len()),
        keys: Vec::with_capacity(accepted.len() * 9 * keys.len()),
        key_ends: Vec::with_capacity(accepted.len()),
        hashes: Vec::with_capacity(accepted.len()),
        bits: Vec::with_capacity(accepted.len()),
        inputs: arrays.iter().map(evaluate::input).collect(),
        members: Vec::with_capacity(accepted.len()),
        speakers: Speakers::default(),
        words: Words::default(),
    };
    // Most views take every event, by one integer that is there.
    if let ([(Input::Int(numbers, None), DataType::Int64)], true, None) =
        (&*keys, bad.is_empty(), &condition)
    {
        for number in numbers.iter() {
            let key = encode_int_key(*number);
            out.keys.extend_from_slice(&key);
            out.key_ends.push(out.keys.len() as u32);
            out.hashes.push(hash_key(&key));
        }
        out.events.extend_from_slice(accepted);
        out.members.extend(0..accepted.len() as u32);
        out.bits.resize(accepted.len(), 0);
        set_bits(&mut out, &filters);
        return out;
    }
    // What comes of a record that one of its events fails is not applied by halves.
    let mut spoiled: BTreeMap<u32, Option<(Reason, String)>> = BTreeMap::new();
    for (member, why) in bad {
        let record = record_of[accepted[member as usize] as usize];
        spoiled.entry(record).or_insert(Some(why));
    }
    for (member, event) in accepted.iter().enumerate() {
        let record = record_of[*event as usize];
        if let Some(why) = spoiled.get_mut(&record) {
            *counts.failed.entry(place).or_default() += 1;
            if let Some((reason, detail)) = why.take() {
                let detail = format!("view `{}`: {detail}", view.name);
                refused.push((record, reason, detail));
            }
            continue;
        }
        if !belongs(member) {
            *counts.filtered.entry(place).or_default() += 1;
            continue;
        }
        let start = out.keys.len();
        let mut null = false;
        for (key, data_type) in &keys {
            match (key.cell(member), data_type) {
                (Cell::Int(number), DataType::Int64) => out.keys.extend(encode_int_key(number)),
                (Cell::Null, _) => null = true,
                (cell, data_type) => push_key(&cell.to_value(data_type), &mut out.keys),
            }
        }
        if null {
            out.keys.truncate(start);
            *counts.null_key.entry(place).or_default() += 1;
            continue;
        }
        out.hashes.push(hash_key(&out.keys[start..]));
        out.key_ends.push(out.keys.len() as u32);
        out.events.push(*event);
        out.members.push(member as u32);
        out.bits.push(0);
    }
    set_bits(&mut out, &filters);
    out
}

/// Notes which filters each event passes.
fn set_bits(out: &mut ViewBatch, filters: &[ArrayRef]) {
    for (bit, filter) in filters.iter().enumerate() {
        for (bits, member) in out.bits.iter_mut().zip(&out.members) {
            *bits |= u64::from(holds(filter, *member as usize)) << bit;
        }
    }
}

fn push_key(value: &Value, out: &mut Vec<u8>) {
    encode_key_value(value, out).expect("the plan allows scalars only as keys and ids");
}

fn dead_letters(records: &RecordBatch, refused: Vec<(u32, Reason, String)>) -> Vec<DeadLetter> {
    let letter = |(record, reason, detail): (u32, Reason, String)| DeadLetter {
        reason,
        detail,
        meta: records.metas[record as usize],
        payload: records.payload(record as usize).to_vec(),
    };
    refused.into_iter().map(letter).collect()
}

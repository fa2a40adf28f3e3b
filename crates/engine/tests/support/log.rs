//! Made-up logs: disorder, copies, conflicts, late, early and broken records.

use super::definitions::{AHEAD, LATENESS, World};
use super::oracle::{Verdict, verdict};
use super::random::Random;
use std::collections::BTreeMap;
use tiderace_types::{Partition, Timestamp};

/// What a record says, when it can be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub id: i64,
    pub at: i64,
    pub who: Option<i64>,
    pub place: Option<&'static str>,
    pub cents: Option<i64>,
    pub score: Option<i64>,
}

/// A record as it lies in its partition.
#[derive(Clone, Debug)]
pub struct Logged {
    pub broker_time: i64,
    /// `None` when nothing can be read from it.
    pub made: Option<Made>,
    pub payload: String,
}

/// Every partition of every source.
#[derive(Clone, Debug)]
pub struct Log {
    pub partitions: BTreeMap<Partition, Vec<Logged>>,
}

const START: i64 = 1_522_540_800_000_000;
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
/// No event is older than this when it arrives: younger than what any row lets go (2 h + 3 h).
const OLDEST: i64 = 4 * HOUR + 30 * MINUTE;
/// The score of orders that take others back.
pub const RETRACTS: i64 = 1;
const PLACES: [&str; 4] = ["p1", "p2", "", "Zürich"];
const JUNK: [&str; 6] = [
    "{",
    "",
    "[1, 2]",
    r#"{"id": 1, "at": "yesterday", "who": 1}"#,
    r#"{"id": 5, "who": 1, "amount": 3.5}"#,
    r#"{"id": 5, "at": 1522540800000000, "who": "one", "amount": 1.0, "score": 1, "place": "p1"}"#,
];

impl Logged {
    /// A readable record.
    pub fn new(broker_time: i64, made: Made) -> Logged {
        let (made, payload) = written(made);
        Logged {
            broker_time,
            made,
            payload,
        }
    }
}

impl Log {
    pub fn new(world: &World, random: &mut Random) -> Log {
        Log::made(world, random, true)
    }

    /// Without other content under one identity: which copy stands is for whoever comes first.
    pub fn without_conflicts(world: &World, random: &mut Random) -> Log {
        Log::made(world, random, false)
    }

    fn made_of(&self, partition: Partition, offset: i64) -> Option<&Made> {
        self.partitions[&partition][offset as usize].made.as_ref()
    }

    /// How far accepted event times had come before `offset` of a partition.
    pub fn clock(&self, partition: Partition, offset: i64) -> Timestamp {
        let accepted = self.accepted(partition).into_iter();
        let before = accepted.take_while(|at| *at < offset);
        let times = before.filter_map(|at| Some(self.made_of(partition, at)?.at));
        times.max().map_or(Timestamp::MIN, Timestamp)
    }

    /// The offsets of a partition's accepted records.
    pub fn accepted(&self, partition: Partition) -> Vec<i64> {
        let mut clock = Timestamp::MIN;
        let mut accepted = Vec::new();
        for (offset, logged) in self.partitions[&partition].iter().enumerate() {
            if let Some(made) = &logged.made
                && verdict(made, Timestamp(logged.broker_time), clock) == Verdict::Accepted
            {
                clock = clock.max(Timestamp(made.at));
                accepted.push(offset as i64);
            }
        }
        accepted
    }

    fn made(world: &World, random: &mut Random, conflicts: bool) -> Log {
        let mut partitions = BTreeMap::new();
        for source in ["payments", "clicks", "orders"] {
            let source = world.source(source).id;
            for number in 0..=random.below(3) as u32 {
                partitions.insert(Partition { source, number }, Vec::new());
            }
        }
        let mut log = Log { partitions };
        let mut now = START;
        for id in 0..random.within(10, 120) {
            now += match random.below(20) {
                0 => random.within(0, 9 * HOUR),
                1..5 => 0,
                _ => random.within(0, 12 * MINUTE),
            };
            log.add(now, id, random, conflicts);
        }
        log
    }

    fn add(&mut self, now: i64, id: i64, random: &mut Random, conflicts: bool) {
        let partitions: Vec<Partition> = self.partitions.keys().copied().collect();
        let partition = *random.pick(&partitions);
        let (made, payload) = match random.below(100) {
            0..4 => (None, (*random.pick(&JUNK)).to_owned()),
            4..14 => match self.copy(partition, now, random) {
                Some(made) => written(made),
                None => written(self.fresh(partition, now, id, random)),
            },
            14..19 if conflicts => match self.conflict(partition, now, random) {
                Some(made) => written(made),
                None => written(self.fresh(partition, now, id, random)),
            },
            19..35 => match self.counterpart(partition, now, id, random) {
                Some(made) => written(made),
                None => written(self.fresh(partition, now, id, random)),
            },
            _ => written(self.fresh(partition, now, id, random)),
        };
        let log = self.partitions.get_mut(&partition).expect("it was picked");
        log.push(Logged {
            broker_time: now,
            made,
            payload,
        });
    }

    fn fresh(&self, partition: Partition, now: i64, id: i64, random: &mut Random) -> Made {
        let clock = self.partitions[&partition]
            .iter()
            .filter_map(|logged| Some(logged.made.as_ref()?.at))
            .max()
            .unwrap_or(now);
        let at = match random.below(40) {
            0..3 => clock - LATENESS.0 + random.within(-2, 2),
            3 => now + AHEAD.0 + random.within(-1, 1),
            4 => now + random.within(0, 40 * MINUTE),
            5..8 => now - random.within(0, OLDEST),
            8..14 => clock,
            14..18 => now - random.within(0, 90 * MINUTE),
            _ => (now - random.within(0, 5 * MINUTE)) / 1_000_000 * 1_000_000,
        };
        let some = |random: &mut Random| !random.percent(6);
        Made {
            id,
            at: at.max(now - OLDEST),
            who: some(random).then(|| random.within(1, 4)),
            place: some(random).then(|| *random.pick(&PLACES)),
            cents: some(random).then(|| match random.below(30) {
                0 => -5,
                _ => random.within(0, 20_000),
            }),
            score: some(random).then(|| match random.below(20) {
                0 => -1,
                1 | 2 => 0,
                _ => random.within(1, 500),
            }),
        }
    }

    /// A copy of an event of the same source that is not in conflict with another.
    fn copy(&self, partition: Partition, now: i64, random: &mut Random) -> Option<Made> {
        let source = partition.source;
        let all: Vec<&Made> = self.made_in(source).collect();
        let made = all.get(random.index(all.len()))?;
        let alone = all.iter().all(|other| other.id != made.id || other == made);
        (alone && made.at >= now - OLDEST).then(|| (*made).clone())
    }

    /// Other content under the identity of an event that lies in this partition alone, so that
    /// the first is the same one whatever is read when.
    fn conflict(&self, partition: Partition, now: i64, random: &mut Random) -> Option<Made> {
        let own: Vec<&Made> = self.partitions[&partition]
            .iter()
            .filter_map(|logged| logged.made.as_ref())
            .collect();
        let made = *own.get(random.index(own.len()))?;
        let here = own.iter().filter(|other| other.id == made.id).count();
        let everywhere = self
            .made_in(partition.source)
            .filter(|other| other.id == made.id)
            .count();
        let mut other = made.clone();
        other.cents = Some(other.cents.unwrap_or(0).abs() + 1);
        (here == everywhere && made.at >= now - OLDEST).then_some(other)
    }

    /// What takes back an event of the same source, or what one takes back.
    fn counterpart(
        &self,
        partition: Partition,
        now: i64,
        id: i64,
        random: &mut Random,
    ) -> Option<Made> {
        let all: Vec<&Made> = self.made_in(partition.source).collect();
        let made = all.get(random.index(all.len()))?;
        let score = match made.score {
            Some(RETRACTS) => Some(2),
            _ => Some(RETRACTS),
        };
        let other = Made {
            id,
            score,
            ..(*made).clone()
        };
        (made.at >= now - OLDEST).then_some(other)
    }

    fn made_in(&self, source: tiderace_types::SourceId) -> impl Iterator<Item = &Made> {
        self.partitions
            .iter()
            .filter(move |(partition, _)| partition.source == source)
            .flat_map(|(_, log)| log.iter().filter_map(|logged| logged.made.as_ref()))
    }

    /// The next offset that will be written to `partition`, seen at `wall`.
    pub fn end(&self, partition: Partition, wall: Timestamp) -> i64 {
        let log = &self.partitions[&partition];
        log.partition_point(|logged| logged.broker_time <= wall.0) as i64
    }

    /// When the first and the last record arrived.
    pub fn span(&self) -> (Timestamp, Timestamp) {
        let times = || self.partitions.values().flatten().map(|l| l.broker_time);
        let (first, last) = (times().min(), times().max());
        (
            Timestamp(first.unwrap_or(START)),
            Timestamp(last.unwrap_or(START)),
        )
    }
}

fn written(made: Made) -> (Option<Made>, String) {
    let or_null = |number: Option<i64>| number.map_or("null".to_owned(), |n| n.to_string());
    let place = made.place.map_or("null".to_owned(), |p| format!("{p:?}"));
    let amount = made.cents.map_or("null".to_owned(), |cents| {
        format!("{:?}", cents as f64 / 100.0)
    });
    let payload = format!(
        r#"{{"id": {}, "at": {}, "who": {}, "place": {place}, "amount": {amount}, "score": {}}}"#,
        made.id,
        made.at,
        or_null(made.who),
        or_null(made.score),
    );
    (Some(made), payload)
}

//! What should come of a log, worked out record by record: who is accepted, and in which rows.

use super::definitions::{AHEAD, LATENESS, World};
use super::log::{Log, Made, RETRACTS};
use std::collections::BTreeMap;
use tiderace_plan::model::View;
use tiderace_testkit::naive;
use tiderace_types::{
    KeyBytes, Partition, Positions, Reason, Timestamp, Value, encode_key, encode_key_value,
};

/// The filters that a record passes.
fn bits(view: &View, made: &Made) -> u64 {
    let passes = |filter: &str| match filter {
        filter if filter.starts_with("place") => made.place == Some("p1"),
        filter if filter.starts_with("score") => made.score.is_some_and(|score| score > 2),
        other => panic!("no filter {other}"),
    };
    let features = view.spec.sign.unwrap_or(view.filters.len());
    let filters = view.filters[..features].iter().enumerate();
    filters
        .filter(|(_, filter)| passes(filter.canonical()))
        .fold(0, |bits, (bit, _)| bits | 1 << bit)
}

/// An event of a row, with every place where a copy of it lies.
#[derive(Clone, Debug)]
pub struct Member {
    pub event: naive::Event,
    pub places: Vec<(Partition, i64)>,
}

impl Member {
    /// Tells whether one who has come to `positions` has been offered it.
    pub fn reached(&self, positions: &Positions) -> bool {
        let offered =
            |(partition, offset): &(Partition, i64)| *offset < positions.get(*partition).next;
        self.places.iter().any(offered)
    }
}

/// The rows of a view by entity, with their members by (time, identity).
pub type Rows = BTreeMap<KeyBytes, BTreeMap<(i64, KeyBytes), Member>>;

/// What should be in each row, and what should have become of every record.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub views: Vec<Rows>,
    /// Refused records by reason.
    pub rejected: BTreeMap<Reason, u64>,
    pub dropped: u64,
    pub accepted: u64,
    /// Per view: new members, copies, conflicts, failed expressions.
    pub ledger: Vec<[u64; 4]>,
    /// The largest accepted time of each partition.
    pub clocks: BTreeMap<Partition, Timestamp>,
}

impl Oracle {
    pub fn new(world: &World, log: &Log) -> Oracle {
        let mut oracle = Oracle {
            views: vec![BTreeMap::new(); world.views.len()],
            ledger: vec![[0; 4]; world.views.len()],
            ..Oracle::default()
        };
        for (partition, records) in &log.partitions {
            let mut clock = Timestamp::MIN;
            for (offset, logged) in records.iter().enumerate() {
                let Some(made) = &logged.made else {
                    continue;
                };
                match verdict(made, Timestamp(logged.broker_time), clock) {
                    Verdict::Accepted => {
                        clock = clock.max(Timestamp(made.at));
                        oracle.accepted += 1;
                        oracle.file(world, *partition, offset as i64, made);
                    }
                    Verdict::Dropped => oracle.dropped += 1,
                    Verdict::Refused(reason) => {
                        *oracle.rejected.entry(reason).or_default() += 1;
                    }
                }
            }
            oracle.clocks.insert(*partition, clock);
        }
        oracle
    }

    fn file(&mut self, world: &World, partition: Partition, offset: i64, made: &Made) {
        for (index, lane_view) in world.views.iter().enumerate() {
            let view = &lane_view.view;
            if view.source.id != partition.source {
                continue;
            }
            let wanted = match view.name.as_str() {
                "risk" => made.score.is_some_and(|score| score > 0),
                _ => true,
            };
            if !wanted {
                continue;
            }
            if view.name == "spend" && made.score == Some(0) {
                self.ledger[index][3] += 1;
                continue;
            }
            let key = match view.entity.name.as_str() {
                "customer" => made.who.map(Value::Int),
                _ => made.place.map(Value::string),
            };
            let Some(key) = key else {
                continue;
            };
            let inputs: Vec<Value> = view
                .inputs
                .iter()
                .map(|input| value(input.canonical(), made))
                .collect();
            let mut id = Vec::new();
            if view.source.event_id.is_some() {
                encode_key_value(&Value::Int(made.id), &mut id).expect("an integer is a key");
            } else {
                // Ties break by inputs; what is equal in these too is told apart by its place.
                let place = [Value::Int(partition.number.into()), Value::Int(offset)];
                for value in inputs.iter().chain(&place) {
                    encode_key_value(value, &mut id).expect("scalars are keys");
                }
            }
            let retracts = view.spec.sign.is_some() && made.score == Some(RETRACTS);
            if view.spec.sign.is_some() {
                id.push(retracts.into());
            }
            let event = naive::Event {
                time: Timestamp(made.at),
                id: Value::Bytes(id.as_slice().into()),
                inputs,
                bits: bits(view, made),
                retracts,
            };
            let entity = encode_key(&[key]).expect("scalars are keys");
            let row = self.views[index].entry(entity).or_default();
            let place = (partition, offset);
            match row.get_mut(&(made.at, id.clone().into_boxed_slice())) {
                None => {
                    self.ledger[index][0] += 1;
                    let places = vec![place];
                    row.insert((made.at, id.into()), Member { event, places });
                }
                Some(member) => {
                    // Filter bits are content only where the view has filters.
                    let filters = view.spec.filters > 0;
                    let same = member.event.inputs == event.inputs
                        && (!filters || member.event.bits == event.bits);
                    self.ledger[index][if same { 1 } else { 2 }] += 1;
                    if same {
                        member.places.push(place);
                    }
                }
            }
        }
    }

    pub fn members(&self, view: usize, entity: &[u8]) -> impl Iterator<Item = &Member> {
        let row = self.views[view].get(entity);
        row.into_iter().flat_map(BTreeMap::values)
    }
}

/// What a source's contract and clocks say of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Dropped,
    Refused(Reason),
}

pub fn verdict(made: &Made, broker_time: Timestamp, clock: Timestamp) -> Verdict {
    if made.cents.is_some_and(|cents| cents < 0) {
        return Verdict::Refused(Reason::Rejected);
    }
    if made.score.is_some_and(|score| score < 0) {
        return Verdict::Dropped;
    }
    let at = Timestamp(made.at);
    if at > broker_time.plus(AHEAD) {
        return Verdict::Refused(Reason::TooEarly);
    }
    if clock != Timestamp::MIN && at < clock.minus(LATENESS) {
        return Verdict::Refused(Reason::TooLate);
    }
    Verdict::Accepted
}

/// The value of an input, told by its text.
fn value(text: &str, made: &Made) -> Value {
    let int = |number: Option<i64>| number.map_or(Value::Null, Value::Int);
    if text.contains("1000") {
        return int(made.score.map(|score| 1000 / score));
    }
    if text.contains("score") {
        return int(made.score);
    }
    if text.contains("place") {
        return made.place.map_or(Value::Null, Value::string);
    }
    assert!(text.contains("amount"), "no such input: {text}");
    made.cents
        .map_or(Value::Null, |cents| Value::Float(cents as f64 / 100.0))
}

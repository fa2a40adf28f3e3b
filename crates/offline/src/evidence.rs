//! What there is to know of some entities: their events as a table has them, to be recounted.

use crate::entities::{Entities, NOBODY};
use crate::error::{Error, Kind};
use crate::history::fields_of;
use crate::table::Table;
use arrow::array::RecordBatch as ArrowBatch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tiderace_aggregate::{Cell, Id, RowSpec};
use tiderace_engine::{Past, PastEvents};
use tiderace_naive as naive;
use tiderace_plan::model::View;
use tiderace_types::{Timestamp, Value, encode_key_value, hash_key, hash_word};
use tokio::runtime::Handle;

/// An event, and where it was read.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The event as a view sees it.
    pub event: naive::Event,
    /// Partition and offset in the stream, where the table says so; else a file and a row of the table.
    pub place: (u32, i64),
}

/// Which entities are asked about.
#[derive(Clone, Debug)]
pub enum Whose {
    /// Those with these encoded keys.
    Of(BTreeSet<Vec<u8>>),
    /// So many of them, picked by chance; the seed picks the same again.
    Some {
        /// How many.
        count: usize,
        /// Which.
        seed: u64,
    },
}

/// The events of a view's entities, by encoded key. An event that came several times is there several times.
pub type Evidence = BTreeMap<Vec<u8>, Vec<Witness>>;

/// Gathers the events of entities of `view` from the table of its source, those up to `upto`.
///
/// # Errors
/// When the table does not read.
pub fn gather(
    view: &Arc<View>,
    table: &Table,
    whose: &Whose,
    upto: Timestamp,
    runtime: &Handle,
    threads: usize,
) -> Result<Evidence, Error> {
    let keys = match whose {
        Whose::Of(keys) => keys.clone(),
        Whose::Some { count, seed } => {
            let found = each(view, table, runtime, threads, |events| {
                Sampled::of(events, *count, *seed)
            })?;
            let mut all = Sampled::default();
            for (_, found) in found {
                all.add(found, *count);
            }
            all.keys()
        }
    };
    let wanted = Wanted::new(view, &keys, upto);
    let found = each(view, table, runtime, threads, |events| wanted.among(events))?;
    Ok(evidence(
        keys,
        found.into_iter().flat_map(|(_, found)| found),
    ))
}

/// What takes a source's events, in the columns that it uses, each with where it was read.
pub type Taker<'a> = dyn FnMut(&ArrowBatch, Vec<(u32, i64)>) + 'a;

/// As [`gather`], from wherever `read` reads all events of the source, in their order: it is called twice where
/// entities are picked by chance.
///
/// # Errors
/// Those of `read`.
pub fn gather_read<E>(
    view: &Arc<View>,
    whose: &Whose,
    upto: Timestamp,
    mut read: impl FnMut(&mut Taker<'_>) -> Result<(), E>,
) -> Result<Evidence, E> {
    let past = Past::new(Arc::clone(view));
    let keys = match whose {
        Whose::Of(keys) => keys.clone(),
        Whose::Some { count, seed } => {
            let mut all = Sampled::default();
            read(&mut |batch, places| {
                let taken = past.take(batch, places.clone());
                all.add(Sampled::of((&taken.events, &places), *count, *seed), *count);
            })?;
            all.keys()
        }
    };
    let wanted = Wanted::new(view, &keys, upto);
    let mut found = Vec::new();
    read(&mut |batch, places| {
        let taken = past.take(batch, places.clone());
        found.extend(wanted.among((&taken.events, &places)));
    })?;
    Ok(evidence(keys, found))
}

/// Entities by what was found of them.
fn evidence(
    keys: BTreeSet<Vec<u8>>,
    found: impl IntoIterator<Item = (Vec<u8>, Witness)>,
) -> Evidence {
    let mut evidence: Evidence = keys.into_iter().map(|key| (key, Vec::new())).collect();
    for (key, witness) in found {
        evidence.entry(key).or_default().push(witness);
    }
    evidence
}

/// Entities whose events up to an instant are looked for.
struct Wanted<'a> {
    spec: &'a RowSpec,
    entities: Entities,
    upto: Timestamp,
}

impl<'a> Wanted<'a> {
    fn new(view: &'a View, keys: &BTreeSet<Vec<u8>>, upto: Timestamp) -> Wanted<'a> {
        let mut entities = Entities::default();
        for key in keys {
            entities.find_or_add(key, hash_key(key));
        }
        let spec = &view.spec;
        Wanted {
            spec,
            entities,
            upto,
        }
    }

    /// Their events among some, with their keys.
    fn among(&self, (events, places): (&PastEvents, &[(u32, i64)])) -> Vec<(Vec<u8>, Witness)> {
        let mut out = Vec::new();
        for index in 0..events.len() {
            let (key, hash) = (events.key(index), events.hashes()[index]);
            if events.time(index) <= self.upto && self.entities.find(key, hash) != NOBODY {
                let place = places[events.row(index)];
                out.push((key.to_vec(), witness(self.spec, events, index, place)));
            }
        }
        out
    }
}

/// A batch: its unit, and which of the unit's it is.
type Place = (usize, usize);

/// What `work` makes of every batch of a view's events, in the order of the table.
fn each<T: Send>(
    view: &Arc<View>,
    table: &Table,
    runtime: &Handle,
    threads: usize,
    work: impl Fn((&PastEvents, &[(u32, i64)])) -> T + Sync,
) -> Result<Vec<(Place, T)>, Error> {
    let fields = fields_of(&view.source);
    fields.check(table)?;
    let (units, past) = (table.units(), Past::new(Arc::clone(view)));
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let read = || -> Result<(), Error> {
        loop {
            let unit = next.fetch_add(1, Ordering::Relaxed);
            let Some(of) = units.get(unit) else {
                return Ok(());
            };
            let mut reading = fields.read(table, *of)?;
            let mut batch = 0;
            while let Some(rows) = runtime.block_on(reading.next())? {
                let taken = past.take(&rows.batch, rows.places.clone());
                let made = work((&taken.events, &rows.places));
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.push(((unit, batch), made));
                batch += 1;
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(read)).collect();
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                Kind::Data,
                "a thread that reads tables panicked",
            )),
        });
        joined.collect::<Result<Vec<()>, Error>>()
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(place, _)| *place);
    Ok(found)
}

/// Keys picked by chance: those with the least numbers.
#[derive(Default)]
struct Sampled(BTreeSet<(u64, Vec<u8>)>);

impl Sampled {
    fn of((events, _): (&PastEvents, &[(u32, i64)]), count: usize, seed: u64) -> Sampled {
        let mut sampled = Sampled::default();
        for (index, hash) in events.hashes().iter().enumerate() {
            let number = hash_word(hash ^ hash_word(seed));
            let last = sampled.0.last().map(|(number, _)| *number);
            if sampled.0.len() < count || last.is_some_and(|last| number < last) {
                sampled.0.insert((number, events.key(index).to_vec()));
                sampled.cut(count);
            }
        }
        sampled
    }

    fn add(&mut self, more: Sampled, count: usize) {
        self.0.extend(more.0);
        self.cut(count);
    }

    fn keys(self) -> BTreeSet<Vec<u8>> {
        self.0.into_iter().map(|(_, key)| key).collect()
    }

    fn cut(&mut self, count: usize) {
        while self.0.len() > count {
            self.0.pop_last();
        }
    }
}

fn witness(spec: &RowSpec, events: &PastEvents, index: usize, place: (u32, i64)) -> Witness {
    let mut cells = Vec::new();
    events.push_cells(index, &mut cells);
    let event = events.event(index, &cells);
    let values = cells.iter().zip(&spec.inputs);
    let inputs: Vec<Value> = values
        .map(|(cell, data_type): (&Cell<'_>, _)| cell.to_value(data_type))
        .collect();
    let sign = spec.sign.map_or(0, |bit| 1 << bit);
    let id = match event.id {
        Id::Int(id) => Value::Int(id),
        Id::Bytes(id) => Value::Bytes(id.into()),
        // Events without an id are in order of their inputs; where they were read decides no value.
        Id::Position { partition, offset } => {
            let mut bytes = Vec::new();
            for input in &inputs {
                let encoded = encode_key_value(input, &mut bytes);
                encoded.expect("inputs are neither lists nor maps");
            }
            bytes.extend(partition.to_be_bytes());
            bytes.extend(offset.to_be_bytes());
            Value::Bytes(bytes.into())
        }
    };
    Witness {
        event: naive::Event {
            time: event.time,
            id,
            bits: event.bits & !sign,
            retracts: event.bits & sign != 0,
            inputs,
        },
        place,
    }
}

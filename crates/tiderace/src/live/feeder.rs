//! One lane's hand to the topics of feature values: finishes rows, writes records until they are kept.
//!
//! Values are finished here and not on the lane's thread. A cluster or a registry that is away is tried
//! for as long as it takes; meanwhile the lane has one batch on its way and names of what else it owes.

use super::ledger::Ledger;
use crate::feed::{Form, Record};
use crossbeam_channel::{Receiver, Sender};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_engine::{Fed, FeedRow};
use tiderace_source::{
    Error, KafkaConfig, KafkaValues, Registry, ValueRecord, count_partitions, ensure_topic,
};
use tiderace_types::{RowKey, ShardRange, Timestamp, ViewId, ViewMarker};

/// What a lane asks.
pub enum Order {
    /// Tell rows as of an instant.
    Tell(Batch, Timestamp),
    /// Find when rows change by themselves after an instant, each its own.
    Look(Batch, Vec<Timestamp>),
}

/// Rows, with what their lane says of their views.
pub struct Batch {
    pub rows: Vec<FeedRow>,
    pub said: BTreeMap<ViewId, ViewMarker>,
}

/// What came of it.
pub enum Reply {
    /// The records are kept.
    Told(Vec<(RowKey, Fed)>),
    /// When rows change next.
    Looked(Vec<(RowKey, Option<Timestamp>)>),
    /// The loop is stopping and the topics are away: what is owed waits in state.
    GaveUp,
}

/// The first and the longest pause between tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How long a stopping loop still tries.
const PARTING: Duration = Duration::from_secs(3);

/// How long records may be on their way before that is said.
const SLOW: Duration = Duration::from_secs(5);

/// How far ahead an event may be to be told when time comes to it, where its source sets no bound.
const AHEAD: tiderace_types::Duration = tiderace_types::Duration::from_secs(600);

/// What may be said of a topic.
struct Channel {
    form: Form,
    /// The number of its schema, once topic and schema are there.
    ready: Option<u32>,
}

pub struct Feeder {
    channels: BTreeMap<ViewId, Channel>,
    config: KafkaConfig,
    registry: Option<Registry>,
    values: KafkaValues,
    shards: ShardRange,
    orders: Receiver<Order>,
    replies: Sender<Reply>,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    parting: Option<Instant>,
}

impl Feeder {
    pub fn new(
        forms: Vec<Form>,
        config: KafkaConfig,
        registry: Option<Registry>,
        shards: ShardRange,
        (orders, replies): (Receiver<Order>, Sender<Reply>),
        ledger: Arc<Ledger>,
        stop: Arc<AtomicBool>,
    ) -> Feeder {
        let channel = |form: Form| (form.view().id, Channel { form, ready: None });
        Feeder {
            channels: forms.into_iter().map(channel).collect(),
            values: KafkaValues::new(config.clone()),
            config,
            registry,
            shards,
            orders,
            replies,
            ledger,
            stop,
            parting: None,
        }
    }

    /// Serves its lane until the lane hangs up.
    pub fn run(mut self) {
        while let Ok(order) = self.orders.recv() {
            let reply = match order {
                Order::Tell(batch, as_of) => self.tell(&batch, as_of),
                Order::Look(batch, since) => Reply::Looked(self.look(batch, &since)),
            };
            if self.replies.send(reply).is_err() {
                return;
            }
        }
    }

    fn look(&self, batch: Batch, since: &[Timestamp]) -> Vec<(RowKey, Option<Timestamp>)> {
        let rows = batch.rows.into_iter().zip(since);
        let looked = rows.map(|(row, since)| {
            let channel = self.channels.get(&row.key.view);
            let said = batch.said.get(&row.key.view);
            let next = channel
                .zip(said)
                .zip(row.value)
                .and_then(|((channel, said), value)| {
                    channel
                        .form
                        .teller
                        .changes_after(said, &value.into(), *since)
                });
            (row.key, next)
        });
        looked.collect()
    }

    fn tell(&mut self, batch: &Batch, as_of: Timestamp) -> Reply {
        let views: Vec<ViewId> = self.channels.keys().copied().collect();
        for view in views {
            if batch.rows.iter().any(|row| row.key.view == view) && !self.prepare(view) {
                return Reply::GaveUp;
            }
        }
        let mut told = Vec::with_capacity(batch.rows.len());
        let mut records = Vec::with_capacity(batch.rows.len());
        let mut counts: BTreeMap<ViewId, u64> = BTreeMap::new();
        for row in &batch.rows {
            let Some((fed, record)) = self.record(row, batch, as_of) else {
                continue;
            };
            told.push((row.key.clone(), fed));
            records.push(record);
            *counts.entry(row.key.view).or_default() += 1;
        }
        if !self.write(&records, &counts) {
            return Reply::GaveUp;
        }
        for (view, count) in counts {
            if let Some(channel) = self.channels.get(&view) {
                self.ledger.told(&channel.form.view().name, count);
            }
        }
        Reply::Told(told)
    }

    /// The record of a row, and what is told in it.
    fn record(&self, row: &FeedRow, batch: &Batch, as_of: Timestamp) -> Option<(Fed, ValueRecord)> {
        let channel = self.channels.get(&row.key.view)?;
        let said = batch.said.get(&row.key.view)?;
        let form = &channel.form;
        let value = row.value.clone().map(Into::into);
        let told = form.teller.tell(said, value.as_ref(), as_of);
        let keys = form.keys(&row.key.entity);
        let record = Record {
            keys: &keys,
            told: &told,
            version: row.version,
            generation: row.key.generation,
        };
        let schema = channel.ready.unwrap_or_default();
        let value = (!told.is_nothing()).then(|| form.value(&record, schema));
        let max_ahead = form.view().source.max_ahead.unwrap_or(AHEAD);
        let fed = Fed {
            at: as_of,
            until: told.until(),
            ahead: told.ahead.filter(|at| *at <= as_of.plus(max_ahead)),
            stale: told.is_stale(),
        };
        let record = ValueRecord {
            topic: form.feed().topic.clone(),
            key: form.key(&keys),
            value,
            header: (VERSION, row.version.to_string()),
            time: as_of,
        };
        Some((fed, record))
    }

    /// Sees that a view's topic and schema are there; false when the loop stops first.
    fn prepare(&mut self, view: ViewId) -> bool {
        let mut tries = Tries::new();
        loop {
            let Some(channel) = self.channels.get(&view) else {
                return true;
            };
            if channel.ready.is_some() {
                return true;
            }
            match self.open(&channel.form) {
                Ok(schema) => {
                    if let Some(channel) = self.channels.get_mut(&view) {
                        channel.ready = Some(schema);
                    }
                    return true;
                }
                Err(error) => {
                    let name = channel.form.view().name.clone();
                    if tries.is_first() {
                        tracing::warn!(view = name, shards = %self.shards, %error, "feature values wait");
                    }
                    self.ledger.not_told(&name, 1);
                }
            }
            if !self.wait(&mut tries) {
                return false;
            }
        }
    }

    /// Makes the topic if there is none, and registers the schema; gives its number, or 0 for none.
    fn open(&self, form: &Form) -> Result<u32, Error> {
        let feed = form.feed();
        // Whoever may write to a topic may not be one who makes topics.
        if count_partitions(&self.config, &feed.topic)?.is_none() {
            let settings = [("cleanup.policy", "compact")];
            ensure_topic(&self.config, &feed.topic, feed.partitions, 0, &settings)?;
        }
        let registered = self.registry.as_ref().zip(form.schema.as_ref());
        registered.map_or(Ok(0), |(registry, (kind, text))| {
            registry.register(&form.subject(), *kind, text)
        })
    }

    /// Writes records until they are kept; false when the loop stops first.
    fn write(&mut self, records: &[ValueRecord], counts: &BTreeMap<ViewId, u64>) -> bool {
        if records.is_empty() {
            return true;
        }
        let mut tries = Tries::new();
        let began = Instant::now();
        let mut said = false;
        loop {
            let (stop, parting, shards) = (&self.stop, &mut self.parting, self.shards);
            let patient = || {
                if !said && began.elapsed() > SLOW {
                    said = true;
                    tracing::warn!(%shards, "feature values are on their way for long; they wait, and so may the lane");
                }
                is_patient(stop, parting)
            };
            let written = match tries.too_large {
                false => self.values.write(records, patient).map(|()| Vec::new()),
                true => self.values.write_what_fits(records, patient),
            };
            match written {
                Ok(left_out) => {
                    for place in left_out {
                        let record = &records[place];
                        let key = String::from_utf8_lossy(&record.key);
                        tracing::error!(topic = record.topic, %key, "the values of an entity are larger than the topic takes and are left out");
                        let mut channels = self.channels.values();
                        let of = channels.find(|held| held.form.feed().topic == record.topic);
                        of.into_iter()
                            .for_each(|of| self.ledger.too_large(&of.form.view().name));
                    }
                    if said || !tries.is_first() {
                        let seconds = began.elapsed().as_secs_f64();
                        tracing::info!(%shards, seconds, "feature values are kept again");
                    }
                    return true;
                }
                Err(error) => {
                    if tries.is_first() {
                        tracing::warn!(%shards, %error, "feature values are not kept; they are written again");
                    }
                    tries.too_large |= self.values.found_too_large();
                    for (view, count) in counts {
                        if let Some(channel) = self.channels.get(view) {
                            self.ledger.not_told(&channel.form.view().name, *count);
                        }
                    }
                }
            }
            if !self.wait(&mut tries) {
                return false;
            }
        }
    }

    /// Pauses before another try; false where there is to be none.
    fn wait(&mut self, tries: &mut Tries) -> bool {
        let until = Instant::now() + tries.pause;
        tries.pause = (tries.pause * 2).min(PAUSE.1);
        tries.first = false;
        while Instant::now() < until {
            if !is_patient(&self.stop, &mut self.parting) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// The header that tells which of two records of a key is the newer.
const VERSION: &str = "tiderace.version";

/// Tries of one thing.
struct Tries {
    first: bool,
    pause: Duration,
    too_large: bool,
}

impl Tries {
    fn new() -> Tries {
        Tries {
            first: true,
            pause: PAUSE.0,
            too_large: false,
        }
    }

    fn is_first(&self) -> bool {
        self.first
    }
}

/// Whether there is time for more, as a stopping loop has little.
fn is_patient(stop: &AtomicBool, parting: &mut Option<Instant>) -> bool {
    !stop.load(Ordering::Acquire) || parting.get_or_insert_with(Instant::now).elapsed() <= PARTING
}

//! The feeding side of a lane's thread: batches for the topics of values, looks at the stored rows, and
//! what is remembered of them.

use super::{Worker, numbered};
use crate::live::clock::now;
use crate::live::feeder::{Batch, Order, Reply};
use anyhow::{Context, Result, anyhow};
use crossbeam_channel::{Receiver, Sender};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tiderace_engine::{Blocks, FeedRow, FeedStored, Lane, Look};
use tiderace_plan::Plan;
use tiderace_plan::model::View;
use tiderace_state::Store;
use tiderace_types::wire::{Reader, WireError};
use tiderace_types::{Generation, RowKey, Timestamp, ViewId, ViewMarker, hash_key};

/// Rows in one batch.
const CHUNK: usize = 1024;

/// Stored rows that one stretch of a look goes through.
const STRETCH: usize = 1024;

/// How often it is told how the topics stand.
const STANDING: Duration = Duration::from_millis(250);

/// How often it is remembered up to when changes by time alone are told.
const NOTING: Duration = Duration::from_secs(1);

/// How long a stopping lane still sends.
const PARTING: Duration = Duration::from_secs(3);

/// A lane's way to its topics.
pub struct Feeding {
    orders: Sender<Order>,
    pub replies: Receiver<Reply>,
    /// What the feeder is at.
    out: Option<Out>,
    /// The row up to which stored rows have been looked at, while they are.
    look: Option<Option<RowKey>>,
    known: Known,
    stood_at: Instant,
    noted_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    Rows,
    /// A stretch of a look, and whether it is the last one.
    Look(bool),
    /// Nothing, and it takes no more.
    Ended,
}

/// What state remembers of a lane's topics.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    /// Up to when changes by time alone were told.
    settled: Timestamp,
    /// The views whose every row was told or is owed.
    views: BTreeMap<ViewId, Topic>,
}

/// What a view's records were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Topic {
    generation: Generation,
    /// The hash of its name.
    topic: u64,
    decays: bool,
}

impl Known {
    const FORM: u8 = 1;

    fn of(plan: &Plan, lane: &Lane) -> Known {
        let topic = |view: &View| {
            let feed = view.feed.as_ref()?;
            let topic = Topic {
                generation: lane.generation(view.id),
                topic: hash_key(feed.topic.as_bytes()),
                decays: feed.decays,
            };
            Some((view.id, topic))
        };
        Known {
            settled: Timestamp::MIN,
            views: plan.views.iter().filter_map(|view| topic(view)).collect(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![Known::FORM];
        out.extend(self.settled.0.to_be_bytes());
        for (view, topic) in &self.views {
            out.extend(view.0.to_be_bytes());
            out.extend(topic.generation.0.to_be_bytes());
            out.extend(topic.topic.to_be_bytes());
            out.push(topic.decays.into());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Known, WireError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != Known::FORM {
            return Err(reader.error());
        }
        let settled = Timestamp(i64::from_be_bytes(reader.array()?));
        let mut views = BTreeMap::new();
        while !reader.rest().is_empty() {
            let view = ViewId(u32::from_be_bytes(reader.array()?));
            let topic = Topic {
                generation: Generation(u32::from_be_bytes(reader.array()?)),
                topic: u64::from_be_bytes(reader.array()?),
                decays: reader.u8()? != 0,
            };
            views.insert(view, topic);
        }
        Ok(Known { settled, views })
    }
}

/// Where state keeps that.
fn meta(lane: &Lane) -> String {
    format!("feed/{}", lane.shards)
}

/// Owes a lane what was owed when the last process ended: `owed` is its outbox.
pub fn resume(lane: &mut Lane, plan: &Plan, state: &Store, owed: &[RowKey]) -> Result<()> {
    let stored = state.get_meta(&meta(lane));
    let stored = stored.context("read what was told to topics")?;
    let known = stored.map(|bytes| Known::decode(&bytes)).transpose();
    let known = known.context("read what was told to topics")?;
    lane.owe_feeds(owed, now());
    for (view, topic) in Known::of(plan, lane).views {
        let settled = known
            .as_ref()
            .filter(|known| known.views.get(&view) == Some(&topic));
        match settled.map(|known| known.settled) {
            // Every change by an event is in the outbox, or comes again.
            Some(_) if !topic.decays => {}
            Some(since) => lane.want_look(view, Look::Since(since)),
            None => lane.want_look(view, Look::All),
        }
    }
    Ok(())
}

impl Feeding {
    pub fn new(orders: Sender<Order>, replies: Receiver<Reply>) -> Feeding {
        Feeding {
            orders,
            replies,
            out: None,
            look: None,
            known: Known {
                settled: Timestamp::MIN,
                views: BTreeMap::new(),
            },
            stood_at: Instant::now(),
            noted_at: Instant::now(),
        }
    }

    fn order(&mut self, order: Order, out: Out) -> Result<()> {
        self.out = Some(out);
        let sent = self.orders.try_send(order);
        sent.map_err(|_| anyhow!("the feeder is gone"))
    }
}

impl Worker {
    /// When rows are to be taken for the topics.
    pub(super) fn feed_due_at(&mut self) -> Option<Timestamp> {
        let feeding = self.wires.feeding.as_ref()?;
        match feeding.out {
            Some(_) => None,
            None => self.lane.feed_due_at(now()),
        }
    }

    /// Gives the feeder its next order, if there is one.
    pub(super) fn feed(&mut self) -> Result<()> {
        if self.wires.feeding.is_none() {
            return Ok(());
        }
        self.note_feeds();
        let at = now();
        match self.feed_due_at() {
            Some(due) if due <= at => self.feed_chunk(at),
            _ => self.look_on(at),
        }
    }

    fn feed_chunk(&mut self, at: Timestamp) -> Result<()> {
        let taken = self.lane.take_feed(at, CHUNK);
        let mut rows = taken.rows;
        let blocks = self.load(&taken.stored)?;
        for (key, blocks) in taken.stored.iter().zip(blocks) {
            rows.extend(self.feed_stored(key, &blocks)?);
        }
        if rows.is_empty() {
            self.lane.fed([]);
            return Ok(());
        }
        let said = self.said();
        self.order_feed(Order::Tell(Batch { rows, said }, at), Out::Rows)
    }

    /// The row to be told; a dense one is anchored first.
    fn feed_stored(&mut self, key: &RowKey, blocks: &Blocks) -> Result<Option<FeedRow>> {
        for _ in 0..2 {
            match self.lane.feed_stored(key, blocks)? {
                FeedStored::Nothing => return Ok(None),
                FeedStored::Row(row) => return Ok(Some(row)),
                FeedStored::Dense => {
                    let at = now();
                    self.lane.take_key(key, at);
                    self.anchor(at)?;
                }
            }
        }
        Err(anyhow!("a row stays unready when it is anchored"))
    }

    /// What may be said of the views whose values go to topics.
    fn said(&self) -> BTreeMap<ViewId, ViewMarker> {
        let views = self.plan.views.iter().enumerate();
        let fed = views.filter(|(_, view)| view.feed.is_some());
        fed.map(|(place, view)| {
            let covered = self.coverage.of(view.id);
            (view.id, self.lane.feed_marker(place, covered))
        })
        .collect()
    }

    fn order_feed(&mut self, order: Order, out: Out) -> Result<()> {
        match &mut self.wires.feeding {
            Some(feeding) => feeding.order(order, out),
            None => Ok(()),
        }
    }

    /// Goes through the next stretch of the stored rows, if something is looked for among them.
    fn look_on(&mut self, at: Timestamp) -> Result<()> {
        let Some(feeding) = self.wires.feeding.as_ref().filter(|f| f.out.is_none()) else {
            return Ok(());
        };
        let mut after = match &feeding.look {
            Some(after) => after.clone(),
            None if self.lane.begin_look(at) => {
                // Rows that no commit holds are not among the stored ones.
                self.commit_all()?;
                None
            }
            None => return Ok(()),
        };
        if !self.lane.feed_has_room() {
            self.looked_up_to(after);
            return Ok(());
        }
        let found = self.state.scan(self.lane.shards, after.as_ref(), STRETCH);
        let found = found.context("scan state")?;
        let last = found.len() < STRETCH;
        let (mut rows, mut since) = (Vec::new(), Vec::new());
        for (key, blocks) in found {
            match self.lane.look_at(&key) {
                None => {}
                Some(Look::All) => self.lane.owe_feeds([&key], at),
                Some(Look::Since(from)) => match self.lane.feed_stored(&key, &numbered(blocks))? {
                    FeedStored::Nothing => {}
                    FeedStored::Dense => self.lane.owe_feeds([&key], at),
                    FeedStored::Row(row) => {
                        rows.push(row);
                        since.push(from);
                    }
                },
            }
            after = Some(key);
        }
        self.looked_up_to(after);
        match rows.is_empty() {
            true if last => self.end_look(),
            true => {}
            false => {
                let said = self.said();
                let order = Order::Look(Batch { rows, said }, since);
                self.order_feed(order, Out::Look(last))?;
            }
        }
        Ok(())
    }

    fn looked_up_to(&mut self, after: Option<RowKey>) {
        if let Some(feeding) = &mut self.wires.feeding {
            feeding.look = Some(after);
        }
    }

    fn end_look(&mut self) {
        self.lane.end_look();
        if let Some(feeding) = &mut self.wires.feeding {
            feeding.look = None;
        }
    }

    pub(super) fn hear_feeder(&mut self, reply: Reply) {
        let Some(feeding) = &mut self.wires.feeding else {
            return;
        };
        let out = feeding.out.take();
        match reply {
            Reply::Told(told) => self.lane.fed(told),
            Reply::Looked(looked) => {
                let at = now();
                for (key, next) in looked {
                    self.lane.looked_at(&key, next, at);
                }
                if out == Some(Out::Look(true)) {
                    self.end_look();
                }
            }
            Reply::GaveUp => {
                feeding.out = Some(Out::Ended);
                tracing::warn!(shards = %self.lane.shards, "the topics of values are away; what they are owed waits in state");
            }
        }
    }

    /// Tells the ledger how the topics stand, and remembers what was told.
    fn note_feeds(&mut self) {
        let Some(feeding) = &mut self.wires.feeding else {
            return;
        };
        if feeding.stood_at.elapsed() >= STANDING {
            feeding.stood_at = Instant::now();
            let lane = self.lane.shards.to_string();
            for (view, standing) in self.lane.feed_standings(now()) {
                self.ledger.feed_stands(&lane, &self.names[view], standing);
            }
        }
        if feeding.noted_at.elapsed() < NOTING || self.lane.looks() {
            return;
        }
        feeding.noted_at = Instant::now();
        // Until then rows that a look has found may be owed that no outbox names.
        let settled = self.lane.feed_settled();
        if settled == Timestamp::MIN {
            return;
        }
        let mut known = Known::of(&self.plan, &self.lane);
        let decays = known.views.values().any(|topic| topic.decays);
        known.settled = match decays {
            true => settled.max(feeding.known.settled),
            false => Timestamp(0),
        };
        if known == feeding.known {
            return;
        }
        // A note that cannot be stored now comes with the next: a start would look at more than it must.
        match self.state.note_meta(&meta(&self.lane), &known.encode()) {
            Ok(()) => feeding.known = known,
            Err(error) => {
                tracing::debug!(shards = %self.lane.shards, %error, "what was told is not remembered");
            }
        }
    }

    /// Sends what may be sent before the end.
    pub(super) fn part_feeds(&mut self) -> Result<()> {
        let deadline = Instant::now() + PARTING;
        while let Some(feeding) = &self.wires.feeding
            && Instant::now() < deadline
        {
            match feeding.out {
                Some(Out::Ended) => return Ok(()),
                Some(_) => match feeding.replies.recv_deadline(deadline) {
                    Ok(reply) => self.hear_feeder(reply),
                    Err(_) => return Ok(()),
                },
                None => {
                    let at = now();
                    match self.feed_due_at() {
                        Some(due) if due <= at => self.feed_chunk(at)?,
                        _ => return Ok(()),
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_back() {
        let topic = Topic {
            generation: Generation(3),
            topic: 7,
            decays: true,
        };
        let known = Known {
            settled: Timestamp(-5),
            views: BTreeMap::from([(ViewId(9), topic)]),
        };
        let bytes = known.encode();
        assert_eq!(Known::decode(&bytes), Ok(known));
        // Golden: these bytes are on disks.
        let start = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfb];
        assert_eq!(bytes[..9], start);
        assert_eq!(
            bytes[9..],
            [0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 7, 1]
        );
        assert!(Known::decode(&[2]).is_err());
        assert!(Known::decode(&bytes[..12]).is_err());
    }
}

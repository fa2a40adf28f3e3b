//! Taking rows to be told, and noting what came of them.

use super::falls::Falls;
use super::names::{Again, Names};
use super::{Fed, FeedBatch, FeedRow, FeedStored};
use crate::lane::{Lane, LaneError, held, read_blocks};
use tiderace_types::{Duration, RowKey, Timestamp};

/// The least time after which a row is told again because of time alone.
const PAUSE: Duration = Duration::from_millis(100);

/// The most bytes of rows in a batch.
const BATCH_BYTES: usize = 4 << 20;

impl Lane {
    /// When the next rows are to be taken; `None` while a batch is on its way, or nothing may be sent.
    pub fn feed_due_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.let_go();
        if !self.feeds.flight.is_empty() {
            return None;
        }
        let hurry = self.feed_is_full();
        let feeds = &self.feeds;
        let free = feeds.names.iter().flatten();
        let free = free.filter(|names| !feeds.held.contains_key(&names.source));
        let due = free.filter_map(|names| {
            let hurry = hurry && names.waiting() > 0;
            let unparks = names.parked() > 0 && self.has_caught_up(names, now);
            match hurry || unparks {
                true => Some(Timestamp::MIN),
                false => names.due_at(),
            }
        });
        due.min()
    }

    /// Takes at most `limit` rows to be told, fewer where they are long.
    pub fn take_feed(&mut self, now: Timestamp, limit: usize) -> FeedBatch {
        let mut batch = FeedBatch::default();
        if !self.feeds.flight.is_empty() {
            return batch;
        }
        let hurry = self.feed_is_full();
        let most = self.feeds.most;
        let mut bytes = 0;
        self.feeds.turn += 1;
        for place in 0..self.views.len() {
            let view = (place + self.feeds.turn) % self.views.len();
            let Some(names) = &self.feeds.names[view] else {
                continue;
            };
            if self.feeds.held.contains_key(&names.source) {
                continue;
            }
            let caught_up = self.has_caught_up(names, now);
            if let Some(names) = &mut self.feeds.names[view] {
                names.tidy(now, most);
                names.come_to(now);
                if caught_up {
                    names.unpark(now);
                }
            }
            self.take_falls(view, now, limit);
            while batch.rows.len() + batch.stored.len() < limit && bytes < BATCH_BYTES {
                let popped = self.feeds.names[view].as_mut();
                let Some((entity, tick)) = popped.and_then(|names| names.pop(now, hurry)) else {
                    break;
                };
                self.feeds.flight.insert((view, entity.clone()), tick);
                let lane_view = &self.views[view];
                let key = RowKey {
                    view: lane_view.view.id,
                    generation: lane_view.generation,
                    entity,
                };
                match self.feed_held(view, &key) {
                    Some(FeedStored::Row(row)) => {
                        bytes += row.value.as_ref().map_or(0, Vec::len);
                        batch.rows.push(row);
                    }
                    _ => batch.stored.push(key),
                }
            }
        }
        batch
    }

    /// Owes rows that time alone has changed by `now`, a bounded number.
    fn take_falls(&mut self, view: usize, now: Timestamp, limit: usize) {
        let feeds = &mut self.feeds;
        let Some(names) = &mut feeds.names[view] else {
            return;
        };
        for _ in 0..limit {
            let Some(key) = names.falls.pop(now) else {
                break;
            };
            names.owe(&key, now, || feeds.ticks.stamp());
        }
        // The instant is one for all views: none may have more that is due, or not know.
        let all = || feeds.names.iter().flatten().map(|names| &names.falls);
        let due = all().filter_map(Falls::next).any(|next| next <= now);
        let known = all().map(Falls::complete_until).min().unwrap_or(now);
        if !due && !self.looks() {
            self.feeds.ticks.taken(now.min(known));
        }
    }

    /// The row to be told, where it is held; `None` where it is not.
    fn feed_held(&mut self, view: usize, key: &RowKey) -> Option<FeedStored> {
        let hash = tiderace_types::hash_key(&key.entity);
        let slot = self.tables[view].find(&key.entity, hash)?;
        let spec = self.views[view].view.spec.clone();
        let held = held(&mut self.tables, view, slot)?;
        if !held.is_ready() {
            return Some(FeedStored::Dense);
        }
        let version = self.outlet.next_version();
        Some(FeedStored::Row(FeedRow {
            key: key.clone(),
            value: Some(held.online().encode(&spec, version)),
            version,
        }))
    }

    /// The row to be told from its stored blocks, or the held one where there is one.
    ///
    /// # Errors
    /// [`LaneError::Block`] when a block does not read.
    pub fn feed_stored(
        &mut self,
        key: &RowKey,
        blocks: &[(u64, Vec<u8>)],
    ) -> Result<FeedStored, LaneError> {
        let Some(view) = self.view_of(key) else {
            return Ok(FeedStored::Nothing);
        };
        if let Some(found) = self.feed_held(view, key) {
            return Ok(found);
        }
        let lane_view = &self.views[view];
        let version = self.outlet.next_version();
        let value = match blocks.is_empty() {
            true => None,
            false => {
                let row = read_blocks(lane_view, blocks)?;
                if row.head {
                    return Ok(FeedStored::Dense);
                }
                Some(row.encode(&lane_view.view.spec, version))
            }
        };
        let key = key.clone();
        Ok(FeedStored::Row(FeedRow {
            key,
            value,
            version,
        }))
    }

    /// Notes that a batch is acknowledged, with what was told of each row.
    pub fn fed(&mut self, told: impl IntoIterator<Item = (RowKey, Fed)>) {
        for (key, fed) in told {
            let Some(view) = self.view_of(&key) else {
                continue;
            };
            let feeds = &mut self.feeds;
            let (Some(names), Some(tick)) = (
                feeds.names[view].as_mut(),
                feeds.flight.remove(&(view, key.entity.clone())),
            ) else {
                continue;
            };
            if names.decays {
                let pause = fed.at.plus(names.min_interval.max(PAUSE));
                let until = fed.until.map(|until| until.max(pause));
                names.falls.note(key.entity.clone(), until);
            }
            let needless = match (fed.ahead, fed.stale) {
                (Some(ahead), _) => names.again(key.entity, Again::Ahead(ahead), tick),
                (None, true) => names.again(key.entity, Again::Stale, tick),
                (None, false) => Some(tick),
            };
            needless
                .into_iter()
                .for_each(|tick| feeds.ticks.release(tick));
        }
        // What was taken and turned out to be nothing.
        for tick in std::mem::take(&mut self.feeds.flight).into_values() {
            self.feeds.ticks.release(tick);
        }
        for view in 0..self.views.len() {
            let parked = self.feeds.names[view].as_ref().map_or(0, Names::parked);
            if parked > self.feeds.most {
                self.feeds.forget(view);
            }
        }
    }
}

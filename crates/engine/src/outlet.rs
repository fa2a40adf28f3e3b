//! What a lane owes the online store, and what it may say of it.
//!
//! Publications go in drains: a drain takes everything owed at one moment,
//! together with the positions of that moment; when its last chunk is
//! acknowledged, a marker may claim those positions. Rows touched meanwhile
//! wait for the next drain, so load never keeps a marker from moving.
//!
//! # Laws
//! - A marker claims positions only after every row they changed is in the store.
//! - What is owed is paid only when a marker that speaks for it is in the store.
//! - No row is published to expire sooner than the marker in the store allows for.
//! - A publication's version is above that of every earlier one of its lane.

use crate::lane::{Lane, LaneError, held, read_blocks};
use crate::table::Slot;
use std::collections::BTreeMap;
use tiderace_aggregate::Kept;
use tiderace_types::{
    CoveredFrom, Duration, Marker, Positions, RowKey, SourceId, Timestamp, Version, ViewId,
    ViewMarker,
};

/// A row for the online store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The row.
    pub key: RowKey,
    /// Its bytes, version first.
    pub value: Vec<u8>,
    /// How long no window can lose it; `None` for ever.
    pub ttl: Option<Duration>,
}

/// What to do next for the online store.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Chunk {
    /// Rows to put.
    pub rows: Vec<Publication>,
    /// Rows that are not held, or not ready: read their blocks and hand them to
    /// [`Lane::publish_stored`].
    pub stored: Vec<RowKey>,
    /// Whether the drain ends with this chunk.
    pub last: bool,
}

/// What came of a row that was to be published from its stored blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// There is nothing to publish.
    Nothing,
    /// The publication.
    Row(Publication),
    /// It is dense and has to be anchored first: [`Lane::take_key`], [`Lane::anchor`], and again.
    Dense,
}

/// How much longer than needed a row outlives its windows in the store.
const SLACK: Duration = Duration::from_secs(3600);

/// How many bytes of rows make a chunk full: they are in memory several times until they are put.
const CHUNK_BYTES: usize = 4 << 20;

/// What an entity's key takes in memory, roughly: most are a number or a short text.
const ENTITY: usize = 16;

/// A drain under way.
#[derive(Debug)]
struct Drain {
    fresh: Vec<(usize, Slot)>,
    owed: Vec<RowKey>,
    positions: Positions,
    committed: Option<u64>,
    /// Whether its last chunk has been taken.
    ended: bool,
}

/// The publishing side of a lane.
#[derive(Debug)]
pub(crate) struct Outlet {
    version: Version,
    fresh: Vec<(usize, Slot)>,
    owed: Vec<RowKey>,
    since: Option<Timestamp>,
    drain: Option<Drain>,
    /// How many drains have begun.
    drains: u64,
    published: Positions,
    committed: Option<u64>,
    /// Commits whose rows are in the store.
    settled: Option<u64>,
    /// Those of them that the marker made last speaks for.
    claimed: Option<u64>,
    /// Those that a marker in the store speaks for.
    paid: Option<u64>,
    /// Per view, the least lag that any row was published for, or may be.
    least_lag: BTreeMap<usize, Duration>,
    /// The same as the marker in the store says it.
    promised: BTreeMap<usize, Duration>,
}

impl Outlet {
    pub(crate) fn new(epoch: u64) -> Outlet {
        Outlet {
            version: Version { epoch, seq: 0 },
            fresh: Vec::new(),
            owed: Vec::new(),
            since: None,
            drain: None,
            drains: 0,
            published: Positions::default(),
            committed: None,
            settled: None,
            claimed: None,
            paid: None,
            least_lag: BTreeMap::new(),
            promised: BTreeMap::new(),
        }
    }

    pub(crate) fn touch(&mut self, view: usize, slot: Slot, now: Timestamp) {
        self.fresh.push((view, slot));
        self.since.get_or_insert(now);
    }

    /// Owes a row by its key. A drain that has not ended takes it in: the row may be one of those
    /// whose places it holds.
    pub(crate) fn owe(&mut self, key: RowKey) {
        match &mut self.drain {
            Some(drain) if !drain.ended => drain.owed.push(key),
            _ => {
                self.owed.push(key);
                self.since.get_or_insert(Timestamp::MIN);
            }
        }
    }

    pub(crate) fn committed(&mut self, seq: u64) {
        self.committed = Some(seq);
    }

    pub(crate) fn paid(&self) -> Option<u64> {
        self.paid
    }

    /// Roughly how many bytes its lists take.
    pub(crate) fn memory(&self) -> usize {
        let drain = self.drain.as_ref();
        let owed = self.owed.len() + drain.map_or(0, |drain| drain.owed.len());
        let fresh = self.fresh.capacity() + drain.map_or(0, |drain| drain.fresh.capacity());
        let listed = self.owed.capacity() + drain.map_or(0, |drain| drain.owed.capacity());
        fresh * size_of::<(usize, Slot)>() + listed * size_of::<RowKey>() + owed * ENTITY
    }

    pub(crate) fn next_version(&mut self) -> Version {
        self.version.seq += 1;
        self.version
    }

    fn idle(&self) -> bool {
        self.drain.is_none() && self.fresh.is_empty() && self.owed.is_empty()
    }
}

impl Lane {
    /// Since when something has been owed; `None` when nothing is, [`Timestamp::MIN`] when a drain is under way.
    #[must_use]
    pub fn owing_since(&self) -> Option<Timestamp> {
        match self.outlet.drain {
            Some(_) => Some(Timestamp::MIN),
            None => self.outlet.since,
        }
    }

    /// Tells whether a drain is under way.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.outlet.drain.is_some()
    }

    /// How many rows are owed to the online store.
    #[must_use]
    pub fn owing(&self) -> usize {
        let drain = self.outlet.drain.as_ref();
        let draining = drain.map_or(0, |drain| drain.fresh.len() + drain.owed.len());
        draining + self.outlet.fresh.len() + self.outlet.owed.len()
    }

    /// Owes rows that were owed when the process ended.
    pub fn owe(&mut self, keys: impl IntoIterator<Item = RowKey>) {
        keys.into_iter().for_each(|key| self.outlet.owe(key));
    }

    /// Forgets which rows that are not held are owed, for a shell that will owe every stored one.
    pub fn forget_owed(&mut self) {
        self.outlet.owed = Vec::new();
    }

    /// Owes the held rows of the entities that `lost` names, for a store that has lost them; the
    /// shell owes the stored rest. They go with the drains up to [`Lane::next_drain`].
    pub fn owe_held(&mut self, now: Timestamp, lost: impl Fn(&[u8]) -> bool) {
        for (view, table) in self.tables.iter_mut().enumerate() {
            for (slot, held) in table.iter_mut() {
                if lost(&held.entity) && !std::mem::replace(&mut held.unpublished, true) {
                    self.outlet.touch(view, slot, now);
                }
            }
        }
    }

    /// Takes back what was claimed: the store has to get every row first.
    pub fn forget_claims(&mut self) {
        // What a drain under way has put there may be lost as well, so that it proves nothing.
        self.outlet.published = Positions::default();
        self.outlet.settled = self.outlet.paid;
        self.outlet.claimed = self.outlet.paid;
        for progress in self.progress.values_mut() {
            progress.caught_up_at = Timestamp::MIN;
        }
        if let Some(drain) = &mut self.outlet.drain {
            drain.positions = Positions::default();
            drain.committed = None;
        }
    }

    /// Forgets how soon rows may expire by the markers that were in the store: none is there.
    pub fn forget_promises(&mut self) {
        self.outlet.least_lag.clear();
        self.outlet.promised.clear();
    }

    /// The number of the drain that takes what is owed from now on.
    #[must_use]
    pub fn next_drain(&self) -> u64 {
        self.outlet.drains + 1
    }

    /// Tells whether drain `number` is over, or nothing is left that it could take.
    #[must_use]
    pub fn has_drained(&self, number: u64) -> bool {
        self.outlet.idle() || self.outlet.drains - u64::from(self.draining()) >= number
    }

    /// The next at most `limit` rows to publish, fewer where they are long; starts a drain when
    /// none is under way.
    ///
    /// One chunk at a time: it must be in the store before the next call.
    pub fn chunk(&mut self, now: Timestamp, limit: usize) -> Chunk {
        let positions = &self.positions;
        let outlet = &mut self.outlet;
        let mut drain = outlet.drain.take().unwrap_or_else(|| {
            outlet.since = None;
            outlet.drains += 1;
            Drain {
                fresh: std::mem::take(&mut outlet.fresh),
                owed: std::mem::take(&mut outlet.owed),
                positions: positions.clone(),
                committed: outlet.committed,
                ended: false,
            }
        });
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < limit && bytes < CHUNK_BYTES {
            let Some((view, slot)) = drain.fresh.pop() else {
                break;
            };
            let held = held(&mut self.tables, view, slot);
            if held.is_some_and(|held| held.unpublished && !held.is_ready()) {
                drain.owed.push(self.key(view, slot));
            }
            if let Some(publication) = self.publish(view, slot, now) {
                bytes += publication.value.len();
                rows.push(publication);
            }
        }
        let from = drain
            .owed
            .len()
            .saturating_sub(limit - rows.len().min(limit));
        let stored = drain.owed.split_off(from);
        let last = drain.fresh.is_empty() && drain.owed.is_empty();
        drain.ended = last;
        self.outlet.drain = Some(drain);
        Chunk { rows, stored, last }
    }

    fn publish(&mut self, view: usize, slot: Slot, now: Timestamp) -> Option<Publication> {
        let lane_view = &self.views[view];
        let spec = lane_view.view.spec.clone();
        let upto = self.upto(view);
        let (id, generation) = (lane_view.view.id, lane_view.generation);
        let held = held(&mut self.tables, view, slot)?;
        if !held.is_ready() || !std::mem::replace(&mut held.unpublished, false) {
            return None;
        }
        if held.dense.is_none()
            && held.part.trim(&spec, upto) > 0
            && held.part.rewrite
            && !held.uncommitted
        {
            held.uncommitted = true;
            self.owe_commit(view, slot);
        }
        let held = self::held(&mut self.tables, view, slot)?;
        let key = RowKey {
            view: id,
            generation,
            entity: (*held.entity).into(),
        };
        let row = held.online();
        let newest = row.newest(Timestamp::MAX);
        let value = row.encode(&spec, self.outlet.next_version());
        let ttl = self.ttl(view, newest, now);
        Some(Publication { key, value, ttl })
    }

    /// Makes the publication of a row from its stored blocks, or of the held row where there is one.
    ///
    /// A row that was swept is published as the empty row that it is by now, which says how far it
    /// has let go: what the store still holds may be older than what the next marker speaks for.
    ///
    /// # Errors
    /// [`LaneError::Block`] when a block does not read.
    pub fn publish_stored(
        &mut self,
        key: &RowKey,
        blocks: &[(u64, Vec<u8>)],
        now: Timestamp,
    ) -> Result<Stored, LaneError> {
        let Some(view) = self.view_of(key) else {
            return Ok(Stored::Nothing);
        };
        let hash = tiderace_types::hash_key(&key.entity);
        if let Some(slot) = self.tables[view].find(&key.entity, hash) {
            if let Some(held) = held(&mut self.tables, view, slot) {
                if !held.is_ready() {
                    return Ok(Stored::Dense);
                }
                held.unpublished = true;
            }
            let publication = self.publish(view, slot, now);
            return Ok(publication.map_or(Stored::Nothing, Stored::Row));
        }
        let lane_view = &self.views[view];
        let spec = lane_view.view.spec.clone();
        let upto = self.upto(view);
        if blocks.is_empty() && (spec.unbounded() || upto == Timestamp::MIN) {
            return Ok(Stored::Nothing);
        }
        let mut row = read_blocks(lane_view, blocks)?;
        if row.head {
            return Ok(Stored::Dense);
        }
        row.trim(&spec, upto);
        let ttl = self.ttl(view, row.newest(Timestamp::MAX), now);
        let value = row.encode(&spec, self.outlet.next_version());
        let key = key.clone();
        Ok(Stored::Row(Publication { key, value, ttl }))
    }

    /// How long a row whose newest event is `newest` must live in the store: until no window
    /// can see that event, on a clock that is no further behind than the store's marker says.
    fn ttl(&mut self, view: usize, newest: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
        let definition = &self.views[view].view;
        let clock = self.pace(definition.source.id);
        let spec = &definition.spec;
        let Kept::Span { reach, history, .. } = spec.kept else {
            return None;
        };
        if spec.unbounded() || clock == Timestamp::MIN {
            return None;
        }
        let lag = now.since(clock).plus(SLACK);
        let lag = match self.outlet.promised.get(&view) {
            Some(promised) => lag.max(*promised),
            None => lag,
        };
        if lag == Duration::MAX {
            return None;
        }
        self.note_lag(view, lag);
        let unseen = newest.unwrap_or(clock).plus(reach).plus(history);
        Some(unseen.since(now).plus(lag).max(SLACK))
    }

    /// The clock that expiry goes by: the shard clock, or, while a partition that has not been
    /// read at all holds that back, the furthest stream clock. Any will do: what a marker
    /// promises is only how far behind the wall it was.
    fn pace(&self, source: SourceId) -> Timestamp {
        let clock = self.clock(source);
        if clock != Timestamp::MIN {
            return clock;
        }
        let read = self.positions.0.iter().filter(|(p, _)| p.source == source);
        read.map(|(_, at)| at.clock).max().unwrap_or(clock)
    }

    /// Tells whether rows owed now could not be given a time to live, because the marker in the
    /// store promises that none ever expires: one that names a lag must come first.
    #[must_use]
    pub fn must_mark(&self) -> bool {
        self.views.iter().enumerate().any(|(place, lane_view)| {
            let expires = matches!(lane_view.view.spec.kept, Kept::Span { .. });
            expires
                && !lane_view.view.spec.unbounded()
                && self.outlet.promised.get(&place) == Some(&Duration::MAX)
                && self.pace(lane_view.view.source.id) != Timestamp::MIN
        })
    }

    fn note_lag(&mut self, view: usize, lag: Duration) {
        let least = self.outlet.least_lag.entry(view).or_insert(lag);
        *least = (*least).min(lag);
    }

    /// Takes over what an earlier marker said of a view's publications.
    pub fn inherit_lag(&mut self, view: ViewId, lag: Duration) {
        if let Some(place) = self.views.iter().position(|v| v.view.id == view) {
            self.note_lag(place, lag);
            self.outlet.promised.insert(place, lag);
        }
    }

    /// Notes that the chunk marked `last` is in the store: its drain is over.
    pub fn drained(&mut self) {
        if let Some(drain) = self.outlet.drain.take() {
            self.outlet.settled = drain.committed.or(self.outlet.settled);
            self.settle(drain.positions);
        }
    }

    fn settle(&mut self, positions: Positions) {
        for progress in self.progress.values_mut() {
            progress.published(&positions);
        }
        self.outlet.published = positions;
    }

    /// A marker that speaks for no view yet: what a lane writes before it publishes every row
    /// again. While it stands nothing is answered, and its version tells later whether the
    /// store has lost anything meanwhile.
    pub fn opening(&mut self, now: Timestamp, incarnation: u64) -> Marker {
        Marker {
            version: self.outlet.next_version(),
            incarnation,
            shards: self.shards,
            written_at: now,
            positions: Positions::default(),
            views: Vec::new(),
        }
    }

    /// Notes that the marker made last is in the store: what it speaks for is not owed any more,
    /// and rows may now expire as soon as it says.
    pub fn marked(&mut self) {
        self.outlet.paid = self.outlet.claimed;
        for view in 0..self.views.len() {
            let lag = self.outlet.least_lag.get(&view).copied();
            self.outlet
                .promised
                .insert(view, lag.unwrap_or(Duration::MAX));
        }
    }

    /// Says how soon rows may expire from here on, before any does.
    fn promise(&mut self, now: Timestamp) {
        for view in 0..self.views.len() {
            let clock = self.pace(self.views[view].view.source.id);
            if clock != Timestamp::MIN {
                self.note_lag(view, now.since(clock).plus(SLACK));
            }
        }
    }

    /// What the lane may say now; `covered` gives each view's coverage.
    /// [`Lane::marked`] follows when it is in the store.
    pub fn marker(
        &mut self,
        now: Timestamp,
        incarnation: u64,
        covered: impl Fn(ViewId) -> CoveredFrom,
    ) -> Marker {
        if self.outlet.idle() {
            let positions = self.positions.clone();
            self.outlet.settled = self.outlet.committed.or(self.outlet.settled);
            self.settle(positions);
        }
        self.outlet.claimed = self.outlet.settled;
        self.promise(now);
        let version = self.outlet.next_version();
        let progress = |source: SourceId| &self.progress[&source];
        let views = self
            .views
            .iter()
            .enumerate()
            .map(|(place, lane_view)| ViewMarker {
                view: lane_view.view.id,
                generation: lane_view.generation,
                fingerprint: lane_view.view.spec.fingerprint,
                covered_from: covered(lane_view.view.id),
                clock: progress(lane_view.view.source.id).clock,
                caught_up_at: progress(lane_view.view.source.id).caught_up_at,
                least_lag: self
                    .outlet
                    .least_lag
                    .get(&place)
                    .copied()
                    .unwrap_or(Duration::MAX),
            });
        Marker {
            version,
            incarnation,
            shards: self.shards,
            written_at: now,
            positions: self.outlet.published.clone(),
            views: views.collect(),
        }
    }
}

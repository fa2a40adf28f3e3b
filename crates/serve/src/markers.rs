//! What every shard's owner last said of its rows, read again and again by one task.
//!
//! Readers take a snapshot and never wait. A snapshot is as old as the last refresh, which
//! only makes answers humbler: a row read later can be fresher than its marker, never older.
//! A refresh that fails leaves the snapshot and says so; the store is then as unreachable
//! for rows, so lookups fail by themselves.

use crate::{Clock, Error, Kind};
use std::sync::Arc;
use std::time::Duration;
use tiderace_online::{Part, Store};
use tiderace_types::{CoveredFrom, Marker, MarkerHead, Shard, Timestamp, ViewId, ViewMarker};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// The markers as of one reading, by part of the store and shard.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When they were read, by this process's clock.
    pub read_at: Timestamp,
    /// In the order of their slots.
    parts: Vec<Said>,
}

/// What the markers of one part say.
#[derive(Clone, Debug)]
struct Said {
    part: Part,
    markers: Vec<Marker>,
    /// Which marker speaks for a shard.
    by_shard: Vec<Option<usize>>,
}

impl Said {
    /// Files markers by shard: where ranges overlap, the greatest version speaks.
    fn new((part, markers): (Part, Vec<Marker>)) -> Said {
        let greatest = |shard: u8| {
            let holders = markers.iter().enumerate();
            holders
                .filter(|(_, marker)| marker.shards.contains(Shard(shard)))
                .max_by_key(|(_, marker)| marker.version)
                .map(|(place, _)| place)
        };
        let by_shard = (0..=u8::MAX).map(greatest).collect();
        Said {
            part,
            markers,
            by_shard,
        }
    }

    fn of(&self, shard: Shard) -> Option<&Marker> {
        self.by_shard[usize::from(shard.0)].map(|place| &self.markers[place])
    }
}

impl Snapshot {
    /// Files the markers of each part by shard.
    #[must_use]
    pub fn new(parts: Vec<(Part, Vec<Marker>)>, read_at: Timestamp) -> Snapshot {
        let mut parts: Vec<Said> = parts.into_iter().map(Said::new).collect();
        parts.sort_by_key(|said| said.part);
        Snapshot { read_at, parts }
    }

    /// The marker that speaks for the rows of `entity`, which is of `shard`.
    #[must_use]
    pub fn of(&self, entity: &[u8], shard: Shard) -> Option<&Marker> {
        let said = match &self.parts[..] {
            [said] if said.part == Part::WHOLE => said,
            parts => parts.iter().find(|said| said.part.holds(entity))?,
        };
        said.of(shard)
    }

    /// How a view stands in the shard that is furthest behind; `None` where some shard says nothing of it, by
    /// this definition.
    pub(crate) fn standing(&self, view: ViewId, fingerprint: u64) -> Option<ViewMarker> {
        let mut least: Option<ViewMarker> = None;
        for said in &self.parts {
            let mut seen = None;
            for place in &said.by_shard {
                let place = (*place)?;
                if seen == Some(place) {
                    continue;
                }
                seen = Some(place);
                let mut views = said.markers[place].views.iter();
                let own = views.find(|own| own.view == view && own.fingerprint == fingerprint)?;
                let held = least.get_or_insert_with(|| own.clone());
                held.caught_up_at = held.caught_up_at.min(own.caught_up_at);
                held.clock = held.clock.min(own.clock);
                held.covered_from = later(held.covered_from, own.covered_from);
            }
        }
        least
    }

    /// Tells whether the store still holds what this spoke for when a row of `shard` had been read:
    /// it was read from a part that this knows, of the same incarnation, and the marker there is not
    /// from before this one's.
    #[must_use]
    pub fn stands(&self, shard: Shard, witness: Option<(Part, &MarkerHead)>) -> bool {
        let Some((part, head)) = witness else {
            return false;
        };
        let said = self.parts.iter().find(|said| said.part == part);
        said.and_then(|said| said.of(shard)).is_some_and(|then| {
            head.incarnation == then.incarnation && head.version >= then.version
        })
    }

    /// This with what was read since in the place of what it says of the same slots.
    #[must_use]
    pub fn renewed(&self, parts: Vec<(Part, Vec<Marker>)>, read_at: Timestamp) -> Snapshot {
        let stays = |said: &&Said| !parts.iter().any(|(part, _)| part.overlaps(said.part));
        let stay = self.parts.iter().filter(stays).cloned();
        let mut all: Vec<Said> = stay.collect();
        all.extend(parts.into_iter().map(Said::new));
        all.sort_by_key(|said| said.part);
        Snapshot {
            read_at,
            parts: all,
        }
    }
}

/// The one that covers less.
fn later(a: CoveredFrom, b: CoveredFrom) -> CoveredFrom {
    match (a, b) {
        (CoveredFrom::Nothing, _) | (_, CoveredFrom::Nothing) => CoveredFrom::Nothing,
        (CoveredFrom::Instant(a), CoveredFrom::Instant(b)) => CoveredFrom::Instant(a.max(b)),
        (CoveredFrom::Beginning, other) | (other, CoveredFrom::Beginning) => other,
    }
}

/// What the last refreshes brought.
#[derive(Clone, Debug)]
enum Reading {
    /// None has ended yet.
    Waiting,
    /// The last one succeeded.
    Fresh(Arc<Snapshot>),
    /// The last one failed; this is from before, if there was one.
    Failing(Option<Arc<Snapshot>>, String),
}

impl Reading {
    fn snapshot(self) -> Result<Arc<Snapshot>, Error> {
        match self {
            Reading::Fresh(snapshot) | Reading::Failing(Some(snapshot), _) => Ok(snapshot),
            Reading::Waiting => Err(Error::new(
                Kind::Unavailable,
                "the online store's markers have not been read yet",
            )),
            Reading::Failing(None, reason) => Err(unreachable_store(&reason)),
        }
    }
}

/// The newest snapshot, shared by everyone who looks things up.
#[derive(Clone, Debug)]
pub struct Markers {
    reading: watch::Receiver<Reading>,
}

impl Markers {
    /// Starts reading the markers of `store` every `interval`.
    #[must_use]
    pub fn start(store: Store, interval: Duration, clock: Clock) -> (Markers, Refresher) {
        let (sender, reading) = watch::channel(Reading::Waiting);
        let (stop, stopped) = watch::channel(());
        let task = tokio::spawn(refresh(store, interval, clock, sender, stopped));
        (Markers { reading }, Refresher { stop, task })
    }

    /// Holds `snapshot` for ever: for answers out of a fixed store.
    #[must_use]
    pub fn fixed(snapshot: Snapshot) -> Markers {
        let (_, reading) = watch::channel(Reading::Fresh(Arc::new(snapshot)));
        Markers { reading }
    }

    /// The newest snapshot.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] as long as none was ever read.
    pub fn latest(&self) -> Result<Arc<Snapshot>, Error> {
        self.reading().snapshot()
    }

    /// Tells whether lookups can be answered: the last refresh succeeded.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] with the reason why not.
    pub fn ready(&self) -> Result<(), Error> {
        match self.reading() {
            Reading::Failing(_, reason) => Err(unreachable_store(&reason)),
            reading => reading.snapshot().map(drop),
        }
    }

    /// A copy, so that the channel's lock is never held while anything else is done: a second
    /// borrow behind a waiting writer would stop both for ever.
    fn reading(&self) -> Reading {
        self.reading.borrow().clone()
    }

    /// Waits for a refresh that ends from now on; `false` when there was none in time.
    pub(crate) async fn renewed(&self, within: Duration) -> bool {
        let mut reading = self.reading.clone();
        reading.mark_unchanged();
        let changed = tokio::time::timeout(within, reading.changed()).await;
        changed.is_ok_and(|changed| changed.is_ok())
    }

    /// Waits for the next refresh; `false` when there will be none.
    pub async fn changed(&mut self) -> bool {
        self.reading.changed().await.is_ok()
    }
}

fn unreachable_store(reason: &str) -> Error {
    Error::new(Kind::Unavailable, format!("online store: {reason}"))
}

/// The task that refreshes the markers. Dropping it stops it too.
#[derive(Debug)]
pub struct Refresher {
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Refresher {
    /// Stops the task and waits for its end.
    pub async fn stop(self) {
        drop(self.stop);
        // It never panics and nobody else aborts it.
        let _ = self.task.await;
    }
}

async fn refresh(
    store: Store,
    interval: Duration,
    clock: Clock,
    reading: watch::Sender<Reading>,
    mut stopped: watch::Receiver<()>,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<Arc<Snapshot>> = None;
    loop {
        let read = async {
            ticks.tick().await;
            tokio::time::timeout(LONGEST, store.markers_by_part()).await
        };
        // The channel never carries a message: it only ends.
        let read = tokio::select! {
            _ = stopped.changed() => return,
            read = read => read,
        };
        let next = match read {
            Ok(Ok(markers)) => {
                let snapshot = Arc::new(Snapshot::new(markers, clock()));
                last = Some(Arc::clone(&snapshot));
                Reading::Fresh(snapshot)
            }
            Ok(Err(error)) => Reading::Failing(last.clone(), error.to_string()),
            Err(_) => Reading::Failing(last.clone(), "no answer within a second".to_owned()),
        };
        if reading.send(next).is_err() {
            return;
        }
    }
}

/// How long one refresh may take.
const LONGEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use tiderace_types::{Positions, ShardRange, Version};

    #[test]
    fn readers_and_the_refresh_never_stop_each_other() {
        let snapshot = Arc::new(Snapshot::new(vec![], Timestamp(0)));
        let (sender, reading) = watch::channel(Reading::Waiting);
        let markers = Markers { reading };
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let markers = markers.clone();
                std::thread::spawn(move || (0..100_000).filter(|_| markers.ready().is_ok()).count())
            })
            .collect();
        for _ in 0..100_000 {
            sender.send_replace(Reading::Fresh(Arc::clone(&snapshot)));
        }
        for reader in readers {
            reader.join().expect("the reader ends");
        }
        assert!(markers.ready().is_ok());
    }

    #[test]
    fn the_greatest_version_speaks() {
        let marker = |first, last, seq| Marker {
            version: Version { epoch: 1, seq },
            incarnation: 0,
            shards: ShardRange { first, last },
            written_at: Timestamp(0),
            positions: Positions::default(),
            views: vec![],
        };
        let markers = vec![marker(0, 127, 5), marker(64, 200, 6), marker(100, 110, 1)];
        let snapshot = Snapshot::new(vec![(Part::WHOLE, markers)], Timestamp(0));
        for (shard, seq) in [
            (0, Some(5)),
            (63, Some(5)),
            (64, Some(6)),
            (105, Some(6)),
            (200, Some(6)),
            (201, None),
        ] {
            let found = snapshot
                .of(b"any", Shard(shard))
                .map(|marker| marker.version.seq);
            assert_eq!(found, seq, "shard {shard}");
        }
    }
}

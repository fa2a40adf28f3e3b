//! One lane's hand on a store: puts rows and markers, and tells what the store has lost of them.
//!
//! A Redis that fails over loses the end of what it acknowledged; one that is emptied loses all;
//! a server of a cluster does either alone. So behind the rows of every call goes a *receipt*, the
//! number of the call, into each part that it touches; and a marker is written only over the
//! marker that this writer wrote there before, with a receipt beside it that is no older than that
//! of the last rows there. A receipt is only ever put over the one before it, so that later rows do
//! not hide that earlier ones are gone. Replication keeps the order of writes: what stands there says exactly how
//! far the part has gone back. The names of rows put lately are kept ([`Recent`]), so that a part
//! which went back a little gets these again, and only one that went back further gets every row.
//!
//! # Laws
//! - No marker that speaks for a view is written to a part that lacks a row it speaks for.
//! - A part that has lost rows gets an opening marker at once, which speaks for no view: nothing is
//!   answered from it until [`Writer::mark`] is told that it is whole again.

mod recent;
use recent::Recent;

use crate::redis::{Expected, Receipts};
use crate::{Error, MarkerWrite, Part, RowWrite, Store};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tiderace_types::{Marker, RowKey, ShardRange, Version};

/// How long the names of rows that were put are kept.
const LATELY: Duration = Duration::from_secs(60);

/// One lane's hand on a store.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    receipts: Receipts,
    parts: BTreeMap<Part, Told>,
    recent: Recent,
}

/// What this writer knows to be in a part.
#[derive(Clone, Copy, Debug)]
struct Told {
    incarnation: u64,
    marker: Version,
}

/// What a part has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The part.
    pub part: Part,
    /// Which rows it may have lost.
    pub rows: Lost,
}

/// Rows that may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Any.
    All,
    /// These at most.
    These(Vec<RowKey>),
}

/// What came of writing markers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marked {
    /// They are there; opening ones in the parts that have lost rows.
    Written {
        /// What was lost.
        lost: Vec<Loss>,
        /// Whether some part stands that has not lost everything just now.
        standing: bool,
        /// Whether it is known of every part: `marker` is in all that are not lost or healing.
        everywhere: bool,
    },
    /// A newer owner has written for these shards.
    Fenced {
        /// The newer owner's version.
        found: Version,
    },
}

/// What came of one part.
enum Outcome {
    Written(Told),
    Lost(Told, Lost),
    /// It has lost rows, or is new, and it is not known whether its opening marker is there.
    Unopened(Error),
    Fenced(Version),
}

impl Writer {
    /// Makes the hand of the owner of `shards` in `epoch`. `trusted` are the markers that it takes
    /// over, by part; names of rows may take `recent_bytes`.
    #[must_use]
    pub fn new<'a>(
        store: Store,
        shards: ShardRange,
        epoch: u64,
        recent_bytes: usize,
        trusted: impl IntoIterator<Item = (Part, &'a Marker)>,
    ) -> Writer {
        let told = |(part, marker): (Part, &Marker)| {
            let told = Told {
                incarnation: marker.incarnation,
                marker: marker.version,
            };
            (part, told)
        };
        Writer {
            store,
            receipts: Receipts {
                shards,
                version: Version { epoch, seq: 0 },
                held: BTreeMap::new(),
            },
            parts: trusted.into_iter().map(told).collect(),
            recent: Recent::new(recent_bytes),
        }
    }

    /// Publishes rows as [`Store::put_rows`], with receipts behind them.
    ///
    /// # Errors
    /// When it is not known that all are there; repeating the call is safe.
    pub async fn put_rows(&mut self, rows: &[RowWrite]) -> Result<(), Error> {
        let receipts = &mut self.receipts;
        for part in self.store.put_rows_noted(rows, receipts).await? {
            if let Some(held) = receipts.held.get_mut(&part) {
                *held = receipts.version;
            }
        }
        let now = Instant::now();
        if self.store.goes_back() {
            self.recent.note(self.receipts.version.seq, now, rows);
            self.recent.forget_before(now.checked_sub(LATELY));
        }
        Ok(())
    }

    /// Writes `marker` to every part but those that are `healing`, and `opening` instead to the
    /// parts that are new or have lost rows. Both carry the incarnation that such parts begin with;
    /// `opening` has the greater version, and no views.
    ///
    /// # Errors
    /// When it is not known of every part whether it is there; repeating the call with later
    /// versions is safe.
    pub async fn mark(
        &mut self,
        marker: &Marker,
        opening: &Marker,
        healing: &[Part],
    ) -> Result<Marked, Error> {
        let present = self.store.parts().await?;
        self.parts.retain(|part, _| present.contains(part));
        self.receipts.version.seq += 1;
        let first = self.receipts.version;
        let due = present.iter().filter(|part| !healing.contains(part));
        let marks = due.map(|part| self.mark_part(*part, marker, opening, first));
        let marked = join_all(marks).await;
        let parts = &self.parts;
        self.receipts
            .held
            .retain(|part, _| parts.contains_key(part));
        let mut lost = Vec::new();
        let mut failed = None;
        let mut standing = present.iter().any(|part| healing.contains(part));
        let due = present.iter().filter(|part| !healing.contains(part));
        for (part, outcome) in due.zip(marked) {
            match outcome {
                Ok(Outcome::Written(told)) => {
                    standing = true;
                    self.parts.insert(*part, told);
                    self.receipts.held.entry(*part).or_insert(first);
                }
                Ok(Outcome::Lost(told, rows)) => {
                    self.parts.insert(*part, told);
                    self.receipts.held.insert(*part, first);
                    lost.push(Loss { part: *part, rows });
                }
                // What it holds proves nothing any more: it begins anew.
                Ok(Outcome::Unopened(error)) => {
                    self.parts.remove(part);
                    failed = Some(error);
                }
                Ok(Outcome::Fenced(found)) => return Ok(Marked::Fenced { found }),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            // What was lost must be told even so: its opening marker is written only once.
            Some(error) if lost.is_empty() => Err(error),
            failed => Ok(Marked::Written {
                lost,
                standing: standing || failed.is_some(),
                everywhere: failed.is_none(),
            }),
        }
    }

    async fn mark_part(
        &self,
        part: Part,
        marker: &Marker,
        opening: &Marker,
        first: Version,
    ) -> Result<Outcome, Error> {
        let Some(told) = self.parts.get(&part).copied() else {
            return Ok(self.open(part, opening, first, Lost::All).await);
        };
        let receipt = self.receipts.held.get(&part).copied();
        let marker = Marker {
            incarnation: told.incarnation,
            ..marker.clone()
        };
        let mut expected = told.marker;
        loop {
            let over = Expected {
                marker: Some(expected),
                receipt,
                // That of a marker that was taken over: nothing has been put there yet.
                first: receipt.is_none().then_some(first),
            };
            let put = self.store.put_marker_in(part, over, &marker).await?;
            let found = match put.write {
                MarkerWrite::Written => {
                    return Ok(Outcome::Written(Told {
                        marker: marker.version,
                        ..told
                    }));
                }
                MarkerWrite::Fenced { found } => return Ok(Outcome::Fenced(found)),
                MarkerWrite::Lost { found } => found,
            };
            // A later one of this writer that was not acknowledged: nothing is lost.
            if let Some(found) = found
                && self.is_own(found)
                && found > expected
            {
                expected = found;
                continue;
            }
            let own = |found: Version| found == told.marker || self.is_own(found);
            let known = self.store.goes_back() && found.is_some_and(own);
            let rows = match known {
                true => self.lost_since(part, put.receipt),
                false => Lost::All,
            };
            tracing::warn!(
                shards = %marker.shards,
                %part,
                ?found,
                ?expected,
                receipt = ?put.receipt,
                expected_receipt = ?receipt,
                all = rows == Lost::All,
                "the online store has lost rows"
            );
            return Ok(self.open(part, opening, first, rows).await);
        }
    }

    /// Puts the opening marker over whatever is there.
    async fn open(&self, part: Part, opening: &Marker, first: Version, rows: Lost) -> Outcome {
        let over = Expected {
            first: Some(first),
            ..Expected::default()
        };
        let put = match self.store.put_marker_in(part, over, opening).await {
            Ok(put) => put,
            Err(error) => return Outcome::Unopened(error),
        };
        let told = Told {
            incarnation: opening.incarnation,
            marker: opening.version,
        };
        if let MarkerWrite::Fenced { found } = put.write {
            return Outcome::Fenced(found);
        }
        let retired = self
            .store
            .retire_markers_in(part, opening.shards, opening.shards);
        if let Err(error) = retired.await {
            tracing::debug!(%error, "old markers stay for now");
        }
        Outcome::Lost(told, rows)
    }

    /// The rows that a part may have lost which went back to a receipt.
    fn lost_since(&self, part: Part, receipt: Option<Version>) -> Lost {
        let own = receipt.filter(|receipt| self.is_own(*receipt));
        let since = own.map_or(0, |receipt| receipt.seq);
        let rows = self.recent.since(since, |entity| part.holds(entity));
        rows.map_or(Lost::All, Lost::These)
    }

    fn is_own(&self, version: Version) -> bool {
        version.epoch == self.receipts.version.epoch
    }
}

//! One lane's hand to the online store: puts rows until they are there, then markers.

use crossbeam_channel::Sender;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_online::{MarkerWrite, RowWrite, Store};
use tiderace_types::{Marker, ShardRange, Version};
use tokio::sync::mpsc::Receiver;

/// What a lane asks.
pub enum Order {
    /// Put rows.
    Rows(Vec<RowWrite>),
    /// Write a marker over the one of this version.
    Marker(Box<Marker>, Option<Version>),
}

/// What came of it.
pub enum Reply {
    /// The rows are in the store.
    RowsThere,
    /// The marker was tried.
    Marker(MarkerWrite, Version),
    /// It is not known whether the marker was written; the store is away.
    MarkerFailed(Version),
    /// The loop is stopping and the store is away: the rows stay owed.
    GaveUp,
}

/// The first and the longest pause between tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How long a stopping loop still tries.
const PARTING: Duration = Duration::from_secs(3);

pub struct Publisher {
    pub online: Store,
    pub shards: ShardRange,
    pub orders: Receiver<Order>,
    pub replies: Sender<Reply>,
    pub stop: Arc<AtomicBool>,
}

impl Publisher {
    /// Serves its lane until the lane hangs up.
    pub async fn run(mut self) {
        while let Some(order) = self.orders.recv().await {
            let reply = match order {
                Order::Rows(rows) => self.put(&rows).await,
                Order::Marker(marker, expected) => self.mark(&marker, expected).await,
            };
            // A lane has at most one order out, so there is always room for its reply.
            if self.replies.try_send(reply).is_err() {
                return;
            }
        }
    }

    async fn put(&self, rows: &[RowWrite]) -> Reply {
        let mut pause = PAUSE.0;
        let mut away_since: Option<Instant> = None;
        let mut parting: Option<Instant> = None;
        loop {
            let error = match self.online.put_rows(rows).await {
                Ok(()) => {
                    if let Some(since) = away_since {
                        let seconds = since.elapsed().as_secs_f64();
                        tracing::info!(shards = %self.shards, seconds, "the online store is back");
                    }
                    return Reply::RowsThere;
                }
                Err(error) => error,
            };
            if away_since.is_none() {
                tracing::warn!(shards = %self.shards, %error, "the online store refuses rows; they wait");
                away_since = Some(Instant::now());
            }
            if self.stop.load(Ordering::Acquire) {
                let since = parting.get_or_insert_with(Instant::now);
                if since.elapsed() > PARTING {
                    return Reply::GaveUp;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn mark(&self, marker: &Marker, expected: Option<Version>) -> Reply {
        match self.online.put_marker(expected, marker).await {
            Ok(written) => {
                if written == MarkerWrite::Written && expected.is_none() {
                    let retired = self.online.retire_markers(ShardRange::ALL, self.shards);
                    if let Err(error) = retired.await {
                        tracing::debug!(%error, "old markers stay for now");
                    }
                }
                Reply::Marker(written, marker.version)
            }
            Err(error) => {
                tracing::debug!(%error, "the marker was not written");
                Reply::MarkerFailed(marker.version)
            }
        }
    }
}

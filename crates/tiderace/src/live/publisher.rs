//! One lane's hand to the online store: puts rows until they are there, then markers.

use crossbeam_channel::Sender;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_online::{Marked, Part, RowWrite, Writer};
use tiderace_types::{Marker, ShardRange};
use tokio::sync::mpsc::Receiver;

/// What a lane asks.
pub enum Order {
    /// Put rows.
    Rows(Vec<RowWrite>),
    /// Write markers.
    Mark(Box<Mark>),
}

/// What is to be said of the rows.
pub struct Mark {
    /// What a part is told that lacks nothing.
    pub marker: Marker,
    /// What a part is told that is new or has lost rows.
    pub opening: Marker,
    /// The parts that are told nothing yet.
    pub healing: Vec<Part>,
}

/// What came of it.
pub enum Reply {
    /// The rows are in the store.
    RowsThere,
    /// The markers were tried.
    Marked(Marked, Box<Mark>),
    /// It is not known whether the markers were written; the store is away.
    MarkerFailed,
    /// The loop is stopping and the store is away: the rows stay owed.
    GaveUp,
}

/// The first and the longest pause between tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How long a stopping loop still tries.
const PARTING: Duration = Duration::from_secs(3);

pub struct Publisher {
    pub writer: Writer,
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
                Order::Mark(mark) => self.mark(mark).await,
            };
            // A lane has at most one order out, so there is always room for its reply.
            if self.replies.try_send(reply).is_err() {
                return;
            }
        }
    }

    async fn put(&mut self, rows: &[RowWrite]) -> Reply {
        let mut pause = PAUSE.0;
        let mut away_since: Option<Instant> = None;
        let mut parting: Option<Instant> = None;
        loop {
            let error = match self.writer.put_rows(rows).await {
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

    async fn mark(&mut self, mark: Box<Mark>) -> Reply {
        let Mark {
            marker,
            opening,
            healing,
        } = &*mark;
        match self.writer.mark(marker, opening, healing).await {
            Ok(marked) => Reply::Marked(marked, mark),
            Err(error) => {
                tracing::debug!(%error, "the marker was not written");
                Reply::MarkerFailed
            }
        }
    }
}

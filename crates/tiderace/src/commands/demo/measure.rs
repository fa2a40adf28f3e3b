//! The tasks that measure: each asks the server as a model would, and times the answers.

use super::asker::{About, Asked, ask};
use super::board::{Board, Probe};
use super::world::World;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiderace_serve::client::{Client, GetOnlineFeaturesResponse};
use tiderace_types::Timestamp;
use tokio::sync::watch::Receiver;

/// The pause between lookups: they show what one takes, not how many there can be.
const BETWEEN_LOOKUPS: Duration = Duration::from_millis(1);

/// The pause between two looks for a payment.
const BETWEEN_LOOKS: Duration = Duration::from_micros(500);

/// The pause between two payments that are followed.
const BETWEEN_PROBES: Duration = Duration::from_millis(30);

/// How long a payment is looked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks random customers up, one after the other.
pub async fn lookups(mut client: Client, asked: Asked, world: Arc<World>, board: Arc<Board>) {
    let mut rng = StdRng::seed_from_u64(0x100c);
    loop {
        let payment = world.payment(&mut rng, crate::live::now());
        let about = About {
            customer: payment.customer,
            terminal: payment.terminal,
            amount: payment.cents as f64 / 100.0,
        };
        let request = asked.request(about, false);
        let began = Instant::now();
        match ask(&mut client, request).await {
            Ok(_) => board.answered_in(micros(began)),
            Err(message) => board.failed(message),
        }
        tokio::time::sleep(BETWEEN_LOOKUPS).await;
    }
}

/// Follows payments from their push to the first answer that shows them.
pub async fn freshness(
    mut client: Client,
    asked: Asked,
    mut probes: Receiver<Option<Probe>>,
    board: Arc<Board>,
) {
    while probes.changed().await.is_ok() {
        let Some(probe) = probes.borrow_and_update().clone() else {
            continue;
        };
        let about = About {
            customer: probe.customer,
            terminal: probe.terminal,
            amount: 1.0,
        };
        while probe.pushed.elapsed() < PATIENCE {
            let answer = ask(&mut client, asked.request(about, true)).await;
            if answer.is_ok_and(|answer| shows(&answer, probe.time)) {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        board.fresh_after(micros(probe.pushed));
        tokio::time::sleep(BETWEEN_PROBES).await;
    }
}

/// Tells whether every view in an answer has an event as new as `time`. The log keeps order,
/// so a later payment of the same customer shows that this one is in, too.
fn shows(answer: &GetOnlineFeaturesResponse, time: Timestamp) -> bool {
    let newest = answer.rows.iter().flat_map(|row| &row.views).map(|view| {
        let at = view.newest_event_time.as_ref();
        at.map_or(i64::MIN, |at| {
            at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000
        })
    });
    newest.min().is_some_and(|newest| newest >= time.0)
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

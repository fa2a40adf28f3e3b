//! The thread that pushes payments over gRPC, as a payment system would: the past, then the present.

use super::board::{Board, Probe, Watch};
use super::generator::{Live, PAST, Past};
use super::payment::Payment;
use super::world::World;
use crate::live::{Ledger, SourceLedger, now};
use anyhow::{Context, Result};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_serve::Durability;
use tiderace_serve::client::Client;
use tokio::runtime::Handle;

/// How often what is due is pushed.
const TICK: Duration = Duration::from_millis(5);

/// Payments in one push.
const GROUP: usize = 2_000;

/// One payment in so many is pushed twice, as after a lost acknowledgement.
const RETRIED: u32 = 1_000;

/// One payment in so many comes with an amount that is no number.
const MISTYPED: u32 = 3_000;

/// Pushes until it is told to stop.
pub struct Feeder {
    pub client: Client,
    pub source: String,
    pub world: Arc<World>,
    pub seed: u64,
    pub rate: u32,
    /// Past payments a day; none when the log has a past already.
    pub past_per_day: Option<f64>,
    /// The number of the first payment.
    pub next_id: i64,
    pub board: Arc<Board>,
    pub ledger: Arc<Ledger>,
    pub probes: tokio::sync::watch::Sender<Option<Probe>>,
    pub stop: Arc<AtomicBool>,
    pub runtime: Handle,
}

impl Feeder {
    /// Pushes the past, waits until it is taken in, then keeps the rate.
    pub fn run(mut self) -> Result<()> {
        let mut pushed = 0;
        if let Some(per_day) = self.past_per_day {
            pushed = self.push_past(per_day)?;
        }
        while !self.stopping() && !taken_in(&self.ledger, pushed) {
            std::thread::sleep(TICK);
        }
        self.board.go_live(pushed);
        self.push_present()
    }

    fn push_past(&mut self, per_day: f64) -> Result<u64> {
        let days = PAST.0 as f64 / 86_400e6;
        self.board.past((per_day * days) as u64);
        let past = Past::new(Arc::clone(&self.world), self.seed, now(), per_day);
        let mut group: Vec<Bytes> = Vec::with_capacity(GROUP);
        let mut pushed = 0;
        for payment in past.flatten() {
            group.push(self.numbered(payment).json());
            if group.len() == GROUP {
                pushed += self.push(std::mem::take(&mut group), Durability::Process)?;
            }
            if self.stopping() {
                return Ok(pushed);
            }
        }
        // The last push puts all of it on disk.
        Ok(pushed + self.push(group, Durability::Disk)?)
    }

    fn push_present(&mut self) -> Result<()> {
        let mut live = Live::new(Arc::clone(&self.world), self.seed, now(), self.rate);
        let mut untidy = StdRng::seed_from_u64(self.seed);
        while !self.stopping() {
            std::thread::sleep(TICK);
            let made = live.until(now());
            let mut amount = None;
            for group in made.chunks(GROUP) {
                let payments: Vec<_> = group.iter().map(|p| self.numbered(p.clone())).collect();
                let burst = live.burst();
                let of_victim = |payment: &&Payment| payment.customer == burst.customers[0];
                amount = payments
                    .iter()
                    .rfind(of_victim)
                    .map(Payment::amount)
                    .or(amount);
                let (payloads, sample) = payloads(&payments, &mut untidy);
                let probe = sample.map(|payment| Probe {
                    customer: payment.customer,
                    terminal: payment.terminal,
                    time: payment.time,
                    pushed: Instant::now(),
                });
                self.probes.send_replace(probe);
                self.push(payloads, Durability::Disk)?;
            }
            self.board.watch(Watch::of(live.burst()), amount);
        }
        Ok(())
    }

    fn push(&mut self, payloads: Vec<Bytes>, durability: Durability) -> Result<u64> {
        let count = payloads.len() as u64;
        if count == 0 {
            return Ok(0);
        }
        let pushed = self.client.push(&self.source, payloads, durability);
        self.runtime.block_on(pushed).context("push payments")?;
        Ok(count)
    }

    fn numbered(&mut self, mut payment: Payment) -> Payment {
        payment.id = self.next_id;
        self.next_id += 1;
        payment
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// The events of payments, with the faults that streams have; and a faultless payment to follow.
fn payloads<'a>(payments: &'a [Payment], untidy: &mut StdRng) -> (Vec<Bytes>, Option<&'a Payment>) {
    let mut payloads = Vec::with_capacity(payments.len() + 1);
    let mut sample = None;
    for payment in payments {
        if untidy.random_ratio(1, MISTYPED) {
            payloads.push(payment.mistyped());
            continue;
        }
        payloads.push(payment.json());
        if untidy.random_ratio(1, RETRIED) {
            payloads.push(payment.json());
        }
        sample = Some(payment);
    }
    (payloads, sample)
}

/// Tells whether so many records have been read and their rows can be looked up.
fn taken_in(ledger: &Ledger, records: u64) -> bool {
    let counts = ledger.counts();
    let read: u64 = counts.sources.values().map(SourceLedger::read).sum();
    read >= records && counts.owing.values().all(|rows| *rows == 0)
}

//! The stream: a past at once, then payments as the clock goes, with fraud now and then.
//!
//! Time and chance are arguments: the same seed and instants give the same payments.

use super::fraud::{Burst, Scheme};
use super::payment::Payment;
use super::world::{RHYTHM, World, hour};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use tiderace_types::{Duration, Timestamp};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// How long the past is: long enough for a week's window that ends a week ago.
pub const PAST: Duration = Duration(15 * 24 * HOUR);

/// How long a live burst lasts.
const BURST: Duration = Duration(8 * SECOND);

/// How many payments a burst of the past has: live ones stand out.
const PAST_BURST: i64 = 12;

/// How long after a burst its victim is still watched.
const AFTERMATH: Duration = Duration(6 * SECOND);

/// Past payments, an hour at a time.
pub struct Past {
    world: Arc<World>,
    rng: StdRng,
    at: Timestamp,
    until: Timestamp,
    per_day: f64,
}

impl Past {
    /// About `per_day` payments a day, over [`PAST`] before `until`.
    pub fn new(world: Arc<World>, seed: u64, until: Timestamp, per_day: f64) -> Past {
        Past {
            world,
            rng: StdRng::seed_from_u64(seed ^ 0x9a57),
            at: until.plus(Duration(-PAST.0)),
            until,
            per_day,
        }
    }
}

impl Iterator for Past {
    type Item = Vec<Payment>;

    /// The payments of the next hour, in order of time.
    fn next(&mut self) -> Option<Vec<Payment>> {
        if self.at >= self.until {
            return None;
        }
        let (from, rng, world) = (self.at, &mut self.rng, &*self.world);
        self.at = from.plus(Duration(HOUR)).min(self.until);
        let span = self.at.since(from).0;
        let share = RHYTHM[hour(from)] / RHYTHM.iter().sum::<f64>();
        let count = (self.per_day * share * span as f64 / HOUR as f64).round() as usize;
        let mut payments: Vec<Payment> = (0..count)
            .map(|_| {
                let time = from.plus(Duration(rng.random_range(0..span)));
                world.payment(rng, time)
            })
            .collect();
        // A few frauds a day, so that there are labels to know by now.
        if rng.random_ratio(1, 5) {
            let scheme = alternate(rng.random());
            let mut burst = Burst::new(scheme, rng, world, from, Duration(span), PAST_BURST);
            for _ in 0..burst.due(self.at) {
                let time = from.plus(Duration(rng.random_range(0..span)));
                payments.push(burst.payment(rng, world, time));
            }
        }
        payments.sort_by_key(|payment| payment.time);
        Some(payments)
    }
}

/// Payments as the clock goes.
pub struct Live {
    world: Arc<World>,
    rng: StdRng,
    rate: f64,
    began: Timestamp,
    at: Timestamp,
    made: u64,
    bursts: u32,
    burst: Burst,
}

impl Live {
    /// `rate` payments a second from `began` on.
    pub fn new(world: Arc<World>, seed: u64, began: Timestamp, rate: u32) -> Live {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x11fe);
        let first = began.plus(Duration(7 * SECOND));
        let burst = burst(0, &mut rng, &world, first);
        Live {
            world,
            rng,
            rate: f64::from(rate),
            began,
            at: began,
            made: 0,
            bursts: 0,
            burst,
        }
    }

    /// The burst that is announced, under way, or just over.
    pub fn burst(&self) -> &Burst {
        &self.burst
    }

    /// The payments made since the last call, in order of time.
    pub fn until(&mut self, now: Timestamp) -> Vec<Payment> {
        let elapsed = now.since(self.began).0.max(0) as f64 / SECOND as f64;
        let due = (elapsed * self.rate) as u64;
        let count = usize::try_from(due.saturating_sub(self.made)).unwrap_or_default();
        if count == 0 || now <= self.at {
            return Vec::new();
        }
        let (from, span) = (self.at, now.since(self.at).0);
        self.made = due;
        self.at = now;
        let fraud = self.burst.due(now).min(count);
        let payments = (0..count)
            .map(|turn| {
                let part = span as f64 * (turn + 1) as f64 / count as f64;
                let time = from.plus(Duration((part as i64).min(span)));
                match turn < fraud {
                    true => self.burst.payment(&mut self.rng, &self.world, time),
                    false => self.world.payment(&mut self.rng, time),
                }
            })
            .collect();
        if now > self.burst.ends.plus(AFTERMATH) {
            self.announce();
        }
        payments
    }

    /// Plans the next burst, so that its victim can be watched before it comes.
    fn announce(&mut self) {
        self.bursts += 1;
        let pause = Duration(self.rng.random_range(13 * SECOND..20 * SECOND));
        let begins = self.burst.ends.plus(pause);
        self.burst = burst(self.bursts, &mut self.rng, &self.world, begins);
    }
}

/// A live burst.
fn burst(turn: u32, rng: &mut StdRng, world: &World, begins: Timestamp) -> Burst {
    let scheme = alternate(turn);
    let size = match scheme {
        Scheme::StolenCard => 40,
        Scheme::CompromisedTerminal => 64,
    };
    Burst::new(scheme, rng, world, begins, BURST, size)
}

fn alternate(turn: u32) -> Scheme {
    match turn % 2 {
        0 => Scheme::StolenCard,
        _ => Scheme::CompromisedTerminal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: Timestamp = Timestamp(1_700_000_000_000_000);

    #[test]
    fn the_past_is_in_order_and_ends_in_time() {
        let world = Arc::new(World::new(1, 200, 40));
        let payments: Vec<_> = Past::new(world, 1, BEGAN, 500.0).flatten().collect();
        assert!(payments.is_sorted_by_key(|payment| payment.time));
        assert!(payments.iter().all(|payment| payment.time < BEGAN));
        assert!(payments.len() > 14 * 500);
        assert!(payments.iter().any(|payment| payment.fraud));
    }

    #[test]
    fn live_payments_keep_the_rate_and_fraud_comes() {
        let world = Arc::new(World::new(1, 200, 40));
        let mut live = Live::new(world, 1, BEGAN, 100);
        let ticks = (1..=4_400).map(|tick| BEGAN.plus(Duration(tick * 10_000)));
        let payments: Vec<_> = ticks.flat_map(|now| live.until(now)).collect();
        assert_eq!(payments.len(), 4_400);
        assert!(payments.is_sorted_by_key(|payment| payment.time));
        let frauds = payments.iter().filter(|payment| payment.fraud).count();
        assert_eq!(frauds, 40 + 64, "two bursts within 44 s");
    }
}

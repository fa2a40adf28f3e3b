//! Who pays where: customers and terminals with habits of their own, made from a seed.
//!
//! A customer has a usual amount (log-normal around it), a few terminals near home, a pace
//! and hours. None of it is anybody's data.

use super::payment::Payment;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tiderace_types::Timestamp;

/// Everybody and every place.
pub struct World {
    pub customers: Vec<Customer>,
    pub terminals: i64,
}

/// One who pays.
pub struct Customer {
    pub id: i64,
    /// The logarithm of the usual amount.
    usual: f64,
    /// How far amounts stray from it.
    spread: f64,
    /// How often they pay, beside the busiest: (0, 1].
    pace: f64,
    /// By how many hours their day is later than other people's.
    later: usize,
    /// Where they mostly pay, the favourite first.
    pub near: Vec<i64>,
}

/// How much is paid in each hour of the day, beside the busiest hour.
pub const RHYTHM: [f64; 24] = [
    0.10, 0.06, 0.04, 0.04, 0.05, 0.10, 0.22, 0.40, 0.55, 0.62, 0.70, 0.82, //
    1.00, 0.90, 0.75, 0.72, 0.80, 0.95, 1.00, 0.90, 0.68, 0.48, 0.32, 0.18,
];

/// One in so many lives by night.
const NIGHT_OWLS: u32 = 12;

/// So many terminals are badly guarded.
const UNGUARDED: i64 = 25;

/// How often somebody pays away from their usual terminals.
const AWAY: f64 = 0.12;

impl World {
    /// The world that `seed` makes.
    pub fn new(seed: u64, customers: usize, terminals: usize) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let place = |rng: &mut StdRng| (rng.random::<f64>(), rng.random::<f64>());
        let places: Vec<_> = (0..terminals).map(|_| place(&mut rng)).collect();
        let customers = (1..)
            .take(customers)
            .map(|id| Customer {
                id,
                usual: 3.4 + 0.6 * normal(&mut rng),
                spread: rng.random_range(0.25..0.7),
                pace: rng.random_range(0.05f64..1.0).powi(2).max(0.02),
                later: match rng.random_ratio(1, NIGHT_OWLS) {
                    true => 10,
                    false => rng.random_range(0..3),
                },
                near: {
                    let home = place(&mut rng);
                    let usual = rng.random_range(2..7);
                    nearest(home, &places, usual)
                },
            })
            .collect();
        World {
            customers,
            terminals: i64::try_from(terminals).unwrap_or(i64::MAX),
        }
    }

    /// A customer who may well pay at `time`.
    pub fn payer(&self, rng: &mut StdRng, time: Timestamp) -> &Customer {
        let hour = hour(time);
        loop {
            let customer = self.anyone(rng);
            let awake = RHYTHM[(hour + 24 - customer.later) % 24];
            if rng.random::<f64>() < customer.pace * awake {
                return customer;
            }
        }
    }

    /// Any customer.
    pub fn anyone(&self, rng: &mut StdRng) -> &Customer {
        &self.customers[rng.random_range(0..self.customers.len())]
    }

    /// One of the few terminals that are badly guarded: fraud happens there again.
    pub fn unguarded(&self, rng: &mut StdRng) -> i64 {
        self.anywhere(rng) % UNGUARDED + 1
    }

    /// Any terminal.
    pub fn anywhere(&self, rng: &mut StdRng) -> i64 {
        rng.random_range(1..=self.terminals)
    }

    /// An ordinary payment.
    pub fn payment(&self, rng: &mut StdRng, time: Timestamp) -> Payment {
        let customer = self.payer(rng, time);
        let terminal = match rng.random_bool(AWAY) {
            true => self.anywhere(rng),
            // The favourite is the smaller of two draws.
            false => {
                let draw = |rng: &mut StdRng| rng.random_range(0..customer.near.len());
                customer.near[draw(rng).min(draw(rng))]
            }
        };
        Payment {
            id: 0,
            time,
            customer: customer.id,
            terminal,
            cents: customer.cents(rng, 1.0),
            fraud: false,
        }
    }
}

impl Customer {
    /// An amount in cents, `times` what is usual for them.
    pub fn cents(&self, rng: &mut StdRng, times: f64) -> i64 {
        let amount = (self.usual + self.spread * normal(rng)).exp() * times;
        (amount * 100.0).round().clamp(50.0, 1_000_000.0) as i64
    }
}

/// The hour of the day of an instant.
pub fn hour(time: Timestamp) -> usize {
    usize::try_from(time.0.div_euclid(3_600_000_000).rem_euclid(24)).unwrap_or_default()
}

/// The terminals nearest to a home, nearest first.
fn nearest(home: (f64, f64), places: &[(f64, f64)], count: usize) -> Vec<i64> {
    let far = |place: &(f64, f64)| (place.0 - home.0).powi(2) + (place.1 - home.1).powi(2);
    let mut found: Vec<(f64, i64)> = Vec::with_capacity(count + 1);
    for (place, id) in places.iter().zip(1..) {
        let far = far(place);
        if found.len() < count || found.last().is_some_and(|last| far < last.0) {
            let at = found.partition_point(|each| each.0 <= far);
            found.insert(at, (far, id));
            found.truncate(count);
        }
    }
    found.into_iter().map(|(_, id)| id).collect()
}

/// A draw from the standard normal distribution.
fn normal(rng: &mut StdRng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_world() {
        let drawn = |seed| {
            let world = World::new(seed, 100, 20);
            let mut rng = StdRng::seed_from_u64(seed);
            let noon = Timestamp(1_700_000_000_000_000);
            let payments = (0..50).map(|_| world.payment(&mut rng, noon).json());
            payments.collect::<Vec<_>>()
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }
}

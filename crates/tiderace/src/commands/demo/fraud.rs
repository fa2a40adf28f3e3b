//! Bursts of fraud: a stolen card is emptied, or a compromised terminal charges copied cards.

use super::payment::Payment;
use super::world::World;
use rand::RngExt;
use rand::rngs::StdRng;
use tiderace_types::{Duration, Timestamp};

/// What kind of fraud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// One card at a few terminals where its owner never was.
    StolenCard,
    /// One terminal, copies of several cards.
    CompromisedTerminal,
}

/// One burst, announced before it begins.
#[derive(Clone, Debug)]
pub struct Burst {
    pub scheme: Scheme,
    /// The cards; the first is the one to watch.
    pub customers: Vec<i64>,
    /// The terminals; the first is the one to watch.
    pub terminals: Vec<i64>,
    /// An amount in cents that is usual for the first card.
    pub usual: i64,
    pub begins: Timestamp,
    pub ends: Timestamp,
    /// Payments it makes from beginning to end.
    size: i64,
    /// Payments made.
    pub made: i64,
}

impl Burst {
    /// A burst of `size` payments that lasts from `begins` for `lasts`.
    pub fn new(
        scheme: Scheme,
        rng: &mut StdRng,
        world: &World,
        begins: Timestamp,
        lasts: Duration,
        size: i64,
    ) -> Burst {
        let (cards, terminals) = match scheme {
            Scheme::StolenCard => (1, (0..3).map(|_| world.anywhere(rng)).collect()),
            Scheme::CompromisedTerminal => (8, vec![world.unguarded(rng)]),
        };
        // Whose card it is pays at this hour: there is something to compare with.
        let victims: Vec<_> = (0..cards).map(|_| world.payer(rng, begins)).collect();
        let usual = victims[0].cents(rng, 1.0);
        let customers = victims.iter().map(|customer| customer.id).collect();
        Burst {
            scheme,
            customers,
            terminals,
            usual,
            begins,
            ends: begins.plus(lasts),
            size,
            made: 0,
        }
    }

    /// How many payments it owes at `now`.
    pub fn due(&self, now: Timestamp) -> usize {
        let lasts = self.ends.since(self.begins).0.max(1);
        let gone = now.since(self.begins).0.clamp(0, lasts);
        let owed = i128::from(self.size) * i128::from(gone) / i128::from(lasts);
        usize::try_from(owed - i128::from(self.made)).unwrap_or_default()
    }

    /// Its next payment.
    pub fn payment(&mut self, rng: &mut StdRng, world: &World, time: Timestamp) -> Payment {
        let turn = usize::try_from(self.made).unwrap_or_default();
        self.made += 1;
        let card = self.customers[turn % self.customers.len()];
        let customer = &world.customers[usize::try_from(card - 1).unwrap_or_default()];
        let times = rng.random_range(3.0..9.0);
        Payment {
            id: 0,
            time,
            customer: customer.id,
            terminal: self.terminals[turn % self.terminals.len()],
            cents: customer.cents(rng, times),
            fraud: true,
        }
    }
}

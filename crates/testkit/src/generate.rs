//! Card payments that a stranger would believe, from a seed: the same seed, the same payments.
//!
//! Customers live somewhere on a square, have a terminal or two that they like and
//! more that they sometimes use nearby, a usual amount and a usual pace; amounts are
//! log-normal, in cents. Fraud comes in two kinds: for some hours a terminal is
//! compromised, and many of the payments there are fraud; and a stolen card is used
//! for a quick burst of large amounts.
//!
//! [`Payments`] is endless and in order of time; [`records`] makes of some of them what a
//! topic would hold: a little out of order, some twice, some broken.

mod dice;
mod payment;
mod record;

pub use dice::Dice;
pub use payment::{Payment, Payments, Town};
pub use record::{Breakage, Record, Trouble, records};

#[cfg(test)]
mod tests;

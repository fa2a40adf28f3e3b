//! Quantiles in bounded space: a histogram whose buckets are narrow relative to their numbers.
//!
//! It is a DDSketch (C. Masson et al., "DDSketch: a fast and fully-mergeable quantile sketch
//! with relative-error guarantees", 2019) whose buckets are cut from the bits of a double: 64 to
//! every power of two, so that no logarithm is taken and all machines agree. When there would be
//! more than [`Buckets::MOST`], all are merged in pairs, as often as it takes (I. Epicoco et al.,
//! "UDDSketch", 2020), so that the error grows for all alike and is known.
//!
//! # Laws
//! - Buckets are a function of the multiset of numbers: of no order, split or history.
//!   (A set that needs no pairing leaves none of its subsets in need of one.)
//! - A quantile is off by at most [`Buckets::error`] of itself. Numbers nearer to zero than
//!   2.3e-308 count as zero.

use std::cmp::Ordering;
use tiderace_types::wire::{Reader, WireError, put_u64};

/// The bits of a double below its bucket's number, before any pairing: 46 of 52, leaving 2^6 buckets.
const SHIFT: u32 = 46;

/// So many pairings leave one bucket for each sign.
const MOST_PAIRINGS: u32 = 63 - SHIFT;

/// A bucket's number, and how many numbers are in it.
type Bucket = (u32, u64);

/// Counts of numbers by bucket.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Buckets {
    /// How often buckets have been merged in pairs.
    pairings: u32,
    zeros: u64,
    /// Numbers below zero, by the bucket of their magnitude, ascending.
    negative: Vec<Bucket>,
    positive: Vec<Bucket>,
}

impl Buckets {
    /// How many buckets there are at most.
    pub const MOST: usize = 1024;

    /// Adds numbers.
    pub fn extend(&mut self, numbers: impl IntoIterator<Item = f64>) {
        for x in numbers {
            self.add(x);
        }
    }

    fn add(&mut self, x: f64) {
        let magnitude = x.abs();
        // Not `<`, so that a NaN is not zero.
        if magnitude.total_cmp(&f64::MIN_POSITIVE) == Ordering::Less {
            self.zeros = self.zeros.saturating_add(1);
            return;
        }
        let number = (magnitude.to_bits() >> (SHIFT + self.pairings)) as u32;
        let side = match x.is_sign_negative() {
            true => &mut self.negative,
            false => &mut self.positive,
        };
        match side.binary_search_by_key(&number, |bucket| bucket.0) {
            Ok(place) => side[place].1 = side[place].1.saturating_add(1),
            Err(place) => {
                side.insert(place, (number, 1));
                self.settle();
            }
        }
    }

    /// Adds the numbers of another.
    pub fn merge(&mut self, other: &Buckets) {
        while self.pairings < other.pairings {
            self.pair();
        }
        let more = self.pairings - other.pairings;
        self.zeros = self.zeros.saturating_add(other.zeros);
        union(&mut self.negative, &other.negative, more);
        union(&mut self.positive, &other.positive, more);
        self.settle();
    }

    fn settle(&mut self) {
        while self.negative.len() + self.positive.len() > Buckets::MOST {
            self.pair();
        }
    }

    /// Merges buckets in pairs.
    fn pair(&mut self) {
        self.pairings += 1;
        for side in [&mut self.negative, &mut self.positive] {
            let before = std::mem::take(side);
            union(side, &before, 1);
        }
    }

    /// How many numbers there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let sides = self.negative.iter().chain(&self.positive);
        sides.fold(self.zeros, |sum, bucket| sum.saturating_add(bucket.1))
    }

    /// Roughly how many bytes of memory they take.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Buckets>() + size_of::<Bucket>() * (self.negative.len() + self.positive.len())
    }

    /// About the number that has `rank` lesser ones before it.
    #[must_use]
    pub fn at(&self, rank: u64) -> f64 {
        let mut before = 0u64;
        let mut reaches = |count: u64| {
            before = before.saturating_add(count);
            before > rank
        };
        for (number, count) in self.negative.iter().rev() {
            if reaches(*count) {
                return -self.middle(*number);
            }
        }
        if reaches(self.zeros) {
            return 0.0;
        }
        for (number, count) in &self.positive {
            if reaches(*count) {
                return self.middle(*number);
            }
        }
        self.positive.last().map_or(0.0, |last| self.middle(last.0))
    }

    /// The number whose relative distance to both edges of a bucket is the same.
    fn middle(&self, number: u32) -> f64 {
        let edge = |number: u64| f64::from_bits(number << (SHIFT + self.pairings));
        let low = edge(number.into()).max(f64::MIN_POSITIVE);
        if edge(number.into()).is_nan() || low.is_infinite() {
            return edge(number.into());
        }
        let after = (u64::from(number) + 1) << (SHIFT + self.pairings);
        let high = f64::from_bits(after.min(f64::MAX.to_bits()));
        low * (2.0 / (1.0 + low / high))
    }

    /// The greatest relative error of a quantile.
    #[must_use]
    pub fn error(&self) -> f64 {
        // How wide a bucket is at most: its upper edge over its lower one, less one.
        let width = match self.pairings {
            0..=6 => f64::from(1 << self.pairings) / 64.0,
            more => (f64::from(1 << (more - 6))).exp2() - 1.0,
        };
        match width.is_finite() {
            true => width / (width + 2.0),
            false => 1.0,
        }
    }

    /// Appends the byte form: pairings, zeros, and for each side how many buckets there are and
    /// of each the step from the one before and its count.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.pairings as u8);
        put_u64(self.zeros, out);
        for side in [&self.negative, &self.positive] {
            put_u64(side.len() as u64, out);
            let mut after = 0;
            for (number, count) in side {
                put_u64((number - after).into(), out);
                put_u64(*count, out);
                after = number + 1;
            }
        }
    }

    /// Reads the byte form.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Buckets, WireError> {
        let pairings = u32::from(reader.u8()?);
        if pairings > MOST_PAIRINGS {
            return Err(reader.error());
        }
        let numbers = 1u64 << (MOST_PAIRINGS - pairings);
        let zeros = reader.u64()?;
        let mut side = || {
            let count = reader.count(2)?;
            let mut buckets = Vec::with_capacity(count);
            let mut after = 0u64;
            for _ in 0..count {
                let number = after.checked_add(reader.u64()?).ok_or(reader.error())?;
                if number >= numbers {
                    return Err(reader.error());
                }
                buckets.push((number as u32, reader.u64()?));
                after = number + 1;
            }
            Ok(buckets)
        };
        let mut buckets = Buckets {
            pairings,
            zeros,
            negative: side()?,
            positive: side()?,
        };
        buckets.settle();
        Ok(buckets)
    }
}

/// Adds buckets, whose numbers are halved `pairings` times, to others. Both ascend.
fn union(side: &mut Vec<Bucket>, other: &[Bucket], pairings: u32) {
    let mut out: Vec<Bucket> = Vec::with_capacity(side.len() + other.len());
    let mut push = |(number, count): Bucket| match out.last_mut() {
        Some(last) if last.0 == number => last.1 = last.1.saturating_add(count),
        _ => out.push((number, count)),
    };
    let mut held = side.iter().copied().peekable();
    for (number, count) in other {
        let bucket = (number >> pairings, *count);
        while let Some(before) = held.next_if(|held| held.0 <= bucket.0) {
            push(before);
        }
        push(bucket);
    }
    held.for_each(&mut push);
    *side = out;
}

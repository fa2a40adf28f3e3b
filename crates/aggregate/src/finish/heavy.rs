//! The heaviest values of one window, where not all values have to be weighed, or there are few events.
//!
//! Where one merged span has most of the events, its list names its heaviest, and what the events beside it
//! weigh tells how far down that list one has to look.
//!
//! # Laws
//! - The answer is that of weighing every value, bit for bit: what is left out could not be in it.

use super::FinishError;
use super::nested::Place;
use super::once::Union;
use super::top::entries;
use super::weigh::{Weigh, rising};
use crate::answer::{Answer, Bound};
use crate::column::{Cell, Slots};
use crate::function::Function;
use crate::partial::{Listed, Members, weights};
use crate::spec::{Output, RowSpec};
use tiderace_types::{DataType, Value};

/// So few values are weighed here at most.
const FEW: usize = 128;

/// Sums of magnitudes by hash: what events of one value weigh is at most the sum that it shares.
const SHARED: usize = 256;

/// The heaviest values of a window.
pub(super) struct Heavy<'a> {
    /// The list of the only merged span, where there is one.
    pub(super) listed: Option<&'a Listed>,
    /// The events beside it.
    pub(super) members: &'a Members<'a>,
    /// Their values.
    pub(super) values: Slots<'a, i64>,
}

impl<'a> Heavy<'a> {
    /// Answers outputs that differ in how many they ask for, events weighing what `weight` says, and
    /// that as a double, its sign apart; tells whether it could.
    pub(super) fn finish<W: Weigh>(
        &self,
        spec: &RowSpec,
        (cap, key_type, places): (usize, &DataType, &[Place]),
        weight: impl Fn(usize) -> (Cell<'a>, f64),
        answers: &mut [Result<Answer, FinishError>],
    ) -> bool {
        let asked = |place: &Place| match &spec.outputs[place.output] {
            Output {
                function: Function::TopN { n, .. },
                data_type: DataType::Map(_, weight_type),
                ..
            } if W::in_word(weight_type) => Some(*n as usize),
            _ => None,
        };
        let most = |most: usize, place| asked(place).map(|n| most.max(n));
        let Some(most) = places.iter().try_fold(0, most) else {
            return false;
        };
        let mut held = Held::default();
        let found = match self.listed {
            None => self.all::<W>(weight, &mut held),
            Some(listed) => self.beside::<W>(listed, most, weight, &mut held),
        };
        if found.is_none() {
            return false;
        }
        let mut ranks = [0; FEW];
        let best = held.best(most, &mut ranks);
        let bound = match self.listed {
            None => (held.count > cap).then_some(0.0),
            Some(listed) => self.missed(listed, cap),
        };
        let bound = bound.map(|error| Bound::Absolute { error });
        for place in places {
            let best = &best[..asked(place).unwrap_or_default().min(best.len())];
            let entries = match key_type {
                DataType::Int64 => entries::<W>(best, Value::Int),
                _ => entries::<W>(best, |key| Cell::Int(key).to_value(key_type)),
            };
            let value = match entries.is_empty() {
                true => Value::Null,
                false => Value::Map(entries),
            };
            answers[place.slot] = Ok(Answer { value, bound });
        }
        true
    }

    /// Weighs the values of all events, where these are few.
    fn all<W: Weigh>(
        &self,
        weight: impl Fn(usize) -> (Cell<'a>, f64),
        held: &mut Held<W>,
    ) -> Option<()> {
        if self.members.range.len() > FEW {
            return None;
        }
        self.members.each(self.values.nulls, |index| {
            let sum = held.hold(self.values.values[index]);
            sum.add_cell(weight(index).0);
        });
        Some(())
    }

    /// Weighs what may be among the `most` heaviest; `None` where the list does not tell what may.
    fn beside<W: Weigh>(
        &self,
        listed: &Listed,
        most: usize,
        weight: impl Fn(usize) -> (Cell<'a>, f64),
        held: &mut Held<W>,
    ) -> Option<()> {
        let mut named = listed.heaviest();
        if named.len() < most || named.len() > FEW || most == 0 {
            return None;
        }
        let mut is_end = named.len() == listed.count();
        let mut shared = [0f64; SHARED];
        self.members.each(self.values.nulls, |index| {
            shared[share(self.values.values[index])] += weight(index).1;
        });
        let (greatest, total) = fold(&shared);
        // So much the last of the answer weighs at least.
        let (mut least, mut is_finite) = (f64::INFINITY, total.is_finite());
        for (key, sum) in named.by_ref().take(most) {
            let weight = held.hold(key);
            weight.merge_sum(sum);
            let base = weight.about();
            is_finite &= base.is_finite();
            least = least.min(down(base - up(shared[share(key)])));
        }
        if !is_finite || up(greatest) >= least {
            return None;
        }
        let may = |base: f64, more: f64| up_to(base) + up(more) >= least;
        for (key, sum) in named {
            let mut weight = W::default();
            weight.merge_sum(sum);
            let base = weight.about();
            if !may(base, greatest) {
                is_end = true;
                break;
            }
            if may(base, shared[share(key)]) {
                *held.hold(key) = weight;
            }
        }
        if !is_end {
            return None;
        }
        self.members.each(self.values.nulls, |index| {
            if let Some(sum) = held.find(self.values.values[index]) {
                sum.add_cell(weight(index).0);
            }
        });
        Some(())
    }

    /// The bound of the answer, as [`Top`](super::top::Top) tells it, if there is one.
    fn missed(&self, listed: &Listed, cap: usize) -> Option<f64> {
        match listed.past() {
            Some(past) => Some(weights::up(0.0 + past.missed)),
            None => (self.count(listed, cap) > cap).then_some(0.0),
        }
    }

    /// How many different values there are, or any number up to `cap`, where there are no more.
    fn count(&self, listed: &Listed, cap: usize) -> usize {
        let count = listed.count();
        if count + self.members.range.len() <= cap || count > cap {
            return count;
        }
        Union::of(listed, self.members, self.values).count()
    }
}

/// Values with what they weigh.
struct Held<W> {
    keys: [i64; FEW],
    sums: [W; FEW],
    count: usize,
    /// One more than the place of a key, by hash; 0 is free.
    slots: [u8; SHARED],
}

impl<W: Weigh> Default for Held<W> {
    fn default() -> Held<W> {
        Held {
            keys: [0; FEW],
            sums: [W::default(); FEW],
            count: 0,
            slots: [0; SHARED],
        }
    }
}

impl<W: Weigh> Held<W> {
    /// The place of a value; where it is none, the slot that it belongs to.
    #[inline]
    fn place(&self, key: i64) -> Result<usize, usize> {
        let mut at = share(key);
        loop {
            match usize::from(self.slots[at]).checked_sub(1) {
                None => return Err(at),
                Some(place) if self.keys[place % FEW] == key => return Ok(place % FEW),
                Some(_) => at = (at + 1) % SHARED,
            }
        }
    }

    #[inline]
    fn find(&mut self, key: i64) -> Option<&mut W> {
        let place = self.place(key).ok()?;
        Some(&mut self.sums[place])
    }

    /// What a value weighs, which is held from now on. There is room for it.
    #[inline]
    fn hold(&mut self, key: i64) -> &mut W {
        let place = self.place(key).unwrap_or_else(|slot| {
            let place = self.count % FEW;
            self.keys[place] = key;
            self.count += 1;
            self.slots[slot] = self.count as u8;
            place
        });
        &mut self.sums[place]
    }

    /// The heaviest, each as a number of its weight and its value: what is greater comes first.
    fn best<'r>(&self, most: usize, ranks: &'r mut [u128; FEW]) -> &'r [u128] {
        let held = self.keys.iter().zip(&self.sums);
        for (rank, (key, sum)) in ranks.iter_mut().zip(held).take(self.count) {
            *rank = u128::from(sum.word()) << 64 | u128::from(!rising(*key));
        }
        let mut best = &mut ranks[..self.count.min(FEW)];
        if best.len() > most {
            best.select_nth_unstable_by(most, |a, b| b.cmp(a));
            best = &mut best[..most];
        }
        best.sort_unstable_by(|a, b| b.cmp(a));
        best
    }
}

/// Which sum a value shares.
#[inline]
const fn share(value: i64) -> usize {
    let wide = value.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (wide >> (u64::BITS - SHARED.trailing_zeros())) as usize
}

/// The greatest of some sums, and a sum of them all.
fn fold(shared: &[f64; SHARED]) -> (f64, f64) {
    const LANES: usize = 8;
    let (mut most, mut sums) = ([0f64; LANES], [0f64; LANES]);
    for eight in shared.as_chunks::<LANES>().0 {
        for (lane, sum) in eight.iter().enumerate() {
            most[lane] = if *sum > most[lane] { *sum } else { most[lane] };
            sums[lane] += sum;
        }
    }
    let greatest = most.into_iter().fold(0.0, f64::max);
    (greatest, sums.into_iter().sum())
}

/// By more than this share no sum of magnitudes is off.
const SLACK: f64 = 1e-9;

/// A sum of magnitudes at most.
fn up(sum: f64) -> f64 {
    sum * (1.0 + SLACK)
}

/// A weight at most.
fn up_to(weight: f64) -> f64 {
    weight + weight.abs() * SLACK
}

/// A weight at least.
fn down(weight: f64) -> f64 {
    weight - weight.abs() * SLACK
}

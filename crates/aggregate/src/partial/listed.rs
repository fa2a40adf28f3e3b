//! Different integers, with what they weigh, as a reader of rows has them: in plain arrays.
//!
//! Partials that are only merged and finished need not be taken apart into keys and weights. What
//! else is done to them is done to what they [stand for](Listed::partial).

use crate::exact::ExactSum;
use crate::float::FloatSum;
use crate::partial::{Key, Partial, Past, Sum, Weight, Weights};

/// Different integers, with what they weigh.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The integers, ascending, each once. There is at least one.
    pub(crate) keys: Vec<i64>,
    /// What each weighs; none of `count_distinct`.
    pub(crate) weights: Option<Listing>,
}

/// Weights, in the order of their keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listing {
    pub(crate) sums: Sums,
    /// By how much each may be off; nothing at or under the cap.
    pub(crate) errors: Errors,
    pub(crate) past: Option<Past>,
}

/// Sums of one form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sums {
    /// Counts that leave room for as much again and again.
    Small(Vec<i64>),
    /// Of doubles.
    Float(Vec<FloatSum>),
}

/// Errors, of which many are alike.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Errors {
    /// The different ones, or one for each weight where there are too many.
    pub(crate) different: Vec<f64>,
    /// Which of them each weight has.
    pub(crate) which: Option<Vec<u8>>,
}

/// So large may a small count be.
pub(crate) const SMALL: i64 = 1 << 40;

impl Sums {
    pub(crate) fn get(&self, place: usize) -> Sum {
        match self {
            Sums::Small(counts) => Sum::Exact(ExactSum {
                carry: 0,
                low: counts[place].into(),
            }),
            Sums::Float(sums) => Sum::Float(sums[place]),
        }
    }
}

/// The count that a sum is, if it is a small one.
pub(crate) fn small(sum: Sum) -> Option<i64> {
    match sum {
        Sum::Exact(ExactSum { carry: 0, low }) => {
            let count = i64::try_from(low).ok();
            count.filter(|count| (0..=SMALL).contains(count))
        }
        _ => None,
    }
}

impl Listed {
    /// The partial in lists; `None` where there is nothing, or what is no integer, or no weight
    /// of one of the forms.
    pub(crate) fn of(partial: &Partial) -> Option<Listed> {
        match partial {
            Partial::Distinct(keys) => Some(Listed {
                keys: ints(keys.iter())?,
                weights: None,
            }),
            Partial::Weights(Weights { entries, past }) => {
                let counts = entries.iter().map(|weight| small(weight.sum));
                let counts: Option<Vec<i64>> = counts.collect();
                let floats = entries.iter().map(|weight| match weight.sum {
                    Sum::Float(sum) => Some(sum),
                    Sum::Exact(_) => None,
                });
                let sums = match counts {
                    Some(counts) => Sums::Small(counts),
                    None => Sums::Float(floats.collect::<Option<_>>()?),
                };
                Some(Listed {
                    keys: ints(entries.iter().map(|weight| &weight.key))?,
                    weights: Some(Listing {
                        sums,
                        errors: Errors::of(entries.iter().map(|weight| weight.error)),
                        past: *past,
                    }),
                })
            }
            _ => None,
        }
    }

    /// Whether its weights are small counts.
    pub(crate) fn is_small(&self) -> bool {
        let sums = self.weights.as_ref().map(|listing| &listing.sums);
        matches!(sums, Some(Sums::Small(_)))
    }

    /// What it stands for.
    pub(crate) fn partial(&self) -> Partial {
        let keys = self.keys.iter().map(|key| Key::Int(*key));
        let Some(Listing { sums, errors, past }) = &self.weights else {
            return Partial::Distinct(keys.collect());
        };
        let entries = keys.enumerate().map(|(place, key)| Weight {
            key,
            sum: sums.get(place),
            error: errors.get(place),
        });
        Partial::Weights(Weights {
            entries: entries.collect(),
            past: *past,
        })
    }

    /// Roughly how many bytes of memory it takes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Listed>() + self.keys.len() * (size_of::<i64>() + size_of::<FloatSum>())
    }
}

/// Of more different errors each is written: to tell them apart takes as many comparisons.
const DIFFERENT: u8 = 64;

impl Errors {
    fn of(errors: impl ExactSizeIterator<Item = f64> + Clone) -> Errors {
        let mut different: Vec<f64> = Vec::new();
        let mut which = Vec::with_capacity(errors.len());
        for error in errors.clone() {
            let same = |held: &f64| held.to_bits() == error.to_bits();
            let place = different.iter().position(same).unwrap_or(different.len());
            if place == different.len() {
                different.push(error);
            }
            match u8::try_from(place) {
                Ok(place) if place < DIFFERENT => which.push(place),
                _ => {
                    return Errors {
                        different: errors.collect(),
                        which: None,
                    };
                }
            }
        }
        Errors {
            different,
            which: Some(which),
        }
    }

    fn get(&self, place: usize) -> f64 {
        let place = match &self.which {
            Some(which) => which[place].into(),
            None => place,
        };
        self.different.get(place).copied().unwrap_or_default()
    }
}

/// The integers that keys are; `None` where one is none, or there is no key.
fn ints<'k>(keys: impl Iterator<Item = &'k Key>) -> Option<Vec<i64>> {
    let int = |key: &Key| match key {
        Key::Int(n) => Some(*n),
        _ => None,
    };
    let ints: Option<Vec<i64>> = keys.map(int).collect();
    ints.filter(|ints| !ints.is_empty())
}

//! Laying out lists of integers: how they are written, and so how readers keep them.

use crate::exact::ExactSum;
use crate::float::rank;
use crate::partial::laid::{FLOAT, Form, Keys, Layout, Listing, width};
use crate::partial::listed::{Errors, Listed, SMALL, Sums};
use crate::partial::{Key, Partial, Past, Sum, Weights};
use tiderace_types::wire::put_wide;

/// So many of the heaviest are named at most.
const NAMED: usize = 32;

impl Listed {
    /// The partial in lists; `None` where there is nothing, or what is no integer, or no weight
    /// of one of the forms.
    pub(crate) fn of(partial: &Partial) -> Option<Listed> {
        match partial {
            Partial::Distinct(keys) => Some(Listed::lay(&ints(keys.iter())?, None)),
            Partial::Weights(Weights { entries, past }) => {
                let keys = ints(entries.iter().map(|weight| &weight.key))?;
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
                let past = past.map(|past| {
                    let errors = entries.iter().map(|weight| weight.error);
                    (past, Errors::of(errors))
                });
                Some(Listed::lay(&keys, Some((&sums, past))))
            }
            _ => None,
        }
    }

    /// Lays out integers, ascending, each once, at least one; with their weights.
    pub(crate) fn lay(keys: &[i64], weights: Option<(&Sums, Option<(Past, Errors)>)>) -> Listed {
        let least = keys[0];
        let above = |key: &i64| key.wrapping_sub(least).cast_unsigned();
        let most = above(&keys[keys.len() - 1]);
        let wide = width(most);
        let bits = usize::try_from(most / 8 + 1).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(keys.len() * (wide + 2 * FLOAT));
        let named = weights.as_ref().map_or(0, |_| NAMED.min(keys.len()) * wide);
        let form = match bits.saturating_add(named) <= keys.len() * wide {
            true => {
                bytes.resize(bits, 0);
                for key in keys {
                    bytes[(above(key) / 8) as usize] |= 1 << (above(key) % 8);
                }
                Keys::Bits(bits)
            }
            false => {
                put_wide(wide, keys.iter().map(above), &mut bytes);
                Keys::Wide(wide)
            }
        };
        let mut layout = Layout {
            count: keys.len(),
            least,
            keys: form,
            weights: None,
        };
        if let Some((sums, past)) = weights {
            let sums_form = match sums {
                Sums::Small(counts) => {
                    let counts = counts.iter().map(|count| count.cast_unsigned());
                    let width = width(counts.clone().max().unwrap_or_default());
                    put_wide(width, counts, &mut bytes);
                    Form::Counts(width)
                }
                Sums::Float(sums) => {
                    for sum in sums {
                        bytes.extend(sum.sum.to_le_bytes());
                        bytes.extend(sum.lost.to_le_bytes());
                    }
                    Form::Floats
                }
            };
            let heaviest = sums.heaviest();
            let places = heaviest.iter().map(|place| u64::from(*place));
            put_wide(layout.place_width(), places, &mut bytes);
            if matches!(form, Keys::Bits(_)) {
                let named = heaviest.iter().map(|place| above(&keys[*place as usize]));
                put_wide(layout.named_width(), named, &mut bytes);
            }
            let mut listing = Listing {
                sums: sums_form,
                named: heaviest.len(),
                different: 0,
                past: None,
            };
            if let Some((past, Errors { different, which })) = past {
                different.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
                listing.different = which.as_ref().map_or(0, |_| different.len());
                bytes.extend(which.into_iter().flatten());
                listing.past = Some(past);
            }
            layout.weights = Some(listing);
        }
        Listed::new(layout, bytes.into())
    }
}

impl Sums {
    /// The places of the heaviest: weight descending, then key ascending.
    pub(super) fn heaviest(&self) -> Vec<u32> {
        let order = |rank: i64, place: u32| {
            let weight = !(rank ^ i64::MIN).cast_unsigned();
            u128::from(weight) << 64 | u128::from(place)
        };
        let mut all: Vec<u128> = match self {
            Sums::Small(counts) => counts
                .iter()
                .zip(0..)
                .map(|(n, at)| order(*n, at))
                .collect(),
            Sums::Float(sums) => {
                let ranks = sums.iter().map(|sum| rank(sum.total()));
                ranks.zip(0..).map(|(rank, at)| order(rank, at)).collect()
            }
        };
        if all.len() > NAMED {
            all.select_nth_unstable(NAMED);
            all.truncate(NAMED);
        }
        all.sort_unstable();
        all.into_iter().map(|order| order as u32).collect()
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

    pub(super) fn get(&self, place: usize) -> f64 {
        let place = match &self.which {
            Some(which) => which.get(place).copied().unwrap_or_default().into(),
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

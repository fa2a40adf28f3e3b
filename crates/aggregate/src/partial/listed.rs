//! Different integers, with what they weigh, as they are written: each at a place that its number tells.
//!
//! A reader of rows keeps a list so. What it asks for lies mostly in few places, and the heaviest
//! ones are named; only what is to be put together with other lists is [taken out](Listed::keys), once.
//! What else is done is done to what a list [stands for](Listed::partial).

use crate::exact::ExactSum;
use crate::float::FloatSum;
use crate::partial::laid::{FLOAT, Form, Keys, Layout, Listing, each, get};
use crate::partial::{Key, Partial, Past, Sum, Weight, Weights};
use std::sync::OnceLock;

/// Different integers, with what they weigh.
#[derive(Clone, Debug)]
pub struct Listed {
    pub(crate) layout: Layout,
    /// Keys, sums, places of the heaviest, their keys, errors: one after another, as the layout tells.
    pub(crate) bytes: Box<[u8]>,
    keys: OnceLock<Box<[i64]>>,
    sums: OnceLock<Sums>,
}

/// Sums of one form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sums {
    /// Counts that leave room for as much again and again.
    Small(Vec<i64>),
    /// Of doubles.
    Float(Vec<FloatSum>),
}

/// By how much each weight may be off.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Errors {
    /// The different ones, or one for each weight where there are too many.
    pub(crate) different: Vec<f64>,
    /// Which of them each weight has.
    pub(crate) which: Option<Vec<u8>>,
}

/// So large may a small count be.
pub(crate) const SMALL: i64 = 1 << 40;

impl PartialEq for Listed {
    fn eq(&self, other: &Listed) -> bool {
        self.layout == other.layout && self.bytes == other.bytes
    }
}

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

impl Listed {
    /// The list that such bytes are; they are as long as the layout tells.
    pub(crate) fn new(layout: Layout, bytes: Box<[u8]>) -> Listed {
        Listed {
            layout,
            bytes,
            keys: OnceLock::new(),
            sums: OnceLock::new(),
        }
    }

    /// How many integers there are.
    pub(crate) const fn count(&self) -> usize {
        self.layout.count
    }

    /// Keys, sums, places of the heaviest, their keys, errors.
    fn parts(&self) -> [&[u8]; 5] {
        let mut rest = &*self.bytes;
        self.layout.parts().unwrap_or_default().map(|length| {
            let (part, after) = rest.split_at_checked(length).unwrap_or_default();
            rest = after;
            part
        })
    }

    /// Which integers there are, where bits tell.
    pub(crate) fn bits(&self) -> Option<Bits<'_>> {
        match self.layout.keys {
            Keys::Bits(_) => Some(Bits {
                least: self.layout.least,
                bytes: self.parts()[0],
            }),
            Keys::Wide(_) => None,
        }
    }

    /// The least and the greatest integer.
    pub(crate) fn ends(&self) -> (i64, i64) {
        let Layout { least, keys, .. } = self.layout;
        let bytes = self.parts()[0];
        let most = match keys {
            Keys::Bits(_) => {
                let last = bytes.last().copied().unwrap_or_default();
                (8 * bytes.len() as u64).wrapping_sub(1 + u64::from(last.leading_zeros()))
            }
            Keys::Wide(width) => get(bytes, width, self.count() - 1),
        };
        (least, least.wrapping_add_unsigned(most))
    }

    /// The integers, ascending, each once.
    pub(crate) fn keys(&self) -> &[i64] {
        self.keys.get_or_init(|| {
            let least = self.layout.least;
            let bytes = self.parts()[0];
            let mut keys = Vec::with_capacity(self.count());
            match self.layout.keys {
                Keys::Wide(width) => {
                    each(bytes, width, |above| {
                        keys.push(least.wrapping_add_unsigned(above))
                    });
                }
                Keys::Bits(_) => {
                    for (first, mut bits) in words(bytes) {
                        while bits != 0 {
                            let above = first + u64::from(bits.trailing_zeros());
                            keys.push(least.wrapping_add_unsigned(above));
                            bits &= bits - 1;
                        }
                    }
                }
            }
            keys.into()
        })
    }

    /// What each integer weighs; nothing of `count_distinct`.
    pub(crate) fn sums(&self) -> &Sums {
        self.sums.get_or_init(|| {
            let bytes = self.parts()[1];
            match self.layout.weights.map(|listing| listing.sums) {
                None => Sums::Small(Vec::new()),
                Some(Form::Floats) => {
                    let (doubles, _) = bytes.as_chunks();
                    let sums = doubles.as_chunks().0.iter();
                    Sums::Float(sums.map(|[sum, lost]| float(*sum, *lost)).collect())
                }
                Some(Form::Counts(width)) => {
                    let mut counts = Vec::with_capacity(self.count());
                    each(bytes, width, |count| counts.push(count.cast_signed()));
                    Sums::Small(counts)
                }
            }
        })
    }

    /// The heaviest, as the list names them: each with what it weighs.
    pub(crate) fn heaviest(&self) -> impl ExactSizeIterator<Item = (i64, Sum)> {
        let [keys, sums, places, named_keys, _] = self.parts();
        let Layout { least, weights, .. } = self.layout;
        let named = weights.map_or(0, |listing| listing.named);
        let form = weights.map(|listing| listing.sums);
        let (by_place, key_width) = match self.layout.keys {
            Keys::Wide(width) => (true, width),
            Keys::Bits(_) => (false, self.layout.named_width()),
        };
        let place_width = self.layout.place_width();
        (0..named).map(move |number| {
            let place = get(places, place_width, number) as usize;
            let above = match by_place {
                true => get(keys, key_width, place),
                false => get(named_keys, key_width, number),
            };
            (
                least.wrapping_add_unsigned(above),
                sum_at(sums, form, place),
            )
        })
    }

    /// What is known of weights past their cap.
    pub(crate) fn past(&self) -> Option<Past> {
        self.layout.weights?.past
    }

    /// Whether its weights are small counts.
    pub(crate) fn is_small(&self) -> bool {
        let sums = self.layout.weights.map(|listing| listing.sums);
        matches!(sums, Some(Form::Counts(_)))
    }

    fn errors(&self) -> Errors {
        let bytes = self.parts()[4];
        let different = self.layout.weights.map_or(0, |listing| listing.different);
        let (errors, which) = match different {
            0 => (bytes, None),
            _ => {
                let (errors, which) = bytes.split_at(different * FLOAT);
                (errors, Some(which.to_vec()))
            }
        };
        let doubles = errors.as_chunks().0.iter();
        Errors {
            different: doubles.map(|bytes| f64::from_le_bytes(*bytes)).collect(),
            which,
        }
    }

    /// What it stands for.
    pub(crate) fn partial(&self) -> Partial {
        let keys = self.keys().iter().map(|key| Key::Int(*key));
        let Some(Listing { past, sums, .. }) = self.layout.weights else {
            return Partial::Distinct(keys.collect());
        };
        let (bytes, errors) = (self.parts()[1], self.errors());
        let entries = keys.enumerate().map(|(place, key)| Weight {
            key,
            sum: sum_at(bytes, Some(sums), place),
            error: errors.get(place),
        });
        Partial::Weights(Weights {
            entries: entries.collect(),
            past,
        })
    }

    /// Whether every place that is told is one, and every bit that is set an integer.
    pub(crate) fn is_readable(&self) -> bool {
        let [keys, _, places, ..] = self.parts();
        let mut fits = match self.layout.keys {
            Keys::Bits(_) => {
                let set = words(keys).map(|(_, bits)| bits.count_ones() as usize);
                set.sum::<usize>() == self.count()
            }
            Keys::Wide(_) => true,
        };
        each(places, self.layout.place_width(), |place| {
            fits &= place < self.count() as u64;
        });
        fits
    }

    /// Whether what was read is what is written: a reader of rows believes it.
    pub(crate) fn is_sound(&self) -> bool {
        let keys = self.keys();
        let starts = keys.first() == Some(&self.layout.least);
        let ascends = keys.windows(2).all(|pair| pair[0] < pair[1]);
        if !starts || !ascends {
            return false;
        }
        let Some(listing) = self.layout.weights else {
            return true;
        };
        let sums = self.sums();
        let fit = match sums {
            Sums::Small(counts) => counts.iter().all(|count| (0..=SMALL).contains(count)),
            Sums::Float(_) => true,
        };
        let [_, _, places, ..] = self.parts();
        let mut named = Vec::with_capacity(listing.named);
        each(places, self.layout.place_width(), |place| {
            named.push(place as u32)
        });
        let named_keys = self.heaviest().map(|(key, _)| Some(key));
        let placed = named.iter().map(|place| keys.get(*place as usize).copied());
        let told = named_keys.eq(placed);
        let errors = self.errors();
        let which = errors.which.iter().flatten();
        let is_one = |place: &u8| usize::from(*place) < listing.different;
        fit && told && named == sums.heaviest() && which.clone().all(is_one)
    }

    /// Roughly how many bytes of memory it takes.
    pub(crate) fn memory(&self) -> usize {
        let each = size_of::<i64>() + size_of::<FloatSum>();
        size_of::<Listed>() + self.bytes.len() + self.count() * each
    }
}

/// Whether each integer from the least on is there.
#[derive(Clone, Copy)]
pub(crate) struct Bits<'a> {
    least: i64,
    bytes: &'a [u8],
}

impl Bits<'_> {
    #[inline]
    pub(crate) fn has(self, value: i64) -> bool {
        let above = value.wrapping_sub(self.least).cast_unsigned();
        let byte = usize::try_from(above / 8).ok();
        let byte = byte.and_then(|at| self.bytes.get(at));
        byte.is_some_and(|byte| byte >> (above % 8) & 1 == 1)
    }
}

/// The bits of some bytes, 64 at a time, with the number of the first.
fn words(bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let (eights, rest) = bytes.as_chunks();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let all = eights.iter().copied().chain([last]);
    (0..).step_by(64).zip(all.map(u64::from_le_bytes))
}

fn float(sum: [u8; FLOAT], lost: [u8; FLOAT]) -> FloatSum {
    FloatSum {
        sum: f64::from_le_bytes(sum),
        lost: f64::from_le_bytes(lost),
    }
}

#[inline]
fn sum_at(sums: &[u8], form: Option<Form>, place: usize) -> Sum {
    match form {
        Some(Form::Floats) => {
            let doubles = sums.as_chunks::<FLOAT>().0.as_chunks::<2>().0;
            let [sum, lost] = doubles.get(place).copied().unwrap_or_default();
            Sum::Float(float(sum, lost))
        }
        Some(Form::Counts(width)) => Sum::Exact(ExactSum {
            carry: 0,
            low: get(sums, width, place).into(),
        }),
        None => Sum::Exact(ExactSum::default()),
    }
}

//! Where things lie in the bytes of a list of integers: all of one kind take as many bytes each, so
//! that each is found by its place.

use crate::partial::Past;

/// How many bytes a double takes.
pub(super) const FLOAT: usize = size_of::<f64>();

/// Where things lie in a list's bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Layout {
    /// How many integers there are: at least one.
    pub(crate) count: usize,
    pub(crate) least: i64,
    pub(crate) keys: Keys,
    /// What is said of weights; nothing of `count_distinct`.
    pub(crate) weights: Option<Listing>,
}

/// How keys are written: what each is above the least, ascending.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Keys {
    /// So many bytes of bits, one for each integer from the least on: whether it is there.
    Bits(usize),
    /// So many bytes for each: 1, 2, 4, 8.
    Wide(usize),
}

/// How weights are written, in the order of their keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Listing {
    pub(crate) sums: Form,
    /// How many of the heaviest are named.
    pub(crate) named: usize,
    /// How many different errors are told, each weight saying which it has; or 0, where each tells its own.
    pub(crate) different: usize,
    /// What is known of weights past their cap: without it there are no errors.
    pub(crate) past: Option<Past>,
}

/// How sums are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// Counts, of so many bytes each: 1, 2, 4, 8.
    Counts(usize),
    /// Of doubles.
    Floats,
}

impl Layout {
    /// How many bytes keys, sums, places of the heaviest, their keys and errors take; `None` where no memory
    /// holds as many.
    pub(crate) fn parts(&self) -> Option<[usize; 5]> {
        let keys = match self.keys {
            Keys::Bits(bytes) => bytes,
            Keys::Wide(width) => self.count.checked_mul(width)?,
        };
        let Some(listing) = self.weights else {
            return Some([keys, 0, 0, 0, 0]);
        };
        let sums = match listing.sums {
            Form::Counts(width) => self.count.checked_mul(width)?,
            Form::Floats => self.count.checked_mul(2 * FLOAT)?,
        };
        let places = listing.named.checked_mul(self.place_width())?;
        let named = listing.named.checked_mul(self.named_width())?;
        let errors = match (listing.past, listing.different) {
            (None, _) => 0,
            (_, 0) => self.count.checked_mul(FLOAT)?,
            (_, different) => different.checked_mul(FLOAT)?.checked_add(self.count)?,
        };
        Some([keys, sums, places, named, errors])
    }

    /// How many bytes the key of one of the heaviest takes, where its place does not tell it.
    pub(super) fn named_width(&self) -> usize {
        match self.keys {
            Keys::Bits(bytes) => width(8 * bytes as u64 - 1),
            Keys::Wide(_) => 0,
        }
    }

    /// How many bytes a place takes.
    pub(super) const fn place_width(&self) -> usize {
        match self.count {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        }
    }
}

/// How many bytes numbers up to `most` take: 1, 2, 4, 8.
pub(super) fn width(most: u64) -> usize {
    let bits = u64::BITS - most.leading_zeros();
    bits.div_ceil(8).max(1).next_power_of_two() as usize
}

/// The number at a place; 0 past the end.
#[inline]
pub(super) fn get(bytes: &[u8], width: usize, place: usize) -> u64 {
    let number = match width {
        1 => bytes.get(place).map(|one| (*one).into()),
        2 => {
            let twos = bytes.as_chunks().0;
            twos.get(place).map(|two| u16::from_le_bytes(*two).into())
        }
        4 => {
            let fours = bytes.as_chunks().0;
            fours
                .get(place)
                .map(|four| u32::from_le_bytes(*four).into())
        }
        _ => {
            let eights = bytes.as_chunks().0;
            eights.get(place).map(|eight| u64::from_le_bytes(*eight))
        }
    };
    number.unwrap_or_default()
}

#[inline]
pub(super) fn each(bytes: &[u8], width: usize, mut take: impl FnMut(u64)) {
    match width {
        1 => bytes.iter().for_each(|one| take((*one).into())),
        2 => {
            let twos = bytes.as_chunks().0.iter();
            twos.for_each(|two| take(u16::from_le_bytes(*two).into()));
        }
        4 => {
            let fours = bytes.as_chunks().0.iter();
            fours.for_each(|four| take(u32::from_le_bytes(*four).into()));
        }
        _ => {
            let eights = bytes.as_chunks().0.iter();
            eights.for_each(|eight| take(u64::from_le_bytes(*eight)));
        }
    }
}

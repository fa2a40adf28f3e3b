//! An entity's key as a held row has it: in place where it is short, as most are.

use std::ops::Deref;
use tiderace_types::allocated;

/// A key of one or two integers fits.
const SHORT: usize = 22;

/// An encoded entity key.
#[derive(Clone, Debug)]
pub(crate) enum Entity {
    /// So many of the bytes.
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl From<&[u8]> for Entity {
    fn from(key: &[u8]) -> Entity {
        let mut bytes = [0; SHORT];
        match (u8::try_from(key.len()), bytes.get_mut(..key.len())) {
            (Ok(length), Some(short)) => {
                short.copy_from_slice(key);
                Entity::Short(length, bytes)
            }
            _ => Entity::Long(key.into()),
        }
    }
}

impl Deref for Entity {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Entity::Short(length, bytes) => &bytes[..usize::from(*length)],
            Entity::Long(bytes) => bytes,
        }
    }
}

impl Entity {
    /// Tells whether it is `key`, without a call for the lengths that integers have.
    #[inline]
    pub(crate) fn is(&self, key: &[u8]) -> bool {
        let own = &**self;
        let ends = |bytes: &[u8]| -> Option<([u8; 8], [u8; 8])> {
            Some((*bytes.first_chunk()?, *bytes.last_chunk()?))
        };
        match (8..=16).contains(&key.len()) {
            true => own.len() == key.len() && ends(own) == ends(key),
            false => own == key,
        }
    }

    /// How many bytes it takes beside itself.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Entity::Short(..) => 0,
            Entity::Long(bytes) => allocated(bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_kept() {
        for length in 0..300 {
            let key: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let entity = Entity::from(key.as_slice());
            assert_eq!(*entity, *key);
            assert!(entity.is(&key) && !entity.is(&[]) || key.is_empty());
            for place in 0..key.len() {
                let mut other = key.clone();
                other[place] ^= 1;
                assert!(!entity.is(&other));
            }
        }
    }
}

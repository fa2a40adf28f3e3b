//! The version that fences everything published.

use std::fmt;

/// `(epoch, seq)`, compared lexicographically. Readers and stores keep the greatest.
///
/// `epoch` is raised and made durable at every opening of the state; `seq` is
/// the lane's publication number within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// The opening of the state that published this.
    pub epoch: u64,
    /// The publication number inside the epoch.
    pub seq: u64,
}

impl Version {
    /// The byte form: 16 bytes big-endian, so that byte order is version order.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.epoch) << 64) | u128::from(self.seq)).to_be_bytes()
    }

    /// Reads [`Version::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Version {
        let both = u128::from_be_bytes(bytes);
        Version {
            epoch: (both >> 64) as u64,
            seq: both as u64,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

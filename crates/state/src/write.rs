//! The atomic write that both stores carry out.

/// One change to one key.
#[derive(Debug)]
pub(crate) enum Op {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    /// Deletes a key that was put once since it last did not exist.
    DeleteOnce(Vec<u8>),
    /// Deletes the keys from the first on, up to the second and without it. No other change of the same
    /// write is to a key among them.
    DeleteRange(Vec<u8>, Vec<u8>),
}

impl Op {
    /// The key that it changes, or the first of them.
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Op::Put(key, _) | Op::Delete(key) | Op::DeleteOnce(key) | Op::DeleteRange(key, _) => {
                key
            }
        }
    }

    /// What it takes in a batch, at most.
    pub(crate) fn size(&self) -> usize {
        /// A tag and the lengths.
        const HEAD: usize = 11;
        match self {
            Op::Put(key, value) => HEAD + key.len() + value.len(),
            Op::Delete(key) | Op::DeleteOnce(key) => HEAD + key.len(),
            Op::DeleteRange(from, to) => HEAD + from.len() + to.len(),
        }
    }
}

/// What a write survives once it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The death of the process.
    Process,
    /// The loss of power.
    Disk,
}

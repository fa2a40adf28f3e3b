//! The atomic write that both stores carry out.

/// One change to one key.
#[derive(Debug)]
pub(crate) enum Op {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    /// Deletes a key that was put once since it last did not exist.
    DeleteOnce(Vec<u8>),
}

/// What a write survives once it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The death of the process.
    Process,
    /// The loss of power.
    Disk,
}

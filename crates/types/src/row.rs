//! What a row is filed under.

use crate::{KeyBytes, Shard};

/// A view's number in this project; stable once deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId(pub u32);

/// A view's generation: a changed meaning is a new one, never a reinterpretation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u32);

/// The row of one entity in one generation of one view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The view.
    pub view: ViewId,
    /// Its generation.
    pub generation: Generation,
    /// The encoded entity key.
    pub entity: KeyBytes,
}

impl RowKey {
    /// The shard that owns the entity.
    #[must_use]
    pub fn shard(&self) -> Shard {
        Shard::of(&self.entity)
    }
}

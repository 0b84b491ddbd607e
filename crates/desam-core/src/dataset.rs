//! Indexed access to samples.

use crate::Result;

/// A finite, indexed collection whose items are made on demand.
pub trait Dataset: Send + Sync {
    /// What it holds.
    type Item;

    /// How many.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Item `index`.
    ///
    /// # Errors
    /// When `index` is out of range, or the item cannot be read or is not what it should be.
    fn get(&self, index: usize) -> Result<Self::Item>;
}

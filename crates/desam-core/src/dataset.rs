//! The data set trait: indexed access to samples.

use crate::Result;
use rand::RngCore;

/// A data set: a finite, indexed collection whose items are loaded on demand.
pub trait Dataset: Send + Sync {
    /// Type of an item.
    type Item;

    /// Number of items.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loads item `index`.
    ///
    /// # Errors
    /// When `index` is out of range, or the item cannot be read or is not what it should be.
    fn get(&self, index: usize) -> Result<Self::Item>;

    /// Loads item `index` for training, with random data augmentation from `rng` where the data set has
    /// any; otherwise as [`get`](Self::get).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn draw(&self, index: usize, rng: &mut dyn RngCore) -> Result<Self::Item> {
        let _ = rng;
        self.get(index)
    }
}

//! Indexed access to samples.

use crate::Result;
use rand::RngCore;

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

    /// Item `index` as training is to see it this time: where items are changed at random, `rng` says
    /// how. As it is, otherwise.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn draw(&self, index: usize, rng: &mut dyn RngCore) -> Result<Self::Item> {
        let _ = rng;
        self.get(index)
    }
}

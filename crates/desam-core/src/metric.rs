//! What an evaluation reports.

use crate::Result;

/// A metric that is fed piece by piece: one slice, one slab or one whole volume at a time.
pub trait Metric {
    /// The value it ends with.
    type Value;

    /// Takes in one more piece of one case, voxel by voxel, foreground above zero.
    ///
    /// # Errors
    /// When the two have different lengths.
    fn update(&mut self, prediction: &[u8], truth: &[u8]) -> Result<()>;

    /// The value over all that was taken in; `None` where it is not defined.
    fn compute(&self) -> Option<Self::Value>;

    /// Forgets all that was taken in.
    fn reset(&mut self);
}

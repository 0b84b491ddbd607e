//! Whether labels and image are of one place.

use crate::{Error, Result};
use desam_core::Grid;

/// Labels belong to an image when they have as many voxels and no corner lies further from its
/// place than half the smallest voxel side: closer than that, every label still falls on its own
/// voxel. Image and label files of one case often differ in the last digits of their spacing.
pub fn expect_same_grid(image: &Grid, labels: &Grid) -> Result<()> {
    let smallest = image.spacing().into_iter().fold(f64::INFINITY, f64::min);
    if image.matches(labels, 0.5 * smallest) {
        return Ok(());
    }
    Err(Error::GridMismatch { expected: Box::new(*image), found: Box::new(*labels) })
}

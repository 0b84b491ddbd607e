//! Check that labels lie on the grid of their image.

use crate::{Error, Result};
use desam_core::Grid;

/// Checks that two grids have the same dimensions and that no corner is off by more than half the
/// smallest voxel spacing: closer than that, every label still falls on its own voxel. Image and label
/// files of one case often differ in the last digits of their spacing.
///
/// # Errors
/// [`Error::GridMismatch`] when they do not.
pub fn expect_same_grid(image: &Grid, labels: &Grid) -> Result<()> {
    let smallest = image.spacing().into_iter().fold(f64::INFINITY, f64::min);
    if image.matches(labels, 0.5 * smallest) {
        return Ok(());
    }
    Err(Error::GridMismatch { expected: Box::new(*image), found: Box::new(*labels) })
}
